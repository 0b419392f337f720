from __future__ import annotations

import json
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from kmax_tf.checkpoints.weight_files import is_weight_file, open_weight_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden" / "checkpoints"
KERNEL = "stages.0.1.pwconv1.weight"


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is no dependency of this project")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("convnext_tiny.safetensors", True),
        ("a/convnext_tiny_1k_224_ema.PTH", True),
        (pathlib.Path("model.pt"), True),
        ("pytorch_model.bin", True),
        ("ckpt-1000", False),
        ("pth", False),
        ("convnext.pth/ckpt-1", False),
    ],
)
def test_weight_files_are_told_by_their_names(path, expected):
    assert is_weight_file(path) is expected


def test_a_safetensors_file_of_torch_is_read():
    file = open_weight_file(GOLDEN / "convnext_authors.safetensors")
    assert file.path == str(GOLDEN / "convnext_authors.safetensors")
    assert file.shapes["downsample_layers.1.1.weight"] == (6, 4, 2, 2)
    assert file.shapes[KERNEL] == (16, 4)
    for name, shape in file.shapes.items():
        array = file.read(name)
        assert array.shape == shape
        assert array.dtype == np.float32
    # The same numbers, taken from the bytes of the file.
    raw = (GOLDEN / "convnext_authors.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    start, end = json.loads(raw[8 : 8 + size])[KERNEL]["data_offsets"]
    expected = np.frombuffer(raw[8 + size + start : 8 + size + end], "<f4").reshape(16, 4)
    np.testing.assert_array_equal(file.read(KERNEL), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_floats_of_all_widths_become_float32(tmp_path, dtype):
    values = np.array([[1.5, -2.0, 0.25], [4096.0, 0.0, -0.125]])
    name = {np.float64: "F64", np.float32: "F32", np.float16: "F16"}.get(dtype, "BF16")
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors_bytes(values.astype(dtype).tobytes(), name, [2, 3]))
    file = open_weight_file(path)
    assert file.shapes == {"a": (2, 3)}
    assert file.read("a").dtype == np.float32
    np.testing.assert_array_equal(file.read("a"), values)


def test_reading_keeps_one_array_at_a_time(tmp_path):
    import tracemalloc

    count, size = 20, 250_000
    path = tmp_path / "large.safetensors"
    save_file({f"a{i}": np.full(size, i, np.float32) for i in range(count)}, path)
    tracemalloc.start()
    try:
        file = open_weight_file(path)
        total = sum(float(file.read(f"a{i}")[0]) for i in range(count))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == sum(range(count))
    assert peak < 4 * size * 4


def test_what_is_no_weight_is_refused_when_asked_for(tmp_path):
    path = tmp_path / "steps.safetensors"
    save_file({"steps": np.arange(3), "a": np.zeros(2, np.float32)}, path)
    file = open_weight_file(path)
    assert file.shapes == {"steps": (3,), "a": (2,)}
    with pytest.raises(ValueError, match=r"steps in .* F64, F32, F16, BF16 .* it is I64\.$"):
        file.read("steps")
    with pytest.raises(ValueError, match=r"steps\.safetensors holds no array b\.$"):
        file.read("b")


def safetensors_bytes(data, dtype="F32", shape=(2,), offsets=None, name="a"):
    entry = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets or [0, len(data)]}
    header = json.dumps({name: entry}).encode()
    return struct.pack("<Q", len(header)) + header + data


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has only 0 bytes"),
        (b"\x10\x00", "has only 2 bytes"),
        (b"version https://git-lfs.github.com/spec/v1", "is not a safetensors file"),
        (b"PK\x03\x04" + bytes(100), "header of 67324752 bytes"),
        (struct.pack("<Q", 90 * 10**6) + b"{" + b" " * 100, "at most 10485760 are accepted"),
        (struct.pack("<Q", 4) + b'{"a"', "cannot be read"),
        (struct.pack("<Q", 3) + b"{\xff}", "cannot be read"),
        (safetensors_bytes(bytes(8))[:40], "cannot be read"),
        (safetensors_bytes(bytes(8))[:-3], "cannot be read"),
        (safetensors_bytes(bytes(8), shape=(2**40, 3)), "cannot be read"),
        (safetensors_bytes(bytes(8), shape=(2**59,), offsets=[0, 2**61]), "cannot be read"),
        (safetensors_bytes(bytes(8), shape=(-2,)), "cannot be read"),
        (safetensors_bytes(bytes(8), dtype="FLOAT"), "cannot be read"),
        (safetensors_bytes(bytes(8), name="a\n" * 1000, offsets=[4, 12]), "cannot be read"),
        (struct.pack("<Q", 2) + b"{}", "holds no arrays"),
    ],
)
def test_files_that_are_no_safetensors_or_damaged(tmp_path, content, reason):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        open_weight_file(path)
    assert_one_sentence(caught.value, path)


