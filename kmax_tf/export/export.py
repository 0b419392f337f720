"""From a model to a verified version folder."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from typing import Any, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow as tf

from kmax_tf.build.inference import Inference
from kmax_tf.data.dataset_info import save_dataset_info
from kmax_tf.export.half_weights import with_half_weights
from kmax_tf.export.model_card import write_model_card
from kmax_tf.export.network_file import FORMATS, load_network_file, write_network_file
from kmax_tf.export.outputs import DEFAULT_CHOICES, served_network
from kmax_tf.export.precision_cost import CostRow, ServeOne, measure_precision_cost
from kmax_tf.export.serving import Serving, network_spec
from kmax_tf.export.verify import (
    Comparison,
    DirectModel,
    verify_network_file,
    verify_saved_model,
)
from kmax_tf.export.warmup import write_warmup_requests
from kmax_tf.file_errors import raising_os_errors
from kmax_tf.saved_models import load_saved_model

SAVED_MODEL = "saved_model"
ASSETS = "assets"
LABELS_FILE = "labels.json"
POST_PROCESSING_FILE = "post_processing.json"


class Verification(NamedTuple):
    """What a reloaded export was found to be.

    Attributes:
      comparisons: with the model that it was made from.
      precision_cost: of a half type, against float32; empty where that was not asked for.
      num_segments: that the export found in the images of the comparison; where there is none,
        equal maps say little.
    """

    comparisons: List[Comparison]
    precision_cost: Sequence[CostRow] = ()
    num_segments: int = 0

    @property
    def passed(self) -> bool:
        """Whether every output agrees, and a half type is not absurd."""
        return all(row.passed for row in [*self.comparisons, *self.precision_cost])


Describe = Callable[[pathlib.Path, Any, Verification], Mapping[str, Any]]
"""(version folder, what `load_export` returns, its verification) -> content of its model card."""

Reference = Callable[[], Inference]
"""Builds the model that a half type is compared with: the same weights in float32."""


class ExportOptions(NamedTuple):
    """How a model is exported.

    Attributes:
      model_name: under which it is served.
      outputs: what is returned, names in `outputs.CHOICES`.
      free_size: whether padding that no image of a request needs is cut off; SavedModel only.
      post_processing: method and thresholds, for the assets.
      file_format: `SAVED_MODEL` or a key of `network_file.FORMATS`.
      half_weights: whether the weights, rounded before (`round_weights`), are stored as float16;
        TensorFlow Lite only. Those of a SavedModel follow what the model computes in.
    """

    model_name: str
    outputs: Tuple[str, ...] = DEFAULT_CHOICES
    free_size: bool = False
    post_processing: Mapping[str, Any] = {}
    file_format: str = SAVED_MODEL
    half_weights: bool = False


class ExportReport(NamedTuple):
    """What an export did.

    Attributes:
      folder: the version folder; exists only if `passed`.
      verification: of what was reloaded.
      megabytes: size of the folder.
    """

    folder: pathlib.Path
    verification: Verification
    megabytes: float

    @property
    def passed(self) -> bool:
        """Whether the version can be served."""
        return self.verification.passed


def version_folder(
    export_dir: Union[str, os.PathLike], version: int, file_format: str = SAVED_MODEL
) -> pathlib.Path:
    """Where a version lies: `<export_dir>/<version>`, of other formats in a folder of their name.

    TensorFlow Serving takes every number in `export_dir` for a SavedModel, and nothing else.

    Raises:
      ValueError: the version is not positive.
    """
    if version < 1:
        raise ValueError(f"`--version` must be at least 1; received {version}.")
    parts = [] if file_format == SAVED_MODEL else [file_format]
    return pathlib.Path(export_dir, *parts, str(version))


def free_version_folder(
    export_dir: Union[str, os.PathLike], version: int, file_format: str = SAVED_MODEL
) -> pathlib.Path:
    """`version_folder`, checked to be free, since a served version must never change.

    Raises:
      ValueError: the version is not positive or exists, or `export_dir` is not a folder.
    """
    folder = version_folder(export_dir, version, file_format)
    if pathlib.Path(export_dir).exists() and not pathlib.Path(export_dir).is_dir():
        raise ValueError(f"`--export_dir` {export_dir} is a file; give a folder.")
    if folder.exists():
        versions = [int(p.name) for p in folder.parent.iterdir() if p.name.isdigit()]
        raise ValueError(
            f"`--export_dir` {folder.parent} already holds version {version}: give "
            f"`--version={max(versions) + 1}`, or remove {folder}."
        )
    return folder


def exported_file(folder: pathlib.Path, file_format: str) -> pathlib.Path:
    """The file that tells a finished version of a format."""
    is_saved_model = file_format == SAVED_MODEL
    return folder / ("saved_model.pb" if is_saved_model else FORMATS[file_format].file_name)


def export_model(
    inference: Inference,
    options: ExportOptions,
    *,
    export_dir: Union[str, os.PathLike],
    version: int,
    images: Sequence[np.ndarray],
    reference: Optional[Reference] = None,
    describe: Optional[Describe] = None,
) -> ExportReport:
    """Writes, reloads and compares; the version folder appears at once and only when it agrees.

    A model that computes in a half type is stored in it too (`with_half_weights`).

    Args:
      inference: what to export.
      options: how.
      export_dir: gets the version, see `version_folder`.
      version: at least 1, not yet there.
      images: uint8 [H, W, 3] each, for the comparison.
      reference: see `verify_export`.
      describe: makes the model card; None = there is none.

    Raises:
      ValueError: see `free_version_folder` and `write_network_file`.
      OSError: it cannot be written; nothing of the version remains.
    """
    folder = free_version_folder(export_dir, version, options.file_format)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename is atomic; TF Serving looks at numeric names only.
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".exporting-", dir=folder.parent))
    try:
        with raising_os_errors(folder.parent):
            _write(inference, options, temporary)
        loaded = load_export(temporary, options.file_format)
        verification = verify_export(loaded, inference, options, images, reference=reference)
        report = ExportReport(folder, verification, _megabytes(temporary))
        if report.passed:
            if describe is not None:
                write_model_card(temporary, describe(temporary, loaded, verification))
            temporary.chmod(0o755)  # Temporary folders are private, a server is another user.
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def load_export(folder: Union[str, os.PathLike], file_format: str) -> Any:
    """An exported version, as `load_saved_model` or `load_network_file` returns it."""
    if file_format == SAVED_MODEL:
        return load_saved_model(folder)
    return load_network_file(file_format, folder)


def verify_export(
    loaded: Any,
    inference: Inference,
    options: ExportOptions,
    images: Sequence[np.ndarray],
    *,
    reference: Optional[Reference] = None,
) -> Verification:
    """Compares an export with the model that it was made from.

    Args:
      loaded: as `load_export` returns it.
      inference: what was exported.
      options: how it was.
      images: uint8 [H, W, 3] each.
      reference: called where that comparison passes: a half type is then also compared with
        float32 (`measure_precision_cost`).
    """
    network = served_network(inference, options.outputs)
    shared = {"network": network, "prepare": inference.prepare, "images": images}
    if options.file_format == SAVED_MODEL:
        comparisons = verify_saved_model(
            loaded,
            compute_dtype=inference.compute_dtype,
            stride=inference.stride if options.free_size else None,
            **shared,
        )
    else:
        comparisons = verify_network_file(
            options.file_format, loaded, half_weights=options.half_weights, **shared
        )
    serve = _serve_one(loaded, inference, options)
    verification = Verification(comparisons, num_segments=_count_segments(serve, images))
    if reference is None or not verification.passed:
        return verification
    exact = reference()
    model = DirectModel(
        served_network(exact, options.outputs),
        exact.prepare,
        exact.stride if options.free_size else None,
    )
    cost = measure_precision_cost(serve, model, images=images, info=exact.info)
    return verification._replace(precision_cost=cost)


def _serve_one(loaded: Any, inference: Inference, options: ExportOptions) -> ServeOne:
    if options.file_format == SAVED_MODEL:

        def serve(image: np.ndarray) -> Mapping[str, Any]:
            files = tf.constant([tf.io.encode_png(image).numpy()])
            return loaded.signatures["serving_default"](image_bytes=files)

        return serve

    def run(image: np.ndarray) -> Mapping[str, Any]:
        prepared, valid_size = inference.prepare(tf.constant(image))
        outputs = loaded(prepared[tf.newaxis].numpy())
        return dict(outputs, valid_size=valid_size[tf.newaxis])

    return run


def _write(inference: Inference, options: ExportOptions, folder: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as assets_folder:
        assets = [os.path.join(assets_folder, name) for name in (LABELS_FILE, POST_PROCESSING_FILE)]
        save_dataset_info(inference.info, assets[0])
        text = json.dumps(dict(options.post_processing), indent=2, sort_keys=True)
        pathlib.Path(assets[1]).write_text(text + "\n", encoding="utf-8")
        if options.file_format == SAVED_MODEL:
            _write_saved_model(inference, options, folder, assets)
        else:
            (folder / ASSETS).mkdir()
            for asset in assets:
                shutil.copy(asset, folder / ASSETS)
            write_network_file(
                options.file_format,
                folder,
                network=served_network(inference, options.outputs),
                input_size=inference.input_size,
                half_weights=options.half_weights,
            )


def _write_saved_model(
    inference: Inference, options: ExportOptions, folder: pathlib.Path, assets: Sequence[str]
) -> None:
    stride = inference.stride if options.free_size else None
    network = served_network(inference, options.outputs)
    if inference.compute_dtype != "float32":
        spec = network_spec(inference.input_size, stride)
        network = with_half_weights(network, spec, inference.compute_dtype)
    serving = Serving(
        network, prepare=inference.prepare, input_size=inference.input_size, stride=stride
    )
    serving.save(folder, assets=assets)
    write_warmup_requests(folder, model_name=options.model_name, input_size=inference.input_size)


def _count_segments(serve: ServeOne, images: Sequence[np.ndarray]) -> int:
    return sum(int(np.count_nonzero(serve(image)["segment_id"] >= 0)) for image in images)


def _megabytes(folder: pathlib.Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
