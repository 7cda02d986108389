"""That each benchmark runs, at a setting which measures nothing, and writes its columns; and that ratios are what they
are called."""

from __future__ import annotations

import csv
from importlib import import_module

import pandas as pd
import pytest
import torch

from benchmarks import accuracy, memory, methods, tuning
from benchmarks.__main__ import main
from benchmarks.figures import FIGURES
from benchmarks.measuring import (
    MACHINE,
    MEASURED,
    Took,
    compared,
    hide_unused_bf16,
    in_turn,
    kind_of_cpu,
    machine,
    one_core,
)
from benchmarks.overhead import side_by_side
from benchmarks.selection import SortedOrderDP
from benchmarks.summary import goal, goals
from benchmarks.workload import one_epoch, spec, training
from orderdp.pruning import PRUNERS, OrderDP
from orderdp.pruning.batching import batch_sizes
from orderdp.pruning.rng import numpy_generator
from orderdp.spec import AugmentSpec
from orderdp.training.augment import Images, draw
from orderdp.training.device import choose_dtype

WRITTEN = {"memory": {"ratio"}, "accuracy": set(MEASURED) - {"cpu_ratio", "goal"}}
"""Columns of what is not compared repeat by repeat."""
SLOW = {"diagnosis", "gpu", "load", "workflow"}
"""Benchmarks that take more than ten seconds at their tiny setting, too."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in FIGURES]
)
def test_a_benchmark_writes_its_columns_and_its_figure(name, tmp_path):
    main([name, "--tiny", "--out", str(tmp_path)])
    folder = tmp_path / kind_of_cpu()
    with (folder / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    keys, measured = import_module(f"benchmarks.{name}").KEYS, WRITTEN.get(name, MEASURED)
    assert list(rows[0]) == [*keys, *(column for column in MEASURED if column in measured), *MACHINE]
    for row in rows:
        assert (
            row["cpu"]
            and row["vectors"].lower() == folder.name
            and row["torch"] == torch.__version__
            and row["threads"] == "1"
        )
        if row["ratio"] and row.get("ratio_low"):
            assert 0 < float(row["ratio_low"]) <= float(row["ratio"]) <= float(row["ratio_high"])
    assert (folder / f"{name}.png").stat().st_size > 5000
    assert (folder / f"{name}.pdf").stat().st_size > 5000
    assert f"python -m benchmarks {name}" in (tmp_path / "index.md").read_text()


def test_every_method_is_measured():
    assert set(methods.OPTIONS) == set(PRUNERS)


def test_unknown_names_and_options_are_told(tmp_path, capsys):
    for arguments, message in [
        (["selektion"], "Known: selection"),
        (["memory", "--options", '{"m": 1}'], "has no option m. Known: n, methods"),
    ]:
        with pytest.raises(SystemExit):
            main([*arguments, "--out", str(tmp_path)])
        assert message in capsys.readouterr().err


def test_things_are_run_in_turn_and_the_first_round_does_not_count():
    seen = []
    times = in_turn({"a": lambda: seen.append("a"), "b": lambda: (seen.append("b"), Took(2.0, 1.0))[1]}, 3)
    assert seen == ["a", "b"] * 4
    assert times["b"] == [Took(2.0, 1.0)] * 3 and len(times["a"]) == 3


def test_a_ratio_is_the_median_of_the_repeats_own_ratios():
    thing, reference = [Took(2, 1), Took(9, 1), Took(4, 1)], [Took(1, 2), Took(3, 2), Took(1, 2)]
    found = compared(thing, reference, goal=1.02)
    assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (3, 2.5, 3.5)
    assert (found["cpu_ratio"], found["seconds"], found["repeats"], found["goal"]) == (0.5, 4, 3, 1.02)


def test_epochs_side_by_side_are_those_of_runs_alone():
    """And take their steps in proportion, so that no run has the machine for itself."""
    names = [("full", None), ("orderdp", 0.5)]
    together, alone = ({name: training(spec("quick", *name), 600) for name in names} for _ in range(2))
    order = []
    for name, one in together.items():
        step = one._step
        one._step = lambda *args, name=name, step=step: (order.append(name[0]), step(*args))[1]
    for _ in range(2):
        found = side_by_side(together)
    for name in names:
        for _ in range(2):
            assert one_epoch(alone[name]) == found[name].kept
        for a, b in zip(together[name].model.parameters(), alone[name].model.parameters(), strict=True):
            assert torch.equal(a, b)
    batch_size = together[names[0]].spec.recipe.batch_size
    steps = {name: len(batch_sizes(found[name].kept, batch_size)) for name in names}
    assert {name: found[name].steps for name in names} == steps
    first_epoch = order[: sum(steps.values())]
    for name, ratio in names:  # at every moment each has taken its share of the steps, to one step
        taken = [first_epoch[: end + 1].count(name) for end in range(len(first_epoch))]
        shares = [(end + 1) * steps[name, ratio] / len(first_epoch) for end in range(len(first_epoch))]
        assert all(abs(a - b) <= 1 for a, b in zip(taken, shares, strict=True))


def test_sorting_selects_as_many():
    pruner, sorting = (cls.at_ratio(1000, 0.7, explore=0.5) for cls in (OrderDP, SortedOrderDP))
    assert (
        sorting.select_mask(0, numpy_generator(0, "select", 0))[0].sum()
        == pruner.select_mask(0, numpy_generator(0, "select", 0))[0].sum()
        == 300
    )


def test_memory_counts_what_is_there():
    shared = torch.zeros(10)
    assert memory.size({"a": [shared, shared[:5]], "b": torch.zeros(3, dtype=torch.int64), "c": "text"}) == 40 + 24
    n = 1000
    kept = round(0.3 * n)
    at = memory.moments("orderdp", n)
    # For each sample a score, a count, how long it has given no loss, and room for an index and a weight.
    assert at["state"] == n * (4 + 8 + 1 + 8 + 4)
    assert at["after an epoch"] == at["between epochs"] + kept * (8 + 4)  # index and loss of each


def test_time_to_accuracy_is_the_clock_at_the_epoch_that_reaches_it():
    history = [{"selection_s": 1, "training_s": 2, "test_accuracy": a} for a in (10.0, 50.0, 40.0, 60.0)]
    assert [accuracy.seconds_to(history, a) for a in (5, 50, 55, 70)] == [3, 6, 12, None]
    row = accuracy.over_full([3, 6, None], [6, 6, 6])
    assert (row["ratio"], row["seconds"], row["repeats"]) == (0.75, 4.5, 3)
    assert "ratio" not in accuracy.over_full([None], [2.0])


def test_both_crops_of_a_batch_are_the_same_to_the_bit():
    """Twin: one gather by four tensors of positions."""
    made = torch.Generator().manual_seed(0)
    images = Images(
        torch.randint(0, 256, (40, 3, 9, 7), dtype=torch.uint8, generator=made), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    )
    draws = draw(40, AugmentSpec(crop_padding=3, flip=True), made)
    indices = torch.tensor([3, 39, 0, 7, 7])
    assert torch.equal(images.augmented(indices, draws), tuning.in_one_gather(images, indices, draws))


@pytest.mark.parametrize(
    ("name", "ratio", "verdict"),
    [("engine", 3.1, "met"), ("engine", 2.9, "missed"), ("loader", 1.02, "missed"), ("loader", 1.0, "met")],
)
def test_a_goal_is_met_or_missed(name, ratio, verdict):
    row = pd.Series({"ratio": ratio, "goal": 3.0 if name == "engine" else 1.01})
    assert goal(name, row) == ("at least 3" if name == "engine" else "at most 1.01", verdict)
    assert goal(name, row.drop("goal")) is None


def test_goals_stand_side_by_side_by_kind_of_cpu():
    frame = pd.DataFrame(
        {"scale": ["fashion"] * 3, "thing": ["a", "b", "c"], "took_s": [1, 2, 3], "goal": [3, 3, None]}
    )
    other = frame.iloc[:1].assign(took_s=9, ratio=3.5)
    found = {"engine": {"avx512": frame.assign(ratio=[2, 4, 1]), "avx2": other}, "load": {}}
    assert goals(found).splitlines() == [
        "| benchmark | of | goal | avx2 | avx512 |",
        "| --- | --- | --- | --- | --- |",
        "| engine | thing a | at least 3 | 3.5 (met) | 2 (missed) |",
        "| engine | thing b | at least 3 | not measured | 4 (met) |",
    ]


@pytest.mark.parametrize(
    ("vectors", "amx", "limit", "kind"),
    [
        ("AVX512", True, None, "amx"),
        ("AVX512", True, "AVX512_CORE_BF16", "avx512"),
        ("AVX512", True, "AVX10_1_512_AMX", "amx"),
        ("AVX512", False, None, "avx512"),
        ("AVX2", True, "AVX2", "avx2"),
        ("DEFAULT", False, None, "default"),
    ],
)
def test_the_kind_is_what_torch_uses(monkeypatch, vectors, amx, limit, kind):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": amx})
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert kind_of_cpu() == kind
    hide_unused_bf16()
    fast = torch.bfloat16 if kind in ("amx", "avx512") else torch.float32
    assert choose_dtype("auto", torch.device("cpu")) is fast


def test_one_core_is_given_back():
    before = machine()["cores"]
    with one_core():
        assert machine()["cores"] in (1, before)
    assert machine()["cores"] == before


def test_a_run_that_table_2_lacks_is_told():
    with pytest.raises(ValueError, match=r"Table 2 of scale 'quick' has no 'orderdp' at prune ratio 0\.123"):
        spec("quick", "orderdp", 0.123)
