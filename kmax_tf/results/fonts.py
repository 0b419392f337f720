"""The font of captions: the first one that has every letter of a text."""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from typing import List, Union

from PIL import ImageFont

Font = Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]

# Pillow looks for these in the folders of the system; the last ones have Chinese, Japanese, Korean.
_SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf",
)
# A code point that no font has: what it draws is the box for unknown letters.
_UNKNOWN = "\U0010ffff"


@functools.lru_cache(maxsize=1024)
def font_for(text: str, size: int) -> Font:
    """A font of `size` pixels for `text`.

    The one that comes with Pillow where it has every letter, then DejaVu Sans (Latin, Greek,
    Cyrillic, Hebrew, Arabic), then what the system has. Where no font has all letters, the one that
    lacks the fewest.
    """
    best = default = ImageFont.load_default(size=size)
    fewest = _count_unknown(default, text)
    for path in _candidates():
        if not fewest:
            break
        font = ImageFont.truetype(path, size)
        unknown = _count_unknown(font, text)
        if unknown < fewest:
            best, fewest = font, unknown
    return best


def _count_unknown(font: Font, text: str) -> int:
    if text.isascii():
        return 0
    box = bytes(font.getmask(_UNKNOWN))
    return sum(bytes(font.getmask(letter)) == box for letter in set(text) if not letter.isspace())


@functools.cache
def _candidates() -> List[str]:
    found: List[str] = []
    # Matplotlib, which tf-models-official installs, brings DejaVu Sans along.
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin:
        bundled = pathlib.Path(matplotlib.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        found += [str(bundled)] if bundled.exists() else []
    for name in _SYSTEM_FONTS:
        try:
            found.append(str(ImageFont.truetype(name, 12).path))
        except OSError:
            continue
    return found
