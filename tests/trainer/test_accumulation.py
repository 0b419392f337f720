from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer import toy
from trainer import assembly
from trainer.accumulation import BatchGradients, accumulate, require_parts
from trainer.train_step import TrainStep


class Model(toy.ToyModel):
    """Its norm does not depend on the batch; counts its images and passes."""

    def __init__(self):
        super().__init__()
        self.norm.trainable = False
        self.passes = self.add_weight(name="passes", shape=[], initializer="zeros", trainable=False)
        self.batches = []

    def call(self, images, training=False):
        if training:
            self.batches.append(images.shape[0])
            self.passes.assign_add(1.0)
        return super().call(images, training=training)


def make(parts, *, clip_norm=None, global_batch_size=8):
    tf.keras.utils.set_random_seed(1)
    model = Model()
    optimizer = toy.toy_optimizer(model)
    step = TrainStep(
        model=model,
        loss=toy.ToyLoss(),
        optimizer=optimizer,
        global_batch_size=global_batch_size,
        seed=5,
        clip_norm=clip_norm,
        accumulation_steps=parts,
    )
    return model, optimizer, step


def run(parts, *, poisoned_image=-1, clip_norm=None, **options):
    model, optimizer, step = make(parts, clip_norm=clip_norm)
    features, targets = next(iter(toy.toy_dataset(8, poisoned_image=poisoned_image)))
    result = tf.function(step, **options)(features, targets, tf.constant(3, tf.int64))
    slots = [slot.numpy() for slot in optimizer.slots["first_moment"].values()]
    return model, step, result, [v.numpy() for v in model.trainable_variables] + slots


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("options", [{"autograph": False}, {"jit_compile": True}])
@pytest.mark.parametrize("parts", [2, 8])
def test_the_update_is_that_of_the_whole_batch(parts, options, clip_norm):
    _, whole, expected, variables = run(1, clip_norm=clip_norm)
    model, step, result, again = run(parts, clip_norm=clip_norm, **options)
    assert step.names == whole.names
    np.testing.assert_allclose(result.values, expected.values, rtol=1e-5)
    for left, right in zip(variables, again):
        np.testing.assert_allclose(right, left, rtol=1e-5, atol=1e-7)
    assert bool(result.updated)
    assert model.passes.numpy() == parts  # What moves with a batch moves with a part.
    assert set(model.batches) == {8 // parts}
    assert len(model.batches) == 1  # The graph does not grow with the parts.


def test_a_fault_in_one_part_stops_the_update_and_names_the_image():
    model, _, _ = make(1)
    before = [variable.numpy() for variable in model.trainable_variables]
    _, _, result, variables = run(4, poisoned_image=5)
    assert not bool(result.sound)
    assert np.isfinite(result.image_losses).tolist() == [True] * 5 + [False] + [True] * 2
    assert result.image_ids.numpy().tolist() == list(range(8))
    for left, right in zip(before, variables):
        np.testing.assert_array_equal(left, right)


def test_parts_draw_differently_and_the_same_in_every_run():
    seeds = []

    def compute(features, targets, seed):
        del targets
        losses = tf.ones(features["image"].shape[:1])
        return BatchGradients([tf.cast(seed, tf.float32), None], features["image"][0], losses)

    for parts in (1, 2, 2):
        batch = accumulate(
            compute,
            {"image": tf.zeros([2, 1])},
            {"image_id": tf.range(2)},
            tf.constant([3, 4]),
            parts=parts,
        )
        assert batch.gradients[1] is None
        seeds.append(batch.gradients[0].numpy())
    assert seeds[0].tolist() == [3.0, 4.0]
    np.testing.assert_array_equal(seeds[1], seeds[2])
    folded = [tf.random.fold_in([3, 4], part, alg="philox").numpy() for part in range(2)]
    assert (folded[0] != folded[1]).any()
    np.testing.assert_allclose(seeds[1], np.sum(np.float32(folded), 0), rtol=1e-6)


def test_several_replicas_agree_with_one(mirrored_strategy):
    _, _, expected, variables = run(1)
    with mirrored_strategy.scope():
        model, _, step = make(2)
        data = mirrored_strategy.experimental_distribute_dataset(toy.toy_dataset(8))
    features, targets = next(iter(data))
    function = tf.function(
        lambda *arguments: mirrored_strategy.run(step, args=arguments), autograph=False
    )
    result = function(features, targets, tf.constant(3, tf.int64))
    values = mirrored_strategy.experimental_local_results(result.values)
    np.testing.assert_allclose(values[0], expected.values, rtol=1e-5)
    np.testing.assert_array_equal(values[0], values[1])
    for left, right in zip(variables, model.trainable_variables):
        np.testing.assert_allclose(right.numpy(), left, rtol=1e-5, atol=1e-7)
    assert set(model.batches) == {2}


def test_parts_must_divide_the_batch():
    require_parts(8, 2, 2)
    for batch, parts, replicas in ((8, 3, 1), (8, 4, 4), (8, 0, 1)):
        with pytest.raises(
            ValueError, match=rf"batch_size.*accumulation_steps.*{batch}, {parts} and {replicas}"
        ):
            require_parts(batch, parts, replicas)


def test_field_reaches_the_step_and_must_fit_the_batch(request, monkeypatch, capsys):
    start, sizes = request.getfixturevalue("run"), []

    class Recorded(toy.ToyModel):
        def call(self, images, training=False):
            sizes.append(images.shape[0])
            return super().call(images, training=training)

    monkeypatch.setattr(assembly, "build_model", lambda config: Recorded())
    assert start("--set=trainer_options.accumulation_steps=2", "--mode=train", steps=1) == 0
    assert sizes[-1] == 1  # Of a batch of two.
    assert start("--set=trainer_options.accumulation_steps=3", folder="odd") == 2
    assert "`trainer_options.accumulation_steps`" in capsys.readouterr().err
