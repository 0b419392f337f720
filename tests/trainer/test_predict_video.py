"""`kmax predict` with videos: a video per picture, a line per frame, broken ones named."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from kmax_tf.data.video_files import VideoFile
from kmax_tf.results.run_length import decode_mask
from tests.export.toy import toy_image
from tests.trainer.test_predict_command import saved_model  # noqa: F401
from trainer import cli


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 32))
    for seed in range(4):
        writer.write(toy_image(32, 64, seed))
    writer.release()
    return path


def predict(saved_model, output, *arguments) -> int:  # noqa: F811
    return cli.main(
        ["predict", f"--saved_model={saved_model}", f"--output_dir={output}", *map(str, arguments)]
    )


def test_a_video_becomes_videos_and_lines(saved_model, clip, tmp_path, capsys):  # noqa: F811
    output = tmp_path / "out"
    assert predict(saved_model, output, clip, "--pictures=overlay,outline", "--batch_size=3") == 0
    assert {path.name for path in output.iterdir()} == {
        "clip_overlay.mp4",
        "clip_outline.mp4",
        "clip_frames.jsonl",
    }
    assert "4 frames predicted" in capsys.readouterr().out
    with VideoFile(output / "clip_overlay.mp4") as video:
        assert video.frames_per_second == pytest.approx(10)
        frames = list(video)
    assert len(frames) == 4
    assert frames[0].shape[0] / frames[0].shape[1] == pytest.approx(0.5)
    lines = [json.loads(line) for line in (output / "clip_frames.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [1, 2, 3, 4]
    assert [line["seconds"] for line in lines] == pytest.approx([0, 0.1, 0.2, 0.3])
    for seed, line in enumerate(lines):
        bright = toy_image(32, 64, seed)[..., 0] > 170
        (entry,) = line["instances"]
        assert entry["category_id"] == 30
        assert (decode_mask(entry["segmentation"]) == bright).mean() > 0.9
        covered = sum(decode_mask(e["segmentation"]) for e in line["instances"] + line["stuff"])
        np.testing.assert_array_equal(covered, 1)


def test_broken_videos_are_named_and_the_others_go_on(saved_model, clip, tmp_path, capsys):  # noqa: F811
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    output = tmp_path / "out"
    assert predict(saved_model, output, broken, clip) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("kmax: ")]
    assert len(errors) == 1 and "broken.mp4 is damaged" in errors[0]
    assert (output / "clip_overlay.mp4").exists()
    assert not (output / "broken_frames.jsonl").exists()


def test_an_interrupt_keeps_the_frames(saved_model, clip, tmp_path, capsys, monkeypatch):  # noqa: F811
    from kmax_tf.results.panoptic_result import PanopticResult

    drawn = []
    picture = PanopticResult.picture

    def interrupted(self, kind):
        drawn.append(kind)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return picture(self, kind)

    monkeypatch.setattr(PanopticResult, "picture", interrupted)
    output = tmp_path / "out"
    assert predict(saved_model, output, clip) == 130
    assert "Interrupted after 2 frames" in capsys.readouterr().out
    assert len((output / "clip_frames.jsonl").read_text().splitlines()) == 2
    with VideoFile(output / "clip_overlay.mp4") as video:
        assert len(list(video)) == 2
