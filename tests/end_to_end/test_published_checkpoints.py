"""Checkpoint files of the size of the published ones, with the entries of deeplab2's optimisers."""

from __future__ import annotations

import pathlib
import time
from typing import Callable, Dict

import numpy as np
import pytest
import tensorflow as tf

import kmax_tf
from kmax_tf.checkpoints.mapping import variables_by_path
from tests.checkpoints import toy
from tests.golden import fill_rule, kmax_models, max_deeplab

NAMES = [*kmax_models.ENCODERS, "max_deeplab_s"]


def _manifest(name: str) -> Dict[str, tuple]:
    entries = max_deeplab.manifest() if name == "max_deeplab_s" else kmax_models.manifest(name)
    return {key: tuple(entry.shape) for key, entry in entries.items()}


def _fill(name: str) -> Callable[[str, tuple], np.ndarray]:
    return max_deeplab.fill if name == "max_deeplab_s" else fill_rule.fill


def _peak_and_now() -> Dict[str, int]:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS")}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_missing_and_nothing_unused(name, tmp_path):
    manifest = _manifest(name)
    values = {key.replace(toy.SUFFIX, ""): _fill(name)(key, s) for key, s in manifest.items()}
    toy.write(tmp_path / "ckpt-150000", values, trained=True)
    model = kmax_tf.build_model(kmax_tf.load_config(f"configs/coco/{name}.textproto"))

    on_linux = pathlib.Path("/proc/self/clear_refs").exists()
    if on_linux:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew.
    before = _peak_and_now() if on_linux else {}
    start = time.monotonic()
    report = kmax_tf.load_checkpoint(model, tmp_path)
    seconds = time.monotonic() - start

    assert report.format == "deeplab2 checkpoint"
    assert report.missing == report.unused == report.mismatched == ()
    assert len(report.loaded) == len(manifest) == len(variables_by_path(model))
    assert seconds < 20
    if on_linux:  # The model has its weights already; they may be there once more.
        weights = 4 * sum(np.prod(shape, dtype=np.int64) for shape in manifest.values())
        assert _peak_and_now()["VmHWM"] - before["VmRSS"] < 1.1 * weights
    total = sum(float(tf.reduce_sum(tf.cast(v, tf.float64))) for v in model.variables)
    expected = sum(float(value.sum(dtype=np.float64)) for value in values.values())
    np.testing.assert_allclose(total, expected, rtol=1e-6)
