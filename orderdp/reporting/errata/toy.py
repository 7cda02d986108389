"""The toy example of E.1: printed and enumerated."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

from orderdp.reporting.claims.statistics.toy import orderdp_of
from orderdp.reporting.errata.values import Settings, Values
from orderdp.reporting.published import load_published
from orderdp.theory import expectations, infobatch_outcomes


def toy_probabilities(settings: Settings) -> Values:
    """The chances of {3} and {4} in E.1."""
    chances = {outcome.kept: outcome.probability for outcome in orderdp_of(*_toy())}
    printed_3, printed_4 = (_toy_printed("OrderDP", kept, "probability") for kept in ("3", "4"))
    pairs, fours = (list(combinations(_toy()[0], size)) for size in (2, 4))
    printed = {"printed_3": printed_3, "printed_4": printed_4}
    counts = {"pairs_3": sum(max(pair) == 3 for pair in pairs), "fours_4": sum(max(four) == 4 for four in fours)}
    right = {"right_3": chances[(3,)], "right_4": chances[(4,)], "pairs": len(pairs), "fours": len(fours)}
    return printed | right | counts


def toy_expectation(settings: Settings) -> Values:
    """E.1's expectation: printed, from the printed probabilities, and right."""
    gradients, _ = _toy()
    follows = sum(gradient * _toy_printed("OrderDP", str(gradient), "probability") for gradient in gradients)
    printed, right = _toy_printed("OrderDP", "", "expected-gradient"), expectations(orderdp_of(*_toy())).mean
    return {"printed": float(printed), "follows": float(follows), "right": float(right)}


def toy_prune_rate(settings: Settings) -> Values:
    """Table 10's first row, and the expected share pruned."""
    outcomes = infobatch_outcomes(*_toy())
    (first,) = [outcome for outcome in outcomes if outcome.kept == (3, 4, 5)]
    printed, expected = _toy_printed("InfoBatch", "3+4+5", "prune-ratio"), expectations(outcomes).prune_ratio
    return {"printed": float(printed), "right": float(first.prune_ratio), "expected": float(expected)}


def toy_estimators(settings: Settings) -> Values:
    """InfoBatch's expectation by both divisors, and how far it and OrderDP's are from the full gradient."""
    infobatch, orderdp = expectations(infobatch_outcomes(*_toy())), expectations(orderdp_of(*_toy())).mean
    full = _toy_printed("Whole Dataset", "", "expected-gradient")
    return {
        "full": float(full),
        "printed": float(_toy_printed("InfoBatch", "", "expected-gradient")),
        "off": float(abs(infobatch.mean - full)),
        "per_sample": float(infobatch.per_sample),
        "orderdp_off": float(abs(orderdp - full)),
    }


def _toy() -> tuple[list[int], float]:
    """Gradients and prune ratio of E.1, from the name of its columns: toy/gradients-1-to-5/80."""
    frame = load_published()
    model, ratio = frame.loc[frame["table"] == "table10", ["model", "ratio"]].iloc[0]
    _, first, _, last = model.split("-")
    return list(range(int(first), int(last) + 1)), float(ratio) / 100


def _toy_printed(row: str, kept: str, quantity: str) -> Fraction:
    """A number of E.1 as printed."""
    frame = load_published()
    rows = frame[
        (frame["table"] == "table10")
        & (frame["row"] == row)
        & (frame["kept"] == kept)
        & (frame["quantity"] == quantity)
    ]
    return Fraction(rows["printed"].item())
