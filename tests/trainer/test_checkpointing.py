from __future__ import annotations

import numpy as np
import orbit
import pytest
import tensorflow as tf

from kmax_tf.checkpoints.formats import open_source
from tests.trainer import toy
from trainer import checkpointing

ABSENT = []
"""What a restored checkpoint lacked."""


def _manager(folder, model, step, *, optimizer=None, keep=2, interval=1, initialize=None, **more):
    trackables = {**more, "model": model}
    if optimizer is not None:
        trackables["optimizer"] = optimizer.slots
    checkpoint = checkpointing.FittingCheckpoint(
        explain=_explain,
        optional={"loss_scale": lambda: ABSENT.append("loss_scale")},
        global_step=step,
        **trackables,
    )
    return checkpointing.create_manager(
        folder,
        checkpoint,
        global_step=step,
        keep=keep,
        interval=interval,
        initialize=initialize,
    )


def _explain():
    return "; changed since it was written: model_options.x: 1 -> 2"


def _new(head=2):
    model = toy.ToyModel(head)
    return model, toy.toy_optimizer(model), orbit.utils.create_global_step()


def test_model_slots_and_step_come_back(tmp_path):
    model, optimizer, step = _new()
    slot = optimizer.slots["first_moment"]["head/kernel"]
    slot.assign_add(tf.ones_like(slot))
    step.assign(7)
    saved = checkpointing.save_now(_manager(tmp_path, model, step, optimizer=optimizer), 7)
    assert saved == str(tmp_path / "ckpt-7")

    other, other_optimizer, other_step = _new()
    _manager(tmp_path, other, other_step, optimizer=other_optimizer).restore_or_initialize()
    assert int(other_step.numpy()) == 7
    np.testing.assert_array_equal(other.head.kernel.numpy(), model.head.kernel.numpy())
    assert (other_optimizer.slots["first_moment"]["head/kernel"].numpy() == 1).all()

    # Evaluation reads the model and the step only.
    third, _, third_step = _new()
    _manager(tmp_path, third, third_step).restore_or_initialize()
    np.testing.assert_array_equal(third.head.kernel.numpy(), model.head.kernel.numpy())


def test_the_newest_are_kept_and_a_step_is_not_saved_twice(tmp_path):
    model, optimizer, step = _new()
    manager = _manager(tmp_path, model, step, optimizer=optimizer)
    for number in (1, 2, 3):
        step.assign(number)
        first = checkpointing.save_now(manager, number)
    written = (tmp_path / "ckpt-3.index").stat().st_mtime_ns
    assert checkpointing.save_now(manager, 3) == first
    assert (tmp_path / "ckpt-3.index").stat().st_mtime_ns == written
    assert sorted(p.stem for p in tmp_path.glob("*.index")) == ["ckpt-2", "ckpt-3"]


def test_saving_now_does_not_wait_for_the_interval(tmp_path):
    model, optimizer, step = _new()
    manager = _manager(tmp_path, model, step, optimizer=optimizer, interval=100)
    for number in (1, 2):
        step.assign(number)
        assert checkpointing.save_now(manager, number) == str(tmp_path / f"ckpt-{number}")


def test_a_checkpoint_of_another_config_is_refused(tmp_path):
    model, optimizer, step = _new()
    checkpointing.save_now(_manager(tmp_path, model, step, optimizer=optimizer), 5)
    other, other_optimizer, other_step = _new(head=3)
    manager = _manager(tmp_path, other, other_step, optimizer=other_optimizer)
    with pytest.raises(ValueError, match="does not fit the config") as error:
        manager.restore_or_initialize()
    message = str(error.value)
    assert "head: 2 of another shape (head/" in message
    assert "3] in the model, " in message
    assert "first_moment" not in message
    assert message.endswith("model_options.x: 1 -> 2.")


def test_missing_slots_are_named(tmp_path):
    model, optimizer, step = _new()
    checkpointing.save_now(_manager(tmp_path, model, step), 5)
    with pytest.raises(ValueError, match=r"missing in the file .*first_moment"):
        _manager(tmp_path, model, step, optimizer=optimizer).restore_or_initialize()


