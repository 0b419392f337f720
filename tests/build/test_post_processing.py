"""From options to post-processors."""

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.build.post_processing import build_post_processor, post_processor_from_options
from kmax_tf.data.dataset_info import save_dataset_info
from kmax_tf.structures import ModelOutput
from protos import experiment_pb2, post_processing_pb2
from tests.post_processing.golden_cases import GoldenCase, check_against, load_case


def golden_options(case: GoldenCase) -> post_processing_pb2.PostProcessingOptions:
    options = post_processing_pb2.PostProcessingOptions(
        thing_area_limit=case.options["thing_area"],
        stuff_area_limit=case.options["stuff_area"],
        pixel_confidence_threshold=case.options["pixel_thr"],
    )
    if case.options["mode"] == "maskwise":
        options.mask_wise.CopyFrom(post_processing_pb2.MaskWiseOptions(**case.options["maskwise"]))
    else:
        options.pixel_wise.transformer_class_confidence_threshold = case.options["class_thr"]
    return options


@pytest.mark.parametrize("name", ["maskwise_ade_undo", "maskwise_cityscapes", "pixelwise_basic"])
def test_every_option_arrives(name: str) -> None:
    case = load_case(name)
    process = post_processor_from_options(golden_options(case), case.info, default_size=case.size)
    check_against(case, process(ModelOutput(case.prediction)))


def test_build_reads_classes_and_crop_size(tmp_path) -> None:
    case = load_case("maskwise_cityscapes")
    path = tmp_path / "dataset_info.json"
    save_dataset_info(case.info, str(path))
    config = experiment_pb2.ExperimentOptions()
    config.eval_dataset_options.dataset_info = str(path)
    config.eval_dataset_options.crop_size.extend(case.size)
    config.evaluator_options.post_processing.CopyFrom(golden_options(case))
    process = build_post_processor(config)
    check_against(case, process(ModelOutput(case.prediction)))
    smaller = process(ModelOutput(case.prediction), image_size=(17, 33))
    assert np.asarray(smaller.panoptic).shape == (2, 17, 33)


def test_errors_name_the_field() -> None:
    case = load_case("maskwise_coco")
    with pytest.raises(ValueError, match=r"mask_wise.*pixel_wise.*received none"):
        post_processor_from_options(
            post_processing_pb2.PostProcessingOptions(), case.info, default_size=(65, 65)
        )
    process = post_processor_from_options(golden_options(case), case.info, default_size=())
    with pytest.raises(ValueError, match="image_size"):
        process(ModelOutput(case.prediction))
