"""Proxies: networks that are trained before coresets are chosen, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from orderdp.code_fingerprint import code_checksums
from orderdp.files import write_arrays, write_rows
from orderdp.jobs import costs
from orderdp.jobs.base import Execution, Job, Resources
from orderdp.jobs.data import entry_points, prepared_images, registered_data
from orderdp.spec import ProxySpec

ENTRY_POINTS = ("orderdp.training.proxy", "orderdp.training.device", "orderdp.datasets.load_images")
OUTPUTS = "proxy_outputs.npz"


@dataclass(frozen=True)
class Proxy(Job):
    """The proxy of one or several coreset methods."""

    kind: ClassVar[str] = "proxy"
    Spec: ClassVar[type[ProxySpec]] = ProxySpec
    intermediate: ClassVar[bool] = True

    spec: ProxySpec

    @classmethod
    def of(cls, spec: ProxySpec) -> Proxy:
        """The proxy of a spec."""
        return cls.named(f"proxy-{workload(spec)}-e{spec.recipe.epochs}", spec, cls.code(spec))

    @classmethod
    def code(cls, spec: ProxySpec) -> dict[str, str]:
        entries = (*registered_data(spec.dataset), ("models", "MODELS", spec.model.name))
        return code_checksums(entry_points(ENTRY_POINTS, spec.dataset), entries)

    @property
    def dataset(self) -> str:
        return self.spec.dataset.name

    def resources(self) -> Resources:
        """Three times the estimated training of all its networks: it also records their outputs. It does not resume, so
        it should not be cut off."""
        networks = self.spec.models + 1
        estimate = costs.asked_seconds(self.spec)
        return Resources(seconds=3 * networks * estimate, memory_mb=costs.memory_mb(self.spec))

    def compute(self, out: Path, execution: Execution) -> Mapping[str, Any]:
        """Trains the networks and writes `proxy_outputs.npz` and `networks.csv`."""
        from orderdp.training.device import peak_memory_mb, reset_peak_memory, set_up
        from orderdp.training.proxy import gather_outputs

        device = set_up(execution.device, self.spec.recipe.precision, execution.threads)
        reset_peak_memory(device)
        data = prepared_images(self.spec.dataset, execution.data)
        arrays, networks = gather_outputs(self.spec, data, device, execution.say)
        write_arrays(out / OUTPUTS, arrays, compressed=False)
        write_rows(out / "networks.csv", list(networks[0]), networks)
        size = sum(array.nbytes for array in arrays.values()) / 1e6
        return {"networks": networks, "outputs_mb": size, "peak_memory_mb": peak_memory_mb(device)}


def workload(spec: ProxySpec) -> str:
    """Data set and network in a name: `digits-resnet8w16`."""
    return f"{spec.dataset.name}-{spec.model.label()}"
