"""What a user of another library's trainer may set about samplers, losses, batches, checkpoints and trials, and what
becomes of it with a pruner. Each row is tested by `test_settings.py`, and the page on integrations lists them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from orderdp.pruning import Indexed, OrderDP

N, CLASSES = 48, 3


@dataclass(frozen=True)
class Setting:
    library: str
    name: str
    check: Callable[[Path], None]
    """Passes if the setting is in force, or refused, as the function's first word says."""

    @property
    def refused(self) -> bool:
        return self.check.__name__.startswith("refused")

    @property
    def note(self) -> str:
        return inspect.cleandoc(self.check.__doc__ or "").replace("\n", " ")


SETTINGS: list[Setting] = []


def setting(library: str, *names: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def add(check: Callable[[Path], None]) -> Callable[[Path], None]:
        SETTINGS.append(Setting(library, ", ".join(f"`{name}`" for name in names), check))
        return check

    return add


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(N, 4, generator=generator), torch.arange(N) % CLASSES)


def pruner(**options: Any) -> OrderDP:
    return OrderDP(N, **{"explore": 0.5, "exploit": 0.5, "seed": 2} | options)


# Transformers


class Rows(Dataset):
    def __init__(self, rows: list[dict[str, Any]] | None = None) -> None:
        self.rows = rows or [{"x": x, "labels": y, "comment": "no input"} for x, y in data()]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


class Model(nn.Module):
    """A linear network that notes which samples it has trained on, by their first number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, CLASSES)
        self.seen: list[float] = []

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        if self.training:
            self.seen += x[:, 0].tolist()
        logits = self.layer(x)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


def trainer(
    folder: Path, model: Any = None, rows: Any = None, cls: Any = None, given: Any = None, **options: Any
) -> Any:
    from transformers import TrainingArguments

    from orderdp.integrations import PrunedTrainer

    kwargs = {key: options.pop(key) for key in ("compute_loss_func", "data_collator", "pruner") if key in options}
    defaults = {
        "output_dir": str(folder), "num_train_epochs": 3, "per_device_train_batch_size": 4, "save_strategy": "no",
        "lr_scheduler_type": "constant", "report_to": [], "disable_tqdm": True, "use_cpu": True,
        "dataloader_pin_memory": False, "learning_rate": 0.05, "optim": "adamw_torch",
    }  # fmt: skip
    kwargs = {"pruner": pruner()} | kwargs
    return (cls or PrunedTrainer)(
        model=model or Model(), args=TrainingArguments(**defaults | options), train_dataset=rows or Rows(),
        eval_dataset=Rows(), **kwargs,
    )  # fmt: skip


def trained(folder: Path, **options: Any) -> Any:
    made = trainer(folder, **options)
    made.train()
    return made


def tiny(name: str, **config: Any) -> Any:
    """A model of Transformers with few weights."""
    import transformers

    torch.manual_seed(0)
    if name.startswith("GPT2"):
        settings = transformers.GPT2Config(vocab_size=11, n_positions=16, n_embd=8, n_layer=1, n_head=1, **config)
    else:
        settings = transformers.BertConfig(
            vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
            max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **config,
        )  # fmt: skip
    return getattr(transformers, name)(settings)


def texts(**labels: Callable[[int], Any]) -> Rows:
    generator = torch.Generator().manual_seed(3)
    rows = [{"input_ids": torch.randint(0, 11, (6,), generator=generator)} for _ in range(N)]
    return Rows([row | {key: make(i) for key, make in labels.items()} for i, row in enumerate(rows)])


def means_agree(folder: Path, model: Any, rows: Rows) -> None:
    """Trains, and compares the loss of a batch with the model's own."""
    made = trained(folder, model=model, rows=rows)
    made.pruner = OrderDP(N, explore=1.0, exploit=1.0)
    batch = next(iter(made.get_train_dataloader()))
    expected = made.model(**{key: value for key, value in batch.items() if key != "orderdp_index"}).loss
    torch.testing.assert_close(made.compute_loss(made.model, batch), expected)


@setting("Transformers", "causal language models")
def in_force_causal(folder: Path) -> None:
    """Labels are shifted by one token, as the model does it. (transformers PR#46204, teticio/llama-squad#4)"""
    rows = texts()
    for row in rows.rows:
        row["labels"] = row["input_ids"]
    means_agree(folder, tiny("GPT2LMHeadModel", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0), rows)


