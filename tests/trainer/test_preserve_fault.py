from __future__ import annotations

import errno

import pytest
import tensorflow as tf

from tests.trainer import toy
from trainer import assembly, preserve_fault


class _Poisoned(toy.ToyLoss):
    """Never finite."""

    def with_diagnostics(self, targets, output, *, seed):
        poison = tf.where(targets["image_id"] >= 0, -1.0, 1.0)
        return super().with_diagnostics({**targets, "poison": poison}, output, seed=seed)


def _raise(error):
    def write(*unused, **named):
        raise error

    return write


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
        KeyboardInterrupt(),
        ValueError("the record files have gone"),
    ],
)
def test_the_fault_is_told_whatever_happens_to_its_dump(run, capfd, monkeypatch, error, tmp_path):
    monkeypatch.setattr(assembly, "build_loss", lambda config: _Poisoned())
    monkeypatch.setattr(preserve_fault, "write_dump", _raise(error))
    assert run("--mode=train") == 1
    message = capfd.readouterr().err.splitlines()[-1]
    assert message.startswith("kmax: Step 0: not finite: loss/root")
    reason = str(error) or "KeyboardInterrupt"
    assert message.endswith(f"What would make the step again could not be written: {reason}.")
    assert not (tmp_path / "run" / "faults").exists()


def test_an_input_that_does_not_come_twice_is_not_written(run, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(assembly, "build_loss", lambda config: _Poisoned())
    original = assembly.make_training_dataset
    steps = iter([0, 1])  # as if the order were another one the second time
    monkeypatch.setattr(
        assembly,
        "make_training_dataset",
        lambda run, start_step, share=(0, 1): original(run, next(steps)),
    )
    assert run("--mode=train") == 1
    assert capfd.readouterr().err.splitlines()[-1].endswith("its input does not come twice.")
    assert not (tmp_path / "run" / "faults").exists()
