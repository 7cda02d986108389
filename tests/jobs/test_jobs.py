"""What all kinds of jobs have in common."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orderdp import grid as grids
from orderdp.jobs import KINDS, Execution, from_record
from orderdp.jobs.base import fingerprint

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scale", ["quick", "fashion", "cifar", "paper"])
def test_a_job_comes_back_from_its_record_as_it_was(scale):
    jobs = grids.load(ROOT / "params.yaml", scale).jobs
    for job in jobs.values():
        again = from_record(json.loads(json.dumps(job.record())))
        assert again == job and type(again) is type(job)
    assert {job.kind for job in jobs.values()} == set(KINDS)


def test_a_name_ends_in_the_fingerprint_of_spec_and_code():
    for name, job in grids.load(ROOT / "params.yaml").jobs.items():
        assert name == job.name and name.endswith(f"-{job.fingerprint}")
        assert job.fingerprint == fingerprint(job.kind, job.spec, job.sources)


def test_every_job_comes_behind_those_that_it_needs():
    seen = set()
    for name, job in grids.load(ROOT / "params.yaml").jobs.items():
        assert set(job.needs) <= seen
        seen.add(name)


def test_resources_are_what_a_machine_has():
    for job in grids.load(ROOT / "params.yaml", "paper").jobs.values():
        wanted = job.resources()
        assert wanted.seconds > 0 and wanted.memory_mb > 0 and wanted.cpus >= 1 and wanted.gpus >= 0


def test_the_summary_is_the_last_file_and_a_finished_job_computes_nothing(tmp_path, monkeypatch):
    job = next(job for job in grids.load(ROOT / "params.yaml").jobs.values() if job.kind == "study")
    out, calls = tmp_path / job.name, []

    def compute(self, folder, execution):
        assert (folder / "spec.json").exists() and not (folder / "summary.json").exists()
        calls.append(folder)
        return {"value": 3}

    monkeypatch.setattr(type(job), "compute", compute)
    for _ in range(2):
        job.run(Execution(runs=tmp_path))
    assert calls == [out]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["job"] == job.name and summary["kind"] == "study" and summary["value"] == 3
    assert from_record(json.loads((out / "spec.json").read_text())) == job