@setting("Transformers", "question answering")
def in_force_answers(folder: Path) -> None:
    """The mean of the losses of both ends. (transformers#13255)"""
    rows = texts(start_positions=lambda i: i % 6, end_positions=lambda i: (i + 2) % 6)
    means_agree(folder, tiny("BertForQuestionAnswering"), rows)


@setting("Transformers", "regression")
def in_force_regression(folder: Path) -> None:
    """The squared error."""
    means_agree(folder, tiny("BertForSequenceClassification", num_labels=1), texts(labels=lambda i: float(i) / N))


@setting("Transformers", "several labels at once")
def in_force_multi_label(folder: Path) -> None:
    """The binary cross-entropy, averaged over the labels of a sample."""
    model = tiny("BertForSequenceClassification", num_labels=3, problem_type="multi_label_classification")
    means_agree(folder, model, texts(labels=lambda i: [float(i % 2), float(i % 3 == 0), 1.0]))


@setting("Transformers", "other heads, models with a further loss")
def refused_other_heads(folder: Path) -> None:
    """At the first batch: the model's own loss is not the mean of the losses of the samples. Override
    `sample_losses`."""

    class Further(Model):
        def forward(self, x: Any, labels: Any = None) -> Any:
            out = super().forward(x, labels)
            return out | {"loss": out["loss"] + self.layer.weight.square().sum() + 1}

    with pytest.raises(ValueError, match=r"would train on something else\. Override sample_losses"):
        trained(folder, model=Further())


@setting("Transformers", "use_liger_kernel")
def refused_fused_losses(folder: Path) -> None:
    """A fused loss leaves no logits."""

    class Fused(Model):
        def forward(self, x: Any, labels: Any = None) -> Any:
            return {"loss": super().forward(x, labels)["loss"], "logits": None}

    with pytest.raises(ValueError, match=r"no logits .* Override sample_losses"):
        trained(folder, model=Fused())


@setting("Transformers", "compute_loss_func")
def refused_loss_function(folder: Path) -> None:
    """It gives one loss for a batch. Override `sample_losses`. (transformers PR#40632, #40601)"""
    with pytest.raises(ValueError, match=r"compute_loss_func gives one loss for a batch.* Override sample_losses"):
        trainer(folder, compute_loss_func=lambda outputs, labels, num_items_in_batch=None: outputs["loss"])


