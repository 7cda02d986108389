"""What is computed without runs: the weights of the ranks, the toy example, the theory."""

import math
from fractions import Fraction

import pytest

from orderdp.grid import load
from orderdp.reporting.items import figure05_08, table10, theory
from tests.reporting.synthetic import ROOT
from tests.reporting.worlds import study
from tests.theory.twins import enumerated_weights


@pytest.fixture(scope="module")
def settings():
    grid = load(ROOT / "params.yaml")
    return {name: experiment.settings for name, experiment in grid.experiments.items()}


def test_figure5_nears_its_limit(settings):
    data = figure05_08.figure5(settings["figures5_8"])
    limit = data[data["n"] == math.inf].set_index("relative_rank")["weight"]
    distances = []
    for n in settings["figures5_8"]["figure5"]["n"]:
        curve = data[data["n"] == n]
        near = [
            abs(weight - limit.iloc[round(rank * 500)])
            for rank, weight in zip(curve["relative_rank"], curve["weight"], strict=True)
        ]
        distances.append(max(near))
    assert distances == sorted(distances, reverse=True) and distances[0] > 3 * distances[-1]


def test_weights_of_the_figures_are_enumerated_ones():
    data = figure05_08.figure7({"figure7": {"n": 7, "s": 4, "q": [1, 2]}})
    for q, part in data.groupby("q"):
        assert part["weight"].tolist() == pytest.approx(
            [float(p) / q for p in enumerated_weights(7, 4)[int(q), int(q)]]
        )


def test_figure6_and_8(settings):
    distances = figure05_08.figure6(settings["figures5_8"]).query("panel == 'distances'").set_index("q")
    assert distances["c_s"].iloc[:-1].min() == pytest.approx(1) and distances["c_s"].iloc[-1] == 0
    assert distances["total_variation"].is_monotonic_decreasing
    assert (figure05_08.figure8(settings["figures5_8"])["deviation"].abs() < 1e-14).all()


def test_table10_sums_up(settings):
    table = table10.table10(settings["table10"])
    for _, part in table.groupby("method"):
        outcomes, expected = part[part["kept"] != "expected"], part[part["kept"] == "expected"].iloc[0]
        assert sum(Fraction(text) for text in outcomes["exact"]) == 1
        assert (outcomes["probability"] * outcomes["mean"]).sum() == pytest.approx(expected["mean"])
        assert (outcomes["probability"] * outcomes["prune_ratio"]).sum() == pytest.approx(expected["prune_ratio"])
    expected = table[table["kept"] == "expected"].set_index("method")
    assert (
        expected.loc["infobatch", "per_sample"] == pytest.approx(3) and expected.loc["infobatch", "published"] == 4.336
    )
    assert expected.loc["random", "mean"] == pytest.approx(3) and expected.loc["orderdp", "mean"] == pytest.approx(4.26)


def test_theorems_from_a_study():
    table = theory.theorems(study(good=True))
    fresh = table[(table["theorem"] == "1") & (table["scores"] == "fresh") & (table["against"] == "∇L_q")].iloc[0]
    assert fresh["low"] <= fresh["reference"] <= fresh["high"]
    assert len(table[table["theorem"] == "3"]) == 8
    assert theory.theorem_sheets(table)[0].blocks[0].heading == "Theorem 1"
    empty = theory.theorems({})
    assert empty.empty and "not run" in theory.theorem_sheets(empty)[0].title


def test_curves_of_a_study_have_the_bound_once_per_length():
    data = theory.theorem_curves(study(good=True))
    assert data[data["what"] == "bound"]["x"].tolist() == [100, 400]
    assert set(data["panel"]) == {"convergence", "losses", "sides"}
