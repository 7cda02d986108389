"""Tables against numbers worked out by hand."""

import math

import pandas as pd
import pytest

from orderdp.reporting import sheets, summaries
from orderdp.reporting.items import table02, table09

WORKLOAD = {"workload": "digits-resnet8", "stands_for": "cifar10-resnet18,cifar100-resnet50"}


def run(method, ratio, seed, accuracy, time=10.0, status="finished", realised=None):
    ok = status == "finished"
    return WORKLOAD | {
        "method": method,
        "label": method.upper(),
        "prune_ratio": ratio,
        "seed": seed,
        "run": f"{method}-{ratio}-{seed}",
        "status": status,
        "test_accuracy": accuracy if ok else float("nan"),
        "time_s": time if ok else float("nan"),
        "realised_prune_ratio": (ratio if realised is None else realised) if ok else float("nan"),
    }


@pytest.fixture
def table2():
    rows = [run("full", None, seed, accuracy, 20.0, realised=0.0) for seed, accuracy in enumerate((96.0, 97.0, 98.0))]
    rows += [run("random", 0.7, seed, accuracy, 6.0) for seed, accuracy in enumerate((93.0, 95.0, 94.0))]
    rows += [
        run("infobatch", 0.7, 0, 99.0, realised=0.61),
        run("infobatch", 0.7, 1, 0, status="diverged"),
        run("infobatch", 0.7, 2, 99.0),
    ]
    rows += [run("orderdp", 0.7, seed, accuracy, 7.0) for seed, accuracy in enumerate((95.0, 96.0, 97.0))]
    rows += [run("ucb", 0.7, seed, 0, status="diverged") for seed in range(3)]
    rows += [run("full_same_steps", 0.7, seed, 0, status="not run") for seed in range(3)]
    return table02.table2(pd.DataFrame(rows))


def line(table, method):
    return table[table["method"] == method].iloc[0]


def test_accuracy_difference_and_time(table2):
    random = line(table2, "random")
    assert (random["accuracy"], random["accuracy_std"], random["seeds"]) == (94.0, 1.0, 3)
    # Paired by seed: -3, -2, -4, so mean -3 and sample deviation 1.
    assert (random["difference"], random["pairs"]) == (-3.0, 3)
    assert random["difference_ci95"] == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert random["time_ratio"] == pytest.approx(0.3)
    # OrderDP follows the full data seed by seed: the uncertainty of the pair is none, whatever the spread.
    assert (line(table2, "orderdp")["difference"], line(table2, "orderdp")["difference_ci95"]) == (-1.0, 0.0)


def test_columns_of_an_empty_table_are_those_of_a_summary():
    runs = pd.DataFrame([run("full", None, 0, 96.0)])
    assert tuple(summaries.summarise(runs, runs)) == summaries.SUMMARY


def test_best_is_the_best_of_the_complete_methods_of_the_paper(table2):
    assert list(table2[table2["best"]]["method"]) == ["orderdp"]  # InfoBatch's 99 is that of two seeds of three


def test_states(table2):
    assert line(table2, "ucb")["status"] == "diverged" and line(table2, "full_same_steps")["status"] == "not run"
    infobatch = line(table2, "infobatch")
    assert (infobatch["seeds"], infobatch["planned"], infobatch["diverged"], infobatch["status"]) == (
        2,
        3,
        1,
        "finished",
    )
    text = sheets.markdown(table02.table2_sheets(table2)[0])
    assert "| UCB | diverged | – | – | – | 0 of 3, 3 diverged |" in text
    assert "| FULL_SAME_STEPS | not run | – | – | – | 0 of 3 |" in text
    # Two pairs, +3 and +1: the t quantile with one degree of freedom is 12.706.
    assert "| INFOBATCH | 99.00 ± 0.00 | +2.00 ± 12.71 | 65.5 | 50 | 2 of 3, 1 diverged |" in text


def test_published_values_stand_beside_with_their_workload(table2):
    random = line(table2, "random")
    assert (random["published CIFAR10/ResNet-18"], random["published gap CIFAR10/ResNet-18"]) == (93.0, 2.6)
    assert random["published CIFAR100/ResNet-50"] == 73.9
    assert line(table2, "full")["published CIFAR100/ResNet-50"] == 80.6
    (sheet,) = table02.table2_sheets(table2)
    assert sheet.spans[-1] == ("Published (other data and network: not comparable)", 2)
    assert sheet.columns[-2:] == ("CIFAR-10, ResNet-18", "CIFAR-100, ResNet-50")
    assert "| 93.0 (−2.6) | 73.9 (−6.7) |" in sheets.markdown(sheet)


