"""`kmax build-data DATASET`: makes TFRecords from a data set, or draws the embedded one."""

from __future__ import annotations

import argparse
import collections
import importlib
import pathlib
import re
from typing import Any, Dict, List

from kmax_tf.safe_paths import require_local

Reports = List[Dict[str, Any]]

_SHOWN_IMAGES = 5  # of those left out; the report file lists them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one sub-command per data set."""
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="DATASET")
    for name, (help_text, add, _) in _DATASETS.items():
        dataset = datasets.add_parser(name, help=help_text, description=help_text)
        add(dataset)


def run(arguments: argparse.Namespace) -> int:
    """Converts, prints what was made, and returns the exit code 0.

    Raises:
      ValueError: anything wrong with the arguments or the files, in one sentence.
    """
    require_local(arguments.output_dir, what="`--output_dir`")
    for report in _DATASETS[arguments.dataset][2](arguments):
        print(format_report(report))
    return 0


def format_report(report: Dict[str, Any]) -> str:
    """The report of one split as text."""
    kept = f", {report['shards_kept']} of them already there" if report["shards_kept"] else ""
    lines = [f"{report['split']}: {report['images']} images in {report['shards']} files{kept}"]
    titles = {"segments": "segments", "crowd": "crowd regions", "dropped": "dropped"}
    for kind, title in titles.items():
        counts = {
            key.split("/", 1)[1]: count
            for key, count in report["statistics"].items()
            if key.startswith(f"{kind}/")
        }
        if counts:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            lines.append(f"  {title}: {sum(counts.values())} ({listed})")
    lines += _format_skipped(report)
    lines += [f"  warning: {warning}" for warning in report["warnings"]]
    return "\n".join(lines)


def _format_skipped(report: Dict[str, Any]) -> List[str]:
    """Lines about the images that were left out: how many, why, the first of them."""
    skipped = report["skipped"]
    if not skipped:
        return []
    counts = collections.Counter(skip["reason"] for skip in skipped)
    listed = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()))
    lines = [f"  images left out: {len(skipped)} ({listed})"]
    lines += [f"    {skip['detail']}" for skip in skipped[:_SHOWN_IMAGES]]
    if len(skipped) > _SHOWN_IMAGES:
        lines.append(f"    ... all of them: report/{report['split']}.json")
    return lines


def _add_shapes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output_dir", required=True, help="e.g. data/shapes")
    parser.add_argument("--num_train", type=int, default=800, help="training images")
    parser.add_argument("--num_val", type=int, default=100, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scenes")


def _build_shapes(arguments: argparse.Namespace) -> Reports:
    from kmax_tf.data.converters import shapes, shapes_drawing

    return shapes.build_shapes(
        output_dir=arguments.output_dir,
        num_train=arguments.num_train,
        num_val=arguments.num_val,
        seed=arguments.seed,
        options=shapes_drawing.SceneOptions(),
    )


def _official(converter: str, layout: str, folder: str, splits: str, num_shards: int) -> tuple:
    """The two functions of a data set that is converted from its official layout.

    Args:
      converter: module that has `convert_<converter>_panoptic`.
      layout: what `input_dir` holds.
      folder: under `data/`, where the configs look for records.
      splits: names that `--split` accepts, separated by blanks.
      num_shards: default of the converter.
    """

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--input_dir", required=True, help=f"holds {layout}")
        parser.add_argument("--output_dir", required=True, help=f"e.g. data/{folder}/tfrecords")
        parser.add_argument("--split", choices=splits.split(), default="all")
        parser.add_argument(
            "--num_shards",
            type=_positive,
            help=f"files per split (default: {num_shards}, at most one an image)",
        )
        _add_strict(parser)

    def build(arguments: argparse.Namespace) -> Reports:
        module = importlib.import_module(f"kmax_tf.data.converters.{converter}")
        return getattr(module, f"convert_{converter}_panoptic")(
            input_dir=arguments.input_dir,
            output_dir=arguments.output_dir,
            split=arguments.split,
            num_shards=arguments.num_shards,
            strict=arguments.strict,
        )

    return add, build


def _add_strict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first image whose files are broken (default: leave it out and list it)",
    )


def _add_coco_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input_dir", help="holds images/, panoptic_<split>.json and panoptic_<split>/"
    )
    parser.add_argument("--output_dir", required=True, help="for records and dataset_info.json")
    parser.add_argument(
        "--split", default="all", help="which one, or its name with --panoptic_json (default: all)"
    )
    parser.add_argument("--images_dir", help="instead of <input_dir>/images")
    parser.add_argument("--panoptic_json", help="instead of <input_dir>/panoptic_<split>.json")
    parser.add_argument("--panoptic_dir", help="PNGs (default: the JSON's path without .json)")
    parser.add_argument(
        "--dataset_info", help="name or JSON of the classes (default: those of the annotations)"
    )
    parser.add_argument(
        "--num_shards", type=_positive, help="files per split (default: one per 100 images)"
    )
    _add_strict(parser)


