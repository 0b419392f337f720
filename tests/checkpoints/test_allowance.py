from __future__ import annotations

import pytest

from kmax_tf.checkpoints.allowance import Allowance
from tests.checkpoints import toy


def _allowance(*entries, names=()):
    return Allowance(entries, paths=toy.KMAX, names=names)


def test_heads_reset_what_depends_on_the_classes():
    allowance = _allowance("heads")
    assert {path for path in toy.KMAX if allowance.resets(path)} == toy.HEADS
    assert {path for path in toy.KMAX if allowance.excuses(path)} == toy.HEADS


def test_the_last_semantic_layer_has_deeplab2s_name():
    allowance = _allowance("semantic_last_layer")
    assert {path for path in toy.KMAX if allowance.resets(path)} == {
        "semantic_head/projection/kernel"
    }


def test_prefixes_end_at_slashes():
    allowance = _allowance("pixel_encoder/stem", "mask_head/")
    excused = {path for path in toy.KMAX if allowance.excuses(path)}
    assert excused == {
        "pixel_encoder/stem/kernel",
        "pixel_encoder/stem/norm/gamma",
        "mask_head/class_projection/bias",
        "mask_head/mask_norm/gamma",
    }
    assert not any(allowance.resets(path) for path in toy.KMAX)


def test_nothing_is_excused_unasked():
    assert not any(map(_allowance().excuses, toy.KMAX))


def test_parts_of_the_file_count_too():
    allowance = _allowance("extra", names=["model/extra/a" + toy.SUFFIX])
    assert allowance.excuses("model/extra/a" + toy.SUFFIX)


@pytest.mark.parametrize("entry", ["head", "pixel", "", "class_projection"])
def test_unknown_entries_are_named(entry):
    with pytest.raises(ValueError, match=rf"accepts `heads`, .*`mask_head`, .* received '{entry}'"):
        _allowance(entry)
