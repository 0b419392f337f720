"""`kmax predict clip.mp4`: a video of pictures, and one line of JSON per frame."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, Sequence, Tuple

import numpy as np

from trainer.user_errors import INTERRUPTED, USER_ERROR

if TYPE_CHECKING:
    from kmax_tf.data.video_files import VideoFile
    from kmax_tf.predictor import Predictor

_LINE_INTERVAL = 25  # frames


def predict_videos(
    named: Sequence[Tuple[str, pathlib.Path]],
    predictor: Predictor,
    *,
    folder: pathlib.Path,
    pictures: Sequence[str],
    options: Dict[str, Any],
) -> int:
    """Predicts videos, one after the other; an interrupt keeps the frames that are finished.

    Args:
      named: name of the results and path of each video.
      predictor: what predicts.
      folder: gets `<name>_<picture>.mp4` and `<name>_frames.jsonl`; made where it is missing.
      pictures: kinds that are drawn, see `PanopticResult.picture`.
      options: of `Predictor.video`.

    Returns:
      The exit code: 2 where a video could not be read, 130 after an interrupt.
    """
    from kmax_tf.data.video_files import VideoFile

    folder.mkdir(parents=True, exist_ok=True)
    code = 0
    for name, path in named:
        try:
            with VideoFile(path) as video:
                done, finished = _predict_video(video, predictor, folder / name, pictures, options)
                stated = video.stated_frames
        except ValueError as error:
            print(f"kmax: {error}", file=sys.stderr, flush=True)
            code = USER_ERROR
            continue
        if not finished:
            print(f"Interrupted after {done} frames of {path}; their results are in {folder}.")
            return INTERRUPTED
        of_all = f" of {stated}" if stated > done else ""
        print(f"{path}: {done}{of_all} frames predicted; results are in {folder}.", flush=True)
    return code


def _predict_video(
    video: VideoFile,
    predictor: Predictor,
    stem: pathlib.Path,
    pictures: Sequence[str],
    options: Dict[str, Any],
) -> Tuple[int, bool]:
    """How many frames were predicted, and whether that is all, not interrupted."""
    from kmax_tf.results.video_writer import VideoWriter

    rate = video.frames_per_second
    start, done = time.monotonic(), 0
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(open(f"{stem}_frames.jsonl", "w", encoding="utf-8"))
        writers = {
            kind: stack.enter_context(VideoWriter(f"{stem}_{kind}.mp4", frames_per_second=rate))
            for kind in pictures
        }
        try:
            for result in predictor.video(video, **options):
                for kind, writer in writers.items():
                    writer.add(np.asarray(result.picture(kind)))
                found = result.to_coco(image_id=done + 1)
                del found["file_name"]  # There is no PNG.
                line = {"frame": done + 1, "seconds": round(done / rate, 6), **found}
                lines.write(json.dumps(line) + "\n")
                done += 1
                if done % _LINE_INTERVAL == 0:
                    per_second = done / (time.monotonic() - start)
                    left = max(0, video.stated_frames - done) / per_second
                    print(
                        f"[{done}/{video.stated_frames or '?'}] {video.path}, {per_second:.1f} "
                        f"frames/s, {left:.0f} s left",
                        flush=True,
                    )
        except KeyboardInterrupt:
            return done, False
    return done, True
