"""Multiply-adds against hand counts and TensorFlow's profiler; parameters by use."""

from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from trainer.model_size import count_multiply_adds, measure_size


def _operations(function, *shapes):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return tf.function(function).get_concrete_function(*specs).graph.get_operations()


def _conv(**options):
    options = {"strides": 1, "padding": "SAME", **options}
    return lambda images, kernel: tf.nn.conv2d(images, kernel, **options)


def _einsum(equation):
    return lambda *factors: tf.einsum(equation, *factors)


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (_conv(), ([2, 5, 7, 3], [3, 3, 3, 4]), 2 * 5 * 7 * 4 * 3 * 3 * 3),
        (_conv(strides=2), ([1, 5, 7, 3], [3, 1, 3, 4]), 3 * 4 * 4 * 3 * 3),
        (_conv(padding="VALID"), ([1, 5, 7, 3], [3, 3, 3, 4]), 3 * 5 * 4 * 27),
        (_conv(dilations=2), ([1, 5, 7, 3], [3, 3, 3, 4]), 5 * 7 * 4 * 27),
        (_conv(), ([1, 5, 7, 6], [3, 3, 2, 9]), 5 * 7 * 9 * 9 * 2),  # three groups
        (
            lambda x, kernel: tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME"),
            ([1, 5, 7, 3], [3, 3, 3, 2]),
            5 * 7 * 3 * 2 * 9,
        ),
        (tf.matmul, ([4, 5], [5, 6]), 4 * 5 * 6),
        (lambda a, b: tf.matmul(a, b, transpose_a=True), ([5, 4], [5, 6]), 4 * 5 * 6),
        (lambda a, b: tf.matmul(a, b, transpose_b=True), ([4, 5], [6, 5]), 4 * 5 * 6),
        (tf.matmul, ([2, 3, 4, 5], [2, 3, 5, 6]), 6 * 4 * 5 * 6),
        (tf.matmul, ([2, 1, 4, 5], [3, 5, 6]), 6 * 4 * 5 * 6),
        (lambda a, b: tf.matmul(a, b, transpose_a=True), ([2, 5, 4], [2, 5, 6]), 2 * 4 * 5 * 6),
        (_einsum("bqnd,bknd->bnqk"), ([2, 3, 4, 5], [2, 6, 4, 5]), 2 * 3 * 4 * 5 * 6),
        (_einsum("bqond,qkd->bonqk"), ([2, 3, 7, 4, 5], [3, 6, 5]), 2 * 3 * 7 * 4 * 5 * 6),
        (_einsum("...ij,jk->...ik"), ([2, 3, 4, 5], [5, 6]), 2 * 3 * 4 * 5 * 6),
        (_einsum("...ij,...jk->...ik"), ([3, 4, 5], [2, 1, 5, 6]), 2 * 3 * 4 * 5 * 6),
        (_einsum("ijk,j->i"), ([3, 4, 5], [4]), 3 * 4),  # k is summed before the product
        (_einsum("ijk->ki"), ([3, 4, 5],), 0),
        (lambda x: tf.nn.softmax(2.0 * x + 1.0), ([3, 4],), 0),
    ],
)
def test_counts_what_a_hand_counts(function, shapes, expected):
    assert count_multiply_adds(_operations(function, *shapes)) == expected


def _network(images, kernel, depthwise, matrix):
    features = tf.nn.conv2d(images, kernel, strides=2, padding="SAME")
    features = tf.nn.depthwise_conv2d(features, depthwise, [1, 1, 1, 1], "SAME")
    rows = tf.reshape(features, [2, -1, 8])
    weights = tf.matmul(tf.reshape(rows, [-1, 8]), matrix)
    # Not transposed: the profiler takes the wrong axis of a batch of transposed matrices.
    return tf.matmul(rows, tf.reshape(weights, [2, 8, -1]))


