"""`python -m orderdp coreset`: a file of a proxy's outputs, or a run, in; a coreset's indices and a summary out."""

from __future__ import annotations

import argparse
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from orderdp.coresets import CORESETS
from orderdp.coresets.base import ARRAYS, ProxyOutputs
from orderdp.coresets.selection import Balance, select
from orderdp.pruning.subset import Subset

Write = Callable[[Path, "str | Callable[[IO[bytes]], object]"], None]
BALANCE: dict[str, Balance] = {"yes": True, "no": False, "equal": "equal"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    source = parser.add_mutually_exclusive_group(required=True)
    arrays = "; ".join(f"{name}: {held.text}, {held.meaning}" for name, held in ARRAYS.items())
    source.add_argument("--proxy-outputs", type=Path, help=f"an .npz file of what a proxy run left. Arrays: {arrays}")
    source.add_argument(
        "--from-run", type=Path, help="a run's folder: takes the samples that its dynamic pruning kept most often"
    )
    parser.add_argument("--method", help=f"with --proxy-outputs: {', '.join(CORESETS)}")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the method; can be repeated"
    )
    parser.add_argument(
        "--balance", choices=BALANCE, default="yes", help="keep class proportions, or take as many of each class"
    )
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--n-keep", type=int, help="samples to keep")
    size.add_argument("--prune-ratio", type=float, help="share of the samples to leave out, in (0, 1)")
    parser.add_argument("--seed", type=int, default=0, help="decides ties and whatever a method draws")
    parser.add_argument(
        "--out", type=Path, required=True, help="the .npy file of indices; a summary (.json) and weights come beside it"
    )


def run(args: argparse.Namespace, write: Write) -> str:
    """Selects and writes.

    Args:
        args: parsed by a parser with `add_arguments`.
        write: (path, text or a function that fills the open file), so that the file appears whole or not at all.

    Returns:
        The summary, to be shown.

    Raises:
        ValueError: a mistake in the arguments or in the file.
    """
    if args.out.suffix != ".npy":
        raise ValueError(f"--out: must end in .npy. Got {args.out}.")
    if args.seed < 0:
        raise ValueError(f"--seed: must be at least 0. Got {args.seed}.")
    rng = np.random.default_rng(args.seed)
    selection, summary = (_from_run if args.from_run else _from_outputs)(args, rng)
    if selection.weights is not None:
        weights = selection.weights.numpy()
        summary["weights"] = {
            "file": args.out.with_suffix(".weights.npy").name,
            "least": float(weights.min()),
            "most": float(weights.max()),
        }
        write(args.out.with_suffix(".weights.npy"), lambda file: np.save(file, weights))
    write(args.out.with_suffix(".json"), json.dumps(summary, indent=1) + "\n")
    write(args.out, lambda file: np.save(file, selection.indices.numpy()))  # last: where it is, the others are
    return "\n".join(
        [f"{args.out}: {len(selection.indices)} of {summary['samples']} samples", *map(_line, summary.items())]
    )


def load(path: Path) -> ProxyOutputs:
    """ProxyOutputs from an .npz file with the fields of `ProxyOutputs`; `classes` may be left out."""
    arrays = _arrays(path, "--proxy-outputs")
    unknown = sorted(arrays.keys() - ARRAYS.keys() - {"classes"})
    if unknown or "labels" not in arrays:
        what = f"holds an unknown array '{unknown[0]}'" if unknown else "holds no 'labels'"
        raise ValueError(f"--proxy-outputs: {path} {what}. Known: {', '.join(ARRAYS)}, classes.")
    tensors = {name: _tensor(array) for name, array in arrays.items() if name != "classes"}
    return ProxyOutputs(classes=_classes(arrays), **tensors)


