"""What a model sees of each case, and what it is asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from HER2ViTLib.her2 import Task
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError, faults_of
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTLib.study.phases import choose_phases
from HER2ViTTrainingLib.cohort.case_study import load_case_study
from HER2ViTTrainingLib.cohort.manifest import Case, Cohort
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress

MIN_CASES = 10
"""An interval over fewer patients says nothing."""


@dataclass(frozen=True)
class Cases:
    """Cases as a model reads them, each from the leading slice: images (n, H, W) and outlines (n, H, W) in
    0-1, labels (n,) bool, patients (n,).
    """

    images: np.ndarray
    outlines: np.ndarray
    labels: np.ndarray
    patients: np.ndarray


def chosen_cases(cohort: Cohort, task: Task, count: int, seed: int) -> list[Case]:
    """At most `count` cases that the task asks about, drawn at random, in the manifest's order. Raises
    `InputError` for fewer than `MIN_CASES`, with the number that would do.
    """
    asked = [case for case in cohort.cases if case.label(task) is not None]
    if len(asked) < MIN_CASES:
        raise InputError(
            f"{cohort.path}: {len(asked)} cases that {task.name} asks about, where {MIN_CASES} are needed:"
            f" {MIN_CASES - len(asked)} more would do"
        )
    drawn = np.random.default_rng(seed).permutation(len(asked))[:count]
    return [asked[n] for n in sorted(drawn.tolist())]


def load_cases(
    cases: Sequence[Case], task: Task, preprocessing: Preprocessing, progress: Progress | None = None
) -> Cases:
    """The cases' inputs from their files. Raises `InputError` with the faults of all of them."""
    found = in_order(partial(_patch, preprocessing), cases, None, progress)
    return Cases(
        images=np.stack([image for image, _ in found]),
        outlines=np.stack([outline for _, outline in found]),
        labels=np.array([case.label(task) == 1 for case in cases]),
        patients=np.array([case.patient_id for case in cases]),
    )


def _patch(preprocessing: Preprocessing, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Image and outline (H, W) of the leading slice."""
    with faults_of(f"case {case.case_id}"):
        study = load_case_study(case)
        outline = cast("str", case.roi)  # only an excluded case has none
        roi = read_roi(outline, study.geometry, case.segment or None, study.frame_of_reference).mask
        early = choose_phases(study, roi, case.early_phase).early_volume(study)
        patch = preprocessing.apply(early, roi)
        return patch.image, patch.mask
