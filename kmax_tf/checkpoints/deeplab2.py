"""How the reference implementation (deeplab2) names the variables of a kMaX-DeepLab checkpoint."""

from __future__ import annotations

import re
from typing import Callable, List, Tuple, Union

from kmax_tf.checkpoints.deeplab2_dual_path import DUAL_PATH_RULES
from kmax_tf.checkpoints.mapping import VALUE_SUFFIX

_Replacement = Union[str, Callable[["re.Match[str]"], str]]

_BLOCK = {
    "center_projection": "_memory_conv1_bn_act",
    "pixel_projection": "_pixel_conv1_bn_act",
    "center_qkv": "_memory_qkv_conv_bn",
    "pixel_value": "_pixel_v_conv_bn",
    "kmeans_attention/retrieved_norm": "_kmeans_memory_batch_norm_retrieved_value",
    "kmeans_output": "_kmeans_memory_conv3_bn",
    "self_attention/similarity_norm": "_memory_attention/_batch_norm_similarity",
    "self_attention/retrieved_norm": "_memory_attention/_batch_norm_retrieved_value",
    "self_attention_output": "_memory_conv3_bn",
    "feed_forward_hidden": "_memory_ffn_conv1_bn_act",
    "feed_forward_output": "_memory_ffn_conv2_bn",
}
_MASK_HEAD = {
    "pixel_conv": "pixel_space_head/conv_block/_conv1_bn_act",
    "pixel_projection": "pixel_space_head/final_conv",
    "pixel_norm": "pixel_space_feature_batch_norm",
    "mask_projection": "transformer_mask_head",
    "mask_norm": "pixel_space_mask_batch_norm",
    "class_projection": "transformer_class_head",
}
_RESIDUAL = {
    "conv1": "_conv1_bn_act",
    "conv2": "_conv2_bn_act",
    "conv3": "_conv3_bn",
    "shortcut": "_shortcut",
}
_ASPP = {
    "pointwise": "_conv_bn_act",
    "pooled": "_aspp_pool/_conv_bn_act",
    "projection": "_proj_conv_bn_act",
}
_AXIS = {
    "qkv_norm": "_batch_norm_qkv",
    "similarity_norm": "_batch_norm_similarity",
    "retrieved_norm": "_batch_norm_retrieved_output",
    "query_positions": "_query_rpe",
    "key_positions": "_key_rpe",
    "value_positions": "_value_rpe",
}
_CONVNEXT_BLOCK = {
    "depthwise": "depthwise_conv",
    "expand": "pointwise_conv1",
    "project": "pointwise_conv2",
}


def _one_of(names: dict) -> str:
    return "(" + "|".join(sorted(names, key=len, reverse=True)) + ")"


_BLOCK_PREFIX = "transformer_decoder/_kmax_decoder/{}/_block1_transformer/"

# ConvNeXt kept the names of its own publication; what one of these gives is final.
_CONVNEXT_RULES: List[Tuple[str, _Replacement]] = [
    # The stem convolves first, the other downsamplers normalise first.
    (
        r"^pixel_encoder/downsamplers/(\d+)/(conv|norm)/",
        lambda m: (
            f"encoder/downsample_layers/{m[1]}/"
            f"layer_with_weights-{int((m[1] == '0') == (m[2] == 'norm'))}/"
        ),
    ),
    (
        r"^pixel_encoder/stages/(\d+)/(\d+)/(norm/|layer_scale$)",
        r"encoder/stages/\1/layer_with_weights-\2/\3",
    ),
    (
        rf"^pixel_encoder/stages/(\d+)/(\d+)/{_one_of(_CONVNEXT_BLOCK)}/",
        lambda m: f"encoder/stages/{m[1]}/layer_with_weights-{m[2]}/{_CONVNEXT_BLOCK[m[3]]}/",
    ),
]
_COMPILED_CONVNEXT = [(re.compile(pattern), name) for pattern, name in _CONVNEXT_RULES]

