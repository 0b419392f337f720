"""Checkpoints of a run: the last few for resuming, and the weights with the best result.

`<model_dir>/ckpt-<step>` holds model, optimiser slots, step, the means of the unfinished
summary interval, the sums of a loop that was cut off and, where there are, the loss scale of
float16 and the moving average of the weights. `<model_dir>/best/ckpt-<step>` holds the model as it
was evaluated, the step and the metric of the task (`best_pq`, `best_miou` or `best_ap`), which is
where "best so far" is remembered.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import types
from typing import Callable, Iterable, List, Mapping, Optional

import numpy as np
import tensorflow as tf

from kmax_tf.checkpoints import mapping
from kmax_tf.checkpoints.files import open_checkpoint
from kmax_tf.checkpoints.report import describe_misfit
from trainer.safe_manager import SafeManager, Undisturbed

BEST_FOLDER = "best"

_COUNTER = "save_counter" + mapping.VALUE_SUFFIX

Fallbacks = Mapping[str, Callable[[], None]]
"""Name of a trackable -> what is called after a restore from a file that lacks it."""


class FittingCheckpoint(tf.train.Checkpoint):
    """A checkpoint that refuses files of another model instead of restoring a part.

    Args:
      explain: says which fields of the config have changed: the end of the error message.
      optional: names of trackables that a file may lack as a whole, and what is called then, after
        the others are restored.
      **trackables: what is saved, by name; a file may hold more (optimiser slots while evaluating).
    """

    def __init__(
        self,
        *,
        explain: Callable[[], str],
        optional: Optional[Fallbacks] = None,
        **trackables: object,
    ) -> None:
        super().__init__(**trackables)
        self._explain = explain
        # A plain dictionary would become a part of what is saved.
        self._optional = types.MappingProxyType(dict(optional or {}))

    def restore(self, save_path: str, options: Optional[tf.train.CheckpointOptions] = None):
        """Restores all of its variables; ValueError names what does not fit."""
        absent = self._require_fit(save_path)
        status = super().restore(save_path, options).expect_partial()
        for name in absent:
            self._optional[name]()
        return status

    def _require_fit(self, save_path: str) -> List[str]:
        """Returns the optional names that the file lacks; ValueError where the rest differs."""
        variables = mapping.variables_by_path(self)
        variables.pop("save_counter", None)
        saved = open_checkpoint(save_path).get_variable_to_shape_map()
        present = {_part_of(name) for name in saved}
        absent = [name for name in self._optional if name not in present]
        variables = {p: v for p, v in variables.items() if _part_of(p) not in absent}
        parts = {_part_of(path) for path in variables}
        shapes = {
            name: shape
            for name, shape in saved.items()
            if _part_of(name) in parts and name.endswith(mapping.VALUE_SUFFIX)
        }
        comparison = mapping.compare(variables, shapes, lambda path: path + mapping.VALUE_SUFFIX)
        if comparison.missing or comparison.unused or comparison.mismatched:
            raise ValueError(
                f"The checkpoint {save_path} does not fit the config: "
                f"{describe_misfit(_of_model(comparison))}{self._explain()}."
            )
        return absent


class EvaluatedCheckpoint(FittingCheckpoint):
    """What an evaluation reads: the model takes the averaged weights where a file has them.

    Args:
      model: is evaluated.
      global_step: of the file.
      explain: as for `FittingCheckpoint`.
      tell: is told, in a sentence, that the weights of a file are averaged.
    """

    def __init__(
        self,
        *,
        model: tf.keras.Model,
        global_step: tf.Variable,
        explain: Callable[[], str],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(explain=explain, model=model, global_step=global_step)
        self._tell = tell

    def restore(self, save_path: str, options: Optional[tf.train.CheckpointOptions] = None):
        """Restores model and step; ValueError names what does not fit."""
        names = open_checkpoint(save_path).get_variable_to_shape_map()
        if not any(name.startswith(mapping.AVERAGE_PREFIX) for name in names):
            return super().restore(save_path, options)
        self._tell(f"Of {save_path} the moving average of the weights is evaluated.")
        averaged = FittingCheckpoint(
            explain=self._explain, average=self.model, global_step=self.global_step
        )
        return averaged.restore(save_path, options)


def _part_of(name: str) -> str:
    return name.split("/")[0]


def _of_model(comparison: mapping.Comparison) -> mapping.Comparison:
    """Without the optimiser's slots, which only repeat what is wrong with the model."""

    def chosen(items: Iterable[str]) -> List[str]:
        return [item for item in items if item.startswith(mapping.MODEL_PREFIX)]

    part = comparison._replace(
        missing=tuple(chosen(comparison.missing)),
        unused=tuple(chosen(comparison.unused)),
        mismatched={path: comparison.mismatched[path] for path in chosen(comparison.mismatched)},
    )
    return part if part.missing or part.unused or part.mismatched else comparison


