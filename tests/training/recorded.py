"""What a CUDA graph does, on the CPU: the operations of some work are recorded once with the tensors that they read and
write, and repeated on the same tensors. Python does not run again, so numbers that it computed stay as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")  # as CUDA says it
        output = operation(*args, **(kwargs or {}))
        self.calls.append((operation, args, kwargs or {}, output))
        return output


def recorded(work: Callable[[], None]) -> Callable[[], None]:
    """Does the work once and gives what does it again."""
    with _Recording() as recording:
        work()

    @torch.no_grad()
    def replay() -> None:
        for operation, args, kwargs, output in recording.calls:
            again = operation(*args, **kwargs)
            for old, new in zip(tree_leaves(output), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    return replay