@setting("Transformers", "an own compute_loss")
def refused_own_loss(folder: Path) -> None:
    """As `compute_loss_func`. With an own `sample_losses` too, it is used for evaluation."""
    from transformers import Trainer

    from orderdp.integrations import PrunerMixin

    class Weighted(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

    class Both(PrunerMixin, Weighted):  # type: ignore[misc]
        pass

    class All(PrunerMixin, Weighted):  # type: ignore[misc]
        def sample_losses(self, outputs: Any, labels: Any) -> Any:
            return F.cross_entropy(outputs["logits"], labels, reduction="none")

    with pytest.raises(ValueError, match="compute_loss of Weighted gives one loss for a batch"):
        trainer(folder, cls=Both)
    assert trained(folder, cls=All).state.global_step == 9


@setting("Transformers", "label_smoothing_factor")
def in_force_label_smoothing(folder: Path) -> None:
    """The loss of each sample is smoothed. (transformers PR#10338, #13255)"""
    model, rows = tiny("BertForSequenceClassification", num_labels=3), texts(labels=lambda i: i % 3)
    everything = OrderDP(N, explore=1.0, exploit=1.0)
    made = trainer(folder, model=model, rows=rows, label_smoothing_factor=0.3, pruner=everything)
    batch = next(iter(made.get_train_dataloader()))
    logits = made.model(input_ids=batch["input_ids"]).logits
    expected = F.cross_entropy(logits, batch["labels"], label_smoothing=0.3)
    torch.testing.assert_close(made.compute_loss(made.model, batch), expected)


@setting("Transformers", "PEFT models, remove_unused_columns")
def in_force_peft(folder: Path) -> None:
    """The columns are those of the model inside. (transformers PR#27865, #31357)"""
    peft = pytest.importorskip("peft", reason="peft is not installed")
    model = tiny("BertForSequenceClassification", num_labels=2)
    model = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query"], r=2))
    rows = texts(labels=lambda i: i % 2, comment=lambda i: "no input")
    assert trained(folder, model=model, rows=rows).state.global_step == 9


@setting("Transformers", "gradient_accumulation_steps")
def in_force_accumulation(folder: Path) -> None:
    """Two batches of four train as one of eight does, apart from rounding."""
    one = trained(folder, per_device_train_batch_size=2, gradient_accumulation_steps=2).model
    other = trained(folder, per_device_train_batch_size=4).model
    torch.testing.assert_close(one.layer.weight, other.layer.weight)


@setting("Transformers", "dataloader_num_workers", "dataloader_persistent_workers", "dataloader_prefetch_factor",
         "dataloader_multiprocessing_context")  # fmt: skip
def in_force_workers(folder: Path) -> None:
    """The same training as without workers."""
    workers = {"dataloader_num_workers": 2, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 1}
    one = trained(folder, **workers, dataloader_multiprocessing_context="fork").model
    assert one.seen == trained(folder).model.seen


@setting("Transformers", "dataloader_drop_last")
def in_force_drop_last(folder: Path) -> None:
    """The last batch of an epoch is left out if it is short."""
    made = trained(folder, per_device_train_batch_size=5, dataloader_drop_last=True)
    assert made.state.global_step == 3 * 2 and len(made.model.seen) == 3 * 10


@setting("Transformers", "train_sampling_strategy", "group_by_length")
def refused_sampling(folder: Path) -> None:
    """Other samplers: the order is the pruner's."""
    for strategy in ("group_by_length", "sequential", "batch_rebalance"):
        with pytest.raises(ValueError, match="orders the samples, and so does the pruner"):
            trainer(folder, train_sampling_strategy=strategy)


@setting("Transformers", "auto_find_batch_size")
def in_force_smaller_batches(folder: Path) -> None:
    """After an error for lack of memory the training begins again with half the batch size, and so does the epoch."""

    class Large(Model):
        def forward(self, x: Any, labels: Any = None) -> Any:
            if len(x) > 2:
                raise RuntimeError("CUDA out of memory.")
            return super().forward(x, labels)

    made = trained(folder, model=Large(), auto_find_batch_size=True)
    assert made.state.global_step == 3 * 6 and len(made.model.seen) == int(made.pruner.usage.sum()) == 3 * 12


@setting("Transformers", "ignore_data_skip")
def in_force_no_skip(folder: Path) -> None:
    """A resumed training begins its epoch again, as the Trainer's own does."""
    trained(folder, save_strategy="steps", save_steps=4)
    made = trainer(folder, ignore_data_skip=True)
    made.train(resume_from_checkpoint=str(folder / "checkpoint-4"))
    # 5 steps are left: one epoch from its start, and two steps of the next one.
    assert made.state.global_step == 9 and len(made.model.seen) == 5 * 4


@setting("Transformers", "save_strategy", "save_total_limit", "save_only_model", "load_best_model_at_end")
def in_force_saving(folder: Path) -> None:
    """Each checkpoint holds the pruner's state."""
    trained(
        folder, save_strategy="epoch", eval_strategy="epoch", save_total_limit=1, load_best_model_at_end=True,
        save_only_model=True,
    )  # fmt: skip
    kept = list(folder.glob("checkpoint-*"))
    assert kept and all((each / "pruner.pt").is_file() for each in kept)


@setting("Transformers", "resume_from_checkpoint of a Trainer without a pruner")
def refused_foreign_checkpoint(folder: Path) -> None:
    """There is no state to go on from."""
    made = trained(folder, save_strategy="epoch")
    (folder / "checkpoint-9" / "pruner.pt").unlink()
    with pytest.raises(ValueError, match=r"pruner\.pt is missing: this checkpoint was not written"):
        made.train(resume_from_checkpoint=True)


@setting("Transformers", "hyperparameter_search")
def in_force_trials(folder: Path) -> None:
    """Each trial begins with the pruner as it was given."""
    made = trainer(folder)
    made.train()
    made._hp_search_setup(object())  # what a trial calls first
    assert repr(made.pruner.state_dict()) == repr(pruner().state_dict())


@setting("Transformers", "IterableDataset")
def refused_streams(folder: Path) -> None:
    """A pruner chooses among numbered samples; see `StreamingOrderDP`."""

    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            yield from Rows()

    with pytest.raises(ValueError, match="the train_dataset has unknown length"):
        trainer(folder, rows=Stream(), max_steps=3)


# Lightning


def lightning(given: OrderDP, loader: Any = None, checkpoint: Any = None, saver: Any = None, **options: Any) -> Any:
    import lightning.pytorch as pl

    from orderdp.integrations import PrunerCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.model = nn.Linear(4, CLASSES)
            self.visited: list[tuple[int, list[int]]] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            index, (x, y) = batch["pruned"] if isinstance(batch, dict) else batch
            self.visited.append((self.current_epoch, index.tolist()))
            return given.update(index, F.cross_entropy(self.model(x), y, reduction="none"))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.5)

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    module = Module()
    callbacks = [PrunerCallback(given), *([saver] if saver else [])]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = pl.Trainer(
            **quiet | {"max_epochs": 4, "callbacks": callbacks, "enable_checkpointing": bool(saver)} | options
        )
        run.fit(module, loader or loader_of(given), ckpt_path=checkpoint, weights_only=True)
    return module


