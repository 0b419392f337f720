"""`kmax eval` on a tiny model: table, JSON, errors."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from evaluation import evaluate
from evaluation.evaluate import Evaluation
from evaluation.submissions import FORMATS
from kmax_tf.build.config import load_config
from kmax_tf.build.inference import Inference
from kmax_tf.build.model import build_model
from kmax_tf.data import schema
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.results.coco_panoptic import write_ids
from tests import tiny
from tests.evaluation.coco_folders import Side, segment, write_folders
from trainer import cli

RESULT = {
    "pq": 50.0, "sq": 60.0, "rq": 70.0, "pq_things": 40.0, "pq_stuff": 55.0, "pq_in_graph": 51.0,
    "rq_things": 1.0, "per_class": [{"name": "circle", "pq": None}],
}  # fmt: skip


def test_json_is_the_last_line(tmp_path, monkeypatch, capsys):
    tiny.write_records(tmp_path, [(65, 65), (33, 65), (65, 49)])

    asked_for = []

    def measure(
        config,
        checkpoint,
        *,
        save_predictions,
        save_format,
        strategy,
        advance,
        raw_weights,
        excluded,
    ):
        asked_for.append(raw_weights)
        assert checkpoint == "run"
        assert save_predictions is None
        assert save_format == "coco_panoptic"
        assert strategy.num_replicas_in_sync == 1
        assert excluded == {}
        advance(3)
        return Evaluation(RESULT, "the table", 3)

    monkeypatch.setattr(evaluate, "evaluate_checkpoint", measure)
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}", "--checkpoint=run"]
    assert cli.main(["eval", *flags, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "the table"
    assert json.loads(lines[-1]) == {
        "pq": 50.0, "sq": 60.0, "rq": 70.0, "pq_things": 40.0, "pq_stuff": 55.0,
        "pq_in_graph": 51.0, "miou": None, "ap": None,
        "per_class": [{"name": "circle", "pq": None}],
    }  # fmt: skip
    assert cli.main(["eval", *flags, "--raw_weights"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the table"
    assert asked_for == [False, True]


def test_a_real_model(tmp_path, capsys):
    tiny.write_records(tmp_path, [(65, 65), (33, 65), (65, 49)])
    tiny.write_checkpoint(tmp_path)
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}"]
    folder = tmp_path / "predictions"
    code = cli.main(
        [
            "eval",
            *flags,
            f"--checkpoint={tmp_path}/ckpt-1",
            "--json",
            f"--save_predictions={folder}",
        ]
    )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert 0 <= result["pq"] <= 100
    assert len(result["per_class"]) == 10
    assert any("in-graph variant" in line for line in lines)
    assert len(list(folder.glob("*.png"))) == 3


def test_help_lists_all_formats(capsys):
    with pytest.raises(SystemExit):
        cli.main(["eval", "--help"])
    words = capsys.readouterr().out.replace(",", " ").replace("(", " ").split()
    assert set(FORMATS) < set(words)


def break_first_image(folder):
    path = next(folder.rglob("*.tfrecord"))
    examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path))]
    examples[0].features.feature[schema.IMAGE].bytes_list.value[0] = b"no image"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())


def test_bad_records_are_left_out_where_they_may_be(tmp_path, capsys):
    tiny.write_records(tmp_path, [(65, 65), (33, 65), (65, 49)])
    tiny.write_checkpoint(tmp_path)
    break_first_image(tmp_path)
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}", "--json"]
    flags += ["--set", "eval_dataset_options.max_bad_records=1"]
    folder = tmp_path / "predictions"
    flags += [f"--save_predictions={folder}", f"--checkpoint={tmp_path}/ckpt-1"]
    assert cli.main(["eval", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("Left out: Record 0 of")]) == 1
    assert "Images left out because of bad records: 1." in lines
    result = json.loads(lines[-1])
    assert result["images_left_out"] == 1
    assert sorted(path.name for path in folder.glob("*.png")) == ["000001.png", "000002.png"]


def test_a_bad_record_is_named(tmp_path, capsys, monkeypatch):
    tiny.write_records(tmp_path, [(65, 65)])
    break_first_image(tmp_path)
    inference = Inference(lambda images: None, None, (65, 65), load_dataset_info("shapes"))
    monkeypatch.setattr(evaluate, "build_inference", lambda *_, **__: inference)
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}"]
    assert cli.main(["eval", *flags, "--checkpoint=run"]) == 2
    errors = [e for e in capsys.readouterr().err.splitlines() if e.startswith("kmax: ")]
    assert len(errors) == 1
    assert "Record 0 of" in errors[0] and "first image" in errors[0]


def test_weights_of_nan_are_a_fault_that_names_images(tmp_path, capsys):
    tiny.write_records(tmp_path, [(65, 65), (33, 65)])
    model = build_model(load_config(tiny.CONFIG))
    for variable in model.trainable_variables:
        variable.assign(tf.fill(variable.shape, float("nan")))
    prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "ckpt-1"))
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}"]
    assert cli.main(["eval", *flags, f"--checkpoint={prefix}"]) == 1
    captured = capsys.readouterr()
    assert "PQ" not in captured.out
    error = captured.err.splitlines()[-1]
    assert error.startswith("kmax: The model's logits are not finite")
    assert "images: 0, 1. 0 = first image (" in error


@pytest.mark.parametrize(
    "extra, sentence",
    [
        (["--checkpoint=none"], "There is no checkpoint none"),
        (["--checkpoint=none", "--set", "KMAX_DATA=/nowhere"], "No files match /nowhere"),
        ([], "--checkpoint"),
        (["--checkpoint=none", "--num_gpus=99"], "`--num_gpus` must be in 0.."),
        (["--checkpoint=none", "--num_gpus=1", "--tpu=t"], "exclude each other"),
        (
            ["--checkpoint=none", "--save_predictions=p", "--save_format=gif"],
            "`save_format` must be one of coco_panoptic, cityscapes, two_channel_png",
        ),
    ],
)
def test_errors_are_one_sentence(tmp_path, capsys, extra, sentence):
    tiny.write_records(tmp_path, [(65, 65)])
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}"]
    try:
        code = cli.main(["eval", *flags, *extra])
    except SystemExit as exit_:  # Of argparse, for a missing flag.
        code = exit_.code
    assert code == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("kmax: ")]) == 1
    assert sentence in errors[-1]


def _write_result(folder, prediction):
    """A ground truth of one class and a prediction of it; gives the flags."""
    truth = Side(np.ones((4, 6), int), [segment(1, 90)])
    folders = write_folders(folder, [truth] * 3, [prediction] * 3)
    return [f"--from_predictions={folders.prediction_dir}", f"--ground_truth={folders.truth_json}"]


def test_finished_predictions_need_no_model(tmp_path, capsys):
    ids = np.ones((4, 6), int)
    ids[:, 4:] = 0
    flags = _write_result(tmp_path, Side(ids, [segment(1, 90)]))
    assert cli.main(["eval", *flags, "--json", "--processes=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert [result["pq"], result["miou"]] == pytest.approx([200 / 3, 200 / 3])
    assert result["pq_things"] is None and result["pq_in_graph"] is None
    assert [row["tp"] for row in result["per_class"]] == [0, 0, 3, 0]
    assert lines[-2] == "3 images, values in percent."
    assert cli.main(["eval", *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == lines[-2]


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--from_predictions=here"], "`--ground_truth` must be given"),
        (["--from_predictions=here", "--ground_truth=g", "--config_file=c", "--set=a=b"],
         "`--config_file` and `--set` cannot be given together with `--from_predictions`"),
        (["--from_predictions=here", "--ground_truth=g", "--save_predictions=p"],
         "`--save_predictions` cannot be given"),
        (["--from_predictions=here", "--ground_truth=g", "--num_gpus=0", "--tpu=local"],
         "`--num_gpus` and `--tpu` cannot be given together with `--from_predictions`"),
        (["--config_file=c", "--checkpoint=d", "--ground_truth_dir=g", "--processes=2"],
         "`--ground_truth_dir` and `--processes` can only be given together with"),
        (["--config_file=c", "--checkpoint=d", "--save_format=cityscapes"],
         "`--save_format` can only be given together with `--save_predictions`"),
        ([], "`--config_file` and `--checkpoint` must be given"),
        (["--from_predictions=/nowhere", "--ground_truth=g"], "must be a folder of panoptic PNGs"),
        (["--processes=many"], "--processes"),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_together(capsys, flags, sentence):
    try:
        code = cli.main(["eval", *flags])
    except SystemExit as exit_:  # Of argparse, for a value that is no number.
        code = exit_.code
    assert code == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("kmax: ")]) == 1
    assert sentence in errors[-1]


def test_a_faulty_result_is_one_sentence(tmp_path, capsys):
    flags = _write_result(tmp_path, Side(np.full((4, 6), 2), [segment(2, 90)]))
    write_ids(tmp_path / "result" / "result_1.png", np.full((4, 6), 3))
    assert cli.main(["eval", *flags, "--processes=2"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("kmax: ") and "result_1.png has pixels of segment 3" in errors[-1]
    assert cli.main(["eval", *flags, "--processes=0"]) == 2
    assert "`processes` must be at least 1; received 0" in capsys.readouterr().err


@pytest.mark.skipif(not pathlib.Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_an_interrupt_is_one_line(tmp_path):
    flags = _write_result(tmp_path, Side(np.ones((4, 6), int), [segment(1, 90)]))
    truth, result = tmp_path / "panoptic_val.json", tmp_path / "result.json"
    for path in (truth, result):  # The same image many times: there is time to interrupt.
        content = json.loads(path.read_text())
        first = content["annotations"][0]
        content["annotations"] = [{**first, "image_id": index} for index in range(100_000)]
        path.write_text(json.dumps(content))
    command = [sys.executable, "-m", "trainer.cli", "eval", *flags, "--processes=2"]
    root = pathlib.Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        # Of its children one tracks resources, the others read images.
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and len(children.read_text().split()) < 3:
            time.sleep(0.05)
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to all processes at once.
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "kmax: interrupted."
    assert "Traceback" not in errors
