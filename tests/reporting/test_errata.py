"""The errata: every number in their sentences is computed, and every computed number is that of enumeration or of
hand."""

import csv
import math
from fractions import Fraction

import pytest
import yaml

from orderdp.grid import load
from orderdp.grid.inheritance import Inheritance
from orderdp.reporting import errata
from orderdp.reporting.claims import load_claims
from orderdp.reporting.style import FAMILIES
from tests.reporting.synthetic import ROOT


def exact_head(n, s, q):
    """Sum of gamma_j over j <= s, in exact fractions (Eq. 3)."""
    terms = (
        math.comb(j - 1, r - 1) * math.comb(n - j, s - r) for j in range(1, s + 1) for r in range(1, min(q, j) + 1)
    )
    return Fraction(sum(terms), math.comb(n, s))


@pytest.fixture(scope="module")
def settings():
    return {name: experiment.settings for name, experiment in load(ROOT / "params.yaml").experiments.items()}


def test_every_row_of_the_errata_resolves(settings):
    rows = list(csv.DictReader(errata.ERRATA.open(encoding="utf-8")))
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["function"] for row in rows} == set(errata.FUNCTIONS) | {""}
    table = errata.errata(settings["errata"])
    assert not any("{" in text and "}" not in text for text in table["right"])
    for row in rows:  # a row with a function has no digits of its own in what is right, but for indices and formulas
        if row["function"]:
            assert "{" in row["printed"] + row["right"] + row["because"], row["id"]


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("upper_limit", {"printed": 1, "right": 3}),
        ("sum_of_weights", {"total": 6}),
        ("induction_base", {"printed": 5, "right": 1}),
        # Nearly 2 and 5/3: ranks beyond s still have a little weight.
        (
            "batch_weights",
            {"at_first": 2 * exact_head(200, 100, 30) / 30, "at_second": 2 * exact_head(200, 100, 60) / 60},
        ),
        ("squared_gap", {"gap": 7 / 3, "square": 49 / 9}),
        ("gap_near_equality", {"least": 1.0, "equal": 0.0}),
        ("missing_factor", {"printed": 0.2, "right": 0.1}),
        ("toy_probabilities", {"right_3": Fraction(1, 10), "right_4": Fraction(1, 5)}),
        ("toy_expectation", {"printed": 4.06, "follows": 4.24, "right": 4.26}),
        ("toy_prune_rate", {"printed": 0.6, "right": 0.4, "expected": 0.32}),
        ("toy_estimators", {"printed": 4.336, "off": 1.336, "per_sample": 3.0, "orderdp_off": 1.26}),
        ("no_chance", {"count": 10_000}),
        ("rank_chances", {"candidate": 0.5, "first": 0.5, "last": 0.0, "none": 10_000}),
        ("placed_sets", {"printed": math.comb(5, 3), "right": math.comb(3, 1) * math.comb(5, 3)}),
        ("vanishing_terms", {"at_first": Fraction(5 * 1, 126), "at_low": Fraction(1 * 15, 126)}),
        # The largest of 5 out of 1..9 is 50/6 on average, the second 40/6; the other way round 10 less their mean.
        ("quantile_order", {"printed": 2.5, "right": 7.5}),
        ("memory", {"growth": 4.0}),
        ("wrong_gaps", {"count": 7}),
        ("jaccard_order", {"ratio": 70, "infobatch": 0.593, "orderdp": 0.552}),
        ("jaccard_bold", {"ratio": 40, "bold": 0.583, "higher": 0.645}),
        (
            "jaccard_ceiling",
            {"most": 1 / 3, "above": 6, "count": 6, "needs": 1.408 / 1.704, "other_needs": 1.534 / 1.767},
        ),
        ("repeated_norms", {"count": 4, "phases": 5}),
        ("full_deviation", {"accuracy": 76.4, "three": 0.2, "four": 0.1}),
        ("savings", {"least": 27.3, "most": 42.6, "most_by_optimizer": 42.6, "count": 3, "of": 6, "imagenet": 39.8}),
        ("harder_sets", {"easier_mean": (4.7 + 5.5) / 2, "harder_mean": (5.0 + 4.8) / 2}),
        ("nominal_ratio", {"nominal": 0.99, "clamped": 0.9, "real": 0.61, "below": 0.61 / 0.9}),
        ("lossless_rows", {"full": 95.6, "orderdp": 95.5, "tolerance": 0.1}),
        ("method_count", {"count": 15}),
    ],
)
def test_corrections_are_what_hand_and_enumeration_give(settings, name, right):
    values = errata.FUNCTIONS[name](settings["errata"])
    assert {key: values[key] for key in right} == pytest.approx(right)


