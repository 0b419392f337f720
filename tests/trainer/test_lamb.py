"""LAMB of tensorflow-addons against a restatement of the paper's Algorithm 2 in numpy."""

from __future__ import annotations

import importlib.util
import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.checkpoints.mapping import variables_by_path
from tests.trainer import toy
from trainer import schedules
from trainer.parameter_groups import Parameter, collect_parameters
from trainer.train_step import TrainStep

if importlib.util.find_spec("tensorflow_addons") is None:
    pytest.skip("needs tensorflow-addons: Python 3.9 - 3.11", allow_module_level=True)

from trainer.lamb import LAMB

SHAPES = {"encoder/kernel": (3, 4), "head/kernel": (4, 2), "head/bias": (2,), "zero/kernel": (2, 2)}
MULTIPLIERS = {"encoder/kernel": 0.1}
RATE, DECAY = 0.05, 0.02


def _schedule(step):
    return RATE * tf.pow(0.9, tf.cast(step, tf.float32))


def _start():
    random = np.random.default_rng(0)
    values = {path: random.normal(size=shape) for path, shape in SHAPES.items()}
    values["zero/kernel"][:] = 0.0
    return values


def _gradients(step):
    random = np.random.default_rng(100 + step)
    return {path: random.normal(size=shape) for path, shape in SHAPES.items()}


def _make():
    parameters = [
        Parameter(
            path,
            tf.Variable(value, dtype=tf.float32),
            MULTIPLIERS.get(path, 1.0),
            path.endswith("kernel"),
        )
        for path, value in _start().items()
    ]
    return parameters, LAMB(parameters, schedule=_schedule, weight_decay=DECAY)


def _restate(steps):
    """Values, first and second moments after a number of steps, in float64."""
    values = _start()
    first = {path: np.zeros(shape) for path, shape in SHAPES.items()}
    second = {path: np.zeros(shape) for path, shape in SHAPES.items()}
    for step in range(steps):
        for path, gradient in _gradients(step).items():
            first[path] = 0.9 * first[path] + 0.1 * gradient
            second[path] = 0.999 * second[path] + 0.001 * gradient**2
            corrected = first[path] / (1 - 0.9 ** (step + 1))
            update = corrected / (np.sqrt(second[path] / (1 - 0.999 ** (step + 1))) + 1e-6)
            ratio = 1.0
            if path.endswith("kernel"):
                update += DECAY * values[path]
                norm = np.linalg.norm(values[path])
                ratio = norm / np.linalg.norm(update) if norm > 0 else 1.0
            rate = RATE * 0.9**step * MULTIPLIERS.get(path, 1.0)
            values[path] = values[path] - rate * ratio * update
    return values, first, second


def _assert_after(steps, parameters, slots):
    values, first, second = _restate(steps)
    for parameter in parameters:
        for variable, expected in (
            (parameter.variable, values),
            (slots["first_moment"][parameter.path], first),
            (slots["second_moment"][parameter.path], second),
        ):
            np.testing.assert_allclose(
                variable.numpy(), expected[parameter.path], rtol=2e-5, atol=1e-6
            )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_updates_are_those_of_the_paper(jit_compile):
    parameters, optimizer = _make()
    update = tf.function(optimizer.apply, jit_compile=jit_compile)
    for step in range(5):
        gradients = [tf.constant(g, tf.float32) for g in _gradients(step).values()]
        update(gradients, tf.constant(step, tf.int64))
    _assert_after(5, parameters, optimizer.slots)


def test_it_continues_from_saved_slots(tmp_path):
    parameters, optimizer = _make()
    for step in range(2):
        optimizer.apply(
            [tf.constant(g, tf.float32) for g in _gradients(step).values()],
            tf.constant(step, tf.int64),
        )
    prefix = tf.train.Checkpoint(optimizer=optimizer.slots).write(str(tmp_path / "a"))
    again, other = _make()
    for parameter, saved in zip(again, parameters):
        parameter.variable.assign(saved.variable)
    tf.train.Checkpoint(optimizer=other.slots).read(prefix).assert_consumed()
    other.apply(
        [tf.constant(g, tf.float32) for g in _gradients(2).values()], tf.constant(2, tf.int64)
    )
    _assert_after(3, again, other.slots)


def test_an_unsound_update_changes_nothing():
    parameters, optimizer = _make()
    gradients = [tf.constant(np.nan, tf.float32, shape) for shape in SHAPES.values()]
    update = tf.function(optimizer.apply)
    update(gradients, tf.constant(0, tf.int64), sound=tf.constant(False))
    _assert_after(0, parameters, optimizer.slots)


def test_parameters_without_gradient_stay():
    parameters, optimizer = _make()
    before = parameters[0].variable.numpy()
    optimizer.apply([None] * len(parameters), tf.constant(0, tf.int64))
    np.testing.assert_array_equal(parameters[0].variable.numpy(), before)


def _toy_step(global_batch_size):
    tf.keras.utils.set_random_seed(1)
    model = toy.ToyModel()
    optimizer = LAMB(
        collect_parameters(model, pixel_encoder_multiplier=0.1),
        schedule=schedules.step_decay(0.05, boundaries=[], factor=1.0),
        weight_decay=0.01,
    )
    step = TrainStep(
        model=model,
        loss=toy.ToyLoss(),
        optimizer=optimizer,
        global_batch_size=global_batch_size,
        seed=0,
        clip_norm=None,
    )
    return model, optimizer, step


def test_replicas_add_their_gradients_once(mirrored_strategy):
    """The same images on both replicas are a batch of two of each: the update is that of one."""
    strategy = mirrored_strategy
    features, targets = next(iter(toy.toy_dataset(4)))
    model, single, step = _toy_step(4)
    start = [variable.numpy() for variable in model.trainable_variables]
    assert bool(step(features, targets, tf.constant(0, tf.int64)).updated)
    with strategy.scope():
        mirrored, optimizer, both = _toy_step(8)
        for variable, value in zip(mirrored.trainable_variables, start):
            variable.assign(value)

    @tf.function
    def run():
        return strategy.run(both, args=(features, targets, tf.constant(0, tf.int64)))

    run()
    values, moments = variables_by_path(mirrored), optimizer.slots["first_moment"]
    for path, expected in variables_by_path(model).items():
        # A batch norm behind it takes the gradient of a bias away, up to rounding.
        if path not in moments or path.endswith("bias"):
            continue
        copies = [copy.numpy() for copy in strategy.experimental_local_results(values[path])]
        np.testing.assert_array_equal(copies[0], copies[1])
        np.testing.assert_allclose(copies[0], expected.numpy(), rtol=1e-4, atol=1e-6)
        # The update does not change with the scale of the gradient, but the moment does.
        moment = single.slots["first_moment"][path].numpy()
        assert (moment != 0).all()
        np.testing.assert_allclose(moments[path].numpy(), moment, rtol=1e-4, atol=1e-7)


def test_the_end_of_life_message_reaches_nobody():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in [n for n in sys.modules if n.startswith("trainer.lamb")]:
            del sys.modules[name]
        import trainer.lamb

    assert trainer.lamb.LAMB
    assert not caught
