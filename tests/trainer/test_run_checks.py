from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from tests import tiny
from trainer.run_checks import require_fit


@pytest.fixture
def config():
    return load_config(tiny.CONFIG)


def test_training_batches_must_split_over_the_devices(config, mirrored_strategy):
    config.eval_dataset_options.batch_size = 3  # Filled up to what can be split.
    require_fit(config, "train_and_eval", mirrored_strategy)
    config.train_dataset_options.batch_size = 3
    with pytest.raises(ValueError, match=r"`train_dataset_options.batch_size` must be a multiple"):
        require_fit(config, "train_and_eval", mirrored_strategy)
    require_fit(config, "eval", mirrored_strategy)
    config.train_dataset_options.batch_size = 6
    config.trainer_options.accumulation_steps = 2
    with pytest.raises(ValueError, match=r"`trainer_options.accumulation_steps` .*6, 2 and 2"):
        require_fit(config, "train", mirrored_strategy)


def test_what_has_no_labels_cannot_be_measured(config):
    config.eval_dataset_options.decode_groundtruth_label = False
    strategy = tf.distribute.get_strategy()
    require_fit(config, "train", strategy)
    with pytest.raises(ValueError, match=r"`eval_dataset_options.decode_groundtruth_label`"):
        require_fit(config, "train_and_eval", strategy)
