"""The loss of each sample, from what a model of Transformers returns: what the model averages over the batch itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

WAY_OUT = (
    "Override sample_losses(outputs, labels, inputs) of your PrunedTrainer, or PrunerMixin class, to return one loss"
    " per sample, float (b,)."
)
CLOSE = 0.02
"""Relative distance between the model's loss and ours that half precision can explain."""


def sample_losses(
    outputs: Any, inputs: Mapping[str, Any], *, causal: bool = False, labels_in_config: int | None = None,
    problem: str | None = None, smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Losses of a batch, by the kind of head that outputs and labels show.

    - Question answering (`start_positions` and `end_positions`): half the sum of both cross-entropies.
    - Regression and several labels at once, by `problem`, or by the labels as Transformers itself decides: squared
      error, binary cross-entropy, each averaged over the outputs of a sample.
    - Else cross-entropy, averaged over those tokens of a sample whose label is not -100.

    Args:
        outputs: of the model, a mapping with `logits`, or a tuple (loss, logits, ...).
        inputs: of the model, with `labels` or the positions.
        causal: a label belongs to the position before its own (`shift_labels` among the inputs is shifted already).
        labels_in_config: the model's `config.num_labels`.
        problem: the model's `config.problem_type`: "regression", "single_label_classification" or
            "multi_label_classification".
        smoothing: share of the label that is spread over all classes, in [0, 1).

    Returns:
        float (b,) losses, and int64 (b,) how many labels each averages over.

    Raises:
        ValueError: these outputs and labels are of none of these kinds.

    Example:
        >>> losses, counts = sample_losses({"logits": torch.zeros(2, 4)}, {"labels": torch.tensor([3, -100])})
        >>> losses.tolist(), counts.tolist()
        ([1.3862943649291992, 0.0], [1, 0])
    """
    if "start_positions" in inputs and "end_positions" in inputs:
        return _answers(outputs, inputs)
    labels = inputs.get("shift_labels", inputs.get("labels"))
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else outputs[1] if len(outputs) > 1 else None
    if not isinstance(labels, Tensor) or not isinstance(logits, Tensor):
        absent = "no 'labels'" if not isinstance(labels, Tensor) else "no logits (as under use_liger_kernel=True)"
        raise ValueError(f"A pruner needs the loss of each sample, and this batch has {absent}. {WAY_OUT}")
    logits = logits.float()
    if problem is None and labels.is_floating_point():
        problem = "regression" if labels_in_config == 1 or logits.shape[-1] == 1 else "multi_label_classification"
    if problem == "regression" or (problem is None and labels_in_config == 1):
        if logits.numel() != labels.numel():
            raise _unclear(logits, labels)
        return _averaged(F.mse_loss(logits.view(labels.shape), labels.float(), reduction="none"))
    if problem == "multi_label_classification":
        if logits.shape != labels.shape:
            raise _unclear(logits, labels)
        return _averaged(F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="none"))
    if causal and "shift_labels" not in inputs:
        logits, labels = logits[:, :-1], labels[:, 1:]
    if logits.shape[:-1] != labels.shape:
        raise _unclear(logits, labels)
    losses = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=-100, label_smoothing=smoothing
    )
    counts = (labels != -100).view(len(labels), -1).sum(1)
    return losses.view(len(labels), -1).sum(1) / counts.clamp(min=1), counts


def check_against_model(outputs: Any, losses: Tensor, counts: Tensor) -> None:
    """Compares the losses with the mean that the model gives itself, if it gives one.

    Raises:
        ValueError: they are of something else, such as a head of another kind or one with a further term.
    """
    own = outputs.get("loss") if isinstance(outputs, Mapping) else outputs[0]
    if not isinstance(own, Tensor) or own.numel() != 1 or not int(counts.sum()):
        return
    ours, theirs = float((losses.detach() * counts).sum() / counts.sum()), float(own.detach())
    if not abs(ours - theirs) <= CLOSE * max(1.0, abs(ours)):
        raise ValueError(
            f"The model's own loss of this batch is {theirs:.4g}, and the mean over its samples {ours:.4g}: the pruner"
            f" would train on something else. {WAY_OUT}"
        )


def _answers(outputs: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    parts = []
    for name in ("start", "end"):
        logits = (outputs[f"{name}_logits"] if isinstance(outputs, Mapping) else outputs[1 + (name == "end")]).float()
        places = inputs[f"{name}_positions"].view(-1).clamp(0, logits.shape[1])
        parts.append(F.cross_entropy(logits, places, reduction="none", ignore_index=logits.shape[1]))
    losses = (parts[0] + parts[1]) / 2
    return losses, torch.ones_like(losses, dtype=torch.int64)


def _averaged(losses: Tensor) -> tuple[Tensor, Tensor]:
    losses = losses.view(len(losses), -1)
    return losses.mean(1), torch.full((len(losses),), losses.shape[1], device=losses.device)


def _unclear(logits: Tensor, labels: Tensor) -> ValueError:
    return ValueError(
        f"The loss of each sample cannot be computed from logits of shape {tuple(logits.shape)} and labels of shape"
        f" {tuple(labels.shape)}. {WAY_OUT}"
    )
