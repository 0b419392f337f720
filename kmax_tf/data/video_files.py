"""Video files, frame by frame."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Iterator, Union

import numpy as np

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")


def is_video(path: Union[str, os.PathLike]) -> bool:
    """Whether a file is called like a video."""
    return pathlib.Path(path).suffix.lower() in VIDEO_SUFFIXES


class VideoFile:
    """A video that OpenCV can read.

    Usage:
      with VideoFile("clip.mp4") as video:
          for frame in video: ...

    Args:
      path: of the file.

    Attributes:
      path: of the file.
      frames_per_second: as the file says; 25 where it does not.
      stated_frames: how many the file says it has; 0 where it does not.

    Raises:
      ValueError: the file is missing, or no frame of it can be read.
    """

    def __init__(self, path: Union[str, os.PathLike]) -> None:
        self.path = pathlib.Path(path)
        if not self.path.is_file():
            raise ValueError(f"Video {self.path} does not exist.")
        cv2 = _import_cv2()
        # The other readers of OpenCV print what they do not like.
        self._capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        self._first = self._read() if self._capture.isOpened() else None
        if self._first is None:
            self._capture.release()
            raise ValueError(f"Video {self.path} is damaged, or not a video that can be read.")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.frames_per_second = rate if np.isfinite(rate) and 0 < rate <= 1000 else 25.0
        self.stated_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames from the first one on, uint8 [H, W, 3], RGB, upright; once."""
        frame, self._first = self._first, None
        while frame is not None:
            yield frame
            frame = self._read()

    def _read(self) -> Any:
        """The next frame, or None behind the last one that can be read."""
        good, frame = self._capture.read()
        return np.ascontiguousarray(frame[..., ::-1]) if good else None


def _import_cv2() -> Any:
    # What is wrong with a file is said here, in a sentence, not by FFmpeg on the terminal.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    return cv2
