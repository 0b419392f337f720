from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from trainer import optimizers, schedules
from trainer.parameter_groups import Parameter, is_decayed

CASES = ["adamw_wd_noclip", "adamw_wd_clip", "adamw_warmup", "adamw_backbone_multiplier"]


def _parameters(arrays, config):
    return [
        Parameter(
            path=name[:-2],
            variable=tf.Variable(arrays[f"{config['name']}/init/{name}"]),
            learning_rate_multiplier=config["mult"],
            decayed=is_decayed(name),
        )
        for name in config["names"]
    ]


def _update(optimizer, gradients, step, limit):
    factor = 1.0
    if limit:
        norm = tf.linalg.global_norm(gradients)
        factor = optimizers.clipping_factor(norm=norm, limit=limit)
    optimizer.apply(gradients, step, factor=factor)


def _adamw(parameters):
    schedule = schedules.cosine_decay(0.1, num_steps=10)
    return optimizers.AdamW(parameters, schedule=schedule, weight_decay=0.5)


def _sgd(parameters):
    return optimizers.SGD(parameters, schedule=schedules.cosine_decay(0.1, num_steps=10))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_adamw_equals_the_reference(golden, name, jit_compile):
    config = json.loads((golden / "solver" / "optimizer.json").read_text())[name]
    arrays = np.load(golden / "solver" / "optimizer.npz")
    schedule = schedules.with_warmup(
        schedules.polynomial_decay(
            config["base_lr"],
            num_steps=config["training_steps"],
            power=config["power"],
            end_rate=0.0,
        ),
        base_rate=config["base_lr"],
        num_steps=config["warm"],
    )
    parameters = _parameters(arrays, config)
    optimizer = optimizers.AdamW(parameters, schedule=schedule, weight_decay=config["wd"])
    update = tf.function(_update, jit_compile=jit_compile)
    for step in range(config["steps"]):
        gradients = [tf.constant(arrays[f"{name}/grad{step}/{n}"]) for n in config["names"]]
        update(optimizer, gradients, tf.constant(step, tf.int64), config["clip"])
        for variable_name, parameter in zip(config["names"], parameters):
            np.testing.assert_allclose(
                parameter.variable.numpy(),
                arrays[f"{name}/after{step + 1}/{variable_name}"],
                rtol=2e-6,
                atol=2e-7,
            )


def test_sgd_equals_keras():
    start = np.array([1.0, -2.0, 3.0], np.float32)
    ours, theirs = tf.Variable(start), tf.Variable(start)
    reference = tf.keras.optimizers.legacy.SGD(0.1, momentum=0.9)
    optimizer = optimizers.SGD(
        [Parameter("w", ours, 1.0, False)],
        schedule=schedules.step_decay(0.1, boundaries=[], factor=1.0),
    )
    for step in range(4):
        gradient = tf.constant([0.5, -0.1, 0.3]) * (step + 1)
        optimizer.apply([gradient], tf.constant(step, tf.int64))
        reference.apply_gradients([(gradient, theirs)])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("make", [_adamw, _sgd])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_unsound_update_changes_nothing(make, jit_compile, bad):
    variable = tf.Variable([1.0, -2.0, 1e-30])
    optimizer = make([Parameter("w", variable, 1.0, True)])
    update = tf.function(optimizer.apply, jit_compile=jit_compile)
    good = tf.constant([0.5, -1.0, 3.0])
    update([good], tf.constant(0, tf.int64), sound=tf.constant(True))
    held = [variable, *(slot["w"] for slot in optimizer.slots.values())]
    before = [each.numpy() for each in held]
    assert all(np.any(slot != 0.0) for slot in before[1:])
    unsound = [tf.constant([bad, 1.0, -bad])]
    update(unsound, tf.constant(1, tf.int64), factor=tf.constant(bad), sound=tf.constant(False))
    for each, value in zip(held, before):
        np.testing.assert_array_equal(each.numpy(), value)
    update([good], tf.constant(1, tf.int64), sound=tf.constant(True))
    assert np.all(variable.numpy() != before[0])


def test_parameters_without_gradient_stay():
    variable = tf.Variable([1.0])
    optimizer = optimizers.AdamW(
        [Parameter("w", variable, 1.0, True)],
        schedule=schedules.cosine_decay(0.1, num_steps=10),
        weight_decay=0.5,
    )
    optimizer.apply([None], tf.constant(0, tf.int64))
    assert variable.numpy() == [1.0]


def test_each_replica_updates_its_copy(mirrored_strategy):
    strategy = mirrored_strategy
    with strategy.scope():
        variable = tf.Variable([1.0, 2.0])
        optimizer = optimizers.AdamW(
            [Parameter("w", variable, 1.0, True)],
            schedule=schedules.cosine_decay(0.1, num_steps=10),
            weight_decay=0.5,
        )

    @tf.function
    def step():
        strategy.run(lambda: optimizer.apply([tf.constant([1.0, -1.0])], tf.zeros([], tf.int64)))

    step()
    copies = [v.numpy() for v in strategy.experimental_local_results(variable)]
    np.testing.assert_array_equal(copies[0], copies[1])
    np.testing.assert_allclose(copies[0], [1 - 0.05 - 0.1, 2 - 0.1 + 0.1], rtol=1e-5)
