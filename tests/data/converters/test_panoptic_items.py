"""Broken and unusual inputs, through a whole conversion; the COCO format stands for all."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from kmax_tf.data import schema
from kmax_tf.data.converters import coco, panoptic_items, source_files
from tests.data.converters import official, toy_coco

PIXELS = np.zeros((*toy_coco.IDS.shape, 3), np.uint8)


def convert(root, **changes):
    (report,) = coco.convert_coco_format(
        coco.find_sources(str(root)), output_dir=str(root / "out"), **changes
    )
    return report


def edit_segment(root, **changes):
    """Changes the first segment of the second image."""
    path = root / "panoptic_train.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["segments_info"][0].update(changes)
    path.write_text(json.dumps(content))


def cut(path):
    """Leaves the first half of a JPEG large enough to be cut within its data."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BROKEN = {
    "panoptic PNG missing": lambda root, image, png: png.unlink(),
    "panoptic PNG cannot be read": lambda root, image, png: png.write_bytes(b"no PNG"),
    "panoptic PNG of another size than its image": lambda root, image, png: (
        source_files.write_segment_ids(np.zeros((2, 2), int), png)
    ),
    "panoptic PNG without 8-bit RGB colours": lambda root, image, png: Image.fromarray(
        toy_coco.IDS.astype(np.uint16)
    ).save(png),
    "image missing": lambda root, image, png: image.unlink(),
    "image cannot be read": lambda root, image, png: cut(image),
    "unknown category": lambda root, image, png: edit_segment(root, category_id=4),
    "stated area that is not the number of pixels": lambda root, image, png: edit_segment(
        root, area=99
    ),
    "crowd flag on stuff": lambda root, image, png: edit_segment(root, iscrowd=1),
    "segment id listed twice": lambda root, image, png: edit_segment(root, id=70000),
}


@pytest.mark.parametrize("reason", list(BROKEN))
def test_broken_inputs_are_left_out_and_named(tmp_path, reason):
    toy_coco.write(tmp_path)
    image, png = (
        tmp_path / "images" / "train_1.jpg",
        tmp_path / "panoptic_train" / "train_1.png",
    )
    BROKEN[reason](tmp_path, image, png)
    report = convert(tmp_path)
    (skipped,) = report["skipped"]
    assert (skipped["image"], skipped["reason"]) == (str(image), reason)
    assert "train_1" in skipped["detail"]
    assert report["images"] == 2
    found = official.read(tmp_path / "out", "train")
    assert list(found) == ["train_0", "train_2"]
    for record in found.values():
        np.testing.assert_array_equal(schema.decode_label(record), toy_coco.PANOPTIC)
    assert convert(tmp_path) == {**report, "shards_kept": 1}
    with pytest.raises(ValueError, match=r"train_1") as error:
        convert(tmp_path, strict=True)
    assert str(error.value) == skipped["detail"]


def test_a_mended_image_comes_in(tmp_path):
    toy_coco.write(tmp_path)
    image = tmp_path / "images" / "train_1.jpg"
    content = image.read_bytes()
    image.write_bytes(b"no image")
    assert convert(tmp_path, num_shards=3)["images"] == 2
    image.write_bytes(content)
    report = convert(tmp_path, num_shards=3)
    assert (report["images"], report["skipped"], report["shards_kept"]) == (3, [], 2)


@pytest.mark.parametrize("kind", ["L", "CMYK", "P", "RGBA", "16 bit", "EXIF"])
def test_unusual_images_are_converted(tmp_path, kind):
    toy_coco.write(tmp_path)
    path = tmp_path / "images" / "train_1.jpg"  # Found by content, whatever the name says.
    if kind == "16 bit":
        Image.fromarray(np.full(PIXELS.shape[:2], 0x4020, np.uint16)).save(path, "PNG")
    elif kind == "EXIF":
        exif = Image.Exif()
        exif[0x0112] = 6  # Stored lying on its side.
        Image.fromarray(np.rot90(PIXELS + 64)).save(path, exif=exif)
    else:
        stored = "PNG" if kind in ("P", "RGBA") else "JPEG"
        image = Image.fromarray(PIXELS + 64)
        (image.quantize(4) if kind == "P" else image.convert(kind)).save(path, stored)
    report = convert(tmp_path, strict=True)
    assert (report["images"], report["skipped"]) == (3, [])
    record = official.read(tmp_path / "out", "train")["train_1"]
    image = schema.decode_image(record).numpy().astype(int)
    assert image.shape == PIXELS.shape
    assert np.abs(image - 64).max() <= 3
    np.testing.assert_array_equal(schema.decode_label(record), toy_coco.PANOPTIC)


