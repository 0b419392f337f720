"""`available` names what configs can choose."""

from __future__ import annotations

import kmax_tf
from kmax_tf.data.dataset_info import load_dataset_info


def test_lists_encoders_models_and_data_sets():
    found = kmax_tf.available()
    assert sorted(found) == ["data_sets", "encoders", "models"]
    assert "resnet: RESNET_50" in found["encoders"]
    assert "kmax" in found["models"]
    for name in found["data_sets"]:
        assert load_dataset_info(name).class_ids
