"""`params.yaml` -> jobs: which jobs a scale has, and which table or figure each is for.

Light on purpose (yaml and pydantic, no torch): the Snakefile imports it each time it is parsed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from orderdp.grid.experiments import Experiment, Grid, Row
from orderdp.grid.inheritance import Inheritance
from orderdp.grid.layout import Layout
from orderdp.grid.params import Params
from orderdp.grid.reading import read
from orderdp.spec import SpecError, explain

__all__ = ["Experiment", "Grid", "Params", "Row", "load"]


def load(path: str | Path = "params.yaml", scale: str | None = None) -> Grid:
    """Reads and checks the parameters, and lays out the runs of a scale.

    Args:
        path: the parameter file.
        scale: name of a scale; the file's own `scale` when None.

    Raises:
        SpecError: listing every problem found, each with its key, its value and what is allowed.
    """
    path = Path(path)
    raw = read(path)
    written = Inheritance(raw)
    problems = list(written.problems)
    try:
        params = Params.model_validate(written.filled)
    except ValidationError as error:
        problems += explain(error)
    if not problems:
        scale = scale or params.scale
        if scale in params.scales:
            layout = Layout(params, scale)
            if (grid := layout.grid()) is not None:
                return grid
            problems = list(layout.problems)
        else:
            problems = [f"scale: unknown scale {scale!r}. Known: {', '.join(params.scales)}"]
    problems = written.own(problems)
    count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    raise SpecError(f"{count} in {path}:\n" + "\n".join(f"  {line}" for line in problems))
