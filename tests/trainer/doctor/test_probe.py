from __future__ import annotations

import subprocess
import sys

import pytest
import tensorflow as tf

from trainer.doctor import probe


@pytest.mark.filterwarnings("ignore::UserWarning")  # of TensorFlow Addons about its own end
def test_this_environment_works():
    found = probe.probe()
    assert found["errors"] == {}
    assert found["version"] == tf.__version__
    assert found["keras"] == tf.keras.layers.Layer.__module__
    assert found["gradient"] == ""
    assert found["gpus"] == [] or tf.config.list_physical_devices("GPU")


def test_a_gradient_that_does_not_exist_is_reported(monkeypatch):
    def fails(*unused, **named):
        raise tf.errors.InvalidArgumentError(None, None, "Current libxsmm\nand more")

    monkeypatch.setattr(tf.nn, "conv2d", fails)
    assert probe.probe()["gradient"] == "InvalidArgumentError: Current libxsmm"


def _shadow(folder, content, monkeypatch):
    """Puts another module before the installed one, in the processes that are started."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(content)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise ImportError('libx is missing\\nsecond line')", "ImportError: libx is missing"),
        ("raise TypeError('Descriptors cannot be created')", "TypeError: Descriptors cannot"),
        ("__version__ = '1.15.0'", "ModuleNotFoundError: No module named 'tensorflow.python'"),
    ],
)
def test_what_a_broken_library_raises_is_reported(tmp_path, monkeypatch, content, reason):
    _shadow(tmp_path, content, monkeypatch)
    found = probe.run_probe()
    assert found["errors"]["tensorflow"].startswith(reason)
    assert "version" not in found


def test_a_process_that_dies_is_survived(tmp_path, monkeypatch):
    _shadow(tmp_path, "import os; os.abort()", monkeypatch)
    fault = probe.run_probe()["fault"]
    assert fault.startswith("importing TensorFlow ended with code -6")


def test_a_process_that_hangs_is_ended(monkeypatch):
    def hang(command, **options):
        assert command[0] == sys.executable
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert probe.run_probe() == {"fault": "importing TensorFlow took more than 300 s"}
