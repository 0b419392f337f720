"""The measured step is the trainer's: it updates the model, and a fault is no figure."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.bench.training import StepRunner, measure_training


def test_a_real_step_is_measured_and_a_fault_is_refused(session):
    variables = session.model.trainable_variables
    before = [variable.numpy() for variable in variables]
    figures = measure_training(session)
    assert figures.num_segments == 20
    assert figures.step.repeats == 1
    assert figures.first_step_s > figures.step.median > 0
    assert 0.1 < figures.peak_memory_gb < 100
    changed = [(v.numpy() != b).any() for v, b in zip(variables, before)]
    assert np.mean(changed) > 0.9  # A few have a gradient of 0 by design.
    types = {operation.type for operation in figures.graph.get_operations()}
    assert {"If", "StatelessIf"} & types  # The update hangs on a look for faults.
    assert figures.run().numpy()

    kernel = variables[0]
    sound = kernel.numpy()
    kernel.assign(np.full_like(sound, np.nan))
    try:
        assert not figures.run().numpy()
        with pytest.raises(
            FloatingPointError, match=r"was not finite, or .* \(1e\+06\), so that nothing"
        ):
            figures.run.require_finite()
    finally:
        # The averages of batch norms have become NaN as well.
        kernel.assign(sound)
        for variable in session.model.non_trainable_variables:
            variable.assign(np.nan_to_num(variable.numpy()))


def test_the_clip_norm_comes_from_the_config(session, monkeypatch):
    made = []
    monkeypatch.setattr("trainer.assembly.TrainStep", lambda **options: made.append(options))
    solver = session.config.trainer_options.solver_options
    monkeypatch.setattr(
        "trainer.bench.training.build_optimizer", lambda model, options, **_: "adamw"
    )
    StepRunner(session)
    solver.use_gradient_clipping = True
    solver.clip_gradient_norm = 0.5
    try:
        StepRunner(session)
    finally:
        solver.ClearField("use_gradient_clipping")
        solver.ClearField("clip_gradient_norm")
    assert [options["clip_norm"] for options in made] == [None, 0.5]
    assert made[0]["global_batch_size"] == 2
    assert made[0]["optimizer"] == "adamw"
