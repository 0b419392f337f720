"""What is refused before and after a request."""

from __future__ import annotations

import numpy as np
import pytest

from kmax_tf.serving_client.transport import (
    NEEDED,
    Fault,
    RequestError,
    check_address,
    check_outputs,
    check_path,
)


@pytest.mark.parametrize("address", ["localhost:8500", "10.0.0.1:80", "[::1]:8501", "tf-serving:1"])
def test_addresses(address):
    assert check_address(address) == address


@pytest.mark.parametrize("address", ["localhost", "http://x:8501", "x:port", "", "a b:1", "x:1/y"])
def test_no_addresses(address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        check_address(address)


@pytest.mark.parametrize("path", ["/serving", "/a/b-c/", "/%20"])
def test_paths(path):
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["serving", "/", "//x", "/a b", "/a?b", "https://x/y"])
def test_no_paths(path):
    with pytest.raises(ValueError, match="`--path` must be what an address has"):
        check_path(path)


def test_answers_have_all_outputs_and_a_row_per_file():
    outputs = {name: np.zeros((2, 3)) for name in NEEDED}
    assert check_outputs(outputs, 2) is outputs
    with pytest.raises(RequestError, match=r"`panoptic` of 3 images; received the shape \[2, 3\]"):
        check_outputs(outputs, 3)
    with pytest.raises(RequestError, match="`semantic` of 2 images; received none") as caught:
        check_outputs({k: v for k, v in outputs.items() if k != "semantic"}, 2)
    assert caught.value.fault is Fault.FINAL


def test_messages_are_one_line():
    assert str(RequestError("a\n  b", Fault.BUSY)) == "a b"
