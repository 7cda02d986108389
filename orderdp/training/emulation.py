"""A GPU that is not there: tensors that say they are on one and compute on the CPU.

What goes wrong on a GPU alone shows here without one: tensors of two devices in one operation are an error, as there,
and each place that makes the CPU wait for the device is noted. Values are real, so a run ends as on a CPU, but for the
precision that the device chooses. Kernels, streams, several ranks and speed are not emulated.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)
CPU = torch.device("cpu")
THERE = (DEVICE.type, "meta")
"""What torch's own code calls the device: it sees the shells of the tensors."""
PACKAGE = "/orderdp/"

ATEN = torch.ops.aten
READS = {
    ATEN._local_scalar_dense.default, ATEN.nonzero.default, ATEN.masked_select.default, ATEN.equal.default,
    ATEN.bincount.default, ATEN._unique2.default,
}  # fmt: skip
"""Operations that must know values, or how many there are, before the CPU can go on."""
COPIES = {ATEN._to_copy.default, ATEN.copy_.default}


class OnDevice(Tensor):
    """A tensor that says it is on the device. Its values are in `values`, on the CPU."""

    values: Tensor  # type: ignore[assignment]  # `Tensor` has a method of this name, for sparse ones

    @staticmethod
    def __new__(cls, values: Tensor) -> OnDevice:
        shell = torch.empty_strided(values.shape, values.stride(), dtype=values.dtype, device="meta")
        made = Tensor._make_subclass(cls, shell, False, device_for_backend_keys=DEVICE)  # type: ignore[arg-type]
        made.values = values
        return made

    device = property(lambda self: DEVICE)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # as torch calls it
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        assert _present is not None, "a tensor of an emulated device is used outside of its emulation"
        return _present.compute(operation, args, kwargs or {})

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        return f"OnDevice({self.values!r})"

    def __deepcopy__(self, memo: object) -> OnDevice:
        return OnDevice(self.values.clone())

    def tolist(self) -> Any:
        """As of any tensor; waits for the device."""
        return self.cpu().tolist()


class DeviceMismatch(RuntimeError):
    """Tensors of the CPU and of the device met in one operation."""


class Emulation(TorchDispatchMode):
    """The device while it is emulated. `waits` counts, per place in this package, how often the CPU waited for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.compute(operation, args, kwargs or {})

    def compute(self, operation: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Does an operation on the values of its tensors."""
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
        target = None if kwargs.get("device") is None else torch.device(kwargs["device"])
        made_there = target is not None and target.type in THERE
        if not there and not made_there:
            return operation(*args, **kwargs)
        self._look(operation, args, kwargs, there, [each for each in tensors if not isinstance(each, OnDevice)], target)
        values, options = tree_map(_on_cpu, (args, dict(kwargs)))
        options.pop("non_blocking", None)
        output = operation(*values, **options)
        given = {id(tensor.values): tensor for tensor in there} | {id(tensor): tensor for tensor in tensors}
        stays = target is not None and not made_there

        def labelled(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or stays:
                return leaf
            return given[id(leaf)] if id(leaf) in given else OnDevice(leaf)

        return tree_map(labelled, output)

    def _look(
        self,
        operation: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        there: list[OnDevice],
        here: list[Tensor],
        target: torch.device | None,
    ) -> None:
        """Notes waits, and refuses what a GPU would refuse."""
        if operation in READS:
            self.waits[_place()] += 1
        elif operation in COPIES:
            back = target is not None and target.type == CPU.type
            crosses = bool(there and (here or back)) or (not there and target is not None)
            blocking = not (
                kwargs.get("non_blocking") or (operation is ATEN.copy_.default and len(args) > 2 and args[2])
            )
            if crosses and blocking:
                self.waits[_place()] += 1
        elif operation in (ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default):
            # The one operation that takes indices of the CPU; it copies them, and waits for a mask's count.
            indices = [each for each in args[1] if isinstance(each, Tensor)]
            if any(each.dtype in (torch.bool, torch.uint8) or not isinstance(each, OnDevice) for each in indices):
                self.waits[_place()] += 1
        elif there and any(tensor.dim() > 0 for tensor in here):
            raise DeviceMismatch(f"{operation} at {_place()} was given tensors of the CPU and of the device")


def _on_cpu(leaf: Any) -> Any:
    if isinstance(leaf, OnDevice):
        return leaf.values
    return CPU if isinstance(leaf, torch.device) and leaf.type in THERE else leaf


def _place() -> str:
    """The innermost line of this package, apart from this module, that called."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if PACKAGE in name and "site-packages" not in name and name != __file__:
            return f"{name.rpartition(PACKAGE)[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "outside"


_present: Emulation | None = None


class _Event:
    """A CUDA event, on the clock of the CPU."""

    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self, *stream: object) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: _Event) -> float:
        return 1000 * (other.at - self.at)


NOTHING: Callable[..., None] = lambda *args, **options: None  # noqa: E731
STAND_INS: dict[str, Any] = {
    "_lazy_init": NOTHING,
    "is_available": lambda: True,
    "is_bf16_supported": lambda including_emulation=True: True,
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "get_device_name": lambda *device: "an emulated GPU",
    "get_device_capability": lambda *device: (9, 0),
    "get_rng_state": lambda *device: torch.get_rng_state(),
    "set_rng_state": lambda state, *device: torch.set_rng_state(state),
    "manual_seed_all": NOTHING,
    "reset_peak_memory_stats": NOTHING,
    "max_memory_allocated": lambda *device: 1,
    "synchronize": NOTHING,
    "Event": _Event,
}
"""What `torch.cuda` says of the device."""


def _no_grad(mode: bool) -> torch.no_grad:
    """In place of the inference mode, which tensors of another class do not know."""
    return torch.no_grad()


@contextlib.contextmanager
def emulated() -> Iterator[Emulation]:
    """A block in which DEVICE is there. Tensors that stay on it are of no use afterwards."""
    import torch._dynamo  # optimizers load it, and it looks at all of `torch.cuda` meanwhile

    global _present
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter of another class takes its place
    try:
        with contextlib.ExitStack() as patches:
            for name, value in STAND_INS.items():
                patches.enter_context(mock.patch.object(torch.cuda, name, value))
            for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
                if hasattr(torch.optim.Optimizer, name):  # of one torch or another: it asks the real device
                    patches.enter_context(mock.patch.object(torch.optim.Optimizer, name, NOTHING))
            patches.enter_context(mock.patch.object(torch._C, "_InferenceMode", _no_grad))
            _present = Emulation()
            with _present:
                yield _present
    finally:
        _present = None
        torch.__future__.set_overwrite_module_params_on_conversion(before)
