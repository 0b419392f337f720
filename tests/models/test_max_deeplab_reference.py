"""MaX-DeepLab-S and -L against a second implementation, made of plain operations."""

from __future__ import annotations

import math
import re
from typing import Dict, NamedTuple, Sequence, Set, Tuple

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build import max_deeplab as build
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from tests.golden import max_deeplab
from tests.golden.fill_rule import SUFFIX

relu = tf.nn.relu
Arrays = Dict[str, tf.Tensor]

# Name, blocks, stride, kind of the blocks (first/others), whether memory is exchanged after each;
# then, where a fuse comes first: how the current feature gets its size, and what is added.
STAGES = {
    "max_deeplab_s": """
    stage2                3  4 bottleneck       no
    stage3                4  8 bottleneck       no
    stage4                6 16 bottleneck/axial no
    stage5                3 16 axial            yes
    stage5_extra          1 16 axial            yes
    decoder_stage1_extra  1  8 bottleneck       no  resized stage3
    decoder_stage2_extra  1  4 bottleneck       no  resized stage2""",
    "max_deeplab_l": """
    stage1                3  2 basic       no
    stage2                3  4 basic       no
    stage3                6  8 basic       no
    stage4                3 16 basic/axial yes
    stage5                3 16 axial       yes
    decoder_stage1        1  8 basic       no  resized stage3
    decoder_stage2        1  4 basic       no  resized stage2
    decoder_stage3        1  8 basic       no  strided stage3 decoder_stage1
    decoder_stage4        1 16 axial       yes strided stage5
    decoder_stage4_extra  3 16 axial       yes
    decoder_stage5_extra  3  8 basic       no  resized decoder_stage1 decoder_stage3
    decoder_stage6_extra  3  4 basic       no  resized stage2 decoder_stage2
    decoder_stage7_extra  3  8 basic       no  strided decoder_stage3 decoder_stage5_extra
    decoder_stage8_extra  3 16 axial       yes strided stage5 decoder_stage4_extra
    decoder_stage9_extra  3  8 basic       no  resized decoder_stage5_extra decoder_stage7_extra
    decoder_stage10_extra 3  4 basic       no  resized decoder_stage2 decoder_stage6_extra""",
}


