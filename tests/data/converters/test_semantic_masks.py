from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kmax_tf.data import records, schema
from kmax_tf.data.converters import semantic_masks
from kmax_tf.data.dataset_info import load_dataset_info

CATEGORIES = [
    {"id": 7, "name": "straße", "color": [128, 64, 128]},
    {"id": 12, "name": "Ель", "color": [0, 90, 0]},
    {"id": 13, "name": "mur"},
    {"id": 200, "name": "空"},
    {"id": 300, "name": "hav"},
    {"id": 1000, "name": "कार"},
    {"id": 40000, "name": "øy"},
]
IDS = [category["id"] for category in CATEGORIES]
HEIGHT, WIDTH = 12, 16


def write_pair(root, name, seed=0, dtype=np.uint16, values=(*IDS, 255, 0), **folders):
    """An image and its mask; returns the mask."""
    generator = np.random.default_rng(seed)
    image = root / folders.get("images", "images") / f"{name}.jpg"
    mask = root / folders.get("masks", "masks") / f"{name}.png"
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(image)
    pixels = generator.choice(values, (HEIGHT, WIDTH)).astype(dtype)
    pixels.flat[: len(values)] = values
    Image.fromarray(pixels).save(mask)
    return pixels


def convert(root, categories=CATEGORIES, **changes):
    path = root / "classes.json"
    if not path.is_file():
        content = {"categories": categories, "ignore": 255}
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    arguments = {
        "images_dir": str(root / "images"),
        "masks_dir": str(root / "masks"),
        "classes": str(path),
        "output_dir": str(root / "out"),
        **changes,
    }
    return semantic_masks.convert_semantic_masks(**arguments)


def read(root, split="train"):
    """Name -> label map."""
    found = {}
    files = records.list_files([str(root / "out" / f"{split}-*")])
    for serialized in tf.data.TFRecordDataset(files):
        record = schema.parse_record(serialized, decode_label=True)
        assert schema.decode_image(record).shape == (HEIGHT, WIDTH, 3)
        found[record.file_name.numpy().decode()] = schema.decode_label(record).numpy()
    return found


def test_every_pixel_survives(tmp_path):
    masks = {f"bild_{i}": write_pair(tmp_path, f"bild_{i}", i) for i in range(3)}
    report = convert(tmp_path, num_shards=2)
    assert (report["images"], report["shards"], report["skipped"]) == (3, 2, [])
    assert report["statistics"] == {
        **{f"segments/{category['name']}": 3 for category in CATEGORIES},
        "dropped/pixel value 0 of no class": 3,  # 255 is declared to be void
    }
    info = load_dataset_info(str(tmp_path / "out" / "dataset_info.json"))
    assert info.original_ids == tuple(IDS)
    assert info.class_ids == (1, 2, 3, 4, 5, 6, 7)
    assert (info.num_classes, info.ignore_label) == (8, 0)
    assert info.names == tuple(category["name"] for category in CATEGORIES)
    assert info.stuff_ids == info.class_ids
    assert info.colors[0] == (128, 64, 128)
    maps = read(tmp_path)
    assert list(maps) == sorted(masks)
    for name, mask in masks.items():
        expected = np.zeros_like(mask, np.int32)
        for class_id, value in enumerate(IDS, start=1):
            expected[mask == value] = class_id * 256
        np.testing.assert_array_equal(maps[name], expected)


def test_a_class_of_value_zero_and_8_bits(tmp_path):
    mask = write_pair(tmp_path, "a", dtype=np.uint8, values=(0, 5, 9))
    convert(tmp_path, categories=[{"id": 0, "name": "ground"}, {"id": 9, "name": "tree"}])
    expected = 256 * ((mask == 0) + 2 * (mask == 9))
    np.testing.assert_array_equal(read(tmp_path)["a"], expected)


def test_a_palette_is_read_by_index(tmp_path):
    mask = write_pair(tmp_path, "a", dtype=np.uint8, values=(7, 12, 13))
    image = Image.fromarray(mask).convert("L")
    image.putpalette([(91 * i) % 256 for i in range(768)])
    image.save(tmp_path / "masks" / "a.png")
    convert(tmp_path)
    expected = 256 * ((mask == 7) + 2 * (mask == 12) + 3 * (mask == 13))
    np.testing.assert_array_equal(read(tmp_path)["a"], expected)


def test_pairs_in_sub_folders(tmp_path):
    write_pair(tmp_path, "north/1")
    write_pair(tmp_path, "north/2")
    write_pair(tmp_path, "south/3", masks="masks/flat")  # masks/flat/south/3.png
    write_pair(tmp_path, ".hidden/4")
    report = convert(tmp_path)
    assert report["images"] == 3
    assert sorted(read(tmp_path)) == ["1", "2", "3"]
    assert report["warnings"] == []


