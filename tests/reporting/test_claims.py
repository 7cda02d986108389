import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from orderdp.grid import load
from orderdp.reporting.claims import (
    CLAIMS,
    COLUMNS,
    FIELDS,
    STABLE,
    UNCHECKED,
    decide,
    evaluate,
    load_claims,
    stability,
)
from orderdp.reporting.claims.statistics import CONTRADICTED, INCONCLUSIVE, NOT_RUN, STATISTICS, SUPPORTED
from orderdp.reporting.html import TEMPLATES
from orderdp.reporting.paper import ITEMS
from orderdp.reporting.scorecard import claim_metrics, scorecard_html, scorecard_sheets, stability_text, tally
from orderdp.reporting.sheets import latex, markdown, write_csv
from tests.reporting.worlds import world

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def grid():
    return load(ROOT / "params.yaml", "quick")


@pytest.fixture(scope="module")
def good(grid, tmp_path_factory):
    return world(grid, tmp_path_factory.mktemp("nowhere"), good=True)


@pytest.fixture(scope="module")
def bad(grid, tmp_path_factory):
    return world(grid, tmp_path_factory.mktemp("nowhere"), good=False)


@pytest.fixture(scope="module")
def table(good):
    return evaluate(good, without_seeds=False)


def decided_by_runs(grid):
    """Claims that this scale has runs, or a study, for."""
    of_runs = {name for name, experiment in grid.experiments.items() if experiment.rows} | {"theory"}
    return [
        claim
        for claim in load_claims()
        if of_runs & set(claim.experiments) and claim.id != "dynamic-random-above-static"
    ]


# ---- the file


def test_every_row_resolves_and_every_statistic_is_used():
    claims = load_claims()
    assert len({claim.id for claim in claims}) == len(claims) > 60
    assert {claim.statistic for claim in claims} == set(STATISTICS)


def test_ids_are_names_and_rules_are_complete():
    for claim in load_claims():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.id)
        assert "Supported:" in claim.rule and "Contradicted" in claim.rule, claim.id
        if not claim.rule.startswith("Computed") and not claim.id.startswith("thm1"):
            assert "At least 3 seeds" in claim.rule and "Inconclusive otherwise" in claim.rule, claim.id


def test_experiments_are_known(grid):
    known = {item.experiment for item in ITEMS} | set(grid.experiments)
    assert not {name for claim in load_claims() for name in claim.experiments} - known


def test_topics_stand_together():
    topics = [claim.topic for claim in load_claims()]
    assert len([topic for index, topic in enumerate(topics) if index == 0 or topic != topics[index - 1]]) == len(
        set(topics)
    )


ROW = ["an-id", "Topic", "1", "A statement.", "table2", "A rule.", "higher", "{rivals: [ucb]}"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("statistic", "hihger", "'an-id' names an unknown statistic 'hihger'. Known: higher, "),
        ("arguments", "{rival: ucb}", "the arguments of 'an-id' do not fit higher: "),
        ("arguments", "{rivals: [ucb", "the arguments of 'an-id' are not YAML"),
        ("arguments", "[ucb]", "must be a mapping"),
        ("rule", " ", "'an-id' has no rule"),
    ],
)
def test_a_broken_row_is_named(tmp_path, field, value, message):
    row = list(ROW)
    row[FIELDS.index(field)] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        load_claims(written(tmp_path, FIELDS, row))


def test_wrong_columns_and_double_ids(tmp_path):
    with pytest.raises(ValueError, match=r"must have the columns id, topic, .* Got id, rule\."):
        load_claims(written(tmp_path, ("id", "rule"), ["a", "b"]))
    with pytest.raises(ValueError, match="the id 'an-id' occurs 2 times"):
        load_claims(written(tmp_path, FIELDS, ROW, ROW))


def written(folder, header, *rows):
    path = folder / "claims.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


# ---- verdicts


def test_every_claim_about_runs_flips_with_the_runs(grid, good, bad):
    for claim in decided_by_runs(grid):
        assert (decide(claim, good).verdict, claim.id) == (SUPPORTED, claim.id)
        assert (decide(claim, bad).verdict, claim.id) == (CONTRADICTED, claim.id)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_never_decide(grid, good, bad, seeds):
    for frames in (good, bad):
        few = dict(frames)
        for name in ("results", "histories"):
            few[name] = frames[name][frames[name]["seed"] < seeds]
        few["study"] = {
            key: part[part["seed"] < seeds] if "seed" in part else part for key, part in frames["study"].items()
        }
        for claim in decided_by_runs(grid):
            if not claim.id.startswith("thm1"):  # a mean over thousands of draws at one point
                finding = decide(claim, few)
                assert (finding.verdict in (INCONCLUSIVE, NOT_RUN), claim.id) == (True, claim.id)


