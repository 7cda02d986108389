"""Integrations: what each adds to a pruner, resuming most of all; and what is said where a library is missing."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from orderdp import Indexed, InfoBatch, OrderDP, OrderDPBatches

ROOT = Path(__file__).parents[2]
N, EPOCHS = 60, 4
MODULES = ["lightning", "transformers", "accelerate"]


def data() -> TensorDataset:
    x = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x[:, 0] > 0).long())


def same(one, other) -> None:
    assert repr(one.state_dict()) == repr(other.state_dict())


# Without the libraries


@pytest.mark.parametrize("name", MODULES)
def test_a_missing_library_is_one_error_that_names_the_command(name):
    code = (
        f"import sys; sys.modules[{name!r}] = None; import orderdp; orderdp.OrderDP(10); import"
        f" orderdp.integrations.{name}"
    )
    # None in sys.modules makes an import fail with the module's name, as if it were not installed.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last
        == f"ModuleNotFoundError: orderdp.integrations.{name} needs {name}. Install it: pip install 'orderdp[{name}]'"
    )
    assert f"{name} = [" in (ROOT / "pyproject.toml").read_text()


def test_a_library_missing_within_another_is_not_mistaken():
    from orderdp.integrations.extras import missing

    inner = ModuleNotFoundError("No module named 'tqdm'", name="tqdm")
    assert missing("transformers", inner) is inner


def test_names_are_known_before_they_are_loaded():
    import orderdp.integrations as integrations

    assert sorted(integrations.MODULES) == sorted(integrations.__all__)
    assert set(integrations.__all__) <= set(dir(integrations))
    for name in integrations.__all__:
        assert getattr(integrations, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Fastai'"):
        integrations.Fastai  # noqa: B018


# Lightning


def lightning_run(folder, pruner, epochs, checkpoint=None):
    import lightning.pytorch as pl

    from orderdp.integrations import PrunerCallback

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.model, self.visited = nn.Linear(4, 2), []

        def training_step(self, batch, batch_idx):
            index, (x, y) = batch
            self.visited.append((self.current_epoch, index.tolist()))
            return pruner.update(index, F.cross_entropy(self.model(x), y, reduction="none"))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.5)

    module = Module()
    saver = pl.callbacks.ModelCheckpoint(folder, save_last=True)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", callbacks=[PrunerCallback(pruner), saver], **quiet)
        trainer.fit(
            module, DataLoader(Indexed(data()), batch_size=7, sampler=pruner), ckpt_path=checkpoint, weights_only=True
        )
    return module, trainer


def test_a_lightning_training_resumes_as_if_it_had_not_stopped(tmp_path):
    whole, first, rest = (OrderDP(N, seed=2) for _ in range(3))
    expected, _ = lightning_run(tmp_path / "whole", whole, EPOCHS)
    lightning_run(tmp_path / "half", first, 2)
    resumed, trainer = lightning_run(tmp_path / "half", rest, EPOCHS, tmp_path / "half/last.ckpt")
    assert resumed.visited == [step for step in expected.visited if step[0] >= 2]
    assert torch.equal(resumed.model.weight, expected.model.weight)
    same(rest, whole)
    assert float(trainer.callback_metrics["prune_ratio"]) == pytest.approx(whole.realised_prune_ratio)
    assert whole.realised_prune_ratio == 1 - round(0.6 * 30) / N


def test_lightning_must_not_replace_the_sampler():
    from types import SimpleNamespace

    from orderdp.integrations import PrunerCallback

    for size, replaces, wrong in ((1, True, False), (2, False, False), (2, True, True)):
        trainer = SimpleNamespace(
            world_size=size, _accelerator_connector=SimpleNamespace(use_distributed_sampler=replaces)
        )
        if wrong:
            with pytest.raises(ValueError, match="Set use_distributed_sampler=False"):
                PrunerCallback(OrderDP(N)).on_fit_start(trainer, None)
        else:
            PrunerCallback(OrderDP(N)).on_fit_start(trainer, None)


# Transformers


class Dicts(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, index):
        x, y = data()[index]
        return {"x": x, "labels": y, "comment": "no argument of the model"}


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def transformers_run(folder, pruner, epochs=EPOCHS, resume=None, model=None, **options):
    from transformers import TrainingArguments

    from orderdp.integrations import PrunedTrainer

    arguments = TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=7, save_strategy="steps",
        save_steps=4,
        lr_scheduler_type="constant", report_to=[], disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
        **options,
    )  # fmt: skip
    trainer = PrunedTrainer(
        model=model or Model(), args=arguments, train_dataset=Dicts(), eval_dataset=Dicts(), pruner=pruner
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.mark.parametrize("where", [True, "checkpoint-4"], ids=["at the last checkpoint", "in the middle of an epoch"])
def test_a_transformers_training_resumes_as_if_it_had_not_stopped(tmp_path, where):
    whole, first, rest = (OrderDP(N, seed=2) for _ in range(3))
    expected = transformers_run(tmp_path / "whole", whole)
    transformers_run(
        tmp_path / "half", first, epochs=3
    )  # 9 steps: saved after 4 and 8, in the second and the third epoch
    resume = where if where is True else str(tmp_path / "half" / where)
    resumed = transformers_run(tmp_path / "half", rest, resume=resume)
    assert torch.equal(resumed.model.layer.weight, expected.model.layer.weight)
    same(rest, whole)


def test_a_transformers_loss_is_the_pruners_and_evaluation_is_not(tmp_path):
    torch.manual_seed(0)
    pruner = InfoBatch(N, prune_ratio=0.5)
    trainer = transformers_run(tmp_path, pruner, gradient_accumulation_steps=2, max_steps=12)
    assert 0 < pruner.realised_prune_ratio < 0.5
    before = repr(pruner.state_dict())
    trainer.evaluate()
    assert repr(pruner.state_dict()) == before
    (batch,) = [batch for batch, _ in zip(trainer.get_train_dataloader(), range(1), strict=False)]
    assert set(batch) == {"x", "labels", "orderdp_index"}, "columns that the model does not take are left out"
    assert torch.equal(batch["x"], data().tensors[0][batch["orderdp_index"]])
    model = trainer.model
    logits = model(batch["x"], batch["labels"])["logits"]
    losses = F.cross_entropy(logits, batch["labels"], reduction="none")
    expected = (pruner.weights(batch["orderdp_index"]) * losses).mean()
    torch.testing.assert_close(trainer.compute_loss(model, batch), expected)
    assert "orderdp_index" in batch, "the caller's batch stays as it was"


def test_token_losses_are_means_over_labelled_tokens(tmp_path):
    from orderdp.integrations.losses import sample_losses

    logits, labels = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5))
    labels[0, 2:] = -100
    labels[1] = -100
    losses, counts = sample_losses({"logits": logits}, {"labels": labels})
    assert counts.tolist() == [2, 0, 5]
    assert losses.shape == (3,) and losses[1] == 0
    torch.testing.assert_close(losses[0], F.cross_entropy(logits[0, :2], labels[0, :2]))
    torch.testing.assert_close(losses[2], F.cross_entropy(logits[2], labels[2]))


def test_a_pruner_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"The pruner is over n = 10 samples, the train_dataset has {N}"):
        transformers_run(tmp_path, OrderDP(10))


# accelerate


def accelerate_run(pruner, epochs, save=None, load=None):
    from accelerate import Accelerator

    from orderdp.integrations import prepare_pruner

    accelerator = Accelerator(cpu=True)
    prepare_pruner(accelerator, pruner)
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    if isinstance(pruner, OrderDPBatches):
        loader = DataLoader(Indexed(data()), batch_sampler=pruner)
    else:
        loader = DataLoader(Indexed(data()), batch_size=7, sampler=pruner)
    model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.5), loader)
    if load is not None:
        accelerator.load_state(str(load))
    visited = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        for index, (x, y) in loader:
            visited.append((epoch, index.tolist()))
            accelerator.backward(pruner.update(index, F.cross_entropy(model(x), y, reduction="none")))
            optimizer.step()
            optimizer.zero_grad()
    if save is not None:
        accelerator.save_state(str(save))
    return visited, model.weight.detach().clone()


def make_batches() -> OrderDPBatches:
    return OrderDPBatches(N, candidates=12, batch_size=6)


@pytest.mark.parametrize("make", [lambda: OrderDP(N, seed=2), make_batches], ids=["sampler", "batch sampler"])
def test_an_accelerated_training_resumes_as_if_it_had_not_stopped(make, tmp_path):
    whole, first, rest = make(), make(), make()
    visited, weight = accelerate_run(whole, range(EPOCHS))
    accelerate_run(first, range(2), save=tmp_path)
    resumed, other = accelerate_run(rest, range(2, EPOCHS), load=tmp_path)
    assert resumed == [step for step in visited if step[0] >= 2] and torch.equal(other, weight)
    same(rest, whole)


def test_dispatched_batches_are_refused():
    from types import SimpleNamespace

    from orderdp.integrations import prepare_pruner

    with pytest.raises(ValueError, match="dispatch_batches=False"):
        prepare_pruner(SimpleNamespace(num_processes=2, dispatch_batches=True), OrderDP(N))
