"""Pruners under Lightning."""

from __future__ import annotations

from typing import Any

from torch.utils._pytree import tree_leaves

from orderdp.integrations.extras import missing
from orderdp.pruning.base import Pruner

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError as error:
    raise missing("lightning", error) from error


class PrunerCallback(Callback):
    """Keeps a pruner in step with a `Trainer`: its state in the checkpoints, its losses exchanged each epoch, its ratio
    in the log.

    The training loader is `DataLoader(Indexed(data), sampler=pruner, ...)`, and `training_step` returns
    `pruner.update(index, losses)`. Lightning names the epochs to the sampler. Where an epoch's length varies
    (InfoBatch), set `reload_dataloaders_every_n_epochs=1`.

    Args:
        pruner: the sampler of the training loader.
    """

    def __init__(self, pruner: Pruner) -> None:
        self.pruner = pruner
        self._next_epoch: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that Lightning leaves the sampler as it is.

        Raises:
            ValueError: it would replace it across processes.
        """
        # Lightning's own wrapper would list the first epoch's samples once and deal these out for ever.
        if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise ValueError(
                "A pruner deals out its samples among processes itself. Set use_distributed_sampler=False in the"
                " Trainer."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that the training loader draws from the pruner.

        Raises:
            ValueError: it does not: it was built otherwise, or Lightning replaced its sampler (`overfit_batches`).
        """
        loaders = tree_leaves(trainer.train_dataloader)
        samplers = [getattr(loader, name, None) for loader in loaders for name in ("sampler", "batch_sampler")]
        samplers += [getattr(sampler, "sampler", None) for sampler in samplers]
        if not any(sampler is self.pruner for sampler in samplers):
            raise ValueError(
                "The training loader does not draw from the pruner of this callback. Give it sampler=pruner (or"
                " batch_sampler=pruner.batch_sampler(batch_size)), and leave overfit_batches at 0, as it replaces the"
                " sampler."
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exchanges the losses, so that a checkpoint of any process holds what all have seen; logs the ratio."""
        self.pruner.synchronize()
        pl_module.log("prune_ratio", self.pruner.realised_prune_ratio, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        """The pruner's state, for the checkpoint."""
        return self.pruner.state_dict()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes the epoch that comes next. Lightning names it to the sampler only after loader workers have drawn from
        it (its PR#21960)."""
        self._next_epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the checkpoint was written."""
        self.pruner.load_state_dict(state_dict)
        if self._next_epoch is not None:
            self.pruner.set_epoch(self._next_epoch)
