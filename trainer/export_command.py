"""`kmax export`: a checkpoint becomes a SavedModel for TF Serving, or an ONNX or TFLite file."""

from __future__ import annotations

import argparse
import pathlib
import time
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple, Union

from kmax_tf.build.config import load_config
from kmax_tf.safe_paths import require_local
from protos import experiment_pb2
from trainer.arguments import add_model_arguments
from trainer.bench.setting import apply_crop, precision_names
from trainer.export_flags import FORMATS, FREE, SAVED_MODEL, check_format, overrides_of

if TYPE_CHECKING:
    import numpy as np

    from kmax_tf.build.inference import Inference
    from kmax_tf.export.export import ExportOptions, ExportReport, Reference, Verification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `kmax export`."""
    add_model_arguments(parser)
    parser.add_argument("--export_dir", required=True, help="gets the version folder")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=SAVED_MODEL,
        help="what is written: saved_model, or the network alone for one image of the size of its "
        "input, resized and padded by whoever runs it: onnx (needs the extra [onnx]) or tflite, in "
        "a folder of that name inside `--export_dir` (default: saved_model)",
    )
    parser.add_argument(
        "--version", type=int, default=1, help="name of the version folder (default: 1)"
    )
    parser.add_argument(
        "--precision",
        choices=precision_names(),
        help="what the network computes its features in (default: trainer_options.precision); in a "
        "half type its kernels are stored in it too, which halves the size and changes no result; "
        "onnx and tflite compute in float32, float16 halves a tflite file by rounding its weights",
    )
    parser.add_argument(
        "--outputs",
        type=lambda text: tuple(text.split(",")),
        default=("panoptic", "semantic"),
        metavar="NAME[,NAME]...",
        help="what the signatures return beside the rows of segments and the sizes: panoptic, "
        "semantic (maps of ids), scores (instance_score and semantic_score: two maps of "
        "confidences), mask_logits (mask_logits and class_logits of all slots, as the network "
        "gives them) (default: panoptic,semantic)",
    )
    parser.add_argument(
        "--input_size",
        type=_input_size,
        metavar="H,W|free",
        help="size of the network's input (default: the crop size of the evaluation); free: "
        "resized as for that crop, but padded only as far as the largest image of a request "
        "needs, which is quicker for images of another shape, while results depend a little on "
        "the other images of the request",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="what the SavedModel and the model are compared on (default: three drawn images)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing: compare the version that `--export_dir` holds with the checkpoint; "
        "the other flags have to be those of its export",
    )
    parser.add_argument(
        "--no_latency",
        action="store_true",
        help="leave the latency out of the model card, and so the runs that measure it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exports and verifies; returns 1 when the reloaded SavedModel differs from the model.

    Raises:
      ValueError: the config, the checkpoint, an image or the folder is at fault.
      NonFinitePredictionError: the model's logits are not finite.
    """
    start = time.monotonic()
    require_local(arguments.export_dir, what="`--export_dir`")
    check_format(arguments)
    config = _load(arguments)

    from kmax_tf.build.inference import build_inference
    from kmax_tf.export.export import ExportOptions, load_export, verify_export
    from kmax_tf.export.half_weights import round_weights
    from kmax_tf.export.outputs import check_choices
    from kmax_tf.export.server_files import served_name

    check_choices(arguments.outputs)
    folder = _check_folder(arguments)  # Before the slow part.
    options = ExportOptions(
        model_name=served_name(config.experiment_name),
        outputs=arguments.outputs,
        free_size=arguments.input_size == FREE,
        post_processing=_post_processing(config),
        file_format=arguments.format,
        half_weights=arguments.format != SAVED_MODEL and arguments.precision == "float16",
    )
    images = _read_images(arguments.images)
    inference = build_inference(
        config, checkpoint=arguments.checkpoint, raw_weights=bool(arguments.raw_weights)
    )
    if options.half_weights and inference.model is not None:
        round_weights(inference.model.weights, "float16")
    images = images or _drawn_images(inference)
    if arguments.verify:
        loaded = load_export(folder, arguments.format)
        _require_same_classes(folder, inference)
        reference = _reference(arguments, config, inference, options)
        found = verify_export(loaded, inference, options, images, reference=reference)
        return _tell(found, arguments.format)
    report = _export(arguments, config, inference, options, images)
    if _tell(report.verification, arguments.format):
        print("Nothing was exported.")
        return 1
    if arguments.format == SAVED_MODEL:
        _tell_server_files(arguments.export_dir, options.model_name)
    seconds = time.monotonic() - start
    print(f"Exported {report.folder} ({report.megabytes:.1f} MB) in {seconds:.0f} s.")
    return 0


def _load(arguments: argparse.Namespace) -> experiment_pb2.ExperimentOptions:
    """The config with the flags applied."""
    config = load_config(arguments.config_file, overrides_of(arguments))
    evaluator = config.evaluator_options
    if arguments.input_size == FREE:
        if evaluator.eval_scales or evaluator.add_flipped_images:
            raise ValueError(
                "`--input_size=free` needs a single pass: leave `evaluator_options.eval_scales` "
                "and `add_flipped_images` unset, or give `--input_size=H,W`."
            )
    elif arguments.input_size is not None:
        apply_crop(config, arguments.input_size, flag="--input_size")
    return config


