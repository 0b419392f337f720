"""ConvNeXt weights of other frameworks.

`tests/golden/checkpoints/convnext_*` hold one random toy network as PyTorch wrote it, under the
names of the ConvNeXt authors and of timm (timm's own conversion between the two), and
`convnext.npz` an image with the features that timm computed from it; the image was padded before
the stem as our encoder does.
"""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import erf

from kmax_tf.checkpoints.convnext_weights import (
    is_classifier,
    is_convnext,
    name_of_path,
    our_shape,
    to_our_layout,
)
from kmax_tf.checkpoints.mapping import variables_by_path
from kmax_tf.checkpoints.weight_files import open_weight_file
from kmax_tf.pixel_encoders.convnext import ConvNeXt

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "checkpoints"
DEPTHS = (2, 1, 2, 1)
WIDTHS = (4, 6, 8, 10)
LAYOUTS = ("authors", "timm", "timm with 1x1 convolutions")


def state_dict(layout):
    file = open_weight_file(GOLDEN / f"convnext_{layout.split()[0]}.safetensors")
    arrays = {name: file.read(name) for name in file.shapes}
    if layout.endswith("convolutions"):
        for name, array in arrays.items():
            if ".mlp.fc" in name and array.ndim == 2:
                arrays[name] = array[:, :, np.newaxis, np.newaxis]
    return arrays


def encoder_shapes():
    """Attribute path -> shape of every variable of the toy encoder, from its definition."""
    shapes = {}
    for stage, (depth, width) in enumerate(zip(DEPTHS, WIDTHS)):
        prefix = f"pixel_encoder/downsamplers/{stage}"
        patch, inputs = (2, WIDTHS[stage - 1]) if stage else (4, 3)
        shapes[f"{prefix}/conv/kernel"] = (patch, patch, inputs, width)
        shapes[f"{prefix}/conv/bias"] = (width,)
        for leaf in ("gamma", "beta"):
            shapes[f"{prefix}/norm/{leaf}"] = (inputs if stage else width,)
        for block in range(depth):
            prefix = f"pixel_encoder/stages/{stage}/{block}"
            shapes[f"{prefix}/depthwise/kernel"] = (7, 7, 1, width)
            shapes[f"{prefix}/depthwise/bias"] = (width,)
            shapes[f"{prefix}/norm/gamma"] = (width,)
            shapes[f"{prefix}/norm/beta"] = (width,)
            shapes[f"{prefix}/expand/kernel"] = (width, 4 * width)
            shapes[f"{prefix}/expand/bias"] = (4 * width,)
            shapes[f"{prefix}/project/kernel"] = (4 * width, width)
            shapes[f"{prefix}/project/bias"] = (width,)
            shapes[f"{prefix}/layer_scale"] = (1, 1, 1, width)
    return shapes


def imported(layout):
    """Attribute path -> array in our layout."""
    arrays = state_dict(layout)
    name_of = name_of_path(arrays)
    return {path: to_our_layout(path, arrays[name_of(path)]) for path in encoder_shapes()}


def windows(x, size, stride):
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def normalise(x, weights, path):
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt(np.mean(centred**2, -1, keepdims=True) + 1e-6)
    return centred / scale * weights[f"{path}/gamma"] + weights[f"{path}/beta"]


def convolve(x, weights, path, size):
    kernel, bias = weights[f"{path}/kernel"], weights[f"{path}/bias"]
    return np.einsum("bhwcij,ijcd->bhwd", windows(x, size, size), kernel) + bias


def numpy_features(image, weights):
    """stage1 ... stage5, in channels-last numpy arithmetic, double precision."""
    weights = {path: array.astype(np.float64) for path, array in weights.items()}
    features = []
    x = np.pad(image.astype(np.float64), ((0, 0), (1, 2), (1, 2), (0, 0)))
    for stage, depth in enumerate(DEPTHS):
        prefix = f"pixel_encoder/downsamplers/{stage}"
        if stage == 0:
            x = normalise(convolve(x, weights, f"{prefix}/conv", 4), weights, f"{prefix}/norm")
            features.append(x)
        else:
            x = convolve(normalise(x, weights, f"{prefix}/norm"), weights, f"{prefix}/conv", 2)
        for block in range(depth):
            prefix = f"pixel_encoder/stages/{stage}/{block}"
            around = windows(np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0))), 7, 1)
            kernel = weights[f"{prefix}/depthwise/kernel"][:, :, 0]
            y = np.einsum("bhwcij,ijc->bhwc", around, kernel)
            y = normalise(y + weights[f"{prefix}/depthwise/bias"], weights, f"{prefix}/norm")
            y = y @ weights[f"{prefix}/expand/kernel"] + weights[f"{prefix}/expand/bias"]
            y = y * (1 + erf(y / np.sqrt(2))) / 2
            y = y @ weights[f"{prefix}/project/kernel"] + weights[f"{prefix}/project/bias"]
            x = x + y * weights[f"{prefix}/layer_scale"]
        features.append(x)
    return features


