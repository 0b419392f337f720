from __future__ import annotations

import pytest

from trainer import cli
from trainer.arguments import add_allow_missing_argument, add_model_arguments, split_list


def test_what_is_asked_for_and_what_is_required(capsys):
    parser = cli.Parser(prog="kmax test")
    add_model_arguments(parser)
    parsed = parser.parse_args(["--config_file=c", "--checkpoint=k", "--set", "a=1", "--set=b=2"])
    expected = {"config_file": "c", "checkpoint": "k", "set": ["a=1", "b=2"], "raw_weights": None}
    assert vars(parsed) == expected
    both = ["--config_file=c", "--checkpoint=k"]
    assert parser.parse_args([*both, "--raw_weights"]).raw_weights
    with pytest.raises(SystemExit):
        parser.parse_args(["--config_file=c"])
    assert "--checkpoint" in capsys.readouterr().err

    parser = cli.Parser(prog="kmax test")
    add_model_arguments(parser, required=False)
    expected = {"config_file": None, "checkpoint": None, "set": [], "raw_weights": None}
    assert vars(parser.parse_args([])) == expected

    parser = cli.Parser(prog="kmax test")
    add_model_arguments(parser, checkpoint=False)
    assert vars(parser.parse_args(["--config_file=c"])) == {"config_file": "c", "set": []}


def test_exceptions_are_separated_by_commas():
    parser = cli.Parser(prog="kmax test")
    add_allow_missing_argument(parser, "SOURCE")
    assert split_list(parser.parse_args([]).allow_missing) == []
    parsed = parser.parse_args(["--allow_missing=heads,semantic_head"])
    assert split_list(parsed.allow_missing) == ["heads", "semantic_head"]


@pytest.mark.parametrize("command", ["eval", "predict", "export"])
def test_help_says_what_a_run_folder_means(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "RUN for the newest weights of a run, RUN/best for those with the best PQ, mIoU" in text
