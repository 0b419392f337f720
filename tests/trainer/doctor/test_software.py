from __future__ import annotations

import importlib.metadata
import shlex
import sys

import pytest

from trainer.doctor import software

KERAS = "keras.src.engine.base" if sys.version_info < (3, 12) else "tf_keras.src.engine.base"


@pytest.fixture
def sound():
    """What the probe finds where all is well."""
    return {
        "errors": {},
        "version": importlib.metadata.version("tensorflow"),
        "file": "site-packages/tensorflow/__init__.py",
        "keras": KERAS,
        "gpus": [],
        "onednn": True,
        "gradient": "",
    }


def _problems(probed):
    return {f.name: f for f in software.find_software(probed) if f.problem}


def test_this_environment_has_no_problems(sound):
    assert _problems(sound) == {}
    values = {finding.name: finding.value for finding in software.find_software(sound)}
    assert values["tensorflow"] == sound["version"]
    assert "bit for bit" in values["deterministic operations"]
    for line, present in (("optional, present", True), ("optional, absent", False)):
        for name in software.OPTIONAL:
            assert (name in values[line]) == (present == (software.version_of(name) is not None))


def test_the_install_command_is_for_this_python(repository_root):
    words = shlex.split(software.install_command("[gpu]"))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert words[4:] == [
        "-c",
        f"{repository_root}/constraints.txt",
        "-e",
        f"{repository_root}[gpu]",
    ]


def test_wrong_and_absent_packages_are_named(sound, monkeypatch):
    real = software.version_of
    changed = {"tf-models-official": "2.3.0", "scipy": None, "safetensors": None}
    monkeypatch.setattr(software, "version_of", lambda n: changed[n] if n in changed else real(n))
    problems = _problems(sound)
    assert set(problems) == {"tf-models-official", "scipy"}
    assert "tf-models-official has to be ==2." in problems["tf-models-official"].problem
    assert "installed is 2.3.0" in problems["tf-models-official"].problem
    assert problems["scipy"].problem == "scipy is needed."
    for finding in problems.values():
        assert finding.stops_training and finding.remedy == software.install_command()


def test_without_an_installation_it_says_so(sound, monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert set(_problems(sound)) == {"kmax_tf"}
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    assert set(_problems(sound)) == {"packaging"}


def test_a_python_that_does_not_fit_is_named(sound, monkeypatch):
    monkeypatch.setattr(software, "PYTHONS", ((3, 0), (3, 1)))
    assert "Python has to be 3.0 - 3.1" in _problems(sound)["python"].problem


def test_what_cannot_be_imported_is_named(sound):
    sound["errors"]["orbit"] = "ImportError: no"
    assert "orbit cannot be imported: ImportError: no." in _problems(sound)["import orbit"].problem
    problems = _problems({"errors": {"tensorflow": "ImportError: libx"}})
    assert set(problems) == {"import tensorflow"}
    problems = _problems({"fault": "importing TensorFlow ended with code -4: "})
    assert "ended with code -4" in problems["imports"].problem


def test_another_tensorflow_on_the_path_is_named(sound):
    sound.update(version="2.3.0", file="shadow/tensorflow/__init__.py")
    finding = _problems(sound)["tensorflow in use"]
    assert "2.3.0 from shadow/tensorflow" in finding.problem
    assert finding.remedy == "unset PYTHONPATH"


@pytest.mark.parametrize("setting", ["0", None])
def test_another_keras_is_named(sound, monkeypatch, setting):
    sound["keras"] = "keras.src.layers.layer"
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    if setting is not None:
        monkeypatch.setenv("TF_USE_LEGACY_KERAS", setting)
    finding = _problems(sound)["tf.keras is"]
    assert "it is keras.src.layers.layer" in finding.problem
    fitting = "unset TF_USE_LEGACY_KERAS" if setting else software.install_command()
    assert finding.remedy == fitting


def test_a_missing_gradient_stops_training_without_a_gpu(sound, monkeypatch):
    sound.update(onednn=False, gradient="InvalidArgumentError: libxsmm")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    finding = _problems(sound)["oneDNN"]
    assert finding.stops_training and finding.remedy == "unset TF_ENABLE_ONEDNN_OPTS"
    sound["gpus"] = ["H100"]
    assert _problems(sound) == {}
