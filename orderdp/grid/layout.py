"""Expands the parameters of one scale into its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orderdp import code_fingerprint as code
from orderdp.grid.checks import REGISTRIES, Problems, check_names, replaced
from orderdp.grid.experiments import Experiment, Grid, Jobs, Row
from orderdp.grid.params import ExperimentEntry, GridEntry, Params, Protocol
from orderdp.grid.recipes import Recipes, merge
from orderdp.jobs import KINDS, Job
from orderdp.jobs.coresets import gathered
from orderdp.jobs.diagnose import Diagnose
from orderdp.jobs.train import Train, registered
from orderdp.spec import CoresetSpec, Diagnostic, ProxySpec, RecipeSpec, RunSpec, SpecError, explain


def report(path: Path, problems: Sequence[str]) -> str:
    """All problems of a parameter file as one message."""
    count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    return f"{count} in {path}:\n" + "\n".join(f"  {line}" for line in problems)


class Layout:
    """Expands one scale, gathering problems on the way instead of stopping at the first."""

    def __init__(self, path: Path, params: Params, scale: str) -> None:
        self.path, self.params = path, params
        self.problems = Problems()
        if scale not in params.scales:
            raise SpecError(report(path, [f"scale: unknown scale {scale!r}. Known: {', '.join(params.scales)}"]))
        self.scale_name, self.scale = scale, params.scales[scale]
        # Runs under a key that leaves their diagnostics open: those are known only when every experiment has said what
        # it wants.
        self.specs: dict[str, RunSpec] = {}
        self.method_of: dict[str, str] = {}
        self.wanted: dict[str, set[Diagnostic]] = {}
        self.diagnosing: set[str] = set()
        self.before: dict[str, str] = {}
        """Key of a run -> key of its pre-training."""
        self.gpus: dict[str, int] = {}
        self.named_jobs: list[Job] = []
        self.recipes = Recipes(params)

    def grid(self) -> Grid:
        check_names(self.params, self.problems)
        self.problems |= dict.fromkeys(self.recipes.problems)
        self.protocol = self.merged_protocol()
        experiments = {name: self.experiment(name, entry) for name, entry in self.params.experiments.items()}
        if self.problems:
            raise SpecError(report(self.path, list(self.problems)))
        runs = self.runs()
        placed = {run.name: run for run in runs.values()}
        on_coresets = [run for run in placed.values() if run.spec.coreset is not None]
        labels = {runs[key].name: method for key, method in self.method_of.items()}
        proxies, coresets, with_places = gathered(on_coresets, labels)
        placed |= {run.name: run for run in with_places}
        diagnoses = {run.name: Diagnose.of(run) for run in placed.values() if run.spec.diagnostics}
        for name, experiment in experiments.items():
            rows = tuple(replace(row, run=runs[row.run].name) for row in experiment.rows)
            places = (placed[row.run].coreset for row in rows)
            needed = dict.fromkeys(place[0] for place in places if place is not None)
            experiments[name] = experiment = replace(experiment, rows=rows, coresets=tuple(needed))
            if name in self.diagnosing:
                measured = tuple(diagnoses[run].name for run in experiment.runs)
                experiments[name] = replace(experiment, diagnoses=measured)
        jobs = [*proxies.values(), *coresets.values(), *placed.values(), *diagnoses.values(), *self.named_jobs]
        return Grid(
            scale=self.scale_name,
            scales=tuple(self.params.scales),
            note=self.scale.note,
            jobs=Jobs(self.scale_name, jobs),
            experiments=experiments,
            data_places=self.params.data_places,
            replaced=replaced(self.params, self.scale_name),
        )

    def runs(self) -> dict[str, Train]:
        """Key of a run -> the run with everything that is wanted of it, pre-trainings before the runs that start from
        them."""
        made: dict[str, Train] = {}
        for key, spec in self.specs.items():
            spec = spec.model_copy(update={"diagnostics": tuple(sorted(self.wanted[key]))})
            before = made[self.before[key]].name if key in self.before else None
            made[key] = Train.of(spec, starts_from=before, gpus=self.gpus[key], keep_models=self.scale.keep_models)
        return made

    def merged_protocol(self) -> Protocol:
        """The protocol of coresets at this scale."""
        try:
            return Protocol.model_validate(merge(self.params.coresets.model_dump(), self.scale.coresets))
        except ValidationError as error:
            for line in explain(error, f"scales.{self.scale_name}.coresets"):
                self.problems[line] = None
            return self.params.coresets

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
            self.problems.add(f"experiments.{name}.grid", "empty: no method, workload or seed is left at this scale")
        if entry.diagnostics:
            self.diagnosing.add(name)
        job = None if entry.job is None else self.named_job(name, entry.job)
        shown = name in code.reported()
        return Experiment(
            name, entry.title, entry.reproduces, rows, entry.settings, job, left_out=left_out, shown=shown
        )

    def named_job(self, name: str, entry: Mapping[str, Any]) -> str | None:
        """Registers the job that an experiment names itself; returns the job's name."""
        where = f"experiments.{name}.job"
        kinds = {kind: made for kind, made in KINDS.items() if made.by_experiment}
        if not self.problems.known(f"{where}.kind", str(entry.get("kind")), kinds):
            return None
        kind = kinds[entry["kind"]]
        try:
            spec = kind.Spec.model_validate({key: value for key, value in entry.items() if key != "kind"})
        except ValidationError as error:
            self.problems |= dict.fromkeys(explain(error, where))
            return None
        dataset = getattr(spec, "dataset", None)
        if dataset is not None and not self.problems.known(
            f"{where}.dataset", dataset, code.registry(*REGISTRIES["dataset"])
        ):
            return None
        job = kind.of_experiment(name, spec)
        self.named_jobs.append(job)
        return job.name

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
                self.problems.add(
                    f"experiments.{name}.workloads",
                    f"{paper!r} has no entry under {here}, nor at any other scale. Add `{paper}: {example}` there, "
                    "with the name of an entry of `workloads`, or correct it. "
                    f"Known there: {', '.join(self.scale.workloads)}",
                )
        return found

    def rows(self, name: str, entry: ExperimentEntry) -> Iterator[Row]:
        seeds = self.scale.seeds if entry.seeds is None else entry.seeds
        for index, part in enumerate(entry.grid):
            for paper in part.workloads or ():
                self.problems.known(f"experiments.{name}.grid.{index}.workloads", paper, dict.fromkeys(entry.workloads))
        for ours, papers in self.stand_ins(name, entry).items():
            if ours not in self.params.workloads:
                continue
            for index, part in enumerate(entry.grid):
                key = f"experiments.{name}.grid.{index}"
                stands_for = tuple(one for one in papers if part.workloads is None or one in part.workloads)
                if not stands_for:
                    continue
                for method in part.methods:
                    if not self.problems.known(f"{key}.methods", method, self.params.methods):
                        continue
                    for ratio, explore, noise in self.points(key, part, method):
                        for seed in seeds:
                            run, explored = self.run(key, ours, method, part, ratio, explore, seed, noise)
                            if run is None:
                                continue
                            self.wanted[run].update(entry.diagnostics)
                            label = self.params.methods[method].label
                            yield Row(
                                name, run, ours, stands_for, method, label, ratio, explored, part.panel, seed, noise
                            )

    def points(self, key: str, part: GridEntry, method: str) -> Iterator[tuple[float | None, float | None, float]]:
        takes_ratio = self.params.methods[method].ratio_sets is not None
        if takes_ratio and not part.prune_ratios:
            self.problems.add(f"{key}.prune_ratios", f"empty: the method {method!r} needs at least one, in (0, 1)")
        for ratio in (part.prune_ratios or ()) if takes_ratio else (None,):
            for explore in part.explore or (None,):
                for noise in part.label_noise:
                    yield ratio, explore, noise

    def run(
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
                    self.problems.add(
                        f"methods.{method}.at", f"no {needed!r} for prune ratio {ratio:g}: add an entry for it"
                    )
                    return None, None
        trained_by, before = {"name": entry.name, "options": options, "score": entry.score}, None
        if workload.pretraining is not None:
            if self.params.workloads[workload.pretraining].pretraining is not None:
                return None, None
            before, _ = self.run(key, workload.pretraining, method, part, ratio, explore, seed, noise)
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
        if any(name not in code.registry(*where) for *where, name in registered(spec)):
            return None, None
        key = spec.canonical()
        self.specs.setdefault(key, spec)
        self.wanted.setdefault(key, set())
        if before is not None:
            self.before[key] = before
        self.gpus[key] = max(self.gpus.get(key, 1), workload.gpus)
        self.method_of.setdefault(key, method)
        return key, options.get("explore")  # type: ignore[return-value]

    def coreset(self, method: str, ours: str, recipe: RecipeSpec, ratio: float | None, noise: float) -> CoresetSpec:
        """What a static run of this row trains on."""
        entry, workload = self.params.methods[method].coreset, self.params.workloads[ours]
        assert entry is not None
        proxy = ProxySpec.model_validate(
            {
                **self.protocol.proxy.model_dump(exclude={"overrides"}),
                # The proxy sees the wrong labels of the run, too.
                "dataset": {"name": workload.dataset, "label_noise": noise},
                "model": {"name": workload.model, "options": workload.model_options},
                "recipe": merge(recipe.model_dump(), self.protocol.proxy.overrides),
            }
        )
        return CoresetSpec.model_validate(
            {
                "method": entry.name,
                "options": entry.options,
                "models": entry.models,
                "epoch": self.scale.early_epochs.get(method, entry.epoch),
                "balance": self.protocol.balance if entry.balance is None else entry.balance,
                "prune_ratio": ratio,
                "proxy": proxy,
            }
        )
