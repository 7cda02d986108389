"""Names and options in `params.yaml`: what is unknown or missing, and what a scale puts out of use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orderdp import code_fingerprint as code
from orderdp.grid.params import Params

REGISTRIES = {
    "dataset": ("datasets", "DATASETS"),
    "model": ("models", "MODELS"),
    "method": ("pruning", "PRUNERS"),
    "coreset": ("coresets", "CORESETS"),
}
GIVEN_BY_ENGINE = {"n", "seed", "epochs", "indices", "weights", "rank", "world_size"}


class Problems(dict[str, None]):
    """What is wrong with a parameter file: lines, each once, in the order in which they were found."""

    def add(self, key: str, message: str) -> None:
        """Notes that something is wrong with the value of a dotted key."""
        self[f"{key}: {message}"] = None

    def known(self, key: str, name: str, names: Mapping[str, Any]) -> bool:
        """Whether a name is among those known; notes a problem if not."""
        if name not in names:
            self.add(key, f"unknown name {name!r}. Known: {', '.join(names)}")
        return name in names


def check_names(params: Params, problems: Problems) -> None:
    """Names in every section, also those that this scale does not use: a misspelling is wrong at any scale."""
    registered = {kind: code.registry(*where) for kind, where in REGISTRIES.items()}
    for key, workload in params.workloads.items():
        problems.known(f"workloads.{key}.dataset", workload.dataset, registered["dataset"])
        if problems.known(f"workloads.{key}.model", workload.model, registered["model"]):
            check_options(
                problems, f"workloads.{key}.model_options", registered["model"][workload.model], workload.model_options
            )
        problems.known(f"workloads.{key}.recipe", workload.recipe, params.recipes)
        before = workload.pretraining
        known = before is None or problems.known(f"workloads.{key}.pretraining", before, params.workloads)
        if before is not None and known and params.workloads[before].pretraining is not None:
            problems.add(f"workloads.{key}.pretraining", f"{before!r} must not have a pre-training itself")
    for key, method in params.methods.items():
        if problems.known(f"methods.{key}.name", method.name, registered["method"]):
            given = {**method.options, **{k: None for split in method.at for k in split.options}}
            ratio = {"prune_ratio": None} if method.ratio_sets == "prune_ratio" else {}
            check_options(problems, f"methods.{key}.options", registered["method"][method.name], {**given, **ratio})
        if method.coreset is not None and problems.known(
            f"methods.{key}.coreset.name", method.coreset.name, registered["coreset"]
        ):
            check_options(
                problems,
                f"methods.{key}.coreset.options",
                registered["coreset"][method.coreset.name],
                method.coreset.options,
            )
    for scale, entry in params.scales.items():
        for paper, ours in entry.workloads.items():
            if ours is not None:
                problems.known(f"scales.{scale}.workloads.{paper}", ours, params.workloads)
        for name, options in entry.methods.items():
            if problems.known(f"scales.{scale}.methods", name, params.methods):
                pruner = params.methods[name].name
                if pruner in registered["method"]:
                    check_options(
                        problems, f"scales.{scale}.methods.{name}", registered["method"][pruner], options, partial=True
                    )
        for name in entry.early_epochs:
            problems.known(f"scales.{scale}.early_epochs", name, params.methods)
        for name in entry.experiments:
            problems.known(f"scales.{scale}.experiments", name, params.experiments)
    for name in params.data_places:
        problems.known("data_places", name, registered["dataset"])


def check_options(
    problems: Problems, key: str, entry: tuple[str, str], given: Mapping[str, Any], partial: bool = False
) -> None:
    """Notes unknown options of a registered class or function, and those that are missing unless `partial`."""
    accepted = {name: default for name, default in code.options(*entry).items() if name not in GIVEN_BY_ENGINE}
    for name in given:
        if name not in accepted:
            problems.add(f"{key}.{name}", f"unknown option of {entry[1]}. Known: {', '.join(accepted) or 'none'}")
    # No default of the code may decide a result unseen, so that every option stands in the file (a ratio may come
    # in two forms).
    either = {"prune_ratio", "explore", "exploit"}
    for name in () if partial else accepted:
        if name not in given and name not in either:
            problems.add(f"{key}.{name}", f"missing: {entry[1]} takes this option, and params.yaml states every value")


def replaced(params: Params, name: str) -> dict[str, tuple[str, ...]]:
    """Section of the scale -> the keys outside of it that it puts out of use."""
    scale, here = params.scales[name], f"scales.{name}"
    found = {
        f"{here}.experiments": [
            f"experiments.{name}.{key}"
            for name, changes in scale.experiments.items()
            for key, value in changes.items()
            if key in params.experiments[name].model_fields_set and not isinstance(value, Mapping)
        ],
        f"{here}.methods": [
            f"methods.{name}.options.{key}"
            for name, options in scale.methods.items()
            for key in options
            if key in params.methods[name].options
        ],
        f"{here}.coresets": [".".join(["coresets", *keys]) for keys in _leaves(scale.coresets)],
        f"{here}.early_epochs": [f"methods.{name}.coreset.epoch" for name in scale.early_epochs],
    }
    return {section: tuple(keys) for section, keys in found.items() if keys}


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The keys down to each value that is no mapping."""
    for key, value in tree.items():
        yield from ((key, *rest) for rest in _leaves(value)) if isinstance(value, Mapping) else ((key,),)
