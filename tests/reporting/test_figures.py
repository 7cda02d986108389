"""The data behind the figures against numbers worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from orderdp.reporting import style
from orderdp.reporting.items import figure01, figure03_04, figure09_11, figure12_13
from tests.reporting.test_tables import run


def epochs(method, seed, accuracy, norm):
    count = len(accuracy)
    return pd.DataFrame(
        {
            "workload": "digits-resnet8", "stands_for": "cifar100-resnet18", "method": method, "label": method,
            "seed": seed,
            "run": f"{method}-0.7-{seed}", "epoch": range(1, count + 1), "test_accuracy": accuracy,
            "grad_norm_mean": norm,
            "grad_norm_std": [0.5] * count, "time_s": [10.0 * (seed + 1) * (i + 1) for i in range(count)],
        }
    )  # fmt: skip


def test_figure1_averages_r_over_runs():
    results = pd.DataFrame(
        [run("orderdp", 0.7, 0, 1), run("orderdp", 0.7, 1, 1), run("orderdp", 0.7, 2, 1, status="diverged")]
    )
    histories = pd.concat(
        [epochs("orderdp", 0, [1, 2, 3, 4], [4, 3, 2, 1]), epochs("orderdp", 1, [1, 2, 3, 4], [1, 2, 2, 1])]
    )
    data = figure01.figure1(results, histories)
    r = data.drop_duplicates("seed").set_index("seed")["pearson_r"]
    assert r[0] == pytest.approx(-1.0) and r[1] == pytest.approx(0.0)
    assert set(data["legend"]) == {"ORDERDP (1 diverged)"} and (data["points"] == 4).all()
    # Sample deviation of 4, 3, 2 and of 3, 2, 1 within the window of three epochs.
    assert data[data["seed"] == 0]["rolling_std"].round(9).tolist()[2:] == [1.0, 1.0]
    assert data[data["seed"] == 0]["rolling_std"].isna().tolist() == [True, True, False, False]


def test_figure3_marks_the_lossless_ratio():
    rows = [run("full", None, seed, 95.0, 30.0, realised=0.0) for seed in range(2)]
    for ratio, realised, accuracy in ((0.3, 0.28, 95.0), (0.5, 0.47, 94.92), (0.7, 0.61, 94.5)):
        rows += [
            run("infobatch", ratio, seed, accuracy + delta, 5.0, realised=realised)
            for seed, delta in enumerate((-0.5, 0.5))
        ]
    data = figure03_04.figure3(pd.DataFrame(rows).assign(panel="", explore=np.nan))
    assert data[data["lossless"]]["realised_prune_ratio"].tolist() == [0.47]
    point = data[data["prune_ratio"] == 0.5].iloc[0]
    assert point["accuracy"] == pytest.approx(94.92) and point["accuracy_std"] == pytest.approx(math.sqrt(0.5))
    assert point["time_ratio"] == pytest.approx(5 / 30)


def test_figure4_splits_the_kept_share():
    rows = [run("orderdp", 0.7, 0, 95.0) | {"explore": explore, "panel": "fixed ratio"} for explore in (0.4, 0.5, 1.0)]
    data = figure03_04.figure4(pd.DataFrame(rows))
    assert data["exploit"].round(9).tolist() == [0.75, 0.6, 0.3]
    assert (data["prune_ratio"] == 0.7).all() and len(data) == 3


def usage_rows(seed, counts, ratio=0.3):
    frame = pd.DataFrame({"uses": range(len(counts)), "samples": counts})
    mean = sum(uses * samples for uses, samples in enumerate(counts)) / sum(counts)
    return frame.assign(**run("orderdp", ratio, seed, 1), expected_uses=mean)


def test_usage_histogram_fills_gaps_with_zero():
    selections = pd.concat([usage_rows(0, [2, 0, 8]), usage_rows(1, [0, 5, 1, 4]), usage_rows(0, [9, 9], ratio=0.5)])
    data = figure09_11.usage_at(0)(selections)
    assert data["uses"].tolist() == [0, 1, 2, 3]
    assert data["samples"].tolist() == [1.0, 2.5, 4.5, 2.0]
    assert data["samples_min"].tolist() == [0, 0, 1, 0] and data["samples_max"].tolist() == [2, 5, 8, 4]
    assert data["expected_uses"].unique() == pytest.approx(1.75) and (data["total"] == 10).all()
    assert figure09_11.never_used(data) == "Never used: 1 of 10 samples (10 %), at most 2 in a seed"


def test_time_to_accuracy_averages_over_seeds():
    results = pd.DataFrame([run("orderdp", 0.7, 0, 1), run("orderdp", 0.7, 1, 1), run("orderdp", 0.4, 0, 1)])
    histories = pd.concat([epochs("orderdp", 0, [50, 60], [1, 1]), epochs("orderdp", 1, [60, 80], [1, 1])])
    data = figure12_13.time_to_accuracy(1)(results, histories)
    assert data["time_s"].tolist() == [15.0, 30.0] and data["test_accuracy"].tolist() == [55.0, 70.0]
    assert data["test_accuracy_std"].iloc[1] == pytest.approx(20 / math.sqrt(2))


def test_a_figure_has_no_full_data_line_for_a_ratio_that_was_not_asked_for():
    results = pd.DataFrame([run("full", None, 0, 1), run("orderdp", 0.7, 0, 1)])
    assert figure12_13.time_to_accuracy(1)(results, epochs("full", 0, [1], [1])).empty


@pytest.mark.parametrize("ratios", [[0.25], [0.1, 0.25], [0.1, 0.25, 0.45], [0.1, 0.2, 0.3, 0.4, 0.5]])
def test_figures_of_one_ratio_each_show_every_ratio_of_the_grid_once(ratios):
    selections = pd.concat([usage_rows(0, [2, 0, 8], ratio=ratio) for ratio in ratios])
    shown = [figure09_11.usage_at(place, last)(selections) for place, last in ((0, False), (1, False), (2, True))]
    assert sorted(ratio for data in shown for ratio in data["prune_ratio"].unique()) == ratios
    for data in shown:
        figure = figure09_11.draw_usage(data, "")
        assert len(figure.axes) == max(1, data["prune_ratio"].nunique())
    results = pd.DataFrame([run("full", None, 0, 1), *(run("orderdp", ratio, 0, 1) for ratio in ratios)])
    histories = pd.concat([epochs("orderdp", 0, [50, 60], [1, 1]).assign(run=f"orderdp-{ratio}-0") for ratio in ratios])
    times = [figure12_13.time_to_accuracy(place, last)(results, histories) for place, last in ((0, False), (1, True))]
    assert sorted(ratio for data in times for ratio in data["prune_ratio"].unique()) == ratios
    for data in times:
        figure12_13.draw_time_to_accuracy(data, "")


def test_every_method_has_a_look_of_its_own():
    assert len(set(style.LOOKS.values())) == len(style.LOOKS)
    assert style.look("a_new_method") == style.look("a_new_method")
    colors = {look.color for look in (*style.LOOKS.values(), *style.OTHERS)}
    assert colors <= {"#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#999999"}


@pytest.mark.parametrize(("seconds", "unit"), [(20, "s"), (600, "min"), (20000, "h")])
def test_time_units(seconds, unit):
    assert style.time_unit(seconds)[1] == unit


@pytest.mark.parametrize("words", [5, 60])
def test_a_footer_of_any_length_stays_in_the_figure_and_below_the_legend(words):
    figure, axes = style.panels(1, 1, 3.0)
    axes[0][0].plot([0, 1], [0, 1], label="line")
    style.finish(figure, axes, " ".join(["footer"] * words))
    figure.canvas.draw()
    (footer,), (legend,) = figure.texts, figure.legends
    box = footer.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0
    assert box.y1 <= legend.get_window_extent().y0
