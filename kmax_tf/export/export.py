"""From a model to a verified SavedModel version folder."""

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
from kmax_tf.export.outputs import DEFAULT_CHOICES, served_network
from kmax_tf.export.precision_cost import CostRow, measure_precision_cost
from kmax_tf.export.serving import Serving, network_spec
from kmax_tf.export.verify import Comparison, DirectModel, verify_saved_model
from kmax_tf.export.warmup import write_warmup_requests
from kmax_tf.file_errors import raising_os_errors
from kmax_tf.saved_models import load_saved_model

LABELS_FILE = "labels.json"
POST_PROCESSING_FILE = "post_processing.json"


class Verification(NamedTuple):
    """What a reloaded SavedModel was found to be.

    Attributes:
      comparisons: with the model that it was made from.
      precision_cost: of a half type, against float32; empty where that was not asked for.
      num_segments: that the SavedModel found in the images of the comparison; where there is none,
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
"""(SavedModel folder, SavedModel, its verification) -> content of its model card."""

Reference = Callable[[], Inference]
"""Builds the model that a half type is compared with: the same weights in float32."""


class ExportOptions(NamedTuple):
    """How a model is exported.

    Attributes:
      model_name: under which it is served.
      outputs: what the signatures return, names in `outputs.CHOICES`.
      free_size: whether padding that no image of a request needs is cut off.
      post_processing: method and thresholds, for the assets.
    """

    model_name: str
    outputs: Tuple[str, ...] = DEFAULT_CHOICES
    free_size: bool = False
    post_processing: Mapping[str, Any] = {}


class ExportReport(NamedTuple):
    """What an export did.

    Attributes:
      folder: the version folder; exists only if `passed`.
      verification: of the reloaded SavedModel.
      megabytes: size of the folder.
    """

    folder: pathlib.Path
    verification: Verification
    megabytes: float

    @property
    def passed(self) -> bool:
        """Whether the version can be served."""
        return self.verification.passed


def version_folder(export_dir: Union[str, os.PathLike], version: int) -> pathlib.Path:
    """`<export_dir>/<version>`, checked to be free, since a served version must never change.

    Raises:
      ValueError: the version is not positive or exists, or `export_dir` is not a folder.
    """
    if version < 1:
        raise ValueError(f"`--version` must be at least 1; received {version}.")
    folder = pathlib.Path(export_dir) / str(version)
    if pathlib.Path(export_dir).exists() and not pathlib.Path(export_dir).is_dir():
        raise ValueError(f"`--export_dir` {export_dir} is a file; give a folder.")
    if folder.exists():
        versions = [int(p.name) for p in folder.parent.iterdir() if p.name.isdigit()]
        raise ValueError(
            f"`--export_dir` {export_dir} already holds version {version}: give "
            f"`--version={max(versions) + 1}`, or remove {folder}."
        )
    return folder


def export_saved_model(
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
      export_dir: gets `<version>/`, the layout that TF Serving watches.
      version: at least 1, not yet there.
      images: uint8 [H, W, 3] each, for the comparison.
      reference: see `verify_export`.
      describe: makes the model card; None = there is none.

    Raises:
      ValueError: see `version_folder`.
      OSError: it cannot be written; nothing of the version remains.
    """
    folder = version_folder(export_dir, version)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename is atomic; TF Serving looks at numeric names only.
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".exporting-", dir=folder.parent))
    try:
        with raising_os_errors(folder.parent):
            _write(inference, options, temporary)
        saved_model = load_saved_model(temporary)
        verification = verify_export(saved_model, inference, options, images, reference=reference)
        report = ExportReport(folder, verification, _megabytes(temporary))
        if report.passed:
            if describe is not None:
                write_model_card(temporary, describe(temporary, saved_model, verification))
            temporary.chmod(0o755)  # Temporary folders are private, a server is another user.
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def verify_export(
    saved_model: Any,
    inference: Inference,
    options: ExportOptions,
    images: Sequence[np.ndarray],
    *,
    reference: Optional[Reference] = None,
) -> Verification:
    """Compares a SavedModel with the model that it was made from (`verify_saved_model`).

    Args:
      saved_model: as `tf.saved_model.load` returns it.
      inference: what was exported.
      options: how it was.
      images: uint8 [H, W, 3] each.
      reference: called where that comparison passes: a half type is then also compared with
        float32 (`measure_precision_cost`).
    """
    comparisons = verify_saved_model(
        saved_model,
        network=served_network(inference, options.outputs),
        prepare=inference.prepare,
        images=images,
        compute_dtype=inference.compute_dtype,
        stride=inference.stride if options.free_size else None,
    )
    verification = Verification(comparisons, num_segments=_count_segments(saved_model, images))
    if reference is None or not verification.passed:
        return verification
    exact = reference()
    model = DirectModel(
        served_network(exact, options.outputs),
        exact.prepare,
        exact.stride if options.free_size else None,
    )
    cost = measure_precision_cost(saved_model, model, images=images, info=exact.info)
    return verification._replace(precision_cost=cost)


def _write(inference: Inference, options: ExportOptions, folder: pathlib.Path) -> None:
    stride = inference.stride if options.free_size else None
    network = served_network(inference, options.outputs)
    if inference.compute_dtype != "float32":
        spec = network_spec(inference.input_size, stride)
        network = with_half_weights(network, spec, inference.compute_dtype)
    serving = Serving(
        network, prepare=inference.prepare, input_size=inference.input_size, stride=stride
    )
    with tempfile.TemporaryDirectory() as assets_folder:
        assets = [os.path.join(assets_folder, name) for name in (LABELS_FILE, POST_PROCESSING_FILE)]
        save_dataset_info(inference.info, assets[0])
        text = json.dumps(dict(options.post_processing), indent=2, sort_keys=True)
        pathlib.Path(assets[1]).write_text(text + "\n", encoding="utf-8")
        serving.save(folder, assets=assets)
    write_warmup_requests(folder, model_name=options.model_name, input_size=inference.input_size)


def _count_segments(saved_model: Any, images: Sequence[np.ndarray]) -> int:
    files = tf.constant([tf.io.encode_png(image).numpy() for image in images])
    outputs = saved_model.signatures["serving_default"](image_bytes=files)
    return int(np.count_nonzero(outputs["segment_id"].numpy() >= 0))


def _megabytes(folder: pathlib.Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