@pytest.mark.parametrize("layout", LAYOUTS)
def test_imported_weights_compute_what_timm_computed(layout):
    golden = np.load(GOLDEN / "convnext.npz")
    features = numpy_features(golden["image"], imported(layout))
    for number, feature in enumerate(features, start=1):
        np.testing.assert_allclose(feature, golden[f"stage{number}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_encoder_computes_what_timm_computed(layout):
    golden = np.load(GOLDEN / "convnext.npz")
    encoder = ConvNeXt(depths=DEPTHS, widths=WIDTHS, drop_path_keep_prob=0.8)
    encoder(golden["image"])
    variables = variables_by_path(encoder)
    assert {f"pixel_encoder/{path}": tuple(v.shape) for path, v in variables.items()} == (
        encoder_shapes()
    )
    arrays = state_dict(layout)
    name_of = name_of_path(arrays)
    for path, variable in variables.items():
        variable.assign(to_our_layout(path, arrays[name_of(path)]))
    features = encoder(golden["image"])
    assert sorted(features) == [f"stage{number}" for number in range(1, 6)]
    for name, feature in features.items():
        np.testing.assert_allclose(feature, golden[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_are_those_of_the_whole_encoder_and_the_rest_is_the_classifier(layout):
    arrays = state_dict(layout)
    assert is_convnext(arrays)
    name_of = name_of_path(arrays)
    named = [name_of(path) for path in encoder_shapes()]
    rest = [name for name in arrays if is_classifier(name)]
    assert sorted(named + rest) == sorted(arrays)
    assert len(rest) == 4


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shapes_in_our_layout(layout):
    arrays = state_dict(layout)
    name_of = name_of_path(arrays)
    for path, shape in encoder_shapes().items():
        array = arrays[name_of(path)]
        assert our_shape(path, array.shape) == shape, path
        assert our_shape(path, list(array.shape)) == shape, path
        assert to_our_layout(path, array).shape == shape, path


@pytest.mark.parametrize(
    ("path", "authors", "timm"),
    [
        ("downsamplers/0/conv/kernel", "downsample_layers.0.0.weight", "stem.0.weight"),
        ("downsamplers/0/norm/beta", "downsample_layers.0.1.bias", "stem.1.bias"),
        (
            "downsamplers/2/norm/gamma",
            "downsample_layers.2.0.weight",
            "stages.2.downsample.0.weight",
        ),
        ("downsamplers/3/conv/bias", "downsample_layers.3.1.bias", "stages.3.downsample.1.bias"),
        (
            "stages/2/26/depthwise/kernel",
            "stages.2.26.dwconv.weight",
            "stages.2.blocks.26.conv_dw.weight",
        ),
        ("stages/1/0/expand/bias", "stages.1.0.pwconv1.bias", "stages.1.blocks.0.mlp.fc1.bias"),
        ("stages/1/0/layer_scale", "stages.1.0.gamma", "stages.1.blocks.0.gamma"),
    ],
)
def test_names(path, authors, timm):
    for prefix in ("pixel_encoder/", ""):
        assert name_of_path(state_dict("authors"))(prefix + path) == authors
        assert name_of_path(state_dict("timm"))(prefix + path) == timm


@pytest.mark.parametrize(
    "path",
    [
        "pixel_decoder/stages/0/0/conv1/kernel",
        "pixel_encoder/stages/0/0/conv1/kernel",
        "pixel_encoder/stages/0/0/norm/moving_mean",
        "pixel_encoder/stem/kernel",
    ],
)
def test_a_path_that_no_convnext_has_names_nothing_in_a_file(path):
    for layout in LAYOUTS:
        assert name_of_path(state_dict(layout))(path) == path


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("pixel_encoder/downsamplers/1/conv/kernel", (6, 4)),
        ("pixel_encoder/stages/0/0/expand/kernel", (16, 4, 3, 3)),
        ("pixel_encoder/stages/0/0/expand/kernel", (16,)),
        ("pixel_encoder/stages/0/0/layer_scale", (4, 1, 1)),
    ],
)
def test_a_shape_that_cannot_belong_to_the_path_is_left_for_the_comparison_to_find(path, shape):
    assert our_shape(path, shape) == shape


def test_names_of_another_network_are_refused():
    names = ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"]
    assert not is_convnext(names)
    with pytest.raises(ValueError, match=r"ConvNeXt, with downsample_layers.*got \['conv1"):
        name_of_path(names)
