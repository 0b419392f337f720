from __future__ import annotations

import pytest

from trainer import cli


def _run(*arguments):
    try:
        return cli.main(arguments)
    except SystemExit as end:
        return end.code


def test_all_subcommands_exist_and_have_help(capsys):
    assert _run("--help") == 0
    listing = capsys.readouterr().out
    for name in cli.SUBCOMMANDS:
        assert f"  {name}" in listing
        assert _run(name, "--help") == 0
        assert f"kmax {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "required"),
        (["train"], "--config_file"),
        (["train", "--config_file=x", "--mode=sleep"], "'sleep'"),
        (["train", "--config_file=x", "--unknown=1"], "--unknown=1"),
        (["train", "--config_file=nowhere.textproto"], "nowhere.textproto does not exist"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(arguments, named, capsys):
    assert _run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err
    assert captured.err.startswith("kmax: ")
    assert captured.err.count("\n") == 1
