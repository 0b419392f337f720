"""The files below `configs/`: they load, are documented, and have the published values."""

from __future__ import annotations

import pathlib
import re

import pytest

from kmax_tf.build.config import load_config, write_config
from kmax_tf.build.model import build_model
from protos import experiment_pb2, losses_pb2, model_pb2

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("coco", "cityscapes", "ade20k")
FILES = sorted(str(path.relative_to(ROOT)) for f in FOLDERS for path in ROOT.glob(f"configs/{f}/*"))
KMAX = [name for name in FILES if "/kmax_" in name]
MAX = [name for name in FILES if "/max_deeplab" in name]

# Keep probability of the encoder's drop path.
ENCODER_KEEP = {
    "coco": {"r50": 1, "axial_r50": 0.8, "tiny": 0.7, "small": 0.6, "base": 0.5, "large": 0.4},
    "cityscapes": {
        "r50": 1, "axial_r50": 0.8, "tiny": 0.8, "small": 0.7, "base": 0.6, "large": 0.4,
    },
    "ade20k": {"r50": 1, "large": 0.3},
}  # fmt: skip
# Slots, stages of the pixel decoder, keep probability of the transformer decoder, semantic decoder.
DECODERS = {"coco": (128, 4, 0.8, True), "cityscapes": (256, 5, 0.8, False)}
DECODERS["ade20k"] = (128, 4, 1.0, True)
# Learning rate, steps, batch size, scales, most things, small things.
TRAINING = {
    "coco": (5e-4, 150_000, 64, (0.3, 1.7), 128, False),
    "cityscapes": (3e-4, 60_000, 32, (0.5, 2.0), 256, True),
    "ade20k": (5e-4, 100_000, 64, (0.5, 2.0), 256, False),
}
# Class thresholds of things and stuff, overlap, class and mask weight, smallest thing and stuff.
POST_PROCESSING = {
    "coco": (0.7, 0.5, 0.8, 1, 1, 400, 6400),
    "cityscapes": (0.5, 0.3, 0.9, 1, 0, 256, 2048),
    "ade20k": (0.4, 0.4, 0.8, 1, 1, 0, 0),
}
# Crop, learning rate, small things, colour policy, smallest thing and stuff.
MAX_DEEPLAB = {
    "max_deeplab_s": (641, 1e-3, False, 0, 100, 1600),
    "max_deeplab_s_1025": (1025, 1e-3, False, 0, 256, 4096),
    "max_deeplab_l": (1025, 3e-4, True, 1, 256, 4096),
}
# Trainable parameters of the reference implementation.
PARAMETERS = {
    "configs/coco/kmax_r50.textproto": 72_436_862,
    "configs/coco/kmax_axial_r50.textproto": 90_272_254,
    "configs/coco/kmax_convnext_tiny.textproto": 67_265_502,
    "configs/coco/max_deeplab_s.textproto": 77_756_942,
    "configs/coco/max_deeplab_s_1025.textproto": 77_756_942,
    "configs/coco/max_deeplab_l.textproto": 450_871_278,
}


def load(name: str) -> experiment_pb2.ExperimentOptions:
    return load_config(ROOT / name)


def dataset_of(name: str) -> str:
    return name.split("/")[1]


def term(config: experiment_pb2.ExperimentOptions) -> losses_pb2.KMaxLossOptions:
    return config.trainer_options.loss_options.kmax


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_reads_back_equal(name, tmp_path):
    config = load(name)
    write_config(config, tmp_path / "config.textproto")
    assert load_config(tmp_path / "config.textproto") == config


@pytest.mark.parametrize("name", FILES)
def test_the_header_says_what_is_needed(name):
    text = (ROOT / name).read_text()
    header = text[: text.index("\n\n")]
    assert all(line.startswith("#") for line in header.splitlines())
    assert all(len(line) <= 100 for line in text.splitlines())
    for label in ("Paper", "Data", "Command", "Weights", "Schedule", "Expect", "Matches"):
        assert re.search(rf"^# {label}:", header, re.MULTILINE), label
    assert f"python trainer/train.py --config_file={name}\n" in header
    assert "https://arxiv.org/abs/" in header
    assert re.search(r"# Expect: +PQ ", header)
    dataset = dataset_of(name)
    assert f"kmax build-data {dataset}_panoptic --input_dir=FOLDER" in header
    assert f"--output_dir=data/{dataset}/tfrecords" in header
    encoder = "pretrained_weights" if "convnext" in name else "initial_checkpoint"
    assert f"--set model_options.{encoder}=" in header


