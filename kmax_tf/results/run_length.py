"""Masks as run lengths, the compressed form of the COCO tools."""

from __future__ import annotations

from typing import Any, Dict, Mapping

import numpy as np
from pycocotools import mask as coco_mask


def encode_mask(mask: np.ndarray) -> Dict[str, Any]:
    """A mask bool [H, W] as `{"size": [H, W], "counts": text}`, ready for JSON."""
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def decode_mask(encoded: Mapping[str, Any]) -> np.ndarray:
    """The way back, bool [H, W]."""
    return coco_mask.decode(dict(encoded)).astype(bool)
