"""What the panel allows and tells, without the application."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTLib.workflow.case_facts import CaseFacts
from HER2ViTLib.workflow.choices import Choices
from HER2ViTLib.workflow.drawings import Score
from HER2ViTLib.workflow.export import missing_for_archive, missing_for_export
from HER2ViTLib.workflow.panel_state import PanelState, SessionState
from HER2ViTLib.workflow.shown_reading import CAME_WITH_SCENE, Inputs, ReadFrom, ShownReading, shown_reading

READY = Inputs(Choices(phases=4, segment="Lesion", bundles=("a", "")), ("phase0", "phase1", "segmentation"))
NOTHING = PanelState(Inputs(Choices(), ()))
SOMETHING_ELSE = replace(READY, nodes=("phase0", "phase2", "segmentation"))
READING = {
    "call": "low",
    "warnings": [{"code": "multifocal", "text": "two lesions"}],
    "notice": "Research use only.",
}
SHOWN = PanelState(
    READY, has_table=True, reading=shown_reading(json.dumps(READING)), read_from=ReadFrom(READY)
)
LIST_BUTTONS = ("addPhaseButton", "addAllPhasesButton", "movePhaseUpButton", "removePhaseButton")
SESSION_BUTTONS = ("sessionOpenButton", "sessionSaveButton", "sessionSkipButton", "sessionCloseButton")
EXPORT_BUTTONS = ("exportReportButton", "exportPdfButton", "exportRowButton", "saveDicomButton")


def possible(state: PanelState, *buttons: str) -> list[bool]:
    return [not state.obstacles[button] for button in buttons]


# The phases


def test_a_volume_is_added_once():
    state = replace(NOTHING, listed=("a",), loaded=("a", "b"), offered="b")
    assert possible(state, "addPhaseButton", "addAllPhasesButton") == [True, True]
    assert "a phase already" in replace(state, offered="a").obstacles["addPhaseButton"]
    assert "Choose a volume" in replace(state, offered="").obstacles["addPhaseButton"]
    assert "a phase already" in replace(state, listed=("b", "a")).obstacles["addAllPhasesButton"]
    assert NOTHING.obstacles["addAllPhasesButton"]


@pytest.mark.parametrize(("row", "up", "remove"), [(-1, False, False), (0, False, True), (2, True, True)])
def test_a_listed_phase_moves_up_unless_it_is_the_first(row, up, remove):
    state = replace(NOTHING, listed=("a", "b", "c"), row=row)
    assert possible(state, "movePhaseUpButton", "removePhaseButton") == [up, remove]


def test_a_sequence_stands_in_for_the_list():
    state = replace(NOTHING, listed=("a", "b"), loaded=("a", "b", "c"), offered="c", row=1)
    assert possible(state, *LIST_BUTTONS) == [True] * 4
    of_sequence = replace(state, has_sequence=True)
    assert all("A sequence is chosen" in of_sequence.obstacles[button] for button in LIST_BUTTONS)


def test_a_subtraction_needs_a_phase_before_contrast():
    assert "before contrast" in PanelState(READY, CaseFacts(4)).obstacles["subtractionButton"]
    assert PanelState(READY, CaseFacts(4, pre=0)).obstacles["subtractionButton"] == ""


# Outlining and reading


def test_outlining_needs_images_and_a_seed_where_it_grows_from_one():
    buttons = ("growButton", "newOutlineButton", "growAgainButton")
    assert possible(replace(NOTHING, has_seed=True), *buttons) == [False] * 3
    assert possible(PanelState(READY), *buttons) == [True, True, False]
    assert possible(PanelState(READY, has_seed=True), *buttons) == [True] * 3


def test_the_run_button_works_or_says_what_is_missing():
    assert PanelState(READY).obstacles["runButton"] == ""
    told = "Choose the phases of a DCE-MRI study, in time order, or a sequence."
    assert NOTHING.obstacles["runButton"] == NOTHING.missing == NOTHING.case_text == told


def test_the_largest_slice_is_offered_once_another_one_was_picked():
    picked = replace(READY, choices=replace(READY.choices, slice_index=3))
    assert possible(PanelState(READY), "largestSliceButton") == [False]
    assert possible(PanelState(picked), "largestSliceButton") == [True]


# The result


def test_result_is_told_from_the_reading_not_from_its_table():
    assert NOTHING.headline == "No reading yet."
    assert NOTHING.remarks == ()
    assert SHOWN.headline == "HER2 call: low"
    assert SHOWN.remarks == ("two lesions", "Research use only.")
    assert replace(SHOWN, reading=ShownReading(None, ())).headline == "No call: it needs Task 1 and Task 2"


def test_a_table_of_an_earlier_version_is_pointed_at():
    state = PanelState(READY, has_table=True, reading=shown_reading(None))
    assert state.headline == "A reading of an earlier version: its call and warnings are in the table."
    assert state.remarks == ()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "5",
        json.dumps({**READING, "call": "very low"}),
        json.dumps({**READING, "call": ["low"]}),
        json.dumps({**READING, "warnings": None}),
        json.dumps({**READING, "warnings": ["two"]}),
        json.dumps({**READING, "notice": 5}),
        json.dumps({"call": "low"}),
    ],
)
def test_a_text_that_is_no_reading_is_none(text):
    assert shown_reading(text) is None


def test_reading_is_outdated_once_anything_it_was_made_from_changes():
    assert not SHOWN.is_outdated
    for inputs in (SOMETHING_ELSE, replace(READY, choices=replace(READY.choices, method="last"))):
        state = replace(SHOWN, inputs=inputs)
        assert state.is_outdated
        assert state.remarks[0].endswith("read again.")
        assert state.remarks[1:] == SHOWN.remarks
    edited = SHOWN.read_from.with_outline_edited()
    assert replace(SHOWN, read_from=edited).is_outdated
    assert edited.inputs == READY


def test_reading_that_came_with_its_scene_is_outdated_only_by_an_edited_outline():
    state = replace(SHOWN, read_from=CAME_WITH_SCENE)
    assert not state.is_outdated
    assert not replace(state, inputs=SOMETHING_ELSE).is_outdated
    assert replace(state, read_from=CAME_WITH_SCENE.with_outline_edited()).is_outdated


def test_without_a_reading_nothing_is_outdated():
    edited = CAME_WITH_SCENE.with_outline_edited()
    assert not PanelState(READY, read_from=edited).is_outdated
    assert PanelState(READY, read_from=edited).remarks == ()


def test_view_turns_only_to_a_slice_that_was_read():
    assert "no attention map" in SHOWN.obstacles["jumpButton"]
    assert replace(SHOWN, has_map=True).obstacles["jumpButton"] == ""


# The session


def test_session_is_opened_once_and_its_cases_are_saved_or_skipped_until_all_are_done():
    state = PanelState(READY)
    assert possible(state, *SESSION_BUTTONS) == [True, False, False, False]
    assert state.session_progress == ""
    working = replace(state, session=SessionState("case 1 of 3", 3, 83.4))
    assert possible(working, *SESSION_BUTTONS) == [False, True, True, True]
    assert working.session_progress == "case 1 of 3; 3 left. This case: 1:23"
    without_outline = replace(working, inputs=Inputs(Choices(phases=4), ()))
    assert possible(without_outline, *SESSION_BUTTONS) == [False, False, True, True]
    assert "or skip the case" in without_outline.obstacles["sessionSaveButton"]
    done = replace(working, session=SessionState("finished", 0, 0.0))
    assert possible(done, *SESSION_BUTTONS) == [False, False, False, True]
    assert done.session_progress == "finished"


def test_a_session_keeps_everything_out_that_could_tell_the_reader_more():
    state = replace(SHOWN, session=SessionState("case 1 of 3", 3, 0.0), table="readings.csv")
    kept_out = (*LIST_BUTTONS, *EXPORT_BUTTONS, "dicomButton", "sampleButton", "runButton", "nextCaseButton")
    assert all("A session is open" in state.obstacles[button] for button in kept_out)
    assert possible(state, "growButton", "newOutlineButton", "subtractionButton") == [True, True, False]


# Out of the scene


def test_a_reading_is_exported_while_it_is_the_one_of_what_is_chosen():
    state = replace(SHOWN, table="readings.csv")
    assert possible(state, *EXPORT_BUTTONS) == [True] * 4
    outdated = replace(state, inputs=SOMETHING_ELSE)
    assert all("read again" in outdated.obstacles[button] for button in EXPORT_BUTTONS)
    of_scene = replace(state, missing_for_export=missing_for_export(False))
    assert all("Read the case first" in of_scene.obstacles[button] for button in EXPORT_BUTTONS)
    assert "Choose the table's file" in replace(state, table=" ").obstacles["exportRowButton"]
    assert possible(NOTHING, "exportSceneButton", "nextCaseButton") == [False, False]
    assert possible(state, "exportSceneButton", "nextCaseButton") == [True, True]


def test_a_reading_is_saved_to_dicom_only_where_an_archive_could_tie_it_to_its_images():
    assert missing_for_export(True) == missing_for_archive(True, True, True) == ""
    assert "not open" in missing_for_archive(False, False, True)
    assert "load them there" in missing_for_archive(False, True, True)
    assert "lacks the Python package highdicom" in missing_for_archive(True, True, False)
    state = replace(SHOWN, missing_for_archive=missing_for_archive(False, True, True))
    assert "load them there" in state.obstacles["saveDicomButton"]
    assert state.obstacles["exportReportButton"] == ""


# What is told under the call

POINT = {
    "set": "validation",
    "cases": "validation",
    "sensitivity": {"right": 84, "n": 100},
    "specificity": {"right": 41, "n": 60},
}
FULL = {
    "call": "positive",
    "probabilities": {"zero": 0.1, "low": 0.3, "positive": 0.6},
    "tasks": {
        "task1": {"score": 0.9, "threshold": 0.85, "operating_point": POINT},
        "task2": {
            "score": 0.33,
            "threshold": 0.5,
            "operating_point": {**POINT, "cases": "external", "set": "B"},
        },
    },
    "warnings": [
        {"code": "device_fallback", "text": "no GPU was found, the CPU was used"},
        {"code": "multifocal", "text": "the outline has <2> parts"},
    ],
    "notice": f"{RESEARCH_NOTICE} Demo model: trained on simulated images.",
}


def test_the_case_is_told_first_then_the_models_limits_then_the_machine():
    shown = shown_reading(json.dumps(FULL))
    assert shown.remarks == (
        "the outline has <2> parts",
        "Task 1: optimistic, the threshold was tried only on the cases it was chosen on",
        "Demo model: trained on simulated images.",
        "no GPU was found, the CPU was used",
        RESEARCH_NOTICE,
    )
    assert shown.codes == ("multifocal", "", "", "device_fallback", "")


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (["low"], "Cannot be excluded at 90% coverage: low"),
        (["zero", "low"], "Cannot be excluded at 90% coverage: zero, low: it cannot tell"),
        (
            [],
            "Cannot be excluded at 90% coverage: none, it is unlike the calibration cases of every status",
        ),
    ],
)
def test_the_statuses_that_are_left_are_told_first(left, told):
    content = {**FULL, "call_set": left, "coverage": {"level": 0.9}}
    assert shown_reading(json.dumps(content)).remarks[0] == told
    assert shown_reading(json.dumps({**content, "coverage": {}})) is None


def test_words_come_first_and_codes_small_as_rich_text():
    html = replace(SHOWN, reading=shown_reading(json.dumps(FULL))).remarks_html
    assert html[0] == "the outline has &lt;2&gt; parts <small><code>multifocal</code></small>"
    assert html[2] == "Demo model: trained on simulated images."
    edited = replace(SHOWN, read_from=CAME_WITH_SCENE.with_outline_edited())
    assert edited.remarks_html[0].startswith("<b>Outline, images or models have changed")


def test_of_many_remarks_the_first_are_shown_and_always_the_notice():
    warnings = [{"code": "multifocal", "text": f"remark {n}"} for n in range(9)]
    state = replace(SHOWN, reading=shown_reading(json.dumps({**READING, "warnings": warnings})))
    told = state.remarks_html
    assert len(told) == 6
    assert told[0].startswith("remark 0")
    assert told[-2:] == ("<i>5 more under All values</i>", "Research use only.")
    assert len(state.remarks) == 10


def test_each_threshold_says_what_it_means():
    state = replace(SHOWN, reading=shown_reading(json.dumps(FULL)))
    first, second = state.thresholds
    assert first.startswith("Task 1: sensitivity for low/positive 84% (84 of 100;")
    assert "optimistic" in first
    assert second.endswith("; on external cases (B).")
    assert NOTHING.thresholds == ()


def test_a_reading_of_before_does_not_know_what_its_thresholds_mean():
    tasks = {"task1": {"score": 0.9, "threshold": 0.85}}
    shown = shown_reading(json.dumps({**FULL, "tasks": tasks, "call": None, "probabilities": None}))
    assert shown.thresholds == ("Task 1: unknown how often it is right: the model does not say.",)
    assert shown.remarks[1].startswith("Demo model")


def test_scores_and_probabilities_are_ready_to_draw():
    shown = shown_reading(json.dumps(FULL))
    assert shown.probabilities == FULL["probabilities"]
    assert shown.scores == (Score("Task 1: low/positive", 0.9, 0.85), Score("Task 2: low", 0.33, 0.5))


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": {"task1": {"score": "high", "threshold": 0.5}}},
        {"tasks": {"task1": {"score": 0.9, "threshold": 0.5, "operating_point": {"cases": "all"}}}},
        {"probabilities": [0.1]},
        {"notice": None},
    ],
)
def test_an_edited_text_is_no_reading(change):
    assert shown_reading(json.dumps({**FULL, **change})) is None
