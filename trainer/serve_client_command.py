"""`kmax serve-client`: images to a TF Serving address, the pictures of `kmax predict` back."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING, Iterator, List, Sequence, Tuple

from trainer.named_images import describe_file, describe_result, unique_names
from trainer.user_errors import FAULT, INTERRUPTED, USER_ERROR

if TYPE_CHECKING:
    from kmax_tf.results.coco_panoptic import CocoPanopticWriter
    from kmax_tf.serving_client.client import ServingClient
    from kmax_tf.serving_client.image_request import ImageRequest
    from kmax_tf.serving_client.transport import Transport
    from kmax_tf.structures import DatasetInfo

PREDICTIONS_JSON = "panoptic.json"
_LABELS = pathlib.Path("assets", "labels.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `kmax serve-client`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER")
    parser.add_argument("--output_dir", required=True, help="gets pictures and panoptic.json")
    parser.add_argument(
        "--address", required=True, metavar="HOST:PORT", help="gRPC 8500, with --rest 8501"
    )
    parser.add_argument("--model_name", required=True, help="under which the model is served")
    parser.add_argument(
        "--labels",
        required=True,
        help="labels.json of the model, or the folder that `kmax export` wrote",
    )
    parser.add_argument("--rest", action="store_true", help="REST instead of gRPC")
    version = parser.add_mutually_exclusive_group()
    version.add_argument("--version", type=int, help="of the model (default: the newest)")
    version.add_argument(
        "--version_label", metavar="LABEL", help="of the version in the server's config: stable"
    )
    parser.add_argument(
        "--batch_size", type=int, default=1, metavar="N", help="images in a request (default: 1)"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=4,
        metavar="N",
        help="requests under way at the same time (default: 4)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="until a request is given up (default: 60)",
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=3,
        metavar="N",
        help="how often a failed request is repeated (default: 3)",
    )

    _add_connection_arguments(parser)


def _add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--path",
        default="",
        metavar="/PATH",
        help="before /v1/models, where --rest goes to a proxy that serves several models",
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="sent with every request (gRPC: as metadata), such as a token; may be repeated",
    )
    parser.add_argument("--tls", action="store_true", help="encrypt; each flag below implies it")
    parser.add_argument(
        "--tls_authority",
        metavar="PEM",
        help="certificates that may have signed the server's (default: the usual ones)",
    )
    parser.add_argument("--tls_certificate", metavar="PEM", help="of the client, if asked for")
    parser.add_argument("--tls_key", metavar="PEM", help="of that certificate, no password")


def run(arguments: argparse.Namespace) -> int:
    """Sends all images; returns 2 when one of them could not be read, 1 when the server failed.

    Raises:
      ValueError: an image, the labels or a flag is at fault.
    """
    from kmax_tf.data.dataset_info import load_dataset_info
    from kmax_tf.data.image_files import find_images
    from kmax_tf.results.coco_panoptic import CocoPanopticWriter
    from kmax_tf.serving_client.client import ServingClient

    folder = pathlib.Path(arguments.output_dir)
    if folder.resolve() in [pathlib.Path(path).resolve() for path in arguments.images]:
        raise ValueError(
            f"`--output_dir` {folder} must be another folder than that of the images: the pictures "
            "would be images of the next run."
        )
    named = unique_names(find_images(arguments.images))
    info = load_dataset_info(str(_find_labels(arguments.labels)))
    transport = _connect(arguments)
    client = ServingClient(
        transport,
        batch_size=arguments.batch_size,
        concurrency=arguments.concurrency,
        retries=arguments.retries,
    )
    try:
        with CocoPanopticWriter(folder, info, json_path=folder / PREDICTIONS_JSON) as writer:
            return _send_all(named, client, info, writer)
    finally:
        transport.close()


def _send_all(
    named: Sequence[Tuple[str, pathlib.Path]],
    client: ServingClient,
    info: DatasetInfo,
    writer: CocoPanopticWriter,
) -> int:
    """Sends and writes; what fails is named, and the others go on."""
    from kmax_tf.finite import NonFinitePredictionError
    from kmax_tf.serving_client.image_request import make_result
    from kmax_tf.serving_client.transport import RequestError

    codes: List[int] = []
    sent: List[Tuple[str, ImageRequest]] = []
    done = 0

    def contents() -> Iterator[bytes]:
        for name, request in _readable(named, codes):
            sent.append((name, request))
            yield request.content

    try:
        for answer in client.ask(contents()):
            name, request = sent.pop(0)
            try:
                if isinstance(answer, RequestError):
                    raise answer
                result = make_result(request, answer, info)
            except (RequestError, ValueError, NonFinitePredictionError) as error:
                codes.append(FAULT)
                print(f"kmax: {request.path}: {error}", file=sys.stderr, flush=True)
                continue
            result.write(writer, name=name, image_file=request.path.name)
            done += 1
            file = describe_file(request.path, name)
            print(f"[{done + len(codes)}/{len(named)}] {file}", flush=True)
            print(f"{describe_result(result)}\n", flush=True)
    except KeyboardInterrupt:
        print(f"Interrupted after {done} of {len(named)} images.")
        return INTERRUPTED
    print(f"{done} of {len(named)} images answered; results are in {writer.folder}.")
    return min(codes, default=0)


def _readable(
    named: Sequence[Tuple[str, pathlib.Path]], codes: List[int]
) -> Iterator[Tuple[str, ImageRequest]]:
    """Name and request of each image that can be read; the others are named."""
    from kmax_tf.serving_client.image_request import make_request

    for name, path in named:
        try:
            request = make_request(path)
        except ValueError as error:
            codes.append(USER_ERROR)
            print(f"kmax: {error}", file=sys.stderr, flush=True)
            continue
        yield name, request


def _connect(arguments: argparse.Namespace) -> Transport:
    from kmax_tf.serving_client.security import Tls, parse_header
    from kmax_tf.serving_client.transport import check_address, check_path

    if arguments.timeout <= 0:
        raise ValueError(f"`--timeout` must be above 0; received {arguments.timeout}.")
    address = check_address(arguments.address)
    if arguments.path and not arguments.rest:
        raise ValueError(f"`--path` needs `--rest`, gRPC has none; received {arguments.path}.")
    tls = Tls(arguments.tls_authority, arguments.tls_certificate, arguments.tls_key)
    options = {
        "model_name": arguments.model_name,
        "version": arguments.version,
        "timeout": arguments.timeout,
        "label": arguments.version_label,
        "tls": tls if arguments.tls or any(tls) else None,
        "headers": [parse_header(text) for text in arguments.header],
    }
    if arguments.rest:
        from kmax_tf.serving_client.rest_transport import RestTransport

        path = check_path(arguments.path) if arguments.path else ""
        return RestTransport(address, path=path, **options)
    from kmax_tf.serving_client.grpc_transport import GrpcTransport

    return GrpcTransport(address, **options)


def _find_labels(given: str) -> pathlib.Path:
    """`labels.json`, in a version folder or in the newest of a folder of versions."""
    path = pathlib.Path(given)
    if path.is_dir():
        versions = sorted(
            (p for p in path.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)
        )
        for folder in [path, *reversed(versions)]:
            if (folder / _LABELS).exists():
                return folder / _LABELS
    if not path.is_file():
        raise ValueError(
            f"`--labels` must be a labels.json or a folder that `kmax export` wrote; received "
            f"{given}."
        )
    return path
