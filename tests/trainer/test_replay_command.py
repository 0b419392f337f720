"""Faults of toy runs, made again from what the runs left: no data set is needed."""

from __future__ import annotations

import json
import shutil

import pytest
import tensorflow as tf

from tests.trainer import toy
from trainer import assembly, cli


class _RootOfImageThree(toy.ToyLoss):
    """The root of a negative number for one of the images."""

    def with_diagnostics(self, targets, output, *, seed):
        poison = tf.where(targets["image_id"] == 3, -1.0, 1.0)
        return super().with_diagnostics({**targets, "poison": poison}, output, seed=seed)


class _KinkAtThree(toy.ToyLoss):
    """From the third step on the gradient of a root at 0, while the loss is finite."""

    def with_diagnostics(self, targets, output, *, seed):
        terms, more = super().with_diagnostics(targets, output, seed=seed)
        kink = tf.where(seed[1] >= 2, tf.sqrt(tf.reduce_sum(output * 0.0)), 0.0)
        return {**terms, "total": terms["total"] + kink}, more


@pytest.fixture
def replay(run, tmp_path, capfd, monkeypatch):
    """Trains until the fault, loses the data, and runs `kmax replay-step`."""

    def replay(*flags, loss=None, train=(), steps=6):
        if loss is not None:
            monkeypatch.setattr(assembly, "build_loss", lambda config: loss)
        assert run("--mode=train", *train, steps=steps) == 1
        message = capfd.readouterr().err.splitlines()[-1]
        folder = next((tmp_path / "run" / "faults").iterdir())
        assert f"`kmax replay-step {folder}`" in message
        moved = shutil.move(folder, tmp_path / "elsewhere")
        shutil.rmtree(tmp_path / "run")
        code = cli.main(["replay-step", str(moved), "--json", *flags])
        out = capfd.readouterr().out
        return code, out, json.loads(out.splitlines()[-1])

    return replay


@pytest.mark.parametrize(
    "train",
    [
        (),
        ("--set=trainer_options.steps_per_loop=3", "--set=trainer_options.save_summaries_steps=3",
         "--set=trainer_options.save_checkpoints_steps=3"),
        ("--set=trainer_options.accumulation_steps=2",),
        ("--set=trainer_options.use_xla=true",),
    ],
)  # fmt: skip
def test_a_loss_that_is_not_finite_is_made_again_bit_by_bit(replay, train):
    code, out, result = replay(loss=_RootOfImageThree(), train=train)
    assert code == 0
    assert result["reproduced"] and result["bit_equal"]
    assert result["faulty"] == ["loss/root", "loss/total"]
    assert result["values"]["loss/square"] > 0 and result["values"]["loss/root"] is None
    assert [image for image, loss in result["images"].items() if loss is None] == ["3"]
    assert "kmax_tf" not in out.splitlines()[-2]  # no other versions
    assert "Reproduced: the same values are at fault; all values are bit by bit the same." in out


def test_a_gradient_that_is_not_finite_is_named_by_its_variables(replay):
    code, _, result = replay(loss=_KinkAtThree())
    assert code == 0 and result["bit_equal"]
    assert result["faulty"] == ["gradient_norm"]
    assert None in result["gradients"].values()
    assert result["gradients"]["norm/gamma"] is None


def test_a_loss_above_its_limit_is_made_again(replay):
    code, _, result = replay(train=["--set=trainer_options.max_total_loss=0.5"])
    assert code == 0 and result["bit_equal"]
    assert result["faulty"] == ["loss/total"] and result["step"] == 0


def test_what_does_not_happen_again_has_exit_code_1(replay, monkeypatch, run):
    class Mended(toy.ToyLoss):
        pass

    losses = iter([_RootOfImageThree()])
    monkeypatch.setattr(assembly, "build_loss", lambda config: next(losses, Mended()))
    code, out, result = replay()
    assert code == 1
    assert result["faulty"] == [] and not result["reproduced"] and not result["bit_equal"]
    assert "Not reproduced: the step is sound" in out


def test_the_layer_with_the_first_tensor_that_is_not_finite_is_found(replay, monkeypatch):
    class Overflowing(toy.ToyModel):
        def __init__(self):
            super().__init__()
            self.head.bias.assign([3e38, 0.0])
            self.head.kernel.assign(self.head.kernel * 0.0 + [1e38, 0.0])

    monkeypatch.setattr(assembly, "build_model", lambda config: Overflowing())
    code, out, result = replay("--find")
    assert code == 0
    assert result["origin"] == "the layer head"
    assert "First not finite: the layer head." in out


def test_a_step_after_a_bad_record_is_made_again_bit_by_bit(replay, damaged):
    """By the fault the first epoch is over: the record was met, and another took its place."""
    train = [
        f"--set=KMAX_DATA={damaged('image that cannot be decoded')}",
        "--set=train_dataset_options.max_bad_records=1",
    ]
    code, _, result = replay(loss=_KinkAtThree(), train=train)
    assert code == 0 and result["reproduced"] and result["bit_equal"]
    assert result["step"] == 2
    assert len(result["images"]) == 2 and "1" not in result["images"]


def test_a_damaged_dump_is_refused(replay, tmp_path, capfd):
    replay(loss=_RootOfImageThree())
    data = tmp_path / "elsewhere" / "state.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-20])
    assert cli.main(["replay-step", str(tmp_path / "elsewhere")]) == 2
    lines = [x for x in capfd.readouterr().err.splitlines() if x.startswith("kmax: ")]
    assert len(lines) == 1 and "is damaged" in lines[0]
    assert cli.main(["replay-step", str(tmp_path / "nowhere")]) == 2
