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


@pytest.mark.parametrize(
    ("flag", "arguments"),
    [
        ("--model_dir", ["train", "--config_file=CONFIG"]),
        ("--save_predictions", ["eval", "--config_file=CONFIG", "--checkpoint=c"]),
        ("--export_dir", ["export", "--config_file=CONFIG", "--checkpoint=c"]),
        ("--output_dir", ["predict", "--config_file=CONFIG", "--checkpoint=c", "a.jpg"]),
        ("--output_dir", ["build-data", "shapes"]),
    ],
)
def test_results_go_to_this_machine(
    flag, arguments, repository_root, tmp_path, monkeypatch, data_folder, capsys
):
    """Without the check there would be a folder `gs:`, and the user would think of a bucket."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KMAX_DATA", str(data_folder))
    config = str(repository_root / "configs" / "test" / "tiny.textproto")
    given = [argument.replace("CONFIG", config) for argument in arguments]
    assert _run(*given, f"{flag}=gs://bucket/a") == 2
    assert f"`{flag}` must be a path of this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
