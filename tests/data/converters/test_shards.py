from __future__ import annotations

import json
import pathlib
import sys

import pytest
import tensorflow as tf

from kmax_tf.data.converters import shards
from kmax_tf.data.converters.source_error import SourceError


def encode(item):
    if item.startswith("bad"):
        raise SourceError(f"Image {item} cannot be read.", "image cannot be read")
    if item == "fault":
        raise ValueError("No fault of the image.")
    return shards.EncodedRecord(item.encode(), {"segments/a": 1, f"dropped/{item}": 1})


def write(folder, items, num_shards=3, **changes):
    arguments = {
        "output_dir": str(folder),
        "split": "train",
        "num_shards": num_shards,
        "identity": "v1",
        **changes,
    }
    return shards.write_shards(items, encode, **arguments)


def contents(folder):
    return {
        path.name: [r.decode() for r in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
        for path in sorted(folder.glob("train-*"))
    }


def test_consecutive_items_as_deeplab2_divides_them(tmp_path):
    report = write(tmp_path, list("abcdefg"), 4)
    assert contents(tmp_path) == {
        "train-00000-of-00004.tfrecord": ["a", "b"],
        "train-00001-of-00004.tfrecord": ["c", "d"],
        "train-00002-of-00004.tfrecord": ["e", "f"],
        "train-00003-of-00004.tfrecord": ["g"],
    }
    assert report["images"] == 7
    assert report["statistics"]["segments/a"] == 7
    assert json.loads((tmp_path / "report" / "train.json").read_text()) == report


def test_shards_are_capped_at_one_an_image(tmp_path):
    write(tmp_path, ["a", "b"], 5)
    assert sorted(contents(tmp_path)) == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]


def test_finished_shards_are_not_made_again(tmp_path):
    first = write(tmp_path, list("abcdef"))
    times = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("train-*")}
    (tmp_path / "train-00001-of-00003.tfrecord").unlink()
    second = write(tmp_path, list("abcdef"))
    assert second == {**first, "shards_kept": 2}
    now = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("train-*")}
    changed = [name for name in times if now[name] != times[name]]
    assert changed == ["train-00001-of-00003.tfrecord"]


def test_shards_made_from_something_else_are_made_again(tmp_path):
    write(tmp_path, list("abcdef"))
    assert write(tmp_path, list("abcdXf"))["shards_kept"] == 2
    assert write(tmp_path, list("abcdXf"), identity="v2")["shards_kept"] == 0


def test_an_error_leaves_no_half_shard(tmp_path):
    with pytest.raises(ValueError, match="Image bad"):
        write(tmp_path, ["a", "b", "bad"], 2, strict=True)
    assert contents(tmp_path) == {"train-00000-of-00002.tfrecord": ["a", "b"]}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_refuses_other_shards_and_no_items(tmp_path):
    write(tmp_path, list("abcdef"))
    with pytest.raises(ValueError, match=r"another number of shards \(train-00000-of-00003"):
        write(tmp_path, list("abcdef"), 2)
    with pytest.raises(ValueError, match="no images"):
        write(tmp_path, [])


def test_processes(tmp_path, monkeypatch):
    """Other processes write the same files, and an error comes back as it is."""
    monkeypatch.setattr(shards, "PARALLEL_FROM", 1)
    with pytest.raises(ValueError, match="Image bad"):
        write(tmp_path, ["a", "b", "c", "bad"], 2, processes=2, strict=True)
    monkeypatch.undo()
    report = write(tmp_path, ["a", "b", "c", "d"], 2)
    assert contents(tmp_path)["train-00000-of-00002.tfrecord"] == ["a", "b"]
    assert report["statistics"]["segments/a"] == 4
    # How far the good shard came before the other process failed is a matter of luck.
    assert report["shards_kept"] in (0, 1)
    assert write(tmp_path, ["a", "b", "c", "d"], 2)["shards_kept"] == 2


def encode_late(item):
    """One item fails, one waits until the conversion is stopped, a third leaves its path."""
    if item == "bad":
        raise ValueError("Image bad cannot be read.")
    if item == "wait":
        shards._stop.wait(60)
    else:
        pathlib.Path(item).touch()
    return shards.EncodedRecord(item.encode(), {})