def _check_folder(arguments: argparse.Namespace) -> pathlib.Path:
    """The version folder, checked to be there or not, as the flags need it."""
    from kmax_tf.export.export import exported_file, free_version_folder, version_folder

    place = (arguments.export_dir, arguments.version, arguments.format)
    if not arguments.verify:
        return free_version_folder(*place)
    folder = version_folder(*place)
    if not exported_file(folder, arguments.format).exists():
        raise ValueError(f"`--verify` compares an exported version; received {folder}, none.")
    return folder


def _export(
    arguments: argparse.Namespace,
    config: experiment_pb2.ExperimentOptions,
    inference: Inference,
    options: ExportOptions,
    images: List[np.ndarray],
) -> ExportReport:
    from kmax_tf.export.export import export_model
    from trainer.export_card import describe_export

    return export_model(
        inference,
        options,
        export_dir=arguments.export_dir,
        version=arguments.version,
        images=images,
        reference=_reference(arguments, config, inference, options),
        describe=lambda folder, loaded, verification: describe_export(
            config,
            inference,
            options,
            checkpoint=arguments.checkpoint,
            folder=folder,
            loaded=loaded,
            verification=verification,
            with_latency=not arguments.no_latency,
        ),
    )


def _reference(
    arguments: argparse.Namespace,
    config: experiment_pb2.ExperimentOptions,
    inference: Inference,
    options: ExportOptions,
) -> Optional[Reference]:
    """What builds the float32 model that a half type is compared with."""
    if inference.compute_dtype == "float32" and not options.half_weights:
        return None
    exact = experiment_pb2.ExperimentOptions()
    exact.CopyFrom(config)
    exact.trainer_options.ClearField("precision")  # The default is float32.

    def build() -> Inference:
        from kmax_tf.build.inference import build_inference

        return build_inference(
            exact, checkpoint=arguments.checkpoint, raw_weights=bool(arguments.raw_weights)
        )

    return build


def _post_processing(config: experiment_pb2.ExperimentOptions) -> Dict[str, Union[str, float]]:
    """The post-processing with its thresholds, defaults included."""
    message = config.evaluator_options.post_processing
    method = message.WhichOneof("method")
    values: Dict[str, Union[str, float]] = {"method": method}
    for part in (message, getattr(message, method)):
        for field in part.DESCRIPTOR.fields:
            if field.message_type is None:
                # Rounded to what a float32 can hold, so that 0.7 stays 0.7.
                values[field.name] = float(f"{getattr(part, field.name):.7g}")
    return values


def _require_same_classes(folder: pathlib.Path, inference: Inference) -> None:
    from kmax_tf.data.dataset_info import load_dataset_info
    from kmax_tf.export.export import LABELS_FILE

    path = folder / "assets" / LABELS_FILE
    if load_dataset_info(str(path)) != inference.info:
        raise ValueError(
            "`--verify` needs a version of the classes that `--config_file` names; received "
            f"{path} with others."
        )


def _drawn_images(inference: Inference) -> List[np.ndarray]:
    from kmax_tf.export.verify import verification_images

    return verification_images(inference.input_size)


def _read_images(paths: Optional[List[str]]) -> List[np.ndarray]:
    from kmax_tf.data.image_files import find_images, read_image

    return [read_image(path) for path in find_images(paths)] if paths else []


def _tell(verification: Verification, file_format: str) -> int:
    """Prints the tables; returns 1 where something differs."""
    from kmax_tf.export.precision_cost import format_precision_cost
    from kmax_tf.export.verify import format_comparisons

    comparisons, cost = verification.comparisons, verification.precision_cost
    if file_format == SAVED_MODEL:
        name, also = "SavedModel", ", and its batches against the same images alone"
    else:
        name, also = f"{file_format} file", ", image by image"
    print(f"The reloaded {name} against the model{also}")
    print("(share of different entries, for segment_score and logits the largest difference):")
    print(format_comparisons(comparisons))
    if not verification.num_segments:
        print(
            "No segment was found, so that equal maps say little: give `--images` that show some."
        )
    if cost:
        print(f"What the half type costs: the {name} against the float32 model")
        print(format_precision_cost(cost))
    if verification.passed:
        return 0
    if cost:
        other = " or bfloat16" if file_format == SAVED_MODEL else ""
        print(f"The half type changes most of the picture: export in float32{other}.")
        return 1
    print(
        f"The reloaded {name} differs from the model. A score on the very edge of a threshold "
        "can do this; then another checkpoint passes."
    )
    return 1


def _tell_server_files(export_dir: str, name: str) -> None:
    from kmax_tf.export.server_files import write_server_files

    for path in write_server_files(export_dir, name):
        print(f"Wrote {path}.")


def _input_size(text: str) -> Union[str, Tuple[int, int]]:
    parts = text.split(",")
    if text == FREE:
        return FREE
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(
            f"must be a height and a width above 0, such as 641,641, or free; received {text!r}"
        )
    return int(parts[0]), int(parts[1])
