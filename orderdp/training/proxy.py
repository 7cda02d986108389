"""The proxy: networks trained before a static selection, and what is noted of them for every coreset method at once.

`models` networks see the whole training set; one more does not see a validation split of it, for methods that compare
with held-out samples. The test set decides nothing here: a network's accuracy on it is reported, and no more.

Memory and disk, in numbers of four bytes, for n samples, k classes, d features, M networks, T epochs and E early
epochs: n M k (1 + E) for outputs, n M E for norms, n (d + 2 T) for the last network's features, losses and correctness,
and n (k + d) for the split's. CIFAR-100 with ResNet-18, 4 networks, 20 epochs and 3 early ones: 0.6 GB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orderdp.coresets.deepfool import perturbations
from orderdp.coresets.quotas import quotas
from orderdp.datasets import ImageData
from orderdp.datasets.noise import with_label_noise
from orderdp.pruning.rng import numpy_generator
from orderdp.spec import ProxySpec, RunSpec
from orderdp.training.augment import Images
from orderdp.training.device import full_precision
from orderdp.training.engine import Training
from orderdp.training.loaders import EVALUATION_BATCH
from orderdp.training.mixes import Targets

Arrays = dict[str, NDArray[Any]]


class Recorded(Training):
    """A training on full data that notes each sample's loss and whether it was classified right, when it was trained
    on."""

    def __init__(self, spec: RunSpec, data: ImageData, device: torch.device) -> None:
        super().__init__(spec, data, device)
        self.losses = torch.zeros(spec.recipe.epochs, self.n, device=device)
        self.correct = torch.zeros(spec.recipe.epochs, self.n, dtype=torch.bool, device=device)

    def forward(self, indices: Tensor, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor, Tensor | None]:
        losses, answers, scores = super().forward(indices, images, targets)
        self.losses[self.epoch, indices] = losses.detach()
        self.correct[self.epoch, indices] = answers == targets.labels
        return losses, answers, scores

    @torch.inference_mode()
    def outputs(self, images: Images) -> tuple[Tensor, Tensor]:
        """Logits (n, k) and penultimate features (n, d) in eval mode, float32 on the CPU."""
        self.model.eval()
        logits, features = [], []
        for start, stop in _blocks(len(images.images)):
            with self.precision.autocast():
                hidden = self.model.features(images.plain(start, stop))  # type: ignore[operator]
                logits.append(self.model.head(hidden).float().cpu())  # type: ignore[operator]
            features.append(hidden.float().cpu())
        return torch.cat(logits), torch.cat(features)


def gather_outputs(
    spec: ProxySpec, data: ImageData, device: torch.device, say: Callable[[str], None] = lambda text: None
) -> tuple[Arrays, list[dict[str, Any]]]:
    """Trains the networks and notes what coreset methods ask for.

    Args:
        spec: of the proxy.
        data: images and labels.
        device: where to compute.
        say: receives a line for each network.

    Returns:
        Arrays: those of `orderdp.coresets.base.ARRAYS` but for the `validation_` ones over all n samples, with
        `early_logits` (M, E, n, k) and `early_norms` (M, E, n) for each of `early_epochs` (E,); `split_members` (n -
        m,) and `split_held_out` (m,), samples seen and not seen by the split's network, `split_logits`,
        `split_features` and `validation_*` of that network; `classes`. Rows: one per network: `network`, `seed`,
        `test_accuracy` (%), `seconds` of training, `seconds_at_<epoch>` up to each early epoch, `outputs_s` of noting
        the final outputs, `deepfool_s`.

    Raises:
        Diverged: a network's loss became infinite; it needs a lower learning rate.
    """
    data, _ = with_label_noise(data, spec.dataset.label_noise)  # as the runs that train on what is chosen
    arrays: Arrays = {
        "labels": data.train_labels.numpy(),
        "classes": np.array(data.classes),
        "early_epochs": np.array(spec.early_epochs, dtype=np.int64),
    }
    rows: list[dict[str, Any]] = []
    finals, early = [], []
    for number in range(spec.models):
        training, noted, row = _train(spec, data, device, spec.seed + number, str(number + 1))
        t0 = time.perf_counter()
        logits, features = training.outputs(training.loader.train_images)
        rows.append(row | {"outputs_s": time.perf_counter() - t0, "deepfool_s": 0.0})
        finals.append(logits)
        early.append(noted)
        say(
            f"network {number + 1} of {spec.models}: {row['test_accuracy']:.2f} % on the test set,"
            f" {row['seconds']:.1f} s"
        )
    t0 = time.perf_counter()
    arrays["perturbation"] = _deepfool(training, spec).numpy()
    rows[-1]["deepfool_s"] = time.perf_counter() - t0
    arrays |= {
        "logits": torch.stack(finals).numpy(),
        "features": features.numpy(),
        "losses": training.losses.cpu().numpy(),
        "correct": training.correct.cpu().numpy(),
        "early_logits": torch.stack([torch.stack([logits for logits, _ in noted]) for noted in early]).numpy(),
        "early_norms": torch.stack([torch.stack([norms for _, norms in noted]) for noted in early]).numpy(),
    }
    del training
    found, row = _split(spec, data, device)
    say(f"network without the validation split: {row['test_accuracy']:.2f} % on the test set, {row['seconds']:.1f} s")
    return arrays | found, [*rows, row]


def held_out(labels: Tensor, share: float, seed: int) -> Tensor:
    """bool (n,): the validation split, `share` of the training set with every class in proportion, by largest
    remainder."""
    rng = numpy_generator(seed, "subset", 0)
    classes, sizes = labels.unique(return_counts=True)
    counts = quotas(sizes.tolist(), max(len(classes), round(share * len(labels))), rng.permutation(len(classes)))
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in zip(classes.tolist(), counts.tolist(), strict=True):
        members = (labels == label).nonzero().squeeze(1).numpy()
        mask[torch.from_numpy(rng.permutation(members)[:count])] = True
    return mask


def _split(spec: ProxySpec, data: ImageData, device: torch.device) -> tuple[Arrays, dict[str, Any]]:
    """Trains the network that does not see the validation split."""
    out = held_out(data.train_labels, spec.validation, spec.seed)
    seen = replace(data, train_images=data.train_images[~out], train_labels=data.train_labels[~out])
    training, _, row = _train(spec, seen, device, spec.seed + spec.models, "split")
    t0 = time.perf_counter()
    logits, features = training.outputs(training.loader.train_images)
    unseen = Images(data.train_images[out].to(device), data.mean, data.std)
    validation_logits, validation_features = training.outputs(unseen)
    arrays = {
        "split_members": (~out).nonzero().squeeze(1).numpy(),
        "split_held_out": out.nonzero().squeeze(1).numpy(),
        "split_logits": logits.numpy(),
        "split_features": features.numpy(),
        "validation_logits": validation_logits.numpy(),
        "validation_features": validation_features.numpy(),
        "validation_labels": data.train_labels[out].numpy(),
    }
    return arrays, row | {"outputs_s": time.perf_counter() - t0, "deepfool_s": 0.0}


def _train(
    spec: ProxySpec, data: ImageData, device: torch.device, seed: int, name: str
) -> tuple[Recorded, list[tuple[Tensor, Tensor]], dict[str, Any]]:
    """One network; its outputs and the norms of its features at the early epochs, in the order of `early_epochs`; its
    row."""
    training = Recorded(_as_run(spec, seed), data, device)
    noted: dict[int, tuple[Tensor, Tensor]] = {}
    seconds: dict[int, float] = {}
    clock = 0.0

    def after_epoch(_: Training) -> None:
        nonlocal clock
        row, epoch = training.history[-1], training.epoch
        clock += float(row["selection_s"] or 0) + float(row["training_s"] or 0)
        if epoch in spec.early_epochs:
            t0 = time.perf_counter()
            logits, features = training.outputs(training.loader.train_images)
            noted[epoch] = logits, features.norm(dim=1)
            seconds[epoch] = clock + time.perf_counter() - t0

    training.fit(after_epoch)
    row = {"network": name, "seed": seed, "test_accuracy": training.history[-1]["test_accuracy"], "seconds": clock}
    row |= {f"seconds_at_{epoch}": seconds[epoch] for epoch in spec.early_epochs}
    return training, [noted[epoch] for epoch in spec.early_epochs], row


def _deepfool(training: Recorded, spec: ProxySpec) -> Tensor:
    """float32 (n,): in single precision whatever the training's, because a step of DeepFool is a quotient of small
    differences."""
    images, options = training.loader.train_images, spec.deepfool.model_dump()
    options["classes"] = min(options["classes"], training.data.classes)
    with full_precision():
        parts = [
            perturbations(training.model, images.plain(start, stop), **options).cpu()
            for start, stop in _blocks(training.n)
        ]
    return torch.cat(parts)


def _as_run(spec: ProxySpec, seed: int) -> RunSpec:
    """The training of one network as a run on full data, evaluated at its end only."""
    return RunSpec.model_validate(
        {
            "dataset": {"name": spec.dataset.name, "label_noise": 0.0},  # the labels given are wrong already
            "model": spec.model.model_dump(),
            "method": {"name": "full", "options": {}},
            "recipe": spec.recipe.model_dump() | {"evaluate_every": spec.recipe.epochs},
            "record_at": (),
            "diagnostics": (),
            "seed": seed,
        }
    )


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + EVALUATION_BATCH, n)) for start in range(0, n, EVALUATION_BATCH))
