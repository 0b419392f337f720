"""SIGTERM at every stage of a run: what was computed is saved, and the exit code is 143."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.compare_runs import compare_runs
from trainer import assembly
from trainer.eval_loop import EvalLoop
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
        (assembly, "build_dataset", 1, None),
        (assembly, "build_model", 1, None),
    ],
    ids=["training", "evaluation", "start of the input", "start of the model"],
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
