from __future__ import annotations

import collections
import socket

import pytest
import tensorflow as tf

from kmax_tf.build import data
from kmax_tf.data import data_service, records
from protos import data_pb2
from tests.data import toy_records


@pytest.fixture
def service():
    """The address of a dispatcher with two workers."""
    made = tf.data.experimental.service
    dispatcher = made.DispatchServer(made.DispatcherConfig(port=0))
    address = dispatcher.target.partition("://")[2]
    workers = [made.WorkerServer(made.WorkerConfig(dispatcher_address=address)) for _ in range(2)]
    yield dispatcher.target
    for server in [*workers, dispatcher]:
        server._stop()


def closed_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def test_every_image_once_per_epoch(service, tmp_path, monkeypatch):
    """The whole pipeline, with everything switched on, through two workers."""
    epochs, total, done = 3, 5, 2
    monkeypatch.setattr(records, "_END", epochs * total)
    options = data_pb2.DatasetOptions(
        dataset_info="shapes", batch_size=1, max_thing_id=5, data_service=service
    )
    options.file_pattern.append(toy_records.write_files(tmp_path, [3, 2]))
    options.crop_size.extend([33, 33])
    options.augmentations.min_scale_factor = 0.5
    options.augmentations.panoptic_copy_paste.panoptic_copy_paste_scale = 0.5
    options.augmentations.autoaugment_policy_name = (
        data_pb2.AugmentationOptions.SIMPLE_CLASSIFICATION_POLICY
    )
    dataset = data.build_dataset(options, training=True, seed=3)
    found = collections.Counter(int(targets["image_id"][0]) for _, targets in dataset)
    assert found == dict.fromkeys(range(total), epochs)
    options.ClearField("data_service")
    alone = {
        int(targets["image_id"][0]): features["image"].numpy()
        for features, targets in data.build_dataset(options, training=True, seed=3).take(total)
    }
    options.data_service = service
    first = {}
    for features, targets in data.build_dataset(options, training=True, seed=3):
        image, image_id = features["image"].numpy(), int(targets["image_id"][0])
        first[image_id] = first.get(image_id, False) or (image == alone[image_id]).all()
    assert first == dict.fromkeys(range(total), True)  # the same pixels, in whatever order
    late = data.build_dataset(options, training=True, seed=3, start_step=done)
    assert sum(1 for _ in late) == epochs * total - done


def test_bad_records_are_searched_everywhere(service, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train-0")) as writer:
        for number in range(12):
            writer.write(toy_records.record(number, image=b"" if number != 11 else b"no image"))
    options = data_pb2.DatasetOptions(dataset_info="shapes", batch_size=1, data_service=service)
    options.file_pattern.append(str(tmp_path / "train-*"))
    options.crop_size.extend([33, 33])
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(data.build_dataset(options, training=True, seed=3).take(100))
    (bad,) = data.find_bad_records(options, training=True, seed=3, start_step=1000)
    assert bad.image_id == 11


def test_dispatcher_that_is_not_there():
    port = closed_port()
    address = f"grpc://localhost:{port}"
    with pytest.raises(ValueError, match=rf"`field` {address} cannot be reached \(.*port={port}`"):
        data_service.require_reachable(address, "field")
    with pytest.raises(ValueError, match=r"`field` grpc://nowhere.invalid:1 cannot be reached"):
        data_service.require_reachable("grpc://nowhere.invalid:1", "field")


def test_own_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert data_service.require_reachable(f"grpc://127.0.0.1:{port}", "field") == "127.0.0.1"
