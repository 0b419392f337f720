from __future__ import annotations

import os
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmax_tf.safe_paths import MAX_NAME_BYTES, path_inside, require_file_name, require_local


@pytest.mark.parametrize("name", ["a.png", "train/a.png", "./a.png", "a..b/c...png", "ü 1.jpg"])
def test_paths_inside_are_joined(name):
    assert path_inside("data/images", name, what="`file_name`") == pathlib.Path("data/images", name)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../a.png",
        "a/../../b.png",
        "a/..",
        "..",
        "..\\a.png",
        "\\\\server\\a.png",
        "C:\\a.png",
        "",
        ".",
        "./",
        "a\0.png",
        "a/" * 3000,
    ],
)
def test_paths_that_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError, match=r"^`file_name` must be a path inside data, relative") as e:
        path_inside("data", name, what="`file_name`")
    assert len(str(e.value)) < 300


@given(st.text(alphabet=st.sampled_from("a./\\~: \0é\ud800"), max_size=12))
@settings(derandomize=True, max_examples=500, deadline=None)
def test_no_name_leads_out_of_the_folder(name):
    try:
        path = path_inside("/some/folder", name, what="it")
    except ValueError as error:
        assert str(error).startswith("it must be a path inside /some/folder")
        return
    assert os.path.normpath(path).startswith("/some/folder/")


def test_links_of_the_folder_itself_are_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").write_bytes(b"content")
    (tmp_path / "images").symlink_to(tmp_path / "disk")
    assert path_inside(tmp_path / "images", "a.png", what="it").read_bytes() == b"content"


@pytest.mark.parametrize("name", ["000000000139", "a b", "ä", "...", "x" * MAX_NAME_BYTES])
def test_file_names_are_kept(name):
    assert require_file_name(name, what="`name`") == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "../a", "a\\b", "a\0", "x" * (MAX_NAME_BYTES + 1)]
)
def test_what_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^`name` must be the name of a file without its folder"):
        require_file_name(name, what="`name`")


def test_only_paths_of_this_machine_are_local():
    for path in ("runs/a", "/mnt/gs/a", "a:b", "C:/a", ""):
        assert require_local(path, what="it") == path
    for path in ("gs://bucket/a", "s3://b", "hdfs://h:1/a"):
        with pytest.raises(ValueError, match=f"^it must be a path of this machine.*{path}"):
            require_local(path, what="it")
