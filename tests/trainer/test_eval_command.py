"""`kmax eval` on a tiny model: table, JSON, errors."""

from __future__ import annotations

import json

import pytest

from evaluation import evaluate
from evaluation.evaluate import Evaluation
from tests import tiny
from trainer import cli

RESULT = {
    "pq": 50.0, "sq": 60.0, "rq": 70.0, "pq_things": 40.0, "pq_stuff": 55.0, "pq_in_graph": 51.0,
    "rq_things": 1.0, "per_class": [{"name": "circle", "pq": None}],
}  # fmt: skip


def test_json_is_the_last_line(tmp_path, monkeypatch, capsys):
    tiny.write_records(tmp_path, [(65, 65), (33, 65), (65, 49)])

    def measure(config, checkpoint, *, save_predictions, advance):
        assert checkpoint == "run"
        assert save_predictions is None
        advance(3)
        return Evaluation(RESULT, "the table", 3)

    monkeypatch.setattr(evaluate, "evaluate_checkpoint", measure)
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}", "--checkpoint=run"]
    assert cli.main(["eval", *flags, "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "the table"
    assert json.loads(lines[-1]) == {
        "pq": 50.0, "sq": 60.0, "rq": 70.0, "pq_things": 40.0, "pq_stuff": 55.0,
        "pq_in_graph": 51.0, "miou": None, "per_class": [{"name": "circle", "pq": None}],
    }  # fmt: skip
    assert cli.main(["eval", *flags]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the table"


def test_a_real_model(tmp_path, capsys):
    tiny.write_records(tmp_path, [(65, 65), (33, 65), (65, 49)])
    tiny.write_checkpoint(tmp_path)
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}"]
    folder = tmp_path / "predictions"
    code = cli.main(
        [
            "eval",
            *flags,
            f"--checkpoint={tmp_path}/ckpt-1",
            "--json",
            f"--save_predictions={folder}",
        ]
    )
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert 0 <= result["pq"] <= 100
    assert len(result["per_class"]) == 10
    assert any("in-graph variant" in line for line in lines)
    assert len(list(folder.glob("*.png"))) == 3


@pytest.mark.parametrize(
    "extra, sentence",
    [
        (["--checkpoint=none"], "There is no checkpoint none"),
        (["--checkpoint=none", "--set", "KMAX_DATA=/nowhere"], "No files match /nowhere"),
        ([], "--checkpoint"),
    ],
)
def test_errors_are_one_sentence(tmp_path, capsys, extra, sentence):
    tiny.write_records(tmp_path, [(65, 65)])
    flags = [f"--config_file={tiny.CONFIG}", "--set", f"KMAX_DATA={tmp_path}"]
    try:
        code = cli.main(["eval", *flags, *extra])
    except SystemExit as exit_:  # Of argparse, for a missing flag.
        code = exit_.code
    assert code == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("kmax: ")]) == 1
    assert sentence in errors[-1]