def loader_of(given: OrderDP, **options: Any) -> DataLoader:
    return DataLoader(Indexed(data()), batch_size=4, sampler=given, **options)


@setting("Lightning", "ckpt_path", "num_workers of the loader")
def in_force_resuming(folder: Path) -> None:
    """A training that resumes with workers makes the next epoch, and not the one before. (Lightning PR#21960)"""
    from lightning.pytorch.callbacks import ModelCheckpoint

    for workers in (0, 2):
        place = folder / str(workers)
        whole, first, rest = pruner(), pruner(), pruner()
        expected = lightning(whole, loader_of(whole, num_workers=workers))
        lightning(
            first, loader_of(first, num_workers=workers), saver=ModelCheckpoint(place, save_last=True), max_epochs=2
        )
        resumed = lightning(
            rest, loader_of(rest, num_workers=workers), place / "last.ckpt", ModelCheckpoint(place / "more")
        )
        assert resumed.visited == [step for step in expected.visited if step[0] >= 2]
        assert torch.equal(resumed.model.weight, expected.model.weight)
        assert torch.equal(rest.usage, whole.usage)


@setting("Lightning", "accumulate_grad_batches")
def in_force_lightning_accumulation(folder: Path) -> None:
    """Two batches of two train as one of four does, apart from rounding."""
    one, other = pruner(), pruner()
    half = lightning(one, DataLoader(Indexed(data()), batch_size=2, sampler=one), accumulate_grad_batches=2)
    torch.testing.assert_close(half.model.weight, lightning(other).model.weight)


@setting("Lightning", "limit_train_batches", "fast_dev_run", "max_steps")
def in_force_limits(folder: Path) -> None:
    """Epochs end early; the samples that were not reached keep their scores."""
    given = pruner()
    assert [epoch for epoch, _ in lightning(given, limit_train_batches=2).visited] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(lightning(pruner(), fast_dev_run=True).visited) == 1
    assert len(lightning(pruner(), max_steps=5).visited) == 5


@setting("Lightning", "reload_dataloaders_every_n_epochs")
def in_force_reloading(folder: Path) -> None:
    """The same training."""
    assert lightning(pruner(), reload_dataloaders_every_n_epochs=1).visited == lightning(pruner()).visited


@setting("Lightning", "several training loaders")
def in_force_several_loaders(folder: Path) -> None:
    """A pruner serves one of them."""
    given = pruner()
    both = {"pruned": loader_of(given), "all": DataLoader(data(), batch_size=4)}
    assert len({index for _, batch in lightning(given, both).visited for index in batch}) > 12


@setting("Lightning", "overfit_batches", "a loader that does not draw from the pruner")
def refused_other_samplers(folder: Path) -> None:
    """Lightning, or the user, gave the loader another sampler."""
    with pytest.raises(ValueError, match="does not draw from the pruner of this callback"):
        lightning(pruner(), overfit_batches=2)
    with pytest.raises(ValueError, match="does not draw from the pruner of this callback"):
        lightning(pruner(), DataLoader(Indexed(data()), batch_size=4, shuffle=True))


@setting("Lightning", "use_distributed_sampler with several processes")
def refused_wrapped_sampler(folder: Path) -> None:
    """Lightning's wrapper would list the first epoch's samples and deal these out for ever. Set it to False.
    (Lightning#21447)"""
    from types import SimpleNamespace

    from orderdp.integrations import PrunerCallback

    connector = SimpleNamespace(use_distributed_sampler=True)
    with pytest.raises(ValueError, match="Set use_distributed_sampler=False"):
        PrunerCallback(pruner()).on_fit_start(SimpleNamespace(world_size=2, _accelerator_connector=connector), None)


