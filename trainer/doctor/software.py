"""Python, packages, TensorFlow and Keras: whether they are the ones that work together."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
from typing import Any, Dict, Iterator, List

from trainer.doctor.finding import Finding
from trainer.versions import version_of

PYTHONS = ((3, 9), (3, 13))
_ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# What is not needed to train, and what for.
OPTIONAL = {
    "safetensors": "ConvNeXt weights of timm",
    "grpcio": "serving",
    "tf2onnx": "export to ONNX",
    "onnxruntime": "check of an export to ONNX",
    "hypothesis": "fuzz tests",
    "atheris": "fuzz tests guided by coverage",
}


def install_command(extra: str = "") -> str:
    """What puts all packages right, for the Python that runs this; `extra`: e.g. `[gpu]`."""
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    if not (_ROOT / "constraints.txt").exists():
        return f"{pip} --force-reinstall {shlex.quote('kmax_tf' + extra)}"
    constraints, source = (
        shlex.quote(str(_ROOT / "constraints.txt")),
        shlex.quote(f"{_ROOT}{extra}"),
    )
    return f"{pip} -c {constraints} -e {source}"


def find_software(probed: Dict[str, Any]) -> List[Finding]:
    """All findings about software.

    Args:
      probed: as `trainer.doctor.probe.run_probe` returns it.
    """
    findings = [_python(), *_packages(), *_imports(probed)]
    if "keras" in probed:
        findings += [_keras(probed), *_cpu_operations(probed)]
    return findings + _optional()


def _python() -> Finding:
    version = platform.python_version()
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding("python", version)
    accepted = " - ".join(".".join(map(str, bound)) for bound in PYTHONS)
    return Finding(
        "python",
        version,
        f"Python has to be {accepted}; this is {version}.",
        "make install PYTHON=python3.11",
        stops_training=True,
    )


def _packages() -> Iterator[Finding]:
    """What setup.py asks for, against what is installed."""
    try:
        requirements = importlib.metadata.requires("kmax_tf") or []
    except importlib.metadata.PackageNotFoundError:
        yield _broken("kmax_tf", "not installed", "kmax_tf is not installed for this Python.")
        return
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield _broken("packaging", "not installed", "Versions cannot be compared without it.")
        return
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        name, version = requirement.name, version_of(requirement.name)
        if version is None:
            yield _broken(name, "not installed", f"{name} is needed.")
        elif not requirement.specifier.contains(version, prereleases=True):
            problem = f"{name} has to be {requirement.specifier}; installed is {version}."
            yield _broken(name, version, problem)
        else:
            yield Finding(name, version)


def _imports(probed: Dict[str, Any]) -> Iterator[Finding]:
    if "fault" in probed:
        yield _broken("imports", "failed", f"TensorFlow cannot be used: {probed['fault']}.")
        return
    for module, message in probed["errors"].items():
        yield _broken(f"import {module}", "failed", f"{module} cannot be imported: {message}.")
    if "tensorflow" in probed["errors"]:
        return
    installed = version_of("tensorflow")
    if installed is not None and installed != probed["version"]:
        yield Finding(
            "tensorflow in use",
            probed["version"],
            f"Python imports TensorFlow {probed['version']} from {probed['file']}, not the "
            f"installed {installed}.",
            "unset PYTHONPATH",
            stops_training=True,
        )


def _keras(probed: Dict[str, Any]) -> Finding:
    """One Keras, the second: `tf.keras` of TensorFlow 2.15, tf_keras beside a newer one."""
    expected = "keras.src.engine" if sys.version_info < (3, 12) else "tf_keras.src.engine"
    used = probed["keras"]
    if used.startswith(expected):
        return Finding("tf.keras is", used.partition(".")[0])
    setting = os.environ.get(_LEGACY_KERAS)
    return Finding(
        "tf.keras is",
        used,
        f"tf.keras has to be Keras 2 ({expected}); it is {used}"
        + (f", because {_LEGACY_KERAS} is {setting}." if setting else "."),
        f"unset {_LEGACY_KERAS}" if setting else install_command(),
        stops_training=True,
    )


def _cpu_operations(probed: Dict[str, Any]) -> Iterator[Finding]:
    state = "on" if probed["onednn"] else "off"
    if probed["gradient"] and not probed["gpus"]:
        off = os.environ.get(_ONEDNN)
        yield Finding(
            "oneDNN",
            state,
            f"There is no gradient of a dilated convolution on this CPU ({probed['gradient']}).",
            f"unset {_ONEDNN}" if off else install_command(),
            stops_training=True,
        )
    else:
        yield Finding("oneDNN", state)
    yield Finding(
        "deterministic operations",
        "off: on GPUs runs agree to rounding"
        if probed["gpus"]
        else "on: on CPUs a run is repeated bit for bit",
    )


def _optional() -> List[Finding]:
    found = {name: version_of(name) for name in OPTIONAL}
    present = [f"{name} {version}" for name, version in found.items() if version]
    absent = [f"{name} ({OPTIONAL[name]})" for name, version in found.items() if not version]
    return [
        Finding("optional, present", ", ".join(present) or "none"),
        Finding("optional, absent", ", ".join(absent) or "none"),
    ]


def _broken(name: str, value: str, problem: str) -> Finding:
    return Finding(name, value, problem, install_command(), stops_training=True)
