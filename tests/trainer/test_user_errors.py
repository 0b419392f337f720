from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf

from kmax_tf.build.config import load_config
from trainer.numeric_fault import NumericFaultError, StepReport
from trainer.user_errors import StorageError, Terminated, run_reporting_errors


def test_the_exit_code_is_passed_on():
    assert run_reporting_errors(lambda: 7) == 7


def test_an_error_of_our_own_code_is_one_line(capsys):
    assert run_reporting_errors(lambda: load_config("nowhere.textproto")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "kmax: `--config_file` nowhere.textproto does not exist.\n"


def test_an_error_inside_a_library_keeps_its_traceback():
    with pytest.raises(ValueError, match="rank"):
        run_reporting_errors(lambda: tf.TensorShape([3]).assert_has_rank(2))


def test_faults_and_interrupts_have_their_own_codes(capsys, monkeypatch):
    monkeypatch.setitem(globals(), "__name__", "trainer.somewhere")

    def fault() -> int:
        raise NumericFaultError("Step 3: not finite.", StepReport(3, {}, (), (), {}, 0.0))

    def interrupted() -> int:
        raise KeyboardInterrupt

    def terminated() -> int:
        raise Terminated

    def unreadable() -> int:
        return len(pathlib.Path("/proc/none/at/all").read_text())

    assert run_reporting_errors(fault) == 1

    def nameless() -> int:
        raise FileNotFoundError("Variables are not there.")

    assert run_reporting_errors(interrupted) == 130
    assert run_reporting_errors(terminated) == 143
    assert run_reporting_errors(unreadable) == 2
    lines = capsys.readouterr().err.splitlines()
    assert run_reporting_errors(nameless) == 2
    assert capsys.readouterr().err == "kmax: Variables are not there.\n"
    assert lines[0] == "kmax: Step 3: not finite."
    assert lines[1] == "kmax: interrupted."
    assert lines[2] == "kmax: terminated."
    assert lines[3] == "kmax: /proc/none/at/all: No such file or directory."


def test_a_full_disk_is_a_fault_and_no_error_of_the_user(capsys):
    def full() -> int:
        return pathlib.Path("/dev/full").write_bytes(b"1")

    def unwritable() -> int:
        raise StorageError("run cannot be written.")

    assert run_reporting_errors(full) == 1
    assert run_reporting_errors(unwritable) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("No space left on device.")
    assert lines[1] == "kmax: run cannot be written."
