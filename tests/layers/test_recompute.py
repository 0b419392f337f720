from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.layers import recompute as recompute_module
from kmax_tf.layers.conv import ConvNorm
from kmax_tf.layers.drop_path import DropPath
from kmax_tf.layers.random_stream import random_stream
from kmax_tf.layers.recompute import keep, keep_product, kept, recompute, runs_again
from kmax_tf.structures import MaskPrediction
from tests.testing import NORM, random_tensor
from tests.two_devices import mirrored_over_two_devices

IMAGES = random_tensor(4, 6, 6, 3)
MAPS = random_tensor(2, 128, 96, 3)
"""Large enough for the fused norms."""


class Stage(tf.keras.layers.Layer):
    """Two convolutions and a drop path around a sum; result with an integer and `None`."""

    def __init__(self, activation="gelu", **kwargs):
        super().__init__(**kwargs)
        self.first = ConvNorm(5, kernel_size=3, activation=activation, norm=NORM, name="first")
        self.second = ConvNorm(3, norm=NORM)
        self.drop_path = DropPath(0.5)
        self.scale = self.add_weight(name="scale", shape=[3], initializer="ones")
        self.runs = 0

    def call(self, inputs, shift, training=False, with_choice=False):
        self.runs += 1
        features = self.second(self.first(inputs, training=training), training=training)
        outputs = inputs + tf.identity(self.scale) * self.drop_path(features, training=training)
        choice = tf.argmax(outputs, -1) if with_choice else None
        return MaskPrediction(outputs + tf.cast(shift["shift"], outputs.dtype), choice, None), [
            2.0 * inputs
        ]


def train(stage, images=IMAGES, **options):
    """Two steps of momentum-free descent: losses, gradients of both, all variables afterwards."""
    shift = {"shift": tf.constant([0.1, 0.2, 0.3])}
    stage(images, shift)

    def step(images, number):
        with tf.GradientTape() as tape:
            tape.watch([images, shift["shift"]])
            with random_stream(tf.stack([3, number])):
                prediction, [doubled] = stage(images, shift, training=True, with_choice=True)
            loss = tf.reduce_sum(tf.cast(prediction.class_logits, tf.float32) ** 3)
            loss += tf.reduce_sum(tf.cast(doubled, tf.float32) ** 2)
            assert prediction.pixel_embedding is None
        gradients = tape.gradient(loss, [images, shift["shift"], *stage.trainable_variables])
        for variable, gradient in zip(stage.trainable_variables, gradients[2:]):
            variable.assign_sub(1e-4 * gradient)
        return loss, prediction.mask_logits, gradients

    results = [tf.function(step, **options)(images, tf.constant(i)) for i in range(2)]
    return tf.nest.flatten(results) + [tf.identity(v) for v in stage.variables]


def assert_close(expected, actual):
    """Up to a few roundings: gradients of one tensor are added up in another order."""
    assert len(expected) == len(actual)
    for left, right in zip(expected, actual):
        np.testing.assert_allclose(right, left, atol=1e-5 * np.abs(left).max(), rtol=0)


def both(make, **options):
    """Results of `train` without and with recomputation."""
    for compiled in (None, bool(options.get("jit_compile"))):
        tf.keras.utils.set_random_seed(4)
        stage = make()
        if compiled is not None:
            recompute(stage, compiled=compiled)
        yield train(stage, **options)


@pytest.fixture(name="keeps_products", params=[False, True])
def _keeps_products(request, monkeypatch):
    """Whether all products are kept; of so few channels none is."""
    if request.param:
        monkeypatch.setattr(recompute_module, "_COSTLY", 1)
    return request.param


@pytest.mark.parametrize("options", [{}, {"autograph": False}, {"jit_compile": True}])
def test_numbers_do_not_change(options, keeps_products):
    plain, again = both(Stage, **options)
    assert_close(plain, again)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_numbers_do_not_change_where_norms_are_fused(activation, keeps_products):
    tf.keras.utils.set_random_seed(4)
    stages = Stage(activation), Stage(activation)
    recompute(stages[1], compiled=False)
    for stage in stages:
        stage(MAPS, {"shift": tf.zeros([3])})
    stages[1].set_weights(stages[0].get_weights())
    plain, again = (train(stage, MAPS) for stage in stages)
    assert_close(plain, again)


