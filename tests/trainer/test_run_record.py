from __future__ import annotations

import json

import pytest

from kmax_tf.data.fingerprint import FileFingerprint
from trainer import run_record

TRAIN = FileFingerprint("train-0", 100, 3, "aa")
OTHER = FileFingerprint("train-1", 50, 1, "bb")


def _record(folder, *, data, step=0, **changed):
    options = {"mode": "train", "seed": 1, "devices": "CPU", "config_text": "a: 1\n", **changed}
    return run_record.record_session(folder, step=step, data={"train": data}, **options)


def _read(folder):
    return json.loads((folder / "run.json").read_text())


def test_sessions_are_appended(tmp_path):
    assert _record(tmp_path, data=[TRAIN]) == []
    first = _read(tmp_path)
    assert first["data"] == {"train": {"train-0": {"size": 100, "records": 3, "sha256": "aa"}}}
    assert _record(tmp_path, data=[TRAIN], step=7) == []
    record = _read(tmp_path)
    assert record["sessions"][0] == first["sessions"][0]
    assert [session["step"] for session in record["sessions"]] == [0, 7]
    # The SHA-256 of `a: 1` and the end of the line.
    assert record["sessions"][1]["config_sha256"].startswith("37b128c5")
    assert record["sessions"][1]["versions"]["tensorflow"].startswith("2.")
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]


@pytest.mark.parametrize(
    ("data", "change"),
    [
        ([TRAIN._replace(sha256="cc"), OTHER], "train: train-0 has another content"),
        ([TRAIN._replace(records=4), OTHER], "train: train-0 has another content"),
        ([TRAIN], "train: train-1 is gone"),
        ([TRAIN, OTHER, OTHER._replace(name="train-2")], "train: train-2 is new"),
        ([OTHER, TRAIN], "train: the files have another order"),
    ],
)
def test_changes_of_the_data_are_named_and_kept(tmp_path, data, change):
    _record(tmp_path, data=[TRAIN, OTHER])
    assert _record(tmp_path, data=data, step=5) == [change]
    assert _record(tmp_path, data=data, step=6) == []
    assert [s["changes"] for s in _read(tmp_path)["sessions"]] == [[], [change], []]


def test_changes_of_the_environment_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(run_record, "read_versions", lambda: {"numpy": "1.26"})
    _record(tmp_path, data=[TRAIN])
    monkeypatch.setattr(run_record, "read_versions", lambda: {"numpy": "2.0"})
    monkeypatch.setattr(run_record.os, "sched_getaffinity", lambda process: range(77))
    changes = _record(tmp_path, data=[TRAIN], seed=2, devices="1 GPU", config_text="a: 2\n")
    assert changes[:2] == ["seed 1 -> 2", "devices CPU -> 1 GPU"]
    assert changes[2].startswith("threads ") and changes[2].endswith(" -> 77")
    assert changes[3:] == ["numpy 1.26 -> 2.0"]


@pytest.mark.parametrize("content", ["", "[]", '{"sessions": {}, "data": {}}', "[" * 100_000])
def test_what_is_no_record_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json must be the record of a run"):
        _record(tmp_path, data=[TRAIN])
    assert (tmp_path / "run.json").read_text() == content
