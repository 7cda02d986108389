"""What mkdocs calls while it builds: fills the places that pages mark with `<!-- generated: NAME -->`, and runs their
code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from blocks import with_command_outputs, with_outputs
from generated import GENERATED, figures, place
from mkdocs.structure.files import File

PLACE = re.compile(r"^<!-- generated: (?P<name>\w+)(?: (?P<argument>\S+))? -->$", re.M)
DRAWING = re.compile(r'<img [^>]*?src="(?P<file>[\w-]+\.svg)"[^>]*>')


def on_files(files: Any, *, config: Any, **kwargs: Any) -> Any:
    """Pictures of the benchmarks lie beside their tables and not in this folder."""
    for path in figures():
        files.append(File.generated(config, place(path), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **kwargs: Any) -> str:
    """The page's text with tables made from the code, and below each block what it printed."""
    return PLACE.sub(_made, with_command_outputs(with_outputs(markdown, page.file.src_uri)))


def on_page_content(html: str, *, page: Any, **kwargs: Any) -> str:
    """Drawings of ours stand in the page itself, so that they take the colours of the theme that the reader chose."""
    folder = Path(page.file.abs_src_path).parent
    return DRAWING.sub(lambda match: (folder / match["file"]).read_text(encoding="utf-8"), html)


def _made(match: re.Match[str]) -> str:
    if match["name"] not in GENERATED:
        raise ValueError(f"No page part is called {match['name']!r}. Known: {', '.join(GENERATED)}.")
    return GENERATED[match["name"]](*[match["argument"]] if match["argument"] else [])
