"""What every sample did while a network trained on it: how large its loss was, and how often the network was wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

KEEPS = ("visits", "loss", "last_loss", "wrong", "forgotten", "last_answer")
"""What :class:`SampleHistory` keeps."""


class SampleHistory:
    """Losses and answers of each sample, added up over the epochs that trained on it.

    A loss is that of the training step: of the augmented image, with label smoothing. Kept: `visits`; `loss`, their
    sum; `last_loss`; `wrong`, how often the answer was not the label; `forgotten`, how often it was wrong after it
    had been right at the visit before (Toneva et al. 2019); `last_answer`, the class with the largest score.

    Args:
        labels: int64 (n,), on the CPU.
    """

    def __init__(self, labels: Tensor) -> None:
        n = len(labels)
        self.labels = labels
        self.visits = torch.zeros(n, dtype=torch.int32)
        self.loss = torch.zeros(n, dtype=torch.float64)
        self.last_loss = torch.full((n,), torch.nan)
        self.wrong = torch.zeros(n, dtype=torch.int32)
        self.forgotten = torch.zeros(n, dtype=torch.int32)
        self.last_answer = torch.full((n,), -1, dtype=torch.int32)

    def learn(self, indices: Tensor, losses: Tensor, answers: Tensor) -> None:
        """Takes in an epoch, on the CPU.

        Args:
            indices: int64 (m,), each sample once at most.
            losses: float32 (m,).
            answers: int64 (m,), the classes that the network chose; -1 of a network that chooses none.
        """
        labels = self.labels[indices]
        right_before = (self.visits[indices] > 0) & (self.last_answer[indices] == labels)
        wrong = answers != labels
        self.visits[indices] += 1
        self.loss[indices] += losses.double()
        self.last_loss[indices] = losses
        self.wrong[indices] += wrong.int()
        self.forgotten[indices] += (wrong & right_before).int()
        self.last_answer[indices] = answers.int()

    def arrays(self) -> dict[str, Any]:
        """As NumPy arrays (n,): `visits`, `mean_loss` (float32, NaN without a visit), `last_loss`, `wrong`,
        `forgotten`, `last_answer` (-1 without a visit)."""
        mean = (self.loss / self.visits).float()  # 0 / 0 is NaN
        kept = {name: getattr(self, name) for name in KEEPS if name != "loss"} | {"mean_loss": mean}
        return {name: values.numpy() for name, values in kept.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """What was kept so far."""
        return {name: getattr(self, name) for name in KEEPS}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from there."""
        for name in KEEPS:
            setattr(self, name, state[name])
