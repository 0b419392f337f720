"""The model card of an export: what it is, what it takes and gives, and how good and fast it is."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any, Dict, List, Mapping, Sequence, Union

FOLDER = "assets.extra"
JSON_FILE = "model_card.json"
MARKDOWN_FILE = "model_card.md"


def write_model_card(folder: Union[str, os.PathLike], card: Mapping[str, Any]) -> None:
    """Writes `assets.extra/model_card.json` and `.md`.

    Args:
      folder: version folder.
      card: see `format_model_card`; JSON values only.
    """
    target = pathlib.Path(folder) / FOLDER
    target.mkdir(exist_ok=True)
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (target / JSON_FILE).write_text(text + "\n", encoding="utf-8")
    (target / MARKDOWN_FILE).write_text(format_model_card(card), encoding="utf-8")


def format_model_card(card: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
      card: `name`, `facts` (name -> text), `input_rules` (sentences), `signatures` (name -> output
        -> text), `metrics` (name -> percent, or empty), `classes` (rows with `id`, `name`,
        `thing`), `label_divisor`, `ignore_label`, `post_processing` (field -> value), `comparison`
        and `precision_cost` (rows of equal keys, the latter may be none) and `config` (textproto).
    """
    metrics = {name: f"{value:.2f} %" for name, value in card["metrics"].items()}
    lines = [f"# {card['name']}", "", *_table({"": "value"}, card["facts"])]
    lines += ["", "## Quality", ""]
    lines += _table({"metric": "value"}, metrics) if metrics else ["Not known."]
    lines += ["", "## Input", "", *(f"- {rule}" for rule in card["input_rules"])]
    for name, outputs in card["signatures"].items():
        lines += ["", f"## Signature `{name}`", "", *_table({"tensor": "type and shape"}, outputs)]
    lines += [
        "",
        "## Classes",
        "",
        f"A panoptic value is `class * {card['label_divisor']} + instance`; void is class "
        f"{card['ignore_label']}.",
        "",
        *_rows(card["classes"]),
        "",
        "## Post-processing",
        "",
        *_table({"field": "value"}, card["post_processing"]),
        "",
        "## Comparison of the export with the model",
        "",
        *_rows(card["comparison"]),
        "",
        *_section("Cost of half precision against float32", card["precision_cost"]),
        "## Config",
        "",
        "```",
        card["config"].rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _table(head: Mapping[str, str], rows: Mapping[str, Any]) -> List[str]:
    (left, right), *_ = head.items()
    return _lines([left, right], [[name, value] for name, value in rows.items()])


def _section(title: str, rows: Sequence[Dict[str, Any]]) -> List[str]:
    return [f"## {title}", "", *_rows(rows), ""] if rows else []


def _rows(rows: Sequence[Dict[str, Any]]) -> List[str]:
    return _lines(list(rows[0]), [list(row.values()) for row in rows]) if rows else ["None."]


def _lines(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> List[str]:
    def line(cells: Sequence[Any]) -> str:
        # A class may have any name.
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    return [line(head), "|" + "---|" * len(head), *map(line, rows)]
