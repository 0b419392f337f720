"""Which part of a model a variable belongs to, by its path or by its name in a file."""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Pattern, Tuple

from kmax_tf.checkpoints import mapping

ENCODER = "pixel_encoder"

# MaX-DeepLab in deeplab2: below `encoder/`, but not of the network that ImageNet trains.
_NOT_BACKBONE = re.compile(r"transformer|extra|memory_feature")
_ROOTS = {
    "pixel_decoder": "pixel_decoder",
    "transformer_decoder": "transformer_decoder",
    "pixel_space_head": "mask_head",
    "pixel_space_feature_batch_norm": "mask_head",
    "pixel_space_mask_batch_norm": "mask_head",
    "transformer_mask_head": "mask_head",
    "transformer_class_head": "mask_head",
    "semantic_decoder": "semantic_head",
    "semantic_head_without_last_layer": "semantic_head",
    "semantic_last_layer": "semantic_head",
}
DEEPLAB2_ROOTS = frozenset(_ROOTS)
"""What a deeplab2 training checkpoint holds beside its encoder."""

# Roots in files that hold an encoder alone, of whatever format.
_IN_ENCODER = re.compile(r"(downsample_layers|downsamplers|stages|stem|_stem|_stage\d+)$")
_ORDER = (
    ENCODER, "pixel_decoder", "transformer_decoder", "dual_path", "mask_head", "semantic_head",
)  # fmt: skip
_CLASS_SHAPED = re.compile(
    r"^mask_head/class_projection/|/predictor/class_projection/|^semantic_head/projection/"
)
GROUPS: Dict[str, Pattern[str]] = {
    "heads": _CLASS_SHAPED,
    "semantic_last_layer": re.compile(r"^semantic_head/projection/"),
}
"""Names for sets of paths: whatever depends on the number of classes, and what deeplab2's option
`restore_semantic_last_layer_from_initial_checkpoint` is about."""


def is_class_shaped(path: str) -> bool:
    """Whether the shape of the variable at a path depends on the number of classes."""
    return _CLASS_SHAPED.search(path) is not None


def is_deeplab2_encoder(name: str) -> bool:
    """Whether a name of deeplab2 is below `encoder/` and of the backbone proper."""
    return name.startswith("encoder/") and not _NOT_BACKBONE.search(name)


def plain(name: str) -> str:
    """A path or name without what every name of our checkpoints begins or ends with."""
    for prefix in (mapping.MODEL_PREFIX, mapping.AVERAGE_PREFIX):
        if name.startswith(prefix):
            name = name[len(prefix) :]
    return name.replace(mapping.VALUE_SUFFIX, "")


def part_of(name: str) -> str:
    """First element of the attribute path (`pixel_encoder`) of a path or of a name in any file."""
    name = plain(name)
    root = re.split(r"[/.]", name, maxsplit=1)[0]
    if root == "encoder":
        return ENCODER if is_deeplab2_encoder(name) else "dual_path"
    if name.startswith("backbone/_encoder/") or _IN_ENCODER.match(root):
        return ENCODER
    return _ROOTS.get(root, root)


def in_words(part: str) -> str:
    """`pixel_encoder` -> `pixel encoder`."""
    return part.replace("_", " ")


def group_by_part(names: Iterable[str]) -> List[Tuple[str, List[str]]]:
    """Parts in the order of the network, each with its names."""
    groups: Dict[str, List[str]] = {part: [] for part in _ORDER}
    for name in names:
        groups.setdefault(part_of(name), []).append(name)
    return [(part, members) for part, members in groups.items() if members]
