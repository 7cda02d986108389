"""The page of a trial: the recommendation, accuracy against time, pictures of samples, and code to paste."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orderdp import __version__
from orderdp.datasets.own import read_names
from orderdp.files import write
from orderdp.grid import Grid
from orderdp.grid.params import even_split
from orderdp.jobs.finished import DamagedRun, read_summary
from orderdp.reporting import style
from orderdp.reporting.claims.statistics.intervals import Estimate, interval_text
from orderdp.reporting.html import render
from orderdp.trial import TEMPLATES, samples
from orderdp.trial.findings import WORDS, Arm, Findings, Outcome, conclude
from orderdp.trial.planning import FULL, SAVING, is_table
from orderdp.trial.project import EXPERIMENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Tiles = list[dict[str, str]]
SHOWN = 16
"""Samples of a kind on the page."""


def outcomes(grid: Grid, runs: Path) -> list[Outcome]:
    """The finished runs of a trial."""
    found = []
    for row in grid.experiments[EXPERIMENT].rows:
        summary = read_summary(runs, row.run)
        if summary is None:
            continue
        found.append(
            Outcome(
                row.method,
                row.prune_ratio,
                row.seed,
                summary["test_accuracy"],
                summary["selection_s"] + summary["training_s"],
                summary["prune_ratio"],
                summary["status"] == "diverged",
            )
        )
    return found


def write_page(folder: Path, grid: Grid, record: Mapping[str, Any], tolerance: float) -> tuple[Path, Findings]:
    """Makes the page of a trial, whose runs are finished; returns it and what it says.

    Args:
        folder: of the trial.
        grid: its runs.
        record: from `project.recorded`.
        tolerance: points of accuracy that count as no loss.
    """
    runs, out, name = folder / "runs", folder / "reports" / grid.scale, str(record["name"])
    arrays = {part: np.load(folder / "data" / name / f"{part}.npy") for part in ("train_images", "train_labels")}
    test_labels = np.load(folder / "data" / name / "test_labels.npy")
    majority = 100 * np.bincount(test_labels).max() / len(test_labels)
    results = outcomes(grid, runs)
    findings = conclude(results, tolerance, float(majority), len(test_labels))
    described = grid.own[name]
    names, classes = read_names(folder / "data" / name)
    tiles = partial(samples.tiles, data=arrays, names=names, classes=classes)
    suspected, suspect_tiles, full = pd.DataFrame(), [], _joined(grid, runs, FULL, None)
    if full is not None and findings.learned:
        suspected = _suspects(full, arrays["train_labels"], names, classes)
        suspect_tiles = tiles([*suspected["sample"][:SHOWN]], full)
        write(out / "suspects.csv", suspected.to_csv(index=False))
    write(out / "results.csv", pd.DataFrame(map(vars, results)).to_csv(index=False))
    page = render(
        "trial.html.j2",
        TEMPLATES,
        name=name,
        basis=_basis(record, described, findings),
        repetitions=repetitions(record),
        limits=_limits(record, findings),
        findings=findings,
        methods=len(SAVING),
        figure=samples.address(samples.png(_figure(findings))),
        rows=_rows(findings),
        n=described.n_train,
        chosen_code=[] if findings.chosen is None else code(findings.chosen),
        said=[*record["found"], *record["chosen"]],
        device=_device(grid, runs),
        command=record["command"],
        version=__version__,
        suspect_tiles=suspect_tiles,
        suspect_count=len(suspected),
        **_ends(grid, runs, findings, tiles),
    )
    write(out / "index.html", page)
    return out / "index.html", findings


def _basis(record: Mapping[str, Any], described: Any, findings: Findings) -> str:
    kind = (
        "rows of a table"
        if is_table(described.shape)
        else f"images of {described.shape[2]} x {described.shape[1]} pixels"
    )
    return (
        f"{described.n_train:,} {kind} in {len(described.classes)} classes, and {described.n_test:,} to test on;"
        f" {record['network']}, {record['choice']['epochs']} epochs, {findings.seeds} seeds."
    )


def repetitions(record: Mapping[str, Any]) -> list[str]:
    """What is to be said of training samples that repeat others, where they are a hundredth or more."""
    share = record["repeated"] / record["all"]
    if share < 0.01:
        return []
    return [
        f"{record['repeated']:,} of the {record['all']:,} training samples repeat others, to the pixel. Leave them out:"
        f" an epoch is then {100 * share:.0f} % shorter without any pruning."
    ]


def _limits(record: Mapping[str, Any], findings: Findings) -> list[str]:
    """What the numbers do not say."""
    found = []
    if record["choice"]["n"] < record["all"]:
        found.append(
            f"This was a part of the {record['all']:,} training samples. With all of them, or in a longer training,"
            " more may be pruned without loss, or less: try it there (--budget none)."
        )
    found.append(
        "Intervals are over seeds, on one test part. Another network or another length of training is another trial."
    )
    return found if findings.learned else found[:-1]


def _rows(findings: Findings) -> list[list[dict[str, str]]]:
    groups: dict[float | None, list[dict[str, str]]] = {}
    for arm in findings.arms:
        a, gap, time = arm.accuracy, arm.gap, arm.time
        groups.setdefault(arm.ratio, []).append(
            {
                "words": arm.words,
                "accuracy": _text(a, "%"),
                "gap": "–" if gap is None else _text(gap, "points"),
                "time": "1" if time is None else _text(time, "×"),
                "realised": f"{100 * arm.realised:.1f} %",
                "verdict": _verdict(arm, findings),
            }
        )
    return list(groups.values())


def _text(estimate: Estimate, unit: str) -> str:
    """An estimate with its interval, without the unit, which heads its column."""
    text = interval_text(estimate.value, estimate.low, estimate.high, unit)
    return text.removesuffix(f" {unit}").removeprefix(unit)


def _verdict(arm: Arm, findings: Findings) -> str:
    if arm.diverged:
        return f"{arm.diverged} of {arm.diverged + arm.accuracy.count} runs diverged"
    if arm.gap is None or not findings.learned:
        return ""
    if arm.lossless:
        return "without loss"
    if arm.gap.high < -findings.tolerance:
        return f"loses more than {findings.tolerance:g} points"
    return "not decided"


def _figure(findings: Findings) -> Figure:
    figure, ((ax,),) = style.panels(1, 1, 4.2)
    for method in SAVING:
        arms = [arm for arm in findings.arms if arm.method == method and arm.time is not None and arm.accuracy.count]
        if not arms:
            continue
        look = style.look(method)
        x, y = [arm.time.value for arm in arms if arm.time], [arm.accuracy.value for arm in arms]
        ax.plot(x, y, color=look.color, linestyle=look.line, linewidth=1, alpha=0.5)
        ax.errorbar(
            x,
            y,
            xerr=_reach([arm.time for arm in arms]),
            yerr=_reach([arm.accuracy for arm in arms]),
            color=look.color,
            marker=look.marker,
            linestyle="none",
            elinewidth=0.9,
            capsize=2,
            label=WORDS[method],
        )
        for arm in arms:
            ax.annotate(
                f"{100 * (arm.ratio or 0):g}", (arm.time.value if arm.time else 0, arm.accuracy.value),
                textcoords="offset points", xytext=(4, 4), fontsize=7, color=look.color,
            )  # fmt: skip
    full, look = findings.full.accuracy, style.look(FULL)
    ax.errorbar(
        [1], [full.value], yerr=_reach([full]), color=look.color, marker=look.marker, linestyle="none", capsize=2,
        label=WORDS[FULL],
    )  # fmt: skip
    if full.low == full.low:
        ax.axhspan(full.value - findings.tolerance, full.value, color="#000000", alpha=0.07, lw=0)
    ax.axhline(full.value, color="#000000", linewidth=0.8)
    ax.axhline(findings.majority, color="#666666", linewidth=0.8, linestyle=":")
    # Intervals of three seeds may be wider than all that differs: the axis follows the means.
    means = [arm.accuracy.value for arm in findings.arms if arm.accuracy.count]
    room = max(2.0, 0.35 * (max(means) - min(means)))
    ax.set_ylim(min(means) - room, min(100.5, max(means) + room))
    ax.set_xlim(0, 1.15)
    style.label(
        ax, "Numbers beside the marks: % pruned. Grey: what counts as no loss", "Training time (full data: 1)",
        "Test accuracy (%)",
    )  # fmt: skip
    return style.finish(figure, [[ax]], f"means of {findings.seeds} seeds with 95 % intervals")


def _reach(estimates: Sequence[Any]) -> Any:
    """How far intervals reach below and above their estimates: (2, n); 0 where there are none."""
    pairs = [(e.value - e.low, e.high - e.value) if e is not None and e.low == e.low else (0, 0) for e in estimates]
    return np.array(pairs).T


def _joined(grid: Grid, runs: Path, method: str, ratio: float | None) -> pd.DataFrame | None:
    """The histories of a method's runs at a ratio as one; None where they were removed."""
    rows = grid.experiments[EXPERIMENT].rows
    mine = [row.run for row in rows if row.method == method and row.prune_ratio == ratio]
    try:
        return samples.joined([samples.history(runs, run) for run in mine])
    except (FileNotFoundError, DamagedRun):
        return None


