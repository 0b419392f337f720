"""Every fault that a record can have, through a training run of a toy model."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from protos import data_pb2
from tests.data import toy_records
from tests.trainer.damaged_records import FAULTS
from trainer.bad_records import LIST, BadRecords
from trainer.data_errors import EVAL, TRAIN
from trainer.metrics_file import MetricsFile


def make_options(folder, limit, pattern="train-*"):
    return text_format.Parse(
        f"""
        dataset_info: "shapes" file_pattern: "{folder}/{pattern}" max_bad_records: {limit}
        batch_size: 2 crop_size: [33, 33]
        """,
        data_pb2.DatasetOptions(),
    )


def write(folder, broken, *, name="train-0"):
    """Five records of which those of the given numbers hold no image."""
    with tf.io.TFRecordWriter(str(folder / name)) as writer:
        for number in range(5):
            image = b"no image" if number in broken else b""
            writer.write(toy_records.record(number, image=image))


class Opened:
    """A list of bad records with what it has reported."""

    def __init__(self, folder, limit, *, part=TRAIN, kept=True, **arguments):
        self.lines = []
        self.records = BadRecords(
            make_options(folder, limit),
            part=part,
            path=folder / LIST if kept else None,
            report=self.lines.append,
            **arguments,
        )


def rows(folder):
    return [json.loads(line) for line in (folder / LIST).read_text().splitlines()]


def test_found_records_are_listed_and_remembered(tmp_path):
    write(tmp_path, [1, 3])
    opened = Opened(tmp_path, 2)
    # A batch may hold one of them or both.
    while len(opened.records.excluded) < 2:
        assert opened.records.search(seed=1, step=4)
    assert opened.records.excluded == {1: 4, 3: 4}
    assert not opened.records.search(seed=1, step=4)
    listed = rows(tmp_path)
    assert sorted((row["file"], row["record"], row["image_id"]) for row in listed) == [
        (f"{tmp_path}/train-0", 1, 1),
        (f"{tmp_path}/train-0", 3, 3),
    ]
    assert {row["part"] for row in listed} == {TRAIN}
    assert {row["image_name"] for row in listed} == {"image_1", "image_3"}
    assert all("no image that can be decoded" in row["problem"] for row in listed)
    expected = rf"Left out: Record \d of .*train-0 \(image .*`{TRAIN}`, 2 of at most 2\)\."
    assert re.fullmatch(expected, opened.lines[-1])
    again = Opened(tmp_path, 2)
    assert again.records.excluded == {1: 4, 3: 4}
    assert again.lines == [f"`{TRAIN}`: 2 bad records are left out ({tmp_path / LIST})."]


def test_without_a_limit_the_first_stops(tmp_path):
    write(tmp_path, range(5))
    expected = rf"Record \d of .*train-0 \(image 'image_\d'\) has no image .*`{TRAIN}.max_bad_re.*0"
    with pytest.raises(ValueError, match=expected) as error:
        Opened(tmp_path, 0).records.search()
    assert str(error.value).count("Record") == 1
    assert not (tmp_path / LIST).exists()


def test_one_more_than_allowed_names_all(tmp_path):
    write(tmp_path, [0, 2, 4])
    opened = Opened(tmp_path, 2, part=EVAL)
    expected = rf"3 bad records are too many: .*_0.*_2.*_4.*`{EVAL}.max_bad_records` \(2\)"
    with pytest.raises(ValueError, match=expected):
        opened.records.search()
    opened = Opened(tmp_path, 3, part=EVAL, kept=False)
    assert opened.records.search()
    assert sorted(opened.records.excluded) == [0, 2, 4]
    assert not (tmp_path / LIST).exists()


def test_a_lower_limit_stops_at_the_start(tmp_path):
    write(tmp_path, [1])
    assert Opened(tmp_path, 1).records.search()
    with pytest.raises(ValueError, match=r"Record 1 of .*max_bad_records` \(0\)"):
        Opened(tmp_path, 0)


def test_each_data_set_has_its_own(tmp_path):
    write(tmp_path, [1])
    assert Opened(tmp_path, 1).records.search()
    evaluated = Opened(tmp_path, 1, part=EVAL)
    assert evaluated.records.excluded == {}
    assert evaluated.records.search()
    assert [row["part"] for row in rows(tmp_path)] == [TRAIN, EVAL]


def test_other_files_and_files_that_were_made_again_are_forgotten(tmp_path):
    write(tmp_path, [1])
    write(tmp_path, [2], name="train-1")
    opened = Opened(tmp_path, 2)
    while opened.records.search():
        pass
    assert sorted(opened.records.excluded) == [1, 7]
    (tmp_path / "train-0").unlink()
    assert sorted(Opened(tmp_path, 2).records.excluded) == [2]  # its number has changed
    write(tmp_path, [], name="train-1")
    os.utime(tmp_path / "train-1", ns=(1, 1))
    assert Opened(tmp_path, 0).records.excluded == {}


@pytest.mark.parametrize("rest", [b'{"part": "train_da', b"[]\n", b"\xff\n", b'{"part": 3}\n'])
def test_half_a_line_and_lines_of_others_are_left(tmp_path, rest):
    write(tmp_path, [1, 3])
    (tmp_path / LIST).write_bytes(rest)
    opened = Opened(tmp_path, 2)
    while opened.records.search():
        pass
    assert sorted(Opened(tmp_path, 2).records.excluded) == [1, 3]
    assert (tmp_path / LIST).read_bytes().startswith(rest)


def test_a_record_that_comes_earlier_in_another_order(tmp_path):
    write(tmp_path, [1])
    assert Opened(tmp_path, 1).records.search(seed=1, step=50)
    opened = Opened(tmp_path, 1)
    assert opened.records.search(seed=2, step=0)
    assert opened.records.excluded == Opened(tmp_path, 1).records.excluded == {1: 0}


def test_damaged_files_count(tmp_path):
    write(tmp_path, [])
    path = tmp_path / "train-0"
    path.write_bytes(path.read_bytes()[:-1])
    opened = Opened(tmp_path, 1)
    assert opened.records.excluded == {}
    assert (
        "Record 4 of" in opened.lines[0] and "the rest of the file is left out" in opened.lines[0]
    )
    assert Opened(tmp_path, 1).lines == []
    assert len(rows(tmp_path)) == 1
    with pytest.raises(ValueError, match=r"Record 4 of .* cannot be read"):
        Opened(tmp_path, 0)


def test_several_processes_go_on_only_after_a_new_start(tmp_path):
    write(tmp_path, [1])
    with pytest.raises(ValueError, match=r"Record 1 of .*now listed in .*start the run again"):
        Opened(tmp_path, 1, goes_on=False).records.search()
    assert Opened(tmp_path, 1, goes_on=False).records.excluded == {1: 0}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_bad_record_stops_the_run_or_is_left_out(run, damaged, tmp_path, capfd, fault):
    data = f"--set=KMAX_DATA={damaged(fault)}"
    steps = "--set=trainer_options.steps_per_loop=2"
    summaries = "--set=trainer_options.save_summaries_steps=4"
    saving = "--set=trainer_options.save_checkpoints_steps=4"
    assert run(data, steps, summaries, saving, "--mode=train", steps=8, folder="strict") == 2
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    (sentence,) = [line for line in errors.splitlines() if line.startswith("kmax: ")]
    record = 5 if fault == "file that is cut off" else 1
    expected = rf"Record {record} of .*train-00000-of-00001\.tfrecord.* {FAULTS[fault][1]}"
    assert re.search(expected, sentence), sentence
    assert not (tmp_path / "strict" / LIST).exists()

    allowed = "--set=train_dataset_options.max_bad_records=1"
    assert run(data, steps, summaries, saving, allowed, "--mode=train", steps=8) == 0
    (row,) = rows(tmp_path / "run")
    assert (row["record"], row["part"]) == (record, TRAIN)
    assert row["image_id"] == (None if record == 5 else 1)
    output = capfd.readouterr().out
    assert len(re.findall(f"Left out: {expected}", output)) == 1
    metrics = MetricsFile(tmp_path / "run" / "metrics.jsonl").rows()
    assert [line["step"] for line in metrics] == [4, 8]
    assert all(np.isfinite(line["loss/total"]) for line in metrics)


def test_a_run_with_bad_records_is_repeated_exactly(run, damaged, tmp_path):
    """By one that knows of them from its start, as a run does that was killed and starts again."""
    given = (
        f"--set=KMAX_DATA={damaged('image that cannot be decoded')}",
        "--set=train_dataset_options.max_bad_records=1",
        "--mode=train",
    )
    assert run(*given, steps=8, folder="once") == 0
    expected = MetricsFile(tmp_path / "once" / "metrics.jsonl").rows()
    assert len(expected) == 8
    (tmp_path / "knows").mkdir()
    (tmp_path / "knows" / LIST).write_bytes((tmp_path / "once" / LIST).read_bytes())
    assert run(*given, steps=8, folder="knows") == 0
    assert MetricsFile(tmp_path / "knows" / "metrics.jsonl").rows() == expected


@pytest.mark.parametrize("mode", ["train_and_eval", "eval"])
def test_an_evaluation_leaves_bad_records_out(run, damaged, tmp_path, capfd, mode):
    data = f"--set=KMAX_DATA={damaged('label outside the classes', split='val')}"
    if mode == "eval":
        assert run("--mode=train", steps=2) == 0
    assert run(data, f"--mode={mode}", steps=2) == 2
    assert re.search(r"Record 1 of .*val-0.*classes \[77\]", capfd.readouterr().err)
    allowed = "--set=eval_dataset_options.max_bad_records=1"
    assert run(data, allowed, f"--mode={mode}", steps=2) == 0
    assert "Images left out because of bad records: 1." in capfd.readouterr().out
    (evaluated,) = [
        line for line in MetricsFile(tmp_path / "run" / "metrics.jsonl").rows() if "eval/pq" in line
    ]
    assert evaluated["eval/images_left_out"] == 1
    assert [row["part"] for row in rows(tmp_path / "run")] == [EVAL]
