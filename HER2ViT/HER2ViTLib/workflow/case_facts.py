"""What images and outline say before any reading: when each phase was taken, which one is read and why, how
the lesion enhances, how large it is on each slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from HER2ViTLib.study.phases import EarlyPhase, PhaseChoice
    from HER2ViTLib.study.study import Study


@dataclass(frozen=True)
class LesionFacts:
    """Of an outline: its mean signal in each phase, its area (mm2) on each slice, and the slice on which that
    is largest (the first of equals).
    """

    signals: tuple[float, ...]
    areas_mm2: tuple[float, ...]
    largest: int


@dataclass(frozen=True)
class CaseFacts:
    """`times_s`: from the start of contrast to the middle of each phase, None where unknown. `early` is None
    where none can be chosen, `pre` where no phase is before contrast; `remarks` are doubts, in words.
    `lesion` is None without an outline.
    """

    phases: int
    times_s: tuple[float, ...] | None = None
    early: EarlyPhase | None = None
    pre: int | None = None
    remarks: tuple[str, ...] = ()
    lesion: LesionFacts | None = None

    def time_text(self, phase: int) -> str:
        """When a phase was taken, in a few characters."""
        if phase in self.baseline:
            return "before contrast"
        return "unknown" if self.times_s is None else f"{self.times_s[phase]:.0f} s after contrast"

    def role_text(self, phase: int) -> str:
        """What a phase is used for."""
        if self.early is not None and phase == self.early.index:
            return "early: read"
        return "pre-contrast" if phase == self.pre else ""

    @property
    def baseline(self) -> tuple[int, ...]:
        """The phases before contrast."""
        return () if self.early is None else self.early.baseline

    @property
    def explanation(self) -> tuple[str, ...]:
        """Which phase is read and why, then what is doubtful, a line each."""
        if self.early is None:
            return self.remarks
        return (f"Phase {self.early.index} is read: {self.early.detail}.", *self.remarks)


NOTHING_KNOWN = CaseFacts(0)


def case_facts(study: Study, chosen: PhaseChoice, mask: np.ndarray | None) -> CaseFacts:
    """What is known of a study whose phases are `chosen`, and of its outline `mask` (boolean, K J I; None or
    empty = no outline yet).
    """
    from HER2ViTLib.study.timing import timing_of

    times = timing_of(study, chosen.pre).times_s
    doubts = [*study.warnings, *chosen.warnings]
    return CaseFacts(
        phases=len(study.phases),
        times_s=None if times is None else tuple(times),
        early=chosen.early,
        pre=chosen.pre,
        remarks=tuple(dict.fromkeys(warning.text for warning in doubts)),
        lesion=_lesion_facts(study, mask) if mask is not None and mask.any() else None,
    )


def _lesion_facts(study: Study, roi: np.ndarray) -> LesionFacts:
    from HER2ViTLib.lesion.measures import areas_mm2
    from HER2ViTLib.study.enhancement import mean_signals

    areas = areas_mm2(roi, study.geometry)
    return LesionFacts(tuple(mean_signals(study, roi).tolist()), tuple(areas.tolist()), int(areas.argmax()))


def slice_text(lesion: LesionFacts | None, chosen: int, count: int) -> str:
    """Which slice would be read, in words. `chosen`: the user's, -1 for the largest; `count`: how many, 0 for
    as many as the models say.
    """
    if lesion is None:
        return "Outline the lesion: its area on each slice is shown here."
    if not 0 <= chosen < len(lesion.areas_mm2):
        which = f"The largest slice is read: {lesion.largest}, {lesion.areas_mm2[lesion.largest]:.0f} mm2."
    elif not lesion.areas_mm2[chosen]:
        which = f"Slice {chosen} is chosen, but the outline is not on it: pick another one."
    else:
        which = (
            f"Slice {chosen} is read, {lesion.areas_mm2[chosen]:.0f} mm2, by your choice; the largest is"
            f" {lesion.largest}, {lesion.areas_mm2[lesion.largest]:.0f} mm2."
        )
    return f"{which} With the {count - 1} slices nearest to it, at most." if count > 1 else which
