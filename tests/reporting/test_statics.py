"""Table 1: the numbers, their layout, and the figures of accuracy, cost and overlap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from orderdp.grid import load
from orderdp.jobs.finished import finish
from orderdp.reporting import coresets as coreset_files
from orderdp.reporting.items import table01
from orderdp.reporting.results import Runs, collect
from orderdp.reporting.sheets import markdown
from orderdp.reporting.style import FAMILIES
from tests.reporting.worlds import measures


@pytest.fixture(scope="module")
def grid():
    return load()


@pytest.fixture(scope="module")
def results(grid, tmp_path_factory):
    """Every run finished but those of DP at 70 %."""
    empty = collect(grid, tmp_path_factory.mktemp("none"), ["table1"]).astype({"status": "object"})
    rows = []
    for row in empty.to_dict("records"):
        left = row["method"] == "dataset_pruning" and row["prune_ratio"] == 0.7
        rows.append(row if left else row | measures(row, good=True))
    return pd.DataFrame(rows, columns=empty.columns)


@pytest.fixture(scope="module")
def costs(results):
    static = results[results["method"].isin(FAMILIES)][["workload", "method", "seed"]].drop_duplicates()
    return static.assign(select_s=0.1 + static["seed"], proxy_s=np.where(static["method"] == "static_random", 0.0, 4.0))


@pytest.fixture(scope="module")
def table(results, costs):
    return table01.table1(results, costs)


def test_one_row_per_method_and_ratio(table, results):
    alone = {method for method, rows in table.groupby("method") if rows["prune_ratio"].tolist() == [0.7]}
    assert alone == {
        "static_random_plain",
        "prototypes_hard",
        "prototypes_easy",
        "facility_location",
        "entropy",
        "gradmatch",
    }
    assert len(table) == 3 * (2 + len(FAMILIES) - len(alone)) + len(alone)
    herding = table[(table["method"] == "herding") & (table["prune_ratio"] == 0.5)].iloc[0]
    runs = results[(results["method"] == "herding") & (results["prune_ratio"] == 0.5)]
    assert herding["accuracy"] == pytest.approx(runs["test_accuracy"].mean())
    assert herding["select_s"] == pytest.approx(0.1 + runs["seed"].mean())
    assert herding["family"] == "geometry" and herding["published CIFAR10/ResNet-18"] == 88.0
    assert herding["published gap CIFAR100/ResNet-18"] == 6.4
    ours = table[(table["method"] == "orderdp") & (table["prune_ratio"] == 0.5)].iloc[0]
    assert ours["select_s"] == pytest.approx(
        results[(results["method"] == "orderdp") & (results["prune_ratio"] == 0.5)]["selection_s"].mean()
    )
    assert ours["best"]


def test_every_published_row_has_its_method(table):
    from orderdp.reporting.published import load_published

    printed = load_published()
    values = printed[(printed["table"] == "table1") & (printed["quantity"] == "accuracy")]
    shown = table.drop_duplicates(["method", "prune_ratio"])
    ours = sum(int(shown[f"published {where}"].notna().sum()) for where in ("CIFAR10/ResNet-18", "CIFAR100/ResNet-18"))
    assert ours == len(values) + 2 * 2  # the full data stands at each of three ratios here, once in print


def test_the_sheet_shows_families_costs_and_what_is_missing(table):
    (sheet,) = table01.table1_sheets(table)
    assert [block.heading for block in sheet.blocks] == ["", *table01.TITLES.values()]
    assert all(len(row) == len(sheet.columns) for block in sheet.blocks for row in block.rows)
    assert sum(span for _, span in sheet.spans) == len(sheet.columns)
    text = markdown(sheet)
    assert "not run" in text and "88.0 (−7.6)" in text and "| DP |" in text
    rows = {row[0].text: [entry.text for entry in row] for block in sheet.blocks for row in block.rows}
    assert rows["Static Random"][8] == "0.00" and rows["Herding"][8] == "4.00"
    assert rows["Herding"][9] == "9" and rows["DP"][9] == "6 of 9" and rows["Whole Dataset"][9] == "3"
    assert rows["Entropy"][1:5] == [""] * 4 and rows["Entropy"][5] and rows["Entropy"][9] == "3"  # at 70 % alone


def test_figures_are_drawn_with_and_without_runs(table, results, costs):
    empty = table01.table1(results.assign(status="not run", test_accuracy=np.nan), costs.iloc[:0])
    for data in (table, empty):
        for draw in (table01.draw_accuracy, table01.draw_cost):
            draw(data, "footer").canvas.draw()
    figure = table01.draw_accuracy(table, "footer")
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(table01.TITLES.values())
    assert {text for ax in figure.axes for text in ax.get_legend_handles_labels()[1]} == {
        "Whole Dataset",
        "OrderDP",
        "Static Random",
    }
    legends = [[text.get_text() for text in ax.get_legend().get_texts()] for ax in figure.axes]
    assert legends[4:] == [["CRAIG", "GLISTER", "GradMatch"], ["Influence", "DP"]]


@pytest.fixture
def chosen(grid, tmp_path):
    """Coresets in a folder of runs: each method keeps as many of 100 samples from a place of its own; a seed moves it
    by one."""
    (coresets,) = grid.coresets.values()
    folder = tmp_path / coresets.name
    folder.mkdir()
    place = {method: 3 * index for index, method in enumerate(FAMILIES)}
    arrays = {}
    for name, one in coresets.spec.wanted.items():
        count = round((1 - one.choice.prune_ratio) * 100)
        arrays[name] = (np.arange(count) + place[one.label] + one.seed) % 100
    np.savez(folder / "coresets.npz", **arrays)
    lines = [f"{method},f,{s},{s + 1}.0,2.0" for method in FAMILIES for s in range(3)]
    (folder / "costs.csv").write_text("\n".join(["method,family,seed,select_s,proxy_s", *lines]) + "\n")
    finish(folder, {"job": coresets.name, "status": "finished"})
    return tmp_path


def test_overlaps_count_common_samples(grid, chosen):
    frame = coreset_files.overlaps(grid, Runs(chosen), ["table1"])
    at = frame[(frame["prune_ratio"] == 0.7)].set_index(["method", "other"])
    assert len(at) == len(FAMILIES) * (len(FAMILIES) + 1) / 2
    assert at.at[("static_random", "static_random_plain"), "overlap"] == pytest.approx(27 / 30)
    assert at.at[("static_random", "dataset_pruning"), "overlap"] == 0
    assert at.at[("herding", "herding"), "overlap"] == pytest.approx((2 * 29 + 28) / 90)  # seeds 1 and 2 apart
    assert at.at[("herding", "herding"), "pairs"] == 3
    figure = table01.draw_overlap(table01.overlap_data(frame), "footer")
    figure.canvas.draw()
    assert "by chance 30" in figure.axes[0].get_title(loc="left")


def test_costs_are_read_for_each_seed(grid, chosen, tmp_path):
    frame = coreset_files.costs(grid, Runs(chosen), ["table1"])
    assert len(frame) == 3 * len(FAMILIES)
    assert frame[frame["method"] == "craig"]["select_s"].tolist() == [1.0, 2.0, 3.0]
    nothing = Runs(tmp_path / "nowhere")
    assert coreset_files.costs(grid, nothing, ["table1"]).empty
    assert coreset_files.overlaps(grid, nothing, ["table1"]).empty
    table01.draw_overlap(coreset_files.overlaps(grid, nothing, ["table1"]), "footer").canvas.draw()
