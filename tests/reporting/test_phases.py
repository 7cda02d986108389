"""Tables 8 and 11 and what is kept, against numbers worked out by hand."""

import math

import pandas as pd
import pytest

from orderdp.reporting.items import table08_11, table11_kept
from tests.reporting.test_tables import run

WHERE = {"stands_for": "cifar100-resnet18-diagnostics", "explore": float("nan")}


def results():
    rows = [run("orderdp", 0.7, seed, 95.0) | WHERE | {"explore": 0.5} for seed in range(2)]
    rows += [
        run("infobatch", 0.7, 0, 95.0, realised=0.5) | WHERE,
        run("infobatch", 0.7, 1, 0, status="diverged") | WHERE,
    ]
    return pd.DataFrame(rows)


def history(cell, jaccards):
    count = len(jaccards)
    return pd.DataFrame(
        {
            "run": cell,
            "epoch": range(1, count + 1),
            "progress": [(i + 1) / count for i in range(count)],
            "jaccard": jaccards,
        }
    )


def at(table, method, phase):
    return table[(table["method"] == method) & (table["phase"] == phase)].iloc[0]


def test_table8_averages_each_fifth_and_takes_the_last_epoch():
    nan = float("nan")
    histories = pd.concat(
        [
            history("orderdp-0.7-0", [nan, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.9]),
            history("orderdp-0.7-1", [nan, 0.4, 0.3, 0.4, 0.5, 0.5, 0.6, 0.6, 0.7, 0.9]),
            history("infobatch-0.7-0", [nan, 0.1] + [0.3] * 8),
            history("infobatch-0.7-1", [nan, 9.0]),  # it diverged, and does not count
        ]
    )
    table = table08_11.table8(results(), histories)
    first = at(table, "orderdp", "0-20")  # epochs 1 and 2 of ten; the first has no epoch before it
    assert (first["mean"], first["std"]) == (pytest.approx(0.3), pytest.approx(0.2 / math.sqrt(2)))
    assert at(table, "orderdp", "80-100")["mean"] == pytest.approx(0.8)
    assert at(table, "orderdp", "final")["mean"] == pytest.approx(0.9)
    assert at(table, "infobatch", "0-20")["mean"] == pytest.approx(0.1)
    assert (at(table, "infobatch", "final")["runs"], at(table, "infobatch", "final")["diverged"]) == (1, 1)
    # A ranking that stands still: s/(2n - s) = 0.5/1.5. Kept at random: 0.3/1.7.
    assert first["static"] == pytest.approx(1 / 3) and first["chance"] == pytest.approx(0.3 / 1.7)
    assert math.isnan(at(table, "infobatch", "0-20")["static"])
    assert (first["published"], first["published_std"]) == (0.552, 0.049)
    text = "\n".join(
        cell.text
        for sheet in table08_11.table8_sheets(table)
        for block in sheet.blocks
        for row in block.rows
        for cell in row
    )
    assert "0.300 ± 0.141" in text and "0.552 ± 0.049" in text and "1 of 2, 1 diverged" in text and "0.333" in text


def test_table11_sorts_measurements_into_fifths():
    measured = pd.DataFrame(
        {
            "run": "orderdp-0.7-0",
            "epoch": [2, 4, 10, 11],
            "progress": [0.1, 0.3, 0.9, 1.0],
            "cosine": [0.5, 0.6, 0.7, 0.8],
        }
    )
    table = table08_11.table11(results(), measured)
    found = {phase: at(table, "orderdp", phase)["mean"] for phase in ("0-20", "20-40", "40-60", "80-100", "final")}
    assert math.isnan(found.pop("40-60"))
    assert found == {"0-20": 0.5, "20-40": 0.6, "80-100": 0.7, "final": 0.8}
    assert at(table, "orderdp", "final")["published"] == 0.844


def diagnostics():
    columns = {name: 1.0 for name in table11_kept.MEASURED}
    rows = [
        columns
        | {
            "run": f"orderdp-0.7-{seed}",
            "epoch": epoch,
            "progress": progress,
            "cosine": 0.5,
            "forgotten_dropped": share,
        }
        for seed, share in ((0, 0.1), (1, 0.3))
        for epoch, progress in ((2, 0.5), (3, 1.0))
    ]
    return pd.DataFrame(rows)


def test_kept_table_averages_a_run_first_and_shows_shares_in_percent():
    table = table11_kept.kept_table(results(), diagnostics())
    ours = table[table["method"] == "orderdp"].iloc[0]
    assert ours["forgotten_dropped"] == pytest.approx(20) and ours["forgotten_dropped_std"] == pytest.approx(
        20 / math.sqrt(2)
    )
    assert ours["norm_full"] == 1 and ours["runs"] == 2
    assert math.isnan(table[table["method"] == "infobatch"].iloc[0]["norm_full"])


def test_kept_figure_leaves_out_what_was_measured_before_any_score():
    base = {
        "run": "orderdp-0.7-0",
        "workload": "digits-resnet8",
        "prune_ratio": 0.7,
        "method": "orderdp",
        "label": "OrderDP",
    }
    profiles = pd.DataFrame(
        [
            base | {"epoch": epoch, "by": "loss", "group": 0, "share": share}
            for epoch, share in ((1, 0.3), (2, 0.5), (3, 0.7))
        ]
    )
    histories = pd.DataFrame([base | {"epoch": 1, "progress": 1.0, "coverage": 0.9}])
    data = table11_kept.kept_figure(results(), histories, diagnostics().assign(**base), profiles)
    assert data[data["what"] == "share kept"]["value"].tolist() == [pytest.approx(60)]
    assert data[data["what"] == "coverage"]["value"].tolist() == [90]
