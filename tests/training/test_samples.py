"""What is noted of single samples, against a plain Python account of the same training."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from orderdp.datasets import load
from orderdp.training.engine import Training
from orderdp.training.samples import SampleHistory
from tests.training.conftest import spec


def test_forgetting_is_wrong_after_right():
    history = SampleHistory(torch.tensor([0, 1, 2, 0]))
    for answers in ([0, 1, 0], [1, 1, 2], [0, 0, 0], [1, 1, 0]):
        history.learn(torch.tensor([0, 1, 2]), torch.tensor([0.5, 1.5, 2.5]), torch.tensor(answers))
    arrays = history.arrays()
    assert arrays["visits"].tolist() == [4, 4, 4, 0]
    assert arrays["forgotten"].tolist() == [2, 1, 1, 0]
    assert arrays["wrong"].tolist() == [2, 1, 3, 0]
    assert arrays["last_answer"].tolist() == [1, 1, 0, -1]
    assert arrays["mean_loss"][:3].tolist() == [0.5, 1.5, 2.5] and np.isnan(arrays["mean_loss"][3])


class Noting(Training):
    """Notes every step's samples in Python's own lists."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.noted = [[] for _ in range(self.n)]

    def forward(self, indices, images, targets):
        losses, answers, scores = super().forward(indices, images, targets)
        for index, loss, answer in zip(indices.tolist(), losses.tolist(), answers.tolist(), strict=True):
            self.noted[index].append((loss, answer))
        return losses, answers, scores


@pytest.mark.parametrize("micro_batch", [None, 20])
def test_a_training_notes_each_visit(data, micro_batch):
    training = Noting(spec("orderdp"), load("digits", data / "digits"), torch.device("cpu"), micro_batch=micro_batch)
    training.fit(lambda training: None)
    arrays, labels = training.samples.arrays(), training.data.train_labels.tolist()
    assert np.array_equal(arrays["visits"], training.usage.numpy()) and arrays["visits"].max() > 1
    for index, visits in enumerate(training.noted):
        right = [answer == labels[index] for _, answer in visits]
        assert arrays["visits"][index] == len(visits)
        assert arrays["wrong"][index] == right.count(False)
        assert arrays["forgotten"][index] == sum(a and not b for a, b in pairwise(right))
        if visits:
            assert arrays["mean_loss"][index] == pytest.approx(sum(loss for loss, _ in visits) / len(visits), rel=1e-6)
            assert (arrays["last_loss"][index], arrays["last_answer"][index]) == pytest.approx(visits[-1], rel=1e-6)
