from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from kmax_tf.data.dataset_info import load_dataset_info
from tests.full_disk import full_disk
from trainer.checkpoint_recovery import describe_damage
from trainer.fault_dump import Circumstances, read_dump, write_dump
from trainer.numeric_fault import StepReport

REPORT = StepReport(
    step=12,
    values={"loss/total": math.nan, "gradient_norm": math.inf, "other": 0.1},
    image_ids=(3, 2**40),
    image_losses=(1.5, -math.inf),
    gradient_norms={"head/kernel": math.nan, "head/bias": 1e-30},
    max_total_loss=0.0,
)
CIRCUMSTANCES = Circumstances(
    message="It stopped.", devices="CPU", replicas=2, versions={"python": "3", "keras": None}
)
FEATURES = {"image": tf.constant([[np.nan, 0.1], [np.inf, -0.0]])}
TARGETS = {"image_id": tf.constant([3, 2**40], tf.int64), "is_crowd": tf.constant([True, False])}


@pytest.fixture
def write(tmp_path, repository_root):
    config = load_config(repository_root / "configs/test/tiny.textproto", ["KMAX_DATA=/nowhere"])

    def write(report=REPORT):
        return write_dump(
            tmp_path,
            config,
            load_dataset_info("shapes"),
            report=report,
            circumstances=CIRCUMSTANCES,
            checkpoint=tf.train.Checkpoint(v=tf.Variable(tf.zeros([10_000]))),
            batch=(FEATURES, TARGETS),
        )

    return write


def test_all_comes_back(write, tmp_path):
    folder = write()
    assert folder == tmp_path / "faults" / "step-12"
    dump = read_dump(folder)
    assert repr(dump.report) == repr(REPORT)  # NaN is not equal to NaN.
    assert dump.circumstances == CIRCUMSTANCES
    assert dump.config.experiment_name == "tiny"
    for read, written in ((dump.features, FEATURES), (dump.targets, TARGETS)):
        assert set(read) == set(written)
        for name, tensor in written.items():
            assert read[name].dtype == tensor.dtype
            np.testing.assert_array_equal(read[name], tensor)
    assert tf.train.load_variable(dump.checkpoint, "v/.ATTRIBUTES/VARIABLE_VALUE").shape == (
        10_000,
    )
    json.loads((folder / "fault.json").read_text(), parse_constant=pytest.fail)


def test_nothing_is_overwritten(write):
    assert [write().name for _ in range(3)] == ["step-12", "step-12-2", "step-12-3"]


def test_a_full_disk_leaves_nothing_behind(write, tmp_path):
    with full_disk(20_000), pytest.raises((OSError, tf.errors.OpError)):
        write()
    assert list((tmp_path / "faults").iterdir()) == []


def test_classes_of_a_description_that_is_elsewhere_come_from_the_dump(write, tmp_path):
    folder = write()
    path = folder / "config.textproto"
    path.write_text(path.read_text().replace('"shapes"', '"/elsewhere/classes.json"'))
    dump = read_dump(folder)
    assert dump.config.train_dataset_options.dataset_info == str(folder / "labels.json")
    assert load_dataset_info(str(folder / "labels.json")) == load_dataset_info("shapes")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("batch.npz", None, "has no batch.npz"),
        ("state.index", None, "has no state.index"),
        ("batch.npz", b"PK", "batch.npz cannot be used"),
        ("fault.json", b"{", "fault.json cannot be used"),
        ("fault.json", b"{}", "fault.json cannot be used: 'report'"),
        ("fault.json", b'{"report": []}', "fault.json cannot be used"),
        ("config.textproto", b"{", "config.textproto"),
    ],
)
def test_a_broken_dump_is_refused_in_a_sentence(write, name, content, said):
    folder = write()
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_dump(folder)


def test_pickles_are_not_read(write):
    folder = write()
    np.savez(folder / "batch.npz", **{"features/image": np.array([object()])})
    with pytest.raises(ValueError, match=r"batch\.npz cannot be used"):
        read_dump(folder)


def test_what_is_no_dump_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a folder that a faulty run wrote"):
        read_dump(tmp_path / "nowhere")
    assert describe_damage(str(tmp_path / "nowhere")) is not None
