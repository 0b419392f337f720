"""`import kmax_tf` in a fresh process: Keras is chosen, nothing is printed, names are offered."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import kmax_tf

# What TensorFlow prints on its own and nothing can silence.
KNOWN_NOISE = re.compile(
    r"Unable to register cu(DNN|FFT|BLAS) factory|failed call to cuInit|"
    r"All log messages before absl::InitializeLog"
)


def run(code: str) -> subprocess.CompletedProcess:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def test_importing_first_selects_keras_2():
    finished = run(
        "import kmax_tf, tensorflow as tf\n"
        "module = tf.keras.layers.Layer.__module__\n"
        "assert module.startswith(('tf_keras', 'keras.src.engine')), module"
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="TensorFlow 2.15 has no Keras 3")
def test_keras_3_is_refused_with_one_sentence():
    finished = run("import tensorflow as tf\ntf.keras.layers.Dense\nimport kmax_tf")
    assert finished.returncode != 0
    assert "kmax_tf needs Keras 2" in finished.stderr


def test_the_environment_imports_without_warning_or_traceback():
    addons = "import warnings\nwith warnings.catch_warnings():\n"
    addons += "    warnings.simplefilter('ignore')\n    import tensorflow_addons\n"
    code = "import kmax_tf, orbit, official\nimport official.modeling.optimization\n"
    finished = run(code + (addons if sys.version_info < (3, 12) else ""))
    assert finished.returncode == 0, finished.stderr
    loud = [line for line in finished.stderr.splitlines() if not KNOWN_NOISE.search(line)]
    loud = [line for line in loud if line.strip()]
    assert not loud, "\n".join(loud)


def test_public_names_are_listed_and_unknown_ones_explained():
    for name in ("load_config", "build_model", "build_loss", "Predictor", "load_checkpoint"):
        assert name in kmax_tf.__all__ and name in dir(kmax_tf)
    assert kmax_tf.load_config.__name__ == "load_config"
    with pytest.raises(AttributeError, match="it offers"):
        kmax_tf.no_such_name  # noqa: B018
