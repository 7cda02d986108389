"""Expands the parameters of one scale into its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from orderdp import code_fingerprint as code
from orderdp.grid.checks import REGISTRIES, Problems, check_names, differences
from orderdp.grid.coresets import gathered
from orderdp.grid.experiments import Experiment, Grid, Jobs, Row
from orderdp.grid.inheritance import merge
from orderdp.grid.options import wrong
from orderdp.grid.params import CoresetEntry, ExperimentAtScale, ExperimentEntry, GridEntry, Params, Protocol
from orderdp.grid.recipes import Recipes
from orderdp.jobs import KINDS, Job
from orderdp.jobs.diagnose import Diagnose
from orderdp.jobs.train import Train, registered
from orderdp.spec import CoresetSpec, Diagnostic, ProxySpec, RecipeSpec, RunSpec, explain


class Point(NamedTuple):
    """The coordinates of one run in an experiment's grid."""

    workload: str
    method: str
    prune_ratio: float | None
    explore: float | None
    label_noise: float
    seed: int
    epochs: int | None
    options: Mapping[str, Any]


class Layout:
    """Expands one scale, gathering problems on the way instead of stopping at the first."""

    def __init__(self, params: Params, scale: str) -> None:
        self.params = params
        self.problems = Problems()
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
        self.alone: set[str] = set()
        self.named_jobs: list[Job] = []
        self.recipes = Recipes(params)

    def grid(self) -> Grid | None:
        """The grid; None if there are `problems`."""
        check_names(self.params, self.problems)
        self.problems |= dict.fromkeys(self.recipes.problems)
        self.protocol = self.merged_protocol()
        experiments = {name: self.experiment(name, entry) for name, entry in self.params.experiments.items()}
        if self.problems:
            return None
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
            data_dirs=self.params.data_dirs,
            own=self.params.datasets or {},
            differences=differences(self.params, self.scale_name),
        )

    def runs(self) -> dict[str, Train]:
        """Key of a run -> the run with everything that is wanted of it, pre-trainings before the runs that start from
        them."""
        made: dict[str, Train] = {}
        for key, spec in self.specs.items():
            spec = spec.model_copy(update={"diagnostics": tuple(sorted(self.wanted[key]))})
            before = made[self.before[key]].name if key in self.before else None
            how = {"gpus": self.gpus[key], "alone": key in self.alone, "keep_models": self.scale.keep_models}
            made[key] = Train.of(spec, starts_from=before, **how)
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
        rows = tuple(self.rows(name, entry))
        left_out = tuple(paper for paper in entry.workloads if self.scale.substitute(paper) is None)
        if entry.grid and not rows and len(left_out) < len(entry.workloads) and not self.problems:
            self.problems.add(f"experiments.{name}.grid", "empty: no method, workload or seed is left at this scale")
        if entry.diagnostics:
            self.diagnosing.add(name)
        if entry.compares_times:
            self.alone.update(row.run for row in rows)
        job = None if entry.job is None else self.named_job(name, entry.job)
        shown = name in code.reported()
        return Experiment(
            name,
            entry.title,
            entry.reproduces,
            rows,
            entry.settings,
            job,
            left_out=left_out,
            compares_times=entry.compares_times,
            shown=shown,
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

    def substituted(self, name: str, entry: ExperimentEntry) -> dict[str, tuple[str, ...]]:
        """Workload that is trained -> the experiment's workloads that it is trained for. Those that only other scales
        have are left out."""
        papers_of: dict[str, tuple[str, ...]] = {}
        for paper in entry.workloads:
            trained = self.scale.substitute(paper)
            if trained is not None and (paper in self.scale.substitutes or trained in self.params.workloads):
                papers_of[trained] = (*papers_of.get(trained, ()), paper)
            elif not any(paper in scale.substitutes for scale in self.params.scales.values()) and not (
                paper in self.params.workloads
                and any(scale.unlisted == "trained" for scale in self.params.scales.values())
            ):
                where = f"scales.{self.scale_name}.substitutes"
                example = paper if paper in self.params.workloads else "NAME"
                self.problems.add(
                    f"experiments.{name}.workloads",
                    f"{paper!r} has no entry under {where}, nor at any other scale. Add `{paper}: {example}` there, "
                    "with the name of an entry of `workloads`, or correct it. "
                    f"Known there: {', '.join(self.scale.substitutes)}",
                )
        return papers_of

    def rows(self, name: str, entry: ExperimentEntry) -> Iterator[Row]:
        changes = self.scale.experiments.get(name, ExperimentAtScale())
        seeds = next(seeds for seeds in (changes.seeds, entry.seeds, self.scale.seeds) if seeds is not None)
        seen: set[Row] = set()
        for index, part in enumerate(entry.grid):
            for paper in part.workloads or ():
                self.problems.known(f"experiments.{name}.grid.{index}.workloads", paper, dict.fromkeys(entry.workloads))
        for workload, papers in self.substituted(name, entry).items():
            if workload not in self.params.workloads:
                continue
            for index, part in enumerate(entry.grid):
                key = f"experiments.{name}.grid.{index}"
                stands_for = tuple(one for one in papers if part.workloads is None or one in part.workloads)
                if not stands_for:
                    continue
                for method in part.methods:
                    if not self.problems.known(f"{key}.methods", method, self.params.methods):
                        continue
                    label = self.params.methods[method].label
                    for ratio, explore, noise in self.points(key, part, method, changes):
                        epochs = changes.epochs.get(ratio or 0, part.epochs)
                        for seed in seeds:
                            point = Point(workload, method, ratio, explore, noise, seed, epochs, part.options)
                            run, explored = self.run(key, point)
                            if run is None:
                                continue
                            self.wanted[run].update(entry.diagnostics)
                            row = Row(
                                name, run, workload, stands_for, method, label, ratio, explored, part.panel, seed, noise
                            )
                            if row in seen:
                                at = "" if ratio is None else f" at prune ratio {ratio:g}"
                                self.problems.add(key, f"the method {method!r}{at} on {workload} is there twice")
                            seen.add(row)
                            yield row

    def points(
        self, key: str, part: GridEntry, method: str, changes: ExperimentAtScale
    ) -> Iterator[tuple[float | None, float | None, float]]:
        takes_ratio = self.params.methods[method].prune_ratio_sets is not None
        if takes_ratio and not part.prune_ratios:
            self.problems.add(f"{key}.prune_ratios", f"empty: the method {method!r} needs at least one, in (0, 1)")
        rules = [rule for rule in changes.only if rule.methods is None or method in rule.methods]
        for ratio in (part.prune_ratios or ()) if takes_ratio else (None,):
            for explore in part.explore or (None,):
                for noise in part.label_noise:
                    if all(
                        (rule.prune_ratios is None or ratio is None or ratio in rule.prune_ratios)
                        and (rule.explore is None or explore is None or explore in rule.explore)
                        and (rule.label_noise is None or noise in rule.label_noise)
                        for rule in rules
                    ):
                        yield ratio, explore, noise

    def run(self, key: str, point: Point) -> tuple[str | None, float | None]:
        """Registers the run of one grid point; returns its key and its explore ratio."""
        entry, workload = self.params.methods[point.method], self.params.workloads[point.workload]
        options: dict[str, Any] = entry.options | self.scale.methods.get(point.method, {})
        options |= entry.options_at(point.prune_ratio)
        if entry.prune_ratio_sets == "prune_ratio" and entry.coreset is None:
            options["prune_ratio"] = point.prune_ratio
        options |= point.options
        if point.explore is not None:
            options["explore"] = point.explore
        for needed in dict.fromkeys(name for each in entry.options_by_ratio.values() for name in each):
            if needed not in options:
                self.problems.add(
                    f"methods.{point.method}.options_by_ratio",
                    f"no {needed!r} for prune ratio {point.prune_ratio:g}: add an entry for it, or a 'split'",
                )
                return None, None
        if entry.name in code.registry(*REGISTRIES["method"]):
            for name, text in wrong(code.registry(*REGISTRIES["method"])[entry.name], options).items():
                self.problems.add(f"{key}.options.{name} ({point.method})", text)
        trained_by, before = {"name": entry.name, "options": options, "score": entry.score}, None
        if workload.pretraining is not None:
            first = self.params.workloads.get(workload.pretraining)
            if first is None or first.pretraining is not None:
                return None, None
            before, _ = self.run(key, point._replace(workload=workload.pretraining))
            if before is None:
                return None, None
            trained_by = {"name": "full", "options": {}}
        try:
            matched = point.prune_ratio if entry.prune_ratio_sets == "match_steps_at" else None
            recipe = self.recipes.of(point.workload, matched, point.epochs)
            if recipe is None:
                self.problems |= dict.fromkeys(self.recipes.problems)
                return None, None
            chosen = None if entry.coreset is None or before is not None else self.coreset(point, entry.coreset, recipe)
            spec = RunSpec.model_validate(
                {
                    "dataset": self.dataset(point),
                    "model": {"name": workload.model, "options": workload.model_options},
                    "method": trained_by,
                    "coreset": chosen,
                    "recipe": recipe,
                    "pretraining": None if before is None else self.specs[before],
                    "record_at": self.scale.record_at,
                    "diagnostics": (),
                    "seed": point.seed,
                }
            )
        except ValidationError as error:
            self.problems |= dict.fromkeys(self.explained(error, key, point.method))
            return None, None
        if any(name not in code.registry(*where) for *where, name in registered(spec)):
            return None, None
        key = spec.canonical()
        self.specs.setdefault(key, spec)
        self.wanted.setdefault(key, set())
        if before is not None:
            self.before[key] = before
        self.gpus[key] = max(self.gpus.get(key, 1), workload.gpus)
        self.method_of.setdefault(key, point.method)
        return key, options.get("explore")

    def dataset(self, point: Point) -> dict[str, Any]:
        """The data set of a grid point."""
        name = self.params.workloads[point.workload].dataset
        return {"name": name, "label_noise": point.label_noise, "own": self.params.own(name)}

    def check_protocol(self, point: Point, entry: CoresetEntry) -> None:
        """Notes what of a coreset and of its proxy does not fit each other, the runs or the data."""
        proxy, where = self.protocol.proxy, f"methods.{point.method}.coreset.epoch"
        function = code.registry(*REGISTRIES["coreset"]).get(entry.name)
        epoch = self.scale.early_epochs.get(point.method, entry.epoch)
        if function is not None:
            early = {name for name in code.needs(*function) if name.startswith("early_")}
            if early and epoch not in proxy.early_epochs:
                known = ", ".join(map(str, proxy.early_epochs))
                self.problems.add(where, f"must be one of coresets.proxy.early_epochs: {known}. Got {epoch}")
            if not early and epoch is not None:
                self.problems.add(where, f"{entry.name} looks at the trained proxy. Leave it out. Got {epoch}")
        if point.seed in range(proxy.seed, proxy.seed + proxy.models + 1):
            self.problems.add(
                "coresets.proxy.seed",
                f"{proxy.seed} and the next {proxy.models} are seeds of the proxy's networks, and {point.seed} is that"
                " of a run, which would repeat a proxy's training. Choose a larger one",
            )
        classes = self.params.facts(self.params.workloads[point.workload].dataset).get("classes")
        if classes is not None and proxy.deepfool.classes > classes:
            self.problems.add(
                "coresets.proxy.deepfool.classes",
                f"must be at most the {classes} classes of the data set of {point.workload}. Got"
                f" {proxy.deepfool.classes}",
            )

    def explained(self, error: ValidationError, key: str, method: str) -> list[str]:
        """What is wrong with a run's spec, by the keys of params.yaml."""
        if error.title == "ProxySpec":  # its recipe is the workload's, which is right, with the protocol's changes
            where = "coresets.proxy"
            return [line.replace(f"{where}.recipe.", f"{where}.overrides.") for line in explain(error, where)]
        return explain(error, key if error.title == "RunSpec" else f"methods.{method}.coreset")

    def coreset(self, point: Point, entry: CoresetEntry, recipe: RecipeSpec) -> CoresetSpec:
        """The coreset that the run of a grid point trains on."""
        workload = self.params.workloads[point.workload]
        self.check_protocol(point, entry)
        proxy = ProxySpec.model_validate(
            {
                **self.protocol.proxy.model_dump(exclude={"overrides"}),
                # The proxy sees the wrong labels of the run, too.
                "dataset": self.dataset(point),
                "model": {"name": workload.model, "options": workload.model_options},
                "recipe": merge(recipe.model_dump(), self.protocol.proxy.overrides),
            }
        )
        return CoresetSpec.model_validate(
            {
                "method": entry.name,
                "options": entry.options,
                "models": entry.models,
                "epoch": self.scale.early_epochs.get(point.method, entry.epoch),
                "balance": self.protocol.balance if entry.balance is None else entry.balance,
                "prune_ratio": point.prune_ratio,
                "proxy": proxy,
            }
        )
