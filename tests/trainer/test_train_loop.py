from __future__ import annotations

import os
import signal
import threading

import numpy as np
import orbit
import pytest
import tensorflow as tf

from tests.trainer import toy
from trainer import distribution
from trainer.interrupts import Interrupts
from trainer.loss_scale import LossScale
from trainer.numeric_fault import NumericFaultError
from trainer.train_loop import TrainLoop
from trainer.train_step import TrainStep
from trainer.watchdog import Watchdog

BATCH = 4


def _loop(
    strategy=None,
    *,
    poisoned_image=-1,
    interrupts=None,
    clip_norm=None,
    jit_compile=None,
    loss_scale=None,
    leave_out=lambda step: False,
    max_total_loss=0.0,
    watchdog=None,
    broken_images=(),
):
    strategy = strategy or tf.distribute.get_strategy()
    tf.keras.utils.set_random_seed(3)
    with strategy.scope():
        model = toy.ToyModel()
        optimizer = toy.toy_optimizer(model)
        global_step = orbit.utils.create_global_step()
    step = TrainStep(
        model=model,
        loss=toy.ToyLoss(),
        optimizer=optimizer,
        global_batch_size=BATCH,
        seed=1,
        clip_norm=clip_norm,
        loss_scale=loss_scale,
        max_total_loss=max_total_loss,
    )

    def make_iterator(start_step):
        dataset = toy.toy_dataset(BATCH, start_step=start_step, poisoned_image=poisoned_image)
        for image in list(broken_images):  # as many as are left by then
            dataset = dataset.map(lambda *batch, image=image: _break_at(image, *batch))
        return iter(distribution.distribute(lambda share: dataset, strategy))

    loop = TrainLoop(
        step,
        strategy=strategy,
        make_iterator=make_iterator,
        global_step=global_step,
        global_batch_size=BATCH,
        interrupts=interrupts or Interrupts(),
        watchdog=watchdog or Watchdog(600),
        learning_rate=optimizer.schedule,
        leave_out=leave_out,
        jit_compile=jit_compile,
    )
    return loop, model, global_step


def _break_at(image, features, targets):
    whole = tf.reduce_all(targets["image_id"] != image)
    with tf.control_dependencies([tf.debugging.Assert(whole, ["no image"])]):
        return {"image": tf.identity(features["image"])}, targets


def _train(loop, steps):
    return loop.train(tf.constant(steps, tf.int32))


def test_means_over_the_loop_are_those_of_single_steps():
    many, _, _ = _loop()
    single, _, step = _loop()
    result = _train(many, 3)
    singles = [_train(single, 1) for _ in range(3)]
    assert int(step.numpy()) == 3
    for name in ("loss/square", "loss/root", "loss/total", "gradient_norm", "unmatched_segments"):
        expected = np.mean([s[name] for s in singles])
        np.testing.assert_allclose(result[name], expected, rtol=1e-5)
    assert result["learning_rate"] == pytest.approx(0.05)
    assert result["images_per_second"] > 0
    assert singles[2]["loss/total"] < singles[0]["loss/total"]


