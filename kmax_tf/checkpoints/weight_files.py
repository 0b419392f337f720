"""Weight files of other frameworks: names, shapes and, one by one, arrays."""

from __future__ import annotations

import inspect
import os
import pickle
import struct
import zipfile
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple, Union

import numpy as np

SAFETENSORS_SUFFIX = ".safetensors"
TORCH_SUFFIXES = (".pth", ".pt", ".bin")

# The header of a model with a thousand arrays has about 100 kB; the format allows 100 MB, which
# would be parsed into gigabytes.
_MAX_HEADER_BYTES = 10 * 2**20
_MAX_REASON = 200
_FLOATS = ("F64", "F32", "F16", "BF16")
# Where the state dict lies in a file that holds more than that, first found first taken.
_WRAPPERS = ("model", "state_dict")


class WeightFile(NamedTuple):
    """A weight file that was opened.

    Attributes:
      path: of the file.
      shapes: name -> shape of each array, as in the file.
      read: name -> array, float32, shape `shapes[name]`; a ValueError if there is none of that
        name or it does not hold floats. Arrays are read when asked for, none is kept.
    """

    path: str
    shapes: Dict[str, Tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def is_weight_file(path: Union[str, os.PathLike]) -> bool:
    """Whether `path` is named like a safetensors or torch file; it need not exist."""
    return os.fspath(path).lower().endswith((SAFETENSORS_SUFFIX, *TORCH_SUFFIXES))


def open_weight_file(path: Union[str, os.PathLike]) -> WeightFile:
    """Opens a safetensors file or, where torch is installed, a torch file.

    A torch file may wrap its state dict, `{"model": state_dict}` or `{"state_dict": state_dict}`;
    what is not a tensor in it is left out. Nothing but tensors is ever unpickled.

    Args:
      path: local file, `.safetensors`, `.pth`, `.pt` or `.bin`.

    Raises:
      ValueError: no such file, another kind of file, a damaged one, or the package that reads it
        is not installed.
    """
    path = os.fspath(path)
    if not is_weight_file(path):
        accepted = ", ".join((SAFETENSORS_SUFFIX, *TORCH_SUFFIXES))
        raise ValueError(f"The name of a weight file must end in one of {accepted}; got {path}.")
    if not os.path.isfile(path):
        raise ValueError(f"There is no weight file {path} on this machine.")
    if path.lower().endswith(SAFETENSORS_SUFFIX):
        opened = _open_safetensors(path)
    else:
        opened = _open_torch(path)
    if not opened.shapes:
        raise ValueError(f"The weight file {path} holds no arrays.")
    return opened


def _open_safetensors(path: str) -> WeightFile:
    try:
        import ml_dtypes
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ValueError(
            f"Reading {path} needs the package safetensors: run `pip install -e .[convert]`."
        ) from None
    _check_header_size(path)
    try:
        file = safe_open(path, framework="numpy")
        # Slices know shape and dtype without reading data.
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        dtypes = {name: part.get_dtype() for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"The safetensors file {path} cannot be read, it may be damaged or cut off: "
            f"{_reason(error)}."
        ) from None

    def read(name: str) -> np.ndarray:
        _check_name(path, name, shapes)
        if dtypes[name] not in _FLOATS:
            raise _not_floats(path, name, dtypes[name])
        try:
            array = file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{name} in {path} cannot be read: {_reason(error)}.") from None
        if dtypes[name] == "BF16":
            array = array.view(ml_dtypes.bfloat16)
        return array.astype(np.float32, copy=False)

    return WeightFile(path, shapes, read)


def _check_header_size(path: str) -> None:
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ValueError(f"The weight file {path} cannot be read: {error.strerror}.") from None
    if len(start) < 8:
        raise ValueError(
            f"{path} is not a safetensors file, or cut off: it has only {len(start)} bytes."
        )
    (size,) = struct.unpack("<Q", start)
    if size > _MAX_HEADER_BYTES:
        raise ValueError(
            f"{path} is not a safetensors file: its first 8 bytes announce a header of {size} "
            f"bytes, and at most {_MAX_HEADER_BYTES} are accepted."
        )


def _open_torch(path: str) -> WeightFile:
    _check_zip(path)
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"Reading {path} needs PyTorch: install torch, or take a .safetensors file, as timm "
            "publishes for its models (`pip install -e .[convert]` reads those)."
        ) from None
    tensors = {
        name: value
        for name, value in _unwrap(_load_torch(torch, path), path).items()
        if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def read(name: str) -> np.ndarray:
        _check_name(path, name, shapes)
        tensor = tensors[name]
        if not tensor.is_floating_point() or tensor.layout != torch.strided:
            raise _not_floats(path, name, f"{tensor.dtype}, {tensor.layout}")
        return tensor.detach().to(torch.float32).numpy()

    return WeightFile(path, shapes, read)


def _check_zip(path: str) -> None:
    """Raises ValueError for a zip whose entries are larger than the file; torch compresses none."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ValueError(f"The torch file {path} cannot be read: {_reason(error)}.") from None
    size = os.path.getsize(path)
    if unpacked > size:
        raise ValueError(
            f"The torch file {path} has {size} bytes, but its entries announce {unpacked}: it is "
            "compressed, which torch never does, or made to be harmful."
        )


def _load_torch(torch: Any, path: str) -> object:
    # Mapping into memory is only offered by torch 2.1 and later, for the zip format of 1.6.
    mapped = {}
    if "mmap" in inspect.signature(torch.load).parameters and zipfile.is_zipfile(path):
        mapped["mmap"] = True
    try:
        return torch.load(path, map_location="cpu", weights_only=True, **mapped)
    except pickle.UnpicklingError:
        # Torch's own words recommend to unpickle everything.
        reason = "it is damaged or holds more than tensors, and nothing else is unpickled"
    except Exception as error:  # Damaged pickles raise anything.
        reason = _reason(error)
    raise ValueError(f"The torch file {path} cannot be read: {reason}.")


def _unwrap(content: object, path: str) -> Mapping:
    """The state dict in what a torch file holds."""
    if isinstance(content, Mapping):
        for key in _WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return content[key]
        return content
    raise ValueError(
        f"The torch file {path} must hold a state dict, by itself or as "
        f"{' or '.join(_WRAPPERS)}; it holds a {type(content).__name__}."
    )


def _reason(error: Exception) -> str:
    """What a package says, as the end of a sentence; names out of a damaged file can be long."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_MAX_REASON].rstrip(".")


def _check_name(path: str, name: str, shapes: Mapping[str, Tuple[int, ...]]) -> None:
    if name not in shapes:
        raise ValueError(f"The weight file {path} holds no array {name}.")


def _not_floats(path: str, name: str, dtype: str) -> ValueError:
    return ValueError(
        f"{name} in {path} must be of type {', '.join(_FLOATS)} to be a weight; it is {dtype}."
    )
