"""Data-parallel training: `torchrun --standalone --nproc_per_node=2 examples/with_torchrun.py`. Each rank takes its
share of one selection."""

import torch
import torch.distributed as dist
from digits import digits, network, report
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from orderdp import Indexed, OrderDP


def main():
    dist.init_process_group("gloo")
    train, test = digits()
    model = DistributedDataParallel(network())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
    loader = DataLoader(Indexed(train), batch_size=16, sampler=pruner)

    for epoch in range(15):
        pruner.set_epoch(epoch)  # on every rank: the ranks exchange their losses here
        for index, (x, y) in loader:
            loss = pruner.update(index, F.cross_entropy(model(x), y, reduction="none"))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    if dist.get_rank() == 0:
        report(model.module, test, 1 - pruner.realised_prune_ratio)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
