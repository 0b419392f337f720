"""What there is to compute on."""

from __future__ import annotations

import tensorflow as tf


def is_cpu() -> bool:
    """Whether there is nothing but a CPU to compute on."""
    return not any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))
