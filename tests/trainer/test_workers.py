"""Two processes that train together, on this machine, with a toy in place of the model."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import toy
from tests.worker_group import worker_group
from trainer import assembly
from trainer.workers import Workers

SOLVER = "--set=trainer_options.solver_options"
WORKER = "tests.trainer.worker_process"
CONSTANT_RATE = (f"{SOLVER}.learning_policy=POLY", f"{SOLVER}.poly_learning_power=0")


@pytest.fixture
def flags(repository_root, data_folder, tmp_path):
    def make(*more, steps=4):
        return [
            f"--config_file={repository_root}/configs/test/tiny.textproto",
            f"--model_dir={tmp_path / 'run'}",
            f"--set=KMAX_DATA={data_folder}",
            f"{SOLVER}.training_number_of_steps={steps}",
            "--num_gpus=0",
            *CONSTANT_RATE,
            *more,
        ]

    return make


def _rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _variables(folder, step):
    prefix = str(folder / f"ckpt-{step}")
    names = [name for name, _ in tf.train.list_variables(prefix)]
    chosen = [n for n in names if n.startswith(("model/", "optimizer/")) and "VALUE" in n]
    return {name: tf.train.load_variable(prefix, name) for name in chosen}


def _end_of(output):
    return [line for line in output.splitlines() if line.startswith("kmax: ")][-1]


def test_alone_nothing_is_exchanged():
    workers = Workers(tf.distribute.get_strategy())
    arrays = {"a": np.arange(3)}
    assert workers.exchange(arrays) == [arrays]
    assert workers.from_chief("x") == "x"
    assert workers.is_chief and not workers.interrupted
    assert not workers.any_interrupted()
    workers.meet()


def test_two_workers_train_evaluate_and_continue_as_one_process(run, flags, tmp_path, monkeypatch):
    """20 steps, ended after 7 and started again; three images to evaluate, so uneven shares."""
    monkeypatch.setattr(assembly, "build_model", lambda config: toy.SynchronizedToyModel())
    more = (
        "--set=trainer_options.save_checkpoints_steps=3",
        "--set=train_dataset_options.batch_size=4",
        "--set=evaluator_options.eval_interval=10",
    )
    assert run(*more, *CONSTANT_RATE, folder="alone", steps=20) == 0
    for steps in (7, 20):
        with worker_group(WORKER, flags(*more, steps=steps), folder=tmp_path) as group:
            assert group.wait() == [0, 0], group.output(0) + group.output(1)
    shown = group.output(0) + group.output(1)
    assert "on CPU on each of 2 workers" in shown and "WARNING:tensorflow" not in shown
    assert "Continuing from" in group.output(0)
    assert "loss" not in group.output(1)  # Only the chief reports.

    together, alone = _rows(tmp_path / "run"), _rows(tmp_path / "alone")
    # The last step of the first run was evaluated, as the last step of any run is.
    together = [row for row in together if row["step"] != 7 or "eval/pq" not in row]
    assert [row["step"] for row in together] == [row["step"] for row in alone]
    for row, expected in zip(together, alone):
        assert row == pytest.approx(expected, rel=1e-5)
    assert any("eval/pq" in row for row in together)
    expected = _variables(tmp_path / "alone", 20)
    values = _variables(tmp_path / "run", 20)
    assert values.keys() == expected.keys() and len(values) > 10
    for name, value in values.items():
        # The gradient of a bias before a batch norm is rounding, and Adam takes its size out.
        if not any(part in name for part in ("bias", "moving_mean")):
            np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)
    # Nobody but the chief has written to the run folder.
    files = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    hosts = {name for name in files if name.startswith("events")}
    assert len({name.split(".")[-3] for name in hosts}) == 2  # The chief's process of each run.


def test_an_interrupt_of_one_worker_stops_all_after_the_same_step(flags, tmp_path):
    more = ["--mode=train", "--set=trainer_options.save_checkpoints_steps=1000000"]
    with worker_group(WORKER, flags(*more, steps=1000000), folder=tmp_path) as group:
        group.wait_for_text(0, "train 20/")
        group.processes[1].send_signal(signal.SIGTERM)
        assert group.wait() == [143, 143], group.output(0) + group.output(1)
    shown = group.output(0)
    step = max(int(path.stem[5:]) for path in (tmp_path / "run").glob("ckpt-*.index"))
    assert f"Interrupted at step {step}; saved" in shown and step >= 20
    assert _rows(tmp_path / "run")[-1]["step"] in (step - 1, step)
    assert "Interrupted" not in group.output(1)


@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_the_end_of_a_worker_is_reported_by_the_other(flags, tmp_path, victim):
    with worker_group(WORKER, flags("--mode=train", steps=1000000), folder=tmp_path) as group:
        group.wait_for_text(0, "train 5/")
        group.processes[victim].kill()
        group.processes[1 - victim].wait(120)
        assert group.processes[1 - victim].returncode == 1
    message = _end_of(group.output(1 - victim))
    address = group.addresses[victim]
    assert message.startswith(f"kmax: Waited for worker {victim} ({address}), which has ended")
    assert "Traceback" not in group.output(1 - victim)
