"""Two processes that train together, on this machine, with a toy in place of the model."""

from __future__ import annotations

import json
import pathlib
import re
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import toy, worker_process
from tests.worker_group import worker_group
from trainer import assembly, cli
from trainer.bad_records import LIST
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
    assert _rows(tmp_path / "run")[-1]["step"] == step
    assert "Interrupted" not in group.output(1)


@pytest.mark.parametrize(
    ("victim", "number"),
    [
        (1, signal.SIGKILL),
        pytest.param(0, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(1, signal.SIGSTOP, marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_ends_or_hangs_is_named_by_the_other(flags, tmp_path, victim, number):
    with worker_group(WORKER, flags("--mode=train", steps=1000000), folder=tmp_path) as group:
        group.wait_for_text(0, "train 5/")
        group.processes[victim].send_signal(number)
        group.processes[1 - victim].wait(120)
        assert group.processes[1 - victim].returncode == 1
    message = _end_of(group.output(1 - victim))
    address = group.addresses[victim]
    assert message.startswith(f"kmax: Waited for worker {victim} ({address}), which has ended")
    assert "Traceback" not in group.output(1 - victim)


def test_a_numeric_fault_is_told_by_all_and_kept_by_the_chief(flags, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(worker_process.POISONED_IMAGE, "3")
    with worker_group(WORKER, flags("--mode=train"), folder=tmp_path) as group:
        assert group.wait() == [1, 1], group.output(0) + group.output(1)
    messages = [_end_of(group.output(index)) for index in range(2)]
    for message in messages:
        assert "not finite: loss/root, loss/total; images: 3." in message
        assert "3 = train_000003" in message
    assert messages[1].endswith("Worker 0, the chief, says how to make the step again.")
    (dump,) = re.findall(r"`kmax replay-step (\S+)` makes the step again", messages[0])
    assert pathlib.Path(dump).parent == tmp_path / "run" / "faults"
    monkeypatch.setattr(assembly, "build_model", lambda config: toy.SynchronizedToyModel())
    monkeypatch.setattr(assembly, "build_loss", lambda config: worker_process.Loss())
    assert cli.main(["replay-step", dump]) == 0
    assert "made on 2 devices (CPU on each of 2 workers)" in capfd.readouterr().out


def test_a_bad_record_stops_all_and_is_left_out_from_the_next_start_on(
    run, flags, damaged, tmp_path, monkeypatch
):
    monkeypatch.setattr(assembly, "build_model", lambda config: toy.SynchronizedToyModel())
    more = (
        f"--set=KMAX_DATA={damaged('image that cannot be decoded')}",
        "--set=train_dataset_options.max_bad_records=1",
        "--mode=train",
    )
    assert run(*more, *CONSTANT_RATE, folder="alone") == 0
    with worker_group(WORKER, flags(*more), folder=tmp_path) as group:
        codes = group.wait()
    assert sorted(codes) == [1, 2], group.output(0) + group.output(1)
    found, other = codes.index(2), codes.index(1)
    said = _end_of(group.output(found))
    assert "Record 1 of" in said and "start the run again, which leaves such records out" in said
    assert _end_of(group.output(other)).startswith(f"kmax: Waited for worker {found}")
    lists = [(tmp_path / folder / LIST).read_text() for folder in ("run", "alone")]
    assert lists[0] == lists[1] and lists[0].count("no image that can be decoded") == 1
    with worker_group(WORKER, flags(*more), folder=tmp_path) as group:
        assert group.wait() == [0, 0], group.output(0) + group.output(1)
    together, alone = _rows(tmp_path / "run"), _rows(tmp_path / "alone")
    assert len(together) == len(alone) == 4
    for row, expected in zip(together, alone):
        assert row == pytest.approx(expected, rel=1e-5)
