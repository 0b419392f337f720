"""The card: the same facts as JSON for programs and as Markdown for people."""

from __future__ import annotations

import json

from kmax_tf.export.model_card import format_model_card, write_model_card

CARD = {
    "name": "toy",
    "facts": {"computed in": "float32"},
    "metrics": {"pq": 52.984},
    "input_rules": ["Upright."],
    "signatures": {"image_tensor": {"panoptic": "int32 [None, None, None]"}},
    "classes": [{"id": 1, "name": "a|b 路", "thing": True}],
    "label_divisor": 256,
    "ignore_label": 0,
    "post_processing": {"overlapping_threshold": 0.5},
    "latency": None,
    "comparison": [{"output": "panoptic", "difference": 0.0}],
    "precision_cost": [],
    "config": 'experiment_name: "toy"\n',
}


def test_markdown_holds_every_fact():
    text = format_model_card(CARD)
    for line in (
        "# toy",
        "| computed in | float32 |",
        "| pq | 52.98 % |",
        "- Upright.",
        "| panoptic | int32 [None, None, None] |",
        "| 1 | a\\|b 路 | True |",
        "A panoptic value is `class * 256 + instance`; void is class 0.",
        "| overlapping_threshold | 0.5 |",
        "| panoptic | 0.0 |",
        'experiment_name: "toy"',
    ):
        assert line in text.splitlines()
    assert "Not known." in format_model_card({**CARD, "metrics": {}})
    cost = [{"measure": "pixels of the same class", "mean": 0.99, "worst": 0.9}]
    lines = format_model_card({**CARD, "precision_cost": cost}).splitlines()
    assert "| pixels of the same class | 0.99 | 0.9 |" in lines
    assert not [line for line in text.splitlines() if "Cost of half" in line]


def test_both_files_are_written(tmp_path):
    write_model_card(tmp_path, CARD)
    assert json.loads((tmp_path / "assets.extra" / "model_card.json").read_text()) == CARD
    markdown = (tmp_path / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert markdown == format_model_card(CARD)
