from __future__ import annotations

import pytest

from kmax_tf.build.config import load_config
from kmax_tf.finite import NonFinitePredictionError
from tests import tiny
from trainer.non_finite import naming_images_of


def test_files_are_added_to_the_ids(tmp_path):
    tiny.write_records(tmp_path, [(65, 65), (33, 65), (65, 49)])
    options = load_config(tiny.CONFIG, [f"KMAX_DATA={tmp_path}"]).eval_dataset_options
    with pytest.raises(NonFinitePredictionError) as error, naming_images_of(options):
        raise NonFinitePredictionError("Not finite; images: 0, 2.", [0, 2])
    assert "images: 0, 2. 0 = first image (" in str(error.value)
    assert "2 = 000002 (" in str(error.value)
    assert error.value.images == (0, 2)
    with pytest.raises(ZeroDivisionError), naming_images_of(options):
        raise ZeroDivisionError
