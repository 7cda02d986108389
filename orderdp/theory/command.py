"""`python -m orderdp theory`: what a choice of s and q does, or which choices reach a prune ratio."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from orderdp.theory import checks
from orderdp.theory.screen import describe, describe_splits

OWNER = "OrderDP"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `run` reads."""
    parser.add_argument("--n", type=int, default=50_000, help="samples; 50,000 unless given")
    parser.add_argument("--s", type=int, help="candidates of an epoch")
    parser.add_argument("--q", type=int, help="samples kept of the candidates")
    parser.add_argument("--explore", type=float, help="s/n, instead of --s")
    parser.add_argument("--exploit", type=float, help="q/s, instead of --q")
    parser.add_argument(
        "--prune-ratio", type=float, help="1 - q/n, instead of --q; alone, it lists splits to choose from"
    )
    parser.add_argument("--epochs", type=int, default=200, help="epochs of the training; 200 unless given")
    parser.add_argument("--plot", type=Path, help="file for a picture of the weights: .png, .pdf or .svg")


def run(args: argparse.Namespace) -> int:
    """Prints the screen and writes the picture; 0.

    Raises:
        ValueError: options that contradict each other, are missing or outside their ranges; a file that cannot be
            written.
        RuntimeError: a picture needs matplotlib, which is missing.
    """
    n = checks.whole(OWNER, "n", args.n, 1)
    epochs = checks.whole(OWNER, "epochs", args.epochs, 1)
    if args.prune_ratio is not None and all(value is None for value in (args.s, args.q, args.explore, args.exploit)):
        if args.plot is not None:
            raise ValueError("--plot draws one choice: give --s or --explore, too.")
        _say(describe_splits(args.prune_ratio, n, epochs))
        return 0
    s, q = _choice(args, n)
    if args.plot is not None:
        from orderdp.theory.picture import plot

        try:
            plot(n, s, q, args.plot)
        except OSError as error:
            raise ValueError(f"--plot: {args.plot} cannot be written: {error.strerror or error}.") from error
    _say(describe(n, s, q, epochs))
    return 0


def _say(text: str) -> None:
    """Prints; with plain characters for the bars where the terminal knows no others."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = text.replace("█", "#")
    print(text)


def _choice(args: argparse.Namespace, n: int) -> tuple[int, int]:
    """s and q, each from the one option given for it; shares are rounded as the pruner rounds them."""
    for what, values in (
        ("s: --s or --explore", (args.s, args.explore)),
        ("q: --q, --exploit or --prune-ratio", (args.q, args.exploit, args.prune_ratio)),
    ):
        if sum(value is not None for value in values) != 1:
            raise ValueError(f"Give exactly one option for {what}. Or --prune-ratio alone, for splits to choose from.")
    s = args.s if args.s is not None else round(checks.share(OWNER, "explore", args.explore) * n)
    checks.whole(OWNER, "s", s, 1, n, "[1, n]")
    if args.q is not None:
        q = args.q
    elif args.exploit is not None:
        q = round(checks.share(OWNER, "exploit", args.exploit) * s)
    else:
        q = round((1 - checks.share(OWNER, "prune_ratio", args.prune_ratio, one=False)) * n)
    checks.sizes(OWNER, n, s, q)
    return s, q
