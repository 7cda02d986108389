"""A training step that a GPU repeats as a whole, without Python between its kernels.

A small network's step is hundreds of short kernels, and launching them takes longer than computing them. A CUDA graph
of the step is launched at once. It repeats the same kernels at the same addresses, so what changes from step to step is
copied to fixed places before: the samples' numbers, their weights, the learning rate and the momentum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orderdp.pruning.base import Pruner
from orderdp.spec import SgdSpec
from orderdp.training.distributed import RankBatch, Steps
from orderdp.training.loaders import InMemoryLoader
from orderdp.training.mixes import Targets
from orderdp.training.optim import clipped

if TYPE_CHECKING:
    from orderdp.training.engine import Training

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records what some work does on a device, and gives what does it again. It may do the work itself, any number of
times."""

WARM_UP = 3
"""Steps before the recording, in which libraries choose their kernels and make their workspaces."""
TOLERANCE = 1e-2
"""How far the recorded step may be from the plain one, as a share of the step. They differ by rounding."""


def cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """Records some work as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def obstacle(training: Training) -> str | None:
    """Why the steps of a training cannot be captured; None if nothing is known to be in the way."""
    recipe, pruner = training.spec.recipe, type(training.pruner)
    in_pieces = training.micro_batch is not None and training.micro_batch < recipe.batch_size
    plain_sgd = isinstance(recipe.optimizer, SgdSpec) and not recipe.optimizer.nesterov
    reasons = {
        "its data are decoded while it trains": not isinstance(training.loader, InMemoryLoader),
        "its batches are mixed by numbers that the CPU draws": recipe.mix is not None,
        "the loss scale of float16 waits for each step": training.dtype == torch.float16,
        "it trains on several ranks": training.ranks.world > 1,
        "torch compiles its network": training.compiled,
        "it is no classifier": recipe.task != "classify",
        "only SGD without Nesterov's momentum takes its rates from the device": not plain_sgd,
        "its batches are computed in pieces": in_pieces,
        f"{pruner.__name__} has an `update` of its own": pruner.update is not Pruner.update,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class CannotCapture(RuntimeError):
    """The step of a training cannot be captured; the message says why."""


class CapturedStep:
    """The step of a training at its full batch size.

    Args:
        training: without an :func:`obstacle`. Its state is as before when the constructor returns.
        part: a batch of full size, on which the recording is tried.
        rates: its learning rate and momentum.
        capture: how to record.

    Raises:
        CannotCapture: the recording failed, or what it computes is not what the plain step does.
    """

    def __init__(self, training: Training, part: RankBatch, rates: tuple[float, float], capture: Capture) -> None:
        self.training, self.size = training, len(part.indices)
        device = training.device
        self.indices = torch.zeros(self.size, dtype=torch.int64, device=device)
        self.weights = torch.ones(self.size, device=device)
        self.rates = torch.zeros(2, device=device)
        self.losses = self.answers = self.figures = torch.empty(0)
        self.scores: Tensor | None = None
        training.optimizer.make_buffers()
        self._set(part, training.pruner.weights(part.indices), rates)
        before = [tensor.clone() for tensor in self._state()]
        random = _random_state(device)
        try:
            self._replay = self._checked(capture, before, random)
        except RuntimeError as error:  # of CUDA, or CannotCapture
            training.optimizer.zero_grad()
            raise CannotCapture(str(error).strip().splitlines()[0]) from error
        finally:
            self._restore(before)
            _set_random_state(device, random)

    def __call__(self, part: RankBatch, rates: tuple[float, float], record: Steps) -> None:
        """A step on a batch of this size; nothing waits for the device."""
        pruner = self.training.pruner
        weights = pruner.weights(part.indices)
        self._set(part, weights, rates)
        self._replay()
        # Copies: the next step overwrites what this one leaves.
        pruner.observe(part.indices, self.losses if self.scores is None else self.scores)
        record.samples.append((part.indices, self.losses.clone(), self.answers.clone()))
        norm, loss, right = self.figures.clone().unbind()
        record.norms.append(norm)
        record.losses.append(loss)
        record.weights.append(weights.mean())
        record.correct.append(right)
        record.sizes.append(self.size)
        record.rates.append(rates)

    def _set(self, part: RankBatch, weights: Tensor, rates: tuple[float, float]) -> None:
        self.indices.copy_(part.indices, non_blocking=True)
        self.weights.copy_(weights, non_blocking=True)
        self.rates.copy_(torch.tensor(rates), non_blocking=True)

    def _work(self) -> None:
        """The step, from numbers of samples to new weights."""
        training = self.training
        images, labels = training.loader.batch(self.indices)
        losses, self.answers, self.scores = training.forward(self.indices, images, Targets(labels, None, 1.0))
        training.precision.backward((self.weights * losses).mean())
        gradients = training.optimizer.gradients()
        norm = clipped(gradients, training.spec.recipe.optimizer.clip_norm)
        training.optimizer.step_on_device(*self.rates.unbind())
        training.optimizer.zero_grad()
        self.losses = losses.detach()
        self.figures = torch.stack([norm, self.losses.mean(), (self.answers == labels).sum().float()])

    def _checked(self, capture: Capture, before: list[Tensor], random: Tensor) -> Callable[[], None]:
        """Records the step and compares its first repetition with a plain one."""
        self._work()
        if not torch.equal(random, _random_state(self.training.device)):
            raise CannotCapture("its network draws random numbers")
        expected = [*self._changes(before), self.losses.clone()]
        self._restore(before)
        replay = capture(self._work)
        self._restore(before)
        replay()
        got = [*self._changes(before), self.losses]
        for a, b in zip(got, expected, strict=True):
            if not (a - b).norm() <= TOLERANCE * b.norm():
                raise CannotCapture("the recorded step computes something else than the plain one")
        return replay

    def _state(self) -> list[Tensor]:
        """What a step changes."""
        optimizer = self.training.optimizer
        buffers = [optimizer.optimizer.state[p]["momentum_buffer"] for p in optimizer.parameters]
        return [*optimizer.parameters, *buffers, *self.training.model.buffers()]

    def _changes(self, before: list[Tensor]) -> list[Tensor]:
        """By how much all of it has changed, each kind in one vector."""
        count = len(self.training.optimizer.parameters)
        changes = [(now.detach() - old).double().flatten() for now, old in zip(self._state(), before, strict=True)]
        kinds = changes[:count], changes[count : 2 * count], changes[2 * count :]
        return [torch.cat(kind) for kind in kinds if kind]

    @torch.no_grad()
    def _restore(self, before: list[Tensor]) -> None:
        for tensor, old in zip(self._state(), before, strict=True):
            tensor.copy_(old)


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
