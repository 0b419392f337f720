from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from trainer import schedules


@pytest.mark.parametrize("name", ["coco_kmax", "cityscapes_kmax", "ade20k_kmax"])
def test_polynomial_decay_with_warmup_equals_the_reference(golden, name):
    case = json.loads((golden / "solver" / "learning_rates.json").read_text())[name]
    config = case["config"]
    schedule = schedules.with_warmup(
        schedules.polynomial_decay(
            config["base"],
            num_steps=config["steps"],
            power=config["power"],
            end_rate=config["end"],
        ),
        base_rate=config["base"],
        num_steps=config["warm"],
    )
    steps = tf.constant(case["steps"], tf.int64)
    rates = schedule(steps).numpy()
    np.testing.assert_allclose(rates, case["head_lr"], rtol=2e-6, atol=1e-12)
    # In a graph the division by the number of steps is turned into a product: one rounding more.
    np.testing.assert_allclose(tf.function(schedule)(steps), case["head_lr"], atol=1e-10)
    np.testing.assert_allclose(rates * config["mult"], case["backbone_lr"], rtol=2e-6, atol=1e-12)
    assert rates.dtype == np.float32


def test_cosine_decay_by_hand():
    schedule = schedules.cosine_decay(0.2, num_steps=100)
    rates = [float(schedule(step)) for step in (0, 25, 50, 100, 500)]
    expected = [0.2, 0.1 * (1 + math.cos(math.pi / 4)), 0.1, 0.0, 0.0]
    np.testing.assert_allclose(rates, expected, atol=1e-8)


def test_step_decay_by_hand():
    schedule = schedules.step_decay(1.0, boundaries=[10, 20], factor=0.1)
    rates = [float(schedule(step)) for step in (0, 9, 10, 19, 20, 99)]
    np.testing.assert_allclose(rates, [1.0, 1.0, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)


def test_no_warmup_is_the_schedule_itself():
    decay = schedules.cosine_decay(0.2, num_steps=10)
    assert schedules.with_warmup(decay, base_rate=0.2, num_steps=0) is decay


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="num_steps"):
        schedules.cosine_decay(0.1, num_steps=0)
    with pytest.raises(ValueError, match="boundaries"):
        schedules.step_decay(0.1, boundaries=[5, 5], factor=0.1)
