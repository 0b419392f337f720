from __future__ import annotations

import importlib.util

import pytest

from protos import training_pb2
from tests.trainer import toy
from trainer import optimizers, solver


def _options(**fields):
    return training_pb2.SolverOptions(
        base_learning_rate=0.5, training_number_of_steps=100, **fields
    )


def test_schedules_by_policy():
    poly = solver.build_schedule(
        _options(poly_learning_power=1.0, poly_end_learning_rate=0.1), batch_size=4
    )
    assert float(poly(50)) == pytest.approx(0.3)
    cosine = solver.build_schedule(
        _options(learning_policy=training_pb2.SolverOptions.COSINE, warmup_steps=10), batch_size=4
    )
    assert float(cosine(5)) == pytest.approx(0.25)
    assert float(cosine(50)) == pytest.approx(0.25)


def test_optimizers_by_name():
    model = toy.ToyModel()
    options = _options(
        optimizer=training_pb2.SolverOptions.ADAMW,
        adamw_weight_decay=0.05,
        backbone_learning_rate_multiplier=0.1,
    )
    adamw = solver.build_optimizer(model, options, batch_size=4)
    assert isinstance(adamw, optimizers.AdamW)
    assert set(adamw.slots) == {"first_moment", "second_moment"}
    assert set(adamw.slots["first_moment"]) == {
        "pixel_encoder/kernel",
        "pixel_encoder/bias",
        "head/kernel",
        "head/bias",
        "norm/gamma",
        "norm/beta",
    }
    sgd = solver.build_optimizer(
        model, _options(optimizer=training_pb2.SolverOptions.SGD), batch_size=4
    )
    assert isinstance(sgd, optimizers.SGD)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_plain_adam_never_decays(decay):
    model = toy.ToyModel()
    adam = solver.build_optimizer(
        model,
        _options(optimizer=training_pb2.SolverOptions.ADAM, adamw_weight_decay=decay),
        batch_size=4,
    )
    before = model.head.kernel.numpy()
    adam.apply([g * 0.0 for g in model.trainable_variables], 0)
    assert (model.head.kernel.numpy() == before).all()


@pytest.mark.parametrize("policy", ["POLY", "COSINE"])
def test_the_linear_rule_scales_the_whole_schedule(policy):
    fields = {
        "learning_policy": policy,
        "poly_end_learning_rate": 0.25,
        "warmup_steps": 10,
    }
    plain = solver.build_schedule(_options(**fields), batch_size=64)
    scaled = solver.build_schedule(_options(**fields, reference_batch_size=16), batch_size=64)
    for step in (0, 3, 10, 50, 100):
        assert float(scaled(step)) == pytest.approx(4 * float(plain(step)))
    assert float(plain(5)) == pytest.approx(0.25)


def test_the_rate_that_is_shown():
    assert solver.describe_learning_rate(_options(), batch_size=64) == "0.5"
    shown = solver.describe_learning_rate(_options(reference_batch_size=16), batch_size=64)
    assert shown == "2 = 0.5 * batch size 64 / 16"


def test_lamb_by_name():
    pytest.importorskip("tensorflow_addons")
    options = _options(
        optimizer=training_pb2.SolverOptions.LAMB, backbone_learning_rate_multiplier=0.1
    )
    lamb = solver.build_optimizer(toy.ToyModel(), options, batch_size=4)
    assert type(lamb).__name__ == "LAMB"
    assert set(lamb.slots) == {"first_moment", "second_moment"}


def test_lamb_without_tensorflow_addons_is_refused(monkeypatch):
    if importlib.util.find_spec("tensorflow_addons") is not None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    options = _options(optimizer=training_pb2.SolverOptions.LAMB)
    with pytest.raises(ValueError, match=r"LAMB needs tensorflow-addons.*3\.9 to 3\.11.* ADAMW"):
        solver.build_optimizer(toy.ToyModel(), options, batch_size=4)
