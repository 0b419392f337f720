from __future__ import annotations

import math

import pytest

from trainer.numeric_fault import NumericFaultError, StepReport

SOUND = StepReport(
    step=7,
    values={"loss/dice": 1.0, "loss/total": 3.0, "gradient_norm": 2.0},
    image_ids=(4, 9),
    image_losses=(2.0, 4.0),
    gradient_norms={"encoder/kernel": 1.0, "head/kernel": 1.0, "head/bias": 1.0},
    max_total_loss=100.0,
)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_terms_and_images_that_are_not_finite_are_named(value):
    report = SOUND._replace(
        values={"loss/dice": value, "loss/total": value, "gradient_norm": value},
        image_losses=(2.0, value),
    )
    message = report.describe()
    assert message.startswith(
        "Step 7: not finite: loss/dice, loss/total, gradient_norm; images: 9. The step was not "
    )
    assert "lower `trainer_options.solver_options.base_learning_rate`" in message
    assert NumericFaultError(message, report).image_ids == (9,)


def test_a_gradient_alone_is_told_by_its_variables():
    norms = {**SOUND.gradient_norms, "head/kernel": math.inf, "head/bias": math.nan}
    values = {**SOUND.values, "gradient_norm": math.nan}
    report = SOUND._replace(values=values, gradient_norms=norms)
    message = report.describe()
    assert "not finite: gradient_norm (2 of 3 gradients: head/kernel, head/bias);" in message
    assert "images (each loss by itself is finite): 4, 9." in message
    assert "use_gradient_clipping" not in message  # It does not make a gradient finite.
    many = {f"v{i}": math.nan for i in range(9)}
    shortened = report._replace(gradient_norms=many).describe()
    assert "(9 of 9 gradients: v0, v1, v2, v3, v4, ...)" in shortened
    only_the_sum = report._replace(gradient_norms={"v": 1e19}).describe()
    assert "add up to more than float32 holds" in only_the_sum


def test_a_loss_above_the_limit_names_the_field():
    report = SOUND._replace(
        values={**SOUND.values, "loss/total": 120.0}, image_losses=(40.0, 200.0)
    )
    assert report.faulty_values() == ["loss/total"]
    message = report.describe()
    assert "loss/total is 120, above `trainer_options.max_total_loss` 100; images: 9." in message
    assert "raise the limit (0 = none)" in message
    assert report._replace(max_total_loss=0.0).faulty_values() == []


def test_nothing_is_wrong_with_a_sound_step():
    assert SOUND.faulty_values() == []
    assert SOUND.faulty_gradients() == []
    assert SOUND.suspects() == ()
