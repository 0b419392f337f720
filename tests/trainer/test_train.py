from __future__ import annotations

import subprocess
import sys
import time

import pytest

from trainer import cli, train


def test_a_forgotten_data_set_is_reported_at_once(repository_root, tmp_path):
    start = time.monotonic()
    finished = subprocess.run(
        [
            sys.executable,
            str(repository_root / "trainer" / "train.py"),
            f"--config_file={repository_root / 'configs' / 'coco' / 'kmax_r50.textproto'}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("kmax: No files match data/coco/tfrecords/train-*")
    assert "kmax build-data coco_panoptic" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert time.monotonic() - start < 15
    assert list(tmp_path.iterdir()) == []  # no run folder is left behind


def test_the_default_mode_and_the_same_flags_for_both_commands():
    parsed = []
    for parser in (cli.Parser(prog="train.py"), cli.Parser(prog="kmax train")):
        train.add_arguments(parser)
        parsed.append(
            parser.parse_args(
                ["--config_file=c", "--set", "a.b=1", "--set=NAME=x", "--num_gpus=2", "--tpu=t"]
            )
        )
    assert parsed[0] == parsed[1]
    assert parsed[0].mode == "train_and_eval"
    assert parsed[0].set == ["a.b=1", "NAME=x"]
    assert parsed[0].model_dir is None
    assert not parsed[0].check


def test_an_unwritable_run_folder(run, tmp_path, capfd):
    (tmp_path / "run").touch()
    assert run() == 2
    assert "`--model_dir`" in capfd.readouterr().err


def test_unknown_modes_are_refused(capsys):
    with pytest.raises(SystemExit) as end:
        train.main(["--config_file=c", "--mode=sleep"])
    assert end.value.code == 2
    assert "sleep" in capsys.readouterr().err


def test_workers_are_checked_before_anything_is_loaded(run, capsys):
    assert run("--workers=a:1,b", "--worker_index=0") == 2
    assert "`--workers`: an address must be `host:port`; received 'b'" in capsys.readouterr().err
    assert run("--workers=a:1,b:1", "--worker_index=0", "--mode=continuous_eval") == 2
    assert "`--mode` continuous_eval runs in one process" in capsys.readouterr().err