# Applied in this order, each at most once per path.
_RULES: List[Tuple[str, _Replacement]] = [
    # Parts.
    (r"^pixel_encoder/stem/", "encoder/_stem/"),
    (r"^pixel_encoder/stages/(\d+)/", lambda m: f"encoder/_stage{int(m[1]) + 2}/"),
    (r"^pixel_decoder/input_norms/", "pixel_decoder/_backbone_norms/"),
    (r"^pixel_decoder/stages/(\d+)/", r"pixel_decoder/_stages/\1/"),
    (
        r"^pixel_decoder/fusions/(\d+)/decoder_projection/",
        r"pixel_decoder/_skip_connections/\1/_resized_conv_bn1/",
    ),
    (
        r"^pixel_decoder/fusions/(\d+)/skip_projection/",
        r"pixel_decoder/_skip_connections/\1/_resized_conv_bn2/",
    ),
    # Residual blocks: the number after the stage.
    (
        r"^(encoder/_stage\d+|pixel_decoder/_stages/\d+)/(\d+)/",
        lambda m: f"{m[1]}/_block{int(m[2]) + 1}/",
    ),
    (rf"(/_block\d+|^encoder/_stem)/{_one_of(_RESIDUAL)}/", lambda m: f"{m[1]}/{_RESIDUAL[m[2]]}/"),
    (r"(/_block\d+)/attention/(height|width)_axis/", r"\1/_attention/_\2_axis/"),
    (rf"(_axis)/{_one_of(_AXIS)}/", lambda m: f"{m[1]}/{_AXIS[m[2]]}/"),
    # Transformer decoder.
    (
        r"^transformer_decoder/(class|mask)_projection/",
        r"transformer_decoder/_\1_embedding_projection/",
    ),
    (
        rf"^transformer_decoder/blocks/(\d+)/{_one_of(_BLOCK)}/",
        lambda m: f"{_BLOCK_PREFIX.format(m[1])}{_BLOCK[m[2]]}/",
    ),
    # The same head seven times; the auxiliary ones have a leading underscore.
    (
        rf"^transformer_decoder/blocks/(\d+)/predictor/{_one_of(_MASK_HEAD)}/",
        lambda m: (
            f"{_BLOCK_PREFIX.format(m[1])}_auxiliary_clustering_predictor/_{_MASK_HEAD[m[2]]}/"
        ),
    ),
    (rf"^mask_head/{_one_of(_MASK_HEAD)}/", lambda m: f"{_MASK_HEAD[m[1]]}/"),
    # Semantic branch.
    (
        r"^semantic_head/decoder/aspp/atrous/(\d+)/",
        lambda m: f"semantic_decoder/_aspp/_aspp_conv{int(m[1]) + 1}/_conv_bn_act/",
    ),
    (
        rf"^semantic_head/decoder/aspp/{_one_of(_ASPP)}/",
        lambda m: f"semantic_decoder/_aspp/{_ASPP[m[1]]}/",
    ),
    (
        r"^semantic_head/decoder/low_level_projections/(\d+)/",
        lambda m: f"semantic_decoder/_low_level_conv{int(m[1]) + 1}/",
    ),
    (
        r"^semantic_head/decoder/fusions/(\d+)/",
        lambda m: f"semantic_decoder/_fusion_conv{int(m[1]) + 1}/_conv1_bn_act/",
    ),
    (r"^semantic_head/conv/", "semantic_head_without_last_layer/_conv1_bn_act/"),
    (r"^semantic_head/projection/", "semantic_last_layer/"),
    # Leaves.
    (r"/depthwise/depthwise_kernel$", "/_depthwise/_depthwise_conv/depthwise_kernel"),
    (r"/(depthwise|pointwise)/", r"/_\1/"),
    (r"/norm/([a-z_]+)$", r"/_batch_norm/\1"),
    (r"(?<!/final_conv)(?<!^semantic_last_layer)/(kernel|bias)$", r"/_conv/\1"),
]
_COMPILED = [
    (re.compile(pattern), replacement) for pattern, replacement in DUAL_PATH_RULES + _RULES
]


def deeplab2_name(path: str) -> str:
    """Name in a deeplab2 checkpoint of the variable at an attribute path of our model.

    Args:
      path: `pixel_encoder/stem/kernel`, ...

    Returns:
      `encoder/_stem/_conv/kernel/.ATTRIBUTES/VARIABLE_VALUE`, ...
    """
    for pattern, replacement in _COMPILED_CONVNEXT:
        if pattern.match(path):
            return pattern.sub(replacement, path) + VALUE_SUFFIX
    for pattern, replacement in _COMPILED:
        path = pattern.sub(replacement, path, count=1)
    return path + VALUE_SUFFIX
