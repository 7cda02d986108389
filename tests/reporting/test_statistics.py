"""Intervals, rules and computed statistics against literal twins."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orderdp.reporting.claims.statistics import (
    accuracy,
    computed,
    deciding,
    dynamics,
    intervals,
    prune_ratio,
    same_budget,
    sets,
    theorem_experiment,
    timing,
    toy,
)
from orderdp.reporting.claims.statistics.deciding import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    Context,
    decide_equivalence,
    decide_one_sided,
)
from orderdp.reporting.claims.statistics.intervals import interval_text, number_text
from orderdp.reporting.claims.statistics.runs import NotRun
from orderdp.theory import limit_weights

VALUES = [0.3, 0.9, -0.2, 0.5, 0.7]


def test_mean_has_the_t_interval():
    estimate = intervals.mean(VALUES)
    n, center, deviation = 5, sum(VALUES) / 5, math.sqrt(sum((v - 0.44) ** 2 for v in VALUES) / 4)
    reach = 2.7764451 * deviation / math.sqrt(n)  # the t quantile with 4 degrees of freedom, from a table
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        (center, center - reach, center + reach), rel=1e-7
    )
    assert estimate.p(0.1) == pytest.approx(stats.ttest_1samp(VALUES, 0.1).pvalue)
    assert estimate.p(estimate.low) == pytest.approx(0.05) == estimate.p(estimate.high)


def test_geometric_mean_is_the_mean_of_logarithms():
    ratios = [0.5, 0.7, 0.4]
    low, high = stats.t.interval(0.95, 2, *(lambda x: (np.mean(x), stats.sem(x)))(np.log(ratios)))
    estimate = intervals.geometric_mean(ratios)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        ((0.5 * 0.7 * 0.4) ** (1 / 3), math.exp(low), math.exp(high))
    )
    assert estimate.p(1.0) == pytest.approx(stats.ttest_1samp(np.log(ratios), 0).pvalue)


def test_correlations_are_averaged_by_fishers_z():
    rs = [-0.9, -0.95, -0.8]
    z = [0.5 * math.log((1 + r) / (1 - r)) for r in rs]
    center, reach = sum(z) / 3, 4.3026527 * np.std(z, ddof=1) / math.sqrt(3)
    estimate = intervals.correlation(rs)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
        [math.tanh(x) for x in (center, center - reach, center + reach)], rel=1e-6
    )
    assert intervals.correlation([-1.0, -1.0, -1.0]).high < -0.999


def test_spread_ratio_is_the_test_of_pitman_and_morgan():
    rng = np.random.default_rng(1)
    shared = rng.standard_normal(8)
    x, y = shared + 0.3 * rng.standard_normal(8), 2.5 * shared + rng.standard_normal(8)
    estimate = intervals.spread_ratio(x, y)
    assert estimate.value == pytest.approx(np.std(x) / np.std(y))
    # Equal spreads: sums and differences are uncorrelated. Any other ratio is tested by scaling y with it.
    for ratio in (1.0, 0.3, estimate.value):
        assert estimate.p(ratio) == pytest.approx(stats.pearsonr(x + ratio * y, x - ratio * y).pvalue)
    for end in (estimate.low, estimate.high):
        assert stats.pearsonr(x + end * y, x - end * y).pvalue == pytest.approx(0.05)
    assert math.isnan(intervals.spread_ratio([1.0, 2.0], [1.0, 3.0]).value)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 10), (5, 5)])
def test_share_is_clopper_and_pearsons(successes, trials):
    estimate, twin = (
        intervals.share(successes, trials),
        stats.binomtest(successes, trials).proportion_ci(method="exact"),
    )
    assert (estimate.low, estimate.high) == pytest.approx((twin.low, twin.high))


def test_normal_gives_back_its_interval():
    estimate = intervals.normal(2.0, 0.5, 1000)
    assert (estimate.low, estimate.high) == (1.5, 2.5)
    assert estimate.p(2.5) == pytest.approx(0.05) and estimate.p(2.0) == 1.0


def test_equal_values_leave_no_doubt_but_one_value_does():
    sure = intervals.mean([0.1 + 0.2, 0.3, 0.3])
    assert sure.low == sure.high and sure.p(0.2) == 0.0
    assert intervals.mean([0.3]).p(0.0) == 1.0 and math.isnan(intervals.mean([0.3]).low)
    assert intervals.mean([]).count == 0 and intervals.mean([1.0, float("nan")]).count == 1


def test_holm_step_by_step():
    def literal(ps):
        adjusted = []
        for p in ps:
            smaller = [other for other in sorted(ps) if other <= p]
            adjusted.append(min(1.0, max((len(ps) - place) * other for place, other in enumerate(smaller))))
        return adjusted

    for ps in ([0.01, 0.04, 0.03, 0.005], [0.5, 0.9], [0.02], [0.2, 0.01, 0.4]):
        assert intervals.holm(ps) == pytest.approx(literal(ps))
    assert intervals.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


CONTEXT = Context("number", "points")


def shifted(center, label="", count=4):
    """Mean with a standard error of about 0.1."""
    return intervals.mean([center - 0.2, center - 0.1, center + 0.1, center + 0.2][:count], label)


def test_every_comparison_must_hold():
    assert decide_one_sided([shifted(2), shifted(1)], CONTEXT).verdict == SUPPORTED
    finding = decide_one_sided([shifted(2, "easy"), shifted(0.1, "hard"), shifted(1, "other")], CONTEXT)
    assert (finding.verdict, round(finding.value, 6), finding.claimed) == (INCONCLUSIVE, 0.1, "above 0")
    assert finding.statistic == "number; of 3 the least favourable: hard" and len(finding.comparisons) == 3
    finding = decide_one_sided([shifted(2, "easy"), shifted(-1, "lost")], CONTEXT)
    assert (finding.verdict, finding.value) == (CONTRADICTED, -1) and "lost" in finding.statistic


def test_sides_and_thresholds():
    assert decide_one_sided([shifted(2)], CONTEXT, threshold=3).verdict == CONTRADICTED
    assert decide_one_sided([shifted(2)], CONTEXT, threshold=3, side=-1).verdict == SUPPORTED
    assert decide_one_sided([shifted(2)], CONTEXT, threshold=2, side=-1).verdict == INCONCLUSIVE


def test_a_contradiction_must_survive_holm():
    below = shifted(-0.32)  # p = 0.049 alone
    assert 0.03 < below.p(0.0) < 0.05 and below.high < 0
    assert decide_one_sided([below], CONTEXT).verdict == CONTRADICTED
    finding = decide_one_sided([below, shifted(2), shifted(0.1)], CONTEXT)
    assert (
        finding.verdict == INCONCLUSIVE
        and finding.reason == "an interval lies on the other side, but not after Holm's correction for 3 comparisons"
    )


def test_equivalence_takes_two_one_sided_tests():
    assert decide_equivalence([shifted(0.0)], CONTEXT, -0.5, 0.5).verdict == SUPPORTED
    assert decide_equivalence([shifted(0.3)], CONTEXT, -0.5, 0.5).verdict == INCONCLUSIVE
    assert decide_equivalence([shifted(0.0), shifted(-2.0)], CONTEXT, -0.5, 0.5).verdict == CONTRADICTED
    narrow, wide = intervals.mean([0.0, 0.01, -0.01]), intervals.mean([0.0, 1.0, -1.0])
    assert decide_equivalence([narrow, wide], CONTEXT, -0.5, 0.5).verdict == INCONCLUSIVE


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_seeds_decide_nothing(count):
    few = [intervals.mean([5.0, 5.0][:count])]
    for finding in (
        decide_one_sided(few, CONTEXT),
        decide_one_sided(few, CONTEXT, side=-1),
        decide_equivalence(few, CONTEXT, 4, 6),
        decide_equivalence(few, CONTEXT, 0, 1),
    ):
        assert finding.verdict == INCONCLUSIVE and finding.reason.startswith(f"too few seeds: {count}")


def test_diverged_runs_are_named_and_cannot_help_their_method():
    runs = pd.DataFrame(
        [run("orderdp", 0.3, 0, 90.0) | {"run": "a"}, run("ucb", 0.3, 0, 90.0, status="diverged") | {"run": "b"}]
    )
    rival = decide_one_sided([shifted(2)], Context("number", runs=runs, favours="orderdp"))
    assert (rival.verdict, rival.reason) == (SUPPORTED, "diverged: b")
    own = decide_one_sided([shifted(2)], Context("number", runs=runs, favours="ucb"))
    assert own.verdict == INCONCLUSIVE and "1 of ucb diverged" in own.reason
    assert decide_one_sided([shifted(-2)], Context("number", runs=runs, favours="ucb")).verdict == CONTRADICTED


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (-0.312, "points", "−0.31"),
        (0.5, "points", "+0.50"),
        (12.34, "%", "12.3"),
        (10000, "", "10,000"),
        (4.336, "", "4.336"),
        (0.00961, "", "0.00961"),
        (float("nan"), "", "–"),
        (-0.001, "points", "0.00"),
    ],
)
def test_numbers_as_text(value, unit, text):
    assert number_text(value, unit) == text


def test_intervals_as_text():
    assert interval_text(0.85, 0.81, 0.9, "×") == "×0.85 [0.81, 0.90]"
    assert interval_text(-1, float("nan"), float("nan"), "points") == "−1.00 points"
    assert interval_text(-0.93, -0.95, -0.9, "R") == "−0.93 [−0.95, −0.90]"


# ---- statistics on a handful of runs


def run(method, ratio, seed, accuracy, time=10.0, realised=None, explore=0.5, status="finished", n=1000):
    return {
        "experiment": "x",
        "workload": "w",
        "method": method,
        "label": method.upper(),
        "prune_ratio": ratio,
        "explore": explore,
        "panel": "",
        "seed": seed,
        "run": f"{method}-{ratio}-{explore}-{seed}",
        "status": status,
        "test_accuracy": accuracy,
        "time_s": time,
        "selection_s": 1.0,
        "n": n,
        "realised_prune_ratio": (0.0 if ratio != ratio else ratio) if realised is None else realised,
    }


def frames(*rows, histories=None, **more):
    return {
        "results": pd.DataFrame(list(rows)),
        "histories": pd.DataFrame() if histories is None else histories,
        **more,
    }


NAN = float("nan")


def test_differences_are_paired_by_seed():
    rows = [run("orderdp", 0.3, s, a) for s, a in enumerate((91.0, 93.0, 96.0))] + [
        run("ucb", 0.3, s, a) for s, a in enumerate((90.0, 92.5, 94.5))
    ]
    finding = accuracy.higher(frames(*rows), rivals=["ucb"], ratios=0.3)
    low, high = stats.t.interval(0.95, 2, 1.0, stats.sem([1.0, 0.5, 1.5]))
    assert (finding.value, finding.low, finding.high) == pytest.approx((1.0, low, high))
    assert finding.decided_from == "3 seeds" and finding.statistic == "accuracy of ORDERDP less that of UCB"


def test_missing_runs_are_counted_and_absent_methods_named():
    rows = [run("orderdp", 0.3, s, 90.0) for s in range(3)] + [
        run("ucb", 0.3, s, NAN, status="not run" if s else "finished") for s in range(3)
    ]
    with pytest.raises(NotRun, match="2 of 6 runs are missing"):
        accuracy.higher(frames(*rows), rivals=["ucb"])
    with pytest.raises(NotRun, match="no runs of infobatch"):
        accuracy.higher(frames(*rows), rivals=["infobatch"])


def test_the_lead_is_read_off_at_the_rivals_realised_ratio():
    rows = []
    for seed in range(3):
        rows += [
            run("full", NAN, seed, 96.0 + seed),
            run("orderdp", 0.2, seed, 94.0 + seed),
            run("orderdp", 0.6, seed, 86.0 + seed),
        ]
        rows += [
            run("infobatch", 0.2, seed, 94.5 + seed, realised=0.1),
            run("infobatch", 0.6, seed, 89.0 + seed, realised=0.4),
        ]
        rows += [run("infobatch", 0.9, seed, 80.0 + seed, realised=0.405)]  # no other ratio than the one before
    finding = same_budget.higher_at_same_budget(frames(*rows), rival="infobatch")
    # These accuracies have steps of 0.5: 4.3027 * 0.5 * sqrt(1.5 / 12) / sqrt(3) = 0.44, though the seeds agree.
    # At 0.1 half way between 96 and 94: 95 against 94.5. At 0.4 half way between 94 and 86: 90 against 89.
    assert finding.comparisons == (
        "at 10 % realised (20 %): +0.50 [+0.06, +0.94] points",
        "at 40 % realised (60 %): +1.00 [+0.56, +1.44] points",
    )
    with pytest.raises(NotRun, match="fewer than three"):
        same_budget.lead_grows(frames(*rows), rival="infobatch")
    rows += [run("infobatch", 0.4, seed, 91.5 + seed, realised=0.2) for seed in range(3)]
    slope = np.polyfit([0.1, 0.2, 0.4], [0.5, 94 - 91.5, 1.0], 1)[0]
    assert same_budget.lead_grows(frames(*rows), rival="infobatch").value == pytest.approx(slope / 10)


def test_loss_against_time_and_its_growth():
    rows = []
    for seed in range(3):
        rows += [
            run("full", NAN, seed, 90.0, 10.0),
            run("orderdp", 0.7, seed, 81.0, 4.0),
            run("orderdp", 0.9, seed, 61.0),
        ]
    assert accuracy.slower_than_time(frames(*rows), ratio=0.7).value == pytest.approx(60 - 10)
    # 20 points over 20 % beyond, 9 points over 70 % before.
    assert accuracy.loss_steepens(frames(*rows), knee=0.7, end=0.9).value == pytest.approx(10 - 9 / 7)


def test_time_to_a_common_accuracy_on_straight_lines():
    def course(cell, accuracies, times):
        return pd.DataFrame(
            {"run": cell, "epoch": range(1, len(times) + 1), "test_accuracy": accuracies, "time_s": times}
        )

    rows, histories = [], []
    for seed in range(3):
        rows += [run("orderdp", 0.4, seed, 90.0), run("random", 0.4, seed, 80.0)]
        histories += [
            course(rows[-2]["run"], [60.0, 90.0], [2.0, 4.0]),
            course(rows[-1]["run"], [70.0, 75.0, 80.0], [3.0, 6.0, 9.0]),
        ]
    finding = timing.time_to_accuracy(frames(*rows, histories=pd.concat(histories)), rivals=["random"], ratio=0.4)
    # The target is 80: OrderDP crosses it two thirds of the way from 2 s to 4 s, random pruning after 9 s.
    assert finding.value == pytest.approx((2 + 4 / 3) / 9)


def test_exactness_is_counted_in_samples():
    rows = [run("orderdp", 0.3, seed, 90.0, realised=0.3004, n=1000) for seed in range(3)]
    assert prune_ratio.exact_ratio(frames(*rows)).value == pytest.approx(0.4)
    assert prune_ratio.exact_ratio(frames(*rows)).verdict == SUPPORTED
    rows[1]["realised_prune_ratio"] = 0.31
    assert prune_ratio.exact_ratio(frames(*rows)).verdict == INCONCLUSIVE


def test_splits_are_compared_pair_by_pair():
    rows = [run("orderdp", 0.7, seed, 90.0 + e, 5.0, explore=e) for seed in range(3) for e in (0.4, 0.5, 1.0)]
    finding = prune_ratio.same_across_splits(frames(*rows), what="accuracy", margin=0.55, panel="")
    assert len(finding.comparisons) == 3 and finding.verdict == CONTRADICTED and finding.value == pytest.approx(-0.6)
    assert prune_ratio.same_across_splits(frames(*rows), what="accuracy", margin=0.65, panel="").verdict == SUPPORTED


def norms(cell, raw, normalised):
    return pd.DataFrame(
        {
            "run": cell,
            "epoch": range(1, 5),
            "progress": [0.25, 0.5, 0.75, 1.0],
            "grad_norm_mean": raw,
            "grad_norm_normalized_mean": normalised,
            "grad_norm_std": [0.0, 0.0, 2.0, 1.0],
            "steps": [1, 1, 2, 2],
            "test_accuracy": [10.0, 20.0, 30.0, 40.0],
        }
    )


def test_raw_and_normalised_norms_are_kept_apart():
    rows = [run("full", NAN, s, 90.0) for s in range(3)] + [run("infobatch", 0.7, s, 90.0) for s in range(3)]
    histories = [
        norms(r["run"], [4.0, 3, 2, 1], [4.0, 3, 2, 1])
        if r["method"] == "full"
        else norms(r["run"], [8.0, 6, 4, 2], [4.0, 3, 2, 1])
        for r in rows
    ]
    frame = frames(*rows, histories=pd.concat(histories))
    assert dynamics.norm_ratio(frame, method="infobatch", than="full", norm="raw").value == pytest.approx(2.0)
    assert dynamics.norm_ratio(frame, method="infobatch", than="full", norm="normalised").verdict == INCONCLUSIVE
    assert dynamics.rolling_ratio(frame, method="infobatch", than="full", norm="raw").value == pytest.approx(2.0)
    assert dynamics.rolling_ratio(frame, method="infobatch", than="full", norm="normalised").value == pytest.approx(1.0)
    # Over the steps of the third and fourth epochs, the mean and the spread follow by hand: 4, 4, 2, 2 with variances 4
    # and 1.
    finding = dynamics.oscillation_ratio(frame, method="infobatch", than="full", start=0.5, end=1.0, relative=False)
    assert finding.value == pytest.approx(math.sqrt((4 + 1) / 2 + 1.0) / math.sqrt((4 + 1) / 2 + 0.25))
    assert dynamics.norm_accuracy(frame, threshold=-0.7).value == pytest.approx(-1.0)


@pytest.mark.parametrize(
    "broken", [{"status": "diverged"}, {"test_accuracy": 44.0}], ids=["diverged", "below half of the full data"]
)
def test_a_run_that_fails_is_one_too_many(broken):
    # Two runs of each of ten seeds are not twenty independent ones: 0 of 10 leaves up to 30.8 %, 0 of 20 would leave
    # 16.8 %.
    rows = [run("full", NAN, s, 90.0) for s in range(10)] + [
        run("orderdp", r, s, 90.0) for r in (0.3, 0.7) for s in range(10)
    ]
    finding = dynamics.fails(frames(*rows), of=["orderdp"], never=True)
    assert (finding.verdict, round(finding.high, 1)) == (SUPPORTED, 30.8)
    assert dynamics.fails(frames(*rows), of=["orderdp"], never=False).verdict == CONTRADICTED
    for seeds in (2, 9):
        assert (
            dynamics.fails(frames(*[r for r in rows if r["seed"] < seeds]), of=["orderdp"], never=True).verdict
            == INCONCLUSIVE
        )
    rows[-1] |= broken
    finding = dynamics.fails(frames(*rows), of=["orderdp"], never=True)
    assert (finding.verdict, "failed: 1 of ORDERDP at 70 %" in finding.reason) == (CONTRADICTED, True)
    assert dynamics.fails(frames(*rows), of=["orderdp"], never=False).verdict == SUPPORTED


def test_a_first_phase_that_decides_is_named():
    """OrderDP is more alike from the second phase on; in the first, the sets of InfoBatch come from all data."""
    rows = [run(m, 0.4, s, 90.0) for m in ("orderdp", "infobatch") for s in range(3)]
    taken = pd.DataFrame(
        [
            {
                "run": r["run"],
                "epoch": e,
                "progress": (e - 1) / 10,
                "cosine": 0.5
                + (0.1 if e > 2 else -0.1) * (r["method"] == "orderdp")
                + 0.001 * r["seed"] * (r["method"] == "orderdp"),
            }
            for r in rows
            for e in (2, 4, 6)
        ]
    )
    finding = sets.cosine_higher(frames(*rows, diagnostics=taken), rival="infobatch", ratio=0.4)
    assert finding.verdict == CONTRADICTED
    assert finding.reason.startswith("the first phase, 0–20 %, decides: without it, this would be supported")
    later = sets.cosine_higher(frames(*rows, diagnostics=taken[taken["epoch"] > 2]), rival="infobatch", ratio=0.4)
    assert later.verdict == SUPPORTED and "first phase" not in later.reason


def test_phases_of_similarity_and_of_the_cosine():
    rows = [run(m, 0.4, s, 90.0) for m in ("orderdp", "infobatch") for s in range(3)]
    epochs = range(1, 11)
    histories = pd.concat(
        [
            pd.DataFrame(
                {
                    "run": r["run"],
                    "epoch": epochs,
                    "progress": [e / 10 for e in epochs],
                    "jaccard": [NAN, *[e / 10 + (0.5 if r["method"] == "orderdp" else e / 20) for e in range(2, 11)]],
                }
            )
            for r in rows
        ]
    )
    finding = sets.jaccard_higher(frames(*rows, histories=histories), rival="infobatch", ratio=0.4)
    assert [line.split(":")[0] for line in finding.comparisons] == [
        "0–20 %",
        "20–40 %",
        "40–60 %",
        "60–80 %",
        "80–100 %",
        "last epoch",
    ]
    assert finding.comparisons[0].startswith("0–20 %: 0.4 ") and finding.comparisons[4].startswith("80–100 %: 0.025 ")
    taken = pd.DataFrame(
        [
            {
                "run": r["run"],
                "epoch": e,
                "progress": (e - 1) / 10,
                "cosine": 0.1 * e * (2 if r["method"] == "orderdp" else 1),
            }
            for r in rows
            for e in (2, 4, 10, 11)
        ]
    )
    finding = sets.cosine_higher(frames(*rows, diagnostics=taken), rival="infobatch", ratio=0.4)
    assert finding.comparisons == (
        "0–20 %: 0.2 [0.2, 0.2]",
        "20–40 %: 0.4 [0.4, 0.4]",
        "80–100 %: 1 [1, 1]",
        "after the last epoch: 1.1 [1.1, 1.1]",
    )
    with pytest.raises(NotRun, match="have not been measured"):
        sets.cosine_higher(frames(*rows, diagnostics=pd.DataFrame()), rival="infobatch", ratio=0.4)
    with pytest.raises(NotRun, match="did not record their coverage"):
        sets.never_used(frames(*rows, histories=histories), ratios=[0.4])


# ---- computed statistics


def gamma(n, s, q):
    """Eq. 3's meaning: the share of the candidate sets in whose top q a rank is."""
    kept = [0] * n
    for candidates in itertools.combinations(range(n), s):
        for rank in candidates[:q]:
            kept[rank] += 1
    return [Fraction(count, math.comb(n, s)) for count in kept]


