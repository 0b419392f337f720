"""Every kind of model out of the door: export, verification, a runtime without Python, a client."""

from __future__ import annotations

import concurrent.futures
import io
import os
import pathlib
import random
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kmax_tf.build.config import load_config
from kmax_tf.build.model import build_model
from kmax_tf.serving_client.client import ServingClient
from kmax_tf.serving_client.grpc_transport import GrpcTransport
from kmax_tf.serving_client.transport import Fault, RequestError
from tests import tiny
from tests.serving import second_runtime
from tests.serving.servers import Runner, grpc_server
from trainer import cli

MODELS = (
    "shapes/kmax_demo",
    "coco/kmax_r50",
    "coco/kmax_convnext_tiny",
    "coco/kmax_axial_r50",
    "coco/max_deeplab_s",
)
CROP = "--input_size=129,129"


def export(config: str, folder: pathlib.Path, *flags: str) -> pathlib.Path:
    """A model with random weights as version folder."""
    tf.keras.utils.set_random_seed(1)
    model = build_model(load_config(config))
    checkpoint = tf.train.Checkpoint(model=model).write(str(folder / "ckpt-1"))
    given = [f"--config_file={config}", f"--checkpoint={checkpoint}", f"--export_dir={folder}/m"]
    assert cli.main(["export", *given, "--no_latency", *flags]) == 0
    return folder / "m" / "1"


def sure_of_anything(config: str) -> list:
    """Flags without which random weights find no segment."""
    method = load_config(config).evaluator_options.post_processing.WhichOneof("method")
    path = "evaluator_options.post_processing"
    overrides = list(tiny.WITHOUT_THRESHOLDS)
    if method == "pixel_wise":
        overrides = [each for each in overrides if "mask_wise" not in each]
        overrides.append(f"{path}.pixel_wise.transformer_class_confidence_threshold=0")
    overrides.append(f"{path}.pixel_confidence_threshold=0.0")
    return [flag for each in overrides for flag in ("--set", each)]


