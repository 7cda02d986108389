"""Made-up runs in the format of real ones: every run of a grid gets plausible files that depend on its spec alone."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from orderdp.grid import Grid, load
from orderdp.jobs.diagnose import COLUMNS as DIAGNOSTICS
from orderdp.jobs.diagnose import Diagnose
from orderdp.jobs.finished import finish
from orderdp.jobs.study import Study
from orderdp.jobs.train import Train
from orderdp.jobs.trainer import COLUMNS
from orderdp.training.engine import record_epochs
from tests.reporting import worlds

# Accuracy that a method loses at a prune ratio of 1, in points.
LOSS = {
    "full": 0.0,
    "random": 6.0,
    "epsilon_greedy": 5.0,
    "ucb": 4.5,
    "infobatch": 3.0,
    "orderdp": 2.0,
    "orderdp_scheduled": 2.5,
    "static": 9.0,
}
N = 600
ROOT = Path(__file__).parents[2]

EXPERIMENTS = """
table2:
  title: Dynamic pruning methods at two prune ratios
  reproduces: Table 2
  workloads: [cifar10-resnet18, cifar100-resnet18]
  grid: [{methods: [full]}, {methods: [random, infobatch, orderdp, full_same_steps], prune_ratios: [0.3, 0.7]}]
table9:
  title: Stability
  reproduces: Table 9
  workloads: [cifar100-resnet50-stability]
  grid: [{methods: [full]}, {methods: [infobatch, orderdp], prune_ratios: [0.7]}]
figure1:
  title: Training dynamics
  reproduces: Figure 1
  workloads: [cifar100-resnet18]
  grid: [{methods: [full]}, {methods: [infobatch, orderdp], prune_ratios: [0.7]}]
figure3:
  title: Accuracy and training time over the prune ratio
  reproduces: Figure 3
  workloads: [cifar10-resnet18]
  grid: [{methods: [full]}, {methods: [infobatch, orderdp], prune_ratios: [0.3, 0.7]}]
figure4:
  title: Explore and exploit
  reproduces: Figure 4
  workloads: [cifar10-resnet18]
  grid:
    - {methods: [full]}
    - {panel: fixed ratio, methods: [orderdp], prune_ratios: [0.7], explore: [0.4, 0.5, 1]}
    - {panel: varying ratio, methods: [orderdp], prune_ratios: [0.3, 0.7]}
figures9_11:
  title: How often each sample is used
  reproduces: Figures 9, 10 and 11
  workloads: [cifar10-resnet18]
  grid: [{methods: [orderdp], prune_ratios: [0.3]}]
table8:
  title: Similarity of kept sets
  reproduces: Table 8
  workloads: [cifar100-resnet18-diagnostics]
  grid: [{methods: [infobatch, orderdp], prune_ratios: [0.7]}]
table11:
  title: Direction of the gradient
  reproduces: Table 11
  workloads: [cifar100-resnet18-diagnostics]
  diagnostics: [gradients]
  grid: [{methods: [infobatch, orderdp], prune_ratios: [0.7]}]
figures12_13:
  title: Time to accuracy
  reproduces: Figures 12 and 13
  workloads: [cifar10-resnet18]
  grid: [{methods: [full]}, {methods: [random, orderdp], prune_ratios: [0.7]}]
variants:
  title: Variants of OrderDP
  reproduces: Beyond the paper
  workloads: [cifar10-resnet18]
  grid: [{methods: [full, orderdp_trimmed, orderdp_rising], prune_ratios: [0.5], label_noise: [0, 0.2]}]
"""


def tiny_params() -> dict[str, Any]:
    """The real parameters, with four epochs and small experiments at a scale of their own."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["workloads"]["digits-resnet8"]["overrides"] = {"epochs": 4, "precision": "fp32"}
    computed = {name: entry for name, entry in params["experiments"].items() if "grid" not in entry}
    params["experiments"] = yaml.safe_load(EXPERIMENTS) | computed
    quick = params["scales"]["quick"]
    tiny = {"note": "Scaled down: a test with <made-up> runs & nothing else.", "seeds": [0, 1, 2], "experiments": {}}
    return params | {"scale": "tiny", "scales": {"tiny": quick | tiny}}


