from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.layers import device


@pytest.mark.parametrize(("kinds", "expected"), [((), True), (("GPU",), False), (("TPU",), False)])
def test_a_cpu_is_what_there_is_without_an_accelerator(monkeypatch, kinds, expected):
    found = {"CPU": ["/cpu:0"], **{kind: ["device"] for kind in kinds}}
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: found.get(kind, []))
    assert device.is_cpu() is expected
