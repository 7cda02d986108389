"""How a process that trains, or measures what was trained, is set up."""

from __future__ import annotations

import torch

from orderdp.training.allocator import keep_freed_memory


def set_up(threads: int | None = None) -> None:
    """Threads of this process, freed memory kept, and the same bits each time, on GPUs too: a resumed run must repeat
    an unbroken one.

    Args:
        threads: CPU threads; torch's own choice when None.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
