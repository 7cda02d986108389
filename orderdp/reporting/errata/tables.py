"""The printed tables against each other and against the text."""

from __future__ import annotations

import pandas as pd

from orderdp.reporting.errata.values import Settings, Values, shares
from orderdp.reporting.published import load_published, lookup, value
from orderdp.theory import expected_jaccard

ROUNDING = 0.051
"""Points by which a printed gap may differ from the difference of two printed accuracies."""


def wrong_gaps(settings: Settings) -> Values:
    """Every printed gap of Tables 1 and 2 that is not the difference of the printed accuracies."""
    frame = load_published()
    wrong = []
    for table in ("table1", "table2"):
        part = frame[frame["table"] == table]
        of_table = part.set_index(["row", "column"])["value"]
        for row, column, gap in part[["row", "column", "value"]].itertuples(index=False):
            if not column.endswith("/gap"):
                continue
            where = column.removesuffix("/gap")
            full = of_table[("Whole Dataset", where.rpartition("/")[0] + "/0")]
            right = full - of_table[(row, where)]
            if abs(abs(right) - abs(gap)) > ROUNDING:
                wrong.append((table.replace("table", "Table "), row, where, gap, right))
    printed = "; ".join(f"{table}, {row} on {where}: {gap:.1f}" for table, row, where, gap, _ in wrong)
    return {"count": len(wrong), "printed": printed, "right": "; ".join(f"{right:.1f}" for *_, right in wrong)}


def only_lossless(settings: Settings) -> Values:
    """Table 2 at 30 %: who else prints the full data's accuracy."""
    frame = load_published()
    table = frame[(frame["table"] == "table2") & (frame["quantity"] == "accuracy")]
    full = table[table["row"] == "Whole Dataset"].set_index(["dataset", "model"])["value"]
    ratio = "30"
    others = table[(table["ratio"] == ratio) & ~table["row"].isin(["Whole Dataset", "OrderDP"])]
    equal = [
        f"{row} on {d}/{m}"
        for row, d, m, v in others[["row", "dataset", "model", "value"]].itertuples(index=False)
        if v >= full[(d, m)]
    ]
    return {"who": ", ".join(equal), "count": len(equal), "ratio": ratio}


def imagenet_time(settings: Settings) -> Values:
    """Table 3's hours: OrderDP's, and those of the methods that take fewer."""
    frame = load_published()
    hours = frame[(frame["table"] == "table3") & (frame["quantity"] == "time")].set_index("row")["value"]
    faster = hours[hours < hours["OrderDP"]]
    return {
        "orderdp": hours["OrderDP"],
        "who": ", ".join(faster.index),
        "hours": ", ".join(f"{time:g}" for time in faster.unique()),
    }


def full_deviation(settings: Settings) -> Values:
    """The deviation of the same full training in Tables 3 and 4."""
    entries = [lookup(table, "Whole Dataset", "ImageNet-1K/ResNet-50/0") for table in ("table3", "table4")]
    (accuracy, three), (again, four) = (entry for entry in entries if entry is not None)
    assert accuracy == again
    return {"accuracy": accuracy, "three": three, "four": four}


def _similarities(row: str, ratio: int) -> pd.Series[float]:
    """Table 8: Jaccard similarity by training progress."""
    frame = load_published()
    part = frame[(frame["table"] == "table8") & (frame["row"] == row) & (frame["ratio"] == str(ratio))]
    return part.set_index("progress")["value"]


def jaccard_order(settings: Settings) -> Values:
    """Table 8 in the first fifth at 70 %, where InfoBatch is printed higher."""
    ratio, phase = 70, "0-20"
    infobatch, orderdp = (_similarities(row, ratio)[phase] for row in ("InfoBatch", "OrderDP"))
    return {"ratio": ratio, "infobatch": infobatch, "orderdp": orderdp}


def jaccard_bold(settings: Settings) -> Values:
    """Table 8 in the first fifth at 40 %, where the lower similarity is set in bold."""
    ratio, phase = 40, "0-20"
    bold, higher = (_similarities(row, ratio)[phase] for row in ("InfoBatch", "OrderDP"))
    return {"ratio": ratio, "bold": bold, "higher": higher}


def jaccard_ceiling(settings: Settings) -> Values:
    """OrderDP's similarities of Table 8 against the most that the default split allows, and the exploration that they
    need."""
    explore, exploit = shares(settings)
    ratio = round(100 * (1 - explore * exploit))  # the prune ratio that the default split gives
    similarities, other = _similarities("OrderDP", ratio), _similarities("OrderDP", 40)
    most = expected_jaccard(explore, exploit)
    needs, other_needs = (2 * part.max() / (1 + part.max()) for part in (similarities, other))
    counts = {"above": int((similarities > most).sum()), "count": len(similarities)}
    default = {"explore": explore, "exploit": exploit, "ratio": ratio, "most": most, "last": similarities.max()}
    others = {"other": 40, "other_last": other.max(), "other_needs": other_needs}
    return default | {"needs": needs} | counts | others


