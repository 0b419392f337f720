"""Fuzzes the config reader with atheris: `python -m tests.fuzz.fuzz_config -runs=1000000`.

Bytes become a text of tokens of real configs, read as a file of ours or of deeplab2, and one
override. Whatever comes, there is a config or a `ValueError` that names its source, in little time.
"""

from __future__ import annotations

import logging
import re
import sys

import atheris

with atheris.instrument_imports(include=["kmax_tf.build", "google.protobuf.text_format"]):
    from google.protobuf import text_format

    from kmax_tf.build.config import parse_config
    from kmax_tf.build.overrides import apply_override

from tests.fuzz.corpus import OLD_CONFIG, OWN_CONFIG
from tests.fuzz.run import fuzz

TOKENS = sorted(set(re.findall(r'"[^"]*"|[\w.]+|[{}:]', OWN_CONFIG + OLD_CONFIG)))
TOKENS += ["{", "}", "<", ">", "[", "]", ":", ",", '"', "'", "\\", "#", "\n", "nan", "-1", "1e999"]
FIELDS = [token for token in TOKENS if re.fullmatch("[a-z_]+", token)] + ["0", "1", "²"]


def text_of(data: atheris.FuzzedDataProvider) -> str:
    """A config changed in one place, a list of tokens, or any text."""
    kind = data.ConsumeIntInRange(0, 3)
    if kind == 0:
        return data.ConsumeUnicode(400)
    count = data.ConsumeIntInRange(0, 30)
    tokens = " ".join(data.PickValueInList(TOKENS) for _ in range(count))
    if kind == 1:
        return tokens + data.ConsumeUnicode(20)
    text = OWN_CONFIG if kind == 2 else OLD_CONFIG
    start = data.ConsumeIntInRange(0, len(text))
    stop = min(len(text), start + data.ConsumeIntInRange(0, 100))
    return text[:start] + tokens + data.ConsumeUnicode(20) + text[stop:]


def test_one_input(content: bytes) -> None:
    """One case."""
    data = atheris.FuzzedDataProvider(content)
    path = ".".join(data.PickValueInList(FIELDS) for _ in range(data.ConsumeIntInRange(1, 5)))
    value = data.ConsumeUnicode(20)
    try:
        config = parse_config(text_of(data), "given", {})
    except ValueError as error:
        if not str(error).startswith("given"):
            raise
        return
    text_format.Parse(text_format.MessageToString(config), type(config)())
    try:
        apply_override(config, path, value)
    except ValueError as error:
        if not str(error).startswith("`--set "):
            raise


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    fuzz(sys.argv, test_one_input)