def test_one_missing_run_leaves_a_claim_undecided(good):
    results = good["results"].copy()
    run = results.index[
        (results["experiment"] == "table2") & (results["method"] == "ucb") & (results["prune_ratio"] == 0.3)
    ][0]
    results.loc[results["run"] == results.loc[run, "run"], "status"] = "not run"
    table = evaluate(good | {"results": results}, without_seeds=False).set_index("id")
    assert table.loc["best-at-30", ["verdict", "reason"]].tolist() == [NOT_RUN, "1 of 25 runs are missing"]
    assert table.loc["above-random", "verdict"] == SUPPORTED  # needs no run of UCB


def test_diverged_runs_are_named(good):
    results = good["results"].copy()
    chosen = (results["experiment"] == "table9") & (results["seed"] == 5)
    results.loc[chosen & results["method"].isin(["ucb"]), "status"] = "diverged"
    table = evaluate(good | {"results": results}, without_seeds=False).set_index("id")
    (cell,) = results.loc[chosen & (results["method"] == "ucb"), "run"]
    assert (
        f"diverged: {cell}" in table.loc["final-above-all", "reason"]
        and table.loc["final-above-all", "verdict"] == SUPPORTED
    )
    results.loc[chosen & (results["method"] == "orderdp"), "status"] = "diverged"
    table = evaluate(good | {"results": results}, without_seeds=False).set_index("id")
    assert (
        table.loc["final-above-all", "verdict"] == INCONCLUSIVE
        and "1 of orderdp diverged" in table.loc["final-above-all", "reason"]
    )


def test_what_the_scale_does_not_ask_for_is_not_run(good):
    results = good["results"]
    rows = evaluate(good | {"results": results[results["experiment"] != "table3"]}, without_seeds=False).set_index("id")
    assert rows.loc["imagenet-fastest", ["verdict", "reason"]].tolist() == [NOT_RUN, "this scale has no runs of table3"]
    assert rows.loc[rows["experiments"].str.contains("table3"), "verdict"].eq(NOT_RUN).all()


def test_nothing_run_decides_only_what_is_computed(good):
    empty = good | {
        "results": good["results"].assign(status="not run"),
        "histories": good["histories"].iloc[:0],
        "study": {},
    }
    table = evaluate(empty, without_seeds=False)
    assert set(table[table["verdict"] != NOT_RUN]["decided_from"]) == {"computed"}
    assert table[table["verdict"] == NOT_RUN]["reason"].str.len().gt(0).all()


def test_the_papers_errors_are_found(table):
    verdicts = table.set_index("id")["verdict"]
    assert set(
        verdicts[
            [
                "cs-vanishes",
                "beta-as-printed",
                "every-sample-has-a-chance",
                "never-q-over-n",
                "constant-memory",
                "toy-orderdp",
            ]
        ]
    ) == {CONTRADICTED}
    assert set(verdicts[["weights-sum-to-q", "beta-as-proved", "distance-vanishes", "toy-infobatch"]]) == {SUPPORTED}


def test_only_a_claims_own_experiments_count(good):
    (claim,) = [claim for claim in load_claims() if claim.id == "best-at-30"]
    other = good["results"].assign(experiment="table9")
    assert decide(claim, good | {"results": other}).verdict == NOT_RUN


def test_an_interval_stands_with_every_decision_over_seeds(table):
    assert tuple(table.columns) == COLUMNS
    decided = table[table["verdict"].isin([SUPPORTED, CONTRADICTED]) & (table["decided_from"] != "computed")]
    assert len(decided) > 40 and decided[["value", "low", "high"]].notna().all(axis=None)
    assert (decided["low"] <= decided["value"]).all() and (decided["value"] <= decided["high"]).all()


# ---- how it is shown


