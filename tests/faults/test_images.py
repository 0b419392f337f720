"""Images that are unusual but no fault, through records, pipeline and one step of a real model."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.data import build_dataset
from kmax_tf.data.schema import encode_record
from tests import tiny
from trainer import assembly
from trainer.solver import build_optimizer

SIZE = 65
SLOTS = 8


def _label(kind):
    """Void everywhere, or more things than there are slots."""
    label = np.zeros((SIZE, SIZE), np.int32)
    if kind == "crowded":
        for number in range(12):
            row, column = divmod(number, 4)
            label[20 * row : 20 * row + 18, 16 * column : 16 * column + 14] = 256 + number + 1
    return label


@pytest.mark.parametrize(("kind", "unmatched"), [("void", 0), ("crowded", 12 - SLOTS)])
def test_images_that_are_unusual_are_trained_on(tmp_path, kind, unmatched):
    image = np.random.RandomState(0).randint(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    with tf.io.TFRecordWriter(str(tmp_path / "records")) as writer:
        for number in range(2):
            writer.write(
                encode_record(
                    tf.io.encode_png(image).numpy(),
                    file_name=f"{kind}{number}",
                    image_format="png",
                    height=SIZE,
                    width=SIZE,
                    panoptic=_label(kind),
                )
            )
    augmentations = "train_dataset_options.augmentations"
    config = load_config(
        tiny.CONFIG,
        [
            f"train_dataset_options.file_pattern={tmp_path / 'records'}",
            f"{augmentations}.min_scale_factor=1",
            f"{augmentations}.max_scale_factor=1",
            f"eval_dataset_options.file_pattern={tmp_path / 'records'}",
        ],
    )
    assert config.model_options.kmax_transformer_decoder.num_mask_slots == SLOTS
    model = assembly.build_model(config)
    step = assembly.build_train_step(
        config,
        model=model,
        optimizer=build_optimizer(model, config.trainer_options.solver_options, batch_size=2),
        global_batch_size=2,
        loss_scale=None,
    )
    before = model.trainable_variables[0].numpy()
    batch = next(iter(build_dataset(config.train_dataset_options, training=True)))
    result = step(*batch, tf.constant(0, tf.int64))
    values = dict(zip(step.names, result.values.numpy()))
    assert bool(result.sound) and bool(result.updated)
    assert np.isfinite(result.values).all() and np.isfinite(result.gradient_norms).all()
    assert values["gradient_norm"] > 0 and (model.trainable_variables[0].numpy() != before).any()
    assert values["unmatched_segments"] == unmatched
