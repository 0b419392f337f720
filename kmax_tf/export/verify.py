"""Compares a reloaded export with the model that it was made from."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow as tf

from kmax_tf.export.outputs import LOGITS, MAPS, RunFile, ServedNetwork
from kmax_tf.export.serving import Prepare, cut_padding, network_spec
from kmax_tf.finite import require_finite
from kmax_tf.results.restore import restore_map

Outputs = Dict[str, np.ndarray]

MODEL = "model"
ALONE = "alone"

# The reloaded graph is optimised (folded, fused), so scores may differ by rounding; an integer
# differs only where a pixel lies within rounding of a threshold.
ALLOWED_PIXEL_SHARE = 1e-4
ALLOWED_DIFFERENCE = 1e-3
# In half types fused operations round once where single ones round after each step.
ALLOWED_PIXEL_SHARE_OF_HALF = 1e-2
ALLOWED_DIFFERENCE_OF_HALF = 2e-2


class Comparison(NamedTuple):
    """How far one output of an export is from what it should be.

    Attributes:
      signature: name of the signature of a SavedModel, or the format of a file.
      batch: images in a request.
      output: name of the output.
      difference: for maps and integers the share of entries that differ, for `segment_score` the
        largest absolute difference, for logits that difference relative to the largest logit; of
        several requests the worst.
      allowed: bound on it.
      against: `model` = what the model computes, or `alone` = what the SavedModel itself returns
        for the same image in a request of its own.
    """

    signature: str
    batch: int
    output: str
    difference: float
    allowed: float
    against: str = MODEL

    @property
    def passed(self) -> bool:
        """Whether the difference is within its bound (NaN never is)."""
        return self.difference <= self.allowed


def verify_saved_model(
    saved_model: Any,
    *,
    network: ServedNetwork,
    prepare: Prepare,
    images: Sequence[np.ndarray],
    compute_dtype: str = "float32",
    stride: Optional[int] = None,
) -> List[Comparison]:
    """Runs both signatures, image by image and in a batch, against the model run directly.

    Without `stride` the rows of a batch are also compared with the same images alone. With it, what
    pads an image depends on the others of its request, so that they may differ.

    Args:
      saved_model: as `tf.saved_model.load` returns it.
      network: model and post-processing, as exported.
      prepare: evaluation preprocessing, as exported.
      images: uint8 [H, W, 3] each, of different sizes.
      compute_dtype: what the network computes in; bounds are wider for half types.
      stride: of `Serving`, as exported.

    Returns:
      One row per signature, batch size, output and what it is compared with.

    Raises:
      NonFinitePredictionError: the model itself predicts nothing that could be compared.
    """
    # Kept whole: a signature alone does not hold the variables of its SavedModel.
    signatures = saved_model.signatures
    from_bytes, from_tensor = signatures["serving_default"], signatures["image_tensor"]
    exact = compute_dtype == "float32"
    model = DirectModel(_as_compared(network, prepare, images[0], exact, stride), prepare, stride)
    # Images of one size: the last one, which is no multiple of anything, and its mirror image.
    pair = [images[-1], np.ascontiguousarray(images[-1][:, ::-1])]

    def serve_files(batch: Sequence[np.ndarray]) -> Outputs:
        files = [tf.io.encode_png(image).numpy() for image in batch]
        return _to_numpy(from_bytes(image_bytes=tf.constant(files)))

    def serve_tensor(batch: Sequence[np.ndarray]) -> Outputs:
        return _to_numpy(from_tensor(image=tf.constant(np.stack(batch))))

    rows: List[Comparison] = []
    for name, serve, predict, batch in (
        ("serving_default", serve_files, model, images),
        ("image_tensor", serve_tensor, lambda each: _at_image_size(model(each)), pair),
    ):
        rows += _verify_signature(
            name, serve, predict, batch, exact=exact, rows_depend_on_batch=stride is not None
        )
    return rows


def verify_network_file(
    file_format: str,
    run: RunFile,
    *,
    network: ServedNetwork,
    prepare: Prepare,
    images: Sequence[np.ndarray],
    half_weights: bool = False,
) -> List[Comparison]:
    """Runs a file of the network against the network itself.

    Args:
      file_format: named in the rows.
      run: the file, loaded by its own runtime.
      network: model and post-processing, as exported.
      prepare: evaluation preprocessing; a file has none.
      images: uint8 [H, W, 3] each.
      half_weights: whether the file stores them; then the bounds are wider.

    Returns:
      One row per output: of the image that differs most.

    Raises:
      NonFinitePredictionError: the network itself predicts nothing that could be compared.
    """
    requests = []
    for number, image in enumerate(images, start=1):
        prepared = prepare(tf.constant(image))[0][tf.newaxis]
        expected = _to_numpy(network(prepared))
        require_finite(expected["segment_score"], [f"{number} of the comparison"])
        received = run(prepared.numpy())
        requests.append(_compare(file_format, received, expected, exact=not half_weights, batch=1))
    return _worst(requests)


class DirectModel:
    """The model run directly, on images of any sizes: what `serving_default` has to return.

    Args:
      network: float32 [B, h, w, 3] -> outputs.
      prepare: preprocessing of one image.
      stride: see `Serving`.
    """

    def __init__(self, network: ServedNetwork, prepare: Prepare, stride: Optional[int]) -> None:
        self._network = network
        self._prepare = prepare
        self._stride = stride

    def __call__(self, images: Sequence[np.ndarray]) -> Outputs:
        prepared = [self._prepare(tf.constant(image)) for image in images]
        valid_size = tf.stack([tf.cast(size, tf.int32) for _, size in prepared])
        batch = tf.stack([image for image, _ in prepared])
        if self._stride is None:
            # One by one: a batch must not change what comes out.
            parts = [_to_numpy(self._network(batch[i : i + 1])) for i in range(len(images))]
            outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        else:
            outputs = _to_numpy(self._network(cut_padding(batch, valid_size, self._stride)))
        require_finite(
            outputs["segment_score"], [f"{i + 1} of the comparison" for i in range(len(images))]
        )
        sizes = np.asarray([image.shape[:2] for image in images], np.int32)
        return dict(outputs, valid_size=valid_size.numpy(), image_size=sizes)


def _as_compared(
    network: ServedNetwork, prepare: Prepare, image: np.ndarray, exact: bool, stride: Optional[int]
) -> ServedNetwork:
    """The network operation by operation; in half types as a graph, like the exported one.

    Fused operations round once where single ones round after each, and with so few digits a network
    can end up with other segments.
    """
    if exact:
        return network
    spec = network_spec(prepare(tf.constant(image))[0].shape[:2], stride)
    return tf.function(network, input_signature=[spec], autograph=False)


def _verify_signature(
    signature: str,
    serve: Callable[[Sequence[np.ndarray]], Outputs],
    predict: Callable[[Sequence[np.ndarray]], Outputs],
    images: Sequence[np.ndarray],
    *,
    exact: bool,
    rows_depend_on_batch: bool,
) -> List[Comparison]:
    expected = [predict([image]) for image in images]
    alone = [serve([image]) for image in images]
    together = serve(images)
    rows = _worst(
        [
            _compare(signature, one, other, exact=exact, batch=1)
            for one, other in zip(alone, expected)
        ]
    )
    batch = len(images)
    if rows_depend_on_batch:
        return rows + _compare(signature, together, predict(images), exact=exact, batch=batch)
    rows += _compare(signature, together, _stack(expected), exact=exact, batch=batch)
    same = _compare(signature, together, _stack(alone), exact=exact, batch=batch)
    return rows + [row._replace(against=ALONE) for row in same]


def _worst(requests: Sequence[Sequence[Comparison]]) -> List[Comparison]:
    """Of each output the row of the request that differs most; NaN is the worst."""
    return [
        max(rows, key=lambda row: (np.isnan(row.difference), row.difference))
        for rows in zip(*requests)
    ]


def format_comparisons(rows: Sequence[Comparison]) -> str:
    """The table that `kmax export` prints."""
    lines = [
        f"{'signature':<16} {'batch':>5}  {'against':<7}  {'output':<14} "
        f"{'difference':>10} {'allowed':>8}"
    ]
    for row in rows:
        mark = "" if row.passed else "  DIFFERS"
        lines.append(
            f"{row.signature:<16} {row.batch:>5}  {row.against:<7}  {row.output:<14} "
            f"{row.difference:>10.2g} {row.allowed:>8.2g}{mark}"
        )
    return "\n".join(lines)


def verification_images(input_size: Sequence[int]) -> List[np.ndarray]:
    """Three images (uint8 [H, W, 3]): of the network's size, wider and smaller, higher and larger.

    Smooth colours with flat rectangles, always the same ones.
    """
    height, width = input_size
    sizes = [(height, width), (max(height // 2, 8), width), (height + 7, max(width * 2 // 3, 8))]
    random = np.random.RandomState(0)
    return [_drawn_image(size, random) for size in sizes]


def _drawn_image(size: Sequence[int], random: np.random.RandomState) -> np.ndarray:
    height, width = size
    rows = np.linspace(0, 1, height)[:, None, None]
    columns = np.linspace(0, 1, width)[None, :, None]
    corners = random.uniform(0, 255, (3, 3))
    image = (
        corners[0] * (1 - rows) + corners[1] * rows * (1 - columns) + corners[2] * rows * columns
    )
    for _ in range(8):
        top, left = random.randint(height), random.randint(width)
        bottom, right = top + random.randint(height // 2) + 2, left + random.randint(width // 2) + 2
        image[top:bottom, left:right] = random.uniform(0, 255, 3)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def _at_image_size(outputs: Outputs) -> Outputs:
    restored = dict(outputs)
    for name in [each for each in MAPS if each in outputs]:
        restored[name] = np.stack(
            [
                restore_map(each, valid_size, image_size)
                for each, valid_size, image_size in zip(
                    outputs[name], outputs["valid_size"], outputs["image_size"]
                )
            ]
        )
    return restored


def _to_numpy(outputs: Dict[str, tf.Tensor]) -> Outputs:
    return {name: value.numpy() for name, value in outputs.items()}


def _stack(outputs: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}


def _compare(
    signature: str, received: Outputs, expected: Outputs, *, exact: bool, batch: int
) -> List[Comparison]:
    share = ALLOWED_PIXEL_SHARE if exact else ALLOWED_PIXEL_SHARE_OF_HALF
    near = ALLOWED_DIFFERENCE if exact else ALLOWED_DIFFERENCE_OF_HALF
    rows = []
    for name, wanted in expected.items():
        if name not in received or received[name].shape != wanted.shape:
            difference, allowed = float("nan"), 0.0
        elif name == "segment_score":
            difference, allowed = _largest_difference(received[name], wanted), near
        elif name in LOGITS:
            largest = max(float(np.max(np.abs(wanted), initial=0.0)), 1.0)
            difference, allowed = _largest_difference(received[name], wanted) / largest, near
        elif wanted.dtype == np.float32:
            # Where a pixel changes its slot, its score becomes another one altogether.
            far = ~(np.abs(received[name] - wanted) <= near)
            difference, allowed = float(np.mean(far)), share
        else:
            difference = float(np.mean(received[name] != wanted))
            allowed = share if name in MAPS else 0.0
        rows.append(Comparison(signature, batch, name, difference, allowed))
    return rows


def _largest_difference(received: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.max(np.abs(received - wanted), initial=0.0))
