from __future__ import annotations

import pytest

from evaluation.crowd import crowd_note


def test_records_beside_a_description_keep_crowd(tmp_path):
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
        (folder / "val-0.tfrecord").touch()
    (ours / "dataset_info.json").touch()
    assert crowd_note([f"{ours}/val-*"]) == ""
    assert "crowd counted as void" in crowd_note([f"{others}/val-*"])
    assert "crowd counted as void" in crowd_note([f"{ours}/val-*", f"{others}/val-*"])
    with pytest.raises(ValueError, match="matches no file"):
        crowd_note([f"{ours}/train-*"])