def test_counterexamples_by_enumeration():
    sizes = [(n, s, q) for n in range(2, 7) for s in range(2, n + 1) for q in range(1, s)]
    average = [size for size in sizes if Fraction(size[2], size[0]) in gamma(*size)]
    finding = computed.never_average({}, n=6)
    assert (finding.value, finding.verdict) == (len(average), CONTRADICTED) and average[0] == (3, 2, 1)
    assert computed.chances_positive({}, n=7, s=5, q=2).value == gamma(7, 5, 2).count(0) == 3
    assert computed.chances_positive({}, n=7, s=4, q=4).verdict == SUPPORTED
    gaps = [max(abs(7 * weight / q - 1) for weight in gamma(7, 4, q)) for q in range(1, 4)]
    assert computed.gap_vanishes({}, n=7, s=4).value == pytest.approx(float(min(gaps)))
    assert computed.batch_weights_sum({}, n=6, s=4, q=2).value == pytest.approx(
        float(sum(Fraction(6, 4) * g / 2 for g in gamma(6, 4, 2)[:4]))
    )
    distance = sum(abs(g / 3 - Fraction(1, 6)) for g in gamma(6, 4, 3)) / 2
    assert computed.distance_vanishes({}, n=6, s=4, q=[1, 2, 3], within=0.5).value == pytest.approx(float(distance))


