"""Which published model a file of weights belongs to, by the names and shapes in it."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Tuple

from kmax_tf.checkpoints.formats import Source
from kmax_tf.checkpoints.parts import ENCODER


class _Encoder(NamedTuple):
    """A published pixel encoder.

    Attributes:
      name: in papers.
      config: in the names of configs.
      present: paths below the encoder -> shape that tells it from others.
      absent: paths that only a deeper one has.
    """

    name: str
    config: str
    present: Dict[str, Tuple[int, ...]]
    absent: Tuple[str, ...] = ()


def _convnext(name: str, width: int, deep: bool) -> _Encoder:
    block = "stages/2/{}/layer_scale"
    scale = (1, 1, 1, 4 * width)
    return _Encoder(
        f"ConvNeXt-{name}",
        f"kmax_convnext_{name.lower()}",
        {
            "downsamplers/0/conv/kernel": (4, 4, 3, width),
            block.format(26 if deep else 8): scale,
        },
        (block.format(27 if deep else 9),),
    )


def _resnet(name: str, config: str, stem: str, size: int, last: str, width: int) -> _Encoder:
    present = {f"stem/{stem}": (size, size, 3, 64), f"stages/{last}": (1, 1, width, 2048)}
    return _Encoder(name, config, present)


_ENCODERS = (
    _resnet("ResNet-50", "kmax_r50", "kernel", 7, "3/2/conv3/kernel", 512),
    _resnet("axial ResNet-50", "kmax_axial_r50", "conv1/kernel", 3, "3/2/conv3/kernel", 1024),
    # Ours; in a deeplab2 checkpoint the one above has the same names.
    _resnet("MaX-DeepLab-S", "max_deeplab_s", "conv1/kernel", 3, "stage5/2/conv3/kernel", 1024),
    _resnet("MaX-DeepLab-L", "max_deeplab_l", "kernel", 3, "stage5/2/conv3/kernel", 1024),
    _convnext("Tiny", 96, deep=False),
    _convnext("Small", 96, deep=True),
    _convnext("Base", 128, deep=True),
    _convnext("Large", 192, deep=True),
    _convnext("XLarge", 256, deep=True),
)

# Outputs of the class head: classes and one for void.
_FOLDERS = {134: "coco", 20: "cityscapes", 151: "ade20k"}
_ADE20K = ("kmax_r50", "kmax_convnext_large")


def describe_source(source: Source) -> str:
    """A clause that says what the file looks like and which config fits, where one does."""
    encoder = _encoder_of(source)
    if source.encoder_alone:
        if encoder is None:
            return "it looks like an encoder of a size of its own"
        return f"it looks like the encoder {encoder.name}, that of the configs {encoder.config}"
    outputs = (source.shape("mask_head/class_projection/bias") or (0,))[-1]
    centers = source.shape("transformer_decoder/cluster_centers")
    memory = source.shape("dual_path/memory")
    if memory is not None:
        size = {256: "S", 512: "L"}.get(memory[-1], "of a size of its own")
        model, slots = f"MaX-DeepLab-{size}", memory[1]
        config = f"max_deeplab_{size.lower()}" if len(size) == 1 else None
    elif centers is not None:
        name = encoder.name if encoder else "an encoder of a size of its own"
        model, slots = f"kMaX-DeepLab with {name}", centers[1]
        config = encoder.config if encoder else None
    else:
        return "it looks like no model of kmax_tf"
    text = f"it looks like {model}, {slots} slots, {max(0, outputs - 1)} classes"
    folder = _FOLDERS.get(outputs)
    if folder and config and _has_config(folder, config):
        text += f": configs/{folder}/{config}.textproto"
    return text


def _has_config(folder: str, config: str) -> bool:
    if config.startswith("max_deeplab"):
        return folder == "coco"
    return config in _ADE20K if folder == "ade20k" else config != "kmax_convnext_xlarge"


def _encoder_of(source: Source) -> Optional[_Encoder]:
    for encoder in _ENCODERS:
        if any(source.shape(f"{ENCODER}/{path}") for path in encoder.absent):
            continue
        present = encoder.present.items()
        if all(source.shape(f"{ENCODER}/{path}") == shape for path, shape in present):
            return encoder
    return None
