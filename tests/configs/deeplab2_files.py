"""Every published config of deeplab2's mask transformers, as a text in its own schema."""

from __future__ import annotations

import gzip
import json
import pathlib
from typing import Any, Dict, List

SETTINGS = pathlib.Path(__file__).resolve().parents[1] / "golden/configs"
MISSPELT = "ade20k/kmax_deeplab/kmax_meta_convnext_large_os32"
"""Holds a field that its own schema does not have."""


def all_settings() -> Dict[str, Dict[str, Any]]:
    """Path of a published file in deeplab2's `configs/` -> every value that it sets."""
    with gzip.open(SETTINGS / "kmax_training_configs.json.gz", "rt") as file:
        return json.load(file)


def published() -> List[str]:
    """Paths of the files that train a published model."""
    return [path for path in all_settings() if not path.startswith("example/")]


def deeplab2_text(path: str) -> str:
    """The file as deeplab2 has it: with placeholders where a user fills in paths."""
    settings = all_settings()[path]
    model = settings["model_options"]
    if settings["_uses_pretrained_weights_field"]:
        model["backbone"]["pretrained_weights"] = "${PRETRAINED_WEIGHTS}"
    if settings["_uses_initial_checkpoint_field"]:
        model["initial_checkpoint"] = "${INIT_CHECKPOINT}"
    if path == MISSPELT:
        model["max_deeplab"]["transformer_decoder_drop_path_keep_prob"] = 1.0
    settings["experiment_name"] = "${EXPERIMENT_NAME}"
    settings["train_dataset_options"]["file_pattern"] = "${TRAIN_SET}"
    if "eval_dataset_options" in settings:
        settings["eval_dataset_options"]["file_pattern"] = "${VAL_SET}"
    return render({name: value for name, value in settings.items() if name[0] != "_"})


def render(settings: Dict[str, Any], indent: str = "") -> str:
    """Nested values as a text proto."""
    lines = []
    for name, value in settings.items():
        for element in value if isinstance(value, list) else [value]:
            if isinstance(element, dict):
                lines.append(f"{indent}{name} {{\n{render(element, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {json.dumps(element)}\n")
    return "".join(lines)
