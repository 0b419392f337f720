"""The step without guards, which the guarded one is compared with, does the same work."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tests.faults.measure_guards import BareLoop, Cost, main, measure
from tests.trainer import toy
from trainer.interrupts import Interrupts
from trainer.train_loop import TrainLoop
from trainer.train_step import TrainStep
from trainer.watchdog import Watchdog

BATCH = 4


def _step(clip_norm):
    tf.keras.utils.set_random_seed(3)
    model = toy.ToyModel()
    optimizer = toy.toy_optimizer(model)
    step = TrainStep(
        model=model,
        loss=toy.ToyLoss(),
        optimizer=optimizer,
        global_batch_size=BATCH,
        seed=1,
        clip_norm=clip_norm,
        max_total_loss=1e6,
    )
    return step, model, optimizer


@pytest.mark.parametrize("clip_norm", [None, 1e-3])
def test_both_loops_train_alike(clip_norm):
    strategy, batches = tf.distribute.get_strategy(), toy.toy_dataset(BATCH, start_step=0)
    step, guarded, optimizer = _step(clip_norm)
    loop = TrainLoop(
        step,
        strategy=strategy,
        make_iterator=lambda first: iter(batches),
        global_step=tf.Variable(0, dtype=tf.int64, trainable=False),
        global_batch_size=BATCH,
        interrupts=Interrupts(),
        watchdog=Watchdog(600),
        learning_rate=optimizer.schedule,
        leave_out=lambda first: False,
    )
    loop.train(tf.constant(5))
    step, bare, _ = _step(clip_norm)
    begin = [variable.numpy() for variable in bare.variables]
    BareLoop(step, strategy, iter(batches))(5)
    assert any((a != b.numpy()).any() for a, b in zip(begin, bare.trainable_variables))
    for a, b in zip(guarded.variables, bare.variables):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6, atol=1e-7)


def test_the_overhead_is_the_median_over_the_rounds(monkeypatch, capsys):
    pairs = [(Cost(1.0, 2.0), Cost(1.5, 2.0)), (Cost(1.0, 2.0), Cost(1.01, 2.2))]
    pairs.append((Cost(0.5, 1.0), Cost(0.1, 1.5)))
    monkeypatch.setattr("tests.faults.measure_guards.measure", lambda *_, **__: pairs)
    main([])
    first, second = capsys.readouterr().out.splitlines()
    assert first == "time passed: 1000.00 ms without, 1010.00 ms with guards, +1.00 %"
    assert second.endswith("+10.00 %")


@pytest.mark.faults
def test_the_tiny_model_is_measured(repository_root):
    config = str(repository_root / "configs" / "test" / "tiny.textproto")
    ((bare, guarded),) = measure(config, [], rounds=1, steps=1)
    assert min(*bare, *guarded) > 0
