"""A data set of one's own by the commands alone: odd ids, names in any script, no code touched."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.tiny import WITHOUT_THRESHOLDS

# Ids with gaps and beyond 8 bits; the first two come in the instance data set too.
CATEGORIES = [
    {"id": 90, "name": "猫"},
    {"id": 11, "name": "größe"},
    {"id": 3, "name": "Ель"},
    {"id": 400, "name": "कार"},
    {"id": 12, "name": "øy"},
    {"id": 40000, "name": "mur"},
    {"id": 200, "name": "हाथी 2"},
]
HEIGHT, WIDTH = 70, 90


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    """Images with masks, and instance annotations of the same images."""
    root = tmp_path_factory.mktemp("own")
    generator = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        images, annotations = [], []
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for index in range(count):
            name = f"{split}_{index}"
            pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / f"{name}.jpg")
            mask = np.full((HEIGHT, WIDTH), 255, np.uint16)
            for row, category in enumerate(CATEGORIES):
                mask[10 * row : 10 * row + 10, 5 * index :] = category["id"]
            Image.fromarray(mask).save(root / "masks" / split / f"{name}.png")
            image = {"id": index, "file_name": f"{split}/{name}.jpg"}
            images.append({**image, "height": HEIGHT, "width": WIDTH})
            for number in range(4 * (index != 1)):  # one image has no instances
                left, top = 5 + 20 * number, 5 + 10 * number
                box = [left, top, left + 15, top, left + 15, top + 25, left, top + 25]
                entry = {"category_id": (90, 11)[number % 2], "segmentation": [box]}
                annotations.append({"id": len(annotations), "image_id": index, **entry})
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES[:2]}
        (root / f"instances_{split}.json").write_text(json.dumps(content))
    (root / "classes.json").write_text(json.dumps({"categories": CATEGORIES, "ignore": 255}))
    return root


def build(kmax, root, dataset):
    """Makes the records of both splits; returns what makes a config use them."""
    overrides = []
    for split, part in (("train", "train"), ("val", "eval")):
        if dataset == "semantic_masks":
            places = [
                f"--images_dir={root}/images/{split}",
                f"--masks_dir={root}/masks/{split}",
                f"--classes={root}/classes.json",
                f"--split={split}",
            ]
        else:
            places = [
                f"--images_dir={root}/images",
                f"--annotations={root}/instances_{split}.json",
            ]
        output = root / dataset
        made = kmax("build-data", dataset, f"--output_dir={output}", *places, config=False)
        assert made.code == 0, made.err
        assert made.out.startswith(f"{split}: {4 if split == 'train' else 2} images in 1 files")
        fields = {"dataset_info": "dataset_info.json", "file_pattern": f"{split}-*"}
        for field, name in fields.items():
            overrides += ["--set", f"{part}_dataset_options.{field}={output}/{name}"]
    return overrides


@pytest.mark.slow  # three commands that each build a model, twice
@pytest.mark.parametrize("dataset", ["semantic_masks", "coco_instances"])
def test_trains_evaluates_and_predicts(kmax, own_data, dataset, tmp_path):
    overrides = build(kmax, own_data, dataset)
    for value in WITHOUT_THRESHOLDS:
        overrides += ["--set", value]
    run_folder = tmp_path / "run"
    finished = kmax("train", f"--model_dir={run_folder}", *overrides)
    assert finished.code == 0, finished.err
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    losses = [value for line in lines for key, value in line.items() if key.startswith("loss/")]
    assert losses
    assert np.isfinite(losses).all()

    finished = kmax("eval", f"--checkpoint={run_folder}", "--json", *overrides)
    assert finished.code == 0, finished.err
    result = json.loads(finished.out.strip().splitlines()[-1])
    names = {row["name"]: row for row in result["per_class"]}
    semantic = dataset == "semantic_masks"
    expected = CATEGORIES if semantic else CATEGORIES[:2]
    assert set(names) == {category["name"] for category in expected}
    assert (result["pq_things"] is None) == semantic
    assert (result["pq_stuff"] is None) == (not semantic)
    assert result["pq"] is not None

    images = own_data / "images" / "val"
    output = tmp_path / "predictions"
    finished = kmax(
        "predict", f"--checkpoint={run_folder}", f"--output_dir={output}", images, *overrides
    )
    assert finished.code == 0, finished.err
    written = next(path for path in output.rglob("*.json"))
    content = json.loads(written.read_text(encoding="utf-8"))
    ids = {segment["category_id"] for a in content["annotations"] for segment in a["segments_info"]}
    assert ids <= {category["id"] for category in expected}
    assert ids