def test_an_interrupted_conversion_makes_finished_shards_once(tmp_path, monkeypatch):
    toy_coco.write(tmp_path, count=4)
    (tmp_path / "images" / "train_0.jpg").write_bytes(b"no image")
    encode = panoptic_items.encode_item

    def interrupted(item, **arguments):
        if item.name == "train_2":
            raise KeyboardInterrupt
        return encode(item, **arguments)

    monkeypatch.setattr(panoptic_items, "encode_item", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path, num_shards=4)
    finished = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("train-*")}
    assert len(finished) == 2
    monkeypatch.undo()
    report = convert(tmp_path, num_shards=4)
    assert (report["images"], report["shards_kept"]) == (3, 2)
    assert [skip["reason"] for skip in report["skipped"]] == ["image cannot be read"]
    assert report["statistics"]["segments/road"] == 3
    now = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in finished}
    assert now == finished
    assert list(official.read(tmp_path / "out", "train")) == ["train_1", "train_2", "train_3"]


def test_partners_are_found_by_name(tmp_path):
    annotation = {"file_name": "b.png", "segments_info": [{"id": 1, "category_id": 2, "area": 5}]}
    pairs = panoptic_items.pair(
        {"a": tmp_path / "a.jpg", "b": tmp_path / "b.jpg"},
        {"b": annotation, "c": annotation},
        panoptic_dir=tmp_path,
        panoptic_json=tmp_path / "p.json",
    )
    assert [(item.name, item.segments) for item in pairs.items] == [("b", ((1, 2, False, 5),))]
    assert [skip.image for skip in pairs.skipped] == [str(tmp_path / "a.jpg")]
    assert pairs.warnings == [
        f"1 annotations of {tmp_path}/p.json have no image, the first is 'c'."
    ]


@pytest.mark.parametrize("official, warned", [(None, False), (3, False), (4, True), (2, True)])
def test_number_of_images(tmp_path, official, warned):
    """Two images are written; the one without annotation counts too."""
    toy_coco.write(tmp_path, count=2)
    (source,) = coco.find_sources(str(tmp_path))
    content = json.loads(source.panoptic_json.read_text())
    pairs = panoptic_items.pair(
        {f"train_{index}": tmp_path / "images" / f"train_{index}.jpg" for index in range(3)},
        {f"train_{index}": entry for index, entry in enumerate(content["annotations"])},
        panoptic_dir=source.panoptic_dir,
        panoptic_json=source.panoptic_json,
    )
    pairs.warnings.append("From before.")
    info = coco.info_from_categories([content], [source], name="toy")
    report = panoptic_items.write_split(
        pairs,
        info,
        panoptic_items.class_table(info, info.original_ids),
        output_dir=str(tmp_path / "out"),
        split="train",
        num_shards=1,
        strict=False,
        official_images=official,
    )
    assert (report["images"], len(report["skipped"])) == (2, 1)
    sentence = f"The official train split has {official} images; there are 3."
    assert report["warnings"] == ["From before.", *([sentence] if warned else [])]


@pytest.mark.parametrize("name", ["../a.png", "/etc/passwd"])
def test_png_outside_the_folder_is_refused(name):
    annotation = {"file_name": name, "segments_info": []}
    folder, json_path = pathlib.Path("annotations/val"), pathlib.Path("annotations/val.json")
    expected = r"^`file_name` of an annotation in annotations/val\.json must be a path inside annot"
    with pytest.raises(ValueError, match=expected):
        panoptic_items.pair(
            {"a": pathlib.Path("a.jpg")},
            {"a": annotation},
            panoptic_dir=folder,
            panoptic_json=json_path,
        )
