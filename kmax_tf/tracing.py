"""How functions are traced into graphs."""

from __future__ import annotations

import contextlib
from typing import Iterator

import tensorflow as tf


@contextlib.contextmanager
def functions_inlined() -> Iterator[None]:
    """Inside, calls of a `tf.function` become part of the graph that is being traced, traced anew.

    One that was traced for any batch size before, as post-processing is by a SavedModel, would else
    be taken as it is and hide from the outer graph what is known of its shapes.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
