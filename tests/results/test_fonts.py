from __future__ import annotations

import pytest

from kmax_tf.results.fonts import _UNKNOWN, font_for


@pytest.mark.parametrize("text", ["tree", "Straße", "Pješak", "Дерево", "δέντρο", "עץ"])
def test_every_letter_is_drawn(text):
    font = font_for(text, 20)
    box = bytes(font.getmask(_UNKNOWN))
    assert all(bytes(font.getmask(letter)) != box for letter in text)


def test_a_letter_that_no_font_has_does_not_stop_a_picture():
    assert font_for("a" + _UNKNOWN, 20).getlength("a") > 0


def test_size_is_in_pixels():
    assert font_for("tree", 40).getlength("tree") == pytest.approx(
        2 * font_for("tree", 20).getlength("tree"), rel=0.1
    )
