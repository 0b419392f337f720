"""Loads the variables of a model from a checkpoint of any known format."""

from __future__ import annotations

import os
from typing import Dict, Mapping, Sequence, Union

import tensorflow as tf

from kmax_tf.checkpoints import mapping
from kmax_tf.checkpoints.allowance import Allowance
from kmax_tf.checkpoints.formats import Source, open_source
from kmax_tf.checkpoints.identify import describe_source
from kmax_tf.checkpoints.parts import ENCODER, is_class_shaped, part_of
from kmax_tf.checkpoints.report import LoadReport, describe_misfit

Path = Union[str, os.PathLike]


class MisfitError(ValueError):
    """A file does not fit a model.

    Args:
      message: one sentence.
      report: as if all that fits had been loaded; nothing was.
    """

    def __init__(self, message: str, report: LoadReport) -> None:
        super().__init__(message)
        self.report = report


def load_checkpoint(
    model: tf.keras.Model,
    path: Path,
    *,
    allow_missing: Sequence[str] = (),
    raw_weights: bool = False,
) -> LoadReport:
    """Sets the variables of `model` to the values in a checkpoint.

    The format is recognised by the names in the file: a checkpoint of this project (of a training
    run, or of a model alone) or of deeplab2 (kMaX-DeepLab, MaX-DeepLab).

    Args:
      model: has its variables.
      path: prefix (`.../ckpt-1000`), or a folder, which means its latest.
      allow_missing: what may differ, and keeps its value where it does; the report names it.
        `heads` stands for every variable whose shape depends on the number of classes,
        `semantic_last_layer` for those of them at the end of the semantic head: these keep their
        value even where the file's would fit. Anything else is the prefix of paths
        (`semantic_head`) of variables that the file may lack or hold in another shape, or that the
        model may lack.
      raw_weights: whether the weights of the last step are taken from a checkpoint of a training
        that also holds their moving average (`trainer_options.ema_decay`), instead of the average.

    Returns:
      The report; without `allow_missing` all of the model and of the file is accounted for.

    Raises:
      ValueError: no such checkpoint, one of another model or of the pixel encoder alone, or an
        unknown entry of `allow_missing`; nothing is changed then.
    """
    source = open_source(path, raw_weights=raw_weights)
    return load_source(model, source, allow_missing=allow_missing)


def load_initial_checkpoint(
    model: tf.keras.Model, path: Path, *, allow_missing: Sequence[str] = ()
) -> LoadReport:
    """As `load_checkpoint`, but a file may hold the pixel encoder alone.

    The other parts keep their values then, and the report lists them as missing; arrays of image
    classification are listed as unused.
    """
    return load_source(model, open_source(path), allow_missing=allow_missing, accept_encoder=True)


def load_encoder_weights(encoder: tf.keras.layers.Layer, path: Path) -> LoadReport:
    """Sets the variables of a pixel encoder used alone.

    Args:
      encoder: has its variables (was called once).
      path: as in `load_checkpoint`, of a whole model or of an encoder alone; also weights of a
        deeplab2 encoder that Keras wrote, and ConvNeXt weights (.safetensors, .pth).

    Returns:
      The report; arrays of the file's other parts are listed as unused.

    Raises:
      ValueError: no such file, or one of another encoder; nothing is changed then.
    """
    relative = mapping.variables_by_path(encoder)
    if not relative:
        raise ValueError("`encoder` has no variables yet: call it on an image first.")
    variables = {f"{ENCODER}/{path}": variable for path, variable in relative.items()}
    return _load(variables, open_source(path), (), encoder_alone=True)


def load_source(
    model: tf.keras.Model,
    source: Source,
    *,
    allow_missing: Sequence[str] = (),
    accept_encoder: bool = False,
) -> LoadReport:
    """As `load_checkpoint`, from an open file.

    Args:
      model: has its variables.
      source: the file.
      allow_missing: see `load_checkpoint`.
      accept_encoder: whether the file may hold the pixel encoder alone.
    """
    variables = mapping.variables_by_path(model)
    encoder_alone = accept_encoder and source.encoder_alone
    return _load(variables, source, allow_missing, encoder_alone=encoder_alone)


def _load(
    variables: Mapping[str, tf.Variable],
    source: Source,
    allow_missing: Sequence[str],
    *,
    encoder_alone: bool,
) -> LoadReport:
    """Compares, and loads what is allowed to; of the encoder only, if that alone is wanted."""
    comparison = mapping.compare(variables, source.shapes, source.name_of_path, source.our_shape)
    allowance = Allowance(allow_missing, paths=variables, names=source.shapes)

    def is_fault(name: str) -> bool:
        return not allowance.excuses(name)

    def is_compared(path: str) -> bool:
        return not encoder_alone or path.startswith(f"{ENCODER}/")

    def is_comparable(name: str) -> bool:
        return (not source.encoder_alone and not encoder_alone) or source.is_encoder(name)

    faults = mapping.Comparison(
        fitting=comparison.fitting,
        missing=tuple(p for p in comparison.missing if is_fault(p) and is_compared(p)),
        unused=tuple(n for n in comparison.unused if is_fault(n) and is_comparable(n)),
        mismatched={p: s for p, s in comparison.mismatched.items() if is_fault(p)},
    )
    chosen = [path for path in comparison.fitting if not allowance.resets(path)]
    report = LoadReport(
        loaded=tuple(chosen),
        missing=tuple(p for p in comparison.missing if not allowance.resets(p)),
        unused=comparison.unused,
        mismatched=tuple(s for p, s in comparison.mismatched.items() if not allowance.resets(p)),
        reset=tuple(path for path in variables if allowance.resets(path)),
        path=source.path,
        format=source.format,
        encoder_alone=encoder_alone,
    )
    if faults.missing or faults.unused or faults.mismatched:
        raise MisfitError(_explain(faults, source, len(variables)), report)
    _assign(variables, source, chosen)
    return report


def _assign(variables: Mapping[str, tf.Variable], source: Source, paths: Sequence[str]) -> None:
    """All is read before anything is assigned: a damaged file leaves the model as it is.

    Each array is let go once it is assigned, so the weights are never in memory more than twice.
    """
    values: Dict[str, object] = source.read(paths)
    while values:
        path, value = values.popitem()
        variables[path].assign(tf.cast(value, variables[path].dtype))


def _explain(faults: mapping.Comparison, source: Source, num_variables: int) -> str:
    lacks_other_parts = all(part_of(path) != ENCODER for path in faults.missing)
    if source.encoder_alone and lacks_other_parts and not (faults.unused or faults.mismatched):
        return (
            f"{source.path} ({source.format}) holds the pixel encoder alone, so the other parts "
            "would be untrained; a training starts from it when it is "
            "`model_options.initial_checkpoint` or `model_options.pretrained_weights`."
        )
    text = (
        f"{source.path} is a checkpoint of another model: of {num_variables} variables "
        f"{len(faults.fitting)} fit; {describe_misfit(faults)}"
    )
    if faults.missing or faults.unused or not all(map(is_class_shaped, faults.mismatched)):
        return f"{text}; {describe_source(source)}."
    return (
        f"{text}; it differs in the number of classes alone: `--allow_missing=heads` of `kmax "
        "train` and `kmax import` loads the rest and starts what depends on the classes anew."
    )
