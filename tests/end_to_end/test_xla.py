"""Training step and evaluation compiled by XLA against the same ones uncompiled.

Every part of the model is there once: encoder stages, axial and bottleneck decoder blocks, one kMaX
layer, semantic head with its decoder, drop path and dropout, all losses, and more segments than
slots. tests/conftest.py lets XLA compile with little optimisation, else this takes minutes.
"""

from __future__ import annotations

import copy

import numpy as np
import orbit
import pytest
import tensorflow as tf

from evaluation.batch_prediction import BatchPredictor
from kmax_tf.build.config import load_config
from kmax_tf.build.data import dataset_info_of
from kmax_tf.build.inference import build_inference
from kmax_tf.build.losses import build_loss
from kmax_tf.build.model import build_model
from kmax_tf.structures import MaskPrediction, ModelOutput
from tests import tiny
from trainer.bench.synthetic_records import make_batch
from trainer.interrupts import Interrupts
from trainer.numeric_fault import NumericFaultError
from trainer.solver import build_optimizer
from trainer.train_loop import TrainLoop
from trainer.train_step import TrainStep
from trainer.watchdog import Watchdog

BATCH = 2
RATE = 0.002


@pytest.fixture(scope="module")
def config():
    return load_config(
        tiny.CONFIG,
        [
            "model_options.kmax_transformer_decoder.num_layers=1,0,0",
            f"train_dataset_options.batch_size={BATCH}",
            *tiny.WITHOUT_THRESHOLDS,
        ],
    )


class Trained:
    """A model, and what `steps` batches (one of them poisoned, on demand) made of it."""

    def __init__(self, config, batch, jit_compile):
        tf.keras.utils.set_random_seed(3)
        self.model = build_model(config)
        self.optimizer = build_optimizer(
            self.model, config.trainer_options.solver_options, batch_size=BATCH
        )
        self.global_step = orbit.utils.create_global_step()
        dataset = tf.data.Dataset.from_tensors(batch).concatenate(
            tf.data.Dataset.from_tensors(_poisoned(batch))
        )
        step = TrainStep(
            model=self.model,
            loss=build_loss(config),
            optimizer=self.optimizer,
            global_batch_size=BATCH,
            seed=5,
            clip_norm=1.0,
        )
        self.loop = TrainLoop(
            step,
            strategy=tf.distribute.get_strategy(),
            make_iterator=lambda start_step: iter(dataset),
            global_step=self.global_step,
            global_batch_size=BATCH,
            interrupts=Interrupts(),
            watchdog=Watchdog(600),
            learning_rate=self.optimizer.schedule,
            leave_out=lambda step: False,
            jit_compile=jit_compile,
        )
        self.metrics = self.loop.train(tf.constant(1))
        self.values = self.read()

    def read(self):
        """(name, copy) of weights, statistics, first and second moments, each in one order."""
        groups = [self.model.trainable_variables, self.model.non_trainable_variables]
        groups += [
            self.optimizer.slots[name].values() for name in ("first_moment", "second_moment")
        ]
        return [[(v.name, v.numpy()) for v in group] for group in groups]


def _poisoned(batch):
    """The batch with one image that is not a number."""
    features, targets = copy.copy(batch)
    images = features["image"].numpy()
    images[1, 3, 4, 0] = np.nan
    return {**features, "image": tf.constant(images)}, targets


@pytest.fixture(scope="module")
def batch(config):
    made = make_batch(config.train_dataset_options, batch_size=BATCH)
    return made.features, made.targets


@pytest.fixture(scope="module")
def plain(config, batch):
    return Trained(config, batch, None)


@pytest.fixture(scope="module")
def compiled(config, batch):
    return Trained(config, batch, True)


