"""A stream without end in sight: digits, shifted at random, out of an `IterableDataset`; a pool of 512 of them stays in
memory.

A sample that leaves the pool does not come again. Every arrival pays for two trainings, spent on the hardest of the
pool. It shows how, not that it pays: on a stream as small and easy as this, repeating samples at random does as well.
"""

import torch
from digits import digits, network, report
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from orderdp import StreamingOrderDP


class Shifted(IterableDataset):
    """Images of the training set, each moved by up to a pixel; what came is gone."""

    def __init__(self, data, count):
        self.data, self.count = data, count

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for _ in range(self.count):
            number, down, right = (int(torch.randint(high, (), generator=generator)) for high in (len(self.data), 3, 3))
            image, label = self.data[number]
            yield image.view(8, 8).roll((down - 1, right - 1), (0, 1)).flatten(), label


train, test = digits()
model = network()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
stream = DataLoader(Shifted(train, 16000), batch_size=None)
pool = StreamingOrderDP(stream, pool=512, batch_size=64, fresh=32, explore=0.5, seed=0)

for index, (x, y) in pool:
    loss = pool.update(index, F.cross_entropy(model(x), y, reduction="none"))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

print(f"{pool.arrived} samples came and paid for {pool.trained} trainings")
report(model, test)
