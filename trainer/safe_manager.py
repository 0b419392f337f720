"""A manager of checkpoints that no signal tears a save apart of, and whose errors are sentences."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, ContextManager, Optional

import tensorflow as tf

from trainer.storage import require_folder, storing

Undisturbed = Callable[[], ContextManager[None]]
"""Makes a context in which signals wait."""


class SafeManager(tf.train.CheckpointManager):
    """Saves whole checkpoints or none.

    TensorFlow writes the values beside, moves them to their name, writes the index and only then
    names the checkpoint in the file `checkpoint`, by moving it into its place. So a checkpoint that
    is named there was complete, wherever the process was killed.

    Args:
      checkpoint: what is saved.
      directory: of the checkpoints.
      run_folder: has to be there; `directory` or what holds it.
      undisturbed: signals wait inside.
      **options: as for `tf.train.CheckpointManager`.
    """

    def __init__(
        self,
        checkpoint: tf.train.Checkpoint,
        directory: str,
        *,
        run_folder: str,
        undisturbed: Undisturbed = contextlib.nullcontext,
        **options: Any,
    ) -> None:
        super().__init__(checkpoint, directory, **options)
        self._run_folder = run_folder
        self._undisturbed = undisturbed

    def save(
        self,
        checkpoint_number: Optional[int] = None,
        check_interval: bool = True,
        options: Optional[tf.train.CheckpointOptions] = None,
    ) -> Optional[str]:
        """As in the base class.

        Raises:
          StorageError: the folder has gone or cannot be written.
        """
        with self._undisturbed():
            require_folder(self._run_folder)
            with storing(os.path.join(self.directory, f"ckpt-{checkpoint_number}")):
                return super().save(checkpoint_number, check_interval, options)
