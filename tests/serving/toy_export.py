"""The toy network as a version folder."""

from __future__ import annotations

import pathlib

from kmax_tf.build.inference import Inference
from kmax_tf.export.export import ExportOptions, export_model
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image


def export_toy(folder: pathlib.Path) -> pathlib.Path:
    """Exports into `<folder>/1`, which is returned."""
    return export_model(
        Inference(ToyNetwork(), prepare, SIZE, INFO),
        ExportOptions("toy"),
        export_dir=folder,
        version=1,
        images=[toy_image(33, 65)],
    ).folder
