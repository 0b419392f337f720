"""Settings of TensorFlow Serving beside the version folders: which model, and how it batches."""

from __future__ import annotations

import os
import pathlib
import re
from typing import List, Union

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

MODELS_CONFIG = "models.config"
BATCHING_PARAMETERS = "batching_parameters.txt"

# The proto of these parameters is not part of tensorflow-serving-api.
_BATCHING = """\
# For `tensorflow_model_server --enable_batching --batching_parameters_file=...`: requests that
# arrive together run together. Send `serving_default`, whose images may have any sizes; requests to
# `image_tensor` can be merged only where all their images have one size, and fail otherwise.

# Images that run together. The largest one that fits into memory and still gains throughput:
# 1 to 2 on a CPU, 4 to 16 on a GPU. Memory grows in proportion. A single request of more images is
# refused.
max_batch_size { value: 4 }
# How long the first request of a batch waits for others, in microseconds: a tenth of the time that
# one image takes costs little latency.
batch_timeout_micros { value: 10000 }
# Batches that run at the same time: 1 per GPU; on a CPU 1, because one batch uses all cores.
num_batch_threads { value: 1 }
# Batches that may wait; a request beyond them is refused as UNAVAILABLE instead of waiting in vain.
max_enqueued_batches { value: 64 }
"""


def served_name(experiment_name: str) -> str:
    """The name under which a model is served: part of URLs and paths, so only letters are kept.

    Args:
      experiment_name: any text.
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", experiment_name).strip("._") or "kmax"


def write_server_files(export_dir: Union[str, os.PathLike], name: str) -> List[pathlib.Path]:
    """Writes `models.config` and `batching_parameters.txt`, unless they exist.

    Files that are there may have been edited, and belong to all versions of the model.

    Args:
      export_dir: holds the version folders; the server sees it as `/models/<name>`.
      name: under which the model is served.

    Returns:
      The files that were written.
    """
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=f"/models/{name}", model_platform="tensorflow"
    )
    contents = {
        MODELS_CONFIG: text_format.MessageToString(config),
        BATCHING_PARAMETERS: _BATCHING,
    }
    written = []
    for file_name, content in contents.items():
        path = pathlib.Path(export_dir) / file_name
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
        except FileExistsError:
            continue
        written.append(path)
    return written
