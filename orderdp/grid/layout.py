"""Expands the parameters of one scale into its runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orderdp import sources
from orderdp.grid.cells import Cell, Cells, Diagnosis, Experiment, Grid, Row, Study
from orderdp.grid.params import ExperimentEntry, GridEntry, Params, Protocol
from orderdp.grid.recipes import Recipes, merge
from orderdp.grid.statics import REGISTRY, coreset_sources, coreset_values, gathered, proxy_values
from orderdp.spec import CoresetSpec, Diagnostic, ProxySpec, RecipeSpec, RunSpec, SpecError, StudySpec, explain

REGISTRIES = {
    "dataset": ("datasets", "DATASETS"),
    "model": ("models", "MODELS"),
    "method": ("pruning", "PRUNERS"),
    "coreset": REGISTRY,
}
GIVEN_BY_ENGINE = {"n", "seed", "epochs", "indices", "weights", "rank", "world_size"}


def report(path: Path, problems: Sequence[str]) -> str:
    """All problems of a parameter file as one message."""
    count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    return f"{count} in {path}:\n" + "\n".join(f"  {line}" for line in problems)


class Layout:
    """Expands one scale, gathering problems on the way instead of stopping at the first."""

    def __init__(self, path: Path, params: Params, scale: str) -> None:
        self.path, self.params = path, params
        self.problems: dict[str, None] = {}
        if scale not in params.scales:
            raise SpecError(report(path, [f"scale: unknown scale {scale!r}. Known: {', '.join(params.scales)}"]))
        self.scale_name, self.scale = scale, params.scales[scale]
        # Runs under a key that leaves their diagnostics open: those are known only when every experiment has said what
        # it wants.
        self.specs: dict[str, RunSpec] = {}
        self.method_of: dict[str, str] = {}
        self.users: dict[str, dict[str, None]] = {}
        self.wanted: dict[str, set[Diagnostic]] = {}
        self.diagnosing: set[str] = set()
        self.before: dict[str, str] = {}
        """Key of a run -> key of its pre-training."""
        self.gpus: dict[str, int] = {}
        self.recipes = Recipes(params)

    def problem(self, key: str, message: str) -> None:
        self.problems[f"{key}: {message}"] = None

    def known(self, key: str, name: str, names: Mapping[str, Any]) -> bool:
        if name not in names:
            self.problem(key, f"unknown name {name!r}. Known: {', '.join(names)}")
        return name in names

    def grid(self) -> Grid:
        self.check_names()
        self.protocol = self.merged_protocol()
        experiments = {name: self.experiment(name, entry) for name, entry in self.params.experiments.items()}
        if self.problems:
            raise SpecError(report(self.path, list(self.problems)))
        named = {key: self.named(key, spec) for key, spec in self.specs.items()}
        methods = {named[key].name: method for key, method in self.method_of.items()}
        placed, proxies, coresets = gathered({cell.name: cell for cell in named.values()}, methods)
        cells = Cells(self.scale_name, placed.values())
        diagnoses = {cell.name: self.diagnosis(cell) for cell in cells.values() if cell.spec.diagnostics}
        for name, experiment in experiments.items():
            rows = tuple(replace(row, cell=named[row.cell].name) for row in experiment.rows)
            folders = dict.fromkeys(where[0] for row in rows if (where := cells[row.cell].coreset) is not None)
            experiments[name] = replace(experiment, rows=rows, coresets=tuple(folders))
            if name in self.diagnosing:
                experiments[name] = replace(
                    experiments[name], diagnoses=tuple(diagnoses[cell].name for cell in experiments[name].cells)
                )
        studies = [experiment.study for experiment in experiments.values() if experiment.study is not None]
        datasets = tuple(
            dict.fromkeys(
                [*(cell.spec.dataset.name for cell in cells.values()), *(study.spec.dataset for study in studies)]
            )
        )
        return Grid(
            scale=self.scale_name,
            scales=tuple(self.params.scales),
            note=self.scale.note,
            keep_models=self.scale.keep_models,
            cells=cells,
            experiments=experiments,
            datasets=datasets,
            data_places=self.params.data_places,
            proxies=proxies,
            coresets=coresets,
            diagnoses={diagnosis.name: diagnosis for diagnosis in diagnoses.values()},
            replaced=self.replaced(),
        )

    def replaced(self) -> dict[str, tuple[str, ...]]:
        """Section of the scale -> the keys outside of it that it puts out of use."""
        params, here = self.params, f"scales.{self.scale_name}"
        found = {
            f"{here}.experiments": [
                f"experiments.{name}.{key}"
                for name, changes in self.scale.experiments.items()
                for key, value in changes.items()
                if key in params.experiments[name].model_fields_set and not isinstance(value, Mapping)
            ],
            f"{here}.methods": [
                f"methods.{name}.options.{key}"
                for name, options in self.scale.methods.items()
                for key in options
                if key in params.methods[name].options
            ],
            f"{here}.coresets": [".".join(["coresets", *keys]) for keys in _leaves(self.scale.coresets)],
            f"{here}.early_epochs": [f"methods.{name}.coreset.epoch" for name in self.scale.early_epochs],
        }
        return {section: tuple(keys) for section, keys in found.items() if keys}

    def merged_protocol(self) -> Protocol:
        """The protocol of coresets at this scale."""
        try:
            return Protocol.model_validate(merge(self.params.coresets.model_dump(), self.scale.coresets))
        except ValidationError as error:
            for line in explain(error, f"scales.{self.scale_name}.coresets"):
                self.problems[line] = None
            return self.params.coresets

    def check_names(self) -> None:
        """Names in every section, also those that this scale does not use: a misspelling is wrong at any scale."""
        registered = {kind: sources.registry(*where) for kind, where in REGISTRIES.items()}
        self.problems |= dict.fromkeys(self.recipes.problems)
        for key, workload in self.params.workloads.items():
            self.known(f"workloads.{key}.dataset", workload.dataset, registered["dataset"])
            if self.known(f"workloads.{key}.model", workload.model, registered["model"]):
                self.check_options(
                    f"workloads.{key}.model_options", registered["model"][workload.model], workload.model_options
                )
            self.known(f"workloads.{key}.recipe", workload.recipe, self.params.recipes)
            before = workload.pretraining
            known = before is None or self.known(f"workloads.{key}.pretraining", before, self.params.workloads)
            if before is not None and known and self.params.workloads[before].pretraining is not None:
                self.problem(f"workloads.{key}.pretraining", f"{before!r} must not have a pre-training itself")
        for key, method in self.params.methods.items():
            if self.known(f"methods.{key}.name", method.name, registered["method"]):
                given = {**method.options, **{k: None for split in method.at for k in split.options}}
                ratio = {"prune_ratio": None} if method.ratio_sets == "prune_ratio" else {}
                self.check_options(f"methods.{key}.options", registered["method"][method.name], {**given, **ratio})
            if method.coreset is not None and self.known(
                f"methods.{key}.coreset.name", method.coreset.name, registered["coreset"]
            ):
                self.check_options(
                    f"methods.{key}.coreset.options", registered["coreset"][method.coreset.name], method.coreset.options
                )
        for scale, entry in self.params.scales.items():
            for paper, ours in entry.workloads.items():
                if ours is not None:
                    self.known(f"scales.{scale}.workloads.{paper}", ours, self.params.workloads)
            for name, options in entry.methods.items():
                if self.known(f"scales.{scale}.methods", name, self.params.methods):
                    pruner = self.params.methods[name].name
                    if pruner in registered["method"]:
                        self.check_options(
                            f"scales.{scale}.methods.{name}", registered["method"][pruner], options, partial=True
                        )
            for name in entry.early_epochs:
                self.known(f"scales.{scale}.early_epochs", name, self.params.methods)
            for name in entry.experiments:
                self.known(f"scales.{scale}.experiments", name, self.params.experiments)
        for name in self.params.data_places:
            self.known("data_places", name, registered["dataset"])

    def check_options(self, key: str, entry: tuple[str, str], given: Mapping[str, Any], partial: bool = False) -> None:
        accepted = {name: default for name, default in sources.options(*entry).items() if name not in GIVEN_BY_ENGINE}
        for name in given:
            if name not in accepted:
                self.problem(f"{key}.{name}", f"unknown option of {entry[1]}. Known: {', '.join(accepted) or 'none'}")
        # No default of the code may decide a result unseen, so that every option stands in the file (a ratio may come
        # in two forms).
        either = {"prune_ratio", "explore", "exploit"}
        for name in () if partial else accepted:
            if name not in given and name not in either:
                self.problem(
                    f"{key}.{name}", f"missing: {entry[1]} takes this option, and params.yaml states every value"
                )

    def experiment(self, name: str, entry: ExperimentEntry) -> Experiment:
        changes = self.scale.experiments.get(name, {})
        try:
            entry = ExperimentEntry.model_validate(merge(entry.model_dump(exclude_unset=True), changes))
        except ValidationError as error:
            for line in explain(error, f"scales.{self.scale_name}.experiments.{name}"):
                self.problems[line] = None
            return Experiment(name, entry.title, entry.reproduces, ())
        rows = tuple(self.rows(name, entry))
        left_out = tuple(paper for paper in entry.workloads if self.scale.workloads.get(paper) is None)
        if entry.grid and not rows and len(left_out) < len(entry.workloads) and not self.problems:
            self.problem(f"experiments.{name}.grid", "empty: no method, workload or seed is left at this scale")
        if entry.diagnostics:
            self.diagnosing.add(name)
        study = None if entry.study is None else self.study(name, entry.study)
        shown = name in sources.reported()
        return Experiment(
            name, entry.title, entry.reproduces, rows, entry.settings, study, left_out=left_out, shown=shown
        )

    def study(self, name: str, spec: StudySpec) -> Study | None:
        if not self.known(f"experiments.{name}.study.dataset", spec.dataset, sources.registry(*REGISTRIES["dataset"])):
            return None
        found = sources.study_digests((*REGISTRIES["dataset"], spec.dataset))
        fingerprint = spec.fingerprint(found)
        return Study(f"{name}-{spec.dataset}-{fingerprint}", fingerprint, spec, found)

    def stand_ins(self, name: str, entry: ExperimentEntry) -> dict[str, tuple[str, ...]]:
        """Our workload -> the experiment's workloads that it stands for. Those that only other scales have are left
        out."""
        found: dict[str, tuple[str, ...]] = {}
        for paper in entry.workloads:
            ours = self.scale.workloads.get(paper)
            if ours is not None:
                found[ours] = (*found.get(ours, ()), paper)
            elif not any(paper in scale.workloads for scale in self.params.scales.values()):
                here = f"scales.{self.scale_name}.workloads"
                example = paper if paper in self.params.workloads else "NAME"
                self.problem(
                    f"experiments.{name}.workloads",
                    f"{paper!r} has no entry under {here}, nor at any other scale. Add `{paper}: {example}` there, with the "
                    f"name of an entry of `workloads`, or correct it. Known there: {', '.join(self.scale.workloads)}",
                )
        return found

    def rows(self, name: str, entry: ExperimentEntry) -> Iterator[Row]:
        seeds = self.scale.seeds if entry.seeds is None else entry.seeds
        for index, part in enumerate(entry.grid):
            for paper in part.workloads or ():
                self.known(f"experiments.{name}.grid.{index}.workloads", paper, dict.fromkeys(entry.workloads))
        for ours, papers in self.stand_ins(name, entry).items():
            if ours not in self.params.workloads:
                continue
            for index, part in enumerate(entry.grid):
                key = f"experiments.{name}.grid.{index}"
                stands_for = tuple(one for one in papers if part.workloads is None or one in part.workloads)
                if not stands_for:
                    continue
                for method in part.methods:
                    if not self.known(f"{key}.methods", method, self.params.methods):
                        continue
                    for ratio, explore, noise in self.points(key, part, method):
                        for seed in seeds:
                            cell, explored = self.cell(key, ours, method, part, ratio, explore, seed, noise)
                            if cell is None:
                                continue
                            for needed in (cell, *((self.before[cell],) if cell in self.before else ())):
                                self.users.setdefault(needed, {})[name] = None
                                self.wanted.setdefault(needed, set())
                            self.wanted[cell].update(entry.diagnostics)
                            label = self.params.methods[method].label
                            yield Row(
                                name, cell, ours, stands_for, method, label, ratio, explored, part.panel, seed, noise
                            )

    def points(self, key: str, part: GridEntry, method: str) -> Iterator[tuple[float | None, float | None, float]]:
        takes_ratio = self.params.methods[method].ratio_sets is not None
        if takes_ratio and not part.prune_ratios:
            self.problem(f"{key}.prune_ratios", f"empty: the method {method!r} needs at least one, in (0, 1)")
        for ratio in (part.prune_ratios or ()) if takes_ratio else (None,):
            for explore in part.explore or (None,):
                for noise in part.label_noise:
                    yield ratio, explore, noise

    def cell(
        self,
        key: str,
        ours: str,
        method: str,
        part: GridEntry,
        ratio: float | None,
        explore: float | None,
        seed: int,
        noise: float,
    ) -> tuple[str | None, float | None]:
        """Registers the run of one grid point; returns its key and its explore ratio."""
        entry, workload = self.params.methods[method], self.params.workloads[ours]
        options = {**entry.options, **self.scale.methods.get(method, {})}
        for split in entry.at:
            if ratio is not None and abs(split.prune_ratio - ratio) < 1e-9:
                options |= split.options
        if entry.ratio_sets == "prune_ratio" and entry.coreset is None:
            options["prune_ratio"] = ratio
        options |= part.options | ({} if explore is None else {"explore": explore})
        for split in entry.at:
            for needed in split.options:
                if needed not in options:
                    self.problem(
                        f"methods.{method}.at", f"no {needed!r} for prune ratio {ratio:g}: add an entry for it"
                    )
                    return None, None
        trained_by, before = {"name": entry.name, "options": options, "score": entry.score}, None
        if workload.pretraining is not None:
            if self.params.workloads[workload.pretraining].pretraining is not None:
                return None, None
            before, _ = self.cell(key, workload.pretraining, method, part, ratio, explore, seed, noise)
            if before is None:
                return None, None
            trained_by = {"name": "full", "options": {}}
        try:
            recipe = self.recipes.of(ours, ratio if entry.ratio_sets == "match_steps_at" else None, part.epochs)
            if recipe is None:
                self.problems |= dict.fromkeys(self.recipes.problems)
                return None, None
            coreset = (
                None
                if entry.coreset is None or before is not None
                else self.coreset(method, ours, recipe, ratio, noise)
            )
            spec = RunSpec.model_validate(
                {
                    "dataset": {"name": workload.dataset, "label_noise": noise},
                    "model": {"name": workload.model, "options": workload.model_options},
                    "method": trained_by,
                    "coreset": coreset,
                    "recipe": recipe,
                    "pretraining": None if before is None else self.specs[before],
                    "checkpoints": self.scale.checkpoints,
                    "diagnostics": (),
                    "seed": seed,
                }
            )
        except ValidationError as error:
            where = {"RunSpec": key, "ProxySpec": "coresets.proxy", "CoresetSpec": f"methods.{method}.coreset"}[
                error.title
            ]
            lines = explain(error, where)
            if (
                error.title == "ProxySpec"
            ):  # its recipe is the workload's, which is in order, with the protocol's changes
                lines = [line.replace(f"{where}.recipe.", f"{where}.overrides.") for line in lines]
            self.problems |= dict.fromkeys(lines)
            return None, None
        if any(name not in sources.registry(*REGISTRIES[kind]) for kind, name in _names(spec).items()):
            return None, None
        key = spec.canonical()
        self.specs.setdefault(key, spec)
        if before is not None:
            self.before[key] = before
        self.gpus[key] = max(self.gpus.get(key, 1), workload.gpus)
        self.method_of.setdefault(key, method)
        return key, options.get("explore")  # type: ignore[return-value]

    def coreset(self, method: str, ours: str, recipe: RecipeSpec, ratio: float | None, noise: float) -> CoresetSpec:
        """What a static run of this row trains on."""
        entry, workload = self.params.methods[method].coreset, self.params.workloads[ours]
        assert entry is not None
        model = {"name": workload.model, "options": workload.model_options}
        changed = merge(recipe.model_dump(), self.protocol.proxy.overrides)
        dataset = {"name": workload.dataset, "label_noise": noise}
        proxy = ProxySpec.model_validate(proxy_values(self.protocol, changed, dataset, model))
        return CoresetSpec.model_validate(
            coreset_values(entry, self.protocol, proxy, ratio, self.scale.early_epochs.get(method))
        )

    def named(self, key: str, spec: RunSpec) -> Cell:
        """The run with all that is asked of it, under its final name."""
        spec = spec.model_copy(update={"diagnostics": tuple(sorted(self.wanted[key]))})
        specs = [spec] if spec.pretraining is None else [spec, spec.pretraining]
        found = sources.digests(*((*REGISTRIES[kind], name) for each in specs for kind, name in _names(each).items()))
        found = dict(sorted((found | coreset_sources(spec)).items()))
        fingerprint = spec.fingerprint(found)
        before = self.named(self.before[key], self.specs[self.before[key]]).name if key in self.before else None
        return Cell(
            f"{spec.stem()}-{fingerprint}", fingerprint, spec, found, tuple(self.users[key]), self.gpus[key], before
        )

    def diagnosis(self, cell: Cell) -> Diagnosis:
        """The measurements of a run that asks for them."""
        found = sources.diagnosis_digests(*((*REGISTRIES[kind], name) for kind, name in _names(cell.spec).items()))
        fingerprint = hashlib.sha256(json.dumps([cell.name, found]).encode()).hexdigest()[:12]
        return Diagnosis(f"diagnosis-{cell.name}-{fingerprint}", fingerprint, cell, found)


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The keys down to each value that is no mapping."""
    for key, value in tree.items():
        yield from ((key, *rest) for rest in _leaves(value)) if isinstance(value, Mapping) else ((key,),)


def _names(spec: RunSpec) -> dict[str, str]:
    """Kind of registry -> name in it."""
    return {"dataset": spec.dataset.name, "model": spec.model.name, "method": spec.method.name}
