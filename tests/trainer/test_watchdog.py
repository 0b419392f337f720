from __future__ import annotations

import threading
import time

import pytest
import tensorflow as tf

from trainer import watchdog
from trainer.watchdog import INPUT, STEP, EvaluationPulse, Pulse, PulseInGraph, Watchdog


class _End:
    """Takes the exit code in place of the end of the process."""

    def __init__(self):
        self.codes = []
        self.called = threading.Event()

    def __call__(self, code):
        self.codes.append(code)
        self.called.set()


@pytest.mark.parametrize(
    ("pulse", "processes", "said"),
    [
        (Pulse(3, INPUT), 1, "training has waited for the input (`trainer_options.stall_timeout`"),
        (Pulse(4, STEP), 1, "training has waited for the step (`trainer_options.stall_timeout`"),
        (Pulse(4, STEP), 2, "for the step, which all 2 processes make together: one of them may"),
        (Pulse(3, INPUT), 2, "has waited for the input (`trainer_options.stall_timeout` 0.2)"),
    ],
)
def test_a_stall_is_told_with_the_stacks_and_ends_the_process(capfd, pulse, processes, said):
    end = _End()
    with Watchdog(0.2, processes=processes, end=end).watching(lambda: pulse, "training"):
        assert end.called.wait(30)
    assert end.codes == [1]
    errors = capfd.readouterr().err
    assert said in errors
    assert "test_watchdog.py" in errors and "(most recent call first)" in errors


def test_what_moves_is_left_alone(capfd):
    end = _End()
    beats = iter(range(10**6))
    with Watchdog(0.3, end=end).watching(lambda: Pulse(next(beats), STEP), "training"):
        time.sleep(1.0)
    assert not end.codes and "stall_timeout" not in capfd.readouterr().err


def test_a_loop_that_is_over_is_not_watched():
    end = _End()
    with Watchdog(0.2, end=end).watching(lambda: Pulse(0, STEP), "training"):
        pass
    assert not end.called.wait(0.6)


def test_only_the_first_step_may_take_longer_to_be_compiled(monkeypatch, capfd):
    monkeypatch.setattr(watchdog, "COMPILATION_SECONDS", 1.0)
    seconds = []
    for first, pulse, compiles in [
        (0, Pulse(2, STEP), True),
        (0, Pulse(1, INPUT), True),
        (0, Pulse(4, STEP), True),
        (0, Pulse(2, STEP), False),
    ]:
        end = _End()
        reads = iter([Pulse(first, STEP)])
        with Watchdog(0.2, end=end).watching(
            lambda reads=reads, pulse=pulse: next(reads, pulse), "training", compiles=compiles
        ):
            assert end.called.wait(30)
        errors = capfd.readouterr().err.splitlines()
        (line,) = [line for line in errors if "stall_timeout" in line]
        seconds.append(int(line.split()[2]))
    assert seconds[0] >= 1 and seconds[1:] == [0, 0, 0]


def test_the_pulse_of_a_graph_tells_input_from_step():
    pulse = PulseInGraph()
    seen = []

    def look(value):
        seen.append(pulse.read().waits_for)
        return value

    @tf.function
    def steps():
        def body(count):
            pulse.wait_for_input()
            with tf.control_dependencies([pulse._beats.read_value()]):
                batch = tf.numpy_function(look, [count], tf.int32)
            pulse.wait_for_step([batch])
            with tf.control_dependencies([pulse._beats.read_value()]):
                made = tf.numpy_function(look, [count], tf.int32)
            made.set_shape([])
            return made + 1

        return tf.while_loop(lambda count: count < 3, body, [0], parallel_iterations=1)

    before = pulse.read().beats
    steps()
    assert seen == [INPUT, STEP] * 3
    assert pulse.read().beats == before + 6


def test_the_pulse_of_an_evaluation_follows_its_batches():
    pulse = EvaluationPulse()
    seen = []

    def batches():
        for number in range(2):
            seen.append(pulse.read())
            yield number

    for _ in pulse.follow(batches()):
        seen.append(pulse.read())
    assert [p.waits_for for p in seen] == [INPUT, STEP, INPUT, STEP]
    assert [p.beats for p in seen] == [0, 1, 2, 3]
