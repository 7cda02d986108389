"""What a failed job of the workflow says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orderdp.launch.explain_failure import explanation


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
