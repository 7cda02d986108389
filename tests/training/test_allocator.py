"""Freed memory stays, where the system's allocator can be told so."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from orderdp.training.device import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()

def touch():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    # 128 MiB in blocks of 64: above the 32 that glibc by itself ever learns to keep.
    [torch.ones(16 * 2**20) for _ in range(2)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

# Where the blocks land among what was freed settles after some rounds, at most 9 in a hundred tries.
[touch() for _ in range(40)]
print(touch())
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is told")
def test_what_was_freed_is_used_again():
    faults = {}
    for how in ("kept", "given back"):
        done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
        faults[how] = int(done.stdout)
    assert faults["kept"] < 100
    assert faults["given back"] > 10_000  # otherwise there is nothing to tell
