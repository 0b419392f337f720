from __future__ import annotations

import io

from trainer.progress import Progress, format_metrics


def _progress(stream):
    return Progress(total_steps=100, batch_size=4, line_interval=20, stream=stream)


def test_a_line_per_interval_where_there_is_no_terminal():
    stream = io.StringIO()
    progress = _progress(stream)
    for step in (10, 20, 90, 100):
        progress.training(step, loss=1.5, images_per_second=2.0)
    assert stream.getvalue().splitlines() == [
        "train 20/100  loss 1.5  2 images/s  0:02:40 left",
        "train 100/100  loss 1.5  2 images/s  0:00:00 left",
    ]


def test_evaluation_tells_how_many_images():
    stream = io.StringIO()
    with _progress(stream).evaluation(5) as advance:
        advance(3)
        advance(2)
    assert stream.getvalue().startswith("eval  5 images in 0:00:00, ")


def test_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = _progress(stream)
    progress.training(10, loss=1.5, images_per_second=2.0)
    progress.write("a message")
    with progress.evaluation(2) as advance:
        advance(2)
    progress.training(20, loss=1.25, images_per_second=2.0)
    progress.close()
    shown = stream.getvalue()
    assert "10/100, loss 1.5  2 images/s  0:03:00 left" in shown
    assert "a message\n" in shown
    assert "loss 1.25" in shown


def test_headline():
    assert format_metrics({"pq": 50.123, "miou": 40.0, "sq": None}) == "pq 50.12  miou 40.00"


def test_a_silent_one_shows_nothing():
    stream = io.StringIO()
    progress = Progress(total_steps=100, batch_size=4, line_interval=20, stream=stream, silent=True)
    progress.training(20, loss=1.5, images_per_second=2.0)
    with progress.evaluation(2) as advance:
        advance(2)
    assert stream.getvalue() == ""
