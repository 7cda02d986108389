"""Which jobs are missing, and how they are grouped."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from orderdp import grid as grids
from orderdp.jobs import finished
from orderdp.planning import bundles

ROOT = Path(__file__).parents[2]
GRID = grids.load(ROOT / "params.yaml", "quick")


def finish(runs: Path, names) -> None:
    for name in names:
        finished.finish(runs / name, {"job": name, "status": "finished"})


def test_everything_is_missing_at_first_and_nothing_at_the_end(tmp_path):
    assert list(bundles.missing(GRID, tmp_path)) == list(GRID.jobs)
    finish(tmp_path, GRID.jobs)
    assert bundles.missing(GRID, tmp_path) == {}


def test_an_intermediate_job_is_missing_only_where_another_one_needs_it(tmp_path):
    (proxy,) = (name for name, job in GRID.jobs.items() if job.kind == "proxy")
    finish(tmp_path, set(GRID.jobs) - {proxy})
    assert bundles.missing(GRID, tmp_path) == {}
    (coresets,) = GRID.coresets
    (tmp_path / coresets / "summary.json").unlink()
    assert list(bundles.missing(GRID, tmp_path)) == [proxy, coresets]


def test_a_table_needs_its_own_jobs_and_what_they_need(tmp_path):
    """Against the obvious search."""
    for name, experiment in GRID.experiments.items():
        needed, todo = set(), list(experiment.jobs)
        while todo:
            job = todo.pop()
            needed.add(job)
            todo += GRID.jobs[job].needs
        assert set(bundles.missing(GRID, tmp_path, [name])) == needed


@pytest.mark.parametrize("minutes", [0.001, 1, 20, 1e9])
def test_bundles_hold_every_job_once_alike_ones_together_and_no_job_with_what_it_needs(minutes):
    made = bundles.bundled(GRID.jobs, minutes)
    assert sorted(job.name for bundle in made for job in bundle.jobs) == sorted(GRID.jobs)
    assert len({bundle.name for bundle in made}) == len(made)
    for bundle in made:
        names = {job.name for job in bundle.jobs}
        assert not any(names & set(job.needs) for job in bundle.jobs)
        assert len({(job.kind, job.resources().gpus, job.resources().cpus) for job in bundle.jobs}) == 1
        assert bundle.seconds <= 60 * minutes * (1 + 1e-6) or len(bundle.jobs) == 1
    # No job waits for a bundle that waits for it.
    of_job = {job.name: bundle.name for bundle in made for job in bundle.jobs}
    after = {bundle.name: {of_job[need] for job in bundle.jobs for need in job.needs} for bundle in made}
    while ready := {name for name, needed in after.items() if not needed}:
        after = {name: needed - ready for name, needed in after.items() if name not in ready}
    assert not after


def test_the_parts_of_a_group_take_about_as_long_as_each_other():
    """Apart from the last, which may be shorter by the share of one job for each part before it."""
    runs = {name: job for name, job in GRID.jobs.items() if job.kind == "train" and not job.needs and not job.alone}
    parts = bundles.bundled(runs, 1)
    longest = max(job.resources().seconds for job in runs.values())
    share = sum(part.seconds for part in parts) / math.ceil(sum(part.seconds for part in parts) / 60)
    assert len(parts) > 3
    assert all(share - longest <= part.seconds <= share + 1e-6 for part in parts[:-1])


def test_the_first_seed_of_every_run_comes_before_the_second(tmp_path):
    made = bundles.bundled(bundles.missing(GRID, tmp_path, ["table2"]), 1)
    assert {job.spec.seed for bundle in made for job in bundle.jobs} == {0, 1, 2, 3, 4}
    first = [bundle.jobs[0].spec.seed for bundle in made]
    assert first == sorted(first)
    for bundle in made:
        seeds = [job.spec.seed for job in bundle.jobs]
        assert seeds == sorted(seeds)


def test_a_saved_bundle_is_read_without_the_grid(tmp_path):
    for bundle in bundles.bundled(GRID.jobs, 20):
        bundle.save(tmp_path)
        assert bundles.saved(tmp_path / f"{bundle.name}.json") == bundle


def test_names_follow_the_jobs_and_a_second_one_is_numbered():
    first, *_ = bundles.bundled(GRID.jobs, 20)
    assert first.name == bundles.bundled(GRID.jobs, 20)[0].name
    assert [first.renamed().name, first.renamed().renamed().name] == [f"{first.name}-2", f"{first.name}-3"]
    assert first.renamed().jobs == first.jobs


def test_several_at_once_take_less_time_and_more_memory():
    jobs = tuple(job for job in GRID.runs.values() if not job.alone)[:4]
    bundle = bundles.Bundle("train-0", jobs)
    assert bundle.minutes(1, at_once=4) <= bundle.minutes(1)
    assert bundle.memory_mb(1, at_once=2) > bundle.memory_mb(1)
    assert bundle.cpus(at_once=8) == 4 * bundle.cpus()


def test_runs_whose_durations_are_compared_have_their_device_to_themselves():
    compared = {run for name in ("table3", "figure3", "figures12_13") for run in GRID.experiments[name].runs}
    made = bundles.bundled(GRID.jobs, 20)
    alone = [bundle for bundle in made if compared & {job.name for job in bundle.jobs}]
    assert {job.name for bundle in alone for job in bundle.jobs} == compared
    for bundle in made:
        assert bundle.at_once(4) == (1 if bundle in alone else min(4, len(bundle.jobs)))
    assert alone[0].cpus(at_once=4) == alone[0].cpus()


def test_a_partition_limits_the_minutes():
    bundle = bundles.Bundle("train-0", tuple(GRID.runs.values())[:40])
    assert bundle.minutes(1) > 5
    assert bundle.minutes(1, most=3) == bundle.minutes(2, most=3) == 3
    assert bundle.minutes(1, most=10_000) == bundle.minutes(1)
