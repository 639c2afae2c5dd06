"""Which phase of a study is the pre-contrast and which the early phase, by times where they can be believed,
else by enhancement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.messages import InputError, ReadingWarning

from .enhancement import mean_signals, where_changing, where_enhancing
from .study import Study
from .timing import (
    Timing,
    baseline_of,
    in_time_order,
    middles_of,
    plausible_contrast_start,
    timing_of,
)

EARLY_PHASE_S = 90.0
"""Wanted time of the early phase after the start of contrast: breast cancers reach their first peak 60-120 s
after injection.
"""
EARLY_ENHANCEMENT = 0.9
"""Without times, the early phase is the first with this share of the maximal enhancement."""
RISEN = 0.2
"""Share of the maximal enhancement from which on the signal has risen: phases below it are before contrast,
and never the early one.
"""
MIN_RISE = 0.05
"""Relative rise of the signal below which it is noise, and tells neither baseline nor early phase."""
NO_ENHANCEMENT = 0.1
"""Relative enhancement of the ROI below which the outline, or the choice of phases, is doubtful."""


@dataclass(frozen=True)
class EarlyPhase:
    """The phase that is read, and why.

    `rule`: "given" (the only image), "user", "time" (nearest to 90 s after contrast) or "enhancement" (no
    times, or none to believe). `time_s`: seconds from the start of contrast to the middle of the phase, None
    = unknown. `detail`: one line on what the choice rests on. `baseline`: indices of the pre-contrast phases;
    the last one is what enhancement is measured against.
    """

    index: int
    rule: str
    time_s: float | None
    detail: str
    baseline: tuple[int, ...] = ()


@dataclass(frozen=True)
class PhaseChoice:
    """The early phase, the pre-contrast phase (None = there is none), and what is doubtful about them."""

    early: EarlyPhase
    pre: int | None
    warnings: tuple[ReadingWarning, ...]

    def early_volume(self, study: Study) -> Volume:
        """The early phase's volume."""
        return study.phases[self.early.index].volume

    def pre_volume(self, study: Study) -> Volume | None:
        """The pre-contrast phase's volume, if there is one."""
        return None if self.pre is None else study.phases[self.pre].volume


def choose_phases(
    study: Study, roi: np.ndarray | None = None, early: int | None = None, pre: int | str | None = None
) -> PhaseChoice:
    """The pre-contrast and the early phase of a study.

    `roi`: boolean (K, J, I) on the study's geometry; None = the top 1 % of change stands for the lesion.
    `early`, `pre`: the user's indices (`pre` may be "none"). Else: the pre-contrast phase is the last one
    before contrast; the early phase the one nearest to 90 s after contrast, with at least 20 % of the maximal
    enhancement (tie: the earlier one); where times are missing, not believed or broken by a pause, the first
    with 90 % of the maximal enhancement. Raises `InputError` for an override out of range, and for one phase
    given as both.
    """
    means = mean_signals(study, where_changing(study) if roi is None else roi)
    pre_index = _pre_phase_index(study, means, pre)
    timing = timing_of(study, pre_index)
    if early is not None:
        chosen = _given_phase(study, early, pre_index, timing)
    elif len(study.phases) == 1:
        chosen = EarlyPhase(0, "given", None, "the only image given")
    else:
        of_lesion = means if roi is not None else mean_signals(study, where_enhancing(study, pre_index))
        where = "the top 1 % of enhancement" if roi is None else "the ROI"
        chosen = _early_phase(study, of_lesion, where, pre_index, timing)
    doubts = _warnings(study, means, pre_index, None if roi is None else chosen.index)
    return PhaseChoice(chosen, pre_index, (*timing.warnings, *doubts))


def _pre_phase_index(study: Study, means: np.ndarray, override: int | str | None) -> int | None:
    """Index of the last pre-contrast phase, None when there is none.

    `means`: the lesion's mean signal in each phase. `override`: an index, "none", or None for the rule: the
    last phase before the header's contrast start where that is plausible, else the last one before the signal
    rises. Raises `InputError` for an index out of range.
    """
    count = len(study.phases)
    if override is not None:
        if str(override).lower() == "none":
            return None
        if count == 1:
            raise InputError(
                f"pre-contrast phase {override}: only one image is given, and "
                "it is read as the early phase; give both"
            )
        return _index_in_range(override, count, "pre-contrast")
    if count == 1:
        return None
    starts = study.starts_s
    contrast_start = plausible_contrast_start(study, 0)
    if starts is None or contrast_start is None:
        return _last_before_the_rise(study, means)
    middles = middles_of(study, starts)
    before = [n for n, middle in enumerate(middles) if middle < contrast_start]
    return max(before, default=0, key=middles.__getitem__)


