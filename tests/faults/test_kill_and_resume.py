"""A short version of `make test-faults`: kills of a toy model's training."""

from __future__ import annotations

import pytest

from tests import tiny
from tests.faults.kill_and_resume import Job, draw_moments, kill_and_resume, write_data
from tests.faults.processes import Moment


def _toy_job(folder, steps):
    trainer = "trainer_options"
    overrides = [
        f"KMAX_DATA={folder / 'data'}",
        f"{trainer}.solver_options.training_number_of_steps={steps}",
        f"{trainer}.solver_options.learning_policy=COSINE",
        f"{trainer}.steps_per_loop=2",
        f"{trainer}.save_checkpoints_steps=4",  # at steps 2, 6, 10, ...: between summaries
        f"{trainer}.save_summaries_steps=4",
        "evaluator_options.eval_interval=20",
        "evaluator_options.num_vis_samples=0",
    ]
    write_data(folder / "data")
    return Job(("-m", "tests.faults.toy_train"), tiny.CONFIG, overrides, eval_interval=20)


def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path, capfd):
    moments = [Moment.CHECKPOINT, Moment.EVALUATION, Moment.TRAINING]
    assert kill_and_resume(_toy_job(tmp_path, steps=60), tmp_path, moments, seed=0) == []
    shown = capfd.readouterr().out
    assert "Equal: metrics.jsonl\n" in shown
    assert "Equal: best/ckpt-" in shown


@pytest.mark.faults
@pytest.mark.parametrize("seed", [1, 2])
def test_many_kills_of_every_kind(tmp_path, seed):
    job = _toy_job(tmp_path, steps=400)
    assert kill_and_resume(job, tmp_path, draw_moments(10, seed), seed) == []


def test_all_kinds_of_moments_are_drawn():
    moments = draw_moments(20, seed=3)
    assert [moments.count(kind) for kind in Moment] == [4] * 5
    assert moments != draw_moments(20, seed=4)