def test_losses_and_their_gradients_are_equal(config, batch):
    """With more segments than slots, so that every loop of the matching runs."""
    random = np.random.default_rng(0)
    classes = len(dataset_info_of(config.train_dataset_options).channel_ids)

    def prediction():
        shapes = ((BATCH, 8, classes + 1), (BATCH, 17, 17, 8), (BATCH, 17, 17, 8))
        parts = [tf.constant(random.standard_normal(shape), tf.float32) for shape in shapes]
        return MaskPrediction(*parts[:2], tf.math.l2_normalize(parts[2], -1))

    semantic = tf.constant(random.standard_normal((BATCH, 65, 65, classes + 1)), tf.float32)
    output = ModelOutput(prediction(), (prediction(),), semantic)
    loss = build_loss(config)

    def run(output):
        with tf.GradientTape() as tape:
            tape.watch(output)
            terms, counts = loss.with_diagnostics(batch[1], output, seed=tf.constant([1, 2]))
            total = tf.reduce_sum(terms["total"])
        return terms, counts, tf.nest.flatten(tape.gradient(total, output))

    terms, counts, gradients = tf.function(run, autograph=False)(output)
    compiled = tf.function(run, autograph=False, jit_compile=True)(output)
    assert counts["unmatched_segments"].numpy().min() > 0
    tf.nest.map_structure(np.testing.assert_array_equal, compiled[1], counts)
    for name, value in terms.items():
        np.testing.assert_allclose(compiled[0][name], value, rtol=1e-5, err_msg=name)
    for value, wanted in zip(compiled[2], gradients):
        np.testing.assert_allclose(value, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_values_of_a_step_are_equal(plain, compiled):
    expected, values = dict(plain.metrics), dict(compiled.metrics)
    for metrics in (expected, values):
        metrics.pop("images_per_second")
    assert list(values) == list(expected)
    assert values["unmatched_segments"] > 0
    assert {name.partition("/")[2] for name in values} >= {"semantic_loss", "total"}
    for name, value in values.items():
        assert value == pytest.approx(expected[name], rel=1e-5), name


@pytest.mark.slow
def test_updates_of_a_step_are_equal(plain, compiled):
    weights, statistics, first, second = plain.values
    new_weights, new_statistics, new_first, new_second = compiled.values
    for (name, wanted), (_, value) in zip(statistics, new_statistics):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    # After one step the moments are 0.1 times the gradient (clipped to norm 1) and 0.001 times its
    # square: their tolerance is 1e-5 of the norm.
    for (name, wanted), (_, value) in zip(first, new_first):
        np.testing.assert_allclose(value, wanted, rtol=1e-3, atol=1e-6, err_msg=name)
    for (name, wanted), (_, value) in zip(second, new_second):
        np.testing.assert_allclose(value, wanted, rtol=2e-3, atol=1e-8, err_msg=name)
    # Adam divides the gradient by its own size: where it is nothing but rounding (biases before a
    # batch norm), so is the direction of the update, and only its size is bounded.
    moments, values, expected = (
        np.concatenate([value.ravel() for _, value in chosen])
        for chosen in (first, new_weights, weights)
    )
    clear = np.abs(moments) > 1e-4
    assert clear.mean() > 0.1
    np.testing.assert_allclose(values[clear], expected[clear], rtol=1e-5, atol=RATE * 0.02)
    assert np.abs(values - expected).max() < 2.1 * RATE


@pytest.mark.slow
def test_a_fault_stops_a_compiled_run_before_the_update(compiled):
    with pytest.raises(NumericFaultError, match=r"Step 1: not finite: loss/semantic_loss") as error:
        compiled.loop.train(tf.constant(1))
    assert error.value.image_ids == (0, 1)  # The batch norms have spread it.
    assert int(compiled.global_step.numpy()) == 1
    weights, _, *slots = compiled.read()
    expected, _, *expected_slots = compiled.values
    for found, known in zip([weights, *slots], [expected, *expected_slots]):
        for (name, value), (_, wanted) in zip(found, known):
            np.testing.assert_array_equal(value, wanted, err_msg=name)


def test_evaluation_is_equal(config, batch):
    tf.keras.utils.set_random_seed(3)
    network = build_inference(config).network
    images = batch[0]["image"]
    expected, prediction = (
        BatchPredictor(
            network,
            batch_size=BATCH,
            strategy=tf.distribute.get_strategy(),
            jit_compile=jit_compile,
        )(images)
        for jit_compile in (None, True)
    )
    assert len(np.unique(prediction.panoptic)) > 2
    for name, value, wanted in zip(expected._fields, prediction, expected):
        if value.dtype == np.int32:
            # Where two slots are equal up to rounding, a pixel may go to either.
            assert (value != wanted).mean() < 1e-3, name
        else:
            np.testing.assert_allclose(value, wanted, atol=1e-4, err_msg=name)
