"""Table 10: the toy example of E.1, every outcome with its exact probability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from orderdp.reporting.claims.statistics.toy import orderdp_of
from orderdp.reporting.items.base import Item, Table
from orderdp.reporting.published import load_published
from orderdp.reporting.sheets import Block, Entry, Sheet, muted
from orderdp.theory import Outcome, expectations, infobatch_outcomes, random_outcomes

LABELS = {"infobatch": "InfoBatch", "orderdp": "OrderDP", "random": "Dynamic Random"}


def table10(settings: Mapping[str, Any]) -> pd.DataFrame:
    """Outcomes and expectations of the toy example.

    Args:
        settings: `gradients`, and `prune_ratio`, which fixes q; OrderDP's s is uniform in q..n, as in E.1.

    Returns:
        One row per method and kept set, and one "expected" row per method: `probability` (as a fraction in `exact`),
        `rescaled` gradients, `mean` over the kept, `per_sample` (sum over n), `prune_ratio`; `published` and
        `published_prune_ratio`, `published_probability`.
    """
    gradients, ratio = settings["gradients"], settings["prune_ratio"]
    methods = {
        "infobatch": infobatch_outcomes(gradients, ratio),
        "orderdp": orderdp_of(gradients, ratio),
        "random": random_outcomes(gradients, round((1 - ratio) * len(gradients))),
    }
    printed = _printed()
    return pd.DataFrame(
        [record for method, outcomes in methods.items() for record in _records(method, outcomes, printed)]
    )


def _printed() -> dict[tuple[str, str, str], float]:
    frame = load_published()
    frame = frame[frame["table"] == "table10"]
    return {
        (row, kept, quantity): value
        for row, kept, quantity, value in frame[["row", "kept", "quantity", "value"]].itertuples(index=False)
    }


def _records(
    method: str, outcomes: list[Outcome], printed: Mapping[tuple[str, str, str], float]
) -> Iterator[dict[str, Any]]:
    def published(kept: str, quantity: str) -> float:
        return printed.get((LABELS[method], kept, quantity), float("nan"))

    for outcome in outcomes:
        kept = "+".join(map(str, outcome.kept))
        yield {
            "method": method, "label": LABELS[method], "kept": kept, "probability": float(outcome.probability),
            "exact": str(outcome.probability),
            "rescaled": ", ".join(f"{float(gradient):g}" for gradient in outcome.gradients),
            "mean": float(outcome.mean),
            "per_sample": float(outcome.per_sample), "prune_ratio": float(outcome.prune_ratio),
            "published_probability": published(kept, "probability"), "published": published(kept, "average-gradient"),
            "published_prune_ratio": published(kept, "prune-ratio"),
        }  # fmt: skip
    found = expectations(outcomes)
    yield {
        "method": method, "label": LABELS[method], "kept": "expected", "probability": 1.0, "exact": "1",
        "rescaled": "", "mean": float(found.mean),
        "per_sample": float(found.per_sample), "prune_ratio": float(found.prune_ratio),
        "published_probability": float("nan"),
        "published": published("", "expected-gradient"), "published_prune_ratio": published("", "prune-ratio"),
    }  # fmt: skip


def table10_sheets(table: pd.DataFrame) -> list[Sheet]:
    """One sheet, a block per method, its expectation last."""
    columns = ("Kept", "Probability", "Gradients, rescaled", "Mean over the kept", "Sum over n", "Pruned")
    blocks = [
        Block(str(label), tuple(_row(row) for row in part.to_dict("records")))
        for label, part in table.groupby("label", sort=False)
    ]
    return [
        Sheet(
            title="Every outcome of the toy example, by exact enumeration",
            columns=(*columns, "Probability", "Mean", "Pruned"),
            blocks=tuple(blocks),
            spans=(("", 1), ("Here", 5), ("Published", 3)),
            notes=(
                (
                    "The full gradient is the mean of the gradients. InfoBatch's weights are made for the sum over n,"
                    " whose expectation is the full gradient; the paper divides by the number kept instead. OrderDP's"
                    " estimate is meant for L_q, not for the full gradient."
                ),
            ),
        )
    ]


def _row(row: Mapping[Any, Any]) -> tuple[Entry, ...]:
    last = row["kept"] == "expected"
    ours = (
        row["exact"],
        row["rescaled"] or "–",
        f"{row['mean']:.4g}",
        f"{row['per_sample']:.4g}",
        f"{row['prune_ratio']:.4g}",
    )
    printed = (row["published_probability"], row["published"], row["published_prune_ratio"])
    name = Entry("Expectation" if last else "{" + str(row["kept"]).replace("+", ", ") + "}", best=last)
    texts = ("–" if last else ours[0], *("–" if text != text else str(text) for text in ours[1:]))
    return (name, *(Entry(text, best=last) for text in texts), *muted("–" if v != v else f"{v:.4g}" for v in printed))


ITEMS = {
    "table10": Item(
        caption="""
The toy example of E.1: five samples with the gradients 1 to 5. Every outcome of each method with its exact
probability, by enumeration. InfoBatch keeps what is above the mean, and each other sample with probability 1 - r,
weighed by 1/(1 - r); OrderDP draws s uniformly from 1 to 5, then s candidates, and keeps the largest; dynamic random
keeps one at random. What differs from the published columns is listed in the errata.
""",
        artifacts=(Table("table10", "Table 10", ("settings",), table10, table10_sheets),),
    )
}
