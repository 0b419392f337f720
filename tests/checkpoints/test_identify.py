from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.formats import Source
from kmax_tf.checkpoints.identify import describe_source
from kmax_tf.checkpoints.mapping import own_name
from kmax_tf.checkpoints.parts import is_deeplab2_encoder
from tests.checkpoints import toy


def _source(shapes, *, name_of_path=deeplab2_name, encoder_alone=False):
    return Source(
        path="ckpt",
        format="a checkpoint",
        shapes=shapes,
        name_of_path=name_of_path,
        is_encoder=is_deeplab2_encoder,
        encoder_alone=encoder_alone,
        get=lambda name: np.zeros(shapes[name]),
    )


def _manifest(golden, name):
    with gzip.open(golden / "model" / f"{name}.manifest.json.gz", "rt") as file:
        return {key + toy.SUFFIX: tuple(entry[0]) for key, entry in json.load(file).items()}


def _with_classes(shapes, outputs):
    return {**shapes, deeplab2_name("mask_head/class_projection/bias"): (outputs,)}


@pytest.mark.parametrize(
    ("name", "model", "config"),
    [
        ("kmax_r50_coco", "kMaX-DeepLab with ResNet-50", "kmax_r50"),
        ("kmax_axial_r50_coco", "kMaX-DeepLab with axial ResNet-50", "kmax_axial_r50"),
        ("kmax_convnext_tiny_coco", "kMaX-DeepLab with ConvNeXt-Tiny", "kmax_convnext_tiny"),
        ("max_deeplab_s", "MaX-DeepLab-S", "max_deeplab_s"),
    ],
)
def test_published_checkpoints(golden, repository_root, name, model, config):
    text = describe_source(_source(_manifest(golden, name)))
    path = f"configs/coco/{config}.textproto"
    assert text == f"it looks like {model}, 128 slots, 133 classes: {path}"
    assert (repository_root / path).exists()


@pytest.mark.parametrize("name_of_path", [deeplab2_name, own_name])
@pytest.mark.parametrize(("size", "width"), [("S", 256), ("L", 512)])
def test_max_deeplab(repository_root, name_of_path, size, width):
    shapes = {
        "pixel_encoder/stages/stage5/2/conv3/kernel": (1, 1, 1024, 2048),
        "dual_path/memory": (1, 128, width),
        "mask_head/class_projection/bias": (134,),
    }
    named = {name_of_path(path): shape for path, shape in shapes.items()}
    config = f"configs/coco/max_deeplab_{size.lower()}.textproto"
    assert describe_source(_source(named, name_of_path=name_of_path)) == (
        f"it looks like MaX-DeepLab-{size}, 128 slots, 133 classes: {config}"
    )
    assert (repository_root / config).exists()


@pytest.mark.parametrize(
    ("outputs", "end"),
    [
        (20, "19 classes: configs/cityscapes/kmax_r50.textproto"),
        (151, "150 classes: configs/ade20k/kmax_r50.textproto"),
        (8, "128 slots, 7 classes"),
    ],
)
def test_the_classes_tell_the_data_set(golden, outputs, end):
    shapes = _with_classes(_manifest(golden, "kmax_r50_coco"), outputs)
    assert describe_source(_source(shapes)).endswith(end)


def test_a_config_that_does_not_exist_is_not_named(golden):
    shapes = _with_classes(_manifest(golden, "kmax_convnext_tiny_coco"), 151)
    assert describe_source(_source(shapes)).endswith("ConvNeXt-Tiny, 128 slots, 150 classes")


def test_our_own_files_and_other_sizes():
    shapes = {own_name(path): shape for path, shape in toy.KMAX.items()}
    text = describe_source(_source(shapes, name_of_path=own_name))
    assert text == (
        "it looks like kMaX-DeepLab with an encoder of a size of its own, 8 slots, 4 classes"
    )
    assert describe_source(_source({})) == "it looks like no model of kmax_tf"


@pytest.mark.parametrize(
    ("width", "blocks", "name"),
    [
        (96, 9, "Tiny"),
        (96, 27, "Small"),
        (128, 27, "Base"),
        (192, 27, "Large"),
        (256, 27, "XLarge"),
    ],
)
def test_sizes_of_convnext(width, blocks, name):
    shapes = {deeplab2_name("pixel_encoder/downsamplers/0/conv/kernel"): (4, 4, 3, width)}
    for block in range(blocks):
        path = f"pixel_encoder/stages/2/{block}/layer_scale"
        shapes[deeplab2_name(path)] = (1, 1, 1, 4 * width)
    text = describe_source(_source(shapes, encoder_alone=True))
    config = f"kmax_convnext_{name.lower()}"
    assert text == f"it looks like the encoder ConvNeXt-{name}, that of the configs {config}"
