from __future__ import annotations

import json

import pytest

from trainer.cluster import Cluster, read_cluster, split_address

TWO = "127.0.0.1:4000,10.255.255.254:4001"


def _tf_config(cluster, kind, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_without_a_description_a_process_is_alone():
    assert read_cluster(None, None, {}) is None
    assert read_cluster("a:1", 0, {}) is None
    assert read_cluster(None, None, _tf_config({"worker": ["a:1"]}, "worker", 0)) is None


def test_flags_describe_a_cluster():
    assert read_cluster(TWO, 1, {}) == Cluster(tuple(TWO.split(",")), 1)
    assert read_cluster("a:1,b:2,c:3", 2, {}).port == 3
    assert split_address("[::1]:80") == ("::1", 80)


def test_the_own_address_is_found():
    assert read_cluster(TWO, None, {}) == Cluster(tuple(TWO.split(",")), 0)
    other_first = "10.255.255.254:4001,localhost:4000"
    assert read_cluster(other_first, None, {}).index == 1


@pytest.mark.parametrize(
    ("workers", "found"),
    [
        ("127.0.0.1:1,localhost:2", "2 of them are"),
        ("no-such-host.invalid:1,10.255.255.254:2", "none"),
    ],
)
def test_an_own_address_that_is_not_clear_needs_the_index(workers, found):
    with pytest.raises(ValueError, match=f"`--workers` {workers}: {found}.*`--worker_index`"):
        read_cluster(workers, None, {})


def test_tf_config_describes_a_cluster():
    jobs = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    addresses = ("c:3", "a:1", "b:2")
    assert read_cluster(None, None, _tf_config(jobs, "worker", 1)) == Cluster(addresses, 2)
    assert read_cluster(None, None, _tf_config(jobs, "chief", 0)) == Cluster(addresses, 0)


@pytest.mark.parametrize(
    ("workers", "index", "named"),
    [
        ("a:1,b", 0, "`--workers`: an address must be `host:port`; received 'b'"),
        ("a:1,b:0", 0, "received 'b:0'"),
        ("a:1,b:70000", 0, "received 'b:70000'"),
        ("a:1,", 0, "received ''"),
        ("a:1, b:1", 0, "received ' b:1'"),
        ("a:1,a:1", 0, "must name every worker once; received a:1 again"),
        ("a:1,b:1", 2, r"`--worker_index` must be in 0\.\.1.*received 2"),
        ("a:1,b:1", -1, "received -1"),
        (None, 1, "`--worker_index` 1 is the position in `--workers`, which is missing"),
    ],
)
def test_wrong_flags_are_named(workers, index, named):
    with pytest.raises(ValueError, match=named):
        read_cluster(workers, index, {})


def test_flags_and_environment_exclude_each_other():
    environment = _tf_config({"worker": ["a:1", "b:2"]}, "worker", 0)
    with pytest.raises(
        ValueError, match=r"`--workers` a:1,b:2 and .* TF_CONFIG exclude each other"
    ):
        read_cluster("a:1,b:2", 0, environment)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "must be a JSON object"),
        ("[1]", "with an object `cluster`"),
        ('{"cluster": {}, "task": 3}', "with an object `task`"),
        ("[" * 100000, "must be a JSON object"),
    ],
)
def test_a_wrong_environment_is_named(text, named):
    with pytest.raises(ValueError, match=f"TF_CONFIG .*{named}"):
        read_cluster(None, None, {"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "named"),
    [
        ({"worker": ["a:1"], "ps": ["b:1"]}, "worker", 0, "received ps"),
        ({"worker": "a:1"}, "worker", 0, "must give a list of addresses as `cluster.worker`"),
        ({"worker": [1]}, "worker", 0, "must give a list"),
        ({"worker": ["a:1", "b:2"]}, "evaluator", 0, "received 'evaluator' and 0"),
        ({"worker": ["a:1", "b:2"]}, "worker", 2, "received 'worker' and 2"),
        ({"worker": ["a:1", "b:2"]}, "worker", "0", "received 'worker' and '0'"),
        ({"worker": ["a:1", "b:2"]}, "worker", True, "received 'worker' and True"),
        ({"worker": ["a:1", "b"]}, "worker", 0, "TF_CONFIG: an address must be"),
    ],
)
def test_wrong_jobs_are_named(cluster, kind, index, named):
    with pytest.raises(ValueError, match=named):
        read_cluster(None, None, _tf_config(cluster, kind, index))