def write_jpegs(folder: pathlib.Path) -> list:
    """Three images of different shapes."""
    folder.mkdir()
    noise = np.random.RandomState(0)
    paths = []
    for index, (height, width) in enumerate([(90, 129), (200, 133), (129, 129)]):
        blocks = noise.randint(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
        pixels = np.kron(blocks, np.ones((16, 16, 1), np.uint8))[:height, :width]
        paths.append(folder / f"{index}.jpg")
        paths[-1].write_bytes(tf.io.encode_jpeg(pixels, quality=95).numpy())
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_out_of_the_door(name, tmp_path, repository_root):
    """Export (which verifies both signatures), the C program and the client agree."""
    config = str(repository_root / "configs" / f"{name}.textproto")
    flags = [CROP, "--outputs=panoptic,semantic,scores", *sure_of_anything(config)]
    saved_model = export(config, tmp_path, *flags)
    images = write_jpegs(tmp_path / "images")
    run = Runner(saved_model)
    expected = run([path.read_bytes() for path in images])
    assert np.ptp(expected["instance_score"]) > 0  # Random weights may know one class only.

    if second_runtime.compiler() is not None:
        program = second_runtime.build(tmp_path, second_runtime.tensorflow_folder())
        finished = second_runtime.run(program, saved_model, images, tmp_path / "raw")
        assert finished.code == 0, finished.errors
        assert finished.lines[-1] == "replayed image_tensor"
        for output, value in expected.items():
            if value.dtype == np.int32:
                different = np.mean(finished.outputs[output] != value)
                assert different < 1e-4, output  # Threads may add up in another order.
            else:
                different = np.mean(np.abs(finished.outputs[output] - value) > 1e-3)
                assert different < 1e-4, output

    model_name = pathlib.Path(name).name
    with grpc_server(model_name, run) as address:
        flags = [f"--address={address}", f"--model_name={model_name}", f"--labels={saved_model}"]
        flags += [f"--output_dir={tmp_path / 'sent'}", "--batch_size=3", str(tmp_path / "images")]
        assert cli.main(["serve-client", *flags]) == 0
    assert len(list((tmp_path / "sent").glob("*_panoptic.png"))) == len(images)


def mixed_files() -> dict:
    """Name -> (file, whether a server can answer it)."""
    noise = np.random.RandomState(0)
    pixels = noise.randint(0, 256, (60, 80, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    frames = [Image.fromarray(255 - pixels)]

    def encode(picture: Image.Image, form: str, **options) -> bytes:
        buffer = io.BytesIO()
        picture.save(buffer, form, **options)
        return buffer.getvalue()

    gray = Image.fromarray(pixels[..., 0])
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return {
        "jpeg": (encode(image, "JPEG"), True),
        "progressive": (encode(image, "JPEG", progressive=True), True),
        "png": (encode(image, "PNG"), True),
        "gray": (encode(gray, "JPEG"), True),
        "deep": (encode(deep, "PNG"), True),
        "palette": (encode(image.convert("P"), "PNG"), True),
        "transparent": (encode(image.convert("RGBA"), "PNG"), True),
        "cmyk": (encode(image.convert("CMYK"), "JPEG"), True),
        "animated_png": (encode(image, "PNG", save_all=True, append_images=frames), True),
        "large": (encode(image.resize((1500, 900)), "JPEG"), True),
        "one_pixel": (encode(image.crop((0, 0, 1, 1)), "PNG"), True),
        "one_row": (encode(image.crop((0, 0, 80, 1)), "PNG"), True),
        "empty": (b"", False),
        "text": (b"no image at all", False),
        "cut": (encode(image, "PNG")[:300], False),
        "cut_jpeg": (encode(image, "JPEG")[:200], False),
        "gif": (encode(image, "GIF", save_all=True, append_images=frames), False),
        "huge": (encode(Image.new("1", (20000, 20000)), "PNG"), False),
    }


def resident_megabytes() -> float:
    """Memory of this process that is in use."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
def test_a_thousand_mixed_requests_of_eight_clients(tmp_path, capsys):
    """Each gets its answer or its fault; none is lost, and memory stays level."""
    overrides = [flag for each in tiny.WITHOUT_THRESHOLDS for flag in ("--set", each)]
    run = Runner(export(tiny.CONFIG, tmp_path, *overrides), merge_for=0.005)
    files = mixed_files()
    expected = {name: run([file]) for name, (file, good) in files.items() if good}
    lost, memory = [], {}

    def client(number: int, address: str, requests: int) -> int:
        transport = GrpcTransport(address, model_name="tiny", version=None, timeout=60.0)
        order = random.Random(number)
        # Few are broken: a merged batch that holds one of those fails as a whole.
        good = [name for name, (_, answerable) in files.items() if answerable]
        names = [
            order.choice(good if order.random() < 0.9 else list(files)) for _ in range(requests)
        ]
        asked = ServingClient(
            transport,
            batch_size=2,
            concurrency=2,
            retries=12,
            wait=lambda seconds: time.sleep(seconds / 20),  # The model is small, too.
        )
        answers = list(asked.ask(files[name][0] for name in names))
        transport.close()
        for name, answer in zip(names, answers):
            if isinstance(answer, RequestError):
                if files[name][1] or answer.fault is not Fault.CONTENT:
                    lost.append((name, str(answer)))
            elif name not in expected:
                lost.append((name, "answered"))
            else:
                for output in ("panoptic", "segment_id", "image_size"):
                    if np.mean(answer[output] != expected[name][output][0]) > 1e-3:
                        lost.append((name, output))
        return len(answers)

    with grpc_server("tiny", run) as address, concurrent.futures.ThreadPoolExecutor(8) as pool:
        for requests in (25, 25, 50, 25):  # 1,000 in all; the first part warms up.
            done = pool.map(lambda number: client(number, address, requests), range(8))  # noqa: B023
            assert sum(done) == 8 * requests
            memory[len(memory)] = resident_megabytes()
    assert not lost, lost[:5]
    with capsys.disabled():
        print(f"\nmemory after each part, MB: {[round(value) for value in memory.values()]}")
        print(f"batches that the server ran: {len(run.batches)}, largest {max(run.batches)}")
    assert memory[3] < memory[1] + 40