def resize(x: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Bilinear with aligned corners, as products with two matrices."""

    def matrix(source: int, target: int) -> tf.Tensor:
        positions = np.linspace(0, source - 1, target)[:, np.newaxis]
        weights = np.maximum(0.0, 1.0 - np.abs(positions - np.arange(source)))
        return tf.constant(weights, x.dtype)

    rows, columns = (matrix(source, target) for source, target in zip(x.shape[1:3], size))
    return tf.einsum("yh,bhwc,xw->byxc", rows, x, columns)


def split(x: tf.Tensor, key_width: int, value_width: int) -> Sequence[tf.Tensor]:
    """[B, L, 2 K + V] -> queries, keys and values [B, 8, L, D], the head before the channel."""
    parts = tf.split(x, [key_width, key_width, value_width], axis=-1)
    return [tf.transpose(tf.reshape(y, [*y.shape[:2], 8, -1]), [0, 2, 1, 3]) for y in parts]


def merge(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [x.shape[0], x.shape[2], -1])


class Network:
    """All layers by the keys of their arrays; `training` = norms of the batch, nothing dropped."""

    def __init__(self, arrays: Arrays, training: bool) -> None:
        self.arrays, self.training = arrays, training
        self.used: Set[str] = set()

    def get(self, key: str) -> tf.Tensor:
        self.used.add(key)
        return self.arrays[key]

    def norm(self, x: tf.Tensor, key: str, kept: Sequence[int] = ()) -> tf.Tensor:
        kept = kept or [x.shape.rank - 1]
        shape = [size if axis in kept else 1 for axis, size in enumerate(x.shape)]
        leaves = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (tf.reshape(self.get(f"{key}/{n}"), shape) for n in leaves)
        if self.training:
            axes = [axis for axis in range(x.shape.rank) if axis not in kept]
            mean, variance = tf.nn.moments(x, axes, keepdims=True)
        return gamma * (x - mean) / tf.sqrt(variance + 1e-3) + beta

    def conv(self, x: tf.Tensor, key: str, stride: int = 1, rate: int = 1) -> tf.Tensor:
        """One product per element of the kernel; the same padding on all sides."""
        kernel = self.get(f"{key}/_conv/kernel")
        height, width = x.shape[1:3]
        side = [kernel.shape[0] // 2 * rate] * 2
        x = tf.pad(x, [[0, 0], side, side, [0, 0]])
        total = []
        for i in range(kernel.shape[0]):
            for j in range(kernel.shape[1]):
                part = x[:, i * rate :, j * rate :][:, :height:stride, :width:stride]
                total.append(tf.tensordot(part, kernel[i, j], 1))
        return self.norm(tf.add_n(total), f"{key}/_batch_norm")

    def linear(self, x: tf.Tensor, key: str) -> tf.Tensor:
        return self.norm(x @ self.get(f"{key}/_conv/kernel")[0], f"{key}/_batch_norm")

    def biased(self, x: tf.Tensor, key: str) -> tf.Tensor:
        kernel = self.get(f"{key}/kernel")
        return tf.tensordot(x, tf.reshape(kernel, kernel.shape[-2:]), 1) + self.get(f"{key}/bias")

    def separable(self, x: tf.Tensor, key: str) -> tf.Tensor:
        kernel = self.get(f"{key}/_depthwise/_depthwise_conv/depthwise_kernel")
        x = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")
        x = relu(self.norm(x, f"{key}/_depthwise/_batch_norm"))
        return relu(self.conv(x, f"{key}/_pointwise"))

    def axis_attention(self, x: tf.Tensor, key: str) -> tf.Tensor:
        length = x.shape[1]
        tables = [self.get(f"{key}/_{name}_rpe/embeddings") for name in ("query", "key", "value")]
        rows = np.arange(length) - np.arange(length)[:, np.newaxis] + 254
        query_table, key_table, value_table = (tf.gather(table, rows) for table in tables)
        qkv = self.norm(x @ self.get(f"{key}/qkv_kernel"), f"{key}/_batch_norm_qkv")
        query, keys, value = split(qkv, 8 * tables[0].shape[1], 8 * tables[2].shape[1])
        logits = [
            tf.einsum("nhld,nhmd->nhlm", query, keys),
            tf.einsum("nhld,lmd->nhlm", query, query_table),
            tf.einsum("nhmd,lmd->nhlm", keys, key_table),
        ]
        logits = self.norm(tf.stack(logits), f"{key}/_batch_norm_similarity", (0, 2))
        weights = tf.nn.softmax(tf.reduce_sum(logits, 0))
        retrieved = [
            tf.einsum("nhlm,nhmd->nhld", weights, value),
            tf.einsum("nhlm,lmd->nhld", weights, value_table),
        ]
        key = f"{key}/_batch_norm_retrieved_output"
        return merge(tf.reduce_sum(self.norm(tf.stack(retrieved), key, (0, 2, 4)), 0))

    def axial_attention(self, x: tf.Tensor, key: str) -> tf.Tensor:
        b, h, w, c = x.shape
        x = tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [b * w, h, c])
        x = tf.reshape(self.axis_attention(x, f"{key}/_height_axis"), [b, w, h, -1])
        x = tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [b * h, w, -1])
        return tf.reshape(self.axis_attention(x, f"{key}/_width_axis"), [b, h, w, -1])

    def residual(self, x: tf.Tensor, key: str, kind: str, stride: int) -> tf.Tensor:
        x = relu(x)
        if kind == "basic":
            branch = relu(self.conv(x, f"{key}/_conv1_bn_act", stride))
            branch = self.conv(branch, f"{key}/_conv2_bn")
        else:
            branch = relu(self.conv(x, f"{key}/_conv1_bn_act"))
            if kind == "axial":
                branch = relu(self.axial_attention(branch, f"{key}/_attention"))
            else:
                branch = relu(self.conv(branch, f"{key}/_conv2_bn_act", stride))
            branch = self.conv(branch, f"{key}/_conv3_bn")
        if branch.shape[-1] != x.shape[-1]:
            x = self.conv(x, f"{key}/_shortcut", stride)
        return branch + x

    def attention(self, q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, key: str) -> tf.Tensor:
        logits = tf.matmul(q, k, transpose_b=True)
        weights = tf.nn.softmax(self.norm(logits, f"{key}/_batch_norm_similarity", (1,)))
        return merge(relu(self.norm(weights @ v, f"{key}/_batch_norm_retrieved_value", (1, 3))))

    def dual_path(self, x: tf.Tensor, m: tf.Tensor, key: str) -> Tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.reshape(x, [x.shape[0], -1, x.shape[-1]])
        memory_space = relu(self.linear(m, f"{key}/_memory_conv1_bn_act"))
        pixel_space = relu(self.linear(relu(pixels), f"{key}/_pixel_conv1_bn_act"))
        width = pixel_space.shape[-1]
        qkv = self.linear(memory_space, f"{key}/_memory_qkv_conv_bn")
        memory_query, memory_key, memory_value = split(qkv, width // 2, width)
        qkv = self.linear(pixel_space, f"{key}/_pixel_qkv_conv_bn")
        pixel_query, pixel_key, pixel_value = split(qkv, width // 2, width)
        keys = tf.concat([pixel_key, memory_key], axis=2)
        values = tf.concat([pixel_value, memory_value], axis=2)
        update = self.attention(memory_query, keys, values, f"{key}/_memory_attention")
        m = relu(m + self.linear(update, f"{key}/_memory_conv3_bn"))
        hidden = relu(self.linear(m, f"{key}/_memory_ffn_conv1_bn_act"))
        m = relu(m + self.linear(hidden, f"{key}/_memory_ffn_conv2_bn"))
        update = self.attention(pixel_query, memory_key, memory_value, f"{key}/_pixel_attention")
        return x + tf.reshape(self.linear(update, f"{key}/_pixel_conv3_bn"), x.shape), m

    def encoder(self, variant: str, image: tf.Tensor) -> Arrays:
        """Raw feature by stage, and the memory."""
        x = image / 127.5 - 1.0
        if variant == "max_deeplab_s":
            x = relu(self.conv(x, "encoder/_stem/_conv1_bn_act", 2))
            x = relu(self.conv(x, "encoder/_stem/_conv2_bn_act"))
            x = self.conv(x, "encoder/_stem/_conv3_bn")
        else:
            x = self.conv(x, "encoder/_stem", 2)
        memory = tf.tile(self.get("encoder/memory_feature"), [image.shape[0], 1, 1])
        features: Arrays = {}
        stride = 2
        for row in STAGES[variant].strip().splitlines():
            name, blocks, new_stride, kinds, exchanges, *fuse = row.split()
            if fuse:
                key = f"encoder/_{name}_resized_fuse/_{fuse[0]}_conv_bn1"
                x = self.conv(relu(x), key, 2 if fuse[0] == "strided" else 1)
                skips = [features[skip] for skip in fuse[1:]]
                x = tf.add_n([resize(x, skips[0].shape[1:3]), *skips])
                stride = int(new_stride)
            first, other = kinds.split("/")[0], kinds.split("/")[-1]
            for i in range(int(blocks)):
                key = f"encoder/_{name}/_block{i + 1}"
                x = self.residual(x, key, other if i else first, int(new_stride) // stride)
                stride = int(new_stride)
                if exchanges == "yes":
                    x, memory = self.dual_path(x, memory, f"{key}_transformer")
            features[name] = x
        return {**features, "memory": memory}

    def semantic_decoder(self, features: Arrays, window: Sequence[int]) -> tf.Tensor:
        x, key = relu(features["stage5"]), "semantic_decoder/_aspp"
        pooled = tf.nn.avg_pool2d(x, window, 1, "VALID")
        pooled = relu(self.conv(pooled, f"{key}/_aspp_pool/_conv_bn_act"))
        branches = [relu(self.conv(x, f"{key}/_conv_bn_act"))]
        for i, rate in enumerate((6, 12, 18), start=1):
            branches.append(relu(self.conv(x, f"{key}/_aspp_conv{i}/_conv_bn_act", rate=rate)))
        x = tf.concat([*branches, resize(pooled, x.shape[1:3])], axis=-1)
        x = relu(self.conv(x, f"{key}/_proj_conv_bn_act"))
        for i, name in enumerate(("stage3", "stage2"), start=1):
            low = relu(self.conv(relu(features[name]), f"semantic_decoder/_low_level_conv{i}"))
            x = tf.concat([resize(x, low.shape[1:3]), low], axis=-1)
            x = self.separable(x, f"semantic_decoder/_fusion_conv{i}/_conv1_bn_act")
        return x

    def __call__(self, variant: str, image: tf.Tensor, window: Sequence[int]) -> Arrays:
        """Raw feature by stage, and the outputs."""
        features = self.encoder(variant, image)
        last_stage = "decoder_stage2_extra"
        if variant == "max_deeplab_s":
            semantic = self.semantic_decoder(features, window)
        else:
            last_stage = "decoder_stage10_extra"
            semantic = relu(features["decoder_stage6_extra"])
        x = self.separable(relu(features[last_stage]), "pixel_space_head/conv_block/_conv1_bn_act")
        x = self.biased(x, "pixel_space_head/final_conv")
        x = self.norm(x, "pixel_space_feature_batch_norm")
        x /= tf.sqrt(tf.maximum(tf.reduce_sum(x * x, -1, keepdims=True), 1e-12))
        slots = relu(self.linear(features["memory"], "encoder/_mask_feature_extra"))
        slots = self.linear(slots, "transformer_mask_head")
        masks = tf.einsum("bhwd,bnd->bhwn", x, slots)[..., tf.newaxis]
        masks = self.norm(masks, "pixel_space_mask_batch_norm")[..., 0]
        classes = relu(self.linear(features["memory"], "encoder/_class_feature_extra"))
        classes = self.biased(classes, "transformer_class_head/_conv")
        last = classes.shape[-1] - 1
        constant = tf.one_hot(last, last + 1, math.log(last * 0.9 / 0.1), 0.0, dtype=x.dtype)
        key = "semantic_head_without_last_layer/_conv1_bn_act"
        semantic = self.biased(self.separable(semantic, key), "semantic_last_layer")
        outputs = {"masks": masks, "classes": classes + constant, "embedding": x}
        return {**features, **outputs, "semantic": semantic}


class Pair(NamedTuple):
    """A model and its weights by the keys of a checkpoint: variables, and values in float64."""

    model: tf.keras.Model
    variables: Dict[str, tf.Variable]
    arrays: Arrays


def make_pair(variant: str, damping: float) -> Pair:
    """A sixteenth of the width, for crops of 65x81, without what is drawn at random."""
    overrides = [
        "model_options.dual_path_transformer.width_multiplier=0.0625",
        "model_options.dual_path_transformer.drop_path_keep_prob=1",
        "train_dataset_options.crop_size=65,81",
    ]
    pair = Pair(build_model(max_deeplab.tiny_config(variant, overrides)), {}, {})
    for path, variable in variables_by_path(pair.model).items():
        key = deeplab2_name(path)
        value = max_deeplab.fill(key, variable.shape)
        if re.search("(_conv2_bn|_conv3_bn|_fuse)/.*/gamma", key):
            value *= damping  # Tens of residual blocks in a row would amplify rounding.
        variable.assign(value)
        pair.variables[key[: -len(SUFFIX)]] = variable
        pair.arrays[key[: -len(SUFFIX)]] = tf.constant(value, tf.float64)
    return pair


def outputs_of(model: tf.keras.Model, image: np.ndarray, training: bool) -> Arrays:
    output = model(tf.constant(image, tf.float32), training=training, with_semantic=True)
    masks, classes = output.final.mask_logits, output.final.class_logits
    outputs = {"masks": masks, "classes": classes, "embedding": output.final.pixel_embedding}
    return {**outputs, "semantic": output.semantic_logits}


def features_of(model: tf.keras.Model, image: np.ndarray) -> Arrays:
    thread = model.dual_path.start(len(image))
    scaled = tf.constant(image / 127.5 - 1.0, tf.float32)
    pyramid = model.pixel_encoder(scaled, after_block=thread)
    return {**model.dual_path(pyramid, thread).pyramid, "memory": thread.memory}


def error(actual: tf.Tensor, expected: tf.Tensor) -> float:
    return float(tf.norm(tf.cast(actual, tf.float64) - expected) / tf.norm(expected))


@pytest.fixture(scope="module", params=list(STAGES))
def variant_and_pair(request) -> Tuple[str, Pair]:
    return request.param, make_pair(request.param, damping=0.4)


# In the last case the pooling window slides.
@pytest.mark.parametrize("shape", [(1, 65, 81), (1, 70, 91), (2, 97, 129)])
def test_features_and_outputs(variant_and_pair, shape):
    variant, pair = variant_and_pair
    image = np.random.default_rng(0).uniform(0, 255, (*shape, 3))
    network = Network(pair.arrays, training=False)

    expected = network(variant, tf.constant(image), (5, 6))

    assert network.used == set(pair.arrays)
    actual = {**outputs_of(pair.model, image, False), **features_of(pair.model, image)}
    assert set(actual) - set(expected) == ({"stage1"} if variant == "max_deeplab_s" else set())
    for name, value in expected.items():
        assert error(actual[name], value) < 1e-5, name


@pytest.mark.parametrize(
    "variant", ["max_deeplab_s", pytest.param("max_deeplab_l", marks=pytest.mark.slow)]
)
def test_gradients_in_training(variant, monkeypatch):
    # The slope of ReLU jumps: rounding alone changes gradients by percents.
    monkeypatch.setattr(build, "ACTIVATION", "gelu")
    monkeypatch.setitem(globals(), "relu", lambda x: x * (1 + tf.math.erf(x / math.sqrt(2))) / 2)
    pair = make_pair(variant, damping=0.1)
    if variant == "max_deeplab_s":
        pair.model.semantic_head.decoder.aspp.dropout_rate = 0.0
    random = np.random.default_rng(0)
    image = random.uniform(0, 255, (2, 81, 97, 3))  # The pooling window slides.
    variables = {key: v for key, v in pair.variables.items() if v.trainable}

    with tf.GradientTape() as tape:
        watched = {key: pair.arrays[key] for key in variables}
        tape.watch(watched)
        network = Network({**pair.arrays, **watched}, training=True)
        outputs = network(variant, tf.constant(image), (5, 6))
        names = ("masks", "classes", "embedding", "semantic")
        weights = {name: random.standard_normal(outputs[name].shape) for name in names}
        loss = tf.add_n([tf.reduce_sum(outputs[name] * weights[name]) for name in names])
    expected = tape.gradient(loss, watched)
    with tf.GradientTape() as tape:
        outputs = outputs_of(pair.model, image, True)
        loss = tf.add_n([tf.reduce_sum(outputs[name] * weights[name]) for name in names])
    actual = tape.gradient(loss, variables)

    # Some have none: biases before a norm, shifts before a softmax.
    none = 1e-5 * tf.linalg.global_norm(list(expected.values()))
    for key, value in expected.items():
        difference = tf.cast(actual[key], tf.float64) - value
        assert tf.norm(difference) < 1e-3 * tf.norm(value) + none, key
