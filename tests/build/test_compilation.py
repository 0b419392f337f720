from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.compilation import jit_compile_of
from protos import training_pb2
from tests.two_devices import mirrored_over_two_devices

ON, OFF = (training_pb2.TrainerOptions(use_xla=value) for value in (True, False))


def test_one_device():
    for strategy in (tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy("/cpu:0")):
        assert jit_compile_of(ON, strategy) is True
        assert jit_compile_of(OFF, strategy) is None
        assert jit_compile_of(training_pb2.TrainerOptions(), strategy) is None


def test_several_replicas_are_refused():
    strategy = mirrored_over_two_devices()
    assert jit_compile_of(OFF, strategy) is None
    with pytest.raises(ValueError, match=r"`trainer_options.use_xla` .*`--workers`.* 2 devices\."):
        jit_compile_of(ON, strategy)


def test_a_tpu_compiles_anyway(monkeypatch):
    class Pod(tf.distribute.MirroredStrategy):
        """Stands for a strategy that only a machine with a TPU can make."""

        def __init__(self):
            pass

        num_replicas_in_sync = 8

    monkeypatch.setattr(tf.distribute, "TPUStrategy", Pod)
    assert jit_compile_of(ON, Pod()) is None
