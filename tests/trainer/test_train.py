from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trainer import cli, train


def test_a_forgotten_data_set_is_reported_before_tensorflow_is_loaded(repository_root, tmp_path):
    instead, folder = tmp_path / "instead", tmp_path / "folder"
    for made in (instead, folder):
        made.mkdir()
    (instead / "tensorflow.py").write_text("raise RuntimeError('TensorFlow was loaded.')")
    finished = subprocess.run(
        [
            sys.executable,
            str(repository_root / "trainer" / "train.py"),
            f"--config_file={repository_root / 'configs' / 'coco' / 'kmax_r50.textproto'}",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(instead)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 2, finished.stderr
    assert finished.stdout == ""
    assert finished.stderr.startswith("kmax: No files match data/coco/tfrecords/train-*")
    assert "kmax build-data coco_panoptic" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []  # no run folder is left behind


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
    assert run("--workers=a:1,b:1", "--worker_index=0", "--tpu=local") == 2
    assert "`--tpu` local and `--workers`" in capsys.readouterr().err
    assert run("--workers=a:1,b:1", "--worker_index=0", "--num_gpus=99") == 2
    assert "`--num_gpus` must be in 0.." in capsys.readouterr().err
