"""Pictures as a video file."""

from __future__ import annotations

import os
import pathlib
from typing import Any, Optional, Tuple, Union

import numpy as np
from PIL import Image


class VideoWriter:
    """Writes an MP4 file (MPEG-4 part 2) that appears when it is finished.

    Usage:
      with VideoWriter("overlay.mp4", frames_per_second=25) as writer:
          writer.add(picture)

    What was added before an exception or an interrupt is kept; a video without a frame is not
    written.

    Args:
      path: ends with `.mp4`; the folder is made where it is missing.
      frames_per_second: of the video.
    """

    def __init__(self, path: Union[str, os.PathLike], *, frames_per_second: float) -> None:
        self.path = pathlib.Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # OpenCV chooses the format by the suffix.
        self._temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}.mp4")
        self._rate = frames_per_second
        self._size: Optional[Tuple[int, int]] = None
        self._writer: Any = None

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._writer is not None:
            self._writer.release()
            os.replace(self._temporary, self.path)

    def add(self, picture: np.ndarray) -> None:
        """Adds a picture uint8 [H, W, 3], RGB; one of another size than the first is resized.

        Raises:
          ValueError: OpenCV cannot write such a file.
        """
        if self._writer is None:
            self._open(picture)
        if self._size is not None and picture.shape[:2] != self._size:
            size = (self._size[1], self._size[0])
            picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
        self._writer.write(np.ascontiguousarray(picture[..., ::-1]))

    def _open(self, picture: np.ndarray) -> None:
        import cv2

        # The format knows even sizes only.
        height, width = (side + side % 2 for side in picture.shape[:2])
        self._size = (height, width)
        codec = cv2.VideoWriter_fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(
            str(self._temporary), cv2.CAP_FFMPEG, codec, self._rate, (width, height)
        )
        if not self._writer.isOpened():
            self._writer = None
            raise ValueError(
                f"Video {self.path} cannot be written with {width} x {height} pixels at "
                f"{self._rate:g} frames per second."
            )
