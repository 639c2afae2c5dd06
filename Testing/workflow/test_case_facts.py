"""What the panel tells of images and outline before a reading."""

from __future__ import annotations

import numpy as np
import pytest

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.study.phases import choose_phases
from HER2ViTLib.study.study import study_from_volumes
from HER2ViTLib.workflow.case_facts import NOTHING_KNOWN, case_facts, slice_text

GEOMETRY = Geometry((6, 40, 40), (1.0, 1.0, 3.0), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
LESION = (100.0, 180.0, 250.0, 220.0)
"""Signal of the lesion in each phase."""


def a_mask() -> np.ndarray:
    mask = np.zeros(GEOMETRY.shape, bool)
    mask[2, 18:22, 18:22] = True
    mask[3, 16:24, 16:24] = True
    mask[4, 18:22, 18:24] = True
    return mask


def a_study(starts=(0.0, 60.0, 120.0, 180.0)):
    volumes = []
    for signal in LESION:
        array = np.full(GEOMETRY.shape, 50, np.int16)
        array[a_mask()] = signal
        volumes.append(Volume(array, GEOMETRY))
    return study_from_volumes(volumes, starts)


def facts_of(study, mask=None, early=None):
    roi = mask if mask is not None and mask.any() else None
    return case_facts(study, choose_phases(study, roi, early), mask)


def test_the_panel_names_the_phase_that_a_reading_takes_and_why():
    study = a_study()
    facts = facts_of(study, a_mask())
    chosen = choose_phases(study, a_mask())
    assert (facts.early, facts.pre) == (chosen.early, chosen.pre) == (chosen.early, 0)
    assert facts.explanation[0] == f"Phase {chosen.early.index} is read: {chosen.early.detail}."
    assert facts.role_text(chosen.early.index) == "early: read"
    assert [facts.time_text(phase) for phase in (0, 1)] == ["before contrast", "30 s after contrast"]
    assert facts.role_text(0) == "pre-contrast"


def test_without_times_enhancement_decides_and_times_are_unknown():
    facts = facts_of(a_study(None), a_mask())
    assert facts.times_s is None
    assert [facts.time_text(phase) for phase in (0, 1)] == ["before contrast", "unknown"]
    assert "90 % of the maximal mean enhancement over the ROI" in facts.explanation[0]


def test_without_an_outline_nothing_is_told_of_a_lesion():
    study = a_study(None)
    for mask in (None, np.zeros(GEOMETRY.shape, bool)):
        facts = facts_of(study, mask)
        assert facts.lesion is None
        assert "top 1 % of enhancement" in facts.explanation[0]
    assert "Outline the lesion" in slice_text(None, -1, 0)


def test_the_lesion_is_measured_as_it_was_drawn():
    lesion = facts_of(a_study(), a_mask()).lesion
    assert lesion.signals == pytest.approx(LESION)
    assert lesion.areas_mm2 == (0, 0, 16, 64, 24, 0)
    assert lesion.largest == 3


def test_the_users_choice_is_named_as_such():
    facts = facts_of(a_study(), a_mask(), early=3)
    assert facts.explanation[0] == "Phase 3 is read: chosen by the user."
    assert NOTHING_KNOWN.explanation == ()


@pytest.mark.parametrize(
    ("chosen", "count", "told"),
    [
        (-1, 0, "The largest slice is read: 3, 64 mm2."),
        (-1, 3, "The largest slice is read: 3, 64 mm2. With the 2 slices nearest to it, at most."),
        (4, 1, "Slice 4 is read, 24 mm2, by your choice; the largest is 3, 64 mm2."),
        (5, 0, "Slice 5 is chosen, but the outline is not on it: pick another one."),
        (99, 0, "The largest slice is read: 3, 64 mm2."),
    ],
)
def test_the_slice_that_is_read_is_named(chosen, count, told):
    assert slice_text(facts_of(a_study(), a_mask()).lesion, chosen, count) == told