def test_proposition_2_by_its_own_sum():
    z = np.linspace(0.0, 1.0, 21)
    twin = [
        sum(
            v ** (k - 1) * (1 - v) ** (7 - k) * math.factorial(7) / math.factorial(k - 1) / math.factorial(7 - k)
            for k in range(1, 4)
        )
        for v in z
    ]
    assert computed.printed_limit(z, 7, 3) == pytest.approx(np.array(twin), abs=1e-9)
    assert computed.printed_limit(z, 100, 30) == pytest.approx(limit_weights(z, 100, 30), abs=1e-8)
    assert 1 - np.array(twin) / 7 == pytest.approx(stats.beta(3, 4).cdf(z), abs=1e-9)
    assert computed.beta_as_proved({}, s=7, q=3).verdict == SUPPORTED
    assert computed.beta_as_printed({}, n=1000, s=10, q=3).value == pytest.approx(1 - 100 * 10, rel=1e-3)


def test_weights_statistics_can_fail():
    assert computed.weights_converge({}, s=10, q=3, n=[1000, 100], within=1.0).verdict == CONTRADICTED
    assert computed.distance_vanishes({}, n=40, s=20, q=[19, 5], within=1.0).verdict == CONTRADICTED
    assert computed.memory_constant({}, n=[100, 100], epochs=50, explore=0.5, exploit=0.6).verdict == SUPPORTED


