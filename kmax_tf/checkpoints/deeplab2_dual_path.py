"""How deeplab2 names what only a MaX-DeepLab checkpoint has: stages by name, fuses, memory."""

from __future__ import annotations

import re
from typing import Callable, List, Tuple, Union

_TRANSFORMER = {
    "memory_projection": "_memory_conv1_bn_act",
    "pixel_projection": "_pixel_conv1_bn_act",
    "memory_qkv": "_memory_qkv_conv_bn",
    "pixel_qkv": "_pixel_qkv_conv_bn",
    "memory_attention/similarity_norm": "_memory_attention/_batch_norm_similarity",
    "memory_attention/retrieved_norm": "_memory_attention/_batch_norm_retrieved_value",
    "memory_output": "_memory_conv3_bn",
    "feed_forward_hidden": "_memory_ffn_conv1_bn_act",
    "feed_forward_output": "_memory_ffn_conv2_bn",
    "pixel_attention/similarity_norm": "_pixel_attention/_batch_norm_similarity",
    "pixel_attention/retrieved_norm": "_pixel_attention/_batch_norm_retrieved_value",
    "pixel_output": "_pixel_conv3_bn",
}
_PART = "^(?:pixel_encoder|dual_path)"
_STAGE = r"((?:decoder_)?stage\d+(?:_extra)?)"

DUAL_PATH_RULES: List[Tuple[str, Union[str, Callable[[re.Match[str]], str]]]] = [
    (rf"{_PART}/stages/{_STAGE}/(\d+)/", lambda m: f"encoder/_{m[1]}/_block{int(m[2]) + 1}/"),
    (r"^(encoder/.*/_block\d+)/last_conv/", r"\1/_conv2_bn/"),  # Of a basic block.
    (
        rf"{_PART}/fuses/{_STAGE}/(strided|resized)_projection/",
        r"encoder/_\1_resized_fuse/_\2_conv_bn1/",
    ),
    (
        rf"^dual_path/transformers/{_STAGE}/(\d+)/({'|'.join(_TRANSFORMER)})/",
        lambda m: f"encoder/_{m[1]}/_block{int(m[2]) + 1}_transformer/{_TRANSFORMER[m[3]]}/",
    ),
    (r"^dual_path/(class|mask)_projection/", r"encoder/_\1_feature_extra/"),
    (r"^dual_path/memory$", "encoder/memory_feature"),
]
"""Pattern of an attribute path -> replacement; to be applied before the rules of all models."""
