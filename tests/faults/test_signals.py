"""SIGTERM at every stage of a run: what was computed is saved, and the exit code is 143."""

from __future__ import annotations

import os
import signal
import time

import pytest
import tensorflow as tf

from tests.faults.compare_runs import compare_runs
from trainer import assembly, experiment
from trainer.eval_loop import EvalLoop
from trainer.interrupts import Interrupts
from trainer.running_means import RunningMeans
from trainer.train_loop import TrainLoop

# Only what an interrupt calls for is saved before the end.
RARELY = "--set=trainer_options.save_checkpoints_steps=100"


def _terminated(original, at=1):
    """`original`, with SIGTERM to this process at its `at`-th call."""
    calls = []

    def call(*arguments, **named):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **named)

    return call


@pytest.mark.parametrize(
    ("owner", "name", "at", "saved"),
    [
        (TrainLoop, "train", 3, "ckpt-2"),
        (EvalLoop, "evaluate", 1, "ckpt-2"),
        (RunningMeans, "take", 3, "ckpt-2"),
        (assembly, "build_dataset", 1, None),
        (assembly, "build_model", 1, None),
    ],
    ids=[
        "training",
        "evaluation",
        "writing of numbers",
        "start of the input",
        "start of the model",
    ],
)
def test_a_terminated_run_is_continued(run, tmp_path, capfd, owner, name, at, saved):
    assert run(folder="whole") == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, _terminated(getattr(owner, name), at))
        assert run(RARELY) == 143
    shown = capfd.readouterr()
    if saved is None:
        assert shown.err.splitlines()[-1] == "kmax: terminated."
        assert not list((tmp_path / "run").glob("ckpt-*"))
    else:
        assert f"Interrupted at step 2; saved {tmp_path}/run/{saved}." in shown.out
        assert (tmp_path / "run" / f"{saved}.index").exists()
    assert run() == 0
    different = compare_runs(tmp_path / "whole", tmp_path / "run").different
    assert not [line for line in different if "metrics" in line or line.startswith("ckpt-4")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_that_was_cut_off_costs_no_step_of_a_mean(run, tmp_path, capfd, monkeypatch, number):
    """After 6 steps: in the middle of a loop of 4 and of a summary interval of 8."""
    options = "--set=trainer_options"
    flags = [
        "--set=evaluator_options.eval_interval=16",
        f"{options}.steps_per_loop=4",
        f"{options}.save_summaries_steps=8",
        f"{options}.save_checkpoints_steps=16",
    ]
    assert run(*flags, steps=16, folder="whole") == 0
    with monkeypatch.context() as patch:
        _send_in_step(6, number, patch)
        assert run(*flags, steps=16) == 128 + number
    assert "Interrupted at step 6; saved" in capfd.readouterr().out
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert run(*flags, steps=16) == 0
    found = compare_runs(tmp_path / "whole", tmp_path / "run")
    assert "metrics.jsonl" in found.equal
    # One more checkpoint was saved, and so an older one removed.
    counter = "ckpt-16: 1 tensors, save_counter/.ATTRIBUTES/VARIABLE_VALUE"
    assert found.different == ["ckpt-4 is missing", counter]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 3  # two means and an evaluation


def _send_in_step(step, number, patch):
    """Sends a signal while the loop waits for the images of a step; they come once it is heard."""
    heard = []
    patch.setattr(
        experiment, "Interrupts", lambda **named: heard.append(Interrupts(**named)) or heard[0]
    )

    def send(count):
        if count == step:
            os.kill(os.getpid(), number)
            while not heard[0].stop.numpy():
                time.sleep(0.01)
        return count

    original = assembly.build_dataset

    def build(options, **named):
        numbers = tf.data.Dataset.range(1, 1000)

        def hand_on(count, batch):
            with tf.control_dependencies([tf.numpy_function(send, [count], tf.int64)]):
                return tf.nest.map_structure(tf.identity, batch)

        dataset = tf.data.Dataset.zip((numbers, original(options, **named))).map(hand_on)
        at_once = tf.data.Options()
        at_once.experimental_optimization.inject_prefetch = False
        return dataset.with_options(at_once)

    patch.setattr(assembly, "build_dataset", build)
