"""Pruners under the `SFTTrainer` of TRL: fine-tuning language models on the sequences that a pruner selects."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from orderdp.integrations.extras import missing
from orderdp.integrations.losses import check_against_model, sample_losses
from orderdp.integrations.transformers import PrunerMixin

try:
    from trl import SFTTrainer
except ModuleNotFoundError as error:
    raise missing("trl", error) from error


class PrunedSFTTrainer(PrunerMixin, SFTTrainer):  # type: ignore[misc]
    """An `SFTTrainer` that trains on what a pruner selects: `PrunedSFTTrainer(..., pruner=OrderDP(len(data)))`.

    A sequence's loss is the mean over those of its tokens that are trained (`completion_only_loss` and
    `assistant_only_loss` leave out the others), and a step's loss the mean over its sequences. SFTTrainer's own weighs
    every token alike, so that long sequences count more. With `packing=True, packing_strategy="wrapped"` a sample is a
    packed sequence; give a function of their number, which is known only after packing: `pruner=lambda n: OrderDP(n)`.

    Raises:
        ValueError: another number of samples, or a setting that a pruner cannot follow; the message names the way out.
    """

    def _check_settings(self: Any) -> None:
        args = self.args
        if self.padding_free:
            raise ValueError(
                "padding_free, and packing with the strategy 'bfd', join the sequences of a batch into one, whose"
                " losses cannot be told apart by sample. Set padding_free=False, and packing=False or"
                " packing_strategy='wrapped'."
            )
        if args.loss_type != "nll":
            raise ValueError(
                f"loss_type={args.loss_type!r} is another loss than the one of each sample. Set loss_type='nll'."
            )
        if self.aux_loss_enabled:
            raise ValueError(
                "The loss of a mixture of experts has a term for the whole batch, and a pruner needs one loss per"
                " sample. Set output_router_logits=False in the model's config."
            )
        super()._check_settings()

    def sample_losses(self: Any, outputs: Any, labels: Tensor | None, inputs: dict[str, Any] | None = None) -> Tensor:
        """float (b,): the loss of each sequence, the mean over its trained tokens."""
        smoothing = self.args.label_smoothing_factor
        losses, counts = sample_losses(
            outputs, {"labels": labels} if inputs is None else inputs, causal=True, smoothing=smoothing
        )
        if not self._compared and not smoothing:  # a smoothed loss is the Trainer's and not the model's
            check_against_model(outputs, losses, counts)
            self._compared = True
        return losses

    _compared = False
