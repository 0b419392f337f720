from __future__ import annotations

import json
import threading

import pytest

from tests.full_disk import full_disk
from trainer.metrics_file import MetricsFile
from trainer.user_errors import StorageError


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


def test_half_a_line_does_not_swallow_the_next_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.append(1, {"a": 1.0})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')  # A crash while writing.
    metrics.append(3, {"a": 1.0})
    with path.open("r+") as file:
        file.truncate(path.stat().st_size - 1)  # A whole line, but for its end.
    metrics.append(4, {"a": 1.0})
    assert path.read_text().count("\n") == 3
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 3, 4]


def test_no_line_is_lost_while_another_process_cuts(tmp_path):
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path).append(0, {})

    def evaluate(first):
        for step in range(first, first + 100):
            MetricsFile(path).append(step, {"eval/pq": 1.0})

    # Locks of separately opened files exclude threads as they exclude processes.
    threads = [threading.Thread(target=evaluate, args=(first,)) for first in (1, 101)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        MetricsFile(path).cut_after(1000)
    rows = MetricsFile(path).rows()
    assert sorted(row["step"] for row in rows) == list(range(201))


def test_a_full_disk_and_a_folder_that_has_gone_are_told(tmp_path):
    gone = MetricsFile(tmp_path / "gone" / "metrics.jsonl")
    with pytest.raises(StorageError, match=r"gone/metrics\.jsonl cannot be written: No such file"):
        gone.append(1, {"loss": 1.0})
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    metrics.append(1, {"loss": 1.0})
    with full_disk(path.stat().st_size + 5), pytest.raises(StorageError, match="File too large"):
        metrics.append(2, {"loss": 2.0})
    metrics.append(3, {"loss": 3.0})  # The half line is gone.
    assert [row["step"] for row in metrics.rows()] == [1, 3]
