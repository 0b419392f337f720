"""Videos that OpenCV wrote, read again; and files that are none."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from kmax_tf.data.video_files import VideoFile, is_video

COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]


@pytest.fixture
def clip(tmp_path):
    """Four frames of 64 x 48, red, green, blue, yellow, at 12.5 per second; lossless enough."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.5, (64, 48))
    for color in COLORS:
        writer.write(np.full((48, 64, 3), color[::-1], np.uint8))
    writer.release()
    return path


def test_frames_are_rgb_and_in_order(clip):
    with VideoFile(clip) as video:
        assert video.frames_per_second == pytest.approx(12.5)
        assert video.stated_frames == 4
        frames = list(video)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 4
    for frame, color in zip(frames, COLORS):
        assert frame.dtype == np.uint8
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), color, atol=4)


def test_names_of_videos():
    assert is_video("holiday.MP4")
    assert not is_video("holiday.jpg")


@pytest.mark.parametrize("content", [b"", b"no video at all", b"RIFF\x00\x10\x00\x00AVI LIST"])
def test_broken_files_are_one_sentence(content, tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"broken.mp4 is damaged, or not a video that can be read\."
    ):
        VideoFile(path)


def test_ffmpeg_is_silent_about_broken_files(tmp_path):
    # In a program of its own: FFmpeg reads its log level once.
    (tmp_path / "broken.mp4").write_bytes(b"no video at all")
    program = (
        "from kmax_tf.data.video_files import VideoFile\n"
        "try:\n    VideoFile('broken.mp4')\n"
        "except ValueError:\n    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.mp4 does not exist"):
        VideoFile(tmp_path / "none.mp4")


def test_a_video_that_breaks_off_gives_what_is_there(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(20):
        writer.write(random.integers(0, 255, (48, 64, 3)).astype(np.uint8))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with VideoFile(path) as video:
        assert 5 < len(list(video)) < 20
