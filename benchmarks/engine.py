"""(c) The customary loop over the project's engine: the same network, data, augmentation, batch size and core.

The ratio is the speed-up: how many times as long an epoch takes the loop of `customary.py`, whose loader works in the
same process or in worker processes on the same core. The loop runs with the system's allocator as it is, the engine as
the workflow sets it. Further rows say where it comes from: the engine in float32, and the loading alone. `precision` is
the engine's: what "auto" takes on this processor, or float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from benchmarks.customary import Loop, Pictures
from benchmarks.measuring import compared, in_turn, one_core
from benchmarks.workload import as_usual, data, one_epoch, spec, training

KEYS = ("scale", "thing", "reference", "samples", "precision")
GOAL = 3.0
DEFAULTS: dict[str, Any] = {"scale": "fashion", "samples": 6400, "workers": 2, "repeats": 5}
TINY: dict[str, Any] = {"scale": "quick", "samples": 256, "workers": 1, "repeats": 2}


def run(scale: str, samples: int, workers: int, repeats: int) -> Iterator[dict[str, Any]]:
    """A row per comparison."""
    chosen = spec(scale, "full")
    images = data(chosen.dataset.name, samples)
    loop, pictures = Loop(chosen, images), Pictures(images, chosen)

    def loader(count: int) -> DataLoader[Any]:
        return DataLoader(
            pictures, chosen.recipe.batch_size, shuffle=True, num_workers=count, persistent_workers=count > 0
        )

    alone, helped = loader(0), loader(workers)
    engine, exact = training(chosen, samples), training(spec(scale, "full", precision="fp32"), samples)
    with one_core():
        times = in_turn(
            {
                "engine (auto)": lambda: one_epoch(engine),
                "engine (fp32)": lambda: one_epoch(exact),
                "customary loop": as_usual(lambda: loop.epoch(alone)),
                f"customary loop, {workers} workers": as_usual(lambda: loop.epoch(helped)),
                "its loading alone": as_usual(lambda: [None for _ in alone]),
            },
            repeats,
        )
    ours, precise, customary, with_workers, loading = times
    pairs = [(customary, ours, GOAL), (with_workers, ours, GOAL), (customary, precise, None), (loading, ours, None)]
    for thing, reference, goal in pairs:
        computed_in = str((exact if reference == precise else engine).dtype).removeprefix("torch.")
        facts = {"thing": thing, "reference": reference, "samples": samples, "precision": computed_in}
        yield {"scale": scale} | facts | compared(times[thing], times[reference], goal)
