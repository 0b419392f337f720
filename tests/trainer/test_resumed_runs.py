"""Whole runs of a toy model on a few drawn images, through the command line's entry point."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.checkpoints.mapping import variables_by_path
from tests.trainer import toy
from tests.trainer.metric_rows import metric_rows
from trainer import assembly
from trainer.train_loop import TrainLoop


def test_a_resumed_run_gives_the_numbers_of_an_uninterrupted_one(run, tmp_path, capfd):
    assert run("--mode=train", folder="whole") == 0
    interval = "--set=trainer_options.save_checkpoints_steps=100"

    original = TrainLoop.train
    calls = []

    def interrupted_in_the_fourth_step(self, num_steps):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, num_steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainLoop, "train", interrupted_in_the_fourth_step)
        assert run("--mode=train", interval) == 130
    assert "Interrupted at step 3; saved" in capfd.readouterr().out
    assert (tmp_path / "run" / "ckpt-3.index").exists()
    assert run("--mode=train", interval) == 0
    assert metric_rows(tmp_path / "run") == metric_rows(tmp_path / "whole")
    for name in ("model/head/kernel", "optimizer/second_moment/head.Skernel"):
        values = [
            tf.train.load_variable(
                str(tmp_path / f / "ckpt-4"), f"{name}/.ATTRIBUTES/VARIABLE_VALUE"
            )
            for f in ("run", "whole")
        ]
        np.testing.assert_array_equal(*values)


def test_a_resumed_float16_run_continues_with_its_loss_scale(run, tmp_path, monkeypatch):
    # The toy overflows like a network in float16, wherever it runs.
    monkeypatch.setattr(assembly.distribution, "require_float16", lambda strategy: None)
    monkeypatch.setattr(assembly, "build_loss", lambda config: toy.OverflowingLoss(exponent=12))
    flags = ["--mode=train", "--set=trainer_options.precision=FLOAT16"]
    assert run(*flags, folder="whole", steps=16) == 0
    for steps in (3, 5, 16):
        solver = "--set=trainer_options.solver_options"
        constant = f"{solver}.learning_policy=POLY", f"{solver}.poly_learning_power=0"
        assert run(*flags, *constant, steps=steps) == 0
    rows, whole = metric_rows(tmp_path / "run"), metric_rows(tmp_path / "whole")
    for name in ("skipped_updates", "loss_scale"):
        assert [row[name] for row in rows] == [row[name] for row in whole]
    skipped = [row["skipped_updates"] for row in rows]
    assert skipped[:5] == [1.0] * 5 and 0.0 in skipped
    assert [row["loss_scale"] for row in rows[:6]] == [2.0 ** (15 - i) for i in range(6)]
    assert ["gradient_norm" in row for row in rows] == [not skip for skip in skipped]
    key = "loss_scale/scale/.ATTRIBUTES/VARIABLE_VALUE"
    scale = tf.train.load_variable(str(tmp_path / "run" / "ckpt-16"), key)
    assert scale == rows[-1]["loss_scale"] * 2.0 ** -rows[-1]["skipped_updates"]
    # Another precision goes on without it, and back again.
    assert run("--mode=train", steps=17) == 0
    assert "loss_scale" not in metric_rows(tmp_path / "run")[-1]
    assert run(*flags, steps=18) == 0
    assert metric_rows(tmp_path / "run")[-1]["loss_scale"] == 2.0**15


def _arrays(prefix):
    return {
        name.replace("/.ATTRIBUTES/VARIABLE_VALUE", ""): tf.train.load_variable(str(prefix), name)
        for name, _ in tf.train.list_variables(str(prefix))
        if name.endswith("VARIABLE_VALUE") and "save_counter" not in name
    }


def _part(arrays, prefix):
    return {n[len(prefix) :]: a for n, a in arrays.items() if n.startswith(prefix)}


def _assert_equal(arrays, expected):
    assert set(arrays) == set(expected) != set()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], name)


@pytest.fixture
def evaluated(monkeypatch):
    """The weights that each evaluation ran with, by name: the first is of the first one."""
    models = []
    original = assembly.build_forward
    monkeypatch.setattr(assembly, "build_forward", lambda *a: models.append(a[1]) or original(*a))
    seen = []
    update = assembly.Evaluator.result

    def result(self):
        variables = variables_by_path(models[-1])
        seen.append({path: variable.numpy() for path, variable in variables.items()})
        return update(self)

    monkeypatch.setattr(assembly.Evaluator, "result", result)
    return seen


EMA = "--set=trainer_options.ema_decay=0.9"


def test_averaged_weights_are_evaluated_and_raw_ones_trained(run, tmp_path, evaluated):
    assert run(folder="plain") == 0
    raw = _arrays(tmp_path / "plain" / "ckpt-4")
    _assert_equal(evaluated[-1], _part(raw, "model/"))
    evaluated.clear()
    assert run(EMA) == 0
    folder = tmp_path / "run"
    saved = _arrays(folder / "ckpt-4")
    _assert_equal({n: a for n, a in saved.items() if not n.startswith("average/")}, raw)
    average = _part(saved, "average/")
    _assert_equal(evaluated[-1], average)
    best = _arrays(folder / "best" / "ckpt-2")
    _assert_equal(_part(best, "model/"), evaluated[0])
    assert (average["head/kernel"] != raw["model/head/kernel"]).any()
    # Other modes find the averages by themselves, whatever the config says.
    for flags in (["--mode=eval"], ["--mode=continuous_eval", EMA]):
        assert run(*flags) == 0
        _assert_equal(evaluated[-1], average)
    initial = f"--set=model_options.initial_checkpoint={folder}"
    assert run(initial, "--mode=eval", folder="evaluation") == 0
    _assert_equal(evaluated[-1], average)


def test_a_resumed_run_continues_with_its_average(run, tmp_path, capfd):
    assert run(EMA, folder="whole") == 0
    original = assembly.Evaluator.result
    evaluations = []

    def interrupted_in_an_evaluation(self):
        evaluations.append(1)
        if len(evaluations) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly.Evaluator, "result", interrupted_in_an_evaluation)
        assert run(EMA) == 130
    shown = capfd.readouterr().out
    assert "Interrupted at step 2; saved" in shown
    assert "Evaluated is the moving average of the weights (decay 0.9)." in shown
    assert run(EMA) == 0
    for name in ("ckpt-4", "best/ckpt-2"):
        _assert_equal(_arrays(tmp_path / "run" / name), _arrays(tmp_path / "whole" / name))
    assert metric_rows(tmp_path / "run") == metric_rows(tmp_path / "whole")


def test_an_average_begins_at_the_weights_of_an_old_run(run, tmp_path):
    policy = "--set=trainer_options.solver_options.learning_policy=POLY"
    assert run("--mode=train", policy, steps=2) == 0
    old = _part(_arrays(tmp_path / "run" / "ckpt-2"), "model/")
    assert run("--mode=train", policy, EMA, steps=3) == 0
    arrays = _arrays(tmp_path / "run" / "ckpt-3")
    new, average = _part(arrays, "model/"), _part(arrays, "average/")
    decay = 3 / 12
    for name, value in average.items():
        expected = decay * old[name] + (1 - decay) * new[name]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7, err_msg=name)
    # Without the field it is given up.
    assert run("--mode=train", policy, steps=4) == 0
    assert not _part(_arrays(tmp_path / "run" / "ckpt-4"), "average/")


def test_a_run_with_lamb_continues_where_lamb_exists(run, tmp_path, capfd):
    flags = ["--mode=train", "--set=trainer_options.solver_options.optimizer=LAMB"]
    flags += ["--set=trainer_options.solver_options.reference_batch_size=4"]
    if importlib.util.find_spec("tensorflow_addons") is None:
        for more in ([], ["--check"]):
            assert run(*flags, *more) == 2
            assert "LAMB needs tensorflow-addons" in capfd.readouterr().err
        return
    assert run(*flags, folder="whole") == 0
    shown = capfd.readouterr()
    assert "Learning rate 0.001 = 0.002 * batch size 2 / 4." in shown.out
    assert "TensorFlow Addons" not in shown.out + shown.err
    interval = "--set=trainer_options.save_checkpoints_steps=2"
    assert run(*flags, interval) == 0
    for suffix in ("index", "data-00000-of-00001"):
        (tmp_path / "run" / f"ckpt-4.{suffix}").unlink()
    assert run(*flags, interval) == 0
    _assert_equal(
        _part(_arrays(tmp_path / "run" / "ckpt-4"), "model/"),
        _part(_arrays(tmp_path / "whole" / "ckpt-4"), "model/"),
    )


def test_changed_data_is_a_warning_that_names_the_files(run, tmp_path, data_folder, capfd):
    data = tmp_path / "data"
    shutil.copytree(data_folder, data)
    assert run(f"--set=KMAX_DATA={data}", steps=1) == 0
    # The data may move, or have been evaluated, without a warning.
    assert run(steps=2) == 0
    assert run("--mode=eval") == 0
    assert "Warning" not in capfd.readouterr().out
    (file,) = (data / "shapes" / "tfrecords").glob("train-*")
    records = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in reversed(records):
            writer.write(record)
    assert run(f"--set=KMAX_DATA={data}", "--mode=train", steps=3) == 0
    change = f"train_dataset_options: {file.name} has another content"
    shown = capfd.readouterr().out
    assert "Warning: step 2 and later are not what the run would have become; chang" in shown
    assert change in shown
    sessions = json.loads((tmp_path / "run" / "run.json").read_text())["sessions"]
    assert [(s["step"], s["mode"], s["changes"]) for s in sessions] == [
        (0, "train_and_eval", []), (1, "train_and_eval", []), (2, "train", [change]),
    ]  # fmt: skip


def test_a_checkpoint_between_two_summaries_keeps_their_means(run, tmp_path):
    # Checkpoints at steps 1, 4 and 5, summaries at 2, 4 and 5: the first is in between.
    rarely = [
        f"--set=trainer_options.{name}={value}"
        for name, value in (("save_checkpoints_steps", 3), ("save_summaries_steps", 2))
    ]

    assert run("--mode=train", *rarely, steps=5, folder="whole") == 0
    original = TrainLoop.train
    with pytest.MonkeyPatch.context() as patch:
        calls = []

        def killed_in_the_second_step(self, num_steps):
            calls.append(1)
            if len(calls) == 2:
                raise SystemExit
            return original(self, num_steps)

        patch.setattr(TrainLoop, "train", killed_in_the_second_step)
        with pytest.raises(SystemExit):
            run("--mode=train", *rarely, steps=5)
    (tmp_path / "run" / "ckpt-7_temp").mkdir()
    assert (tmp_path / "run" / "ckpt-1.index").exists()
    assert run("--mode=train", *rarely, steps=5) == 0
    contents = [(tmp_path / f / "metrics.jsonl").read_bytes() for f in ("run", "whole")]
    assert contents[0] == contents[1]
    assert [row["step"] for row in metric_rows(tmp_path / "run")] == [2, 4, 5]
    assert not (tmp_path / "run" / "ckpt-7_temp").exists()


def test_lines_of_lost_steps_are_cut(run, tmp_path):
    assert run("--mode=train", steps=2) == 0
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss/total": 1e9}\n')
    assert run("--mode=train", steps=3) == 0
    rows = metric_rows(tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[2]["loss/total"] < 1e9
