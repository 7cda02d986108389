"""A table: scikit-learn's breast-cancer data as dict samples with a collate function of one's own, half of the rows an
epoch.

The data grows on the way, as a table that is collected does: `pruner.grow` tells the pruner.
"""

import torch
from digits import correct
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from orderdp import Indexed, OrderDP


def collate(rows):
    return torch.stack([row["features"] for row in rows]), torch.tensor([row["malignant"] for row in rows])


table = load_breast_cancer()
features = torch.tensor((table.data - table.data.mean(0)) / table.data.std(0), dtype=torch.float32)
rows = [{"features": x, "malignant": float(y == 0)} for x, y in zip(features, table.target, strict=True)]
rows, test = rows[:400], rows[400:]
present = rows[:250]

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
pruner = OrderDP.at_ratio(len(present), 0.5, seed=0)
loader = DataLoader(Indexed(present), batch_size=25, sampler=pruner, collate_fn=Indexed.collate(collate))

for epoch in range(30):
    if epoch == 10:
        present += rows[250:]
        pruner.grow(len(present))
    for index, (x, y) in loader:
        loss = pruner.update(index, F.binary_cross_entropy_with_logits(model(x).squeeze(1), y, reduction="none"))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

x, y = collate(test)
with torch.inference_mode():
    scores = torch.cat([torch.zeros(len(x), 1), model(x)], 1)
print(
    f"accuracy {correct(scores, y):.1f} %, trained on {100 * (1 - pruner.realised_prune_ratio):.2f} % of the samples an"
    " epoch"
)
