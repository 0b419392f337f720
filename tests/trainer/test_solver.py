from __future__ import annotations

import pytest

from protos import training_pb2
from tests.trainer import toy
from trainer import optimizers, solver


def _options(**fields):
    return training_pb2.SolverOptions(
        base_learning_rate=0.5, training_number_of_steps=100, **fields
    )


def test_schedules_by_policy():
    poly = solver.build_schedule(_options(poly_learning_power=1.0, poly_end_learning_rate=0.1))
    assert float(poly(50)) == pytest.approx(0.3)
    cosine = solver.build_schedule(
        _options(learning_policy=training_pb2.SolverOptions.COSINE, warmup_steps=10)
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
    adamw = solver.build_optimizer(model, options)
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
    sgd = solver.build_optimizer(model, _options(optimizer=training_pb2.SolverOptions.SGD))
    assert isinstance(sgd, optimizers.SGD)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_plain_adam_never_decays(decay):
    model = toy.ToyModel()
    adam = solver.build_optimizer(
        model, _options(optimizer=training_pb2.SolverOptions.ADAM, adamw_weight_decay=decay)
    )
    before = model.head.kernel.numpy()
    adam.apply([g * 0.0 for g in model.trainable_variables], 0)
    assert (model.head.kernel.numpy() == before).all()
