"""The facts of a model card: metrics of exactly the exported weights."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from trainer.export_card import known_metrics

ROWS = [
    {"step": 10, "loss/total": 3.0},
    {"step": 10, "eval/pq": 41.5, "eval/miou": 60.0, "eval/ap": None},
    {"step": 20, "eval/pq": 42.5},
]


@pytest.fixture
def run(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    for name in ("ckpt-10", "ckpt-20", "ckpt-30", "best/ckpt-10", "last"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tf.train.Checkpoint(x=tf.Variable(0)).write(str(tmp_path / name))
    return tmp_path


@pytest.mark.parametrize(
    ("checkpoint", "expected"),
    [
        ("ckpt-10", {"pq": 41.5, "miou": 60.0}),
        ("ckpt-20", {"pq": 42.5}),
        ("ckpt-30", {}),
        ("best/ckpt-10", {"pq": 41.5, "miou": 60.0}),
        ("last", {}),
    ],
)
def test_metrics_are_those_of_the_step(run, checkpoint, expected):
    assert known_metrics(run / checkpoint) == expected
