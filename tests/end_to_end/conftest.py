"""One small data set, made once by the commands that a user would type."""

from __future__ import annotations

import pathlib
from typing import Callable, List

import pytest

from trainer import cli

CONFIG = pathlib.Path(__file__).resolve().parents[2] / "configs/test/tiny.textproto"


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> pathlib.Path:
    """Folder with `shapes/`: six training and three validation images, files and records."""
    folder = tmp_path_factory.mktemp("data")
    code = cli.main(
        ["build-data", "shapes", f"--output_dir={folder}/shapes", "--num_train=6", "--num_val=3"]
    )
    assert code == 0
    return folder


@pytest.fixture
def kmax(data_folder, capfd) -> Callable[..., Finished]:
    """Runs `kmax ARGUMENTS` in this process; commands that take a config get the tiny one."""

    def run(command: str, *arguments: str, config: bool = True) -> Finished:
        capfd.readouterr()
        configured = [f"--config_file={CONFIG}", "--set", f"KMAX_DATA={data_folder}"]
        code = cli.main([command, *(configured if config else []), *map(str, arguments)])
        captured = capfd.readouterr()
        return Finished(code, captured.out, captured.err)

    return run


class Finished:
    """Exit code and output of one command."""

    def __init__(self, code: int, out: str, err: str):
        self.code = code
        self.out = out
        self.err = err

    @property
    def sentences(self) -> List[str]:
        """What the command itself wrote to standard error, without TensorFlow's own lines."""
        return [line for line in self.err.splitlines() if line.startswith("kmax: ")]
