"""`kmax serve-client` against a server on the loopback: the same files as `kmax predict`."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from tests.export.toy import toy_image
from tests.serving.servers import Access, Runner, grpc_server, rest_server
from tests.serving.toy_export import export_toy
from trainer import cli


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    return export_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index, size in enumerate([(20, 31), (33, 65), (50, 30), (9, 9), (70, 20)]):
        encoded = tf.io.encode_jpeg(toy_image(*size, index)).numpy()
        (folder / f"{index}.jpg").write_bytes(encoded)
    return folder


def send(address, saved_model, out, *arguments):
    flags = [f"--address={address}", "--model_name=toy", f"--labels={saved_model.parent}"]
    return cli.main(["serve-client", *flags, f"--output_dir={out}", *map(str, arguments)])


@pytest.mark.parametrize("rest", [False, True])
def test_the_same_files_as_predict(rest, saved_model, images, tmp_path, capsys):
    server = rest_server if rest else grpc_server
    run = Runner(saved_model)
    with server("toy", run) as address:
        flags = ["--rest"] if rest else []
        flags += ["--batch_size=2", "--concurrency=2"]
        assert send(address, saved_model, tmp_path / "sent", images, *flags) == 0
    assert sorted(run.batches) == [1, 2, 2]
    assert "5 of 5 images answered" in capsys.readouterr().out
    predict = [
        f"--saved_model={saved_model}",
        f"--output_dir={tmp_path / 'predicted'}",
        str(images),
    ]
    assert cli.main(["predict", *predict]) == 0
    expected = sorted(path.name for path in (tmp_path / "predicted").iterdir())
    assert len(expected) == 11
    assert sorted(path.name for path in (tmp_path / "sent").iterdir()) == expected
    for name in expected:
        same = (tmp_path / "sent" / name).read_bytes() == (
            tmp_path / "predicted" / name
        ).read_bytes()
        assert same, name


def test_a_label_a_path_and_a_token(saved_model, images, tmp_path):
    access = Access(headers={"Authorization": "Bearer x"}, path="/serving")
    with rest_server("toy", Runner(saved_model), access) as address:
        flags = ["--rest", "--path=/serving", "--version_label=stable", "--retries=0"]
        flags += ["--header=Authorization: Bearer x", images / "0.jpg"]
        assert send(address, saved_model, tmp_path, *flags) == 0
        assert send(address, saved_model, tmp_path, *flags[:3], images / "0.jpg") == 1


def test_broken_images_are_named_and_the_others_answered(saved_model, images, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes((images / "0.jpg").read_bytes()[:200])
    with grpc_server("toy", Runner(saved_model)) as address:
        given = [images / "0.jpg", tmp_path / "broken.jpg", images / "1.jpg"]
        assert send(address, saved_model, tmp_path / "out", *given, "--batch_size=3") == 2
    captured = capsys.readouterr()
    assert "broken.jpg is damaged or incomplete" in captured.err
    assert "2 of 3 images answered" in captured.out
    names = [
        row["id"] for row in json.loads((tmp_path / "out" / "panoptic.json").read_text())["images"]
    ]
    assert names == [0, 1]


def test_a_server_that_refuses_one_image_costs_only_that(saved_model, images, tmp_path, capsys):
    """The client could read it; the server, say an older one, cannot."""
    run = Runner(saved_model)
    refused = (images / "2.jpg").read_bytes()

    def picky(files):
        if refused in files:
            raise tf.errors.InvalidArgumentError(None, None, "no such colours here")
        return run(files)

    with grpc_server("toy", picky) as address:
        flags = [images, "--batch_size=5", "--retries=0"]
        assert send(address, saved_model, tmp_path / "out", *flags) == 1
    captured = capsys.readouterr()
    assert "2.jpg: INVALID_ARGUMENT: no such colours here" in captured.err
    assert "4 of 5 images answered" in captured.out


def test_no_server_is_one_sentence_per_image(saved_model, images, tmp_path, capsys):
    flags = [images / "0.jpg", "--retries=0"]
    assert send("127.0.0.1:1", saved_model, tmp_path / "out", *flags) == 1
    assert "0.jpg: UNAVAILABLE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--address=nowhere", "`--address` must be HOST:PORT"),
        ("--labels=nothing", "`--labels` must be a labels.json or a folder"),
        ("--timeout=0", "`--timeout` must be above 0"),
        ("--batch_size=0", "`batch_size` must be at least 1"),
        ("--path=/serving", "`--path` needs `--rest`"),
        ("--header=token", "`--header` must be NAME:VALUE"),
        ("--tls_authority=nowhere.pem", "`--tls_authority` must be a PEM file"),
        ("--tls_key=nowhere.pem", "`--tls_certificate` and `--tls_key` belong together"),
        ("nowhere.jpg", "Image nowhere.jpg does not exist"),
    ],
)
def test_wrong_flags_are_one_sentence(flag, message, saved_model, images, tmp_path, capsys):
    assert send("127.0.0.1:1", saved_model, tmp_path / "out", images, flag) == 2
    assert message in capsys.readouterr().err
