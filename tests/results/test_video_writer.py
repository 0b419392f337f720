"""A written video has the frames that were added."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kmax_tf.results.video_writer import VideoWriter


def read(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = capture.read()
        if not good:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame[..., ::-1])


def test_frames_survive(tmp_path):
    path = tmp_path / "new" / "clip.mp4"
    with VideoWriter(path, frames_per_second=10) as writer:
        writer.add(np.full((49, 65, 3), (200, 40, 40), np.uint8))  # odd sides, which MPEG-4 lacks
        writer.add(np.full((98, 130, 3), (40, 40, 200), np.uint8))  # another size
        assert not path.exists()
    frames, rate = read(path)
    assert [frame.shape for frame in frames] == [(50, 66, 3)] * 2
    assert rate == pytest.approx(10)
    np.testing.assert_allclose(frames[0].mean(axis=(0, 1)), (200, 40, 40), atol=12)
    np.testing.assert_allclose(frames[1].mean(axis=(0, 1)), (40, 40, 200), atol=12)
    assert [p.name for p in path.parent.iterdir()] == ["clip.mp4"]


def test_an_interrupt_keeps_what_was_added(tmp_path):
    path = tmp_path / "clip.mp4"
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, frames_per_second=10) as writer:
        writer.add(np.zeros((48, 64, 3), np.uint8))
        raise KeyboardInterrupt
    assert len(read(path)[0]) == 1


def test_no_frame_is_no_file(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", frames_per_second=10):
        pass
    assert list(tmp_path.iterdir()) == []