def _from_outputs(args: argparse.Namespace, rng: np.random.Generator) -> tuple[Subset, dict[str, Any]]:
    if args.method is None:
        raise ValueError(f"--proxy-outputs: needs a --method. Known: {', '.join(CORESETS)}.")
    outputs, options = load(args.proxy_outputs), dict(_option(text) for text in args.option)
    outputs.check(args.method, ())  # before anything is counted
    n_keep = _n_keep(args, outputs.n)
    (selection,) = select(args.method, outputs, [n_keep], rng, balance=BALANCE[args.balance], **options)
    counts = outputs.labels[selection.indices].bincount(minlength=outputs.classes).tolist()
    summary = _summary(args, outputs.n, n_keep) | {
        "method": args.method,
        "options": options,
        "balance": args.balance,
        "classes": counts,
    }
    return selection, summary


def _from_run(args: argparse.Namespace, rng: np.random.Generator) -> tuple[Subset, dict[str, Any]]:
    """The most used samples; those used equally often in random order."""
    if args.method or args.option:
        raise ValueError("--from-run: takes the most used samples, no --method and no --option.")
    path = args.from_run / "selection.npz"
    usage = _arrays(path, "--from-run").get("usage")
    if usage is None or usage.ndim != 1:
        raise ValueError(f"--from-run: {path} holds no 'usage', how often each sample was kept.")
    n_keep = _n_keep(args, len(usage))
    order = np.lexsort((rng.random(len(usage)), -usage.astype(np.int64)))[:n_keep]
    kept = {"least": int(usage[order[-1]]), "most": int(usage[order[0]]), "unused": int((usage[order] == 0).sum())}
    return Subset(torch.from_numpy(order), None), _summary(args, len(usage), n_keep) | {
        "run": args.from_run.name,
        "usage": kept,
    }


def _summary(args: argparse.Namespace, n: int, n_keep: int) -> dict[str, Any]:
    return {"samples": n, "n_keep": n_keep, "prune_ratio": 1 - n_keep / n, "seed": args.seed}


def _n_keep(args: argparse.Namespace, n: int) -> int:
    """--n-keep, or what --prune-ratio leaves of n."""
    if args.n_keep is None:
        if not 0 < args.prune_ratio < 1:
            raise ValueError(f"--prune-ratio: must be in (0, 1). Got {args.prune_ratio}.")
        return max(1, round(n * (1 - float(args.prune_ratio))))
    n_keep = int(args.n_keep)
    if not 1 <= n_keep <= n:
        raise ValueError(f"--n-keep: must be from 1 to n = {n}. Got {n_keep}.")
    return n_keep


def _arrays(path: Path, flag: str) -> dict[str, np.ndarray[Any, Any]]:
    try:
        with np.load(path) as arrays:
            found = dict(arrays)
    except FileNotFoundError:
        raise ValueError(f"{flag}: there is no {path}.") from None
    except MemoryError:
        raise ValueError(f"{flag}: the arrays of {path} do not fit into memory.") from None
    except (OSError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile):
        raise ValueError(f"{flag}: {path} is no .npz file of plain arrays.") from None
    for name, array in found.items():
        if not isinstance(array, np.ndarray):  # a file of another kind in the archive
            raise ValueError(f"{flag}: {path} holds '{name}', which is no array.")
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{flag}: {path} holds '{name}' as {array.dtype}, not as numbers.")
    return found


def _classes(arrays: dict[str, np.ndarray[Any, Any]]) -> int:
    """As given, as wide as the outputs, or as many as the labels show."""
    if arrays.get("classes", np.array([])).size == 1:
        return int(arrays["classes"].item())
    outputs = arrays.get("logits", np.array(0))
    return int(outputs.shape[-1] if outputs.ndim else arrays["labels"].max(initial=0) + 1)


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """Labels of any integer type become int64."""
    return torch.from_numpy(array.astype(np.int64) if array.dtype.kind in "iu" else array)


def _option(text: str) -> tuple[str, Any]:
    """("clusters", 20) from "clusters=20"; what JSON cannot read is text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--option: must be NAME=VALUE. Got {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _line(item: tuple[str, Any]) -> str:
    name, value = item
    return f"  {name}: {value:.6g}" if isinstance(value, float) else f"  {name}: {value}"
