from __future__ import annotations

import pytest

from kmax_tf.build.config import load_config
from kmax_tf.build.deeplab2_overrides import require_own_path

OLD_PATHS = {
    "model_options.backbone.name": "`model_options.resnet.variant`",
    "model_options.backbone.drop_path_keep_prob": "`model_options.resnet.drop_path_keep_prob`",
    "model_options.backbone.pretrained_weights": "`model_options.pretrained_weights`",
    "model_options.max_deeplab.auxiliary_low_level.0.channels_project": "",
    "model_options.max_deeplab.instance_discrimination_sample_k": (
        "`trainer_options.loss_options.kmax.instance_discrimination_loss."
        "instance_discrimination_sample_k`"
    ),
    "trainer_options.loss_options.semantic_loss.weight": "kmax.semantic_loss.weight",
    "train_dataset_options.dataset": "`train_dataset_options.dataset_info`",
    "evaluator_options.thing_area_limit": "`evaluator_options.post_processing.thing_area_limit`",
    "evaluator_options.save_predictions": "",
}


@pytest.fixture
def config(repository_root):
    return load_config(repository_root / "configs/coco/kmax_r50.textproto")


@pytest.mark.parametrize("path", OLD_PATHS)
def test_an_old_path_is_answered_with_ours(config, path):
    with pytest.raises(ValueError, match=r"names a field of deeplab2's schema") as caught:
        require_own_path(config, path)
    assert f"`--set {path}`" in str(caught.value)
    assert OLD_PATHS[path] in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "path",
    [
        "train_dataset_options.crop_size",  # In both schemas.
        "model_options.kmax_pixel_decoder.stages.0.width",
        "trainer_options.no_such_field",  # In neither: another error follows.
        "model_options.resnet.depths.1.x",
    ],
)
def test_other_paths_pass(config, path):
    require_own_path(config, path)


def test_it_is_part_of_loading(repository_root):
    path = repository_root / "configs/coco/kmax_r50.textproto"
    with pytest.raises(ValueError, match=r"deeplab2's schema.*model_options\.resnet\.variant"):
        load_config(path, ["model_options.backbone.name=kmax_convnext_tiny"])
