import re
from html.parser import HTMLParser

import pytest

from orderdp.reporting.entries import published_sheet
from orderdp.reporting.html import render
from orderdp.reporting.paper import ITEMS
from orderdp.reporting.sheets import Block, Entry, Sheet, escape_latex, latex, markdown, signed, with_error

SHEET = Sheet(
    title="100 % of R&D_cost < 5 $",
    columns=("Method", "a|b", "c"),
    blocks=(Block("ε", ((Entry("ε-greedy"), Entry("1.0 ± 0.1", best=True), Entry("–", muted=True)),)),),
    spans=(("", 1), ("Ours (really)", 2)),
    notes=("A note.",),
)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 %", r"50 \%"),
        ("a_b & c#d", r"a\_b \& c\#d"),
        (r"\{x}", r"\textbackslash{}\{x\}"),
        ("−0.3 ± 0.1", r"$-$0.3 $\pm$ 0.1"),
        ("ε-greedy ~ 2^3", r"$\varepsilon$-greedy \textasciitilde{} 2\textasciicircum{}3"),
    ],
)
def test_latex_escapes(text, escaped):
    assert escape_latex(text) == escaped


def test_latex_is_balanced_and_ascii():
    text = latex(SHEET)
    assert text.isascii()
    assert text.count("\\begin{") == text.count("\\end{")
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert r"\caption{100 \% of R\&D\_cost \textless{} 5 \$}" in text
    assert r"$\varepsilon$-greedy & \textbf{1.0 $\pm$ 0.1} & -- \\" in text
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{Ours (really)} \\" in text and r"\cmidrule(lr){2-3}" in text


@pytest.mark.parametrize("table", [item.published for item in ITEMS if item.published.startswith("table")])
def test_every_published_table_can_be_shown(table):
    sheet = published_sheet(table, table)
    assert latex(sheet).isascii() and "nan" not in markdown(sheet)
    widths = {len(row) for block in sheet.blocks for row in block.rows}
    assert widths == {len(sheet.columns)}


def test_markdown_has_as_many_cells_in_every_line():
    lines = [line for line in markdown(SHEET).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert lines[0] == "| Method | Ours: a\\|b | Ours: c |"
    assert "| ε-greedy | **1.0 ± 0.1** | – |" in lines


def test_html_escapes():
    text = render("sheet.html.j2", sheet=SHEET)
    assert "R&amp;D_cost &lt; 5 $" in text
    HTMLParser().feed(text)


def test_a_table_of_many_columns_is_set_smaller_on_paper():
    names = tuple(map(str, range(13)))
    row = tuple(map(Entry, names))
    wide, narrow = (render("sheet.html.j2", sheet=Sheet("Many", names[:n], (Block("", (row[:n],)),))) for n in (13, 12))
    assert wide.startswith('<div class="sheet wide"') and narrow.startswith('<div class="sheet"')


def test_numbers():
    assert [signed(value, 1) for value in (-0.26, 0.26, 0.04, -0.04)] == ["−0.3", "+0.3", "0.0", "0.0"]
    nan = float("nan")
    assert [with_error(1.234, 0.1, 2), with_error(1.234, nan, 2), with_error(nan, nan, 2)] == [
        "1.23 ± 0.10",
        "1.23",
        "–",
    ]