def test_numbers_do_not_change_in_bfloat16(keeps_products):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        plain, again = both(Stage)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    for left, right in zip(plain, again):
        np.testing.assert_array_equal(tf.cast(left, tf.float32), tf.cast(right, tf.float32))


def test_numbers_do_not_change_outside_a_function():
    tf.config.run_functions_eagerly(True)
    try:
        plain, again = both(Stage)
    finally:
        tf.config.run_functions_eagerly(False)
    assert_close(plain, again)


def test_statistics_over_replicas_travel_once_and_gradients_do_not_change(keeps_products):
    strategy = mirrored_over_two_devices()

    def run(recomputed):
        tf.keras.utils.set_random_seed(4)
        with strategy.scope():
            stage = Stage()
            stage(IMAGES, {"shift": tf.zeros([3])})
        if recomputed:
            recompute(stage, compiled=False)

        def step(images):
            with tf.GradientTape() as tape, random_stream(tf.constant([3, 1])):
                outputs, _ = stage(images, {"shift": tf.zeros([3])}, training=True)
                loss = tf.reduce_sum(outputs.class_logits**3)
            return loss, tape.gradient(loss, stage.trainable_variables)

        images = strategy.experimental_distribute_values_from_function(
            lambda context: IMAGES[2 * context.replica_id_in_sync_group :][:2]
        )
        function = tf.function(lambda images: strategy.run(step, args=(images,)))
        values = tf.nest.flatten(function(images), expand_composites=True)
        moved = [v.numpy() for v in stage.variables if "moving" in v.name]
        local = [strategy.experimental_local_results(value) for value in values]
        return [*tf.nest.flatten(local), *moved]

    plain, again = run(False), run(True)
    assert_close(plain, again)


