"""A plain PyTorch loop with OrderDP: `diff -u plain_before.py plain.py` shows what changes."""

import torch
from digits import digits, network, report
from torch.nn import functional as F
from torch.utils.data import DataLoader

from orderdp import Indexed, OrderDP

train, test = digits()
model = network()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
pruner = OrderDP(len(train), explore=0.5, exploit=0.6, seed=0)
loader = DataLoader(Indexed(train), batch_size=32, sampler=pruner)

for _ in range(15):
    for index, (x, y) in loader:
        loss = pruner.update(index, F.cross_entropy(model(x), y, reduction="none"))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

report(model, test, 1 - pruner.realised_prune_ratio)
