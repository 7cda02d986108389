"""What a workflow says and leaves when jobs fail."""

from __future__ import annotations

import shutil

import pytest

pytestmark = pytest.mark.slow


def test_a_run_that_crashes_is_named_with_its_signal_and_log(project):
    """Compiled code crashes in one run; the others are not touched by it, and the next call makes what is missing."""
    (ucb,) = project.folder.glob("runs/*-ucb-*")
    shutil.rmtree(ucb)
    shutil.rmtree(project.folder / "reports")
    module = project.folder / "orderdp/jobs/trainer.py"
    sound = module.read_text()
    broken = sound.replace(
        "    with joined(device) as ranks",
        "    import ctypes\n    ctypes.string_at(0)\n    with joined(device) as ranks",
        1,
    )
    assert broken != sound
    module.write_text(broken)
    done = project.snakemake(check=False)
    assert done.returncode == 1
    assert f"failed {ucb.name}: {ucb.name} was ended by SIGSEGV (segmentation fault)" in done.stderr
    log = project.folder / "logs/jobs" / f"{ucb.name}.log"
    assert f"logs/jobs/{log.name}" in done.stderr
    assert "Fatal Python error: Segmentation fault" in log.read_text()
    assert 'jobs/trainer.py", line' in log.read_text()
    page = project.folder / "reports/quick/index.html"
    said = " ".join(page.read_text().split())
    assert "This report is not complete: jobs of the workflow failed, and 1 result is missing." in said
    assert "made from the others" in said and ucb.name in said
    assert "index.html was made from what there is, and says what is missing" in done.stderr
    verified = project.run("python", "-m", "orderdp", "verify", check=False)
    assert verified.returncode == 1
    assert "The page was made after jobs had failed. Finish the workflow: snakemake --cores all" in verified.stdout
    assert f"table2: the run {ucb.name} is missing" in verified.stdout
    module.write_text(sound)
    project.snakemake()
    assert (ucb / "summary.json").exists()
    assert "not complete" not in page.read_text()
    assert project.run("python", "-m", "orderdp", "verify").stdout == "Reports and runs agree.\n"
    assert not list(project.folder.glob("reports/quick/provenance/*-partial.json"))