def test_an_optional_part_may_be_missing_as_a_whole_only(tmp_path):
    model, optimizer, step = _new()
    checkpointing.save_now(_manager(tmp_path, model, step, optimizer=optimizer), 5)
    scale = {"scale": tf.Variable(8.0), "skips": tf.Variable(3)}
    manager = _manager(tmp_path, model, step, optimizer=optimizer, loss_scale=scale)
    ABSENT.clear()
    manager.restore_or_initialize()
    assert scale["scale"].numpy() == 8.0
    assert ABSENT == ["loss_scale"]
    step.assign(6)
    checkpointing.save_now(manager, 6)
    scale["scale"].assign(4.0)
    manager.restore_or_initialize()
    assert scale["scale"].numpy() == 8.0
    assert ABSENT == ["loss_scale"]

    # A run without a scale reads the checkpoint of one with it.
    _manager(tmp_path, model, step, optimizer=optimizer).restore_or_initialize()
    other = {**scale, "good_steps": tf.Variable(0)}
    with pytest.raises(ValueError, match=r"missing in the file .*loss_scale/good_steps"):
        _manager(tmp_path, model, step, loss_scale=other).restore_or_initialize()


def test_an_evaluation_reads_the_averaged_weights_where_there_are_any(tmp_path):
    model, _, step = _new()
    averaged = toy.ToyModel()
    for name in ("plain", "both"):
        (tmp_path / name).mkdir()
    step.assign(5)
    checkpointing.save_now(_manager(tmp_path / "plain", model, step), 5)
    step.assign(6)
    checkpointing.save_now(_manager(tmp_path / "both", model, step, average=averaged), 6)
    other, _, other_step = _new()
    told = []
    checkpoint = checkpointing.EvaluatedCheckpoint(
        model=other, global_step=other_step, explain=_explain, tell=told.append
    )
    for folder, source, number in (("both", averaged, 6), ("plain", model, 5)):
        prefix = str(tmp_path / folder / f"ckpt-{number}")
        checkpoint.restore(prefix)
        assert int(other_step.numpy()) == number
        for value, expected in zip(other.variables, source.variables):
            np.testing.assert_array_equal(value.numpy(), expected.numpy())
    assert told == [f"Of {tmp_path}/both/ckpt-6 the moving average of the weights is evaluated."]

    wider, _, _ = _new(head=3)
    checkpoint = checkpointing.EvaluatedCheckpoint(
        model=wider, global_step=other_step, explain=_explain, tell=told.append
    )
    with pytest.raises(ValueError, match=r"head: 2 of another shape .*model_options\.x: 1"):
        checkpoint.restore(str(tmp_path / "both" / "ckpt-6"))


def test_without_a_checkpoint_the_initial_one_is_loaded(tmp_path):
    model, _, step = _new()
    calls = []
    manager = _manager(tmp_path, model, step, initialize=lambda: calls.append("loaded"))
    assert manager.restore_or_initialize() is None
    assert calls == ["loaded"]


@pytest.mark.parametrize("metric", ["pq", "miou", "ap"])
def test_the_best_weights_are_kept_and_remembered(tmp_path, metric):
    model, _, step = _new()

    def look(metric):
        return checkpointing.BestCheckpoint(tmp_path, model=model, global_step=step, metric=metric)

    best = look(metric)
    step.assign(10)
    assert best.update(40.0)
    step.assign(20)
    assert not best.update(39.0)
    assert best.update(40.1)  # Not a float32; the nearest one is below it.
    assert not best.update(40.1)
    assert not best.update(float("nan"))

    # A model is all that others read from it.
    source = open_source(tmp_path / "best")
    assert {name.split("/")[0] for name in source.shapes} == {"model"}
    assert source.steps["global_step"] == 20

    assert look("another").value == -1.0
    again = look(metric)
    assert again.value == np.float32(40.1)
    step.assign(30)
    assert again.update(41.0)
    assert [p.stem for p in (tmp_path / "best").glob("*.index")] == ["ckpt-30"]
    counter = "save_counter/.ATTRIBUTES/VARIABLE_VALUE"
    assert tf.train.load_variable(str(tmp_path / "best"), counter) == 3  # as without the break
