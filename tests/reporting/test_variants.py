"""The table and the figure of the variants against numbers worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from orderdp.reporting import style
from orderdp.reporting.items import variants
from orderdp.reporting.sheets import markdown
from tests.reporting.test_tables import run


def row(method, seed, accuracy, noise, wrong=math.nan, **more):
    ratio = None if method == "full" else 0.5
    return run(method, ratio, seed, accuracy, **more) | {"label_noise": noise, "wrong_labels": wrong}


@pytest.fixture
def results():
    rows = [row("full", seed, 90.0 + seed, 0.0) for seed in range(3)]
    rows += [row("full", seed, 80.0 + seed, 0.2, 0.2) for seed in range(3)]
    rows += [row("orderdp_trimmed", seed, 81.0 + 2 * seed, 0.2, 0.1 + 0.01 * seed) for seed in range(3)]
    rows += [row("orderdp_trimmed", 0, 89.0, 0.0), row("orderdp_trimmed", 1, 89.0, 0.0, status="diverged")]
    rows += [row("orderdp_margin", 0, 1.0, 0.2, status="not run")]
    return pd.DataFrame(rows)


def test_differences_are_to_the_full_data_with_the_same_wrong_labels(results):
    data = variants.variants(results).set_index(["label_noise", "method"])
    trimmed = data.loc[(0.2, "orderdp_trimmed")]
    # Differences 1, 2, 3: mean 2, deviation 1, t(0.975, 2) = 4.3027.
    assert trimmed["difference"] == pytest.approx(2.0)
    assert trimmed["difference_ci95"] == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert trimmed["wrong_labels"] == pytest.approx(0.11)
    clean = data.loc[(0.0, "orderdp_trimmed")]
    assert (
        clean["difference"] == pytest.approx(-1.0)
        and math.isnan(clean["difference_ci95"])
        and math.isnan(clean["wrong_labels"])
    )
    assert (clean["seeds"], clean["diverged"]) == (1, 1)
    assert data.loc[(0.2, "orderdp_margin")]["status"] == "not run"


def test_two_seeds_give_no_interval(results):
    data = variants.variants(results[results["seed"] < 2]).set_index(["label_noise", "method"])
    trimmed = data.loc[(0.2, "orderdp_trimmed")]
    assert (
        trimmed["pairs"] == 2 and trimmed["difference"] == pytest.approx(1.5) and math.isnan(trimmed["difference_ci95"])
    )


def test_sheet_says_all_of_it(results):
    (sheet,) = variants.variant_sheets(variants.variants(results))
    text = markdown(sheet)
    assert [block.heading for block in sheet.blocks] == ["All labels right", "20 % of the labels wrong"]
    assert "| ORDERDP_TRIMMED | 83.00 ± 2.00 | +2.00 ± 2.48 | 11.0 |" in text
    assert "| ORDERDP_TRIMMED | 89.00 | −1.00 | – |" in text and "1 of 2, 1 diverged" in text
    assert "| ORDERDP_MARGIN | not run | – | – | – | 0 of 1 |" in text


def test_figure_has_a_panel_for_each_share_and_a_line_for_each_method(results):
    figure = variants.draw_variants(variants.variants(results), "footer")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["0 % wrong labels", "20 % wrong labels", "Among the trained"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "FULL",
        "ORDERDP_TRIMMED",
        "ORDERDP_MARGIN",
    ]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert [text.get_text() for text in figure.axes[1].texts] == ["not run"]


def test_nothing_run_draws_an_empty_figure(results):
    nothing = results.assign(status="not run", test_accuracy=math.nan, wrong_labels=math.nan)
    variants.draw_variants(variants.variants(nothing), "footer")
    variants.draw_variants(variants.variants(results[results["label_noise"] == 0]), "footer")


def test_variants_have_looks_of_their_own():
    names = [
        "orderdp_bottom",
        "orderdp_mixed",
        "orderdp_trimmed",
        "orderdp_ema",
        "orderdp_gradient_norm",
        "orderdp_margin",
        "orderdp_rising",
    ]
    assert set(names) <= set(style.LOOKS)
