from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from tests.trainer import toy
from trainer import assembly, checkpointing, managers
from trainer.weight_average import WeightAverage
from trainer.workers import Workers


@pytest.fixture
def prepare(monkeypatch, tmp_path, repository_root, data_folder):
    monkeypatch.setattr(assembly, "build_model", lambda config: toy.ToyModel())
    path = repository_root / "configs" / "test" / "tiny.textproto"

    def call(**options):
        config = load_config(path, [f"KMAX_DATA={data_folder}"])
        config.model_options.MergeFrom(type(config.model_options)(**options))
        workers = Workers(tf.distribute.get_strategy())
        return assembly.prepare_run(
            config, mode="train", model_dir=tmp_path, output_dir=tmp_path, workers=workers
        )

    return call


def _train_manager(run, average):
    return managers.make_train_manager(
        run, {"model": run.model}, average=average, undisturbed=contextlib.nullcontext
    )


def _assert_same(model, expected):
    for value, other in zip(model.variables, expected.variables):
        np.testing.assert_array_equal(value.numpy(), other.numpy(), value.name)


def test_an_average_begins_at_what_a_run_begins_with(prepare, tmp_path):
    released = toy.ToyModel()
    prefix = tf.train.Checkpoint(model=released).write(str(tmp_path / "released"))
    run = prepare(initial_checkpoint=prefix)
    average = WeightAverage(run.model, averaged=toy.ToyModel(), decay=0.9)
    _train_manager(run, average).restore_or_initialize()
    _assert_same(run.model, released)
    _assert_same(average.model, released)


def test_an_average_is_restored_or_begins_where_a_run_is(prepare):
    first = prepare()
    checkpointing.save_now(_train_manager(first, None), 0)
    run = prepare()
    average = WeightAverage(run.model, averaged=toy.ToyModel(), decay=0.9)
    manager = _train_manager(run, average)
    manager.restore_or_initialize()
    _assert_same(average.model, first.model)

    saved = toy.ToyModel()
    for variable, value in zip(average.model.variables, saved.variables):
        variable.assign(value)
    run.global_step.assign(1)
    checkpointing.save_now(manager, 1)
    average.start()
    manager.restore_or_initialize()
    _assert_same(average.model, saved)
    _assert_same(run.model, first.model)


def test_an_evaluation_says_that_it_takes_averages(prepare, capsys):
    run = prepare()
    average = WeightAverage(run.model, averaged=toy.ToyModel(), decay=0.9)
    saved = toy.ToyModel()
    for variable, value in zip(average.model.variables, saved.variables):
        variable.assign(value)
    checkpointing.save_now(_train_manager(run, average), 0)
    evaluated = prepare()
    managers.make_eval_manager(evaluated).restore_or_initialize()
    _assert_same(evaluated.model, saved)
    assert "the moving average of the weights is evaluated." in capsys.readouterr().out