def graph_of(stage, images=IMAGES):
    """What the backward pass reads of the forward one, operations that run, and the graph."""

    @tf.function(autograph=False)
    def run(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs, _ = stage(images, {"shift": tf.zeros([3])}, training=True)
            forward.update(images.graph.get_operations())
            logits = outputs.class_logits
            sources = [images, *stage.trainable_variables]
            return tape.gradient(logits, sources, output_gradients=upstream(images))

    def upstream(images):
        return tf.identity(images, name="upstream")

    forward: set = set()
    stage(images, {"shift": tf.zeros([3])})
    graph = run.get_concrete_function(tf.TensorSpec(images.shape)).graph
    wanted = [tensor.op for tensor in graph.structured_outputs]
    running = ancestors([*wanted, *graph.control_outputs])
    inputs = [t for op in running - forward for t in op.inputs if t.op in forward]
    return list({t.name: t for t in inputs}.values()), running, graph


def ancestors(operations):
    """`operations` and all that they wait for."""
    found, left = set(), list(operations)
    while left:
        operation = left.pop()
        if operation not in found:
            found.add(operation)
            left += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
    return found


def large(tensors, images=IMAGES):
    """Those that are as large as the images."""
    return [t for t in tensors if t.shape[:3] == images.shape[:3]]


def test_input_alone_is_kept_and_nothing_runs_before_its_gradient():
    plain, _, _ = graph_of(Stage())
    assert len(large(plain)) > 2
    stage = Stage()
    recompute(stage, compiled=False)
    read, running, graph = graph_of(stage)
    assert [tensor.name for tensor in large(read)] == ["images:0"]

    upstream = graph.get_operation_by_name("upstream")
    convolutions = [op for op in graph.get_operations() if op.type == "Conv2D"]
    assert {*convolutions} < running
    assert [upstream in ancestors([op]) for op in convolutions] == [False, True]


def test_second_run_is_named_as_the_gradient_of_its_layer():
    class Network(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__(name="network")
            self.stage = Stage(name="stage")
            recompute(self.stage, compiled=False)

        def call(self, inputs, shift, training=False):
            return self.stage(inputs, shift, training=training)

    _, _, graph = graph_of(Network())
    names = [op.name for op in graph.get_operations() if op.type == "Conv2D"]
    assert names == [f"{scope}network/stage/first/Conv2D" for scope in ("", "gradient_tape/")]


def test_costly_products_are_kept_instead_of_made_again(monkeypatch):
    monkeypatch.setattr(recompute_module, "_COSTLY", 27)  # Not that of five channels.
    stage = Stage()
    recompute(stage, compiled=False)
    read, running, _ = graph_of(stage, MAPS)
    assert sorted(t.op.type for t in large(read, MAPS)) == ["Conv2D", "Placeholder"]
    assert sum(op.type == "Conv2D" for op in running) == 1


def test_statistics_of_fused_norms_are_measured_once():
    stage = Stage("relu")
    recompute(stage, compiled=False)
    _, running, _ = graph_of(stage, MAPS)
    norms = [op.get_attr("is_training") for op in running if op.type == "FusedBatchNormV3"]
    assert sorted(norms) == [False, False, True, True]


def test_gradients_of_variables_come_before_that_of_the_input():
    stage = Stage()
    recompute(stage, compiled=False)
    _, _, graph = graph_of(stage)
    # What a function returns is a copy.
    of_images, *of_variables = (copy.op.inputs[0].op for copy in graph.structured_outputs)
    assert {*of_variables} < ancestors([of_images])


def test_without_a_first_run_nothing_is_kept():
    product = tf.constant(2.0)
    assert keep_product(lambda: product, depth=10**6) is product
    with pytest.raises(RuntimeError, match="second time"):
        kept()


def test_compiled_step_really_runs_it_twice():
    stage = Stage()
    recompute(stage, compiled=True)
    stage(IMAGES, {"shift": tf.zeros([3])})

    @tf.function(jit_compile=True, autograph=False)
    def run(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs, _ = stage(images, {"shift": tf.zeros([3])}, training=True)
            loss = tf.reduce_sum(outputs.class_logits**3)
        return loss, tape.gradient(loss, images)

    text = run.experimental_get_compiler_ir(IMAGES)(stage="optimized_hlo")
    # 3x3 convolution: forward, again, gradient; the gradient of its kernel is not asked for.
    assert text.count("window={size=3x3") == 3


def test_what_is_kept_is_made_once():
    made = []

    class Layer(tf.keras.layers.Layer):
        def call(self, inputs, training=False):
            made.append(runs_again())
            return inputs * keep(lambda: tf.random.uniform([]))

    layer = Layer()
    recompute(layer, compiled=False)
    with tf.GradientTape() as tape:
        tape.watch(IMAGES)
        outputs = layer(IMAGES, training=True)
    gradient = tape.gradient(outputs, IMAGES)
    np.testing.assert_allclose(gradient * IMAGES, outputs, rtol=1e-6)
    assert made == [False, True]
    assert not runs_again()


def test_outermost_layer_decides_and_inference_is_left_alone():
    stage = Stage()
    recompute(stage.first, compiled=False)
    recompute(stage, compiled=False)
    stage(IMAGES, {"shift": tf.zeros([3])})
    assert stage.runs == 1
    with tf.GradientTape() as tape:
        outputs, _ = stage(IMAGES, {"shift": tf.zeros([3])}, training=True)
    tape.gradient(outputs.class_logits, stage.trainable_variables)
    assert stage.runs == 3


def test_names_of_variables_do_not_change(tmp_path):
    plain, again = Stage(name="stage"), Stage(name="stage")
    recompute(again, compiled=False)
    recompute(again.first, compiled=False)
    for stage in (plain, again):
        stage(IMAGES, {"shift": tf.zeros([3])}, training=True)
    plain.set_weights([weight + 1.0 for weight in plain.get_weights()])
    path = tf.train.Checkpoint(stage=plain).write(str(tmp_path / "ckpt"))
    tf.train.Checkpoint(stage=again).read(path).assert_consumed()
    for left, right in zip(plain.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(left, right)