@setting("Lightning", "Tuner.lr_find")
def in_force_tuner(folder: Path) -> None:
    """It leaves no trace in the pruner. (Lightning#11012)"""
    import lightning.pytorch as pl

    from orderdp.integrations import PrunerCallback

    given = pruner()

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.lr = nn.Linear(4, CLASSES), 0.1

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            index, (x, y) = batch
            return given.update(index, F.cross_entropy(self.model(x), y, reduction="none"))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=self.lr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = pl.Trainer(
            max_epochs=3, accelerator="cpu", callbacks=[PrunerCallback(given)], logger=False, default_root_dir=folder,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        pl.tuner.Tuner(run).lr_find(Module(), loader_of(given), num_training=20, update_attr=False)
    before = pruner()
    before.set_epoch(0)
    assert repr(given.state_dict()) == repr(before.state_dict())


# accelerate


def accelerated(given: OrderDP, **options: Any) -> tuple[Any, Any]:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    from orderdp.integrations import prepare_pruner

    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**options))
    prepare_pruner(accelerator, given)
    return accelerator, accelerator.prepare(loader_of(given))


def visits(given: OrderDP, loader: Any, epochs: range) -> list[list[int]]:
    found = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        for index, _ in loader:
            found.append(index.tolist())
            given.update(index, index.float())
    return found


@setting("accelerate", "split_batches", "even_batches", "use_seedable_sampler", "non_blocking", "data_seed")
def in_force_dealing(folder: Path) -> None:
    """The order is the pruner's."""
    expected = visits(one := pruner(), accelerated(one)[1], range(3))
    for options in (
        {"split_batches": True}, {"even_batches": False}, {"use_seedable_sampler": True, "data_seed": 7},
        {"non_blocking": True},
    ):  # fmt: skip
        assert visits(other := pruner(), accelerated(other, **options)[1], range(3)) == expected


@setting("accelerate", "use_stateful_dataloader", "skip_first_batches")
def in_force_mid_epoch(folder: Path) -> None:
    """A training that stopped in the middle of an epoch goes on with its next batch. (accelerate#2016, PR#4071)"""
    from accelerate import skip_first_batches

    expected = visits(one := pruner(), accelerated(one)[1], range(3))
    for stateful in (False, True):
        if stateful:
            pytest.importorskip("torchdata", reason="torchdata is not installed")
        given = pruner()
        accelerator, loader = accelerated(given, use_stateful_dataloader=stateful)
        visits(given, loader, range(1))
        loader.set_epoch(1)
        index, _ = next(iter(loader))
        given.update(index, index.float())
        accelerator.save_state(str(folder / str(stateful)))
        given = pruner()
        accelerator, loader = accelerated(given, use_stateful_dataloader=stateful)
        accelerator.load_state(str(folder / str(stateful)))
        loader.set_epoch(1)
        found = []
        for index, _ in loader if stateful else skip_first_batches(loader, 1):
            found.append(index.tolist())
            given.update(index, index.float())
        assert found + visits(given, loader, range(2, 3)) == expected[4:]


@setting("accelerate", "dispatch_batches with several processes")
def refused_dispatch(folder: Path) -> None:
    """Batches are drawn in one process, so that the others cannot exchange losses. Set it to False."""
    from types import SimpleNamespace

    from orderdp.integrations import prepare_pruner

    with pytest.raises(ValueError, match="dispatch_batches=False"):
        prepare_pruner(SimpleNamespace(num_processes=2, dispatch_batches=True), pruner())


# TRL


