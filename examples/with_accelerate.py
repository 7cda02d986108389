"""Hugging Face accelerate, with gradient accumulation: one more line before `prepare`."""

import torch
from accelerate import Accelerator
from digits import digits, network, report
from torch.nn import functional as F
from torch.utils.data import DataLoader

from orderdp import Indexed, OrderDP
from orderdp.integrations import prepare_pruner


def main():
    train, test = digits()
    pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
    loader = DataLoader(Indexed(train), batch_size=16, sampler=pruner)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    prepare_pruner(accelerator, pruner)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

    for epoch in range(15):
        loader.set_epoch(epoch)
        for index, (x, y) in loader:
            with accelerator.accumulate(model):
                loss = pruner.update(index, F.cross_entropy(model(x), y, reduction="none"))
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()

    if accelerator.is_main_process:
        report(accelerator.unwrap_model(model), test, 1 - pruner.realised_prune_ratio)


if __name__ == "__main__":
    main()
