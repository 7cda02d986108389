"""Names and options in `params.yaml`: what is unknown or missing, and what a scale changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orderdp import code_fingerprint as code
from orderdp.grid.options import wrong
from orderdp.grid.params import ExperimentAtScale, ExperimentEntry, Only, Params

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
    for name in params.datasets or {}:
        if name in registered["dataset"]:
            problems.add(f"datasets.{name}", "the project has a data set of this name. Choose another one")
    datasets = {**registered["dataset"], **(params.datasets or {})}
    for key, workload in params.workloads.items():
        problems.known(f"workloads.{key}.dataset", workload.dataset, datasets)
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
            given = dict(method.options)
            for options in method.options_by_ratio.values():
                given |= options
            given |= {"prune_ratio": 0.5} if method.prune_ratio_sets == "prune_ratio" else {}
            check_options(problems, f"methods.{key}.options", registered["method"][method.name], given)
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
        for paper, substitute in entry.substitutes.items():
            if substitute is not None:
                problems.known(f"scales.{scale}.substitutes.{paper}", substitute, params.workloads)
        for name, options in entry.methods.items():
            if problems.known(f"scales.{scale}.methods", name, params.methods):
                pruner = params.methods[name].name
                if pruner in registered["method"]:
                    check_options(
                        problems, f"scales.{scale}.methods.{name}", registered["method"][pruner], options, partial=True
                    )
        for name in entry.early_epochs:
            problems.known(f"scales.{scale}.early_epochs", name, params.methods)
        for name, changes in entry.experiments.items():
            if problems.known(f"scales.{scale}.experiments", name, params.experiments):
                check_limits(problems, f"scales.{scale}.experiments.{name}", name, params.experiments[name], changes)
    for name in params.data_dirs:
        problems.known("data_dirs", name, registered["dataset"])


def check_options(
    problems: Problems, key: str, entry: tuple[str, str], given: Mapping[str, Any], partial: bool = False
) -> None:
    """Notes unknown options of a registered class or function, values that it does not take, and options that are
    missing unless `partial`."""
    accepted = {name: default for name, default in code.options(*entry).items() if name not in GIVEN_BY_ENGINE}
    for name in given:
        if name not in accepted:
            problems.add(f"{key}.{name}", f"unknown option of {entry[1]}. Known: {', '.join(accepted) or 'none'}")
    for name, text in wrong(entry, given).items():
        problems.add(f"{key}.{name}", text)
    # No default of the code may decide a result unseen, so that every option stands in the file (a ratio may come
    # in two forms).
    either = {"prune_ratio", "explore", "exploit"}
    for name in () if partial else accepted:
        if name not in given and name not in either:
            problems.add(f"{key}.{name}", f"missing: {entry[1]} takes this option, and params.yaml states every value")


def check_limits(
    problems: Problems, key: str, name: str, experiment: ExperimentEntry, changes: ExperimentAtScale
) -> None:
    """Notes limits of a scale that name what an experiment's grid does not hold."""
    for index, rule in enumerate(changes.only):
        for field in Only.model_fields:
            present = {value for part in experiment.grid for value in getattr(part, field) or ()}
            for value in getattr(rule, field) or ():
                if value not in present:
                    known = ", ".join(map(_text, sorted(present)))
                    message = f"{_text(value)} is not in experiments.{name}.grid. Known: {known or 'none'}"
                    problems.add(f"{key}.only.{index}.{field}", message)


def differences(params: Params, name: str) -> tuple[str, ...]:
    """What a scale changes of the methods, coresets and experiments, a line each.

    Example: `methods.ucb.options.period: 2 instead of 10`.
    """
    scale = params.scales[name]
    lines = []
    for method, options in scale.methods.items():
        key, before = f"methods.{method}.options", params.methods[method].options
        lines += [f"{key}.{name}: {_instead(value, before.get(name))}" for name, value in options.items()]
    for keys, value in _leaves(scale.coresets):
        lines.append(f"{'.'.join(('coresets', *keys))}: {_instead(value, _at(params.coresets.model_dump(), keys))}")
    for method, epoch in scale.early_epochs.items():
        coreset = params.methods[method].coreset
        lines.append(f"methods.{method}.coreset.epoch: {_instead(epoch, coreset.epoch if coreset else None)}")
    for experiment, changes in scale.experiments.items():
        key = f"experiments.{experiment}"
        if changes.seeds is not None:
            before_seeds = params.experiments[experiment].seeds or scale.seeds
            lines.append(f"{key}.seeds: {_instead(changes.seeds, before_seeds)}")
        for rule in changes.only:
            limits = rule.model_dump(exclude={"methods"}, exclude_none=True)
            text = " and ".join(f"{field} {_text(values)}" for field, values in limits.items())
            lines.append(f"{key}.grid: only {text}" + (f" of {_text(rule.methods)}" if rule.methods else ""))
        lines += [f"{key}.grid: {epochs} epochs at prune ratio {ratio:g}" for ratio, epochs in changes.epochs.items()]
    return tuple(lines)


def _instead(value: Any, before: Any) -> str:
    return f"{_text(value)} instead of {_text(before)}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _at(tree: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(the keys down to it, a value that is no mapping)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from (((key, *rest), leaf) for rest, leaf in _leaves(value))
        else:
            yield (key,), value
