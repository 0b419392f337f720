from __future__ import annotations

import pathlib

import pytest

from kmax_tf.build.config import (
    inference_dataset_options,
    load_config,
    require_filled,
    write_config,
)

MINIMAL = "configs/test/tiny.textproto"


def edited(root: pathlib.Path, folder: pathlib.Path, old: str, new: str) -> pathlib.Path:
    text = (root / MINIMAL).read_text()
    assert old in text
    path = folder / "edited.textproto"
    path.write_text(text.replace(old, new, 1))
    return path


def all_configs(root: pathlib.Path):
    return sorted((root / "configs").rglob("*.textproto"))


def test_every_shipped_config_loads(repository_root):
    configs = all_configs(repository_root)
    assert len(configs) >= 3
    for path in configs:
        load_config(path)


def test_coco_r50_has_the_published_values(repository_root):
    config = load_config(repository_root / "configs/coco/kmax_r50.textproto")
    solver = config.trainer_options.solver_options
    assert solver.base_learning_rate == pytest.approx(5e-4)
    assert solver.training_number_of_steps == 150_000
    assert solver.warmup_steps == 5000
    assert solver.adamw_weight_decay == pytest.approx(0.05)
    assert solver.backbone_learning_rate_multiplier == pytest.approx(0.1)
    losses = config.trainer_options.loss_options.kmax
    assert losses.pq_style_loss.weight == 3
    assert losses.mask_id_cross_entropy_loss.weight == pytest.approx(0.3)
    assert losses.instance_discrimination_loss.instance_discrimination_sample_k == 4096
    assert losses.semantic_loss.semantic_sample_k == 0
    data = config.train_dataset_options
    assert list(data.crop_size) == [1281, 1281]
    assert data.batch_size == 64
    assert data.augmentations.panoptic_copy_paste.panoptic_copy_paste_scale == 0.5
    post_processing = config.evaluator_options.post_processing
    assert post_processing.mask_wise.overlapping_threshold == pytest.approx(0.8)
    assert (post_processing.thing_area_limit, post_processing.stuff_area_limit) == (400, 6400)


def test_placeholder_comes_from_override_environment_or_default(repository_root, monkeypatch):
    path = repository_root / MINIMAL
    monkeypatch.delenv("KMAX_DATA", raising=False)
    assert load_config(path).train_dataset_options.file_pattern[0].startswith("data/shapes")
    monkeypatch.setenv("KMAX_DATA", "/records")
    assert load_config(path).train_dataset_options.file_pattern[0].startswith("/records/")
    config = load_config(path, overrides=['KMAX_DATA=C:\\a "b"'])
    assert config.train_dataset_options.file_pattern[0].startswith('C:\\a "b"/shapes')


def test_evaluation_takes_the_classes_of_training_and_inference_the_evaluations_size(
    repository_root,
):
    config = load_config(
        repository_root / MINIMAL,
        overrides=["eval_dataset_options.dataset_info=", "eval_dataset_options.crop_size=97,97"],
    )
    assert config.eval_dataset_options.dataset_info == config.train_dataset_options.dataset_info
    assert list(inference_dataset_options(config).crop_size) == [97, 97]
    config.ClearField("eval_dataset_options")
    assert list(inference_dataset_options(config).crop_size) == [65, 65]


def test_evaluation_takes_the_task_of_training_unless_it_names_one(repository_root):
    tasks = ["train_dataset_options.task=INSTANCE", "eval_dataset_options.task=SEMANTIC"]
    config = load_config(repository_root / MINIMAL, overrides=tasks[:1])
    assert config.eval_dataset_options.task == config.train_dataset_options.task == 2
    config = load_config(repository_root / MINIMAL, overrides=tasks)
    assert config.eval_dataset_options.task == 1  # an error for whoever evaluates
    assert not load_config(repository_root / MINIMAL).eval_dataset_options.HasField("task")


def test_unfilled_placeholder_is_an_error_only_for_its_reader(repository_root, tmp_path):
    path = edited(
        repository_root,
        tmp_path,
        "model_options {",
        'model_options {\n  initial_checkpoint: "${NO_SUCH_NAME}"',
    )
    config = load_config(path)
    with pytest.raises(ValueError, match=r"initial_checkpoint.*NO_SUCH_NAME"):
        require_filled(config.model_options.initial_checkpoint, "model_options.initial_checkpoint")
    assert require_filled("plain", "field") == "plain"


def test_missing_file_names_the_nearest_one(repository_root):
    with pytest.raises(ValueError, match=r"does not exist; did you mean .*kmax_r50\.textproto"):
        load_config(repository_root / "configs/coco/kmax_r5.textproto")


def test_unknown_field_is_reported_with_line_and_nearest_name(repository_root, tmp_path):
    path = edited(repository_root, tmp_path, "num_mask_slots:", "num_mask_slot:")
    number = path.read_text()[: path.read_text().index("num_mask_slot:")].count("\n") + 1
    with pytest.raises(ValueError, match=r"num_mask_slot.*num_mask_slots") as caught:
        load_config(path)
    assert f"edited.textproto:{number}:" in str(caught.value)


def test_wrong_enum_value_lists_the_accepted_ones(repository_root, tmp_path):
    path = edited(repository_root, tmp_path, "optimizer: ADAMW", "optimizer: ADAMMM")
    with pytest.raises(ValueError, match=r":\d+: Optimizer accepts ADAM, ADAMW, SGD.*ADAMMM"):
        load_config(path)


def test_syntax_error_names_the_line(repository_root, tmp_path):
    path = edited(repository_root, tmp_path, "warmup_steps: 0", "warmup_steps: zero")
    with pytest.raises(ValueError, match=r"edited\.textproto:\d+: "):
        load_config(path)


def test_written_config_reads_back_equal(repository_root, tmp_path):
    config = load_config(repository_root / MINIMAL, overrides=["trainer_options.seed=7"])
    write_config(config, tmp_path / "config.textproto")
    assert load_config(tmp_path / "config.textproto") == config
    assert [p.name for p in tmp_path.iterdir()] == ["config.textproto"]


def test_override_without_equals_is_refused(repository_root):
    with pytest.raises(ValueError, match=r"path\.to\.field=value"):
        load_config(repository_root / MINIMAL, overrides=["trainer_options.seed"])


def test_placeholder_that_the_file_does_not_have_is_refused(repository_root):
    with pytest.raises(ValueError, match=r"KMAX_DTA=.*fills nothing.*\$\{KMAX_DATA\}"):
        load_config(repository_root / MINIMAL, overrides=["KMAX_DTA=x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a" * (2**18 + 1), r"cannot be read: it has more than the 262144 bytes that are read\.$"),
        (
            b"a { " * 1000,
            r"cannot be read: it is nested deeper than the 20 messages that are read\.$",
        ),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec"),
    ],
)
def test_files_beyond_the_limits_are_named(tmp_path, content, message):
    path = tmp_path / "large.textproto"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"large\.textproto {message}"):
        load_config(path)


def test_an_override_beyond_the_limit_is_refused(repository_root):
    with pytest.raises(
        ValueError, match=r"^`--set experiment_name=xxx.*` may have 65536 characters"
    ):
        load_config(repository_root / MINIMAL, overrides=["experiment_name=" + "x" * 2**16])
