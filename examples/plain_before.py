"""An ordinary training loop, before OrderDP: `plain.py` is the same with it."""

import torch
from digits import digits, network, report
from torch.nn import functional as F
from torch.utils.data import DataLoader

train, test = digits()
model = network()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
loader = DataLoader(train, batch_size=32, shuffle=True)

for _ in range(15):
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

report(model, test)
