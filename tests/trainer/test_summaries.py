from __future__ import annotations

import io

import numpy as np
import orbit
import tensorflow as tf

from trainer.metrics_file import MetricsFile
from trainer.progress import Progress
from trainer.summaries import EvalSummaries, TrainSummaries


def _events(folder):
    found = {}
    for path in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                tensor = tf.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, tensor))
    return found


def _train_summaries(folder, step, **options):
    progress = Progress(total_steps=10, batch_size=2, line_interval=1, stream=io.StringIO())
    return TrainSummaries(
        folder / "train",
        metrics_file=MetricsFile(folder / "metrics.jsonl"),
        progress=progress,
        global_step=step,
        **options,
    )


def test_loops_are_averaged_over_the_summary_interval(tmp_path):
    step = orbit.utils.create_global_step()
    summaries = _train_summaries(tmp_path, step, interval=4, last_step=10)
    for now, steps, loss in ((1, 1, 4.0), (4, 3, 8.0), (8, 4, 1.0), (10, 2, 2.0)):
        step.assign(now)
        summaries.write_summaries(
            {
                "loss/total": loss,
                "learning_rate": 1.0 / now,
                "images_per_second": 5.0,
                "loop_steps": steps,
                "steps_per_second": 3.0,
            }
        )
    summaries.flush()
    rows = MetricsFile(tmp_path / "metrics.jsonl").rows()
    assert rows == [
        {"step": 4, "loss/total": (4 + 3 * 8) / 4, "learning_rate": 0.25},
        {"step": 8, "loss/total": 1.0, "learning_rate": 0.125},
        {"step": 10, "loss/total": 2.0, "learning_rate": 0.1},
    ]
    events = _events(tmp_path / "train")
    assert [s for s, _ in events["loss/total"]] == [4, 8, 10]
    assert [float(v) for _, v in events["images_per_second"]] == [5.0, 5.0, 5.0]
    assert not {"steps_per_second", "loop_steps"} & set(events)


def test_what_a_loop_leaves_out_is_averaged_over_the_others(tmp_path):
    step = orbit.utils.create_global_step()
    summaries = _train_summaries(tmp_path, step, interval=6, last_step=10)
    plain = {"loss/total": 1.0, "learning_rate": 0.5, "images_per_second": 5.0}
    for now, steps, norm in ((1, 1, 8.0), (3, 2, None), (6, 3, 4.0), (10, 4, None)):
        step.assign(now)
        values = {**plain, "loop_steps": steps}
        summaries.write_summaries(values if norm is None else {**values, "gradient_norm": norm})
    first, second = MetricsFile(tmp_path / "metrics.jsonl").rows()
    assert first["gradient_norm"] == (8.0 + 3 * 4.0) / 4
    assert (first["loss/total"], second["loss/total"]) == (1.0, 1.0)
    assert "gradient_norm" not in second


def test_evaluation_writes_metrics_table_and_pictures(tmp_path):
    step = orbit.utils.create_global_step()
    step.assign(3)
    metrics_file = MetricsFile(tmp_path / "metrics.jsonl")
    summaries = EvalSummaries(tmp_path / "eval", metrics_file=metrics_file, global_step=step)
    summaries.write_summaries({"eval/pq": 12.5, "steps_per_second": 1.0})
    summaries.write_table("class  PQ")
    summaries.write_picture("000001", np.zeros([4, 5, 3], np.uint8))
    summaries.flush()
    assert metrics_file.rows() == [{"step": 3, "eval/pq": 12.5}]
    events = _events(tmp_path / "eval")
    assert float(events["eval/pq"][0][1]) == 12.5
    assert b"class  PQ" in events["eval/table"][0][1].item()
    assert events["eval/000001"][0][1][:2].tolist() == [b"5", b"4"]
