"""Code blocks of a page: found, executed, and shown with what they print."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any, NamedTuple

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
OUTPUT = re.compile(r"^```bash\n(?P<text>[^`]*)```\n+<!-- generated: output -->$", re.M)


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    text: str
    line: int
    """Of its first line of code in the page, from 1."""
    reason: str | None
    """Why it is not run here, if its page says so in a comment `<!-- not run: ... -->` before it."""


def blocks(markdown: str) -> Iterator[Block]:
    """The page's blocks in order."""
    for match in BLOCK.finditer(markdown):
        yield Block(match["language"], match["text"], markdown.count("\n", 0, match.start("text")) + 1, match["reason"])


def execute(block: Block, page: str, names: dict[str, Any]) -> str:
    """Runs a Python block in a namespace that the blocks of its page share; what it printed."""
    printed = io.StringIO()
    code = compile(
        "\n" * (block.line - 1) + block.text, page, "exec"
    )  # padded, so that a traceback names the page's line
    with redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def with_outputs(markdown: str, page: str) -> str:
    """The page with every Python block executed, in order and in one namespace, and its output below it."""
    names: dict[str, Any] = {"__name__": "__docs__"}
    outputs = iter([execute(block, page, names) if runs(block) else "" for block in blocks(markdown)])
    return BLOCK.sub(lambda match: match[0] + shown(next(outputs)), markdown)


def runs(block: Block) -> bool:
    """Whether a block is Python and not marked as one that cannot run here."""
    return block.language == "python" and block.reason is None


def with_command_outputs(markdown: str) -> str:
    """The page with the output of our commands below every block of them that asks for it."""
    return OUTPUT.sub(lambda match: f"```bash\n{match['text']}```" + shown(command_output(match["text"])), markdown)


def command_output(text: str) -> str:
    """What the commands of a block print, one after the other; each is `python -m orderdp ...`.

    Raises:
        ValueError: another command, or one that fails.
    """
    from orderdp.__main__ import main

    printed = io.StringIO()
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:3] != ["python", "-m", "orderdp"]:
            raise ValueError(f"Only the output of `python -m orderdp ...` can be shown. Got {line!r}.")
        with redirect_stdout(printed):
            if main(words[3:]) != 0:
                raise ValueError(f"This command of the documentation fails: {line}")
    return printed.getvalue()


def shown(output: str) -> str:
    """A block of text, or nothing."""
    return f"\n\n```{{.text .output}}\n{output.rstrip()}\n```" if output.strip() else ""
