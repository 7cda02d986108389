"""The site builds without a warning, needs no other host, and shows what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from generated import GENERATED, first_line, table
from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from orderdp.coresets import CORESETS
from orderdp.datasets import DATASETS
from orderdp.models import MODELS
from orderdp.pruning import PRUNERS

ROOT = Path(__file__).parents[2]


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`make docs`, elsewhere."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder), *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built once; --strict ends the build at a broken link or anchor, a page without a place, and code that fails."""
    folder = tmp_path_factory.mktemp("site")
    done = build(folder)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return folder


class Fetched(HTMLParser):
    """Addresses that a browser fetches of its own accord: scripts, styles, pictures, frames; not links that a reader
    follows."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag in ("script", "img", "source", "iframe", "video", "audio", "embed", "object", "use", "image"):
            self.addresses += [
                value for name in ("src", "srcset", "data", "href", "xlink:href") if (value := attributes.get(name))
            ]
        if tag == "link" and attributes.get("rel") not in ("canonical", "next", "prev", "alternate"):
            self.addresses.append(attributes.get("href") or "")


@pytest.mark.slow
def test_no_page_fetches_anything_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        fetched = Fetched()
        fetched.feed(page.read_text(encoding="utf-8"))
        assert fetched.addresses
        for address in fetched.addresses:
            parts = urlsplit(address)
            assert not parts.netloc and parts.scheme in ("", "data"), f"{page.name}: {address}"
            if parts.path and not parts.scheme and page.name != "404.html":
                assert (page.parent / parts.path).exists(), f"{page.name}: {address}"
    assert (site / "search/search_index.js").exists(), "search from the disk needs it"
    for sheet in site.rglob("*.css"):
        for address in re.findall(
            r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)", sheet.read_text(encoding="utf-8")
        ):
            assert not urlsplit("".join(address)).netloc, f"{sheet.name}: {address}"


@pytest.mark.slow
def test_what_is_registered_stands_in_the_catalogue(site):
    page = (site / "methods.html").read_text(encoding="utf-8")
    for name in (*PRUNERS, *CORESETS, *MODELS, *DATASETS):
        assert f"<code>{name}</code>" in page, name
    for left in site.rglob("*.html"):
        assert "<!-- generated" not in left.read_text(encoding="utf-8"), left.name


@pytest.mark.slow
def test_hooks_and_sources_are_not_published(site):
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "drawing"), [("concepts", "two-stages"), ("architecture", "architecture")])
def test_a_drawing_is_part_of_the_page_in_the_themes_colours(site, name, drawing):
    page = (site / f"{name}.html").read_text(encoding="utf-8")
    assert f'<svg xmlns="http://www.w3.org/2000/svg" class="{drawing}"' in page
    assert f"{drawing}.svg" not in page


def test_the_drawing_of_packages_has_each_of_them_once():
    drawn = re.findall(r'class="name">(\w+)<', (ROOT / "docs/architecture.svg").read_text(encoding="utf-8"))
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    assert sorted(drawn) == sorted(name.strip() for layer in layers for name in layer.split("|"))


@pytest.mark.slow
def test_the_tutorial_shows_what_it_printed(site):
    page = (site / "tutorial.html").read_text(encoding="utf-8")
    assert page.count('class="output highlight"') >= 8
    assert "1438 images to train on" in re.sub("<[^>]+>", "", page)


@pytest.mark.parametrize(
    ("text", "fails"),
    [
        ("A [link](other.md#there) and a [link](https://example.org).\n", False),
        ("A [link](others.md).\n", True),
        ("A [link](other.md#nowhere).\n", True),
        ("A [link](/other.md).\n", True),
        ("```python\nassert 1 == 2\n```\n", True),
        ("<!-- generated: prunners -->\n", True),
    ],
)
def test_what_is_broken_ends_the_build(text, fails, tmp_path):
    config = small_site(tmp_path, text)
    if fails:
        with pytest.raises((Abort, AssertionError, ValueError)):
            mkdocs_build(config)
    else:
        mkdocs_build(config)
        assert (tmp_path / "site/other.html").exists()


def test_a_page_without_a_place_ends_the_build(tmp_path):
    config = small_site(tmp_path, "")
    (tmp_path / "docs/forgotten.md").write_text("# Forgotten\n")
    with pytest.raises(Abort):
        mkdocs_build(config)


def small_site(folder, text):
    """Two pages under our settings: the first with this text, the second linked to it."""
    (folder / "docs").mkdir()
    (folder / "docs/index.md").write_text("# Here\n\n" + text)
    (folder / "docs/other.md").write_text("# There\n\nA [link](index.md).\n")
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "nav": ["index.md", "other.md"],
        "extra_css": [],
        "plugins": [],
        "use_directory_urls": False,
    }
    settings |= {
        "docs_dir": str(folder / "docs"),
        "site_dir": str(folder / "site"),
        "hooks": [str(ROOT / "docs/hooks/pages.py")],
    }
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    return load_config(str(folder / "mkdocs.yml"), strict=True)


def test_first_lines_are_the_first_paragraph():
    assert first_line("One,\n    and two.\n\n    Three.") == "One, and two."
    with pytest.raises(ValueError, match="no docstring"):
        first_line(None)


def test_cells_of_tables_stay_cells():
    assert table(["a", "b"], [("x | y", "<z> `<w>`")]).splitlines()[2] == r"| x \| y | &lt;z> `<w>` |"


@pytest.mark.parametrize("name", ["pruners", "scores", "schedules", "coresets", "models", "datasets", "integrations"])
def test_tables_have_a_text_for_every_row(name):
    rows = GENERATED[name]().splitlines()[2:]
    assert rows
    assert all(
        len(cell.strip()) > 3 for row in rows for cell in re.split(r"(?<!\\)\|", row)[-2:-1] if name != "datasets"
    )


def test_results_are_read_from_the_files(tmp_path, monkeypatch):
    import generated

    monkeypatch.setattr(generated, "ROOT", tmp_path)
    assert "No results" in GENERATED["results"]()
    folder = tmp_path / "benchmarks/results/avx2"
    folder.mkdir(parents=True)
    (folder / "selection_cost.csv").write_text(
        "method,n,time_s,machine,rest\norderdp,10000,0.00123456,two cores,\nrandom,10000,0.5,two cores,\n"
    )
    (folder / "selection_cost.png").touch()
    (folder / "stray.png").touch()
    assert GENERATED["results"]() == (
        "### Selection cost, AVX2\n\n`benchmarks/results/avx2/selection_cost.csv`\n\n"
        "All rows: n 10000; machine two cores.\n\n"
        "| method | time s |\n| --- | --- |\n| orderdp | 0.001235 |\n| random | 0.5 |\n\n"
        "![Selection cost, AVX2](results/avx2/selection_cost.png)"
    )
    assert [path.name for path in generated.figures()] == ["selection_cost.png"]
