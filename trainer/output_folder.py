"""Where a worker writes: the chief into the run folder, the others into a folder of no use.

All workers have to save a checkpoint together, because some of its values are means over them, but
one file of it is enough. So the others write theirs, and all else, into a folder that is removed in
the end; everything that writes is the same code on all workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from typing import Iterator, List

from kmax_tf.json_files import parse_json
from trainer.checkpointing import BEST_FOLDER
from trainer.workers import Workers

_CHECKPOINTS = "ckpt-*"
_STATE = "checkpoint"


@contextlib.contextmanager
def open_output_folder(model_dir: pathlib.Path, workers: Workers) -> Iterator[pathlib.Path]:
    """The folder to write to; it holds the checkpoints of the run folder, some of them as links.

    Args:
      model_dir: run folder.
      workers: of the run; all have to call this.

    Raises:
      ValueError: this worker does not see the checkpoints that the chief sees.
    """
    if workers.count == 1:
        yield model_dir
        return
    listed = workers.from_chief(json.dumps(_list_checkpoints(model_dir)))
    names = parse_json(listed.encode())
    if workers.is_chief:
        yield model_dir
        return
    with tempfile.TemporaryDirectory(prefix="kmax_worker_") as folder:
        _link(names, model_dir, pathlib.Path(folder), workers.index)
        yield pathlib.Path(folder)


def _list_checkpoints(model_dir: pathlib.Path) -> List[str]:
    """Paths of the files that make up the checkpoints, in the run folder."""
    return [
        str(path.relative_to(model_dir))
        for folder in (model_dir, model_dir / BEST_FOLDER)
        for pattern in (_CHECKPOINTS, _STATE)
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    ]


def _link(names: List[str], model_dir: pathlib.Path, folder: pathlib.Path, index: int) -> None:
    for name in names:
        source = model_dir.absolute() / name
        if not source.is_file():
            raise ValueError(
                f"`--model_dir` {model_dir} must be a folder that all workers share: worker "
                f"{index} does not find {name}, which the chief (worker 0) continues from."
            )
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        if target.name == _STATE:
            shutil.copyfile(source, target)  # It is written anew with every checkpoint.
        else:
            os.symlink(source, target)  # Removed in its turn, while the file remains.
