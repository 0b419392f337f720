"""A hand-made data set in COCO panoptic format, for the tests of the converters."""

from __future__ import annotations

import json
import pathlib

import numpy as np
from PIL import Image

CATEGORIES = [
    {"id": 3, "name": "car", "isthing": 1, "color": [0, 0, 142]},
    {"id": 17, "name": "cat", "isthing": 1},
    {"id": 90, "name": "road", "isthing": 0},
]

# Segment ids of one image: 70000 and 5 are cars, 300 a cat crowd, 9 road, 0 in no segment.
IDS = np.array(
    [
        [70000, 70000, 9, 9, 9, 9],
        [70000, 70000, 9, 300, 300, 9],
        [0, 9, 9, 300, 300, 9],
        [5, 5, 9, 9, 9, 0],
    ]
)
SEGMENTS = [
    {"id": 9, "category_id": 90, "iscrowd": 0, "area": 12},
    {"id": 70000, "category_id": 3, "iscrowd": 0, "area": 4},
    {"id": 300, "category_id": 17, "iscrowd": 1, "area": 4},
    {"id": 5, "category_id": 3, "iscrowd": 0, "area": 2},
]
# Classes 1 car, 2 cat, 3 road; D = 256.
PANOPTIC = np.array(
    [
        [257, 257, 768, 768, 768, 768],
        [257, 257, 768, 512, 512, 768],
        [0, 768, 768, 512, 512, 768],
        [258, 258, 768, 768, 768, 0],
    ]
)


def write(root: pathlib.Path, split: str = "train", count: int = 3) -> None:
    """Writes `count` images that share one annotation."""
    png_dir = root / f"panoptic_{split}"
    (root / "images").mkdir(parents=True, exist_ok=True)
    png_dir.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in range(count):
        name = f"{split}_{index}"
        pixels = np.full((*IDS.shape, 3), 20 * index, np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.jpg")
        colors = np.stack([IDS % 256, IDS // 256 % 256, IDS // 65536], -1).astype(np.uint8)
        Image.fromarray(colors).save(png_dir / f"{name}.png")
        images.append({"id": 100 + index, "file_name": f"{name}.jpg"})
        annotations.append(
            {"image_id": 100 + index, "file_name": f"{name}.png", "segments_info": SEGMENTS}
        )
    edit(root, split, images=images, annotations=annotations, categories=CATEGORIES)


def edit(root: pathlib.Path, split: str, **fields) -> None:
    """Changes fields of the JSON."""
    path = root / f"panoptic_{split}.json"
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**content, **fields}))