def tiny_grid(folder: Path, params: dict[str, Any] | None = None) -> Grid:
    """The grid of these parameters, written to a folder and read from there."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params or tiny_params(), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return load(path)


def write_runs(
    grid: Grid,
    runs: Path,
    *,
    missing: Callable[[Train], bool] = lambda run: False,
    diverged: Collection[str] = (),
    n: int = N,
) -> None:
    """Writes every run of the grid.

    Args:
        grid: which runs.
        runs: folder of runs.
        missing: runs to leave out.
        diverged: names of runs that stop in their second epoch.
        n: number of training samples.
    """
    for run in grid.runs.values():
        if not missing(run):
            write_run(run, runs, diverged=run.name in diverged, n=n)
    for job in grid.jobs.values():
        if isinstance(job, Diagnose) and not missing(grid.runs[job.spec.run]):
            write_diagnosis(job, runs)
        if isinstance(job, Study):
            write_study(job, runs)


def write_run(run: Train, runs: Path, *, diverged: bool = False, n: int = N, shift: float = 0.0) -> None:
    """Writes one run; `shift` is added to its accuracies."""
    folder = runs / run.name
    folder.mkdir(parents=True, exist_ok=True)
    history, usage, kept = simulate(run, n, 2 if diverged else None, shift)
    (folder / "spec.json").write_text(json.dumps(run.record(), indent=1))
    (folder / "history.csv").write_text(as_csv(COLUMNS, history))
    of_epochs = {f"kept_{e}": i for e, i in kept.items()}
    np.savez_compressed(folder / "selection.npz", usage=usage, recorded_epochs=np.array(sorted(kept)), **of_epochs)
    finish(folder, summarise(run, history, n, diverged) | {"job": run.name})


def as_csv(columns: Collection[str], rows: list[dict[str, Any]]) -> str:
    """Rows as the text of a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_diagnosis(diagnosis: Diagnose, runs: Path) -> None:
    """Writes the measurements of a run at its checkpoints and after its end."""
    run, folder = diagnosis.spec, runs / diagnosis.name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(run.run.encode()))
    epochs = run.measured.recipe.epochs
    rows = [
        dict.fromkeys(DIAGNOSTICS, 0.1)
        | {"epoch": epoch, "progress": (epoch - 1) / epochs, "cosine": rng.uniform(0.6, 0.9)}
        for epoch in (*record_epochs(run.measured), epochs + 1)
    ]
    profile = {f"kept_by_{by}": rng.random((len(rows), 10)) for by in ("loss", "label")}
    (folder / "spec.json").write_text(json.dumps(diagnosis.record(), indent=1))
    (folder / "diagnostics.csv").write_text(as_csv(DIAGNOSTICS, rows))
    np.savez_compressed(
        folder / "profile.npz", epochs=np.array([row["epoch"] for row in rows], dtype=np.int32), **profile
    )
    finish(folder, {"job": diagnosis.name, "status": "finished"})


def write_study(study: Study, runs: Path) -> None:
    """Writes a study of the theorems whose numbers bear them out."""
    folder = runs / study.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in worlds.study(good=True).items():
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "spec.json").write_text(json.dumps(study.record()))
    finish(folder, {"job": study.name, "status": "finished"})


