"""`params.yaml` -> cells: which runs exist at a scale, and which table or figure asks for each.

Light on purpose (yaml and pydantic, no torch): the Snakefile imports it each time it is parsed.
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from orderdp.grid.cells import Cell, Coreset, Coresets, Diagnosis, Experiment, Grid, Proxy, Row, Study
from orderdp.grid.layout import Layout, report
from orderdp.grid.params import Params
from orderdp.spec import SpecError, explain

__all__ = ["Cell", "Coreset", "Coresets", "Diagnosis", "Experiment", "Grid", "Params", "Proxy", "Row", "Study", "load"]


def load(path: str | Path = "params.yaml", scale: str | None = None) -> Grid:
    """Reads and checks the parameters, and lays out the runs of a scale.

    Args:
        path: the parameter file.
        scale: name of a scale; the file's own `scale` when None.

    Raises:
        SpecError: listing every problem found, each with its key, its value and what is allowed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist. Run from the project's root, or name the file") from None
    if (text, scale) not in _LOADED:
        _LOADED[text, scale] = _load(path, text, scale)
    return _LOADED[text, scale]


# A job that the warm server forked finds the grid that the server has read, if the file's text is still the same: a
# quarter of a second each.
_LOADED: dict[tuple[str, str | None], Grid] = {}


def _load(path: Path, text: str, scale: str | None) -> Grid:
    try:
        raw = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise SpecError(f"{path} must hold a mapping at its top level")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise SpecError(report(path, explain(error))) from None
    return Layout(path, params, scale or params.scale).grid()
