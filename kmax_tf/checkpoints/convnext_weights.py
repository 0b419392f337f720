"""ConvNeXt weights as published by its authors and by timm: names and layouts.

Both publish PyTorch state dicts of the classifier, whose encoder is ours; they differ in names:

  authors                        timm                               pixel_encoder/
  downsample_layers.0.0          stem.0                             downsamplers/0/conv
  downsample_layers.0.1          stem.1                             downsamplers/0/norm
  downsample_layers.1.0          stages.1.downsample.0              downsamplers/1/norm
  downsample_layers.1.1          stages.1.downsample.1              downsamplers/1/conv
  stages.0.2.dwconv              stages.0.blocks.2.conv_dw          stages/0/2/depthwise
  stages.0.2.norm                stages.0.blocks.2.norm             stages/0/2/norm
  stages.0.2.pwconv1             stages.0.blocks.2.mlp.fc1          stages/0/2/expand
  stages.0.2.pwconv2             stages.0.blocks.2.mlp.fc2          stages/0/2/project
  stages.0.2.gamma               stages.0.blocks.2.gamma            stages/0/2/layer_scale
"""

from __future__ import annotations

import re
from typing import Callable, Collection, Dict, NamedTuple, Sequence, Tuple

import numpy as np

_LEAVES = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
_DOWNSAMPLER = re.compile(r"(?:pixel_encoder/)?downsamplers/(\d+)/(conv|norm)/(\w+)")
_BLOCK = re.compile(r"(?:pixel_encoder/)?stages/(\d+)/(\d+)/(?:(\w+)/)?(\w+)")


class _Layout(NamedTuple):
    """Names in a file: templates for `stage`, `layer` in a sequence, `block`, `part`.

    Attributes:
      stem, downsampler, block: names of modules.
      parts: our part of a block -> theirs.
      first_names: names that every file of this layout has.
    """

    stem: str
    downsampler: str
    block: str
    parts: Dict[str, str]
    first_names: Tuple[str, ...]


_AUTHORS = _Layout(
    stem="downsample_layers.0.{layer}",
    downsampler="downsample_layers.{stage}.{layer}",
    block="stages.{stage}.{block}.{part}",
    parts={"depthwise": "dwconv", "norm": "norm", "expand": "pwconv1", "project": "pwconv2"},
    first_names=("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"),
)
_TIMM = _Layout(
    stem="stem.{layer}",
    downsampler="stages.{stage}.downsample.{layer}",
    block="stages.{stage}.blocks.{block}.{part}",
    parts={"depthwise": "conv_dw", "norm": "norm", "expand": "mlp.fc1", "project": "mlp.fc2"},
    first_names=("stem.0.weight", "stages.0.blocks.0.conv_dw.weight"),
)


def is_convnext(names: Collection[str]) -> bool:
    """Whether these are the names of a ConvNeXt's state dict, in either layout."""
    return any(_has_layout(layout, names) for layout in (_AUTHORS, _TIMM))


def is_classifier(name: str) -> bool:
    """Whether the array `name` lies behind the encoder: the last norm and the classifier."""
    return name.startswith(("norm.", "norm_pre.", "head."))


def name_of_path(names: Collection[str]) -> Callable[[str], str]:
    """Function from the attribute path of a variable to its name in the file.

    The function takes paths of a model (`pixel_encoder/stages/0/1/expand/kernel`) and of an
    encoder alone (`stages/0/1/expand/kernel`). A path that no ConvNeXt has is returned as it is;
    with its slashes it is the name of nothing in the file.

    Args:
      names: of all arrays in the file; they tell the layout.

    Raises:
      ValueError: these are not the names of a ConvNeXt.
    """
    for layout in (_AUTHORS, _TIMM):
        if _has_layout(layout, names):
            return lambda path: _name(layout, path)
    expected = " or ".join(" and ".join(layout.first_names) for layout in (_AUTHORS, _TIMM))
    raise ValueError(
        f"`names` must be those of a ConvNeXt, with {expected}; got {sorted(names)[:3]}, ..."
    )


def our_shape(path: str, shape: Sequence[int]) -> Tuple[int, ...]:
    """Shape in our layout of the array for the variable at `path`.

    Args:
      path: attribute path, which tells what the axes mean.
      shape: in the file. One that cannot belong to `path` is returned as it is.
    """
    shape = tuple(shape)
    part = _part(path)
    if part in ("conv", "depthwise") and len(shape) == 4:
        return shape[2], shape[3], shape[1], shape[0]
    if part in ("expand", "project") and (len(shape) == 2 or shape[2:] == (1, 1)):
        return shape[1], shape[0]
    if part == "layer_scale" and len(shape) == 1:
        return 1, 1, 1, shape[0]
    return shape


def to_our_layout(path: str, array: np.ndarray) -> np.ndarray:
    """The array for the variable at `path`, from the layout of PyTorch to ours.

    Args:
      path: attribute path, which tells what the axes mean.
      array: as in the file. Kernels of convolutions [out, in, height, width] become
        [height, width, in, out], so depthwise ones [D, 1, 7, 7] become [7, 7, 1, D]; dense kernels
        [out, in] or, written as 1x1 convolutions, [out, in, 1, 1] become [in, out]; layer scales
        [D] become [1, 1, 1, D]; the rest stays.

    Returns:
      The same values and dtype in shape `our_shape(path, array.shape)`.
    """
    shape = our_shape(path, array.shape)
    part = _part(path)
    if part in ("conv", "depthwise") and array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if part in ("expand", "project") and len(shape) == 2:
        return array.reshape(array.shape[:2]).transpose()
    return array.reshape(shape)


def _part(path: str) -> str:
    """`conv`, `depthwise`, `expand`, `project` for kernels, `layer_scale`, or nothing."""
    *parents, leaf = path.split("/")
    if leaf == "kernel":
        return parents[-1] if parents else ""
    return leaf if leaf == "layer_scale" else ""


def _has_layout(layout: _Layout, names: Collection[str]) -> bool:
    return all(name in names for name in layout.first_names)


def _name(layout: _Layout, path: str) -> str:
    match = _DOWNSAMPLER.fullmatch(path)
    if match and match[3] in _LEAVES:
        return f"{_downsampler(layout, int(match[1]), match[2])}.{_LEAVES[match[3]]}"
    match = _BLOCK.fullmatch(path)
    if match and match[3] is None and match[4] == "layer_scale":
        return layout.block.format(stage=match[1], block=match[2], part="gamma")
    if match and match[3] in layout.parts and match[4] in _LEAVES:
        part = layout.parts[match[3]]
        module = layout.block.format(stage=match[1], block=match[2], part=part)
        return f"{module}.{_LEAVES[match[4]]}"
    return path


def _downsampler(layout: _Layout, stage: int, part: str) -> str:
    # The stem convolves first, the others normalise first.
    order = ("conv", "norm") if stage == 0 else ("norm", "conv")
    template = layout.stem if stage == 0 else layout.downsampler
    return template.format(stage=stage, layer=order.index(part))
