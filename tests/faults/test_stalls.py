"""An input that does not come: the process says so and ends, and the next one goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import tiny


@pytest.mark.parametrize("what", ["training", "evaluation"])
def test_a_stuck_input_is_reported_in_time(tmp_path, data_folder, repository_root, what):
    command = [
        f"--config_file={tiny.CONFIG}",
        f"--model_dir={tmp_path / 'run'}",
        f"--set=KMAX_DATA={data_folder}",
        "--set=trainer_options.solver_options.training_number_of_steps=4",
        "--set=trainer_options.stall_timeout=2",
        "--num_gpus=0",
    ]
    finished = subprocess.run(
        [sys.executable, "-m", "tests.faults.toy_train_with_stuck_input", what, *command],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("kmax: For ") and f"seconds {what} has waited for the input (" in last
    assert "`trainer_options.stall_timeout` 2" in last
    assert "most recent call first" in finished.stderr
    again = subprocess.run(
        [sys.executable, "-m", "tests.faults.toy_train", *command],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert again.returncode == 0
    assert f"Continuing from {tmp_path / 'run' / 'ckpt-2'}." in again.stdout
