from __future__ import annotations

import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from tests.trainer import toy
from trainer import assembly
from trainer.workers import Workers


@pytest.fixture
def config(repository_root, data_folder):
    path = repository_root / "configs" / "test" / "tiny.textproto"
    return load_config(path, [f"KMAX_DATA={data_folder}"])


@pytest.fixture
def prepare(monkeypatch, tmp_path, config):
    monkeypatch.setattr(assembly, "build_model", lambda config: toy.ToyModel())

    def call(mode="train_and_eval"):
        workers = Workers(tf.distribute.get_strategy())
        return assembly.prepare_run(
            config, mode=mode, model_dir=tmp_path, output_dir=tmp_path, workers=workers
        )

    return call


def test_weights_follow_from_the_seed(prepare, config):
    first, second = prepare(), prepare()
    config.trainer_options.seed += 1
    third = prepare()
    kernels = [run.model.head.kernel.numpy().tolist() for run in (first, second, third)]
    assert kernels[0] == kernels[1] != kernels[2]
    assert first.step == 0
    assert first.last_step == 2
    assert first.info.names[0] == "circle"


def test_both_data_sets_must_have_the_same_classes(prepare, config):
    config.eval_dataset_options.dataset_info = "coco_panoptic"
    with pytest.raises(ValueError, match="must have the classes of"):
        prepare()
    prepare("train")  # reads no evaluation data
    config.eval_dataset_options.ClearField("dataset_info")  # then that of training counts
    prepare()


def test_the_input_starts_at_the_step_of_the_run(prepare, config, monkeypatch):
    starts = []
    original = assembly.build_dataset

    def remember(options, **arguments):
        starts.append(arguments["start_step"])
        return original(options, **arguments)

    monkeypatch.setattr(assembly, "build_dataset", remember)
    monkeypatch.setattr(assembly, "build_loss", lambda config: toy.ToyLoss())
    run = prepare()
    optimizer = toy.toy_optimizer(run.model)
    loop = assembly.make_train_loop(run, optimizer, assembly.Interrupts())
    run.global_step.assign(5)  # as restored from a checkpoint, after the loop was made
    loop.train(tf.constant(1))
    assert starts == [5]
    assert run.step == 6


def test_the_evaluation_runs_the_passes_of_the_config(prepare, config, monkeypatch):
    run = prepare("eval")
    monkeypatch.setattr(
        assembly, "build_post_processor", lambda config: toy.toy_post_processor(65, 7)
    )
    seen = []

    def build_forward(used_config, model):
        assert used_config is config and model is run.model
        return lambda images: seen.append(images.shape.as_list()) or model(images)

    monkeypatch.setattr(assembly, "build_forward", build_forward)
    summaries = assembly.make_eval_summaries(run)
    metrics = assembly.make_eval_loop(run, summaries, keeps_best=False).evaluate(tf.constant(1))
    assert "eval/pq" in metrics
    assert seen == [[2, 65, 65, 3]]
