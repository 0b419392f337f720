"""Counts the pixels that pairs of segments share in the PNGs of two COCO panoptic folders.

Runs in many processes and imports nothing heavy, so that these start quickly; only counts travel
back.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
from multiprocessing import resource_tracker
from typing import Deque, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from kmax_tf.image_limits import READ_ERRORS, open_image, read_image_bytes

PARALLEL_FROM = 100
"""Fewer images than this are read in this process, unless a number of processes is given."""

_ID_BITS = 0xFFFFFF
_IMAGES_PER_CHUNK = 16
_CHUNKS_AHEAD = 4  # per process: what is waiting stays small, however many images there are

FilePair = Tuple[str, str]
"""Paths of the PNGs of the ground truth and of the prediction of one image."""


class PixelCounts(NamedTuple):
    """How many pixels of one image have which pair of segment ids; each pair occurs once.

    Attributes:
      true_ids: int64 [K], ids of the ground truth, 0 = void.
      predicted_ids: int64 [K], ids of the prediction, 0 = void.
      pixels: int64 [K], their number of pixels, > 0.
    """

    true_ids: np.ndarray
    predicted_ids: np.ndarray
    pixels: np.ndarray


def count_pairs(ground_truth: np.ndarray, prediction: np.ndarray) -> PixelCounts:
    """Counts all pairs of ids of one image.

    Args:
      ground_truth: uint32 [H, W], segment ids; the highest of the four bytes is not read.
      prediction: uint32 [H, W], likewise.

    Returns:
      The `PixelCounts`, ordered by id of the ground truth, then of the prediction.
    """
    truth, guess = ground_truth.ravel(), prediction.ravel()
    # Along a row of pixels ids rarely change: sorting runs is much quicker than sorting pixels.
    changes = (truth[1:] != truth[:-1]) | (guess[1:] != guess[:-1])
    ends = np.append(np.flatnonzero(changes), truth.size - 1)
    lengths = np.diff(ends, prepend=-1)
    keys = (truth[ends] & _ID_BITS).astype(np.int64) << 24 | guess[ends] & _ID_BITS
    pairs, index = np.unique(keys, return_inverse=True)
    pixels = np.bincount(index.reshape(-1), weights=lengths, minlength=len(pairs))
    return PixelCounts(pairs >> 24, pairs & _ID_BITS, pixels.astype(np.int64))


def read_segment_ids(path: str) -> np.ndarray:
    """Segment ids `R + 256 * G + 65536 * B` of a PNG.

    Args:
      path: of an RGB image; an alpha channel is not read.

    Returns:
      uint32 [H, W]; the id is in the three lower bytes, the highest one has no meaning.

    Raises:
      ValueError: the file is missing, broken or too large, or has no three colours.
    """
    try:
        with open_image(read_image_bytes(path)) as image:
            mode = image.mode
            width, height = image.size
            # Clearing the fourth byte here would be one more pass over all pixels.
            pixels = image.tobytes("raw", "RGBX") if mode == "RGB" else image.tobytes()
    except READ_ERRORS as error:
        raise ValueError(f"Panoptic PNG {path} cannot be read: {error}.") from error
    if mode not in ("RGB", "RGBA"):
        raise ValueError(f"A panoptic PNG must be RGB; received mode {mode} in {path}.")
    return np.frombuffer(pixels, "<u4").reshape(height, width)


def measure_files(files: Sequence[FilePair]) -> List[PixelCounts]:
    """Counts the pairs of some images.

    Raises:
      ValueError: a file cannot be read, or the two of an image have different sizes.
    """
    results = []
    for true_path, predicted_path in files:
        truth, guess = read_segment_ids(true_path), read_segment_ids(predicted_path)
        if truth.shape != guess.shape:
            raise ValueError(
                "A prediction must have the size of its ground truth (height, width): "
                f"{predicted_path} has {guess.shape}, {true_path} has {truth.shape}."
            )
        results.append(count_pairs(truth, guess))
    return results


def measure_all(
    files: Sequence[FilePair], *, processes: Optional[int] = None
) -> Iterator[PixelCounts]:
    """Counts the pairs of all images, in many processes.

    Args:
      files: one pair per image.
      processes: None = one per core, or this process alone for a few images.

    Yields:
      The `PixelCounts` of each image, in the order of `files`.

    Raises:
      ValueError: `processes` is below 1; of `measure_files`, the first in the order of `files`.
    """
    if processes is not None and processes < 1:
        raise ValueError(f"`processes` must be at least 1; received {processes}.")
    if processes is None:
        processes = (os.cpu_count() or 1) if len(files) >= PARALLEL_FROM else 1
    starts = range(0, len(files), _IMAGES_PER_CHUNK)
    chunks = (files[start : start + _IMAGES_PER_CHUNK] for start in starts)
    processes = min(processes, len(starts))
    if processes > 1:
        yield from _measure_in_pool(chunks, processes)
        return
    for pair in files:
        yield from measure_files([pair])


def _measure_in_pool(chunks: Iterator[Sequence[FilePair]], processes: int) -> Iterator[PixelCounts]:
    # Started first: on starting it unblocks the signal that `_without_interrupts` blocks.
    resource_tracker.ensure_running()
    context = multiprocessing.get_context("spawn")
    waiting: Deque[concurrent.futures.Future] = collections.deque()
    pool = concurrent.futures.ProcessPoolExecutor(processes, mp_context=context)
    try:
        for chunk in itertools.chain(chunks, itertools.repeat(None)):
            if chunk is not None:
                with _without_interrupts():
                    waiting.append(pool.submit(measure_files, chunk))
                if len(waiting) < processes * _CHUNKS_AHEAD:
                    continue
            if not waiting:
                return
            yield from waiting.popleft().result()
    except ValueError as error:
        # Without the traceback of the other process, which the pool hangs on to the error.
        raise ValueError(str(error)) from None
    finally:  # after an error or an interrupt, what has begun ends with its chunk
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started inside never see Ctrl-C; this one sees it on leaving."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
