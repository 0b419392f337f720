"""Certificates and headers that cannot work are named before anything is sent."""

from __future__ import annotations

import pytest

from kmax_tf.serving_client.security import Tls, parse_header
from tests.serving_client.conftest import make_certificate


def test_good_files_make_a_context(certificates):
    context = Tls(certificates["server"].certificate, *certificates["client"]).context()
    assert [each["subject"] for each in context.get_ca_certs()] == [((("commonName", "server"),),)]
    assert Tls().context().check_hostname


def test_bad_files_are_named(certificates, tmp_path):
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    client, stranger = certificates["client"], certificates["stranger"]
    locked = make_certificate(tmp_path, "locked", password="secret")
    for tls, message in (
        (Tls("nowhere.pem"), "`--tls_authority` must be a PEM .* nowhere.pem"),
        (Tls(str(text)), "`--tls_authority` must be a PEM .*text.pem"),
        (Tls(None, client.certificate), "belong together; received .*client.pem and none"),
        (Tls(None, None, client.key), "belong together; received none and .*client.key"),
        (Tls(None, client.certificate, stranger.key), "must be PEM files that belong together"),
        (Tls(None, "nowhere.pem", client.key), "received nowhere.pem"),
        (Tls(None, *locked), "without password"),
    ):
        with pytest.raises(ValueError, match=message):
            tls.context()


def test_headers():
    assert parse_header("Authorization: Bearer a:b") == ("Authorization", "Bearer a:b")
    assert parse_header("x-key:1") == ("x-key", "1")


@pytest.mark.parametrize("text", ["secret", ":secret", "a b:secret", "key-bin:secret", "a\nb:c"])
def test_no_headers(text):
    with pytest.raises(ValueError, match="`--header` must be NAME:VALUE") as caught:
        parse_header(text)
    assert text == "secret" or "secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", " ", "a\nb", "\u00fc"])
def test_no_values(value):
    with pytest.raises(ValueError, match=r"printable ASCII.*that of key"):
        parse_header(f"key:{value}")