def simulate(
    run: Train, n: int, stop: int | None, shift: float
) -> tuple[list[dict[str, Any]], np.ndarray, dict[int, np.ndarray]]:
    """History rows, usage (n,) int32, and kept indices of the last epoch."""
    spec = run.spec
    options, epochs, batch = spec.method.options, spec.recipe.epochs, spec.recipe.batch_size
    ratio = float(options.get("prune_ratio", 0.0) or 0.0)
    realised = {"infobatch": min(ratio, 0.62)}.get(spec.method.name, ratio)
    # A stream per run, as bytes of its name: no two alike, always the same.
    rng = np.random.default_rng(list(run.name.encode()))
    shared = np.random.default_rng(spec.seed)
    trained = (
        epochs if spec.recipe.match_steps_at is None else max(1, math.ceil(epochs * (1 - spec.recipe.match_steps_at)))
    )
    final = 98.0 + 0.4 * shared.standard_normal() - LOSS[spec.method.name] * realised**3 + 0.15 * rng.standard_normal()
    explore = options.get("explore")
    if isinstance(explore, float | int):
        final -= 0.8 * abs(float(explore) - math.sqrt(1 - ratio)) ** 2
    scale = 2.2 if spec.method.name == "infobatch" and realised else 1.0
    history, usage, kept = [], np.zeros(n, dtype=np.int32), {}
    difficulty = rng.standard_normal(n)
    clock, started = 0.0, 1_700_000_000.0 + 100 * spec.seed
    for epoch in range(1, (stop or trained) + 1):
        share = 1 - realised
        count = max(1, round(share * n))
        scores = difficulty - 0.8 * usage + rng.gumbel(size=n)
        indices = np.sort(np.argsort(-scores)[:count]).astype(np.int32)
        usage[indices] += 1
        kept = {epoch: indices}
        progress = epoch / trained
        noise = (1 - progress) * 3 * rng.standard_normal() * (1 + realised)
        accuracy = min(100.0, final - 60 * math.exp(-5 * progress * (1 - 0.4 * realised)) + noise + shift)
        norm = scale * (0.4 + 2.6 * math.exp(-2.2 * progress)) * (1 + 0.08 * rng.standard_normal())
        training_s, selection_s = 0.002 * count * (1 + 0.03 * rng.standard_normal()), 0.004 if ratio else 0.0004
        broken = stop == epoch
        clock += training_s + selection_s
        history.append(
            {
                "epoch": epoch, "progress": progress, "lr": 0.1, "momentum": 0.9,
                "train_loss": float("nan") if broken else 2 - 1.5 * progress, "train_accuracy": accuracy - 2,
                "test_loss": 2 - 1.6 * progress, "test_accuracy": accuracy, "kept": count, "prune_ratio": 1 - count / n,
                "steps": math.ceil(count / batch), "grad_norm_mean": norm, "grad_norm_std": 0.3 * norm,
                "grad_norm_min": 0.3 * norm,
                "grad_norm_max": 2.4 * norm, "grad_norm_normalized_mean": norm / scale,
                "jaccard": None if epoch == 1 else share / (2 - share),
                "coverage": float((usage > 0).mean()), "selection_s": selection_s,
                "training_s": training_s, "evaluation_s": 0.05, "samples_per_s": count / training_s,
                "peak_memory_mb": 300.0,
                "timestamp": started + clock,
            }
        )  # fmt: skip
    return history, usage, kept


def summarise(run: Train, history: list[dict[str, Any]], n: int, diverged: bool) -> dict[str, Any]:
    """The content of summary.json."""
    samples = sum(row["kept"] for row in history)
    return {
        "job": run.name,
        "status": "diverged" if diverged else "finished",
        "diverged_at": {"epoch": len(history), "step": 3} if diverged else None,
        "test_accuracy": history[-1]["test_accuracy"],
        "best_test_accuracy": max(row["test_accuracy"] for row in history),
        "test_loss": history[-1]["test_loss"],
        "train_loss": None if diverged else history[-1]["train_loss"],
        "epochs": len(history),
        "steps": sum(row["steps"] for row in history),
        "samples": samples,
        "prune_ratio": 1 - samples / (run.spec.recipe.epochs * n),
        "wrong_labels": run.spec.dataset.label_noise or None,
        **{key: sum(row[key] for row in history) for key in ("selection_s", "training_s", "evaluation_s")},
        "started": history[0]["timestamp"] - 1,
        "ended": history[-1]["timestamp"],
        "environment": {
            "python": "3.13.1", "torch": "2.14.1", "platform": "Linux", "device": "cpu", "device_name": "made up",
            "threads": 1,
            "precision": "float32", "git_commit": "0123456789ab",
        },
        "n": n,
        "classes": 10,
        "parameters": 77000,
    }  # fmt: skip
