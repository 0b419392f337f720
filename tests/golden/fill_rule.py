"""Weights from a rule: the reference arrays were made with them, so no weight file is needed."""

from __future__ import annotations

import zlib

import numpy as np

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def fill(key, shape):
    """Deterministic value for the checkpoint entry `key` (full key) of `shape`."""
    shape = tuple(int(s) for s in shape)
    rng = np.random.RandomState(zlib.crc32(key.encode("utf-8")) & 0xFFFFFFFF)
    path = key[: -len(SUFFIX)] if key.endswith(SUFFIX) else key
    leaf = path.rsplit("/", 1)[-1]
    if leaf == "moving_variance":
        value = rng.uniform(0.5, 1.5, size=shape)
        if "similarity" in path:
            value = 16.0 * value
        elif "kmeans_memory_batch_norm" in path:
            value = 2500.0 * value
        return value.astype(np.float32)
    noise = rng.standard_normal(shape)
    if leaf == "gamma":
        value = 1.0 + 0.1 * noise
        if "conv3_bn/" in path or "ffn_conv2_bn/" in path:
            value = 0.5 * value  # residual-branch outputs
    elif leaf in ("beta", "bias", "moving_mean"):
        value = 0.1 * noise
    elif leaf == "depthwise_kernel":  # (kh, kw, channels, 1)
        value = noise * np.sqrt(1.4 / (shape[0] * shape[1]))
    elif leaf in ("kernel", "qkv_kernel"):  # fan-in = everything but last axis
        value = noise * np.sqrt(1.4 / np.prod(shape[:-1]))
    elif leaf == "embeddings":  # relative position tables
        value = noise * shape[-1] ** -0.5
    elif leaf == "cluster_centers":
        value = noise
    elif leaf == "layer_scale":  # ConvNeXt per-channel scale
        value = 0.3 + 0.1 * noise
    else:
        raise KeyError("no fill rule for " + key)
    return value.astype(np.float32)
