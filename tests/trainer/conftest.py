"""Two logical processors for tests of mirrored training; runs of a toy model on a few images."""

from __future__ import annotations

import pathlib
from typing import Callable, List

import pytest
import tensorflow as tf

from kmax_tf.data.converters.shapes import build_shapes
from kmax_tf.data.converters.shapes_drawing import SceneOptions
from tests.trainer import toy
from tests.trainer.damaged_records import FAULTS
from tests.two_devices import mirrored_over_two_devices
from trainer import assembly, train

CROP = 65


@pytest.fixture
def mirrored_strategy() -> tf.distribute.Strategy:
    """Mirrored over two logical processors."""
    return mirrored_over_two_devices()


@pytest.fixture(scope="package")
def data_folder(tmp_path_factory) -> pathlib.Path:
    """Records of six training and three validation images."""
    folder = tmp_path_factory.mktemp("data")
    build_shapes(
        output_dir=str(folder / "shapes"), num_train=6, num_val=3, seed=0, options=SceneOptions()
    )
    return folder


@pytest.fixture
def damaged(data_folder, tmp_path):
    """Makes data whose first file of a split is damaged; returns its folder."""

    def make(fault, split="train"):
        folder = tmp_path / "damaged"
        records = folder / "shapes" / "tfrecords"
        records.mkdir(parents=True)
        for path in (data_folder / "shapes" / "tfrecords").glob("*.tfrecord"):
            (records / path.name).write_bytes(path.read_bytes())
        FAULTS[fault][0](min(records.glob(f"{split}-*")))
        return folder

    return make


@pytest.fixture(autouse=True)
def determinism(monkeypatch) -> List[bool]:
    """Calls of `enable_op_determinism`, which cannot be undone and would reach other tests."""
    calls: List[bool] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append(True))
    return calls


@pytest.fixture
def run(monkeypatch, repository_root, data_folder, tmp_path) -> Callable[..., int]:
    """Runs train.py with the tiny config, a toy in place of model, loss and post-processing."""
    monkeypatch.setattr(assembly, "build_model", lambda config: toy.ToyModel())
    monkeypatch.setattr(assembly, "build_loss", lambda config: toy.ToyLoss())
    process = toy.toy_post_processor(CROP, 7 * 256)
    monkeypatch.setattr(assembly, "build_post_processor", lambda config: process)
    config = repository_root / "configs" / "test" / "tiny.textproto"

    def start(*arguments, steps=4, folder="run"):
        solver = "trainer_options.solver_options"
        return train.main(
            [
                f"--config_file={config}",
                f"--model_dir={tmp_path / folder}",
                f"--set=KMAX_DATA={data_folder}",
                f"--set={solver}.training_number_of_steps={steps}",
                f"--set={solver}.learning_policy=COSINE",
                "--num_gpus=0",
                *arguments,
            ]
        )

    return start