def assert_one_sentence(error, path):
    text = str(error)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")
    assert not text.endswith("..")
    assert len(text) < 400


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_is_not_there(tmp_path, suffix):
    path = tmp_path / f"missing{suffix}"
    with pytest.raises(ValueError, match=r"There is no weight file .*missing"):
        open_weight_file(path)
    path.mkdir()
    with pytest.raises(ValueError, match=r"There is no weight file .*missing"):
        open_weight_file(path)


def test_a_name_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match=r"one of \.safetensors, \.pth, \.pt, \.bin; got .*h5\.$"):
        open_weight_file(tmp_path / "weights.h5")


@pytest.mark.parametrize(
    ("package", "file", "advice"),
    [
        ("safetensors", "convnext_timm.safetensors", r"pip install -e \.\[convert\]"),
        ("torch", "convnext_authors.pth", r"install torch, or take a \.safetensors file"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, package, file, advice):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=advice) as caught:
        open_weight_file(GOLDEN / file)
    assert_one_sentence(caught.value, GOLDEN / file)


@pytest.mark.parametrize(("mapped", "expected"), [(True, {"mmap": True}), (False, {})])
def test_torch_is_never_asked_to_unpickle_objects(monkeypatch, mapped, expected):
    # Runs where torch is absent: a stand-in records how it was called.
    asked = {}

    def load(file, map_location, weights_only, **more):
        asked.update(map_location=map_location, weights_only=weights_only, **more)
        raise pickle.UnpicklingError("Weights only load failed.\nTry weights_only=False")

    def load_with_mmap(file, map_location, weights_only, mmap=None):
        load(file, map_location, weights_only, mmap=mmap)

    stand_in = types.SimpleNamespace(load=load_with_mmap if mapped else load)
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    path = GOLDEN / "convnext_authors.pth"
    with pytest.raises(ValueError, match="nothing else is unpickled") as caught:
        open_weight_file(path)
    assert_one_sentence(caught.value, path)
    assert asked == {"map_location": "cpu", "weights_only": True, **expected}


def test_a_torch_file_of_the_authors_is_read(torch):
    file = open_weight_file(GOLDEN / "convnext_authors.pth")
    same = open_weight_file(GOLDEN / "convnext_authors.safetensors")
    assert file.shapes == same.shapes
    for name in file.shapes:
        assert file.read(name).dtype == np.float32
        np.testing.assert_array_equal(file.read(name), same.read(name))
    with pytest.raises(ValueError, match=r"convnext_authors\.pth holds no array b\.$"):
        file.read("b")


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_are_unwrapped_in_both_torch_formats(torch, tmp_path, wrapper, zipped):
    values = [[1.5, -2.0], [0.25, 3.0]]
    state = {
        "half": torch.tensor(values, dtype=torch.float16),
        "brain": torch.tensor(values, dtype=torch.bfloat16).t(),
        "steps": torch.tensor(3),
        "note": "text",
    }
    content = state if wrapper is None else {wrapper: state, "epoch": 3}
    path = tmp_path / "model.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    file = open_weight_file(path)
    assert file.shapes == {"half": (2, 2), "brain": (2, 2), "steps": ()}
    np.testing.assert_array_equal(file.read("half"), np.float32(values))
    np.testing.assert_array_equal(file.read("brain"), np.float32(values).T)
    assert file.read("brain").dtype == np.float32
    with pytest.raises(ValueError, match=r"steps in .* it is torch\.int64"):
        file.read("steps")


def test_a_torch_file_that_would_run_code_is_refused(torch, tmp_path):
    class Trap:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "touched",))

    path = tmp_path / "model.pth"
    torch.save({"model": {"a": torch.zeros(2)}, "args": Trap()}, path)
    with pytest.raises(ValueError, match="nothing else is unpickled") as caught:
        open_weight_file(path)
    assert_one_sentence(caught.value, path)
    assert not (tmp_path / "touched").exists()


def test_torch_files_that_are_damaged_or_hold_no_state_dict(torch, tmp_path):
    good = (GOLDEN / "convnext_authors.pth").read_bytes()
    path = tmp_path / "bad.pth"
    for content in (b"", b"text", good[: len(good) // 2], good[:2000] + bytes(3000), bytes(100)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read") as caught:
            open_weight_file(path)
        assert_one_sentence(caught.value, path)
    for content, reason in (([1], "it holds a list"), ({"epoch": 3}, "holds no arrays")):
        torch.save(content, path)
        with pytest.raises(ValueError, match=reason) as caught:
            open_weight_file(path)
        assert_one_sentence(caught.value, path)


@pytest.mark.parametrize("count", [1, 40])
def test_a_zip_that_announces_more_than_it_holds_is_refused(tmp_path, count):
    """Compressed, as torch never is; with or without torch."""
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(count):
            archive.writestr(f"archive/data/{index}", bytes(100_000))
    expected = rf"bomb\.pth has {path.stat().st_size} bytes, but its entries announce {count}00000:"
    with pytest.raises(ValueError, match=expected):
        open_weight_file(path)


def test_a_zip_as_torch_writes_it_is_not_suspected(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="needs PyTorch"):
        open_weight_file(path)


def test_a_damaged_zip_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02")] = 0
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"The torch file .*model\.pth cannot be read: "):
        open_weight_file(path)