def _ends(grid: Grid, runs: Path, findings: Findings, tiles: Callable[..., Tiles]) -> dict[str, Any]:
    """Pictures of the samples that OrderDP kept most and least, at the ratio that is recommended or the middle one."""
    ratios = sorted({arm.ratio for arm in findings.arms if arm.ratio is not None})
    ratio = ratios[len(ratios) // 2] if findings.chosen is None else findings.chosen.ratio
    found: dict[str, Any] = {"most": [], "least": [], "shown_ratio": f"{100 * (ratio or 0):g} %"}
    if (kept := _joined(grid, runs, "orderdp", ratio)) is not None:
        most, least = samples.ends(kept, SHOWN)
        found |= {"most": tiles([*most], kept), "least": tiles([*least], kept)}
    return found


def _suspects(full: pd.DataFrame, labels: Any, names: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Samples whose labels are suspected, with all that is known of them in words."""
    found = samples.suspects(full, labels).drop(columns=["ended"])
    found["label"] = [samples.class_name(classes, labels[index]) for index in found["sample"]]
    found["network"] = [samples.class_name(classes, answer) for answer in found.pop("last_answer")]
    found["name"] = [names[index] if index < len(names) else "" for index in found["sample"]]
    return found


def _device(grid: Grid, runs: Path) -> str:
    found: dict[str, None] = {}
    for name in grid.runs:
        summary = read_summary(runs, name)
        if summary is not None:
            where = summary["environment"]
            found[f"{where.get('device_name') or where['device']}"] = None
    return ", ".join(found) or "none"


def code(arm: Arm) -> list[tuple[str, str]]:
    """Programs that prune as an arm did: (title, text)."""
    ratio = f"{arm.ratio:g}"
    imported, options = {
        "orderdp": ("OrderDP", f", explore={even_split(arm.ratio or 0):g}"),
        "infobatch": ("InfoBatch", ', ratio_of="all"'),
        "random": ("RandomPruning", ", rescale=False"),
    }[arm.method]
    made = f"{imported}.at_ratio(len(data), {ratio}{options})"
    head = f"from orderdp import Indexed, {imported}\n"
    loader = "loader = DataLoader(Indexed(data), sampler=pruner, batch_size=128)\n"
    plain = f"""{head}
pruner = {made}
{loader}
for epoch in range(epochs):
    for index, (x, y) in loader:
        losses = F.cross_entropy(model(x), y, reduction="none")
        loss = pruner.update(index, losses)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
"""
    lightning = f"""{head}from orderdp.integrations import PrunerCallback

pruner = {made}
{loader}
# training_step(self, batch, batch_index): index, (x, y) = batch
#     return pruner.update(index, F.cross_entropy(self(x), y, reduction="none"))
trainer = lightning.Trainer(callbacks=[PrunerCallback(pruner)], use_distributed_sampler=False)
"""
    transformers = f"""from orderdp import {imported}
from orderdp.integrations import PrunedTrainer

pruner = {made}
trainer = PrunedTrainer(model=model, args=arguments, train_dataset=data, pruner=pruner)
"""
    accelerate = f"""{head}from orderdp.integrations import prepare_pruner

pruner = {made}
{loader}prepare_pruner(accelerator, pruner)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
# Then the loop of plain PyTorch, with accelerator.backward(loss).
"""
    return [
        ("PyTorch", plain),
        ("Lightning", lightning),
        ("Hugging Face Transformers", transformers),
        ("Hugging Face accelerate", accelerate),
    ]
