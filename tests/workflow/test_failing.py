"""What a workflow says and leaves when jobs fail."""

from __future__ import annotations

import shutil


def test_a_run_that_crashes_is_named_with_its_signal_and_log(project):
    """Compiled code crashes in one run; the others are not touched by it, and the next call makes what is missing."""
    (ucb,) = project.folder.glob("runs/*-ucb-*")
    shutil.rmtree(ucb)
    module = project.folder / "orderdp/training/run.py"
    sound = module.read_text()
    broken = sound.replace(
        "    set_up(threads)\n", "    set_up(threads)\n    import ctypes\n    ctypes.string_at(0)\n", 1
    )
    assert broken != sound
    module.write_text(broken)
    done = project.snakemake(check=False)
    assert done.returncode == 1
    assert f"orderdp: {ucb.name} was ended by SIGSEGV (segmentation fault)" in done.stderr
    log = project.folder / "logs/train" / f"{ucb.name}.log"
    assert f"logs/train/{log.name}" in done.stderr
    assert "Fatal Python error: Segmentation fault" in log.read_text()
    assert 'training/run.py", line' in log.read_text()
    module.write_text(sound)
    project.snakemake()
    assert (ucb / "summary.json").exists()
