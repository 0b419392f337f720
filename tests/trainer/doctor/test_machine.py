from __future__ import annotations

import os

import pytest

from trainer.doctor import machine


@pytest.fixture
def root(tmp_path):
    """A machine of 64 GiB with two processors."""
    (tmp_path / "proc").mkdir()
    processor = "model name\t: Fast CPU\nflags\t\t: fpu avx2 avx512f avx512_bf16x amx_bf16\n\n"
    (tmp_path / "proc" / "cpuinfo").write_text(2 * processor)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal:       67108864 kB\nMemFree: 1 kB\n")
    return tmp_path


def _find(probed, root, **environment):
    found = machine.find_machine(probed, root=root, environment=environment)
    return {finding.name: finding for finding in found}


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Puts an `nvidia-smi` that knows two GPUs on the path."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'H100, 80 GiB, 550.1'\necho 'H100, 80 GiB, 550.1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_processor_and_memory_are_described(root):
    found = _find({}, root)
    cores = len(os.sched_getaffinity(0))
    assert found["processor"].value == f"{cores} cores of Fast CPU (avx2, avx512f, amx_bf16)"
    assert found["memory"].value == "64.0 GiB"
    assert found["TPU and cluster variables"].value == "none"


@pytest.mark.parametrize(
    ("limit", "expected"), [("max\n", "64.0 GiB"), ("8589934592\n", "8.0 GiB")]
)
def test_a_container_may_have_less_memory(root, limit, expected):
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/memory.max").write_text(limit)
    assert _find({}, root)["memory"].value == expected


def test_another_system_is_described_as_far_as_it_goes(tmp_path):
    found = _find({}, tmp_path)
    assert found["memory"].value == "unknown"
    assert "no vector instructions of interest known" in found["processor"].value


def test_variables_of_a_cluster_are_shown(root):
    found = _find({}, root, TPU_NAME="local", OTHER="1")
    assert found["TPU and cluster variables"].value == "TPU_NAME=local"


def test_gpus_that_tensorflow_does_not_see_are_a_note(root, driver, monkeypatch):
    finding = _find({"gpus": []}, root)["GPUs"]
    assert finding.value == "H100, 80 GiB, 550.1; H100, 80 GiB, 550.1"
    assert "The driver sees 2 GPUs, TensorFlow 0." in finding.problem
    assert finding.remedy.endswith("[gpu]'") or finding.remedy.endswith("[gpu]")
    assert not finding.stops_training
    assert not _find({"gpus": ["H100", "H100"]}, root)["GPUs"].problem
    assert not _find({}, root)["GPUs"].problem  # TensorFlow itself does not start.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    finding = _find({"gpus": ["H100"]}, root)["GPUs"]
    assert finding.remedy == "unset CUDA_VISIBLE_DEVICES"


def test_without_a_driver_there_are_none(root, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert _find({"gpus": []}, root)["GPUs"] == ("GPUs", "none", "", "", False)
