"""Which phase will be the early one, by the times in the manifest alone: reading the images of a whole data
set takes hours.

The rule is the reader's own (`study.phases`), asked with a study of one voxel that enhances after the first
phase. So its answer holds where the first phase is the only one before contrast, as the sources with times
say.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.study.phases import choose_phases
from HER2ViTLib.study.study import study_from_volumes

from .data_set import PublicCase

BY_TIME = "time"
BY_SOURCE = "marked by the source"
WHEN_READ = "when the images are read"
_NOWHERE = Geometry((1, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel().tolist()))


@dataclass(frozen=True)
class ExpectedPhase:
    """The early phase, and its time after contrast (s), where they are known before the images are read; and
    by which rule.
    """

    rule: str
    index: int | None = None
    time_s: float | None = None


def expected_phase(case: PublicCase) -> ExpectedPhase:
    """The early phase of a case as far as its row of the manifest tells."""
    if case.early_phase is not None:
        return ExpectedPhase(BY_SOURCE, case.early_phase)
    return _by_times(case.phase_times_s) if case.phase_times_s else ExpectedPhase(WHEN_READ)


@functools.cache
def _by_times(starts_s: tuple[float, ...]) -> ExpectedPhase:
    voxels = [Volume(np.full((1, 1, 1), 2.0 if n else 1.0), _NOWHERE) for n in range(len(starts_s))]
    early = choose_phases(study_from_volumes(voxels, starts_s), np.ones((1, 1, 1), bool)).early
    if early.rule != "time":  # a pause before the phases after contrast, times that cannot be
        return ExpectedPhase(WHEN_READ)
    return ExpectedPhase(BY_TIME, early.index, early.time_s)
