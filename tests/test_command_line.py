"""What the command line says when something goes wrong."""

from __future__ import annotations

import pytest

from orderdp import __main__ as command_line


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["plan", "--params", "nowhere.yaml"], "orderdp plan: nowhere.yaml does not exist"),
        (["plan", "--scale", "huge"], "unknown scale 'huge'. Known: quick, fashion, small, gpu, cifar"),
        (["run", "digits-nothing"], "'digits-nothing' is not in the grid of scale 'quick'"),
        (["report", "--only", "table99"], "no experiment 'table99'. Known: table1, table2,"),
        (["prepare", "--dataset", "mnist"], "Unknown data set 'mnist'. Known: digits,"),
        (
            ["theory", "--n", "100", "--s", "101", "--q", "10"],
            "The 's' of OrderDP must be an integer in [1, n] = [1, 100]. Got 101.",
        ),
        (
            ["coreset", "--proxy-outputs", "nowhere.npz", "--method", "margin", "--n-keep", "3", "--out", "a.npy"],
            "there is no nowhere.npz",
        ),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(capsys, command, said):
    assert command_line.main(command) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [["plan", "--config", "scale=huge"], ["verify", "--config", "scale=huge"]])
def test_every_command_takes_the_scale_as_snakemake_does(capsys, command):
    assert command_line.main(command) == 2
    assert "unknown scale 'huge'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["--cell", "x-0"]), ("train", ["--cell=x-0"]), ("proxy", ["--proxy", "x-0"]),
        ("coresets", ["--coresets", "x-0"]), ("diagnose", ["--diagnosis", "x-0"]), ("study", ["--study", "x-0"]),
    ],
)  # fmt: skip
def test_commands_of_version_0_1_run_jobs_and_name_the_new_form(capsys, command, words):
    assert command_line.main([command, *words]) == 2
    said = capsys.readouterr().err
    assert f"orderdp {command} {words[0].split('=')[0]} NAME is now orderdp run NAME" in said
    assert "'x-0' is not in the grid of scale 'quick'" in said


def test_run_without_a_name_says_where_the_names_are(capsys):
    assert command_line.main(["run"]) == 2
    assert "`plan --jobs` lists" in capsys.readouterr().err


def test_config_takes_only_the_scale(capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["plan", "--config", "seeds=3"])
    assert ended.value.code == 2
    assert "takes only scale=NAME. Got 'seeds=3'" in capsys.readouterr().err


def test_a_slip_of_the_code_keeps_its_traceback(monkeypatch):
    monkeypatch.setitem(command_line.COMMANDS, "plan", lambda args: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        command_line.main(["plan"])


def test_every_command_has_help(capsys):
    for name in command_line.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            command_line.main([name, "--help"])
        assert ended.value.code == 0
        assert ("--params" in capsys.readouterr().out) == (name not in {*command_line.GRAMMARS, "init", "export"})
