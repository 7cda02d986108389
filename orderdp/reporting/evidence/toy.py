"""Claims about the toy example of E.1, enumerated exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from orderdp.reporting.evidence.deciding import Finding, exact
from orderdp.reporting.evidence.runs import Frames
from orderdp.theory.toy import Expectations, Outcome, expectations, infobatch_outcomes, orderdp_outcomes

NAMES = {"infobatch": "InfoBatch", "orderdp": "OrderDP"}


def orderdp_of(gradients: Sequence[int], prune_ratio: float) -> list[Outcome]:
    """OrderDP as E.1 sets it: the prune ratio fixes q, and s is any of q..n, each as probable."""
    n = len(gradients)
    kept = round((1 - prune_ratio) * n)
    return orderdp_outcomes(gradients, list(range(kept, n + 1)), kept)


def _both(gradients: Sequence[int], prune_ratio: float) -> tuple[Expectations, Expectations, Fraction]:
    """InfoBatch's and OrderDP's expectations, and the full gradient."""
    infobatch, orderdp = expectations(infobatch_outcomes(gradients, prune_ratio)), expectations(orderdp_of(gradients, prune_ratio))
    return infobatch, orderdp, Fraction(sum(gradients), len(gradients))


def toy_value(frames: Frames, *, gradients: Sequence[int], prune_ratio: float, method: str, printed: float) -> Finding:
    """Expected mean over the samples kept, against the printed number."""
    infobatch, orderdp, _ = _both(gradients, prune_ratio)
    value = float((infobatch if method == "infobatch" else orderdp).mean)
    return exact(abs(value - printed) < 5e-4, f"expected mean over what {NAMES[method]} keeps", value, f"{printed:g}")


def toy_bias(frames: Frames, *, gradients: Sequence[int], prune_ratio: float) -> Finding:
    """Expectation of InfoBatch's own estimator (sum of the weighed gradients over n) less the full gradient: the claim is that it is not 0."""
    infobatch, _, full = _both(gradients, prune_ratio)
    bias = infobatch.per_sample - full
    reason = f"the mean over the kept is off by {float(infobatch.mean - full):.3f}, but the weights are made for the sum over n"
    return exact(bias != 0, "expectation of InfoBatch's estimator (sum over n) less the full gradient", float(bias), "not 0", reason=reason)


def toy_closer(frames: Frames, *, gradients: Sequence[int], prune_ratio: float) -> Finding:
    """|bias| of InfoBatch's own estimator less |bias| of OrderDP's: above 0 if OrderDP is nearer to the full gradient."""
    infobatch, orderdp, full = _both(gradients, prune_ratio)
    lead = abs(infobatch.per_sample - full) - abs(orderdp.mean - full)
    reason = (
        f"off by {float(orderdp.mean - full):.3f} (OrderDP) and {float(infobatch.per_sample - full):.3f} (InfoBatch, sum over n); "
        f"{float(infobatch.mean - full):.3f} if InfoBatch's is divided by the number kept"
    )
    return exact(lead > 0, "distance of InfoBatch's estimate from the full gradient less OrderDP's", float(lead), "above 0", reason=reason)


def toy_ratio(frames: Frames, *, gradients: Sequence[int], prune_ratio: float) -> Finding:
    """Whether every outcome of OrderDP prunes exactly the ratio."""
    found = {outcome.prune_ratio for outcome in orderdp_of(gradients, prune_ratio)}
    worst = max(abs(ratio - Fraction(str(prune_ratio))) for ratio in found)
    return exact(worst == 0, "largest deviation of an outcome's prune ratio", float(worst), "0")


def toy_infobatch_ratio(frames: Frames, *, gradients: Sequence[int], prune_ratio: float, outcome: Sequence[int], printed: float) -> Finding:
    """The prune rate of one of InfoBatch's outcomes against the printed one."""
    (found,) = [o for o in infobatch_outcomes(gradients, prune_ratio) if list(o.kept) == list(outcome)]
    value = float(found.prune_ratio)
    return exact(abs(value - printed) < 5e-4, f"prune rate of {{{', '.join(map(str, outcome))}}}", value, f"{printed:g}")
