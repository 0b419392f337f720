from __future__ import annotations

import pytest

from kmax_tf.bounded_files import FileTooLargeError
from kmax_tf.json_files import JsonError, parse_json, read_json


def test_json_with_and_without_a_mark_is_read(tmp_path):
    path = tmp_path / "a.json"
    for start in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(start + '{"a": [1, "é"]}'.encode())
        assert read_json(path, 100) == {"a": [1, "é"]}
    with pytest.raises(FileTooLargeError, match="10 bytes"):
        read_json(path, 10)


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(bracket):
    with pytest.raises(JsonError, match=r"^it is nested too deeply$"):
        parse_json(bracket * 200_000)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1} x', b"nul"])
def test_what_is_no_json_is_refused(content):
    with pytest.raises(JsonError, match=r"^it is not valid JSON: "):
        parse_json(content)
