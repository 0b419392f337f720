"""Whole runs of a toy model on a few drawn images, through the command line's entry point."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.data.dataset_info import load_dataset_info
from tests.faults.compare_runs import compare_runs
from tests.trainer import toy
from tests.trainer.metric_rows import metric_rows
from trainer import assembly


def test_train_and_evaluate_leaves_what_is_promised(run, tmp_path, capfd):
    assert run() == 0
    folder = tmp_path / "run"
    assert {p.name for p in folder.iterdir()} == {
        "best", "checkpoint", "config.textproto", "eval", "labels.json", "metrics.jsonl",
        "pictures", "run.json", "train",
        *(f"ckpt-{s}.{e}" for s in (3, 4) for e in ("index", "data-00000-of-00001")),
    }  # fmt: skip
    rows = metric_rows(folder)
    assert [(r["step"], "eval/pq" in r) for r in rows] == [
        (1, False), (2, False), (2, True), (3, False), (4, False), (4, True),
    ]  # fmt: skip
    assert {"loss/total", "loss/square", "learning_rate", "gradient_norm"} <= set(rows[0])
    assert not any("per_second" in name for row in rows for name in row)
    assert rows[0]["learning_rate"] == pytest.approx(0.002)
    assert [p.name for p in (folder / "best").glob("*.index")] == ["ckpt-2.index"]
    assert len(list((folder / "pictures").glob("0*.png"))) == 2
    shown = capfd.readouterr().out
    assert "train 4/4  loss" in shown
    assert "All, in-graph variant" in shown
    assert "steps/sec" not in shown  # what orbit prints

    # The same command again has nothing left to do.
    assert run() == 0
    assert metric_rows(folder) == rows
    assert "All steps were made." in capfd.readouterr().out


@pytest.mark.parametrize(
    ("task", "prediction", "metrics"),
    [("SEMANTIC", 7 * 256, {"miou"}), ("INSTANCE", 257, {"ap", "ap50", "pq", "pq_things"})],
)
def test_a_task_is_measured_and_ranked_by_its_own_metric(
    run, tmp_path, capfd, monkeypatch, task, prediction, metrics
):
    process = toy.toy_post_processor(65, prediction)
    monkeypatch.setattr(assembly, "build_post_processor", lambda config: process)
    assert run(f"--set=train_dataset_options.task={task}", steps=2) == 0
    folder = tmp_path / "run"
    (evaluated,) = [row for row in metric_rows(folder) if "eval/" in str(row)]
    names = {name.partition("/")[2] for name in evaluated if name.startswith("eval/")}
    assert metrics <= names
    assert not names & ({"miou", "pq_in_graph", "pq_stuff"} if task == "INSTANCE" else {"pq", "ap"})
    variables = dict(tf.train.list_variables(str(folder / "best" / "ckpt-2")))
    metric = {"SEMANTIC": "miou", "INSTANCE": "ap"}[task]
    key = f"best_{metric}/.ATTRIBUTES/VARIABLE_VALUE"
    assert [name for name in variables if name.startswith("best_")] == [key]
    best = tf.train.load_variable(str(folder / "best" / "ckpt-2"), key)
    assert best == pytest.approx(evaluated[f"eval/{metric}"])
    described = load_dataset_info(str(folder / "labels.json"))
    assert not (described.thing_ids if task == "SEMANTIC" else described.stuff_ids)
    assert "in-graph" not in capfd.readouterr().out
    assert run(f"--set=train_dataset_options.task={task}", steps=2) == 0
    assert "All steps were made." in capfd.readouterr().out


def test_a_compiled_run_trains_and_evaluates_as_another(run, tmp_path):
    assert run(steps=2, folder="plain") == 0
    assert run("--set=trainer_options.use_xla=true", steps=2) == 0
    rows, plain = metric_rows(tmp_path / "run"), metric_rows(tmp_path / "plain")
    assert len(rows) == len(plain)
    for row, expected in zip(rows, plain):
        assert row == pytest.approx(expected, rel=1e-4)  # rounded elsewhere


def test_the_seed_decides_every_bit(run, tmp_path):
    assert run(folder="one") == run(folder="two") == 0
    found = compare_runs(tmp_path / "one", tmp_path / "two")
    assert found.different == []
    assert {"metrics.jsonl", "ckpt-4: all 24 tensors"} <= set(found.equal)
    assert run("--set=trainer_options.seed=2", folder="three") == 0
    different = compare_runs(tmp_path / "one", tmp_path / "three").different
    assert "metrics.jsonl" in different
    assert any(line.startswith("ckpt-4: ") for line in different)


def test_an_evaluation_that_was_cut_off_is_made_up_for(run, tmp_path):
    assert run("--mode=train", steps=2) == 0
    assert run(steps=2) == 0
    assert [(r["step"], "eval/pq" in r) for r in metric_rows(tmp_path / "run")] == [
        (1, False), (2, False), (2, True),
    ]  # fmt: skip


def test_evaluation_modes(run, tmp_path, capfd):
    assert run("--mode=eval") == 2
    assert "holds no checkpoint" in capfd.readouterr().err
    assert run("--mode=train", steps=2) == 0
    assert run("--mode=continuous_eval", steps=2) == 0  # ends after the last step
    # Less than all steps are there, and no more come.
    assert run("--mode=continuous_eval", "--set=evaluator_options.continuous_eval_timeout=1") == 0
    assert run("--mode=eval", "--set=evaluator_options.eval_steps=1") == 0
    evaluations = [row for row in metric_rows(tmp_path / "run") if "eval/pq" in row]
    assert [row["step"] for row in evaluations] == [2, 2, 2]
    assert (tmp_path / "run" / "best" / "ckpt-2.index").exists()


def test_only_whole_evaluations_of_a_training_can_be_the_best(run, tmp_path):
    assert run("--mode=train", steps=2) == 0
    best = tmp_path / "run" / "best"
    part = "--set=evaluator_options.eval_steps=1"
    assert run("--mode=eval") == 0
    assert run("--mode=continuous_eval", part, steps=2) == 0
    assert not best.exists()
    initial = f"--set=model_options.initial_checkpoint={tmp_path / 'run'}"
    timeout = "--set=evaluator_options.continuous_eval_timeout=1"
    assert run("--mode=continuous_eval", initial, timeout, folder="released") == 0
    assert not (tmp_path / "released" / "best").exists()
    assert run("--mode=continuous_eval", steps=2) == 0
    assert (best / "ckpt-2.index").exists()


def test_an_evaluation_of_nan_names_images(run, tmp_path, capfd):
    process = toy.toy_post_processor(65, 7 * 256)

    def faulty(output):
        prediction = process(output)
        return prediction._replace(segment_score=prediction.segment_score + np.nan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "build_post_processor", lambda config: faulty)
        assert run(steps=2) == 1
    message = capfd.readouterr().err.splitlines()[-1]
    assert message.startswith("kmax: The model's logits are not finite")
    assert "0 = val_00000" in message
    assert not (tmp_path / "run" / "best").exists()


def test_the_initial_checkpoint_is_loaded(run, tmp_path, capfd):
    assert run("--mode=train", steps=1, folder="first") == 0
    initial = f"--set=model_options.initial_checkpoint={tmp_path / 'first'}"
    assert run("--mode=eval", initial, folder="second") == 0
    assert "Loaded 8 variables from" in capfd.readouterr().out
    assert metric_rows(tmp_path / "second")[0]["step"] == 0
    # An encoder-decoder of another shape is refused.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "build_model", lambda config: toy.ToyModel(3))
        assert run("--mode=train", initial, folder="third") == 2
        assert "is a checkpoint of another model" in capfd.readouterr().err
        assert run("--mode=train", folder="first") == 2
        assert "does not fit the config" in capfd.readouterr().err


def test_parts_that_may_be_missing_start_anew(run, tmp_path, capfd):
    assert run("--mode=train", steps=1, folder="first") == 0
    initial = f"--set=model_options.initial_checkpoint={tmp_path / 'first'}"
    exceptions = "--allow_missing=head,norm/gamma"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "build_model", lambda config: toy.ToyModel(3))
        patch.setattr(assembly, "build_loss", lambda config: toy.ToyLoss())
        assert run("--mode=train", initial, exceptions, folder="second") == 2
        assert "norm: 3 of another shape (norm/" in capfd.readouterr().err
    assert run("--mode=train", initial, exceptions, steps=1, folder="third") == 0
    assert "Loaded 8 variables from" in capfd.readouterr().out
    config = (tmp_path / "third" / "config.textproto").read_text()
    assert 'allow_missing: "head"\n  allow_missing: "norm/gamma"' in config
    # An evaluation takes no untrained part.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "build_model", lambda config: toy.ToyModel(3))
        assert run("--mode=eval", initial, "--allow_missing=head,norm", folder="fourth") == 2
        assert "another model" in capfd.readouterr().err


def test_exceptions_without_a_checkpoint_are_refused(run, capfd):
    assert run("--allow_missing=heads") == 2
    assert "`--allow_missing` says what `model_options.initial" in capfd.readouterr().err


def test_a_training_starts_from_an_encoder(run, tmp_path, capfd):
    encoder = toy.ToyModel().pixel_encoder
    root = tf.Module()
    root.pixel_encoder = encoder
    prefix = tf.train.Checkpoint(model=root).write(str(tmp_path / "encoder"))
    for field in ("initial_checkpoint", "pretrained_weights"):
        weights = f"--set=model_options.{field}={prefix}"
        assert run("--mode=train", weights, steps=1, folder=field) == 0
        assert "Loaded 2 variables of the pixel encoder from" in capfd.readouterr().out
    weights = f"--set=model_options.initial_checkpoint={prefix}"
    assert run("--mode=eval", weights, folder="eval") == 2
    assert "holds the pixel encoder alone" in capfd.readouterr().err


def test_a_fault_stops_the_run_and_names_images(run, tmp_path, capfd):
    class Faulty(toy.ToyLoss):
        def with_diagnostics(self, targets, output, *, seed):
            wrong = tf.where(seed[1] == 2, tf.math.log(-1.0), 1.0)
            poison = tf.where(targets["image_id"] >= 0, wrong, 1.0)
            return super().with_diagnostics({**targets, "poison": poison}, output, seed=seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "build_loss", lambda config: Faulty())
        assert run("--mode=train") == 1
    message = capfd.readouterr().err.splitlines()[-1]
    assert message.startswith("kmax: Step 2: not finite: loss/root, loss/total; images: ")
    assert "= train_00000" in message
    dump = tmp_path / "run" / "faults" / "step-2"
    assert message.endswith(f"`kmax replay-step {dump}` makes the step again.")
    assert [p.stem for p in sorted((tmp_path / "run").glob("*.index"))] == ["ckpt-1", "ckpt-2"]


def test_a_run_fed_by_a_service_says_so(run, tmp_path, capfd):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
    address = dispatcher.target.partition("://")[2]
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
    field = f"--set=train_dataset_options.data_service={dispatcher.target}"
    assert run(field, "--mode=train", steps=2) == 0
    assert "this run cannot be repeated, nor continued, exactly" in capfd.readouterr().out
    assert [row["step"] for row in metric_rows(tmp_path / "run")] == [1, 2]
    # The run's iterator is part of a cycle, and would ask for its service until all tests are over.
    gc.unfreeze()
    gc.collect()
    worker._stop()
    dispatcher._stop()
    assert run(field, "--mode=train", steps=4) == 2
    sentence = capfd.readouterr().err.splitlines()[-1]
    assert sentence.startswith("kmax: `train_dataset_options.data_service` grpc://localhost:")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("train_dataset_options.crop_size=64,64", "train_dataset_options.crop_size"),
        ("train_dataset_options.batchsize=2", "batch_size"),
        ("trainer_options.solver_options.optimizer=LION", "ADAM, ADAMW, SGD"),
        ("train_dataset_options.file_pattern=/nowhere/x-*", "/nowhere/x-*"),
        ("train_dataset_options.dataset_info=nowhere", "nowhere"),
        ("eval_dataset_options.dataset_info=coco_panoptic", "must have the classes"),
        ("eval_dataset_options.decode_groundtruth_label=false", "decode_groundtruth_label"),
        ("model_options.initial_checkpoint=/nowhere/ckpt-1", "/nowhere/ckpt-1"),
        ("trainer_options.precision=FLOAT16", "`trainer_options.precision` FLOAT16 needs a GPU"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(run, override, named, capfd):
    capfd.readouterr()
    assert run(f"--set={override}") == 2
    lines = [x for x in capfd.readouterr().err.splitlines() if x.startswith("kmax: ")]
    assert len(lines) == 1
    assert named in lines[0]
