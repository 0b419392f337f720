from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import tensorflow as tf

from evaluation.evaluator import Evaluator
from kmax_tf.data.dataset_info import load_dataset_info
from kmax_tf.finite import NonFinitePredictionError
from tests.trainer import toy
from trainer.eval_loop import EvalLoop
from trainer.progress import Progress
from trainer.watchdog import Watchdog
from trainer.workers import Workers

SIZE = 4
INFO = load_dataset_info("shapes")
SKY = 7 * 256


def _dataset(count, batch_size):
    """Images of which the first two thirds are sky, the rest grass; padded by a column of void."""

    def make(number):
        label = tf.where(number < 2 * count // 3, SKY, SKY + 256)
        panoptic = tf.pad(tf.fill([2 * SIZE, 2 * SIZE - 2], label), [[0, 0], [0, 2]])
        features = {"image": tf.fill([SIZE, SIZE, 3], tf.cast(number, tf.float32))}
        targets = {"valid_size": tf.constant([SIZE, SIZE - 1]), "image_id": number}
        return (
            features,
            targets,
            {
                "original_panoptic": panoptic,
                "original_size": tf.constant([2 * SIZE, 2 * SIZE - 2]),
            },
        )

    return tf.data.Dataset.range(count).map(make).batch(batch_size)


class _BadRecords:
    """Leaves out one more of some images each time it is asked to search."""

    def __init__(self, images=()):
        self.waiting = list(images)
        self.excluded = {}

    def search(self):
        if not self.waiting:
            return False
        self.excluded[self.waiting.pop(0)] = 0
        return True


def _evaluate(
    strategy,
    *,
    count,
    batch_size,
    steps=-1,
    watchdog=None,
    slow=lambda data: data,
    broken=(),
    bad_records=None,
):
    with strategy.scope():
        model = toy.ToyModel()
    process = toy.toy_post_processor(SIZE, SKY)
    finished = []
    bad_records = bad_records or _BadRecords()

    def make_dataset(excluded):
        def is_used(features, targets, evaluated):
            return tf.reduce_all([targets["image_id"] != image for image in excluded])

        def check(features, targets, evaluated):
            for image in set(broken) - set(excluded):
                whole = tf.debugging.Assert(targets["image_id"] != image, ["no image"])
                with tf.control_dependencies([whole]):
                    features = tf.nest.map_structure(tf.identity, features)
            return features, targets, evaluated

        images = _dataset(count, batch_size).unbatch()
        if excluded:
            images = images.filter(is_used)
        return slow(images.map(check).batch(batch_size))

    loop = EvalLoop(
        lambda images: process(model(images, training=False)),
        make_dataset=make_dataset,
        bad_records=bad_records,
        batch_size=batch_size,
        workers=Workers(strategy),
        make_evaluator=lambda: Evaluator(INFO, images_left_out=len(bad_records.excluded)),
        num_images=count,
        num_pictures=3,
        progress=Progress(total_steps=1, batch_size=1, line_interval=1, stream=io.StringIO()),
        watchdog=watchdog or Watchdog(600),
        finish=lambda *result: finished.append(result),
    )
    metrics = loop.evaluate(tf.constant(steps))
    return metrics, *finished[0]


def test_an_input_that_does_not_come_is_noticed(capfd):
    come, codes = threading.Event(), []

    def end(code):
        codes.append(code)
        come.set()

    def wait(number):
        if number == 1:
            come.wait()
        return number

    def wait_for_the_second(features, targets, evaluated):
        number = tf.numpy_function(wait, [targets["image_id"][0]], tf.int64)
        with tf.control_dependencies([number]):
            return tf.nest.map_structure(tf.identity, (features, targets, evaluated))

    _evaluate(
        tf.distribute.get_strategy(),
        count=3,
        batch_size=1,
        watchdog=Watchdog(0.5, end=end),
        slow=lambda data: data.map(wait_for_the_second),
    )
    assert codes == [1]
    assert "seconds evaluation has waited for the input" in capfd.readouterr().err


def test_an_evaluation_begins_again_without_bad_records():
    """Images 0 to 3 are sky and found; 0 and 3 cannot be read."""
    metrics, result, table, pictures = _evaluate(
        tf.distribute.get_strategy(),
        count=6,
        batch_size=1,
        broken=[0, 3],
        bad_records=_BadRecords([0, 3]),
    )
    row = {r["name"]: r for r in result["per_class"]}
    assert (row["sky"]["tp"], row["sky"]["fp"], row["grass"]["fn"]) == (2, 2, 2)
    assert metrics["eval/images_left_out"] == 2
    assert table.endswith("Images left out because of bad records: 2.")
    assert [p.image_id for p in pictures] == [1, 2, 4]


def test_an_error_that_no_record_explains_is_raised():
    with pytest.raises(tf.errors.InvalidArgumentError, match="no image"):
        _evaluate(tf.distribute.get_strategy(), count=2, batch_size=1, broken=[1])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_every_image_counts_once(batch_size):
    strategy = tf.distribute.get_strategy()
    metrics, result, table, pictures = _evaluate(strategy, count=6, batch_size=batch_size)
    row = {r["name"]: r for r in result["per_class"]}
    # Four images are sky and found, two are grass but called sky.
    assert (row["sky"]["tp"], row["sky"]["fp"], row["grass"]["fn"]) == (4, 2, 2)
    assert metrics["eval/pq"] == pytest.approx(result["pq"])
    assert "sky" in table
    # There are things in the data set, but none in these images.
    assert result["ap"] is None and "eval/ap" not in metrics
    assert all(isinstance(value, float) for value in metrics.values())
    assert [p.image_id for p in pictures] == [0, 1, 2]
    assert pictures[1].image.shape == (SIZE, SIZE - 1, 3)
    assert (pictures[1].image == 1).all()
    np.testing.assert_array_equal(pictures[1].ground_truth, np.full([SIZE, SIZE - 1], SKY))


def test_a_given_number_of_batches():
    _, result, _, _ = _evaluate(tf.distribute.get_strategy(), count=6, batch_size=2, steps=1)
    row = {r["name"]: r for r in result["per_class"]}
    assert (row["sky"]["tp"], row["grass"]["fn"]) == (2, 0)


def test_replicas_share_the_work(mirrored_strategy):
    _, result, _, pictures = _evaluate(mirrored_strategy, count=6, batch_size=4)
    row = {r["name"]: r for r in result["per_class"]}
    assert (row["sky"]["tp"], row["sky"]["fp"], row["grass"]["fn"]) == (4, 2, 2)
    assert [p.image_id for p in pictures] == [0, 1, 2]


def test_logits_that_are_not_finite_stop_it(monkeypatch):
    process = toy.toy_post_processor(SIZE, SKY)

    def faulty(size, value):
        return lambda output: process(output)._replace(
            segment_score=tf.constant([[0.5], [float("nan")]])
        )

    monkeypatch.setattr(toy, "toy_post_processor", faulty)
    with pytest.raises(NonFinitePredictionError, match=r"image: 1\.$"):
        _evaluate(tf.distribute.get_strategy(), count=2, batch_size=2)
