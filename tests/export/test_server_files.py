"""What the server reads beside the versions: parsed back, and never written over."""

from __future__ import annotations

import re

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from kmax_tf.export.server_files import served_name, write_server_files


def test_models_config_names_model_and_folder(tmp_path):
    written = write_server_files(tmp_path, "shapes_demo")
    assert [path.name for path in written] == ["models.config", "batching_parameters.txt"]
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse(written[0].read_text(), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("shapes_demo", "/models/shapes_demo")
    assert model.model_platform == "tensorflow"


def test_batching_parameters_have_the_form_that_the_server_reads(tmp_path):
    write_server_files(tmp_path, "m")
    lines = (tmp_path / "batching_parameters.txt").read_text().splitlines()
    fields = [line for line in lines if line and not line.startswith("#")]
    values = [re.fullmatch(r"(\w+) \{ value: (\d+) \}", line).groups() for line in fields]
    assert [name for name, _ in values] == [
        "max_batch_size",
        "batch_timeout_micros",
        "num_batch_threads",
        "max_enqueued_batches",
    ]
    assert all(int(value) > 0 for _, value in values)


def test_edited_files_stay(tmp_path):
    (tmp_path / "models.config").write_text("edited")
    assert [path.name for path in write_server_files(tmp_path, "m")] == ["batching_parameters.txt"]
    assert (tmp_path / "models.config").read_text() == "edited"
    assert write_server_files(tmp_path, "m") == []


@pytest.mark.parametrize(
    ("experiment", "name"),
    [("shapes_demo", "shapes_demo"), ("my run/2", "my_run_2"), ("../x", "x"), ("路面", "kmax")],
)
def test_a_name_is_fit_for_urls_and_paths(experiment, name):
    assert served_name(experiment) == name
