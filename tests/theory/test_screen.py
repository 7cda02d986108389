"""The screens: their numbers are those of the functions, they fit a terminal, mistakes are one line."""

from __future__ import annotations

import argparse
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orderdp.theory
from orderdp.pruning import OrderDP
from orderdp.theory import (
    describe,
    describe_splits,
    fixed_never_kept,
    plot,
    rank_weights,
    splits,
    sup_gap,
    total_variation,
    wasserstein,
)
from orderdp.theory.command import add_arguments, run
from orderdp.theory.screen import percent
from tests.theory.test_weights import sizes


def command(text):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args(text.split()))


def test_describe_says_what_the_functions_give():
    n, s, q = 1000, 500, 300
    text = describe(n, s, q, epochs=10)
    for expected in (
        "prune ratio  70.0%", "3.33x", f"{sup_gap(n, s, q):.4g}  C_s",
        f"{total_variation(n, s, q):.4f}  total variation",
        f"{wasserstein(n, s, q):.4f}  1-Wasserstein", "The 200 easiest, 20.0%, have none",
        f"{100 * (1 - 0.4 * 0.5**8):.1f}%  if those",
        f"{100 * (1 - ((1 - rank_weights(n, s, q)) ** 10).mean()):.1f}%  if the ranking never",
        "more epochs give 80.0% at most",
        f"{100 * (1 - 0.7**10):.1f}%  if every epoch draws",
        "0.333  if", "0.176  if",
    ):  # fmt: skip
        assert expected in text
    tenths = [line.split()[-2 if "█" in line else -1] for line in text.splitlines() if re.match(r" +\d+- *\d+%", line)]
    assert tenths == [percent(part.mean()) for part in rank_weights(n, s, q).reshape(10, 100)]


@pytest.mark.parametrize(
    ("n", "s", "q", "epochs", "covered"),
    [
        (50, 25, 15, 200, "75.1%"),
        (100, 50, 30, 200, "71.3%"),
        (50_000, 25_000, 15_000, 200, "60.5%"),
        (50_000, 100, 30, 20_000, "40.3%"),
    ],
)
def test_coverage_of_a_fixed_ranking_is_that_of_so_many_samples(n, s, q, epochs, covered):
    """The limit, 60 % or 30 %, is neither what these sizes give nor a bound on it."""
    assert f"{covered}  if the ranking never changes; more epochs give {percent(1 - (s - q) / n)} at most" in describe(
        n, s, q, epochs
    )
    if n == 50:
        row = next(line for line in describe_splits(0.7, n, epochs).splitlines() if line.startswith("  0.500*"))
        assert row.split()[-3] == covered


@given(sizes(), st.integers(1, 10**6))
def test_no_screen_shows_more_than_its_bound(size, epochs):
    n, s, q, _ = size
    line = next(line for line in describe(n, s, q, epochs).splitlines() if "never changes; more" in line)
    assert fixed_never_kept(epochs, n, s, q) >= (s - q) / n - 1e-12
    if q < s:
        assert not line.split()[0].startswith("100")


@given(sizes(), st.integers(1, 10**6))
def test_describe_fits_a_screen(size, epochs):
    lines = describe(*size[:3], epochs).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) <= 36


def test_describe_fits_at_the_size_of_imagenet():
    assert max(map(len, describe(1_281_167, 960_875, 768_700, 90).splitlines())) <= 80
    assert max(map(len, describe_splits(0.4, 1_281_167, 90).splitlines())) <= 80


@given(st.integers(2, 3000), st.floats(0.001, 0.999), st.integers(1, 10**6))
def test_split_tables_fit_a_screen(n, prune_ratio, epochs):
    if 0 < round((1 - prune_ratio) * n) < n:
        lines = describe_splits(prune_ratio, n, epochs).splitlines()
        assert max(map(len, lines)) <= 80 and len(lines) <= 24


@given(st.floats(0.001, 0.999))
def test_splits_reach_their_ratio(prune_ratio):
    pairs = splits(prune_ratio)
    assert pairs == sorted(pairs) and pairs[-1][0] == 1
    for explore, exploit in pairs:
        assert 1 - prune_ratio < explore <= 1 and 0 < exploit < 1
        assert explore * exploit == pytest.approx(1 - prune_ratio)


def test_splits_hold_the_papers_and_those_of_its_scripts():
    for prune_ratio, explore, exploit, whose in (
        (0.7, 0.5, 0.6, "the paper's"),
        (0.4, 0.75, 0.8, "the released scripts'"),
    ):
        assert (explore, pytest.approx(exploit)) in splits(prune_ratio)
        text = describe_splits(prune_ratio)
        assert f"{explore:.3f}*  {exploit:.3f}" in text and f"* {whose}" in text
        assert f"the even split or {whose}," in " ".join(text.split())
        assert ("paper" in text) == (whose == "the paper's")  # the paper states one split: 4.2
    assert "*" not in describe_splits(0.6) and "paper" not in describe_splits(0.6)


