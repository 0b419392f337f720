"""Writes records in shards: in parallel, each appearing whole or not at all, none made twice.

Beside the shards of a split, `report/` keeps what is known of each (a JSON file named like the
shard) and the sum over the split (`<split>.json`). An image whose files are broken is left out and
listed there with the reason.
"""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import pathlib
import time
from multiprocessing.synchronize import Event
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow as tf
import tqdm

from kmax_tf.data.converters.source_error import SourceError
from kmax_tf.json_files import MAX_ANNOTATION_BYTES, read_json

Statistics = Dict[str, int]
"""Counts by name, e.g. `segments/person` or `dropped/segment without pixels`."""

PARALLEL_FROM = 2000
"""Fewer images than this are converted in this process: new ones take seconds to start."""


class EncodedRecord(NamedTuple):
    """One serialised example and what is to be counted about it."""

    serialized: bytes
    statistics: Statistics


class Skipped(NamedTuple):
    """An image without a record.

    Attributes:
      image: its path.
      reason: a few words without names, by which skipped images are counted.
      detail: the whole sentence.
    """

    image: str
    reason: str
    detail: str


Encoder = Callable[[Any], EncodedRecord]
FilesOf = Optional[Callable[[Any], Sequence[str]]]

# In a process of the pool: set when the conversion has failed elsewhere.
_stop: Optional[Event] = None


class _StoppedError(Exception):
    """Ends a shard because another one has failed."""


class _Shard(NamedTuple):
    """One file to write. `fingerprint` tells whether a finished file is the one wanted."""

    path: str
    report_path: str
    items: Sequence[Any]
    fingerprint: str


class _Result(NamedTuple):
    """What became of the items of a shard."""

    statistics: Statistics
    skipped: List[Skipped]


class _Work(NamedTuple):
    """How the items of a shard become records; the same for all shards, so picklable."""

    encode: Encoder
    files_of: FilesOf
    strict: bool


def write_shards(
    items: Sequence[Any],
    encode: Encoder,
    *,
    output_dir: str,
    split: str,
    num_shards: int,
    identity: str,
    files_of: FilesOf = None,
    dropped: Optional[Dict[str, int]] = None,
    skipped: Sequence[Skipped] = (),
    warnings: Sequence[str] = (),
    strict: bool = False,
    processes: Optional[int] = None,
) -> Dict[str, Any]:
    """Writes `<split>-00000-of-00008.tfrecord`, ... with consecutive items in each.

    Items for which `encode` raises a `SourceError` are left out and listed in the report; any
    other error ends the conversion.

    Args:
      items: what `encode` takes, in the order of the records; picklable.
      encode: item -> record; it and `files_of` are picklable functions, since they run in other
        processes.
      output_dir: made if missing.
      split: first part of the file names.
      num_shards: capped at the number of items.
      identity: everything besides the items that decides the content (options, classes); a
        finished shard is kept when its items and this are the same as when it was made.
      files_of: item -> paths of the files it is made from, the image first; a finished shard is
        made again when the size or the modification time of one has changed. None = no files.
      dropped: counts, by reason, of what was left out before this; only for the report.
      skipped: images that were found unusable before this.
      warnings: sentences for the report.
      strict: whether the first unusable image is an error instead of being left out.
      processes: None = one per core.

    Returns:
      The report of the split: `split`, `images` (written), `shards`, `shards_kept`, `statistics`,
      `skipped` (a list of `image`, `reason`, `detail`), `warnings`.

    Raises:
      ValueError: no items, every image unusable, with `strict` any of them, or `output_dir` holds
        shards of this split in another number.
    """
    if strict and skipped:
        raise SourceError(skipped[0].detail, skipped[0].reason)
    if not items:
        first = f"; of {len(skipped)} skipped the first: {skipped[0].detail}" if skipped else "."
        raise ValueError(f"Split {split!r} has no images: there is nothing to convert{first}")
    shards = _plan(items, files_of, output_dir, split, min(num_shards, len(items)), identity)
    pathlib.Path(output_dir, "report").mkdir(parents=True, exist_ok=True)
    results = {shard.path: _finished_result(shard, strict) for shard in shards}
    missing = [shard for shard in shards if results[shard.path] is None]
    with Progress(sum(len(shard.items) for shard in missing), f"Writing {split}") as progress:
        work = _Work(encode, files_of, strict)
        for shard, result in _write_all(missing, work, processes or os.cpu_count() or 1):
            results[shard.path] = result
            progress.advance(len(shard.items))
    total: collections.Counter = collections.Counter()
    total.update({f"dropped/{reason}": count for reason, count in (dropped or {}).items() if count})
    for result in results.values():
        total.update(result.statistics if result else {})
    unusable = [skip for result in results.values() if result for skip in result.skipped]
    report = {
        "split": split,
        "images": len(items) - len(unusable),
        "shards": len(shards),
        "shards_kept": len(shards) - len(missing),
        "statistics": dict(sorted(total.items())),
        "skipped": [skip._asdict() for skip in (*skipped, *unusable)],
        "warnings": list(warnings),
    }
    path = pathlib.Path(output_dir, "report", f"{split}.json")
    write_atomically(path, json.dumps(report, indent=1))
    if len(unusable) == len(items):
        _refuse_empty(shards, report, path)
    return report


