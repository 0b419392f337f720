"""Damaged and foreign SavedModels are named in a sentence."""

from __future__ import annotations

import pathlib
import shutil

import pytest
import tensorflow as tf

from kmax_tf.saved_models import SIGNATURES, load_saved_model
from tests.serving.toy_export import export_toy


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> pathlib.Path:
    return export_toy(tmp_path_factory.mktemp("toy"))


def cut(path: pathlib.Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 0x40  # Of the first variable.
    path.write_bytes(content)


DATA = "variables/variables.data-00000-of-00001"
DAMAGES = {
    "no variables": ("variables", shutil.rmtree),
    "no index": ("variables/variables.index", pathlib.Path.unlink),
    "cut data": (DATA, cut),
    "changed data": (DATA, flip),
    "cut graph": ("saved_model.pb", cut),
    "empty graph": ("saved_model.pb", lambda path: path.write_bytes(b"")),
    "no graph": ("saved_model.pb", pathlib.Path.unlink),
}


def test_what_was_exported_is_loaded(exported):
    assert sorted(load_saved_model(exported).signatures) == sorted(SIGNATURES)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(exported, tmp_path, damage):
    folder = tmp_path / "1"
    shutil.copytree(exported, folder)
    name, break_it = DAMAGES[damage]
    break_it(folder / name)
    with pytest.raises(ValueError, match=f"SavedModel {folder} is incomplete or damaged"):
        load_saved_model(folder)


def test_another_model_is_named(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(ValueError, match="it lacks serving_default and image_tensor"):
        load_saved_model(tmp_path)
