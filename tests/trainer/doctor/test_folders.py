from __future__ import annotations

import pathlib
import shutil

from trainer.doctor import folders


def _touch(folder, *names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def test_data_sets_are_found(tmp_path):
    records = tmp_path / "coco" / "tfrecords"
    train = [f"train-{index:05d}-of-00003.tfrecord" for index in range(2)]
    _touch(records, *train, "val-00000-of-00001.tfrecord", "notes.txt")
    _touch(tmp_path / "empty" / "tfrecords")
    finding = folders.find_data({"KMAX_DATA": str(tmp_path)})
    assert finding.value == "coco: train 2 of 3 files, val 1 files; empty: no record files"
    assert finding.name == f"KMAX_DATA (set {tmp_path})"
    assert not finding.problem


def test_a_folder_without_data_is_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finding = folders.find_data({})
    assert finding.name == "KMAX_DATA (not set, so data)"
    assert finding.remedy == "kmax build-data shapes --output_dir=data/shapes"
    assert not finding.stops_training
    finding = folders.find_data({"KMAX_DATA": "nowhere"})
    assert "names the folder nowhere, which is not there" in finding.problem
    assert finding.remedy == "unset KMAX_DATA"


def test_room_is_that_of_the_nearest_folder(tmp_path, monkeypatch):
    finding = folders.find_room(tmp_path / "runs" / "first")
    free = shutil.disk_usage(tmp_path).free / 2**30
    assert abs(float(finding.value.split()[0]) - free) < 1
    assert not (tmp_path / "runs").exists()
    monkeypatch.setattr(folders, "ENOUGH_BYTES", 2**70)
    finding = folders.find_room(tmp_path)
    assert "a run of a large model may need" in finding.problem
    assert not finding.stops_training


def test_a_folder_that_cannot_be_written_stops_training():
    finding = folders.find_room(pathlib.Path("/proc/self/runs"))
    assert finding.stops_training
    assert finding.problem.startswith("/proc/self cannot be written: ")