def test_a_heap_takes_few_comparisons():
    # Of two in descending order, the heap [2, 3] is compared with once per number; q = 1 takes one comparison each.
    assert computed._heap_comparisons([5, 4, 3, 2, 1], 1) == 4
    assert computed._heap_comparisons([5, 4, 3], 2) == 1 + 1  # heapify, then one look at the least
    finding = computed.sorting_steps({}, s=256, q=[2, 16], draws=2, most=2.0)
    assert finding.verdict == SUPPORTED and "at q = 1" in finding.reason
    assert computed.sorting_steps({}, s=256, q=[2, 16], draws=2, most=0.5).verdict == CONTRADICTED


def test_toy_example_by_hand():
    arguments = {"gradients": [1, 2, 3, 4, 5], "prune_ratio": 0.8}
    # The largest of s out of five is s(n+1)/(s+1) on average: 3, 4, 4.5, 4.8, 5.
    orderdp = (3 + 4 + 4.5 + 4.8 + 5) / 5
    infobatch = 0.64 * 4 + 0.16 * 4.25 + 0.16 * 5.5 + 0.04 * 5.4
    assert toy.toy_value({}, **arguments, method="orderdp", printed=4.06).value == pytest.approx(orderdp) == 4.26
    assert toy.toy_value({}, **arguments, method="infobatch", printed=4.336).value == pytest.approx(infobatch)
    assert toy.toy_bias({}, **arguments, divisor="n").value == 0
    assert toy.toy_bias({}, **arguments, divisor="kept").value == pytest.approx(infobatch - 3)
    assert toy.toy_closer({}, **arguments, divisor="n").value == pytest.approx(-(orderdp - 3))
    assert toy.toy_closer({}, **arguments, divisor="kept").value == pytest.approx(infobatch - orderdp)
    with pytest.raises(ValueError, match="divisor must be one of kept, n"):
        toy.toy_bias({}, **arguments, divisor="s")
    assert toy.toy_ratio({}, **arguments).verdict == SUPPORTED
    assert toy.toy_infobatch_ratio({}, **arguments, outcome=[3, 4, 5], printed=0.4).verdict == SUPPORTED