def test_agrees_with_the_profiler_of_tensorflow():
    operations = _operations(_network, [2, 9, 12, 3], [3, 3, 3, 8], [5, 5, 8, 1], [8, 4])
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    profile = tf.compat.v1.profiler.profile(operations[0].graph, options=options)
    assert profile.total_float_ops == 2 * count_multiply_adds(operations)


@pytest.mark.parametrize(
    ("function", "shapes", "named"),
    [
        (
            lambda x, kernel: tf.nn.conv3d(x, kernel, [1] * 5, "SAME"),
            ([1, 3, 3, 3, 2], [1, 1, 1, 2, 2]),
            "Conv3D",
        ),
        (tf.function(tf.matmul), ([3, 4], [4, 5]), "PartitionedCall"),
        (
            lambda a, b: tf.while_loop(lambda i, _: i < 9, lambda i, p: (i + 1, p @ b), [0, a]),
            ([3, 3], [3, 3]),
            "While",
        ),
        (tf.matmul, ([None, 4], [4, 5]), "fully defined"),
    ],
)
def test_refuses_what_no_rule_counts(function, shapes, named):
    with pytest.raises(ValueError, match=named):
        count_multiply_adds(_operations(function, *shapes))


class _Toy(tf.keras.Model):
    """A convolution, a product in a function of its own, and a head that only training reads."""

    def __init__(self):
        super().__init__()
        self.pixel_encoder = tf.keras.layers.Conv2D(4, 3, strides=2, padding="same")
        self.norm = tf.keras.layers.BatchNormalization()
        self.classes = tf.keras.layers.Dense(5, use_bias=False)
        self.auxiliary = tf.keras.layers.Dense(7)
        self.product = tf.function(lambda rows: tf.matmul(rows, rows, transpose_a=True))

    def call(self, images, training=False):
        features = self.norm(self.pixel_encoder(images), training=training)
        unused = self.auxiliary(features)
        rows = tf.reshape(features, [features.shape[0], -1, 4])
        result = self.classes(features), self.product(rows)
        return (*result, unused) if training else result


@pytest.mark.parametrize("batch_size", [1, 3])
def test_measures_inference_alone(batch_size):
    model = _Toy()
    model(tf.zeros([1, 8, 8, 3]), training=True)
    size = measure_size(model, (8, 10), batch_size=batch_size)
    encoder, norm, classes, auxiliary = 3 * 3 * 3 * 4 + 4, 4 * 4, 4 * 5, 4 * 7 + 7
    assert size.parameters == encoder + norm + classes + auxiliary
    assert size.trainable_parameters == size.parameters - 2 * 4
    assert size.encoder_parameters == encoder
    assert size.inference_parameters == encoder + norm + classes
    assert size.multiply_adds == 4 * 5 * (4 * 27 + 4 * 5 + 4 * 4)
    assert not tf.config.functions_run_eagerly()


def test_without_what_only_training_of_kmax_needs(repository_root):
    path = str(repository_root / "configs/test/tiny.textproto")
    model = build_model(load_config(path))
    size = measure_size(model, (65, 65))
    left_out = [model.semantic_head]
    left_out += [block.predictor.class_projection for block in model.transformer_decoder.blocks]
    left_out = sum(v.shape.num_elements() for part in left_out for v in part.variables)
    assert size.inference_parameters == size.parameters - left_out
    bfloat16 = build_model(load_config(path, ["trainer_options.precision=BFLOAT16"]))
    assert measure_size(bfloat16, (65, 65)) == size


@pytest.mark.slow
def test_published_numbers_of_kmax_with_resnet50(repository_root):
    model = build_model(load_config(str(repository_root / "configs/coco/kmax_r50.textproto")))
    size = measure_size(model, (800, 1200))
    assert size.parameters == 72_650_796
    assert size.trainable_parameters == 72_436_862
    # Table 1 of the paper (https://arxiv.org/abs/2207.04044): 57 M parameters, 168 G.
    assert round(size.inference_parameters / 1e6) == 57
    assert round(size.multiply_adds / 1e9) == 168
