"""The report's HTML, from the templates in `templates/`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, folder: Path = TEMPLATES, **values: Any) -> Markup:
    """A template filled with values, which are escaped unless they are `Markup`.

    Args:
        template: name of the file.
        folder: that it is in; what it includes may also be one of the report's.
        values: by name.
    """
    return Markup(_environment(folder).get_template(template).render(values))


def code(text: str) -> Markup:
    """Text in which the parts between backticks become code."""
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", str(escape(text))))


def subscripts(text: str) -> Markup:
    """Text, or HTML, in which C_s gets its index."""
    return Markup(re.sub(r"\b([A-Z])_([a-z])\b", r"\1<sub>\2</sub>", str(escape(text))))


def paragraphs(text: str) -> Markup:
    """Paragraphs of reStructuredText that use no markup but ``literal`` and *emphasis*."""
    html = "".join(f"<p>{escape(block)}</p>\n" for block in text.strip().split("\n\n"))
    html = re.sub(r"``(.+?)``", r"<code>\1</code>", html)
    return Markup(re.sub(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", r"<em>\1</em>", html))


def _unbroken(value: Any) -> Any:
    """A number and its percent sign stay on one line."""
    return value.replace(" %", "\u00a0%") if isinstance(value, str) else value


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": code, "subscripts": subscripts, "paragraphs": paragraphs}
    return environment
