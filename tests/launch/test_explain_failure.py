"""What a failed job of the workflow says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from orderdp.files import write
from orderdp.launch.explain_failure import explanation, remedy


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (139, "SIGSEGV (segmentation fault): compiled code of a library crashed"),
        (134, "SIGABRT (aborted): compiled code of a library crashed"),
        (137, "SIGKILL (killed), mostly because memory ran out"),
        (143, "SIGTERM (terminated). Its output is in logs/jobs/a-run.log. The same command goes on"),
        (1, "failed with exit status 1. Its output is in logs/jobs/a-run.log"),
        (128 + 100, "failed with exit status 228"),
    ],
)
def test_the_explanation_names_the_run_the_signal_and_the_log(status, words):
    text = explanation(status, "a-run", "logs/jobs/a-run.log")
    assert text.startswith("a-run ") and words in text and "logs/jobs/a-run.log" in text


def test_the_command_keeps_the_status_of_the_job():
    done = subprocess.run(
        [sys.executable, "-m", "orderdp.launch.explain_failure", "139", "a-run", "a.log"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 139
    assert done.stderr.startswith("orderdp: a-run was ended by SIGSEGV")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small disk")
def test_a_full_disk_is_said_in_words(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        with pytest.raises(OSError) as caught:
            write(small / "run" / "history.csv", bytes(10**6))
        assert "cannot be written: No space left on device. Make room on that disk" in str(remedy(caught.value))
        assert list((small / "run").iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("save", [np.save, lambda file, array: torch.save(torch.from_numpy(array), file)])
def test_a_full_disk_is_said_in_words_whatever_the_library_raises(save):
    """`numpy.save` gives no number of an error, and `torch.save` ends with another error."""
    with pytest.raises((OSError, RuntimeError)) as caught, Path("/dev/full").open("wb", buffering=0) as file:
        save(file, np.zeros(10**5))
    assert "cannot be written: No space left on device. Make room on that disk" in str(remedy(caught.value))


def test_a_folder_in_the_way_is_said_in_words(tmp_path):
    (tmp_path / "history.csv").mkdir()
    with pytest.raises(OSError) as caught:
        write(tmp_path / "history.csv", "text")
    assert "Remove the folder that has this name, and call the same command again" in str(remedy(caught.value))
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    assert remedy(ValueError("x")) is None
