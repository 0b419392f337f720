from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import toy
from trainer.loss_scale import LossScale
from trainer.train_step import TrainStep


def _step(clip_norm=None, loss_scale=None):
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
        loss_scale=loss_scale,
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
    assert bool(result.sound)
    assert any((a != b.numpy()).any() for a, b in zip(after, before))


def test_nothing_changes_where_something_is_not_finite():
    model, optimizer, step = _step()
    before = [v.numpy() for v in model.trainable_variables]
    result, _, _ = _run(step, poisoned_image=2)
    assert not bool(result.sound)
    assert result.image_ids.numpy().tolist() == [0, 1, 2, 3]
    assert np.isfinite(result.image_losses).tolist() == [True, True, False, True]
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
    assert not bool(result.sound)
    assert np.isfinite(result.image_losses).all()


def test_a_scaled_step_is_the_step_itself():
    plain_model, plain_optimizer, plain = _step(clip_norm=0.5)
    model, optimizer, scaled = _step(clip_norm=0.5, loss_scale=LossScale())
    expected, result = _run(plain)[0], _run(scaled)[0]
    assert scaled.names == (*plain.names, "loss_scale", "skipped_updates")
    # Powers of two are taken out without rounding.
    np.testing.assert_array_equal(result.values[:-2], expected.values)
    assert result.values[-2:].numpy().tolist() == [32768.0, 0.0]
    assert bool(result.updated) and bool(expected.updated)
    for value, wanted in zip(model.variables, plain_model.variables):
        np.testing.assert_array_equal(value, wanted)
    for name, slot in optimizer.slots["second_moment"].items():
        np.testing.assert_array_equal(slot, plain_optimizer.slots["second_moment"][name])


def test_an_overflow_of_the_scaled_gradient_skips_the_update_and_is_counted():
    loss_scale = LossScale()
    model, _, step = _step(loss_scale=loss_scale)
    before = [v.numpy() for v in model.trainable_variables]
    step._loss = toy.OverflowingLoss(exponent=4)
    results = [_run(step, number)[0] for number in range(12)]
    scales = [float(r.values[-2]) for r in results]
    skipped = [bool(r.values[-1]) for r in results]
    count = skipped.index(False)
    assert 1 <= count < 12 and not any(skipped[count:])
    assert scales == [2.0 ** (15 - min(i, count)) for i in range(12)]
    for result, skip in zip(results, skipped):
        values = dict(zip(step.names, result.values.numpy()))
        assert bool(result.sound)
        assert bool(result.updated) is not skip
        assert (values["gradient_norm"] == 0) == skip
        assert values["loss/total"] > 0
    assert any((v.numpy() != b).any() for v, b in zip(model.trainable_variables, before))


def test_a_skipped_update_changes_nothing_that_is_trained():
    model, optimizer, step = _step(loss_scale=LossScale())
    step._loss = toy.OverflowingLoss(exponent=15)
    before = [v.numpy() for v in model.trainable_variables]
    result, _, _ = _run(step)
    assert bool(result.sound) and not bool(result.updated)
    for value, variable in zip(before, model.trainable_variables):
        np.testing.assert_array_equal(variable.numpy(), value)
    for slots in optimizer.slots.values():
        assert not any(slot.numpy().any() for slot in slots.values())


def test_a_loss_that_is_not_finite_is_a_fault_at_any_scale():
    loss_scale = LossScale()
    _, _, step = _step(loss_scale=loss_scale)
    result, _, _ = _run(step, poisoned_image=2)
    assert not bool(result.sound) and not bool(result.updated)
    assert loss_scale.slots["scale"].numpy() == 32768.0
    assert "FLOAT16" in step.explain_fault()
    assert _step()[2].explain_fault() == ""


def test_an_overflow_that_no_scale_cures_is_a_fault():
    loss_scale = LossScale()
    _, _, step = _step(loss_scale=loss_scale)
    step._loss = toy.OverflowingLoss(exponent=40)
    results = [_run(step, number)[0] for number in range(16)]
    assert [bool(r.sound) for r in results] == [True] * 15 + [False]
    assert not np.isfinite(results[-1].values.numpy()[step.names.index("gradient_norm")])


def test_equal_constants_stand_in_the_graph_of_a_step_once():
    _, _, step = _step(clip_norm=1.0)
    features, targets = next(iter(toy.toy_dataset(4)))

    traced = tf.function(step, autograph=False).get_concrete_function(
        features, targets, tf.constant(0, tf.int64)
    )
    constants = [o for o in traced.graph.get_operations() if o.type == "Const"]
    values = [o.get_attr("value").SerializeToString() for o in constants if not o.control_inputs]
    assert len(values) > 5
    assert len(set(values)) == len(values)
