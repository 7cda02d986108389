"""Pruners under Lightning."""

from __future__ import annotations

from typing import Any

from orderdp.integrations.extras import missing
from orderdp.pruning.base import Pruner

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise missing("lightning", error) from error


class PrunerCallback(Callback):
    """Keeps a pruner in step with a `Trainer`: its state in the checkpoints, its losses exchanged each epoch, its ratio
    in the log.

    The training loader is `DataLoader(Indexed(data), sampler=pruner, ...)`, and `training_step` returns
    `pruner.update(index, losses)`. Lightning names the epochs to the sampler. Where an epoch's length varies
    (InfoBatch), set `reload_dataloaders_every_n_epochs=1`.

    Args:
        pruner: the sampler of the training loader.
    """

    def __init__(self, pruner: Pruner) -> None:
        self.pruner = pruner

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that Lightning leaves the sampler as it is.

        Raises:
            ValueError: it would replace it across processes.
        """
        # Lightning's own wrapper would list the first epoch's samples once and deal these out for ever.
        if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise ValueError(
                "A pruner deals out its samples among processes itself. Set use_distributed_sampler=False in the"
                " Trainer."
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exchanges the losses, so that a checkpoint of any process holds what all have seen; logs the ratio."""
        self.pruner.synchronize()
        pl_module.log("prune_ratio", self.pruner.prune_ratio, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        """The pruner's state, for the checkpoint."""
        return self.pruner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint was written."""
        self.pruner.load_state_dict(state_dict)
