from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.mapping import variables_by_path
from tests import tiny
from tests.trainer import toy
from trainer.loss_scale import LossScale
from trainer.train_step import TrainStep
from trainer.weight_average import WeightAverage

DECAY = 0.3  # Above the limit of the first three steps, below that of the fourth.


def _values(model):
    return {path: variable.numpy() for path, variable in variables_by_path(model).items()}


def _make(loss=None, **options):
    tf.keras.utils.set_random_seed(1)
    model = toy.ToyModel()
    average = WeightAverage(model, averaged=toy.ToyModel(), decay=DECAY)
    step = TrainStep(
        model=model,
        loss=toy.ToyLoss() if loss is None else loss,
        optimizer=toy.toy_optimizer(model),
        global_batch_size=4,
        seed=0,
        clip_norm=None,
        average=average,
        **options,
    )
    return model, average, step


def _restate(average, weights, step):
    """The documented formula of `tf.train.ExponentialMovingAverage`, in float64."""
    decay = min(DECAY, (1 + step) / (10 + step))
    return {path: decay * average[path] + (1 - decay) * weights[path] for path in weights}


@pytest.mark.parametrize(
    ("jit_compile", "parts"), [(False, 1), (False, 2), (True, 1)], ids=["plain", "parts", "xla"]
)
def test_five_steps_equal_a_restatement_in_numpy(jit_compile, parts):
    model, average, step = _make(accumulation_steps=parts)
    expected = {path: value.astype(np.float64) for path, value in _values(model).items()}
    assert len(expected) == 8  # Two layers and a batch norm with its statistics.
    make_step = tf.function(step, jit_compile=jit_compile)
    batches = iter(toy.toy_dataset(4))
    for number in range(5):
        assert bool(make_step(*next(batches), tf.constant(number, tf.int64)).updated)
        expected = _restate(expected, _values(model), number)
        for path, value in _values(average.model).items():
            np.testing.assert_allclose(value, expected[path], rtol=2e-6, atol=1e-7, err_msg=path)
            assert (value != _values(model)[path]).any(), path


def test_a_faulty_step_is_not_taken_in():
    _, average, step = _make()
    before = _values(average.model)
    features, targets = next(iter(toy.toy_dataset(4, poisoned_image=2)))
    assert not bool(step(features, targets, tf.constant(3, tf.int64)).sound)
    for path, value in _values(average.model).items():
        np.testing.assert_array_equal(value, before[path], path)


def test_a_skipped_update_is_not_taken_in():
    _, average, step = _make(toy.OverflowingLoss(exponent=12), loss_scale=LossScale())
    before = _values(average.model)
    result = step(*next(iter(toy.toy_dataset(4))), tf.constant(3, tf.int64))
    assert bool(result.sound) and not bool(result.updated)
    for path, value in _values(average.model).items():
        np.testing.assert_array_equal(value, before[path], path)


def test_each_replica_averages_its_copy(mirrored_strategy):
    strategy = mirrored_strategy
    with strategy.scope():
        model = toy.ToyModel()
        average = WeightAverage(model, averaged=toy.ToyModel(), decay=DECAY)
    before = _values(average.model)

    @tf.function
    def step():
        def move():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            kernel = model.head.kernel
            tf.raw_ops.AssignAddVariableOp(resource=kernel.handle, value=tf.ones(kernel.shape))
            # Not synchronised: every replica has statistics of its own, a checkpoint their mean.
            model.norm.moving_mean.assign_add([1.0 + 2.0 * tf.cast(replica, tf.float32), 0.0])
            average.update(tf.constant(1, tf.int64))

        strategy.run(move)

    step()
    share = 9 / 11
    after = _values(average.model)
    np.testing.assert_allclose(after["head/kernel"], before["head/kernel"] + share, rtol=1e-6)
    np.testing.assert_allclose(after["norm/moving_mean"], [2.0 * share, 0.0], rtol=1e-6)
    kernels = strategy.experimental_local_results(average.model.head.kernel)
    np.testing.assert_array_equal(kernels[0].numpy(), kernels[1].numpy())
    means = strategy.experimental_local_results(average.model.norm.moving_mean)
    np.testing.assert_allclose([mean.numpy()[0] for mean in means], [share, 3 * share], rtol=1e-6)


def test_a_model_in_bfloat16_has_averages_in_float32():
    config = load_config(tiny.CONFIG, ["trainer_options.precision=BFLOAT16"])
    model, averaged = build_model(config), build_model(config)
    average = WeightAverage(model, averaged=averaged, decay=0.9999)
    start = _values(averaged)
    for path, variable in variables_by_path(model).items():
        np.testing.assert_array_equal(start[path], variable.numpy(), path)
        variable.assign_add(tf.ones_like(variable))
    update = tf.function(lambda: average.update(tf.constant(10**6, tf.int64)), jit_compile=True)
    update()
    for path, value in _values(averaged).items():
        assert value.dtype == np.float32
        # bfloat16 would lose the whole of it beside values around 1.
        np.testing.assert_allclose(value - start[path], 1e-4, atol=1.3e-7, err_msg=path)
