from __future__ import annotations

from kmax_tf.checkpoints.mapping import Comparison
from kmax_tf.checkpoints.report import LoadReport, describe_misfit, format_report, summarize

REPORT = LoadReport(
    loaded=("pixel_encoder/a", "pixel_encoder/b", "mask_head/c"),
    missing=("semantic_head/d",),
    unused=("model/extra/e/.ATTRIBUTES/VARIABLE_VALUE",),
    mismatched=("mask_head/f: [1] in the model, [2] in the file",),
    reset=("mask_head/g",),
    path="runs/x/ckpt-1",
    format="checkpoint of kmax_tf",
)


def test_new_variables_are_listed_once():
    assert REPORT.new == ("semantic_head/d", "mask_head/f", "mask_head/g")


def test_summary():
    assert summarize(REPORT) == (
        "Loaded 3 variables from runs/x/ckpt-1 (checkpoint of kmax_tf). New, with initial values: "
        "the semantic head, 2 variables of the mask head. Not used: 1 arrays of the file."
    )
    alone = LoadReport(("pixel_encoder/a",), (), (), (), path="p", format="f", encoder_alone=True)
    assert summarize(alone) == "Loaded 1 variables of the pixel encoder from p (f)."


def test_table():
    lines = format_report(REPORT).splitlines()
    assert lines[0] == "runs/x/ckpt-1: checkpoint of kmax_tf"
    assert lines[1].split() == ["loaded", "missing", "unused", "mismatched", "reset"]
    assert [line.split() for line in lines[2:7]] == [
        ["pixel", "encoder", "2", "0", "0", "0", "0"],
        ["mask", "head", "1", "0", "0", "1", "1"],
        ["semantic", "head", "0", "1", "0", "0", "0"],
        ["extra", "0", "0", "1", "0", "0"],
        ["all", "3", "1", "1", "1", "1"],
    ]
    assert lines[7:9] == ["missing:", "  semantic_head/d"]
    assert "  extra/e" in lines


def test_the_table_of_a_refused_file_does_not_say_loaded():
    titles, *counts = format_report(REPORT, refused=True).splitlines()[1:]
    assert titles.split() == ["fitting", "missing", "unused", "mismatched", "reset"]
    assert counts == format_report(REPORT).splitlines()[2:]


def test_long_lists_are_shown_whole_on_request():
    report = REPORT._replace(missing=tuple(f"mask_head/{i}" for i in range(9)))
    assert "... and 5 more (--verbose)" in format_report(report)
    assert "mask_head/8" not in format_report(report)
    assert "mask_head/8" in format_report(report, verbose=True)


def test_misfits_are_told_by_part():
    comparison = Comparison(
        fitting={},
        missing=("mask_head/a", "pixel_encoder/b"),
        unused=("model/mask_head/c/.ATTRIBUTES/VARIABLE_VALUE", "semantic_last_layer/bias"),
        mismatched={"mask_head/d": "mask_head/d: [1] in the model, [2] in the file"},
    )
    assert describe_misfit(comparison) == (
        "pixel encoder: 1 missing in the file (pixel_encoder/b); "
        "mask head: 1 of another shape, 1 missing in the file, 1 unknown to the model; "
        "also semantic head"
    )
    mismatched = {"mask_head/d": "mask_head/d: [1] in the model, [2] in the file"}
    assert describe_misfit(Comparison({}, (), (), mismatched)) == (
        "mask head: 1 of another shape (mask_head/d: [1] in the model, [2] in the file)"
    )


def test_many_parts_are_named_and_not_counted():
    parts = ("pixel_encoder", "pixel_decoder", "dual_path", "mask_head", "semantic_head")
    comparison = Comparison({}, tuple(f"{part}/a" for part in parts), (), {})
    assert describe_misfit(comparison) == (
        "pixel encoder: 1 missing in the file (pixel_encoder/a); "
        "pixel decoder: 1 missing in the file; also dual path, mask head, semantic head"
    )