def test_equal_names_in_sub_folders(tmp_path):
    masks = {
        f"{f}_{n}": write_pair(tmp_path, f"{f}/{n}", 5 * f + n) for f in (1, 2) for n in (0, 1)
    }
    convert(tmp_path)
    maps = read(tmp_path)
    assert sorted(maps) == ["1_0", "1_1", "2_0", "2_1"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(maps[name] == 256, mask == 7)


def test_files_without_partner_are_listed(tmp_path):
    for name in ("a", "b", "c"):
        write_pair(tmp_path, name)
    (tmp_path / "masks" / "b.png").unlink()
    (tmp_path / "images" / "c.jpg").unlink()
    report = convert(tmp_path)
    assert report["images"] == 1
    (skipped,) = report["skipped"]
    assert skipped["reason"] == "image without mask"
    assert skipped["detail"].startswith(f"Image {tmp_path / 'images' / 'b.jpg'} has no PNG")
    (warning,) = report["warnings"]
    assert warning == f"1 masks have no image of their name: {tmp_path / 'masks' / 'c.png'}."
    with pytest.raises(ValueError, match=r"b\.jpg has no PNG of its name"):
        convert(tmp_path, strict=True)


def test_things_become_stuff_with_a_warning(tmp_path):
    write_pair(tmp_path, "a")
    things = [{**category, "isthing": int(category["id"] < 13)} for category in CATEGORIES]
    report = convert(tmp_path, categories=things)
    (warning,) = report["warnings"]
    assert "Things became stuff" in warning
    assert "straße, Ель." in warning
    info = load_dataset_info(str(tmp_path / "out" / "dataset_info.json"))
    assert info.thing_ids == ()
    assert (read(tmp_path)["a"] % 256 == 0).all()


def test_a_picture_instead_of_labels_is_not_listed_value_by_value(tmp_path):
    write_pair(tmp_path, "a", dtype=np.uint8, values=range(100))
    statistics = convert(tmp_path)["statistics"]
    assert statistics["dropped/more than 16 pixel values of no class"] == 1
    assert len(statistics) == 4  # and the three classes below 100


def test_splits_share_their_classes(tmp_path):
    write_pair(tmp_path, "a")
    convert(tmp_path)
    convert(tmp_path, split="val")
    np.testing.assert_array_equal(read(tmp_path)["a"], read(tmp_path, "val")["a"])
    assert convert(tmp_path)["shards_kept"] == 1
    (tmp_path / "classes.json").write_text('{"categories": [{"id": 7}]}')
    with pytest.raises(ValueError, match="describes other classes"):
        convert(tmp_path, split="test")


def test_masks_belong_to_the_upright_image(tmp_path):
    mask = write_pair(tmp_path, "a")
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((WIDTH, HEIGHT, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", exif=exif)
    (tmp_path / "images" / "a.jpg").write_bytes(buffer.getvalue())
    convert(tmp_path)
    np.testing.assert_array_equal(read(tmp_path)["a"] == 256, mask == 7)


@pytest.mark.parametrize(
    ("problem", "match"),
    [
        ("size", r"b\.png must have the size of its image .*b\.jpg, 12x16; it is 2x3"),
        ("colours", r"b\.png must have one channel .* mode RGB"),
        ("truncated", r"b\.png cannot be read"),
    ],
)
def test_unusable_masks_are_skipped_by_name(tmp_path, problem, match):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b", 1)
    path = tmp_path / "masks" / "b.png"
    if problem == "size":
        Image.new("L", (3, 2)).save(path)
    elif problem == "colours":
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)
    else:
        path.write_bytes(path.read_bytes()[:200])
    report = convert(tmp_path)
    assert report["images"] == 1
    assert [skip["image"] for skip in report["skipped"]] == [str(tmp_path / "images" / "b.jpg")]
    with pytest.raises(ValueError, match=match):
        convert(tmp_path, strict=True)


def test_one_clear_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"Class file .* does not exist"):
        convert(tmp_path, classes=str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match=r"`images_dir` .*images must be a folder"):
        convert(tmp_path)
    write_pair(tmp_path, "a")
    with pytest.raises(ValueError, match=r"`masks_dir` .*none must be a folder"):
        convert(tmp_path, masks_dir=str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"`masks_dir` .*empty must hold \.png files; found none"):
        convert(tmp_path, masks_dir=str(tmp_path / "empty"))
    write_pair(tmp_path, "other", images="x", masks="y")
    with pytest.raises(ValueError, match="none of its 1 PNGs has the name of one of the 1 images"):
        convert(tmp_path, masks_dir=str(tmp_path / "y"))
    (tmp_path / "images" / "a.png").write_bytes((tmp_path / "masks" / "a.png").read_bytes())
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png must differ"):
        convert(tmp_path)


def test_record_names_that_collide_are_refused(tmp_path):
    for name in ("a/1", "b/1", "a_1"):
        write_pair(tmp_path, name)
    with pytest.raises(ValueError, match="would both be named 'a_1'"):
        convert(tmp_path)
