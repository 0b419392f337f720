"""The predictor on images of all kinds, from a checkpoint and from a SavedModel."""

from __future__ import annotations

import concurrent.futures
import io
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kmax_tf
from kmax_tf.build.config import load_config
from kmax_tf.build.inference import Inference, build_inference
from kmax_tf.export.export import ExportOptions, export_model
from kmax_tf.results.coco_panoptic import read_ids
from kmax_tf.results.restore import restore_map
from kmax_tf.structures import PanopticPrediction
from tests import tiny
from tests.export.toy import INFO, SIZE, ToyNetwork, prepare, toy_image


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder of the versions of a toy SavedModel."""
    folder = tmp_path_factory.mktemp("models")
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    for version in (2, 10):
        export_model(
            inference,
            ExportOptions("toy"),
            export_dir=folder,
            version=version,
            images=[toy_image(33, 65)],
        )
    return folder


@pytest.fixture(scope="module")
def predictor(exported) -> kmax_tf.Predictor:
    return kmax_tf.Predictor(saved_model=exported)


def test_one_image_of_every_kind(predictor, tmp_path):
    image = toy_image(20, 40, 1)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    (tmp_path / "street.png").write_bytes(file.getvalue())
    expected = 1 + (image[..., 0] > 85) + (image[..., 0] > 170)
    for source in (image, Image.fromarray(image), file.getvalue(), tmp_path / "street.png"):
        result = predictor(source)
        np.testing.assert_array_equal(result.semantic, expected)
        np.testing.assert_array_equal(result.panoptic, expected * 256 + (expected == 3))
        np.testing.assert_array_equal(result.image, image)
    assert result.name == "street"
    bright = next(segment for segment in result.segments if segment.name == "bright")
    assert bright.segment_id == 3 * 256 + 1
    assert bright.area == (expected == 3).sum()
    assert bright.score == pytest.approx(0.7)


def test_exif_rotation_is_applied(predictor):
    image = toy_image(16, 32, 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", exif=exif)
    turned = predictor(np.ascontiguousarray(np.rot90(image, -1)))
    np.testing.assert_array_equal(predictor(file.getvalue()).panoptic, turned.panoptic)


def test_a_list_gives_a_list(predictor):
    for kind in (list, tuple):
        results = predictor(kind([toy_image(10, 20), toy_image(30, 15)]))
        assert [result.panoptic.shape for result in results] == [(10, 20), (30, 15)]


def test_a_stream_of_one_source(predictor, tmp_path):
    image = Image.fromarray(toy_image(20, 40))
    image.save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    array = np.asarray(image)
    for source in (tmp_path, str(tmp_path), tmp_path / "a.png", content, array, image):
        shapes = [result.panoptic.shape for _, result in predictor.stream(source)]
        assert shapes == [(20, 40)]
    shapes = [result.panoptic.shape for _, result in predictor.stream(each for each in [array] * 3)]
    assert shapes == [(20, 40)] * 3


def test_files_of_a_result(predictor, tmp_path):
    image = toy_image(24, 40, 1)
    result = predictor(image)
    result.save(tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["image_overlay.png", "image_panoptic.json", "image_panoptic.png"]
    content = json.loads((tmp_path / "new" / "image_panoptic.json").read_text())
    ids = read_ids(tmp_path / "new" / "image_panoptic.png")
    assert ids.shape == (24, 40)
    segments = content["annotations"][0]["segments_info"]
    assert {s["id"]: s["area"] for s in segments} == {
        int(i): int((ids == i).sum()) for i in np.unique(ids)
    }
    assert {s["category_id"] for s in segments} <= {10, 20, 30}
    with Image.open(tmp_path / "new" / "image_overlay.png") as overlay:
        assert overlay.width / overlay.height == pytest.approx(40 / 24)


@pytest.fixture(scope="module")
def tiny_predictor(tmp_path_factory) -> kmax_tf.Predictor:
    """Of an untrained model that finds segments all the same."""
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    prefix = tiny.write_checkpoint(tmp_path_factory.mktemp("tiny"))
    return kmax_tf.Predictor(config, checkpoint=prefix)


def noise(*size: int) -> np.ndarray:
    """uint8 [*size, 3]."""
    return np.random.RandomState(sum(size)).randint(0, 255, (*size, 3)).astype(np.uint8)


def test_a_real_model_gives_what_its_parts_give(tmp_path):
    config = load_config(tiny.CONFIG, tiny.WITHOUT_THRESHOLDS)
    prefix = tiny.write_checkpoint(tmp_path)
    model = kmax_tf.build_model(config)
    kmax_tf.load_checkpoint(model, prefix)
    image = noise(50, 90)
    result = kmax_tf.Predictor(config, model=model)(image)
    parts = build_inference(config, checkpoint=prefix)
    prepared, valid_size = parts.prepare(tf.constant(image))
    prediction = parts.network(prepared[tf.newaxis])
    for name in ("panoptic", "semantic"):
        label_map = getattr(prediction, name)[0].numpy()
        expected = restore_map(label_map, valid_size.numpy(), (50, 90))
        np.testing.assert_array_equal(getattr(result, name), expected)
    assert len(result.segments) > 1


def test_a_batch_gives_what_single_images_give(predictor):
    images = [
        toy_image(20, 40, 1),
        toy_image(33, 65, 2),
        toy_image(10, 12, 3),
        toy_image(50, 70, 4),
    ]
    for batch_size in (1, 3, 4):
        batched = predictor(images, batch_size=batch_size)
        for image, result in zip(images, batched):
            alone = predictor(image)
            np.testing.assert_array_equal(result.panoptic, alone.panoptic)
            np.testing.assert_array_equal(result.semantic, alone.semantic)
            np.testing.assert_array_equal(result.image, image)
            assert result.segments == alone.segments


def test_a_real_model_gives_the_same_in_a_batch(tiny_predictor):
    images = [noise(50, 90), noise(65, 65)]
    for result, image in zip(tiny_predictor(images, batch_size=2), images):
        alone = tiny_predictor(image)
        # Sums of another order round otherwise.
        assert (result.panoptic != alone.panoptic).mean() < 1e-3
        assert len(alone.segments) > 1


def test_a_stream_of_folders_files_and_unreadable_images(predictor, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("b", "a"):
        Image.fromarray(toy_image(20, 40)).save(tmp_path / "photos" / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    sources = [tmp_path / "photos", tmp_path / "c.png", toy_image(8, 8)]
    refused = []
    found = list(
        predictor.stream(
            sources,
            batch_size=3,
            on_unreadable=lambda source, error: refused.append((source, error)),
        )
    )
    assert [result.name for _, result in found] == ["a", "b", "image"]
    assert found[0][0] == tmp_path / "photos" / "a.png"
    assert [source for source, _ in refused] == [tmp_path / "c.png"]
    with pytest.raises(ValueError, match=r"c\.png"):
        list(predictor.stream(sources))


def test_several_threads_get_their_own_results(exported):
    # A fresh one, so that the threads meet in the first call too.
    predictor = kmax_tf.Predictor(saved_model=exported)
    images = [toy_image(10 + seed, 40, seed) for seed in range(24)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=6) as pool:
        together = list(pool.map(predictor, images))
    for image, result in zip(images, together):
        expected = 1 + (image[..., 0] > 85) + (image[..., 0] > 170)
        np.testing.assert_array_equal(result.semantic, expected)
        np.testing.assert_array_equal(result.image, image)


def test_threads_share_a_model_built_here(tiny_predictor):
    images = [noise(40 + i, 60) for i in range(8)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        together = list(pool.map(tiny_predictor, images))
    for image, result in zip(images, together):
        np.testing.assert_array_equal(result.panoptic, tiny_predictor(image).panoptic)
    assert len({result.panoptic.tobytes() for result in together}) == len(images)


class Renumbering:
    """A network that reads the class in red and the instance in green, and renumbers instances.

    The numbers of every image are others, as those of a real network are.
    """

    def __call__(self, images: tf.Tensor) -> PanopticPrediction:
        semantic, instance = tf.cast(images[..., 0], tf.int32), tf.cast(images[..., 1], tf.int32)
        shift = tf.reduce_sum(instance, axis=[1, 2], keepdims=True)
        # 251 is prime: no two instances get one number.
        renumbered = 1 + (instance * 7 + shift) % 251
        panoptic = semantic * 256 + tf.where(semantic == 3, renumbered, 0)
        score = tf.ones([tf.shape(images)[0], 1])
        rows = tf.cast(score, tf.int32)
        maps = (tf.ones_like(semantic), tf.ones(tf.shape(semantic)), tf.ones(tf.shape(semantic)))
        return PanopticPrediction(panoptic, semantic, *maps, rows * 2, rows * 512, score)


def test_large_images_in_tiles(monkeypatch):
    image = np.full((70, 150, 3), (2, 0, 0), np.uint8)
    things = [
        (slice(4, 60), slice(10, 20)),
        (slice(30, 36), slice(25, 140)),
        (slice(50, 62), slice(30, 90)),
    ]
    for number, place in enumerate(things, start=1):
        image[place] = (3, number, 0)
    inference = Inference(Renumbering(), prepare, SIZE, INFO)
    monkeypatch.setattr("kmax_tf.build.inference.build_inference", lambda *_, **__: inference)
    predictor = kmax_tf.Predictor(load_config(tiny.CONFIG), model=object())
    for options in ({"tile": SIZE}, {"tile": 33, "tile_overlap": 16, "batch_size": 5}):
        result = predictor(image, **options)
        np.testing.assert_array_equal(result.semantic, image[..., 0])
        assert len(result.segments) == 4
        for segment in result.segments:
            seen = image[result.mask(segment)]
            assert len(np.unique(seen, axis=0)) == 1
            assert segment.area == (image == seen[0]).all(axis=-1).sum()
        assert {s.segment_id for s in result.segments} == {512, 769, 770, 771}
    # An image that is no larger than a tile is predicted as without tiles.
    small = image[:33, :33]
    np.testing.assert_array_equal(predictor(small, tile=33).panoptic, predictor(small).panoptic)


def test_a_video_frame_by_frame(predictor, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 32))
    for seed in range(5):
        writer.write(toy_image(32, 64, seed))
    writer.release()
    results = list(predictor.video(path, batch_size=2))
    assert [result.name for result in results] == [f"clip_{i:06d}" for i in range(1, 6)]
    for seed, result in enumerate(results):
        expected = 1 + (toy_image(32, 64, seed)[..., 0] // 86)
        # MJPG blurs the borders of the blocks a little.
        assert (result.semantic == expected).mean() > 0.9


def test_xla_follows_the_config(monkeypatch):
    asked = []

    def batches(inference, *, jit_compile):
        asked.append(jit_compile)

    monkeypatch.setattr("kmax_tf.predictor.batches_of_model", batches)
    inference = Inference(ToyNetwork(), prepare, SIZE, INFO)
    monkeypatch.setattr("kmax_tf.build.inference.build_inference", lambda *_, **__: inference)
    for changes in (["trainer_options.use_xla=true"], []):
        kmax_tf.Predictor(load_config(tiny.CONFIG, changes), model=object())
    assert asked == [True, None]


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1; received 0"),
        ({"tile": 8}, "`tile` must be a height and a width of at least 16 pixels; received 8"),
        ({"tile": (64, 64, 3)}, r"`tile` must be .* received \(64, 64, 3\)"),
        ({"tile_overlap": 8}, "`tile_overlap` needs `tile`"),
        ({"tile": 32, "tile_overlap": 32}, r"`tile_overlap` must be in 1\.\.31"),
    ],
)
def test_options_that_do_not_fit_are_named(predictor, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        predictor(toy_image(8, 8), **options)


def test_version_folders(exported):
    assert kmax_tf.Predictor(saved_model=exported / "2").info == INFO
    with pytest.raises(ValueError, match="`saved_model` must be a folder that `kmax export` wrote"):
        kmax_tf.Predictor(saved_model=exported / "3")


def test_contradicting_arguments_are_named():
    with pytest.raises(ValueError, match=r"one of `checkpoint`, `saved_model` and `model`.*none"):
        kmax_tf.Predictor()
    with pytest.raises(ValueError, match="received checkpoint and saved_model"):
        kmax_tf.Predictor(checkpoint="a", saved_model="b")
    with pytest.raises(ValueError, match="needs a `config` beside `checkpoint`"):
        kmax_tf.Predictor(checkpoint="a")
    with pytest.raises(ValueError, match="There is no checkpoint none"):
        kmax_tf.Predictor(load_config(tiny.CONFIG), checkpoint="none")
