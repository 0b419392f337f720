from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from kmax_tf.build.losses import build_loss, loss_from_options
from kmax_tf.structures import MaskPrediction, ModelOutput
from protos import experiment_pb2, losses_pb2
from tests.losses.golden_cases import load

ALL_TERMS = """
  semantic_loss { weight: 1.0 }
  pq_style_loss { weight: 3.0 }
  mask_id_cross_entropy_loss { weight: 0.3 }
  instance_discrimination_loss {
    weight: 1.0
    instance_discrimination_sample_k: 289
    instance_discrimination_sample_temperature: 1.5
  }
"""


def terms_of(options_text, case):
    options = text_format.Parse(f"kmax {{ {options_text} }}", losses_pb2.LossOptions())
    loss = loss_from_options(options, case.info, max_thing_id=8, seed=1)
    return loss(case.targets, case.output)


def test_configured_losses_equal_the_reference():
    case = load("basic_full_sampling")
    terms = terms_of(ALL_TERMS, case)
    for name in (*terms.keys() - {"total"}, "total_loss"):
        actual = terms["total" if name == "total_loss" else name]
        np.testing.assert_allclose(actual, case.arrays[f"loss/{name}"], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("semantic_loss {} pq_style_loss { weight: 0 }", {"semantic_loss"}),
        (
            "pq_style_loss {}",
            {"pq_style_loss_class_term", "pq_style_loss_mask_dice_term"},
        ),
        ("mask_id_cross_entropy_loss {}", {"mask_id_cross_entropy_loss"}),
        ("instance_discrimination_loss {}", {"instance_discrimination_loss"}),
    ],
)
def test_terms_of_weight_0_and_absent_terms_are_off(options, names):
    case = load("basic_full_sampling")
    terms = terms_of(options, case)
    assert set(terms) == names | {"total"}
    total = sum(np.asarray(terms[name]) for name in names)
    np.testing.assert_allclose(terms["total"], total, rtol=1e-6)


def test_a_term_that_is_off_needs_nothing():
    case = load("basic_full_sampling")
    final = case.output.final
    bare = ModelOutput(MaskPrediction(final.class_logits, final.mask_logits))
    terms = terms_of("pq_style_loss {}", case._replace(output=bare))
    expected = case.arrays["loss/pq_style_loss_class_term"] / 3.0
    np.testing.assert_allclose(terms["pq_style_loss_class_term"], expected, rtol=1e-5)


def test_errors_name_the_field():
    info = load("basic_full_sampling").info
    with pytest.raises(ValueError, match=r"`trainer_options.loss_options` must choose"):
        loss_from_options(losses_pb2.LossOptions(), info, max_thing_id=8, seed=0)
    options = text_format.Parse("kmax { pq_style_loss { weight: 0 } }", losses_pb2.LossOptions())
    with pytest.raises(ValueError, match=r"`trainer_options.loss_options.kmax` must have a term"):
        loss_from_options(options, info, max_thing_id=8, seed=0)


def test_experiment_config():
    config = experiment_pb2.ExperimentOptions()
    config.train_dataset_options.dataset_info = "coco_panoptic"
    config.trainer_options.loss_options.kmax.pq_style_loss.weight = 3.0
    loss = build_loss(config)
    case = load("basic_full_sampling")
    with pytest.raises(ValueError, match="mask logits"):
        small = case.output.final._replace(mask_logits=case.output.final.mask_logits[:, ::2])
        loss(case.targets, case.output._replace(auxiliary=(small,)))
