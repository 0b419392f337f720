"""The machine: processors, memory, GPUs, what tells of a TPU or a cluster."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import shutil
import subprocess
from typing import Any, Dict, List, Mapping, Optional

from trainer.doctor.finding import Finding
from trainer.doctor.software import install_command

# Of those that TensorFlow makes use of: float32, then bfloat16.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
CLUSTER_VARIABLES = ("TPU_NAME", "TPU_WORKER_ID", "TPU_WORKER_HOSTNAMES", "TF_CONFIG")
_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
_GIB = 2**30


def find_machine(
    probed: Dict[str, Any],
    *,
    root: pathlib.Path = pathlib.Path("/"),
    environment: Mapping[str, str] = os.environ,
) -> List[Finding]:
    """All findings about hardware.

    Args:
      probed: as `trainer.doctor.probe.run_probe` returns it.
      root: of the file system that describes the machine.
      environment: variables of the process.
    """
    clusters = [f"{name}={environment[name]}" for name in CLUSTER_VARIABLES if name in environment]
    return [
        _processor(root),
        _memory(root),
        *_gpus(probed),
        Finding("TPU and cluster variables", ", ".join(clusters) or "none"),
    ]


def _processor(root: pathlib.Path) -> Finding:
    content = _read(root / "proc/cpuinfo")
    model = re.search(r"^model name\s*: (.*)", content, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)", content, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    instructions = [name for name in INSTRUCTIONS if name in known]
    return Finding(
        "processor",
        f"{len(os.sched_getaffinity(0))} cores of {model[1] if model else platform.machine()}"
        f" ({', '.join(instructions) or 'no vector instructions of interest known'})",
    )


def _memory(root: pathlib.Path) -> Finding:
    """The machine's, or what its container may use."""
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read(root / "proc/meminfo"), re.MULTILINE))
    if "MemTotal" not in found:
        return Finding("memory", "unknown")
    total = int(found["MemTotal"]) * 1024
    limits = [
        int(text) for text in (_read(root / name).strip() for name in _LIMITS) if text.isdigit()
    ]
    total = min([total, *limits])
    return Finding("memory", f"{total / _GIB:.1f} GiB")


def _gpus(probed: Dict[str, Any]) -> List[Finding]:
    """What the driver sees, against what TensorFlow does."""
    seen = _ask_driver()
    used = probed.get("gpus")
    if not seen:
        return [Finding("GPUs", ", ".join(used) if used else "none")]
    described = "; ".join(seen)
    if used is None or len(used) >= len(seen):
        return [Finding("GPUs", described)]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [
        Finding(
            "GPUs",
            described,
            f"The driver sees {len(seen)} GPUs, TensorFlow {len(used)}"
            + (f" (CUDA_VISIBLE_DEVICES is {hidden!r})." if hidden is not None else "."),
            "unset CUDA_VISIBLE_DEVICES" if hidden is not None else install_command("[gpu]"),
        )
    ]


def _ask_driver() -> List[str]:
    """Name, memory and driver of each GPU."""
    program: Optional[str] = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        finished = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return finished.stdout.strip().splitlines()


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
