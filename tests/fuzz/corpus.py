"""What the fuzzers start from: good configs and records."""

from __future__ import annotations

import pathlib

import numpy as np

from tests.configs.deeplab2_files import deeplab2_text
from tests.data import toy_records
from tests.image_bombs import encode

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OWN_CONFIG = (ROOT / "configs" / "test" / "tiny.textproto").read_text(encoding="utf-8")
OLD_CONFIG = deeplab2_text("coco/kmax_deeplab/kmax_meta_r50_os32")

_LABEL = np.full((6, 9), 7 * 256, np.int32)
RECORDS = [
    toy_records.record(3),
    toy_records.record(4, size=(6, 9), image=encode(6, 9, "JPEG"), label=_LABEL),
    toy_records.record(5, size=(6, 9), image=encode(6, 9, "JPEG", progressive=True), label=_LABEL),
]
