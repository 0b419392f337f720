from __future__ import annotations

import logging

from trainer.log_messages import logging_to_stderr

LOGGER = logging.getLogger("kmax_tf.some.part")


def test_facts_and_warnings_go_to_stderr_once_and_only_inside(capsys, caplog):
    root_handlers = list(logging.getLogger().handlers)
    with logging_to_stderr():
        LOGGER.debug("detail")
        LOGGER.info("a %s", "fact")
        LOGGER.warning("odd")
    LOGGER.info("after")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "kmax: a fact\nkmax: warning: odd\n"
    assert logging.getLogger().handlers == root_handlers
    assert logging.getLogger("kmax_tf").handlers == []
    assert logging.getLogger("kmax_tf").propagate


def test_other_libraries_are_left_alone(capsys):
    with logging_to_stderr():
        logging.getLogger("another").info("no")
    assert capsys.readouterr().err == ""
