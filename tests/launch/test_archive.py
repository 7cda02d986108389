"""The archive of a scale's runs: what goes in comes out, the same report is made from it, and nothing damaged is
taken."""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile

import numpy as np
import pytest

from orderdp import __main__ as command_line
from orderdp.jobs import is_finished
from orderdp.jobs.finished import damaged, finish, read_summary
from orderdp.jobs.study import Study
from orderdp.launch.archive import archive, restore
from orderdp.reporting.artifacts import report
from tests.reporting.synthetic import tiny_grid, write_runs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A grid with made-up runs, one of them missing and one with weights and histories of samples, and its archive."""
    folder = tmp_path_factory.mktemp("project")
    grid = tiny_grid(folder)
    absent = next(iter(grid.runs))
    write_runs(grid, folder / "runs", missing=lambda run: run.name == absent)
    heavy = folder / "runs" / list(grid.runs)[1]
    (heavy / "model.pt").write_bytes(bytes(10_000))
    np.savez(heavy / "samples.npz", visits=np.arange(1000))
    summary = read_summary(folder / "runs", heavy.name)
    finish(heavy, {key: value for key, value in summary.items() if key not in ("files", "seal")})
    names = archive(grid.jobs, folder / "runs", folder / "runs.tar.xz")
    return grid, folder, names


def test_finished_jobs_go_in_without_weights_and_histories(made):
    grid, folder, names = made
    finished = {name for name, job in grid.jobs.items() if is_finished(folder / "runs", name) and not job.intermediate}
    assert set(names) == finished and next(iter(grid.runs)) not in names
    with tarfile.open(folder / "runs.tar.xz") as tar:
        files = tar.getnames()
    assert not any(file.endswith((".pt", "samples.npz")) for file in files)
    assert {file.split("/")[0] for file in files} == finished


def test_a_complete_archive_lacks_none_of_the_jobs_it_counts(tmp_path, monkeypatch, capsys):
    """Proxies, which no archive holds, do not count."""
    monkeypatch.setattr(Study, "intermediate", True)
    monkeypatch.setattr(command_line, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(command_line, "REPORTS", tmp_path / "reports")
    grid = tiny_grid(tmp_path)
    write_runs(grid, tmp_path / "runs")
    held = sum(not isinstance(job, Study) for job in grid.jobs.values())
    assert 0 < held < len(grid.jobs)
    params = ["--params", str(tmp_path / "params.yaml")]
    assert command_line.main(["archive", *params]) == 0
    assert f"runs.tar.xz: {held} of {held} jobs" in capsys.readouterr().err
    assert command_line.main(["report", *params, "--only", "table2", "--from-archive"]) == 0
    assert f"from {held} archived jobs of {held}." in capsys.readouterr().err


def test_the_same_jobs_give_the_same_bytes(made, tmp_path):
    grid, folder, _ = made
    archive(grid.jobs, folder / "runs", tmp_path / "again.tar.xz")
    assert (tmp_path / "again.tar.xz").read_bytes() == (folder / "runs.tar.xz").read_bytes()


def test_what_comes_out_is_whole_and_makes_the_same_report(made, tmp_path):
    grid, folder, names = made
    assert set(restore(folder / "runs.tar.xz", tmp_path / "runs", grid.jobs)) == set(names)
    assert not damaged(tmp_path / "runs", names, contents=True)
    for runs, reports in ((folder / "runs", tmp_path / "one"), (tmp_path / "runs", tmp_path / "other")):
        report(grid, runs, reports, only="table2")
    for path in (tmp_path / "one").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_an_archive_grows_by_what_lies_here_and_keeps_what_does_not(made, tmp_path):
    grid, folder, names = made
    shutil.copy(folder / "runs.tar.xz", tmp_path / "runs.tar.xz")
    write_runs(grid, tmp_path / "runs", missing=lambda run: run.name != next(iter(grid.runs)))
    grown = archive(grid.jobs, tmp_path / "runs", tmp_path / "runs.tar.xz")
    assert set(grown) == {*names, next(iter(grid.runs))}


def test_finished_runs_stay_as_they_are(made, tmp_path):
    grid, folder, names = made
    run = next(name for name in names if name in grid.runs)
    shutil.copytree(folder / "runs" / run, tmp_path / "runs" / run)
    (tmp_path / "runs" / run / "note.txt").write_text("mine")
    assert run not in restore(folder / "runs.tar.xz", tmp_path / "runs", grid.jobs)
    assert (tmp_path / "runs" / run / "note.txt").exists()


def packed(**files: bytes) -> bytes:
    content = io.BytesIO()
    with lzma.open(content, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"There is no .*runs\.tar\.xz"),
        (b"no archive", "is no archive of runs"),
        (packed(**{"../../etc/passwd": b"root"}), r"holds '\.\./\.\./etc/passwd', which is no file of a run"),
        (packed(**{"/run/spec.json": b"{}"}), "which is no file of a run"),
    ],
)
def test_what_is_no_archive_is_refused(made, tmp_path, content, message):
    if content is not None:
        (tmp_path / "runs.tar.xz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        restore(tmp_path / "runs.tar.xz", tmp_path / "runs", made[0].jobs)
    assert not list((tmp_path / "runs").iterdir())


def test_nothing_is_taken_of_an_archive_with_a_changed_run(made, tmp_path):
    grid, folder, names = made
    restore(folder / "runs.tar.xz", tmp_path / "runs", grid.jobs)
    run = next(name for name in names if name in grid.runs)
    text = (tmp_path / "runs" / run / "history.csv").read_bytes()
    files = {f"{run}/{file.name}": file.read_bytes() for file in (tmp_path / "runs" / run).iterdir()}
    files[f"{run}/history.csv"] = text.replace(b"1", b"2", 1)
    (tmp_path / "bad.tar.xz").write_bytes(packed(**files))
    with pytest.raises(ValueError, match=rf"{run} is damaged: history\.csv is not as it was written"):
        restore(tmp_path / "bad.tar.xz", tmp_path / "other", grid.jobs)
    assert not list((tmp_path / "other").iterdir())