def test_an_error_ends_the_other_processes(tmp_path, monkeypatch):
    """The shard that is being written elsewhere ends at its next image."""
    monkeypatch.setattr(shards, "PARALLEL_FROM", 1)
    monkeypatch.setattr(sys.modules[__name__], "encode", encode_late)
    next_image = tmp_path / "next_image"
    with pytest.raises(ValueError, match="Image bad") as error:
        write(tmp_path, ["wait", str(next_image), "bad", "bad"], 2, processes=2)
    assert not next_image.exists()
    assert error.value.__cause__ is None
    assert contents(tmp_path) == {}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


BAD = {
    "image": "bad",
    "reason": "image cannot be read",
    "detail": "Image bad cannot be read.",
}


def read_report(folder):
    return json.loads((folder / "report" / "train.json").read_text())


@pytest.mark.parametrize("parallel", [False, True])
def test_unusable_images_are_left_out_and_listed(tmp_path, monkeypatch, parallel):
    if parallel:
        monkeypatch.setattr(shards, "PARALLEL_FROM", 1)
    report = write(tmp_path, ["a", "bad", "c", "bad2", "e"], 2, processes=1 + parallel)
    assert contents(tmp_path) == {
        "train-00000-of-00002.tfrecord": ["a", "c"],
        "train-00001-of-00002.tfrecord": ["e"],
    }
    assert report["images"] == report["statistics"]["segments/a"] == 3
    assert report["skipped"][0] == BAD
    assert [skip["image"] for skip in report["skipped"]] == ["bad", "bad2"]
    assert read_report(tmp_path) == report


def test_resuming_keeps_the_list(tmp_path):
    first = write(tmp_path, ["a", "bad", "c", "d"], 2)
    assert first["shards_kept"] == 0
    assert write(tmp_path, ["a", "bad", "c", "d"], 2) == {**first, "shards_kept": 2}
    (tmp_path / "train-00001-of-00002.tfrecord").unlink()
    assert write(tmp_path, ["a", "bad", "c", "d"], 2) == {**first, "shards_kept": 1}
    with pytest.raises(ValueError, match="Image bad"):  # although the shard is finished
        write(tmp_path, ["a", "bad", "c", "d"], 2, strict=True)
    assert write(tmp_path, ["a", "b", "c", "d"], 2)["skipped"] == []


def test_other_errors_are_never_skipped(tmp_path):
    with pytest.raises(ValueError, match="No fault of the image"):
        write(tmp_path, ["a", "fault"])


def test_no_usable_image_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"None of the 2 images of split 'train'.*: Image bad "):
        write(tmp_path, ["bad", "bad2"])
    assert contents(tmp_path) == {}
    assert read_report(tmp_path)["skipped"][0] == BAD


def test_images_found_unusable_before(tmp_path):
    skipped = [shards.Skipped(**BAD)]
    report = write(tmp_path, ["a"], skipped=skipped, warnings=["Too few."])
    assert (report["images"], report["skipped"], report["warnings"]) == (1, [BAD], ["Too few."])
    with pytest.raises(ValueError, match="Image bad cannot"):
        write(tmp_path, ["a"], skipped=skipped, strict=True)
    with pytest.raises(ValueError, match="nothing to convert; of 1 skipped the first: Image bad"):
        write(tmp_path, [], skipped=skipped)


def test_unusable_images_are_named_by_their_first_file(tmp_path):
    report = write(tmp_path, ["a", "bad"], files_of=lambda item: (f"{item}.jpg", "x.png"))
    assert report["skipped"][0]["image"] == "bad.jpg"


def test_progress_prints_lines_where_there_is_no_terminal(capsys):
    with shards.Progress(4, "Writing", interval=0.0) as progress:
        progress.advance(1)
    assert "Writing: 1 of 4 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "[" * 100_000, "{}", '{"fingerprint": 1}', '{"skipped": [3]}']
)
def test_shards_whose_report_is_damaged_are_made_again(tmp_path, text):
    first = write(tmp_path, list("abcdef"))
    report = tmp_path / "report" / "train-00001-of-00003.json"
    report.write_text(text)
    assert write(tmp_path, list("abcdef")) == {**first, "shards_kept": 2}
    report.write_text(json.dumps({**json.loads(report.read_text()), "statistics": {"a": "b"}}))
    assert write(tmp_path, list("abcdef")) == {**first, "shards_kept": 2}
