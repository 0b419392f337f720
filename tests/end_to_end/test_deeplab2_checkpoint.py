"""A user with a trained deeplab2 checkpoint gives it to every command, as it is."""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np
import pytest

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.checkpoints.deeplab2 import deeplab2_name
from kmax_tf.checkpoints.mapping import variables_by_path
from tests.checkpoints import toy
from tests.end_to_end.conftest import CONFIG

NOT_ENCODER = (
    "pixel_decoder/",
    "transformer_decoder/",
    "pixel_space_",
    "semantic_",
    "transformer_",
)


def _values() -> dict:
    model = build_model(load_config(CONFIG))
    return {
        deeplab2_name(path).replace(toy.SUFFIX, ""): variable.numpy()
        for path, variable in variables_by_path(model).items()
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> pathlib.Path:
    """Folder of the checkpoint of a tiny model."""
    folder = tmp_path_factory.mktemp("deeplab2")
    toy.write(folder / "ckpt-150000", _values(), trained=True)
    return folder


def test_it_is_evaluated_by_both_commands(kmax, checkpoint, tmp_path):
    finished = kmax("eval", f"--checkpoint={checkpoint}", "--json")
    assert finished.code == 0, finished.err
    scores = json.loads(finished.out.splitlines()[-1])
    initial = f"model_options.initial_checkpoint={checkpoint}"
    finished = kmax("train", "--mode=eval", f"--model_dir={tmp_path}/run", "--set", initial)
    assert finished.code == 0, finished.err
    assert "(deeplab2 checkpoint)." in finished.out
    (line,) = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["eval/miou"] == pytest.approx(scores["miou"])


@pytest.mark.slow
def test_a_training_with_other_classes_starts_from_it(kmax, tmp_path):
    def with_more_classes(name, value):
        padding = [(0, 0)] * (value.ndim - 1) + [(0, 3)]
        shaped = re.search("transformer_class_head|semantic_last_layer", name)
        return np.pad(value, padding) if shaped else value

    values = {name: with_more_classes(name, value) for name, value in _values().items()}
    prefix = toy.write(tmp_path / "other/ckpt-1", values, trained=True)
    initial = f"model_options.initial_checkpoint={prefix}"
    steps = ["--set", "trainer_options.solver_options.training_number_of_steps=1"]
    run = ["train", "--mode=train", f"--model_dir={tmp_path}/run", "--set", initial, *steps]
    finished = kmax(*run)
    assert finished.code == 2
    assert "`--allow_missing=heads`" in finished.sentences[0]
    finished = kmax(*run, "--allow_missing=heads")
    assert finished.code == 0, finished.err
    assert "New, with initial values: 6 variables of the transformer decoder" in finished.out
    assert 'allow_missing: "heads"' in (tmp_path / "run/config.textproto").read_text()


@pytest.mark.slow
def test_an_encoder_alone_starts_a_training_but_is_not_evaluated(kmax, tmp_path):
    values = {
        f"backbone/_{name}": value
        for name, value in _values().items()
        if not name.startswith(NOT_ENCODER)
    }
    values["backbone/_classifier/kernel"] = np.zeros([4, 1000], np.float32)
    prefix = toy.write(tmp_path / "imagenet/ckpt-1", values, trained=True)
    initial = f"model_options.initial_checkpoint={prefix}"
    steps = ["--set", "trainer_options.solver_options.training_number_of_steps=1"]
    run = ["train", f"--model_dir={tmp_path}/run", "--set", initial, *steps]
    finished = kmax(*run, "--mode=eval")
    assert finished.code == 2
    assert "holds the pixel encoder alone" in finished.sentences[0]
    finished = kmax(*run, "--mode=train")
    assert finished.code == 0, finished.err
    assert "variables of the pixel encoder from" in finished.out
    assert "New, with initial values: the pixel decoder, the transformer decoder" in finished.out
