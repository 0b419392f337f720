from __future__ import annotations

import pytest

from kmax_tf.build.config import load_config
from kmax_tf.data.dataset_info import load_dataset_info
from trainer import run_folder


@pytest.fixture
def config(repository_root):
    return load_config(repository_root / "configs" / "test" / "tiny.textproto")


def test_the_run_describes_itself(config, tmp_path):
    info = load_dataset_info("shapes")
    run_folder.describe_run(tmp_path, config, info)
    assert load_config(tmp_path / "config.textproto") == config
    assert load_dataset_info(str(tmp_path / "labels.json")) == info
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.textproto", "labels.json"]


def test_changed_fields_are_named(config, tmp_path):
    assert run_folder.changed_fields(tmp_path, config) == []
    assert "--model_dir" in run_folder.explain_misfit(tmp_path, config)
    run_folder.describe_run(tmp_path, config, load_dataset_info("shapes"))
    assert run_folder.changed_fields(tmp_path, config) == []
    config.model_options.kmax_transformer_decoder.num_mask_slots = 16
    config.train_dataset_options.crop_size[:] = [97, 97]
    config.model_options.kmax_pixel_decoder.stages[1].width = 6
    config.model_options.ClearField("semantic_head")
    config.trainer_options.solver_options.use_gradient_clipping = False  # set to its default
    changed = run_folder.changed_fields(tmp_path, config)
    assert "model_options.kmax_transformer_decoder.num_mask_slots: 8 -> 16" in changed
    assert "train_dataset_options.crop_size: [65, 65] -> [97, 97]" in changed
    assert "model_options.semantic_head: removed" in changed
    assert any(c.startswith("model_options.kmax_pixel_decoder.stages: ") for c in changed)
    assert len(changed) == 4
    assert "num_mask_slots: 8 -> 16" in run_folder.explain_misfit(tmp_path, config)