def _warnings(study: Study, means: np.ndarray, pre: int | None, early: int | None) -> list[ReadingWarning]:
    """What is doubtful about the phases: `phase_order`, `no_enhancement`, `no_pre_contrast`,
    `maybe_reformatted`.

    `means`: mean signal in each phase. `early`: None leaves `no_enhancement` out, which needs an outline.
    """
    warnings = []
    spacing = study.geometry.spacing
    if spacing[2] < 0.99 * max(spacing[:2]):
        text = (
            f"slices are {spacing[2]:.3g} mm apart, pixels up to {max(spacing[:2]):.3g} "
            "mm: perhaps reformatted; see the slice axis option"
        )
        warnings.append(ReadingWarning("maybe_reformatted", text))
    if pre is None:
        return [
            *warnings,
            ReadingWarning(
                "no_pre_contrast", "no pre-contrast phase: phase order and enhancement were not checked"
            ),
        ]
    # a second baseline may lie below the first by its noise, or the contrast may just arrive: hence the
    # margin
    if means[pre] - means.min() > RISEN * (means.max() - means.min()):
        text = (
            f"phase {pre}, taken as pre-contrast, is not the least enhanced (phase "
            f"{int(means.argmin())} is): check the order of the phases"
        )
        warnings.append(ReadingWarning("phase_order", text))
    if early is not None and means[early] - means[pre] < NO_ENHANCEMENT * abs(means[pre]):
        text = (
            f"the ROI enhances by less than {NO_ENHANCEMENT:.0%} from phase {pre} "
            f"to phase {early}: check outline and phases"
        )
        warnings.append(ReadingWarning("no_enhancement", text))
    return warnings


def _index_in_range(value: int | str, count: int, what: str) -> int:
    """The phase index the user gave. Raises `InputError` when there is no such phase."""
    try:
        index = int(value)
    except ValueError:
        index = -1
    if not 0 <= index < count:
        raise InputError(f"{what} phase {value}: not there; give 0-{count - 1} (the first phase is 0)")
    return index


def _last_before_the_rise(study: Study, means: np.ndarray) -> int:
    """Index of the last phase before the lesion's mean signal rises; the first one where it does not."""
    order = in_time_order(study)
    rise = means[order] - means[order[0]]
    if rise.max() < MIN_RISE * abs(means[order[0]]):
        return int(order[0])
    risen = np.flatnonzero(rise >= RISEN * rise.max())
    return int(order[max(risen[0] - 1, 0)])


def _given_phase(study: Study, early: int, pre: int | None, timing: Timing) -> EarlyPhase:
    """The early phase that the user gave. Raises `InputError` when it is not there, or is the baseline."""
    index = _index_in_range(early, len(study.phases), "early")
    if index == pre:
        last = len(study.phases) - 1
        raise InputError(
            f"early phase {index}: is the pre-contrast phase; choose another one of 0-{last}, "
            "or another pre-contrast phase"
        )
    time = timing.times_s[index] if timing.times_s else None
    return EarlyPhase(index, "user", time, "chosen by the user", baseline_of(study, pre))


def _early_phase(study: Study, means: np.ndarray, where: str, pre: int | None, timing: Timing) -> EarlyPhase:
    """The early phase by the rules; `means`: mean signal of each phase over what `where` says in words."""
    every = range(len(study.phases))
    baseline = baseline_of(study, pre)
    candidates = [n for n in every if n not in baseline] or [n for n in every if n != pre]
    candidates = [n for n in candidates if n in timing.after_pause] or candidates
    enhancement = means if pre is None else means - means[pre]
    maximum = max(enhancement[n] for n in candidates)
    times = timing.times_s
    if times:
        after = [n for n in candidates if times[n] >= 0] or candidates
        enhances = pre is not None and maximum >= MIN_RISE * abs(means[pre])
        risen = [n for n in after if not enhances or enhancement[n] >= RISEN * maximum] or after
        return _nearest_in_time(times, timing.detail, after, risen, baseline)
    # a maximum below zero (nothing enhances) is met only by itself
    least = min(EARLY_ENHANCEMENT * maximum, maximum)
    index = next(n for n in candidates if enhancement[n] >= least)
    what = "signal (no pre-contrast phase)" if pre is None else "enhancement"
    detail = f"{timing.detail}: first phase with at least 90 % of the maximal mean {what} over {where}"
    return EarlyPhase(index, "enhancement", None, detail, baseline)


def _nearest_in_time(
    times_s: Sequence[float],
    how_counted: str,
    after: Sequence[int],
    risen: Sequence[int],
    baseline: tuple[int, ...],
) -> EarlyPhase:
    """Of the phases that have risen, the one nearest to 90 s after contrast; of `after`, a nearer one is
    named.
    """

    def distance(n: int) -> tuple[float, float]:
        return round(abs(times_s[n] - EARLY_PHASE_S), 3), times_s[n]

    index = min(risen, key=distance)
    nearest = min(after, key=distance)
    detail = f"nearest to {EARLY_PHASE_S:g} s after contrast: {how_counted}"
    if nearest != index:
        detail += f"; phase {nearest} is nearer, but enhances by less than {RISEN:.0%} of the maximum"
    return EarlyPhase(index, "time", times_s[index], detail, baseline)
