"""Pruners under Hugging Face accelerate."""

from __future__ import annotations

from orderdp.integrations.extras import missing
from orderdp.pruning.base import Pruner

try:
    from accelerate import Accelerator
except ModuleNotFoundError as error:
    raise missing("accelerate", error) from error


def prepare_pruner(accelerator: Accelerator, pruner: Pruner) -> None:
    """Makes a pruner fit for loaders that `accelerator.prepare` returns; call it once, before `prepare`.

    accelerate deals out the batches among processes itself, so that the pruner must not. Its state joins
    `accelerator.save_state` and `load_state`. After `load_state`, name the epoch to accelerate:
    `loader.set_epoch(epoch)`; it would start at 0.

    Raises:
        ValueError: batches are drawn in one process and dispatched to the others, which the exchange of losses cannot
            follow.
    """
    if accelerator.num_processes > 1 and accelerator.dispatch_batches:
        raise ValueError(
            "A pruner is drawn from in every process. Set dispatch_batches=False in the Accelerator's"
            " DataLoaderConfiguration."
        )
    pruner.shard(0, 1)
    accelerator.register_for_checkpointing(pruner)
    accelerator.register_save_state_pre_hook(lambda *_: pruner.synchronize())
