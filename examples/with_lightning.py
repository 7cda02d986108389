"""Lightning: the pruner is the loader's sampler, `training_step` returns its mean, a callback keeps its state in the
checkpoints."""

import lightning.pytorch as pl
import torch
from digits import digits, network, report
from torch.nn import functional as F
from torch.utils.data import DataLoader

from orderdp import Indexed, OrderDP
from orderdp.integrations import PrunerCallback


class Classifier(pl.LightningModule):
    def __init__(self, pruner):
        super().__init__()
        self.model, self.pruner = network(), pruner

    def training_step(self, batch, batch_idx):
        index, (x, y) = batch
        return self.pruner.update(index, F.cross_entropy(self.model(x), y, reduction="none"))

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("accuracy", (self.model(x).argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main():
    train, test = digits()
    pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
    module = Classifier(pruner)
    trainer = pl.Trainer(
        max_epochs=15,
        accelerator="cpu",
        use_distributed_sampler=False,  # the pruner deals out its samples itself
        callbacks=[PrunerCallback(pruner)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(Indexed(train), batch_size=32, sampler=pruner), DataLoader(test, batch_size=359))
    report(module.model, test, 1 - pruner.realised_prune_ratio)


if __name__ == "__main__":
    main()
