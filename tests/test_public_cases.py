"""Faults of samplers, loaders and trainers that people reported in public, tried on this project. Each test names the
report."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from orderdp import Indexed, InfoBatch, OrderDP

N = 40


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(N, 4, generator=generator), torch.arange(N) % 2)


def plain_epochs(epochs: int, **options) -> list[list[int]]:
    """The samples of each epoch in a loop without a trainer."""
    pruner = OrderDP(N, seed=2, **options)
    return [visit(DataLoader(Indexed(data()), batch_size=7, sampler=pruner), pruner) for _ in range(epochs)]


def visit(loader, pruner) -> list[int]:
    """One epoch in which sample i has the loss i: the samples in the order of training."""
    seen = []
    for index, _ in loader:
        seen += index.tolist()
        pruner.update(index, index.float())
    return seen


def test_the_epoch_after_a_skipped_one_is_the_next_one():
    """huggingface/accelerate PR#4233: after `skip_first_batches`, the original loader made the same epoch again."""
    from accelerate import Accelerator, skip_first_batches

    from orderdp.integrations import prepare_pruner

    def prepared():
        # It keeps all samples, so that an epoch differs from another one by its order alone.
        accelerator, pruner = Accelerator(cpu=True), OrderDP(N, explore=1.0, exploit=1.0, seed=2)
        prepare_pruner(accelerator, pruner)
        return pruner, accelerator.prepare(DataLoader(Indexed(data()), batch_size=7, sampler=pruner))

    pruner, loader = prepared()
    expected = []
    for epoch in range(3):
        loader.set_epoch(epoch)
        expected.append(visit(loader, pruner))
    pruner, loader = prepared()
    loader.set_epoch(1)
    assert visit(skip_first_batches(loader, 2), pruner) == expected[1][14:]
    loader.set_epoch(2)
    assert visit(loader, pruner) == expected[2]


def train_on_rank(rank: int, folder: str) -> None:
    """A process of two under accelerate; it saves the samples that it trained on."""
    import os

    from accelerate import Accelerator

    from orderdp.integrations import prepare_pruner

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="localhost")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    accelerator, pruner = Accelerator(cpu=True), OrderDP(N, seed=2)
    prepare_pruner(accelerator, pruner)
    loader = accelerator.prepare(DataLoader(Indexed(data()), batch_size=3, sampler=pruner))
    epochs = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        epochs.append(visit(loader, pruner))
    torch.save(epochs, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_do_not_split_the_samples_twice(tmp_path):
    """huggingface/accelerate#4199 and huggingface/transformers#34365: a sampler that knows its rank was cut again, so
    that each process trained on a quarter."""
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("torch.distributed has no gloo here")
    multiprocessing.spawn(train_on_rank, args=(str(tmp_path),), nprocs=2)
    shares = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for epoch in range(2):
        both = shares[0][epoch] + shares[1][epoch]
        assert len(both) == len(set(both)) == round(0.6 * N / 2)
    assert sorted(shares[0][0] + shares[1][0]) == sorted(plain_epochs(1)[0])


class Dicts(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        x, y = data()[index]
        return {"x": x, "labels": y}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def test_a_trainers_schedule_ends_with_the_training(tmp_path):
    """LAION-AI/Open-Assistant#1991: the number of steps was computed from the data set and not from the sampler, so
    that the learning rate did not reach its end."""
    from transformers import TrainingArguments

    from orderdp.integrations import PrunedTrainer

    arguments = TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=3, per_device_train_batch_size=4, save_strategy="no", report_to=[],
        disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    pruner = OrderDP(N, seed=2)
    trainer = PrunedTrainer(model=Model(), args=arguments, train_dataset=Dicts(), pruner=pruner)
    trainer.train()
    assert trainer.state.global_step == trainer.state.max_steps == 3 * 3  # 12 of 40 samples in batches of 4
    assert set(trainer.lr_scheduler.get_last_lr()) == {0.0}
    assert int(pruner.usage.sum()) == 3 * 12


def test_batches_out_of_order_change_neither_samples_nor_scores():
    """pytorch/pytorch#105203: a loader with `in_order=False` yields batches as the workers finish them."""
    options = {"batch_size": 7, "num_workers": 2, "in_order": False}
    pruner = OrderDP(N, seed=2)
    loader = DataLoader(Indexed(data()), sampler=pruner, **options)
    for expected in plain_epochs(3):
        assert sorted(visit(loader, pruner)) == sorted(expected)


def test_workers_that_persist_get_each_epochs_samples():
    """huggingface/datasets#6673: with `persistent_workers=True` every epoch repeated the first one."""
    pruner = OrderDP(N, seed=2)
    loader = DataLoader(
        Indexed(data()), batch_size=7, sampler=pruner, num_workers=2, persistent_workers=True, prefetch_factor=1
    )
    found = []
    for epoch in range(3):
        pruner.set_epoch(epoch)
        found.append(visit(loader, pruner))
    assert found == plain_epochs(3)


def test_lightning_does_not_shuffle_a_pruners_order():
    """Lightning-AI/pytorch-lightning#21447: with one process, the order of a custom sampler is kept; with several,
    Lightning wraps it and shuffles, which the callback refuses (tests/integrations)."""
    import lightning.pytorch as pl

    from orderdp.integrations import PrunerCallback

    class Module(pl.LightningModule):
        def __init__(self, pruner):
            super().__init__()
            self.pruner, self.layer, self.seen = pruner, nn.Linear(4, 2), []

        def training_step(self, batch, batch_idx):
            index, (x, _) = batch
            self.seen += index.tolist()
            return self.pruner.update(index, 0 * self.layer(x).sum(1) + index.float())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    pruner = OrderDP(N, seed=2)
    module = Module(pruner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            max_epochs=3, accelerator="cpu", callbacks=[PrunerCallback(pruner)], logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(module, DataLoader(Indexed(data()), batch_size=7, sampler=pruner))
    assert module.seen == [index for epoch in plain_epochs(3) for index in epoch]


def test_no_checkpoint_runs_code():
    """mlfoundations/open_clip#1150: the path that resumes a training read pickles without `weights_only`."""
    calls = [
        (path, call)
        for path in Path("orderdp").rglob("*.py")
        for call in re.findall(r"torch\.load\([^\n]*", path.read_text())
    ]
    assert calls
    assert all("weights_only=True" in call for _, call in calls)
    allowed = [path for path in Path("orderdp").rglob("*.py") if "allow_pickle=True" in path.read_text()]
    assert not allowed


def test_a_batch_of_one_sample_that_infobatch_leaves_over_is_said():
    """pytorch/pytorch#7716: "Expected more than 1 value per channel when training" for a last batch of one sample."""
    pruner = InfoBatch(N + 1, prune_ratio=0.5)
    loader = DataLoader(Indexed(TensorDataset(torch.randn(N + 1, 4))), batch_size=8, sampler=pruner)
    with pytest.warns(UserWarning, match=r"leave 1 over, .* batch_sampler=pruner\.batch_sampler\(8\)"):
        visit(loader, pruner)
    sizes = [len(index) for index, _ in DataLoader(loader.dataset, batch_sampler=InfoBatch(N + 1).batch_sampler(8))]
    assert sizes == [8, 8, 8, 8, 9]
