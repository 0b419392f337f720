"""Which bytes are sent, and how an answer becomes a result."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from kmax_tf.finite import NonFinitePredictionError
from kmax_tf.predictor import Predictor
from kmax_tf.serving_client.grpc_transport import GrpcTransport
from kmax_tf.serving_client.image_request import make_request, make_result
from tests.export.toy import INFO, toy_image

PIXELS = toy_image(20, 31)


def write(path, image=None, **options):
    (Image.fromarray(PIXELS) if image is None else image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_ordinary_files_are_sent_byte_for_byte(tmp_path, name):
    path = write(tmp_path / name)
    request = make_request(path)
    assert request.content == path.read_bytes()


def test_a_rotated_image_is_sent_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write(tmp_path / "a.jpg", exif=exif, quality=100)
    request = make_request(path)
    assert request.content != path.read_bytes()
    sent = np.asarray(Image.open(io.BytesIO(request.content)))
    assert sent.shape == (31, 20, 3)
    np.testing.assert_array_equal(sent, request.image)
    stored = np.asarray(Image.open(path)).astype(int)
    assert np.abs(sent.astype(int) - np.rot90(stored, 3)).max() <= 2


KINDS = {
    "gray.png": lambda: Image.fromarray(PIXELS[..., 0]),
    "gray.jpg": lambda: Image.fromarray(PIXELS[..., 0]),
    "16bit.png": lambda: Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257),
    "cmyk.jpg": lambda: Image.fromarray(PIXELS).convert("CMYK"),
    "palette.png": lambda: Image.fromarray(PIXELS).convert("P"),
    "transparent.png": lambda: Image.fromarray(PIXELS).convert("RGBA"),
    "one_pixel.png": lambda: Image.fromarray(PIXELS[:1, :1]),
    "flat.bmp": lambda: Image.fromarray(PIXELS),
    "tiff.tif": lambda: Image.fromarray(PIXELS),
    "web.webp": lambda: Image.fromarray(PIXELS),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_what_the_predictor_gives(tmp_path, name, saved_model, grpc_address):
    path = write(tmp_path / name, KINDS[name]())
    check_same(path, saved_model, grpc_address)


@pytest.mark.parametrize("kind", ["gif", "png"])
def test_of_an_animation_the_first_frame_counts(tmp_path, kind, saved_model, grpc_address):
    path = tmp_path / f"a.{kind}"
    second = Image.fromarray(255 - PIXELS)
    write(path, save_all=True, append_images=[second])
    check_same(path, saved_model, grpc_address)


def check_same(path, saved_model, grpc_address):
    request = make_request(path)
    transport = GrpcTransport(grpc_address, model_name="toy", version=None, timeout=30.0)
    outputs = {name: value[0] for name, value in transport.send([request.content]).items()}
    result = make_result(request, outputs, INFO)
    expected = Predictor(saved_model=saved_model)(path)
    assert result.name == expected.name
    assert result.segments == expected.segments
    for name in ("image", "panoptic", "semantic"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 cut"])
def test_a_broken_file_is_named_before_it_is_sent(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Image .*a\.jpg"):
        make_request(path)


def test_a_huge_image_is_named_before_it_is_sent(tmp_path):
    path = write(tmp_path / "a.png", Image.new("1", (20000, 20000)))
    with pytest.raises(ValueError, match=r"Image .*a\.png is too large"):
        make_request(path)


def answer(**changes):
    return {
        "panoptic": np.full([33, 65], 256, np.int32),
        "semantic": np.ones([33, 65], np.int32),
        "segment_id": np.array([256]),
        "segment_score": np.array([0.5]),
        "valid_size": np.array([20, 31]),
        "image_size": np.array([20, 31]),
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": np.array([31, 20])}, "has 20x31 pixels; the server answered for 31x20"),
        ({"panoptic": np.full([33, 65], 7 * 256)}, "`--labels` knows the classes 1 to 3; .* 7"),
        ({"valid_size": np.array([40, 31])}, "`valid_size` must lie in"),
    ],
)
def test_an_answer_that_does_not_fit_is_named(tmp_path, changes, message):
    request = make_request(write(tmp_path / "a.png"))
    assert make_result(request, answer(), INFO).segments[0].name == "dark"
    with pytest.raises(ValueError, match=message):
        make_result(request, answer(**changes), INFO)


def test_nan_is_no_result(tmp_path):
    request = make_request(write(tmp_path / "a.png"))
    with pytest.raises(NonFinitePredictionError, match=r"a\.png"):
        make_result(request, answer(segment_score=np.array([np.nan])), INFO)
