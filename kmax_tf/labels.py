"""Panoptic ids: `class * label_divisor + instance`, the one encoding used everywhere.

Works on NumPy arrays, TensorFlow tensors and integers alike.
"""

from __future__ import annotations

from typing import Any


def panoptic_id(class_id: Any, instance: Any, label_divisor: int) -> Any:
    """Joins class and instance numbers (any shape, integer) into panoptic ids."""
    return class_id * label_divisor + instance


def class_of(panoptic: Any, label_divisor: int) -> Any:
    """Class id of panoptic ids (any shape, integer, non-negative)."""
    return panoptic // label_divisor


def instance_of(panoptic: Any, label_divisor: int) -> Any:
    """Instance number of panoptic ids: 0 is stuff, void, or a crowd region of a thing class."""
    return panoptic % label_divisor
