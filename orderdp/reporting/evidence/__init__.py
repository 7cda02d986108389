"""What claims are decided from: `claims.csv` names a statistic, and its function turns frames of results into a
finding."""

from __future__ import annotations

from collections.abc import Callable

from orderdp.reporting.evidence import accuracy, budget, computed, dynamics, lossless, sets, studied, toy
from orderdp.reporting.evidence.deciding import CONTRADICTED, INCONCLUSIVE, NOT_RUN, SUPPORTED, VERDICTS, Finding
from orderdp.reporting.evidence.runs import NotRun

__all__ = ["CONTRADICTED", "INCONCLUSIVE", "NOT_RUN", "STATISTICS", "SUPPORTED", "VERDICTS", "Finding", "NotRun"]

STATISTICS: dict[str, Callable[..., Finding]] = {
    "higher": accuracy.higher,
    "not_worse": accuracy.not_worse,
    "all_worse": accuracy.all_worse,
    "higher_at_same_budget": accuracy.higher_at_same_budget,
    "lead_grows": accuracy.lead_grows,
    "slower_than_time": accuracy.slower_than_time,
    "loss_steepens": accuracy.loss_steepens,
    "exact_ratio": budget.exact_ratio,
    "falls_short": budget.falls_short,
    "same_across_splits": budget.same_across_splits,
    "time_falls": budget.time_falls,
    "time_ratio": budget.time_ratio,
    "mean_time_ratio": budget.mean_time_ratio,
    "lossless_time_ratio": lossless.lossless_time_ratio,
    "lossless_saving": lossless.lossless_saving,
    "lossless_ratio_higher": lossless.lossless_ratio_higher,
    "selection_cost": budget.selection_cost,
    "time_to_accuracy": budget.time_to_accuracy,
    "time_to_accuracy_gains": budget.time_to_accuracy_gains,
    "norm_accuracy": dynamics.norm_accuracy,
    "norm_accuracy_weaker": dynamics.norm_accuracy_weaker,
    "norm_ratio": dynamics.norm_ratio,
    "norm_shift_larger": dynamics.norm_shift_larger,
    "rolling_ratio": dynamics.rolling_ratio,
    "jitter_ratio": dynamics.jitter_ratio,
    "oscillation_ratio": dynamics.oscillation_ratio,
    "spread_smaller": dynamics.spread_smaller,
    "fails": dynamics.fails,
    "never_used": sets.never_used,
    "jaccard_higher": sets.jaccard_higher,
    "jaccard_rises": sets.jaccard_rises,
    "cosine_higher": sets.cosine_higher,
    "cosine_lead_grows": sets.cosine_lead_grows,
    "weights_sum": computed.weights_sum,
    "weights_fall": computed.weights_fall,
    "weights_converge": computed.weights_converge,
    "beta_as_printed": computed.beta_as_printed,
    "beta_as_proved": computed.beta_as_proved,
    "never_average": computed.never_average,
    "chances_positive": computed.chances_positive,
    "gap_vanishes": computed.gap_vanishes,
    "distance_vanishes": computed.distance_vanishes,
    "uniform_at_equality": computed.uniform_at_equality,
    "batch_weights_sum": computed.batch_weights_sum,
    "deviation_vanishes": computed.deviation_vanishes,
    "memory_constant": computed.memory_constant,
    "sorting_steps": computed.sorting_steps,
    "toy_value": toy.toy_value,
    "toy_bias": toy.toy_bias,
    "toy_closer": toy.toy_closer,
    "toy_ratio": toy.toy_ratio,
    "toy_infobatch_ratio": toy.toy_infobatch_ratio,
    "unbiased": studied.unbiased,
    "biased_for_loss": studied.biased_for_loss,
    "variance_lower": studied.variance_lower,
    "convergence_holds": studied.convergence_holds,
    "generalization_holds": studied.generalization_holds,
}
"""Name in `claims.csv` -> function of (frames, **arguments)."""