def test_stale_scores_differ_and_fresh_ones_do_not():
    values = errata.formulas.stale_scores({})
    assert values["fresh"] == pytest.approx(values["surrogate"])
    assert abs(values["stale"] - values["surrogate"]) > 0.2 * abs(values["surrogate"])


def test_errata_follow_the_theory(settings, monkeypatch):
    """The page's numbers are those of `orderdp.theory`: a changed function changes them."""
    before = errata.errata(settings["errata"]).set_index("id")["right"]
    monkeypatch.setattr(errata.formulas, "sup_gap", lambda n, s, q: 0.25)
    after = errata.errata(settings["errata"]).set_index("id")["right"]
    assert set(before.index[before != after]) == {"squared-gap", "gap-does-not-vanish"}


def test_errata_follow_the_published_numbers(settings, monkeypatch):
    texts = ["printed", "right", "because"]
    before = errata.errata(settings["errata"]).set_index("id")[texts]
    monkeypatch.setattr(errata.tables, "value", lambda table, row, column: 0.25)
    after = errata.errata(settings["errata"]).set_index("id")[texts]
    changed = (before != after).any(axis=1)
    assert set(changed.index[changed]) == {"harder-sets", "lossless-row", "nominal-ratio", "same-savings", "savings"}


def test_errata_have_the_settings_of_the_grid(settings):
    gradients, ratio = errata.toy._toy()
    assert {"gradients": gradients, "prune_ratio": ratio} == settings["table10"]
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    nominal = Inheritance(raw).filled["methods"]["infobatch_nominal"]
    assert nominal["options"]["min_keep"] == settings["errata"]["min_keep"]


def test_what_claims_say_of_the_papers_own_numbers(settings):
    claims = {claim.id: claim for claim in load_claims()}
    computed = {
        name: errata.FUNCTIONS[name](settings["errata"])
        for name in ("imagenet_time", "savings", "harder_sets", "method_count")
    }
    assert "The paper's own table has three methods faster" in claims["imagenet-fastest"].rule
    assert len(computed["imagenet_time"]["who"].split(", ")) == 3
    assert "prints more than 40 % in three of six places" in claims["saves-40-percent"].rule
    assert (computed["savings"]["above"], computed["savings"]["count"], computed["savings"]["of"]) == (40, 3, 6)
    assert "(the paper: 4 to 6)" in claims["prunes-more-by-architecture"].rule
    assert (computed["harder_sets"]["low"], computed["harder_sets"]["high"]) == (4, 6)
    for name in ("static-best", "only-lossless-at-30"):
        assert "the paper's 15 static methods" in claims[name].rule
        assert len(set(claims[name].arguments["rivals"]) & set(FAMILIES)) == computed["method_count"]["count"] == 15


def test_every_claim_against_infobatch_says_against_which():
    against = [
        claim
        for claim in load_claims()
        if "infobatch" in str(claim.arguments) and claim.topic != "Toy example, by enumeration"
    ]
    assert len(against) > 30
    for claim in against:
        annealed = "infobatch_annealed" in str(claim.arguments)
        said = "all data in the last 12.5 % of the epochs" if annealed else "InfoBatch is the one without annealing"
        assert said in claim.rule, claim.id
