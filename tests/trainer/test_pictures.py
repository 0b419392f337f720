from __future__ import annotations

import numpy as np
from PIL import Image

from kmax_tf.data.dataset_info import load_dataset_info
from trainer import pictures
from trainer.eval_loop import Picture


def test_comparisons_are_drawn_and_written(tmp_path):
    info = load_dataset_info("shapes")
    sky = np.full([20, 30], 7 * 256, np.int32)
    source = Picture(12, np.zeros([20, 30, 3], np.uint8), sky, np.zeros_like(sky))
    ((name, drawn),) = pictures.draw_pictures([source], info)
    assert name == "000012"
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] > 3 * 30
    pictures.write_png(tmp_path / "pictures", name, drawn)
    with Image.open(tmp_path / "pictures" / "000012.png") as image:
        np.testing.assert_array_equal(np.asarray(image), drawn)


def test_sheet_holds_the_first_pictures_in_two_columns():
    drawn = [np.full([100, 400, 3], 10 * index, np.uint8) for index in range(10)]
    sheet = pictures.draw_sheet(drawn)
    # Four rows of two, each enlarged to 800 x 200; the last two of the ten are left out.
    assert sheet.shape[0] >= 4 * 200 and sheet.shape[1] >= 2 * 800
    assert {int(value) for value in np.unique(sheet)} == {255, *range(0, 80, 10)}