@pytest.mark.parametrize("mirrored", [False, True])
def test_bad_records_cost_no_step_and_no_sum(mirrored, request):
    """The input fails twice within a loop; what it gives afterwards is what it should have."""
    strategy = request.getfixturevalue("mirrored_strategy") if mirrored else None
    broken, asked = [2 * BATCH + 1, 2 * BATCH + 3, 4 * BATCH], []

    def leave_out(step):
        asked.append(step)
        removed = [image for image in broken if image // BATCH == step][:1]
        broken[:] = [image for image in broken if image not in removed]
        return bool(removed)

    whole, expected, _ = _loop(strategy)
    loop, model, step = _loop(strategy, leave_out=leave_out, broken_images=broken)
    wanted, result = _train(whole, 6), _train(loop, 6)
    assert asked == [2, 2, 4]
    assert int(step.numpy()) == 6
    del wanted["images_per_second"], result["images_per_second"]
    assert result == pytest.approx(wanted, rel=1e-5 if mirrored else 0)
    if not mirrored:  # where threads meet, biases before the norm are rounding, made large by Adam
        for value, right in zip(model.variables, expected.variables):
            np.testing.assert_array_equal(value.numpy(), right.numpy())
    assert loop._loop._function.experimental_get_tracing_count() == 1


def test_an_error_that_no_record_explains_is_raised():
    loop, _, step = _loop(broken_images=[BATCH])
    with pytest.raises(tf.errors.InvalidArgumentError, match="no image"):
        _train(loop, 3)
    assert int(step.numpy()) == 1


def test_two_replicas_train_as_one(mirrored_strategy):
    alone, model, _ = _loop()
    shared, mirrored_model, _ = _loop(mirrored_strategy)
    # Batch statistics differ between a batch and its halves.
    for m in (model, mirrored_model):
        m.norm.trainable = False
    first, second = _train(alone, 3), _train(shared, 3)
    for name in ("loss/total", "gradient_norm"):
        np.testing.assert_allclose(second[name], first[name], rtol=1e-5)
    for expected, value in zip(model.trainable_variables, mirrored_model.trainable_variables):
        np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)
        copies = mirrored_strategy.experimental_local_results(value)
        np.testing.assert_array_equal(copies[0].numpy(), copies[1].numpy())


def test_a_fault_stops_before_the_update():
    loop, model, step = _loop(poisoned_image=2 * BATCH + 1)
    reference, expected, _ = _loop()
    _train(reference, 2)
    with pytest.raises(
        NumericFaultError, match=r"Step 2: not finite: loss/root, loss/total"
    ) as error:
        _train(loop, 10)
    assert error.value.image_ids == (2 * BATCH + 1,)
    assert int(step.numpy()) == 2
    for value, wanted in zip(model.trainable_variables, expected.trainable_variables):
        np.testing.assert_array_equal(value.numpy(), wanted.numpy())


def _statistics(model, strategy=None):
    strategy = strategy or tf.distribute.get_strategy()
    return [
        copy.numpy()
        for variable in model.non_trainable_variables
        for copy in strategy.experimental_local_results(variable)
    ]


@pytest.mark.parametrize("jit_compile", [None, True])
def test_a_fault_leaves_the_moving_statistics_of_before(jit_compile):
    loop, model, _ = _loop(poisoned_image=2 * BATCH + 1, jit_compile=jit_compile)
    reference, expected, _ = _loop(jit_compile=jit_compile)
    _train(reference, 1)
    first = _statistics(expected)
    _train(reference, 1)
    with pytest.raises(NumericFaultError):
        _train(loop, 10)
    for value, wanted, before in zip(_statistics(model), _statistics(expected), first):
        np.testing.assert_array_equal(value, wanted)
        assert (wanted != before).any()  # A sound step does move them.


def test_every_replica_gets_its_own_statistics_back(mirrored_strategy):
    loop, model, _ = _loop(mirrored_strategy, poisoned_image=2 * BATCH + 1)
    reference, expected, _ = _loop(mirrored_strategy)
    _train(reference, 2)
    with pytest.raises(NumericFaultError):
        _train(loop, 10)
    values = _statistics(model, mirrored_strategy)
    for value, wanted in zip(values, _statistics(expected, mirrored_strategy)):
        np.testing.assert_array_equal(value, wanted)
    assert (values[0] != values[1]).any()


