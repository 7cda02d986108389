"""How long a pruner takes to draw an epoch, at CIFAR's and ImageNet's size: `python benchmarks/selection.py [--repeats 9]`.

One process, one thread, all methods in turn within each repeat, so that a busy machine slows all alike. Times are medians in
milliseconds. "draw" is which samples are kept, "epoch" adds the order of the epoch and the list of indices (what `select` returns),
"learn" is taking in one loss for every sample. `sort` is OrderDP by a full sort of torch, for scale.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from orderdp.pruning import UCB, FullData, InfoBatch, OrderDP, Pruner, RandomPruning
from orderdp.pruning.streams import numpy_generator

SIZES = (50_000, 1_281_167)


class SortedOrderDP(OrderDP):
    """OrderDP the obvious way: a permutation for the candidates, a full sort for the top."""

    def choose(self, epoch: int, draw: np.random.Generator) -> tuple[Tensor, None]:
        """The top q by score of s uniform candidates."""
        candidates = torch.from_numpy(draw.permutation(self.n)[: self.candidates])
        kept = torch.zeros(self.n, dtype=torch.bool)
        kept[candidates[self._scores[candidates].argsort(descending=True)[: self.kept]]] = True
        return kept, None


def contenders(n: int) -> dict[str, Pruner]:
    """Methods at 70 % pruning, but for InfoBatch: its published rule at 0.5."""
    return {
        "OrderDP": OrderDP.at_ratio(n, 0.7, explore=0.5),
        "OrderDP (sort)": SortedOrderDP.at_ratio(n, 0.7, explore=0.5),
        "InfoBatch": InfoBatch(n, prune_ratio=0.5),
        "UCB": UCB(n, prune_ratio=0.7, period=1, warmup_epochs=0),
        "random": RandomPruning(n, prune_ratio=0.7),
        "full data": FullData(n),
    }


def measure(n: int, repeats: int) -> dict[str, dict[str, float]]:
    """Method -> step -> median milliseconds."""
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    pruners = contenders(n)
    draw = torch.Generator().manual_seed(0)
    for repeat in range(repeats + 1):  # the first warms up
        indices, losses = torch.randperm(n, generator=draw), torch.rand(n, generator=draw) ** 3 * 4
        for name, pruner in pruners.items():
            pruner.observe(indices, losses)
            steps: dict[str, Callable[[], object]] = {
                "learn": pruner.synchronize,
                "draw": lambda pruner=pruner, e=repeat: pruner.choose(e, numpy_generator(0, "select", e)),  # type: ignore[misc]
                "epoch": lambda pruner=pruner, e=repeat: pruner.select(e),  # type: ignore[misc]
            }
            for step, run in steps.items():
                t0 = time.perf_counter()
                run()
                times[name][step].append(1000 * (time.perf_counter() - t0))
    return {name: {step: statistics.median(all_ms[1:]) for step, all_ms in steps.items()} for name, steps in times.items()}


def table(n: int, medians: dict[str, dict[str, float]]) -> str:
    """The medians as Markdown; the last column compares the epoch with OrderDP's."""
    lines = [f"n = {n:,}", "", "| method | draw, ms | epoch, ms | learn, ms | epoch / OrderDP |", "|---|---:|---:|---:|---:|"]
    for name, ms in medians.items():
        ratio = ms["epoch"] / medians["OrderDP"]["epoch"]
        lines.append(f"| {name} | {ms['draw']:.2f} | {ms['epoch']:.2f} | {ms['learn']:.2f} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(description="Time to draw an epoch.")
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, 1 thread, median of {repeats}\n")
    for n in SIZES:
        print(table(n, measure(n, repeats)) + "\n")


if __name__ == "__main__":
    main()