def test_the_study_places_the_update_between_two_gradients():
    row = {
        "scores": "fresh",
        "n": 9,
        "s": 5,
        "q": 2,
        "draws": 500,
        "estimate": 0.8,
        "half_width": 0.02,
        "target": 0.7,
        "full": 1.7,
        "exact_bias": 0.1,
    }
    frame = {"study": {"unbiasedness": pd.DataFrame([row])}}
    finding = theorem_experiment.unbiased(frame, scores="fresh", margin=0.1)
    assert (finding.value, finding.low, finding.high) == pytest.approx(
        (0.9, 0.88, 0.92)
    ) and finding.verdict == INCONCLUSIVE
    assert theorem_experiment.unbiased(frame, scores="fresh", margin=0.2).verdict == SUPPORTED
    assert theorem_experiment.unbiased(frame, scores="fresh", margin=0.05).verdict == CONTRADICTED
    with pytest.raises(NotRun, match="stale"):
        theorem_experiment.unbiased(frame, scores="stale", margin=0.1)


def test_one_run_of_theorem_4_decides_nothing():
    table = pd.DataFrame(
        {"seed": 0, "step": [1, 2], "left": [0.0, 0.0], "right": [3.0, 2.0], "optimization_bound": [1.0, 1.0]}
    )
    finding = theorem_experiment.generalization_holds({"study": {"generalization": table}})
    assert (finding.value, finding.verdict, finding.decided_from) == (2.0, INCONCLUSIVE, "1 run")


def test_exact_findings_have_no_interval():
    finding = deciding.decide_exact(True, "number", 1.0, "1")
    assert finding.decided_from == "computed" and math.isnan(finding.low)
