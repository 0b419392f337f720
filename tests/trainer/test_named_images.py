"""Names of results, and what is printed of them."""

from __future__ import annotations

import pathlib

import numpy as np

from kmax_tf.results.panoptic_result import PanopticResult, image_id_of
from kmax_tf.results.segments import find_segments
from tests.export.toy import INFO
from trainer.named_images import describe_file, describe_result, unique_names


def test_the_same_stem_is_numbered():
    paths = [pathlib.Path(path) for path in ("a/x.jpg", "b/x.png", "x.gif", "y.jpg", "x_2.jpg")]
    assert unique_names(paths) == list(zip(["x", "x_2", "x_3", "y", "x_2_2"], paths))


def test_no_two_results_have_one_image_id():
    paths = [pathlib.Path(path) for path in ("7.jpg", "0007.jpg", "0007_2.png", "seven.jpg")]
    names = [name for name, _ in unique_names(paths)]
    assert names == ["7", "0007_2", "0007_2_2", "seven"]
    assert len({image_id_of(name) for name in names}) == 4


def test_another_name_than_that_of_the_file_is_told():
    assert describe_file(pathlib.Path("b/x.jpg"), "x_2") == "b/x.jpg (as x_2)"
    assert describe_file(pathlib.Path("b/x.jpg"), "x") == "b/x.jpg"


def test_a_result_is_described_by_size_and_segments():
    panoptic = np.full([4, 6], 256, np.int32)
    segments = tuple(find_segments({"panoptic": panoptic}, INFO))
    image = np.zeros([4, 6, 3], np.uint8)
    result = PanopticResult("x", image, panoptic, panoptic // 256, segments, INFO)
    first, *rest = describe_result(result).splitlines()
    assert first == "6 x 4, 1 segments"
    assert "dark" in rest[-1]
