"""The values of `errata.csv`: what the paper's printed formulas give, and what is right. No result is typed in: printed
numbers come from `published.csv` or from evaluating the printed formula, right ones from `orderdp.theory`.

A function takes the settings of the experiment and returns the values that its row's texts name. Where a formula is
shown at other sizes, they are examples, and the row states them.
"""

from __future__ import annotations

from collections.abc import Callable

from orderdp.reporting.corrections import formulas, tables, toy
from orderdp.reporting.corrections.values import Settings, Values, nothing

CORRECTIONS: dict[str, Callable[[Settings], Values]] = {
    "beta_limit": formulas.beta_limit,
    "vanishing_weight": formulas.vanishing_weight,
    "upper_limit": formulas.upper_limit,
    "average_chance": formulas.average_chance,
    "stale_scores": formulas.stale_scores,
    "no_chance": formulas.no_chance,
    "rank_chances": formulas.rank_chances,
    "placed_sets": formulas.placed_sets,
    "vanishing_terms": formulas.vanishing_terms,
    "quantile_order": formulas.quantile_order,
    "sum_of_weights": formulas.sum_of_weights,
    "induction_base": formulas.induction_base,
    "batch_weights": formulas.batch_weights,
    "squared_gap": formulas.squared_gap,
    "gap_near_equality": formulas.gap_near_equality,
    "undefined_rank": formulas.undefined_rank,
    "missing_factor": formulas.missing_factor,
    "memory": formulas.memory,
    "toy_probabilities": toy.toy_probabilities,
    "toy_expectation": toy.toy_expectation,
    "toy_prune_rate": toy.toy_prune_rate,
    "toy_estimators": toy.toy_estimators,
    "wrong_gaps": tables.wrong_gaps,
    "only_lossless": tables.only_lossless,
    "imagenet_time": tables.imagenet_time,
    "full_deviation": tables.full_deviation,
    "jaccard_order": tables.jaccard_order,
    "jaccard_bold": tables.jaccard_bold,
    "jaccard_ceiling": tables.jaccard_ceiling,
    "repeated_norms": tables.repeated_norms,
    "nominal_ratio": tables.nominal_ratio,
    "saved_shares": tables.saved_shares,
    "savings": tables.savings,
    "same_savings": tables.same_savings,
    "harder_sets": tables.harder_sets,
    "lossless_rows": tables.lossless_rows,
    "method_count": tables.method_count,
    "nothing": nothing,
}
"""Name in `errata.csv` -> function."""

__all__ = ["CORRECTIONS"]
