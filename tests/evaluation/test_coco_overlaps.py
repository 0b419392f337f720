"""Counting pairs of segment ids of PNG files."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from evaluation.coco_overlaps import count_pairs, measure_all, measure_files, read_segment_ids
from kmax_tf.results.coco_panoptic import write_ids
from tests.image_bombs import HUGE, LARGE, png_bomb


@pytest.mark.parametrize("block", [1, 3])
def test_counts_equal_those_of_all_pixels(block: int) -> None:
    rng = np.random.default_rng(block)
    values = np.array([0, 1, 255, 256, 2**24 - 1, 2**16], np.uint32)
    truth, guess = (rng.choice(values, (5, 7)).repeat(block, 1) for _ in range(2))
    counts = count_pairs(truth, guess)
    pairs = np.stack([truth.ravel(), guess.ravel()], axis=1)
    expected, pixels = np.unique(pairs, axis=0, return_counts=True)
    np.testing.assert_array_equal(np.stack(counts[:2], axis=1), expected)
    np.testing.assert_array_equal(counts.pixels, pixels)


def test_one_pixel() -> None:
    counts = count_pairs(np.array([[7]], np.uint32), np.array([[0]], np.uint32))
    assert [part.tolist() for part in counts] == [[7], [0], [1]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_reads_ids(mode: str, tmp_path) -> None:
    ids = np.random.default_rng(0).integers(0, 2**24, (3, 5))
    path = tmp_path / "ids.png"
    write_ids(path, ids)
    with Image.open(path) as image:
        image.convert(mode).save(path)
    np.testing.assert_array_equal(read_segment_ids(str(path)) & 0xFFFFFF, ids)


def test_transparency_makes_no_difference(tmp_path) -> None:
    ids = np.random.default_rng(0).choice([0, 70000], (4, 6))
    write_ids(tmp_path / "plain.png", ids)
    with Image.open(tmp_path / "plain.png") as image:
        image.putalpha(Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6)))
        image.save(tmp_path / "alpha.png")
    (counts,) = measure_files([(str(tmp_path / "plain.png"), str(tmp_path / "alpha.png"))])
    assert counts.true_ids.tolist() == counts.predicted_ids.tolist() == [0, 70000]
    assert counts.pixels.tolist() == [np.sum(ids == 0), np.sum(ids > 0)]


def test_errors(tmp_path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"must be RGB; received mode L in .*grey.png"):
        read_segment_ids(str(path))
    with pytest.raises(ValueError, match=r"none.png cannot be read"):
        read_segment_ids(str(tmp_path / "none.png"))
    whole = tmp_path / "whole.png"
    write_ids(whole, np.random.default_rng(0).integers(0, 2**24, (30, 50)))
    for size in (10, 40, 2000):
        broken = tmp_path / f"{size}.png"
        broken.write_bytes(whole.read_bytes()[:size])
        with pytest.raises(ValueError, match=rf"{size}.png (cannot be read|is damaged)"):
            read_segment_ids(str(broken))
    content = bytearray(whole.read_bytes())
    content[30] ^= 255  # the checksum of the header
    whole.write_bytes(content)
    with pytest.raises(ValueError, match=r"whole.png (cannot be read|is damaged)"):
        read_segment_ids(str(whole))
    with pytest.raises(ValueError, match=r"`processes` must be at least 1; received 0"):
        list(measure_all([], processes=0))


def _pairs(folder: pathlib.Path, number: int) -> list:
    for index in range(number):
        write_ids(folder / f"{index}.png", np.full((2, 3), index))
    return [(str(folder / f"{i}.png"),) * 2 for i in range(number)]


def test_the_pool_keeps_the_order_and_names_the_first_fault(tmp_path) -> None:
    files = _pairs(tmp_path, 50)
    counts = list(measure_all(files, processes=2))
    assert [int(part.true_ids[0]) for part in counts] == list(range(50))
    assert all(part.pixels.tolist() == [6] for part in counts)
    files[40] = files[45] = (files[40][0], "missing.png")
    with pytest.raises(ValueError, match=r"missing.png cannot be read") as caught:
        list(measure_all(files, processes=2))
    assert caught.value.__cause__ is None
    with pytest.raises(ValueError, match=r"2.png has \(2, 3\), .*1.png has"):
        write_ids(tmp_path / "1.png", np.ones((3, 3), int))
        measure_files([(str(tmp_path / "1.png"), str(tmp_path / "2.png"))])


def test_an_interrupt_ends_the_pool(tmp_path) -> None:
    files = _pairs(tmp_path, 40) * 50
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        for _ in measure_all(files * 50, processes=2):
            pass
    timer.join()


def test_a_process_of_the_pool_does_not_load_tensorflow() -> None:
    code = "import sys, evaluation.coco_overlaps; sys.exit('tensorflow' in sys.modules)"
    root = pathlib.Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("size", [HUGE, LARGE])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, size) -> None:
    (tmp_path / "bomb.png").write_bytes(png_bomb(*size))
    with pytest.raises(ValueError, match=r"Panoptic PNG .*bomb\.png cannot be read: it has"):
        read_segment_ids(str(tmp_path / "bomb.png"))
