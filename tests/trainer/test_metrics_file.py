from __future__ import annotations

import json

from trainer.metrics_file import MetricsFile


def test_lines_after_a_step_are_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    assert metrics.rows() == []
    metrics.cut_after(0)  # no file yet
    for step in (10, 20, 30):
        metrics.append(step, {"loss/total": step / 7})
    metrics.append(20, {"eval/pq": 12.5})
    metrics.cut_after(20)
    rows = metrics.rows()
    assert [row["step"] for row in rows] == [10, 20, 20]
    assert rows[0]["loss/total"] == 10 / 7
    assert metrics.has_evaluation(20)
    assert not metrics.has_evaluation(10)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_not_finite_is_null_and_half_a_line_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.append(1, {"eval/pq": float("nan")})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')
    assert json.loads(path.read_text().splitlines()[0]) == {"step": 1, "eval/pq": None}
    assert len(metrics.rows()) == 1
    metrics.cut_after(5)
    metrics.append(3, {"a": 1.0})
    assert [row["step"] for row in metrics.rows()] == [1, 3]