@pytest.mark.parametrize("name", FILES)
def test_places_of_the_records(name, monkeypatch):
    monkeypatch.delenv("KMAX_DATA", raising=False)
    config, dataset = load(name), dataset_of(name)
    for options, split in (
        (config.train_dataset_options, "train"),
        (config.eval_dataset_options, "val"),
    ):
        assert options.dataset_info == f"{dataset}_panoptic"
        assert list(options.file_pattern) == [f"data/{dataset}/tfrecords/{split}-*"]


@pytest.mark.parametrize("name", FILES)
def test_experiments_are_named_after_their_file(name):
    folder, file = name.split("/")[1:]
    assert load(name).experiment_name == f"{folder}_{file.split('.')[0]}"


@pytest.mark.parametrize("name", FILES)
def test_settings_that_all_published_models_share(name):
    config = load(name)
    solver = config.trainer_options.solver_options
    assert solver.warmup_steps == 5000
    assert solver.poly_learning_power == pytest.approx(0.9)
    assert solver.poly_end_learning_rate == 0
    assert solver.backbone_learning_rate_multiplier == pytest.approx(0.1)
    assert not solver.use_gradient_clipping
    assert solver.use_sync_batchnorm
    assert solver.batchnorm_momentum == pytest.approx(0.99)
    assert solver.batchnorm_epsilon == pytest.approx(1e-3)
    model = config.model_options
    assert (model.mask_head.head_channels, model.mask_head.output_channels) == (256, 128)
    assert model.semantic_head.head_channels == 256
    terms = term(config)
    assert terms.semantic_loss.weight == 1
    assert terms.pq_style_loss.weight == 3
    assert terms.mask_id_cross_entropy_loss.weight == pytest.approx(0.3)
    assert terms.instance_discrimination_loss.weight == 1
    assert config.train_dataset_options.augmentations.scale_factor_step_size == pytest.approx(0.1)
    assert config.train_dataset_options.crop_size == config.eval_dataset_options.crop_size
    assert config.eval_dataset_options.batch_size == 1
    assert config.evaluator_options.post_processing.pixel_confidence_threshold == pytest.approx(0.4)


@pytest.mark.parametrize("name", KMAX)
def test_kmax_networks(name):
    model, dataset = load(name).model_options, dataset_of(name)
    encoder = getattr(model, model.WhichOneof("pixel_encoder"))
    size = name.split("kmax_")[1].split(".")[0].replace("_1281", "").replace("convnext_", "")
    assert encoder.drop_path_keep_prob == pytest.approx(ENCODER_KEEP[dataset][size])
    slots, num_stages, keep, has_decoder = DECODERS[dataset]
    decoder = model.kmax_transformer_decoder
    assert decoder.num_mask_slots == slots
    assert decoder.drop_path_keep_prob == pytest.approx(keep)
    assert list(decoder.num_layers) == [2, 2, 2]
    stages = [(s.block_type, s.width, s.num_blocks) for s in model.kmax_pixel_decoder.stages]
    axial, bottleneck = model_pb2.PixelDecoderStage.AXIAL, model_pb2.PixelDecoderStage.BOTTLENECK
    expected = [(axial, 512, 1), (axial, 256, 5)]
    expected += [(bottleneck, width, 1) for width in (128, 64, 32)]
    assert stages == expected[:num_stages]
    semantic = model.semantic_head
    assert semantic.HasField("decoder") == has_decoder
    if has_decoder:
        assert list(semantic.decoder.atrous_rates) == [6, 12, 18]
        assert (semantic.decoder.aspp_channels, semantic.decoder.decoder_channels) == (256, 256)
        low_level = [
            (f.feature_key, f.channels_project) for f in semantic.decoder.auxiliary_low_level
        ]
        assert low_level == [("res3", 64), ("res2", 32)]
        assert semantic.decoder.pooling == model_pb2.SemanticDecoderOptions.WHOLE_MAP