@pytest.mark.parametrize("jit_compile", [None, True])
def test_a_loss_above_its_limit_stops_before_the_update(jit_compile):
    free, _, _ = _loop()
    losses = [_train(free, 1)["loss/total"] for _ in range(2)]
    limit = sum(losses) / 2
    assert losses[0] < limit < losses[1]
    loop, model, step = _loop(max_total_loss=limit, jit_compile=jit_compile)
    reference, expected, _ = _loop(jit_compile=jit_compile)
    _train(reference, 1)
    with pytest.raises(NumericFaultError, match=r"Step 1: .*max_total_loss") as error:
        _train(loop, 4)
    report = error.value.report
    assert report.values["loss/total"] == pytest.approx(losses[1], rel=1e-5)
    assert np.mean(report.image_losses) == pytest.approx(losses[1], rel=1e-5)
    images = range(BATCH, 2 * BATCH)
    blamed = [i for i, loss in zip(images, report.image_losses) if loss > limit]
    assert list(error.value.image_ids) == blamed
    assert int(step.numpy()) == 1
    for value, wanted in zip(model.variables, expected.variables):
        np.testing.assert_array_equal(value, wanted)
    within, _, _ = _loop(max_total_loss=losses[1] * 1.01, jit_compile=jit_compile)
    _train(within, 2)


def test_a_fault_in_a_gradient_alone_names_its_variables():
    class Kink(toy.ToyLoss):
        """Its root is finite at 0, the root's gradient is not; the encoder is left out of it."""

        def with_diagnostics(self, targets, output, *, seed):
            terms, more = super().with_diagnostics(targets, output, seed=seed)
            kink = tf.sqrt(tf.reduce_sum(model.norm.gamma) * 0.0)
            return {**terms, "total": terms["total"] + kink}, more

    loop, model, step = _loop()
    loop._step._loss = Kink()
    with pytest.raises(NumericFaultError) as error:
        _train(loop, 1)
    message = str(error.value)
    assert "Step 0: not finite: gradient_norm (1 of 6 gradients: norm/gamma)" in message
    assert "each loss by itself is finite" in message
    assert error.value.report.faulty_gradients() == ["norm/gamma"]
    assert error.value.image_ids == (0, 1, 2, 3)
    assert int(step.numpy()) == 0


def test_nan_in_an_image_is_a_fault():
    loop, model, step = _loop()

    def poison(features, targets):
        wrong = (targets["image_id"] == BATCH + 2)[:, None, None, None]
        return {"image": tf.where(wrong, np.nan, features["image"])}, targets

    loop._make_iterator = lambda start: iter(toy.toy_dataset(BATCH).map(poison))
    model.norm.trainable = False  # Else it spreads the NaN over the batch.
    with pytest.raises(NumericFaultError, match="Step 1: not finite: loss/square") as error:
        _train(loop, 5)
    assert error.value.image_ids == (BATCH + 2,)
    assert int(step.numpy()) == 1


def test_a_fault_on_one_replica_stops_all(mirrored_strategy):
    loop, _, step = _loop(mirrored_strategy, poisoned_image=BATCH + 3)
    with pytest.raises(NumericFaultError) as error:
        _train(loop, 5)
    assert error.value.image_ids == (BATCH + 3,)
    assert int(step.numpy()) == 1


def test_compiled_steps_in_the_loop_are_those_uncompiled():
    plain, model, _ = _loop(clip_norm=0.5)
    compiled, compiled_model, step = _loop(clip_norm=0.5, jit_compile=True)
    expected, result = _train(plain, 3), _train(compiled, 3)
    assert int(step.numpy()) == 3
    for name in set(expected) - {"images_per_second"}:
        assert result[name] == pytest.approx(expected[name], rel=1e-5), name
    for value, wanted in zip(compiled_model.variables, model.variables):
        # Biases before the norm have no gradient but rounding, which Adam turns into whole steps.
        if "bias" not in value.name and "moving_mean" not in value.name:
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


def test_a_fault_stops_before_the_update_when_compiled():
    loop, model, step = _loop(poisoned_image=2 * BATCH + 1, jit_compile=True)
    reference, expected, _ = _loop(jit_compile=True)
    _train(reference, 2)
    with pytest.raises(
        NumericFaultError, match=r"Step 2: not finite: loss/root, loss/total"
    ) as error:
        _train(loop, 10)
    assert error.value.image_ids == (2 * BATCH + 1,)
    assert int(step.numpy()) == 2
    for value, wanted in zip(model.trainable_variables, expected.trainable_variables):
        np.testing.assert_array_equal(value.numpy(), wanted.numpy())


