"""What OrderDP's selection does to the training objective: weights, distances, bounds, coverage. NumPy and SciPy only;
usable alone."""

from __future__ import annotations

from orderdp.theory.bounds import GeneralizationBound, constant_rate, convergence_bound, generalization_bound
from orderdp.theory.coverage import expected_jaccard, fixed_never_kept, never_kept, random_jaccard
from orderdp.theory.distances import sup_gap, total_variation, wasserstein
from orderdp.theory.picture import plot
from orderdp.theory.screen import describe, describe_splits, splits
from orderdp.theory.toy import (
    Expectations,
    Outcome,
    expectations,
    infobatch_outcomes,
    orderdp_outcomes,
    random_outcomes,
)
from orderdp.theory.weights import limit_weights, rank_weights, selection_probabilities, surrogate_gap, surrogate_loss

__all__ = [
    "Expectations", "GeneralizationBound", "Outcome", "constant_rate", "convergence_bound", "describe",
    "describe_splits", "expectations",
    "expected_jaccard", "fixed_never_kept", "generalization_bound", "infobatch_outcomes", "limit_weights", "never_kept",
    "orderdp_outcomes", "plot", "random_jaccard", "random_outcomes", "rank_weights", "selection_probabilities",
    "splits", "sup_gap",
    "surrogate_gap", "surrogate_loss", "total_variation", "wasserstein",
]  # fmt: skip