class BestCheckpoint:
    """Keeps the weights with the highest value of one metric.

    Args:
      model_dir: run folder.
      model: what is saved.
      global_step: its step.
      metric: name of the metric, in percent; of another one nothing is remembered.
      undisturbed: see `SafeManager`.
    """

    def __init__(
        self,
        model_dir: pathlib.Path,
        *,
        model: tf.keras.Model,
        global_step: tf.Variable,
        metric: str,
        undisturbed: Undisturbed = contextlib.nullcontext,
    ) -> None:
        name = f"best_{metric}"
        self._folder = str(pathlib.Path(model_dir) / BEST_FOLDER)
        self._global_step = global_step
        self._best = tf.Variable(-1.0, trainable=False, name=name)
        checkpoint = tf.train.Checkpoint(model=model, global_step=global_step, **{name: self._best})
        self._manager = SafeManager(
            checkpoint,
            self._folder,
            run_folder=str(model_dir),
            undisturbed=undisturbed,
            max_to_keep=1,
            checkpoint_name="ckpt",
        )
        if self._manager.latest_checkpoint:
            reader = open_checkpoint(self._manager.latest_checkpoint)
            key = name + mapping.VALUE_SUFFIX
            if reader.has_tensor(key):
                self._best.assign(reader.get_tensor(key))
                # What the file counts is part of it: interrupted or not, it shall be the same.
                checkpoint.save_counter.assign(reader.get_tensor(_COUNTER))

    @property
    def value(self) -> float:
        """The best value so far, in percent; -1 before the first evaluation."""
        return float(self._best.numpy())

    def update(self, value: float) -> bool:
        """Saves the weights if `value` (percent) is above all before; returns whether it is.

        Compared as float32, which is what the checkpoint remembers: else the same weights,
        evaluated once more after an interruption, could be above themselves.
        """
        value = float(np.float32(value))
        if not value > self.value:
            return False
        self._best.assign(value)
        self._manager.save(checkpoint_number=int(self._global_step.numpy()))
        return True


def create_manager(
    model_dir: pathlib.Path,
    checkpoint: FittingCheckpoint,
    *,
    global_step: tf.Variable,
    keep: int,
    interval: Optional[int],
    initialize: Optional[Callable[[], None]] = None,
    undisturbed: Undisturbed = contextlib.nullcontext,
) -> tf.train.CheckpointManager:
    """The manager of `<model_dir>/ckpt-<step>`.

    Args:
      model_dir: run folder.
      checkpoint: what is saved and restored.
      global_step: names the files.
      keep: newest checkpoints to keep.
      interval: steps between checkpoints; None where nothing is saved.
      initialize: called instead of restoring when there is no checkpoint.
      undisturbed: see `SafeManager`.
    """
    return SafeManager(
        checkpoint,
        str(model_dir),
        run_folder=str(model_dir),
        undisturbed=undisturbed,
        max_to_keep=keep,
        step_counter=global_step,
        checkpoint_interval=interval,
        checkpoint_name="ckpt",
        init_fn=initialize,
    )


def save_now(manager: tf.train.CheckpointManager, step: int) -> str:
    """Saves unless the newest checkpoint is of this step already; returns its prefix."""
    latest = manager.latest_checkpoint
    if latest and os.path.basename(latest) == f"ckpt-{step}":
        return latest
    return manager.save(checkpoint_number=step, check_interval=False)
