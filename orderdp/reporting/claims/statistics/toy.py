"""Claims about the toy example of E.1, enumerated exactly."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from orderdp.reporting.claims.statistics.deciding import Finding, decide_exact
from orderdp.reporting.claims.statistics.runs import Frames
from orderdp.theory.toy import Expectations, Outcome, expectations, infobatch_outcomes, orderdp_outcomes

DIVISORS = {"kept": "sum over the number kept", "n": "sum over n"}
NAMES = {"infobatch": "InfoBatch", "orderdp": "OrderDP"}


def orderdp_of(gradients: Sequence[int], prune_ratio: float) -> list[Outcome]:
    """OrderDP as E.1 sets it: the prune ratio fixes q, and s is any of q..n, each as probable."""
    n = len(gradients)
    kept = round((1 - prune_ratio) * n)
    return orderdp_outcomes(gradients, list(range(kept, n + 1)), kept)


def _both(gradients: Sequence[int], prune_ratio: float) -> tuple[Expectations, Expectations, Fraction]:
    """InfoBatch's and OrderDP's expectations, and the full gradient."""
    infobatch, orderdp = (
        expectations(infobatch_outcomes(gradients, prune_ratio)),
        expectations(orderdp_of(gradients, prune_ratio)),
    )
    return infobatch, orderdp, Fraction(sum(gradients), len(gradients))


def toy_value(frames: Frames, *, gradients: Sequence[int], prune_ratio: float, method: str, printed: float) -> Finding:
    """Expected mean over the samples kept, against the printed number."""
    infobatch, orderdp, _ = _both(gradients, prune_ratio)
    value = float((infobatch if method == "infobatch" else orderdp).mean)
    return decide_exact(
        abs(value - printed) < 5e-4, f"expected mean over what {NAMES[method]} keeps", value, f"{printed:g}"
    )


def toy_bias(frames: Frames, *, gradients: Sequence[int], prune_ratio: float, divisor: str) -> Finding:
    """Expectation of InfoBatch's estimator less the full gradient: the claim is that it is not 0.

    Args:
        frames: not looked at.
        gradients: of the samples.
        prune_ratio: of the samples below the mean.
        divisor: of the weighed sum: "kept" for the number of samples kept, "n" for that of all.
    """
    infobatch, _, full = _both(gradients, prune_ratio)
    bias = _estimate(infobatch, divisor) - full
    return decide_exact(
        bias != 0,
        f"expectation of InfoBatch's estimate ({DIVISORS[divisor]}) less the full gradient",
        float(bias),
        "not 0",
    )


def toy_closer(frames: Frames, *, gradients: Sequence[int], prune_ratio: float, divisor: str) -> Finding:
    """|bias| of InfoBatch's estimator less |bias| of OrderDP's mean: above 0 if OrderDP is nearer to the full gradient.
    See `toy_bias`."""
    infobatch, orderdp, full = _both(gradients, prune_ratio)
    infobatch_bias, orderdp_bias = _estimate(infobatch, divisor) - full, orderdp.mean - full
    reason = f"off by {float(orderdp_bias):.3f} (OrderDP) and {float(infobatch_bias):.3f} (InfoBatch)"
    statistic = f"distance of InfoBatch's estimate ({DIVISORS[divisor]}) from the full gradient less OrderDP's"
    value = float(abs(infobatch_bias) - abs(orderdp_bias))
    return decide_exact(value > 0, statistic, value, "above 0", reason=reason)


def _estimate(expected: Expectations, divisor: str) -> Fraction:
    if divisor not in DIVISORS:
        raise ValueError(f"divisor must be one of {', '.join(DIVISORS)}. Got {divisor!r}.")
    return expected.mean if divisor == "kept" else expected.per_sample


def toy_ratio(frames: Frames, *, gradients: Sequence[int], prune_ratio: float) -> Finding:
    """Whether every outcome of OrderDP prunes exactly the ratio."""
    ratios = {outcome.prune_ratio for outcome in orderdp_of(gradients, prune_ratio)}
    worst = max(abs(ratio - Fraction(str(prune_ratio))) for ratio in ratios)
    return decide_exact(worst == 0, "largest deviation of an outcome's prune ratio", float(worst), "0")


def toy_infobatch_ratio(
    frames: Frames, *, gradients: Sequence[int], prune_ratio: float, outcome: Sequence[int], printed: float
) -> Finding:
    """The prune rate of one of InfoBatch's outcomes against the printed one."""
    (matching,) = [o for o in infobatch_outcomes(gradients, prune_ratio) if list(o.kept) == list(outcome)]
    value = float(matching.prune_ratio)
    return decide_exact(
        abs(value - printed) < 5e-4, f"prune rate of {{{', '.join(map(str, outcome))}}}", value, f"{printed:g}"
    )
