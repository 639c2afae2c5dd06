"""The reference standard and the two-step call."""

import pytest

from HER2ViTLib.her2 import (
    LOW_VS_POSITIVE,
    POSITIVE_VS_NEGATIVE,
    TASKS,
    TWO_STEP,
    ZERO_VS_REST,
    HER2Status,
    class_probabilities,
    discordance,
    her2_status,
    two_step_call,
)
from HER2ViTLib.messages import InputError


@pytest.mark.parametrize(
    ("ihc", "ish", "status"),
    [
        *(("0", ish, "zero") for ish in ("", None, "positive", "negative", "equivocal")),
        *(("1+", ish, "low") for ish in ("", None, "positive", "negative", "equivocal")),
        ("2+", "negative", "low"),
        ("2+", "positive", "positive"),
        ("2+", "equivocal", "indeterminate"),
        ("2+", "", "indeterminate"),
        ("2+", None, "indeterminate"),
        *(("3+", ish, "positive") for ish in ("", None, "positive", "negative", "equivocal")),
        ("1", "", "low"),
        ("2", "Negative", "low"),
        (3, "", "positive"),
        (" 0 ", " ", "zero"),
    ],
)
def test_every_row_of_the_reference_standard(ihc, ish, status):
    assert her2_status(ihc, ish) == HER2Status(status)


@pytest.mark.parametrize(
    ("ihc", "ish"), [("4+", ""), ("", ""), ("ultralow", ""), ("2+", "amplified"), ("-1", "")]
)
def test_unknown_scores_are_refused_with_their_value(ihc, ish):
    with pytest.raises(InputError) as error:
        her2_status(ihc, ish)
    assert repr(ish or ihc) in str(error.value)


def test_contradictions_of_ihc_and_ish_are_told():
    assert all(
        discordance(ihc, ish) for ihc, ish in (("0", "positive"), ("1+", "positive"), ("3+", "negative"))
    )
    assert not any(
        discordance(ihc, ish)
        for ihc, ish in (("0", "negative"), ("2+", "positive"), ("3+", ""), ("1+", "equivocal"))
    )


def test_labels_follow_the_positive_classes_of_the_study():
    assert [ZERO_VS_REST.label(s) for s in HER2Status] == [0, 1, 1, None, None]
    assert [LOW_VS_POSITIVE.label(s) for s in HER2Status] == [None, 1, 0, None, None]
    assert [POSITIVE_VS_NEGATIVE.label(s) for s in HER2Status] == [0, 0, 1, 0, None]
    assert (ZERO_VS_REST.target_name, ZERO_VS_REST.other_name) == ("low/positive", "zero")
    assert (LOW_VS_POSITIVE.target_name, LOW_VS_POSITIVE.other_name) == ("low", "positive")


def test_the_two_step_call_has_two_of_the_three_tasks():
    assert [task.key for task in TASKS.values()] == ["task1", "task2", "task3"]
    assert [task.key for task in TWO_STEP] == ["task1", "task2"]


def test_two_step_call_and_probabilities():
    assert class_probabilities(0.8, 0.25) == pytest.approx({"zero": 0.2, "low": 0.2, "positive": 0.6})
    assert two_step_call(0.49, 0.5, 0.9, 0.5) == "zero"
    assert two_step_call(0.5, 0.5, 0.5, 0.5) == "low"
    assert two_step_call(0.5, 0.5, 0.4999, 0.5) == "positive"
