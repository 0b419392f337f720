from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.build.initial_weights import load_initial_weights, load_weights_to_evaluate
from kmax_tf.checkpoints.mapping import variables_by_path
from protos import model_pb2
from tests.checkpoints import toy

VALUES = toy.arrays()


@pytest.fixture
def whole(tmp_path) -> str:
    return toy.write(tmp_path / "whole", toy.deeplab2_names(VALUES), trained=True)


@pytest.fixture
def encoder(tmp_path) -> str:
    values = {path: 2 * VALUES[path] for path in toy.ENCODER}
    return toy.write(tmp_path / "encoder", toy.deeplab2_names(values))


def _loaded(model):
    return {p for p, v in variables_by_path(model).items() if not np.all(v.numpy() == -1.0)}


def test_nothing_asked_for():
    assert load_initial_weights(toy.model(), model_pb2.ModelOptions()) == []
    assert load_weights_to_evaluate(toy.model(), model_pb2.ModelOptions()) == []


def test_pretrained_weights_of_the_encoder(encoder):
    model = toy.model()
    (report,) = load_initial_weights(model, model_pb2.ModelOptions(pretrained_weights=encoder))
    assert set(report.loaded) == _loaded(model) == toy.ENCODER


@pytest.mark.parametrize("kind", ["whole", "encoder"])
def test_pretrained_weights_are_not_read_when_the_checkpoint_holds_the_encoder(request, kind):
    options = model_pb2.ModelOptions(
        initial_checkpoint=request.getfixturevalue(kind), pretrained_weights="${NOWHERE}/encoder"
    )
    model = toy.model()
    assert len(load_initial_weights(model, options)) == 1
    assert _loaded(model) == (set(toy.KMAX) if kind == "whole" else toy.ENCODER)


def test_pretrained_weights_fill_in_for_an_encoder_that_is_missing(tmp_path, encoder):
    values = {path: a for path, a in VALUES.items() if path not in toy.ENCODER}
    rest = toy.write(tmp_path / "rest", toy.deeplab2_names(values))
    options = model_pb2.ModelOptions(
        initial_checkpoint=rest, pretrained_weights=encoder, allow_missing=["pixel_encoder"]
    )
    model = toy.model()
    reports = load_initial_weights(model, options)
    assert [len(report.loaded) for report in reports] == [len(values), len(toy.ENCODER)]
    assert _loaded(model) == set(toy.KMAX)


def test_exceptions_are_passed_on_to_training_alone(whole):
    options = model_pb2.ModelOptions(initial_checkpoint=whole, allow_missing=["heads"])
    model = toy.model({**toy.KMAX, "mask_head/class_projection/bias": (9,)})
    (report,) = load_initial_weights(model, options)
    assert set(report.reset) == toy.HEADS
    with pytest.raises(ValueError, match="another model"):
        load_weights_to_evaluate(model, options)


def test_an_evaluation_needs_the_whole_model(whole, encoder):
    options = model_pb2.ModelOptions(initial_checkpoint=whole, pretrained_weights="nowhere")
    (report,) = load_weights_to_evaluate(toy.model(), options)
    assert set(report.loaded) == set(toy.KMAX)
    with pytest.raises(ValueError, match="holds the pixel encoder alone"):
        load_weights_to_evaluate(toy.model(), model_pb2.ModelOptions(initial_checkpoint=encoder))


@pytest.mark.parametrize("field", ["initial_checkpoint", "pretrained_weights"])
def test_unfilled_placeholders_are_named(field):
    options = model_pb2.ModelOptions(**{field: "${NOWHERE}/ckpt"})
    with pytest.raises(ValueError, match=rf"model_options.{field}.*NOWHERE"):
        load_initial_weights(toy.model(), options)
