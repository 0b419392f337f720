from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import toy
from trainer.train_step import TrainStep


def _step(clip_norm=None):
    tf.keras.utils.set_random_seed(1)
    model = toy.ToyModel()
    optimizer = toy.toy_optimizer(model)
    step = TrainStep(
        model=model,
        loss=toy.ToyLoss(),
        optimizer=optimizer,
        global_batch_size=4,
        seed=-5,
        clip_norm=clip_norm,
    )
    return model, optimizer, step


def _run(step, number=0, poisoned_image=-1):
    features, targets = next(iter(toy.toy_dataset(4, poisoned_image=poisoned_image)))
    return step(features, targets, tf.constant(number, tf.int64)), features, targets


def test_values_are_means_over_the_global_batch():
    model, _, step = _step()
    before = [tf.identity(v) for v in model.trainable_variables]
    result, features, targets = _run(step)
    after = [v.numpy() for v in model.trainable_variables]
    values = dict(zip(step.names, result.values.numpy()))
    assert list(values) == [
        "loss/square",
        "loss/root",
        "loss/total",
        "unmatched_segments",
        "gradient_norm",
    ]
    for variable, value in zip(model.trainable_variables, before):
        variable.assign(value)
    with tf.GradientTape() as tape:
        output = model(features["image"], training=True)
        label = tf.cast(targets["semantic"], tf.float32)
        loss = tf.reduce_mean(tf.reduce_sum(tf.square(output - label), -1) + 1.0)
    gradients = tape.gradient(loss, model.trainable_variables)
    norm = np.sqrt(sum(float(tf.reduce_sum(g * g)) for g in gradients))
    assert values["loss/total"] == pytest.approx(float(loss), rel=1e-5)
    assert values["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert values["unmatched_segments"] == 1.0
    assert bool(result.finite)
    assert any((a != b.numpy()).any() for a, b in zip(after, before))


def test_nothing_changes_where_something_is_not_finite():
    model, optimizer, step = _step()
    before = [v.numpy() for v in model.trainable_variables]
    result, _, _ = _run(step, poisoned_image=2)
    assert not bool(result.finite)
    assert result.image_ids.numpy().tolist() == [0, 1, 2, 3]
    assert result.image_finite.numpy().tolist() == [True, True, False, True]
    for value, variable in zip(before, model.trainable_variables):
        np.testing.assert_array_equal(variable.numpy(), value)
    for slot in optimizer.slots["first_moment"].values():
        assert not slot.numpy().any()


def test_a_gradient_that_is_not_finite_is_a_fault_too():
    _, _, step = _step(clip_norm=1.0)

    class Kink(toy.ToyLoss):
        """Finite everywhere, but its slope at zero is not."""

        def with_diagnostics(self, targets, output, *, seed):
            kink = tf.sqrt(tf.reduce_sum(output * 0.0, -1))
            return {"kink": kink, "total": kink}, {}

    step._loss = Kink()
    result, _, _ = _run(step)
    values = dict(zip(step.names, result.values.numpy()))
    assert values["loss/total"] == 0.0
    assert not np.isfinite(values["gradient_norm"])
    assert not bool(result.finite)
    assert result.image_finite.numpy().all()