def _refuse_empty(shards: Sequence[_Shard], report: Dict[str, Any], path: pathlib.Path) -> None:
    """Removes the shards, which hold nothing, and raises the ValueError that says why."""
    for shard in shards:
        pathlib.Path(shard.path).unlink(missing_ok=True)
    raise ValueError(
        f"None of the {len(report['skipped'])} images of split {report['split']!r} can be used "
        f"(listed in {path}); the first: {report['skipped'][0]['detail']}"
    )


def write_atomically(path: pathlib.Path, text: str) -> None:
    """Writes a text file that appears at once or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class Progress:
    """A bar with rate and remaining time on a terminal, a line every half minute elsewhere."""

    def __init__(self, total: int, title: str, *, interval: float = 30.0) -> None:
        self._bar = tqdm.tqdm(total=total, desc=title, unit="images", disable=None)
        self._title = title
        self._total = total
        self._interval = interval
        self._count = 0
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.close()

    def advance(self, count: int) -> None:
        """Counts `count` more images."""
        self._count += count
        self._bar.update(count)
        now = time.monotonic()
        if self._bar.disable and now - self._last > self._interval:
            rate = self._count / (now - self._start)
            left = (self._total - self._count) / max(rate, 1e-9)
            print(
                f"{self._title}: {self._count} of {self._total} images, {rate:.1f} images/s, "
                f"{left:.0f} s left",
                flush=True,
            )
            self._last = now


def _plan(
    items: Sequence[Any],
    files_of: FilesOf,
    output_dir: str,
    split: str,
    num_shards: int,
    identity: str,
) -> List[_Shard]:
    """Divides the items like deeplab2: ceil(items / shards) each, trailing shards may be empty."""
    folder = pathlib.Path(output_dir)
    names = [f"{split}-{index:05d}-of-{num_shards:05d}" for index in range(num_shards)]
    wanted = {f"{name}.tfrecord" for name in names}
    others = sorted(p.name for p in folder.glob(f"{split}-*.tfrecord") if p.name not in wanted)
    if others:
        raise ValueError(
            f"`output_dir` {folder} already holds {split} records in another number of shards "
            f"({others[0]}, ...): remove them, choose another folder, or give the `num_shards` "
            f"they were made with instead of {num_shards}."
        )
    per_shard = -(-len(items) // num_shards)
    shards = []
    for index, name in enumerate(names):
        part = items[index * per_shard : (index + 1) * per_shard]
        versions = [_version(file) for item in part for file in files_of(item)] if files_of else []
        digest = hashlib.sha256(f"{identity}|{part!r}|{versions}".encode()).hexdigest()
        path, report = folder / f"{name}.tfrecord", folder / "report" / f"{name}.json"
        shards.append(_Shard(str(path), str(report), part, digest))
    return shards


def _version(path: str) -> Optional[Tuple[int, int]]:
    """Size and modification time of a file; None if it is not there, which `encode` reports."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _finished_result(shard: _Shard, strict: bool) -> Optional[_Result]:
    """Result of a shard that is there and made from the same; None if it must be made (again).

    With `strict` a shard that lacks images must be made, which is how the error comes about.
    """
    report = pathlib.Path(shard.report_path)
    if not (report.is_file() and pathlib.Path(shard.path).is_file()):
        return None
    try:
        content = read_json(report, MAX_ANNOTATION_BYTES)
        skipped = [Skipped(**entry) for entry in content.get("skipped", ())]
        if content["fingerprint"] != shard.fingerprint or (strict and skipped):
            return None
        return _Result({name: int(n) for name, n in content["statistics"].items()}, skipped)
    except (ValueError, TypeError, KeyError, AttributeError):  # another file, or a damaged one
        return None


def _write_all(
    shards: Sequence[_Shard], work: _Work, processes: int
) -> Iterator[Tuple[_Shard, _Result]]:
    """Yields each shard as it is finished, with its result.

    Raises:
      ValueError: of the first item that cannot be encoded; the others are not finished.
    """
    processes = min(processes, len(shards))
    if processes < 2 or sum(len(shard.items) for shard in shards) < PARALLEL_FROM:
        for shard in shards:
            yield shard, _write_shard(shard, work)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=context, initializer=_set_stop, initargs=(stop,)
    ) as pool:
        futures = {pool.submit(_write_shard, shard, work): shard for shard in shards}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        except ValueError as error:
            # Without the traceback of the other process, which the pool hangs on to the error.
            raise ValueError(str(error)) from None
        finally:  # after an error, what has begun ends at its next image, the rest never begins
            stop.set()
            for future in futures:
                future.cancel()


def _set_stop(event: Event) -> None:
    """Run once in each process of the pool."""
    global _stop
    _stop = event


def _write_shard(shard: _Shard, work: _Work) -> _Result:
    """Writes one shard under a temporary name that no `<split>-*` pattern matches."""
    target = pathlib.Path(shard.path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    total: collections.Counter = collections.Counter()
    skipped = []
    try:
        with tf.io.TFRecordWriter(str(temporary)) as writer:
            for item in shard.items:
                if _stop is not None and _stop.is_set():
                    raise _StoppedError
                try:
                    record = work.encode(item)
                except SourceError as error:
                    if work.strict:
                        raise
                    image = work.files_of(item)[0] if work.files_of else str(item)
                    skipped.append(Skipped(image, error.reason, str(error)))
                    continue
                writer.write(record.serialized)
                total.update(record.statistics)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    content = {
        "fingerprint": shard.fingerprint,
        "statistics": dict(sorted(total.items())),
        "skipped": [skip._asdict() for skip in skipped],
    }
    write_atomically(pathlib.Path(shard.report_path), json.dumps(content))
    return _Result(dict(total), skipped)
