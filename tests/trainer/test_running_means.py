from __future__ import annotations

import pytest
import tensorflow as tf

from trainer.running_means import RunningMeans


def test_means_are_weighted_by_steps_and_taken_once():
    means = RunningMeans()
    means.add("loss", 4.0, 1)
    means.add("loss", 8.0, 3)
    means.add("norm", 2.0, 3)
    assert means.take() == {"loss": (4 + 3 * 8) / 4, "norm": 2.0}
    assert means.take() == {}


def test_a_checkpoint_in_the_middle_changes_no_bit(tmp_path):
    values = [0.1, 1 / 3, 1e-300, 12345.678901234567, 3.0e300]
    whole = RunningMeans()
    for value in values:
        whole.add("loss", value, 7)
    expected = whole.take()["loss"]
    first = RunningMeans()
    for value in values[:3]:
        first.add("loss", value, 7)
    path = tf.train.Checkpoint(means=first).write(str(tmp_path / "ckpt"))
    second = RunningMeans()
    second.add("other", 1.0, 1)  # forgotten
    tf.train.Checkpoint(means=second).read(path).assert_consumed()
    for value in values[3:]:
        second.add("loss", value, 7)
    assert second.take() == {"loss": pytest.approx(expected, rel=0, abs=0)}


def test_a_value_that_is_not_finite_stays_so(tmp_path):
    means = RunningMeans()
    means.add("loss", float("inf"), 1)
    path = tf.train.Checkpoint(means=means).write(str(tmp_path / "ckpt"))
    restored = RunningMeans()
    tf.train.Checkpoint(means=restored).read(path)
    assert restored.take() == {"loss": float("inf")}