class Tags(HTMLParser):
    """Checks that every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_balanced_and_has_every_claim(table):
    table = table.assign(statement=table["statement"] + " 8 x 8 < 100 & more")
    tags, text = Tags(), scorecard_html(table)
    tags.feed(text)
    assert tags.open == [] and tags.ids == ["claims", *(f"claim-{name}" for name in table["id"])]
    assert (
        "8 x 8 &lt; 100 &amp; more" in text
        and "C<sub>s</sub>" in text
        and "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text)
    )
    assert "never claims to confirm a number measured on CIFAR" in text
    for verdict, count in tally(table).items():
        assert f'<li class="{verdict.replace(" ", "-")}"><b>{count}</b>' in text


def test_the_csv_shows_the_same(table, tmp_path):
    write_csv(tmp_path / "claims.csv", table)
    back = pd.read_csv(tmp_path / "claims.csv")
    assert scorecard_html(back) == scorecard_html(table)
    assert list(map(markdown, scorecard_sheets(back))) == list(map(markdown, scorecard_sheets(table)))
    assert claim_metrics(back)["counts"] == claim_metrics(table)["counts"]


def test_sheets_have_a_row_per_claim(table):
    (sheet,) = scorecard_sheets(table)
    assert [block.heading for block in sheet.blocks] == list(dict.fromkeys(table["topic"]))
    assert [row[0].text for block in sheet.blocks for row in block.rows] == table["statement"].tolist()
    assert {len(row) for block in sheet.blocks for row in block.rows} == {len(sheet.columns)}
    assert "nan" not in markdown(sheet) and latex(sheet)


def test_metrics_are_plain_numbers(good):
    results = good["results"]
    table = evaluate(good | {"results": results[results["experiment"] != "table3"]}, without_seeds=False)
    metrics = claim_metrics(table)
    json.dumps(metrics, allow_nan=False)
    assert sum(metrics["counts"].values()) == len(table) == len(metrics["claims"])
    assert set(metrics["counts"]) == {"supported", "contradicted", "inconclusive", "not_run"}
    row = table.set_index("id").loc["best-at-70"]
    assert metrics["claims"]["best-at-70"] == {
        "verdict": SUPPORTED,
        **{key: pytest.approx(row[key], rel=1e-5) for key in ("value", "low", "high")},
    }
    assert metrics["claims"]["imagenet-fastest"] == {"verdict": NOT_RUN}


def test_classes_of_the_page_have_their_rules(table):
    css, text = (TEMPLATES / "claims.css").read_text(encoding="utf-8"), scorecard_html(table)
    used = {name for names in re.findall(r'class="([^"]+)"', text) for name in names.split()}
    assert {name for name in used if f".{name}" not in css} <= {"notes", "verdict"}


def test_the_file_is_tidy():
    content = CLAIMS.read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert "\r" not in content and all(value == value.strip() for row in rows for value in row.values())


# ---- stability


def test_a_verdict_that_hangs_on_one_seed_says_so(good):
    claim = next(claim for claim in load_claims() if claim.id == "above-random")
    results = good["results"].copy()
    assert stability(claim, good, decide(claim, good)) == STABLE
    odd = (
        (results["experiment"] == "table2")
        & (results["method"] == "orderdp")
        & (results["seed"] == 3)
        & (results["prune_ratio"] == 0.5)
    )
    results.loc[results["run"].isin(set(results.loc[odd, "run"])), "test_accuracy"] -= 20
    shaken = good | {"results": results}
    finding = decide(claim, shaken)
    assert finding.verdict == INCONCLUSIVE
    assert stability(claim, shaken, finding) == "supported without seed 3"
    text = scorecard_html(evaluate(shaken, [claim]))
    assert "1 of the 1 verdicts that more than three seeds decide change" in text and "supported without seed 3" in text


def test_many_seeds_are_left_out_in_groups(good):
    """With 12 seeds, 0 and 10 go together, as do 1 and 11; the others go one by one."""
    claim = next(claim for claim in load_claims() if claim.id == "above-random")
    frames = dict(good)
    for name in ("results", "histories"):
        frame = good[name][(good[name]["experiment"] == "table2") & (good[name]["seed"] < 4)]
        parts = [frame.assign(run=frame["run"] + f"-{n}", seed=frame["seed"] + 4 * n) for n in range(3)]
        frames[name] = pd.concat(parts, ignore_index=True)
    results = frames["results"]
    assert sorted(set(results["seed"])) == list(range(12))
    odd = (results["method"] == "orderdp") & results["seed"].isin([0, 10]) & (results["prune_ratio"] == 0.5)
    results.loc[odd, "test_accuracy"] -= 60
    finding = decide(claim, frames)
    assert finding.verdict == INCONCLUSIVE
    assert stability(claim, frames, finding) == "supported without seed 0, 10"


def test_a_claim_that_only_one_seed_can_decide_is_not_run_without_it(good):
    """The time to an accuracy needs a seed in which all methods finished."""
    claim = next(claim for claim in load_claims() if claim.id == "time-to-accuracy-70")
    results = good["results"].copy()
    lost = (results["experiment"] == "figures12_13") & (results["method"] == "random") & (results["seed"] != 2)
    results.loc[lost, "status"] = "diverged"
    shaken = good | {"results": results}
    assert "not run without seed 2" in stability(claim, shaken, decide(claim, shaken))


def test_stability_needs_four_seeds_and_runs(grid, good):
    claims = {claim.id: claim for claim in load_claims()}
    few = good | {"results": good["results"][good["results"]["seed"] < 3]}
    assert stability(claims["above-random"], few, decide(claims["above-random"], few)) == UNCHECKED
    for name in ("weights-sum-to-q", "thm1-fresh"):
        assert stability(claims[name], good, decide(claims[name], good)) == ""
    missing = good | {"results": good["results"].assign(status="not run")}
    assert stability(claims["above-random"], missing, decide(claims["above-random"], missing)) == ""
    assert stability_text(evaluate(good, [claims["weights-sum-to-q"]])) == ""