def repeated_norms(settings: Settings) -> Values:
    """Phases of Table 9 in which OrderDP's mean gradient norm is printed for another pruning method, too."""
    frame = load_published()
    part = frame[
        (frame["table"] == "table9") & (frame["quantity"] == "gradient-norm") & (frame["row"] != "Whole Dataset")
    ]
    norms = part.pivot(index="row", columns="progress", values="printed")[part["progress"].unique()]
    orderdp, others = norms.loc["OrderDP"], norms.drop("OrderDP")
    same = others == orderdp
    texts = [f"{', '.join(orderdp[same.loc[row]])} with {row}" for row in others.index if same.loc[row].any()]
    return {"phases": len(orderdp), "count": int(same.any().sum()), "same": "; ".join(texts)}


def nominal_ratio(settings: Settings) -> Values:
    """The share of the samples that lay below the mean, if the released InfoBatch pruned them as far as it can."""
    nominal, real = (
        value("table9", "InfoBatch", f"CIFAR100/ResNet-50/61/{name}") for name in ("nominal-prune-ratio", "prune-ratio")
    )
    clamped = min(nominal, 1 - settings["min_keep"])
    stated = 70  # in the text of D.6, in %
    return {"nominal": nominal, "clamped": clamped, "real": real, "below": real / clamped, "stated": stated}


def _saved(table: str, row: str) -> pd.DataFrame:
    """Table 6 or 7: the savings of a method in %, with the data set and the optimizer."""
    frame = load_published()
    return frame[(frame["table"] == table) & (frame["row"] == row) & (frame["quantity"] == "saved")]


def saved_shares(settings: Settings) -> Values:
    """Table 7's savings of OrderDP, which depend on the optimizer."""
    saved = _saved("table7", "OrderDP")["value"]
    return {"least": saved.min(), "most": saved.max()}


def savings(settings: Settings) -> Values:
    """The savings that the abstract and section 6 state, and those that Table 6 prints."""
    above, low, high = (value("text", "OrderDP", f"all/all/any/saved-{bound}") for bound in ("above", "from", "to"))
    six, seven = _saved("table6", "OrderDP"), _saved("table7", "OrderDP")["value"]
    saved = six["value"]
    return {
        "above": above,
        "low": low,
        "high": high,
        "least": saved.min(),
        "most": saved.max(),
        "most_by_optimizer": seven.max(),
        "count": int((saved > above).sum()),
        "of": len(saved),
        "imagenet": six.loc[six["dataset"] == "ImageNet-1K", "value"].max(),
    }


def same_savings(settings: Settings) -> Values:
    """InfoBatch's savings by optimizer: as the text states them, and those of Table 7 that differ."""
    stated = value("text", "InfoBatch", "CIFAR10/ResNet-50/lossless/saved")
    saved = _saved("table7", "InfoBatch")
    others = saved[saved["value"] != stated]
    return {
        "stated": stated,
        "others": ", ".join(
            f"{v:.1f} % with {name}" for v, name in zip(others["value"], others["optimizer"], strict=True)
        ),
    }


def harder_sets(settings: Settings) -> Values:
    """What OrderDP saves beyond InfoBatch in Table 6, by data set."""
    low, high = (value("text", "OrderDP", f"all/all/lossless/extra-saved-{bound}") for bound in ("from", "to"))
    orderdp, rival = (
        _saved("table6", row).set_index(["dataset", "model"])["value"] for row in ("OrderDP", "InfoBatch")
    )
    extra = (orderdp - rival).groupby("dataset")
    texts = {name: " and ".join(f"{points:.1f}" for points in part) for name, part in extra}
    means = extra.mean()
    by_set = {"cifar10": texts["CIFAR10"], "cifar100": texts["CIFAR100"], "imagenet": texts["ImageNet-1K"]}
    return by_set | {"low": low, "high": high, "easier_mean": means["CIFAR10"], "harder_mean": means["CIFAR100"]}


def lossless_rows(settings: Settings) -> Values:
    """Table 6's first column."""
    where = "CIFAR10/ResNet-18"
    return {
        "full": value("table6", "Whole Dataset", f"{where}/0"),
        "orderdp": value("table6", "OrderDP", f"{where}/lossless"),
        "tolerance": value("text", "OrderDP", "all/all/lossless/gap-below"),
    }


LISTED = (
    *("Static Random", "CD", "Herding", "K-means", "Least Confidence", "Entropy", "Forgetting", "GraNd", "EL2N"),
    *("DeepFool", "Craig", "Glister", "Influence", "DP"),
)
"""The static methods that section 5.1 lists."""


def method_count(settings: Settings) -> Values:
    """Static methods that section 5.1 lists and that Table 1 prints."""
    frame = load_published()
    rows = list(dict.fromkeys(frame[frame["table"] == "table1"]["row"]))
    printed = [row for row in rows if row not in ("Whole Dataset", "OrderDP")]
    # GraNd-4, EL2N-2 and EL2N-20
    names = {row.split("-")[0] if row.split("-")[-1].isdigit() else row for row in printed}
    return {
        "listed": len(LISTED),
        "only_listed": ", ".join(name for name in LISTED if name not in names),
        "count": len(printed),
        "only_printed": ", ".join(sorted(names - {*LISTED})),
    }
