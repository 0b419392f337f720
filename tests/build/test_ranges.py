from __future__ import annotations

import pytest

from kmax_tf.build.ranges import require_length, require_positive, require_probability


def test_accepted_values_pass():
    require_length([1, 2], (0, 2), "a.b")
    require_positive([], "a.b")
    require_positive([0.5, 3], "a.b")
    require_probability(1.0, "a.b")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: require_length([1], (0, 2), "a.b"), "`a.b` needs 0 or 2 values; received 1"),
        (lambda: require_positive([1, 0], "a.b"), "`a.b` must be positive; received 0"),
        (lambda: require_probability(0, "a.b"), r"`a.b` must lie in \(0, 1\]; received 0"),
        (lambda: require_probability(1.5, "a.b"), "received 1.5"),
    ],
)
def test_faults_name_the_field(check, message):
    with pytest.raises(ValueError, match=message):
        check()