@pytest.mark.parametrize("name", KMAX)
def test_kmax_training(name):
    config, dataset = load(name), dataset_of(name)
    rate, steps, batch, scales, things, small = TRAINING[dataset]
    solver, data = config.trainer_options.solver_options, config.train_dataset_options
    assert solver.optimizer == solver.ADAMW
    assert solver.adamw_weight_decay == pytest.approx(0.05)
    assert solver.base_learning_rate == pytest.approx(rate)
    assert solver.training_number_of_steps == steps
    assert data.batch_size == batch
    changes = data.augmentations
    assert (changes.min_scale_factor, changes.max_scale_factor) == pytest.approx(scales)
    assert data.max_thing_id == things
    assert data.increase_small_instance_weights == small
    crop = {"coco": [1281, 1281], "cityscapes": [1025, 2049]}.get(dataset)
    crop = crop or ([1281, 1281] if "_1281" in name else [641, 641])
    assert list(data.crop_size) == crop
    resize = [0] if dataset == "cityscapes" else []  # Unset = the crop size.
    assert list(data.min_resize_value) == list(data.max_resize_value) == resize
    assert changes.autoaugment_policy_name == (2 if dataset == "cityscapes" else 1)
    paste = changes.panoptic_copy_paste
    assert paste.panoptic_copy_paste_scale == 0.5
    options = [
        getattr(paste, f"panoptic_copy_paste_{k}_option") for k in ("thing", "stuff", "void")
    ]
    assert options == [paste.ALL, paste.RANDOM, paste.NONE]
    terms = term(config)
    assert terms.semantic_loss.top_k_percent == pytest.approx(0.2 if dataset == "cityscapes" else 1)
    assert terms.semantic_loss.semantic_sample_k == 0
    instance = terms.instance_discrimination_loss
    samples = 1024 if crop == [641, 641] else 4096
    temperature = 0.6 if dataset == "cityscapes" else 1.5
    assert instance.instance_discrimination_sample_k == samples
    assert instance.instance_discrimination_sample_temperature == pytest.approx(temperature)


@pytest.mark.parametrize("name", KMAX)
def test_kmax_post_processing(name):
    options = load(name).evaluator_options.post_processing
    method = options.mask_wise
    assert (
        method.transformer_class_confidence_threshold_thing,
        method.transformer_class_confidence_threshold_stuff,
        method.overlapping_threshold,
        method.reorder_class_weight,
        method.reorder_mask_weight,
        options.thing_area_limit,
        options.stuff_area_limit,
    ) == pytest.approx(POST_PROCESSING[dataset_of(name)])


@pytest.mark.parametrize("name", MAX)
def test_max_deeplab(name):
    config = load(name)
    crop, rate, small, policy, *limits = MAX_DEEPLAB[name.split("/")[2].split(".")[0]]
    data, solver = config.train_dataset_options, config.trainer_options.solver_options
    assert list(data.crop_size) == [crop, crop]
    assert not data.min_resize_value
    assert not data.max_resize_value
    assert solver.optimizer == solver.ADAM
    assert solver.base_learning_rate == pytest.approx(rate)
    assert solver.training_number_of_steps == 400_000
    assert data.batch_size == 64
    changes = data.augmentations
    assert (changes.min_scale_factor, changes.max_scale_factor) == (0.5, 1.5)
    assert changes.autoaugment_policy_name == policy
    assert changes.panoptic_copy_paste.panoptic_copy_paste_scale == 0
    assert data.increase_small_instance_weights == small
    assert data.small_instance_weight == 3
    assert term(config).instance_discrimination_loss.instance_discrimination_sample_k == 0
    network = config.model_options.dual_path_transformer
    assert network.num_mask_slots == 128
    assert network.drop_path_keep_prob == pytest.approx(0.8)
    assert network.variant == (network.MAX_DEEPLAB_L if "_l." in name else network.MAX_DEEPLAB_S)
    semantic = config.model_options.semantic_head
    assert semantic.HasField("decoder") == ("_s" in name)
    if semantic.HasField("decoder"):
        assert semantic.decoder.pooling == model_pb2.SemanticDecoderOptions.TRAIN_CROP
    post_processing = config.evaluator_options.post_processing
    threshold = post_processing.pixel_wise.transformer_class_confidence_threshold
    assert threshold == pytest.approx(0.7)
    assert [post_processing.thing_area_limit, post_processing.stuff_area_limit] == limits


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_models_have_the_parameters_of_the_reference(name):
    model = build_model(load(name))
    parameters = sum(variable.shape.num_elements() for variable in model.trainable_variables)
    if name in PARAMETERS:
        assert parameters == PARAMETERS[name]
    assert parameters > 50_000_000
