from __future__ import annotations

import gc

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.eager import context

from trainer.quick_start import REWRITING, QuickStart


class Observed:
    """Stands in for a `tf.function`, and notes the settings at each call."""

    def __init__(self, error=None):
        self.seen = []
        self.error = error

    def __call__(self, value):
        self.seen.append(settings())
        if self.error:
            raise self.error
        return value + 1

    get_concrete_function = __call__


@pytest.fixture(autouse=True)
def unfrozen():
    yield
    gc.unfreeze()


def settings():
    """Whether graphs are rewritten in any way, and whether garbage is collected."""
    options = context.context().function_call_options
    config = config_pb2.ConfigProto.FromString(options.config_proto_serialized)
    rewriting = config.graph_options.rewrite_options
    off = [getattr(rewriting, name) == rewriting.OFF for name in REWRITING]
    off += [rewriting.memory_optimization == rewriting.NO_MEM_OPT, rewriting.disable_tfg_optimizer]
    if any(off) and not all(off):
        raise AssertionError(f"Only a part is off: {rewriting}")
    return not all(off), gc.isenabled()


def test_graph_is_run_as_traced_on_a_cpu_and_settings_come_back():
    observed = Observed()
    step = QuickStart(observed, tf.distribute.get_strategy())
    before = settings()
    assert step.trace(1) == 2  # Nothing is rewritten before the first call.
    assert step(2) == 3
    assert step(3) == 4
    # Same options at each call; only the first ones make garbage.
    assert observed.seen == [(True, False), (False, False), (False, True)]
    assert settings() == before == (True, True)


def test_settings_come_back_after_a_fault():
    step = QuickStart(Observed(KeyError("x")), tf.distribute.get_strategy())
    with pytest.raises(KeyError):
        step(1)
    assert settings() == (True, True)


def test_gpus_keep_the_rewriting(monkeypatch):
    monkeypatch.setattr("trainer.quick_start.is_cpu", lambda strategy: False)
    observed = Observed()
    QuickStart(observed, None)(1)
    assert observed.seen == [(True, False)]


def test_function_is_traced_once_and_gives_the_same():
    traces = []

    @tf.function(autograph=False)
    def double(value):
        traces.append(value)
        return tf.while_loop(lambda i, v: i < 2, lambda i, v: (i + 1, v * 2.0), (0, value))[1]

    step = QuickStart(double, tf.distribute.get_strategy())
    step.trace(tf.constant(3.0))
    before = context.context().function_call_options
    assert float(step(tf.constant(3.0))) == float(step(tf.constant(3.0))) == 12.0
    assert len(traces) == 1
    assert context.context().function_call_options is before
