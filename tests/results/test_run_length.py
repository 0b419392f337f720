"""Masks as run lengths, against a decoder written from the definition."""

from __future__ import annotations

import json

import numpy as np

from kmax_tf.results.run_length import decode_mask, encode_mask


def decode_by_hand(encoded) -> np.ndarray:
    """Six-bit characters -> differences of run lengths -> pixels, column by column."""
    counts, position, text = [], 0, encoded["counts"]
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[position]) - 48
            value |= (bits & 31) << shift
            more, shift, position = bool(bits & 32), shift + 5, position + 1
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    values = np.arange(len(counts)) % 2
    height, width = encoded["size"]
    return np.repeat(values, counts).reshape(width, height).T.astype(bool)


def test_masks_survive_json():
    for seed, shape in enumerate([(1, 1), (7, 3), (40, 60)]):
        mask = np.random.default_rng(seed).random(shape) > 0.7
        encoded = json.loads(json.dumps(encode_mask(mask)))
        assert encoded["size"] == list(shape)
        np.testing.assert_array_equal(decode_by_hand(encoded), mask)
        np.testing.assert_array_equal(decode_mask(encoded), mask)
    assert not decode_mask(encode_mask(np.zeros((4, 5), bool))).any()
