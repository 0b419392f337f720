"""Files that appear at once or not at all."""

from __future__ import annotations

import pytest

from kmax_tf.results.atomic_files import write_atomically


def test_writes_into_a_new_folder_and_replaces(tmp_path) -> None:
    path = tmp_path / "new" / "file.txt"
    for text in ("first", "second"):
        write_atomically(path, lambda temporary, text=text: temporary.write_text(text))
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(temporary) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, fail)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]