def test_rows_are_the_pruner_that_the_split_builds():
    n, text = 50_000, describe_splits(0.7)
    for explore, _ in splits(0.7):
        pruner = OrderDP.at_ratio(n, 0.7, explore=explore)
        row = next(line for line in text.splitlines() if line.startswith(f"  {explore:.3f}"))
        s, c_s, tv, w1, zero = row.replace("*", " ").replace("=", " ").split()[2:7]
        assert int(s.replace(",", "")) == pruner.candidates and pruner.kept == 15_000
        numbers = (
            sup_gap(n, pruner.candidates, 15_000),
            total_variation(n, pruner.candidates, 15_000),
            wasserstein(n, pruner.candidates, 15_000),
        )
        assert (float(c_s), float(tv), float(w1)) == pytest.approx(numbers, abs=0.005)
        assert zero == percent((pruner.candidates - 15_000) / n)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.9996, ">99.9%"),
        (0.3, "30.0%"),
        (0.0004, "0.04%"),
        (1e-9, "<1e-5%"),
        (0.99949, "99.9%"),
        (1 - 1e-16, ">99.9%"),
    ],
)
def test_percentages_say_all_and_nothing_only_where_they_mean_it(value, text):
    assert percent(value) == text


def test_command_takes_numbers_or_shares(capsys):
    assert command("--n 1000 --s 500 --q 300 --epochs 10") == 0
    numbers = capsys.readouterr().out
    assert numbers == describe(1000, 500, 300, 10) + "\n"
    for options in (
        "--explore .5 --exploit .6",
        "--explore .5 --prune-ratio .7",
        "--s 500 --exploit .6",
        "--explore .5 --q 300",
    ):
        assert command(f"--n 1000 {options} --epochs 10") == 0
        assert capsys.readouterr().out == numbers
    assert command("--n 1000 --prune-ratio .7 --epochs 10") == 0
    assert capsys.readouterr().out == describe_splits(0.7, 1000, 10) + "\n"


def test_bars_on_a_plain_terminal(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    assert command("--n 10 --s 5 --q 2") == 0
    assert b"50.0%  ####" in raw.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "Give exactly one option for s: --s or --explore."),
        ("--s 3", "Give exactly one option for q: --q, --exploit or --prune-ratio."),
        ("--s 3 --explore .1 --q 2", "Give exactly one option for s"),
        ("--s 3 --q 2 --prune-ratio .5", "Give exactly one option for q"),
        ("--n 10 --s 12 --q 2", "The 's' of OrderDP must be an integer in [1, n] = [1, 10]. Got 12."),
        ("--n 10 --s 5 --q 6", "The 'q' of OrderDP must be an integer in [1, s] = [1, 5]. Got 6."),
        ("--n 10 --explore .01 --q 1", "The 's' of OrderDP must be an integer in [1, n] = [1, 10]. Got 0."),
        ("--explore 1.5 --exploit .5", "The 'explore' of OrderDP must be in (0, 1]. Got 1.5."),
        ("--n 0 --prune-ratio .5", "The 'n' of OrderDP must be an integer of at least 1. Got 0."),
        ("--epochs 0 --prune-ratio .5", "The 'epochs' of OrderDP must be an integer of at least 1. Got 0."),
        ("--prune-ratio 1", "The 'prune_ratio' of describe_splits must be in (0, 1). Got 1.0."),
        ("--n 3 --prune-ratio .9", "must keep and leave out at least one of n = 3 samples. Got 0.9."),
        ("--prune-ratio .5 --plot x.png", "--plot draws one choice"),
        ("--s 5 --q 3 --plot x.gif", "The 'path' of plot must end in .png, .pdf, .svg. Got 'x.gif'."),
    ],
)
def test_mistakes_are_one_line(options, message, capsys):
    with pytest.raises(ValueError) as error:
        command(options)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("n", "s", "q"), [(1000, 20, 5), (50_000, 25_000, 15_000), (10, 4, 4), (1, 1, 1)])
def test_plot_writes_a_picture(n, s, q, tmp_path, capsys):
    path = tmp_path / "made" / "weights.png"
    assert command(f"--n {n} --s {s} --q {q} --plot {path}") == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plot_in_vectors_and_where_it_cannot_be_written(tmp_path):
    plot(100, 10, 3, tmp_path / "weights.svg")
    assert "<svg" in (tmp_path / "weights.svg").read_text()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        command(f"--n 100 --s 10 --q 3 --plot {tmp_path / 'file' / 'x.png'}")


def test_everything_public_is_there():
    assert all(hasattr(orderdp.theory, name) for name in orderdp.theory.__all__)
