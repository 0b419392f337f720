"""The sheet holds a panel per layer and stays whole whatever is explained."""

from __future__ import annotations

import dataclasses

import numpy as np

from kmax_tf.results import explain_sheet
from kmax_tf.structures import Verdict
from tests.results.test_explanation import toy_explanation


def test_stages_are_in_the_colors_of_the_final_segments():
    made = toy_explanation()
    panels = explain_sheet._stage_panels(made)
    assert [panel.name for panel in panels] == [
        "clusters after layer 1 of 2",
        "clusters after layer 2 of 2",
    ]
    assert panels[0].facts == "at 6 x 4: 6 of 6 clusters used"
    assert panels[1].facts == "at 12 x 8: 4 of 6 clusters used"
    colors = explain_sheet._slot_colors(made)
    assert colors[0] == (200, 0, 0)  # that of the cat
    greys = [colors[number] for number in range(1, 6)]
    assert all(red == green == blue for red, green, blue in greys)
    assert len(set(greys)) == 5


def test_probabilities_have_a_scale_from_dark_to_light():
    shades = explain_sheet._scale_colors(np.linspace(0, 1, 9)[np.newaxis])[0]
    lightness = shades.astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 5).all()
    np.testing.assert_array_equal(shades[0], [68, 1, 84])
    np.testing.assert_array_equal(shades[-1], [253, 231, 37])


def test_void_pixels_are_in_the_color_of_the_reason():
    picture = explain_sheet._void_panel(toy_explanation()).picture
    for reason, column in ((Verdict.NOT_CONFIDENT, 15), (Verdict.OVERLAPPED, 25)):
        color, _ = explain_sheet._REASONS[reason]
        np.testing.assert_array_equal(picture[20, column], color)
    kept = picture[:, :10].astype(int)
    np.testing.assert_array_equal(kept.min(axis=-1), kept.max(axis=-1))


def test_sheets_of_many_slots_of_none_and_of_models_without_clusters():
    made = toy_explanation()
    sheet = explain_sheet.draw_explain_sheet(made)
    assert sheet.dtype == np.uint8
    # Six panels in two rows of three.
    assert sheet.shape[1] == 3 * 480 + 4 * 18
    more = dataclasses.replace(made, slots=(*made.slots, *made.dropped[:1] * 30))
    longest = explain_sheet.draw_explain_sheet(more)
    rows = explain_sheet._MOST_ROWS - len(made.dropped)
    assert longest.shape[0] - sheet.shape[0] == rows * explain_sheet._ROW_HEIGHT
    assert len(explain_sheet._draw_legends(made, 1000)) == 3  # Clusters, probability, void.
    without = made.evidence._replace(stages=(), stage_sizes=())
    unclustered = dataclasses.replace(made, evidence=without)
    assert len(explain_sheet._draw_legends(unclustered, 1000)) == 2
    kept = dataclasses.replace(made, evidence=without, slots=tuple(made.kept))
    assert explain_sheet.draw_explain_sheet(kept).shape[1] == 2 * 480 + 3 * 18


def test_large_images_are_reduced_before_names_are_written():
    made = toy_explanation()
    large = np.ones((30, 30), np.int32)
    result = dataclasses.replace(
        made.result,
        image=made.result.image.repeat(30, axis=0).repeat(30, axis=1),
        panoptic=np.kron(made.result.panoptic, large),
    )
    decisions = made.evidence.decisions._replace(
        best_slot=np.kron(made.evidence.decisions.best_slot, large),
        best_probability=np.kron(made.evidence.decisions.best_probability, large),
    )
    stages = tuple(np.kron(stage, large) for stage in made.evidence.stages)
    evidence = made.evidence._replace(decisions=decisions, stages=stages)
    big = dataclasses.replace(made, result=result, evidence=evidence)
    reduced = explain_sheet._reduce(big)
    assert reduced.result.image.shape == (320, 480, 3)
    for one, other in zip(reduced.evidence.stages, made.evidence.stages):
        np.testing.assert_array_equal(one[4::8, 4::8], other)
    assert explain_sheet._reduce(made) is made
    assert explain_sheet.draw_explain_sheet(big).shape == (
        explain_sheet.draw_explain_sheet(made).shape
    )