def _build_coco_format(arguments: argparse.Namespace) -> Reports:
    from kmax_tf.data import dataset_info
    from kmax_tf.data.converters import coco

    if arguments.panoptic_json:
        sources = [_explicit_source(arguments)]
    elif arguments.input_dir:
        sources = coco.find_sources(arguments.input_dir)
        if arguments.split != "all":
            known = [source.split for source in sources]
            sources = [source for source in sources if source.split == arguments.split]
            if not sources:
                raise ValueError(
                    f"--split must be `all` or one of {known}; received {arguments.split!r}."
                )
        if arguments.images_dir:
            images_dir = pathlib.Path(arguments.images_dir)
            sources = [source._replace(images_dir=images_dir) for source in sources]
    else:
        raise ValueError("coco_format needs --input_dir, or --panoptic_json with --images_dir.")
    info = arguments.dataset_info and dataset_info.load_dataset_info(arguments.dataset_info)
    return coco.convert_coco_format(
        sources,
        output_dir=arguments.output_dir,
        num_shards=arguments.num_shards,
        info=info or None,
        name=pathlib.Path(arguments.output_dir).absolute().name,
        strict=arguments.strict,
    )


def _explicit_source(arguments: argparse.Namespace) -> Any:
    """One split named by its JSON."""
    from kmax_tf.data.converters import coco

    panoptic_json = pathlib.Path(arguments.panoptic_json)
    images_dir = arguments.images_dir or (
        arguments.input_dir and pathlib.Path(arguments.input_dir, "images")
    )
    if not images_dir:
        raise ValueError("--panoptic_json needs --images_dir, the folder of the images.")
    split = arguments.split
    if split == "all":
        split = panoptic_json.stem.replace("panoptic_", "", 1)
    panoptic_dir = arguments.panoptic_dir or panoptic_json.with_suffix("")
    return coco.CocoSource(
        _split_name(split), pathlib.Path(images_dir), panoptic_json, pathlib.Path(panoptic_dir)
    )


def _add_semantic_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images_dir", required=True, help="images, in sub-folders too")
    parser.add_argument(
        "--masks_dir",
        required=True,
        help="PNGs named like the images, in the same sub-folders or any others: one channel of up "
        "to 16 bits (or a palette, of which the index counts) that holds ids of --classes; other "
        "values are void",
    )
    parser.add_argument(
        "--classes",
        required=True,
        help='JSON of the classes: {"categories": [{"id": 7, "name": "road", "color": [128, 64, '
        '128]}, ...], "ignore": 255}, where all but id may be left out, or a dataset_info.json; '
        "all become stuff, since masks of classes hold no instances",
    )
    parser.add_argument("--output_dir", required=True, help="for records and dataset_info.json")
    parser.add_argument("--split", default="train", help="name of the records (default: train)")
    parser.add_argument("--num_shards", type=_positive, help="files (default: one per 100 images)")
    _add_strict(parser)


def _build_semantic_masks(arguments: argparse.Namespace) -> Reports:
    from kmax_tf.data.converters import semantic_masks

    report = semantic_masks.convert_semantic_masks(
        images_dir=arguments.images_dir,
        masks_dir=arguments.masks_dir,
        classes=arguments.classes,
        output_dir=arguments.output_dir,
        split=_split_name(arguments.split),
        num_shards=arguments.num_shards,
        strict=arguments.strict,
    )
    return [report]


def _add_coco_instances(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images_dir", required=True, help="what the file names of the JSON are relative to"
    )
    parser.add_argument(
        "--annotations",
        required=True,
        help="JSON with images, annotations (segmentation: polygons or run lengths) and categories;"
        " where instances overlap, the smaller one lies on top, and crowd regions below all",
    )
    parser.add_argument("--output_dir", required=True, help="for records and dataset_info.json")
    parser.add_argument(
        "--split", help="name of the records (default: the JSON's, without `instances_`)"
    )
    parser.add_argument("--num_shards", type=_positive, help="files (default: one per 100 images)")
    _add_strict(parser)


def _build_coco_instances(arguments: argparse.Namespace) -> Reports:
    from kmax_tf.data.converters import coco_instances

    split = arguments.split
    if split is None:
        split = pathlib.Path(arguments.annotations).stem.replace("instances_", "", 1)
    report = coco_instances.convert_coco_instances(
        images_dir=arguments.images_dir,
        annotations=arguments.annotations,
        output_dir=arguments.output_dir,
        split=_split_name(split),
        num_shards=arguments.num_shards,
        strict=arguments.strict,
    )
    return [report]


def _split_name(split: str) -> str:
    """Returns `split` if it can be part of a file name."""
    if not _SPLIT_NAME.fullmatch(split):
        raise ValueError(
            f"`--split` becomes part of file names: letters, digits, `_`, `-`; received {split!r}."
        )
    return split


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; received {text}")
    return value


_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_DATASETS: Dict[str, tuple] = {
    "shapes": ("draw the embedded data set", _add_shapes, _build_shapes),
    "coco_panoptic": (
        "COCO panoptic, as downloaded",
        *_official(
            "coco", "train2017/, val2017/, annotations/", "coco", "train val test all", 1000
        ),
    ),
    "cityscapes_panoptic": (
        "Cityscapes, with the annotations that csCreatePanopticImgs --use-train-id makes",
        *_official(
            "cityscapes", "leftImg8bit/ and gtFine/", "cityscapes", "train val test all", 10
        ),
    ),
    "ade20k_panoptic": (
        "ADE20K, with panoptic annotations in COCO's form",
        *_official(
            "ade20k",
            "images/{training,validation}/, ade20k_panoptic_{train,val}.json and their PNGs",
            "ade20k",
            "train val all",
            1000,
        ),
    ),
    "coco_format": (
        "any data set in COCO panoptic format",
        _add_coco_format,
        _build_coco_format,
    ),
    "semantic_masks": (
        "images with one-channel masks of classes",
        _add_semantic_masks,
        _build_semantic_masks,
    ),
    "coco_instances": (
        "any data set in COCO instance format, things only",
        _add_coco_instances,
        _build_coco_instances,
    ),
}
