"""Everything that the workflow computes is a job, of one of these kinds. Adding a kind means a module in this package
and a line here.

The modules are light: the Snakefile imports them, so that torch and the like are imported inside `run` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orderdp.jobs.base import Execution, Interrupted, Job, Resources
from orderdp.jobs.coresets import Coresets
from orderdp.jobs.diagnose import Diagnose
from orderdp.jobs.finished import is_finished
from orderdp.jobs.proxy import Proxy
from orderdp.jobs.study import Study
from orderdp.jobs.train import Train

__all__ = ["KINDS", "Execution", "Interrupted", "Job", "Resources", "from_record", "is_finished"]

KINDS: dict[str, type[Job]] = {
    "train": Train,
    "proxy": Proxy,
    "coresets": Coresets,
    "diagnose": Diagnose,
    "study": Study,
}


def from_record(record: Mapping[str, Any]) -> Job:
    """The job of a record, such as the content of a spec.json. It is not looked up in params.yaml.

    Example: `from_record(json.loads(path.read_text())).run(Execution())` runs a job again that was planned before.
    """
    kind = KINDS[record["kind"]]
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in record.items() if key != "kind"}
    return kind(**values | {"spec": kind.Spec.model_validate(record["spec"])})