def words() -> list[dict[str, str]]:
    """Prompts and completions of one to four letters."""
    return [{"prompt": "ab"[i % 2] * (1 + i % 4), "completion": "cd"[i % 2] * (1 + i // 4 % 4)} for i in range(N)]


def tuner(folder: Path, rows: Any = None, model: Any = None, given: Any = None, **options: Any) -> Any:
    pytest.importorskip("trl", reason="trl is not installed")
    from datasets import Dataset as Table
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig

    from orderdp.integrations import PrunedSFTTrainer

    letters = Tokenizer(models.WordLevel({token: i for i, token in enumerate("_.abcdefghi")}, unk_token="."))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    kwargs = {"processing_class": PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="_", eos_token=".")}
    kwargs |= {"pruner": pruner()} | (given or {})
    defaults = {
        "output_dir": str(folder), "num_train_epochs": 3, "per_device_train_batch_size": 4, "save_strategy": "no",
        "lr_scheduler_type": "constant", "report_to": [], "disable_tqdm": True, "use_cpu": True, "bf16": False,
        "dataloader_pin_memory": False, "learning_rate": 0.05, "optim": "adamw_torch", "max_length": 16,
        "gradient_checkpointing": False,
    }  # fmt: skip
    return PrunedSFTTrainer(
        model=model or tiny("GPT2LMHeadModel", eos_token_id=1, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
        args=SFTConfig(**defaults | options),
        train_dataset=Table.from_list(rows or words()),
        **kwargs,
    )


def first_losses(made: Any) -> tuple[Any, dict[str, Any]]:
    """The losses of the first batch, and its inputs."""
    made.create_optimizer_and_scheduler(num_training_steps=1)
    inputs = next(iter(made.get_train_dataloader()))
    index = inputs.pop("orderdp_index")
    assert len(index) == len(inputs["input_ids"])
    return made.sample_losses(made.model(**inputs), inputs["labels"], inputs), inputs


@setting("TRL", "padding", "completion_only_loss", "assistant_only_loss")
def in_force_masks(folder: Path) -> None:
    """A sequence's loss is the mean over its trained tokens, whatever the padding."""
    made = tuner(folder)
    losses, inputs = first_losses(made)
    for loss, ids, labels, mask in zip(
        losses, inputs["input_ids"], inputs["labels"], inputs["attention_mask"], strict=True
    ):
        count = int(mask.sum())
        logits = made.model(input_ids=ids[None, :count]).logits[0, :-1]
        expected = F.cross_entropy(logits.float(), labels[1:count], ignore_index=-100)
        torch.testing.assert_close(loss, expected)
        assert (labels[:count] == -100).any() and (labels[:count] != -100).any()


@setting("TRL", "gradient_accumulation_steps", "num_items_in_batch")
def in_force_accumulated_sequences(folder: Path) -> None:
    """Every sequence counts the same, also over accumulated batches: two of two train as one of four does."""
    one = tuner(folder, per_device_train_batch_size=2, gradient_accumulation_steps=2, optim="sgd")
    other = tuner(folder, per_device_train_batch_size=4, optim="sgd")
    for made in (one, other):
        made.train()
    assert one.state.global_step == other.state.global_step == 9
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@setting("TRL", "packing with packing_strategy='wrapped'")
def in_force_packing(folder: Path) -> None:
    """A sample is a packed sequence, with one loss. Their number is known after packing, so that the pruner is given as
    a function of it: `pruner=lambda n: OrderDP(n)`."""
    rows = [{"text": row["prompt"] + row["completion"]} for row in words()]
    given = {"pruner": lambda n: OrderDP(n, explore=0.5, exploit=0.5)}
    made = tuner(folder, rows, given=given, packing=True, packing_strategy="wrapped", max_length=8)
    assert made.pruner.n == len(made.train_dataset) < N
    made.train()
    assert int(made.pruner.usage.sum()) == 3 * round(0.5 * round(0.5 * made.pruner.n))


@setting("TRL", "padding_free", "packing with packing_strategy='bfd'")
def refused_padding_free(folder: Path) -> None:
    """They join the sequences of a batch into one, whose losses cannot be told apart by sample."""
    rows = [{"text": row["prompt"] + row["completion"]} for row in words()]
    given = {"pruner": lambda n: OrderDP(n)}
    for options in ({"padding_free": True, "max_length": None}, {"packing": True}):
        with pytest.raises(ValueError, match="join the sequences of a batch into one"):
            tuner(folder, rows, given=given, **options)


@setting("TRL", "loss_type")
def refused_loss_type(folder: Path) -> None:
    """Another loss than the negative log-likelihood of each sample."""
    with pytest.raises(ValueError, match="loss_type='dft' is another loss"):
        tuner(folder, loss_type="dft")


@setting("TRL", "group_by_length")
def refused_order(folder: Path) -> None:
    """The order is the pruner's."""
    with pytest.raises(ValueError, match="orders the samples, and so does the pruner"):
        tuner(folder, train_sampling_strategy="group_by_length")


@setting("TRL", "peft_config")
def in_force_adapters(folder: Path) -> None:
    """The adapters are trained on what is selected."""
    peft = pytest.importorskip("peft", reason="peft is not installed")
    config = peft.LoraConfig(target_modules=["c_attn"], r=2, fan_in_fan_out=True, task_type="CAUSAL_LM")
    made = tuner(folder, given={"peft_config": config})
    made.train()
    assert made.state.global_step == 9
    assert {name.split(".")[-3] for name, p in made.model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