def test_added_baselines_stand_apart(table2):
    (sheet,) = table02.table2_sheets(table2)
    assert [block.heading for block in sheet.blocks] == ["Prune ratio 70 %", "Rows that the paper does not have"]
    assert [row[0].text for row in sheet.blocks[1].rows] == ["FULL_SAME_STEPS"]
    assert [row[0].text for row in sheet.blocks[0].rows if row[0].best] == ["ORDERDP"]


def history(method, ratio, seed, accuracies, norms, weight=1.0):
    epochs = len(accuracies)
    return pd.DataFrame(
        {
            "run": f"{method}-{ratio}-{seed}",
            "workload": WORKLOAD["workload"],
            "epoch": range(1, epochs + 1),
            "progress": [(epoch + 1) / epochs for epoch in range(epochs)],
            "test_accuracy": accuracies,
            "grad_norm_mean": norms,
            "grad_norm_std": [0.0] * epochs,
            "grad_norm_normalized_mean": [norm / weight for norm in norms],
            "steps": [3] * epochs,
        }
    )


def test_phases_of_table9():
    results = pd.DataFrame(
        [run("infobatch_nominal", 0.99, 0, 1, realised=0.61), run("infobatch_nominal", 0.99, 1, 1, realised=0.61)]
    )
    results = results.assign(stands_for="cifar100-resnet50-stability")
    accuracy = [[10, 20, 30, 40, 50, 60, 70, 80, 80, 92], [20, 30, 40, 40, 50, 60, 70, 80, 80, 96]]
    norms = [[1, 2, 3, 4, 6, 5, 5, 2, 2, 2], [1, 2, 3, 4, 6, 5, 5, 2, 2, 2]]
    long = pd.concat(
        [history("infobatch_nominal", 0.99, seed, accuracy[seed], norms[seed], weight=2.0) for seed in range(2)]
    )
    table = table09.table9(results, long).set_index(["metric", "phase"])
    # 0-30: run means 20 and 30; 70-100: 84 and 85.333; final: 92 and 96.
    assert table.loc[("accuracy", "0-30"), "mean"] == 25.0
    assert table.loc[("accuracy", "0-30"), "std"] == pytest.approx(10 / math.sqrt(2))
    assert table.loc[("accuracy", "70-100"), "mean"] == pytest.approx((84 + 256 / 3) / 2)
    assert table.loc[("accuracy", "final"), "mean"] == 94.0
    assert table.loc[("accuracy", "final"), "std"] == pytest.approx(4 / math.sqrt(2))
    # 30-50: epochs 4 and 5 with norms 4 and 6, alike in both runs: mean 5, spread over steps 1.
    assert tuple(table.loc[("gradient norm", "30-50"), ["mean", "std"]]) == (5.0, 1.0)
    assert table.loc[("gradient norm / mean weight", "30-50"), "mean"] == 2.5
    assert tuple(table.loc[("accuracy", "final"), ["published", "published_std"]]) == (76.72, 0.70)
    assert tuple(table.loc[("gradient norm", "50-70"), ["published", "published_std"]]) == (4.35, 9.48)
    (sheet,) = table09.table9_sheets(table.reset_index())
    (block,) = sheet.blocks
    assert block.heading == "INFOBATCH_NOMINAL (runs: 2; requested: 99 %; really pruned: 61.0 %)"
    assert [row[0].text for row in block.rows] == [
        "Accuracy (%)", "Accuracy (%), published", "Gradient norm", "Gradient norm, published", "Norm ÷ mean weight",
    ]  # fmt: skip
    assert [entry.text for entry in block.rows[2]][2] == "5.000 ± 1.000"
    assert "CIFAR-100, ResNet-50" in sheet.notes[0] and "not comparable" in sheet.notes[0]


def test_table9_shows_what_diverged():
    results = pd.DataFrame([run("orderdp", 0.61, seed, 0, status="diverged") for seed in range(2)])
    results = results.assign(stands_for="cifar100-resnet50-stability")
    (sheet,) = table09.table9_sheets(table09.table9(results, history("orderdp", 0.61, 9, [1.0], [1.0])))
    assert sheet.blocks[0].heading == "ORDERDP (runs: 0 of 2, 2 diverged; requested: 61 %)"
    assert [entry.text for entry in sheet.blocks[0].rows[0]] == ["Accuracy (%)", *["diverged"] * 5]