@pytest.mark.parametrize("jit_compile", [None, True])
def test_skipped_updates_are_counted_and_left_out_of_the_norm(jit_compile):
    loop, _, step = _loop(loss_scale=LossScale(), jit_compile=jit_compile)
    loop._step._loss = toy.OverflowingLoss(exponent=4)
    single, _, _ = _loop(loss_scale=LossScale(), jit_compile=jit_compile)
    single._step._loss = toy.OverflowingLoss(exponent=4)
    result = _train(loop, 8)
    singles = [_train(single, 1) for _ in range(8)]
    skipped = [s["skipped_updates"] for s in singles]
    assert 0 < sum(skipped) < 8
    assert int(step.numpy()) == 8
    assert result["skipped_updates"] == pytest.approx(np.mean(skipped))
    assert result["loss_scale"] == pytest.approx(np.mean([s["loss_scale"] for s in singles]))
    assert ["gradient_norm" in s for s in singles] == [not s for s in skipped]
    norms = [s["gradient_norm"] for s in singles if "gradient_norm" in s]
    assert result["gradient_norm"] == pytest.approx(np.mean(norms), rel=1e-4)


def test_an_overflow_at_every_scale_ends_the_run():
    loop, _, step = _loop(loss_scale=LossScale())
    loop._step._loss = toy.OverflowingLoss(exponent=40)
    with pytest.raises(
        NumericFaultError, match=r"not finite: gradient_norm \(.*scale was 1 after 15"
    ):
        _train(loop, 100)
    assert int(step.numpy()) == 15


def test_replicas_skip_together(mirrored_strategy):
    with mirrored_strategy.scope():
        scale = LossScale()
    loop, model, _ = _loop(mirrored_strategy, loss_scale=scale)
    loop._step._loss = toy.OverflowingLoss(exponent=4)
    assert 0 < _train(loop, 8)["skipped_updates"] < 1
    for variable in [*model.trainable_variables, *scale.slots.values()]:
        copies = mirrored_strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(copies[0].numpy(), copies[1].numpy())


def test_clipping_limits_the_update_but_not_the_reported_norm():
    free, _, _ = _loop()
    clipped, _, _ = _loop(clip_norm=1e-3)
    assert _train(clipped, 1)["gradient_norm"] == pytest.approx(_train(free, 1)["gradient_norm"])


def test_an_interrupt_ends_the_loop_after_the_step():
    with Interrupts() as interrupts:
        loop, _, step = _loop(interrupts=interrupts)
        _train(loop, 1)  # traced
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            _train(loop, 10**9)
        assert 1 < int(step.numpy()) < 10**9


@pytest.mark.parametrize("jit_compile", [None, True])
def test_an_input_that_does_not_come_is_noticed_while_the_loop_runs(jit_compile, capfd):
    come, codes = threading.Event(), []

    def end(code):
        codes.append(code)
        come.set()

    def wait(number):
        if number == 2:
            come.wait()
        return number

    def wait_before_the_third(features, targets):
        step = targets["image_id"][0] // BATCH
        with tf.control_dependencies([tf.numpy_function(wait, [step], tf.int64)]):
            return tf.nest.map_structure(tf.identity, (features, targets))

    loop, _, step = _loop(watchdog=Watchdog(0.5, end=end), jit_compile=jit_compile)
    loop._make_iterator = lambda start: iter(toy.toy_dataset(BATCH).map(wait_before_the_third))
    _train(loop, 5)
    assert codes == [1]
    assert int(step.numpy()) == 5
    assert "seconds training has waited for the input" in capfd.readouterr().err
