"""Which phase of a study is the pre-contrast and which the early phase, by times where they can be believed,
else by enhancement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.imaging.volume import Volume, bounding_box
from HER2ViTLib.messages import InputError, ReadingWarning

from .study import Study

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
LEAST_RISE = 0.05
"""Relative rise of the signal below which it is noise, and tells neither baseline nor early phase."""
NO_ENHANCEMENT = 0.1
"""Relative enhancement of the ROI below which the outline, or the choice of phases, is doubtful."""
BORDER = 0.05
"""Share of the image at each in-plane edge left out where no ROI says where to look: coil flare and fold-over
are brightest there.
"""
PAUSE_S = 120.0
"""A gap before the dynamic run that is this much longer than the regular step, and twice it, is a pause:
nobody knows when contrast came.
"""
AFTER_PAUSE_S = 180.0
"""After a pause the early phase is one of those that start so soon after the first."""
LAST_PHASE_S = 45.0
FIRST_PHASE_S = 300.0
"""A series that ends earlier after contrast, or whose first phase comes later, was not timed by a clock but
by a counter or a repetition time.
"""
ULTRAFAST_PHASES = 8
ULTRAFAST_STEP_S = 15.0
"""An ultrafast series has so many phases, and shorter steps; it may well end soon after contrast, so its
whole span is judged.
"""


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
    means = _mean_signals(study, _where_changing(study) if roi is None else roi)
    pre_index = _pre_phase_index(study, means, pre)
    timing = _timing(study, pre_index)
    if early is not None:
        chosen = _given_phase(study, early, pre_index, timing)
    elif len(study.phases) == 1:
        chosen = EarlyPhase(0, "given", None, "the only image given")
    else:
        of_lesion = means if roi is not None else _mean_signals(study, _where_enhancing(study, pre_index))
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
    contrast_start = _plausible_contrast_start(study, 0)
    if contrast_start is None:
        return _last_before_the_rise(study, means)
    middles = _middles(study)
    return max(
        (n for n, middle in enumerate(middles) if middle < contrast_start), default=0, key=middles.__getitem__
    )


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


def subtraction(study: Study, early: int, pre: int) -> np.ndarray:
    """Early minus pre-contrast phase, float32 (K, J, I)."""
    return np.subtract(
        study.phases[early].volume.array, study.phases[pre].volume.array, dtype=np.float32, casting="unsafe"
    )


def _index_in_range(value: int | str, count: int, what: str) -> int:
    """The phase index the user gave. Raises `InputError` when there is no such phase."""
    try:
        index = int(value)
    except ValueError:
        index = -1
    if not 0 <= index < count:
        raise InputError(f"{what} phase {value}: not there; give 0-{count - 1} (the first phase is 0)")
    return index


# Times


@dataclass(frozen=True)
class _Timing:
    """The phases' times after contrast (s), None = unknown, and in words what they rest on.

    `resumed_s`: start of the first phase after a pause, where there was one.
    """

    times_s: Sequence[float] | None
    detail: str
    warnings: tuple[ReadingWarning, ...] = ()
    resumed_s: float | None = None


_NO_TIMES = _Timing(None, "no phase times")
_OF_THE_HEADER = "contrast start of the header"


def _timing(study: Study, pre: int | None) -> _Timing:
    """What the phases' times are worth."""
    starts = [phase.start_s for phase in study.phases]
    if None in starts or len(set(starts)) == 1:
        return _NO_TIMES
    zero, source = _start_of_contrast(study, pre)
    if zero is None:
        return _NO_TIMES
    pause = None if source == _OF_THE_HEADER else _pause_after(starts, pre)
    if pause:
        return pause
    times = [middle - zero for middle in _middles(study)]
    doubt = _doubt(study, times, pre)
    if doubt:
        text = f"{doubt}: the phases' times are not believed, enhancement decided"
        return _Timing(
            None, f"phase times not believed ({doubt})", (ReadingWarning("times_not_believed", text),)
        )
    return _Timing(times, f"counted from the {source} to the middle of a phase")


def _pause_after(starts: Sequence[float], pre: int) -> _Timing | None:
    """What is known of the times where the series rests between its last phase before contrast and the next;
    None where it does not.
    """
    later = [start for start in starts if start > starts[pre]]
    if not later:
        return None
    gap = min(later) - starts[pre]
    # the gap in question is no regular step; with two phases there is no other
    others = [sorted(start for start in starts if start <= starts[pre]), sorted(later)]
    step = _regular_step(*others) if len(set(starts)) > 2 else gap
    if gap <= 2 * step or gap <= step + PAUSE_S:
        return None
    text = (
        f"{gap:.0f} s lie between phase {pre}, the last before contrast, and the "
        f"next one, in a series with steps of {step:.0f} s: "
        "the time after contrast is not known, enhancement decided"
    )
    detail = f"a pause of {gap:.0f} s before the phases after contrast"
    return _Timing(None, detail, (ReadingWarning("pause_before_series", text),), min(later))


def _start_of_contrast(study: Study, pre: int | None) -> tuple[float | None, str]:
    """When contrast was given, on the phases' clock (s; None = unknown), and in words how that is known."""
    contrast_start = _plausible_contrast_start(study, pre)
    if contrast_start is not None:
        return contrast_start, _OF_THE_HEADER
    if pre is None:
        return None, ""
    estimated = "" if all(phase.duration_s for phase in study.phases) else "estimated "
    return study.phases[pre].start_s + _durations(study)[pre], f"{estimated}end of phase {pre}"


def _doubt(study: Study, times_s: Sequence[float], pre: int | None) -> str:
    """Why the times after contrast cannot be those of a clock, in words; empty when they can."""
    before = _baseline(study, pre)
    later = [time for n, time in enumerate(times_s) if time > 0 and n not in before]
    if later and min(later) > FIRST_PHASE_S:
        return f"the first phase after contrast would be {min(later):.0f} s after it"
    starts = sorted(phase.start_s for phase in study.phases)
    if len(starts) >= ULTRAFAST_PHASES and np.diff(starts).max() < ULTRAFAST_STEP_S:
        span = starts[-1] + _regular_step(starts) - starts[0]
        return f"all {len(starts)} phases would take {span:.0f} s" if span < LAST_PHASE_S else ""
    return (
        f"the last phase would be {max(times_s):.0f} s after contrast" if max(times_s) < LAST_PHASE_S else ""
    )


def _plausible_contrast_start(study: Study, pre: int | None) -> float | None:
    """The header's contrast start, None when it cannot be: before the pre-contrast phase (injectors and
    scanners keep their own clocks), after the start of the last phase, or, without a pre-contrast phase, ten
    minutes or more before the first.
    """
    starts = [phase.start_s for phase in study.phases]
    if study.contrast_start_s is None or None in starts:
        return None
    earliest = min(starts) - 600 if pre is None else starts[pre]
    return study.contrast_start_s if earliest < study.contrast_start_s < max(starts) else None


def _regular_step(*runs: Sequence[float]) -> float:
    """The usual time between two phases (s) of runs that start at the given times: the median, of an even
    number the shorter of the two in the middle.
    """
    steps = sorted(np.concatenate([np.diff(sorted(set(run))) for run in runs]))
    return float(steps[(len(steps) - 1) // 2])


def _durations(study: Study) -> list[float]:
    """How long the phases took (s). Where that is not known of all, the regular step is taken: with starts
    alone, idle seconds before the injection would decide which phase is read.
    """
    if all(phase.duration_s for phase in study.phases):
        return [phase.duration_s for phase in study.phases]
    return [_regular_step([phase.start_s for phase in study.phases])] * len(study.phases)


def _middles(study: Study) -> list[float]:
    """The middle of every phase (s), on the study's clock."""
    return [phase.start_s + duration / 2 for phase, duration in zip(study.phases, _durations(study))]


# Enhancement


def _last_before_the_rise(study: Study, means: np.ndarray) -> int:
    """Index of the last phase before the lesion's mean signal rises; the first one where it does not."""
    order = _in_time(study)
    rise = means[order] - means[order[0]]
    if rise.max() < LEAST_RISE * abs(means[order[0]]):
        return int(order[0])
    risen = np.flatnonzero(rise >= RISEN * rise.max())
    return int(order[max(risen[0] - 1, 0)])


def _in_time(study: Study) -> np.ndarray:
    """Indices of the phases in time order, as they come where times are not known."""
    starts = [phase.start_s for phase in study.phases]
    return np.arange(len(starts)) if None in starts else np.argsort(starts, kind="stable")


def _given_phase(study: Study, early: int, pre: int | None, timing: _Timing) -> EarlyPhase:
    """The early phase that the user gave. Raises `InputError` when it is not there, or is the baseline."""
    index = _index_in_range(early, len(study.phases), "early")
    if index == pre:
        last = len(study.phases) - 1
        raise InputError(
            f"early phase {index}: is the pre-contrast phase; choose another one of 0-{last}, "
            "or another pre-contrast phase"
        )
    time = timing.times_s[index] if timing.times_s else None
    return EarlyPhase(index, "user", time, "chosen by the user", _baseline(study, pre))


def _early_phase(study: Study, means: np.ndarray, where: str, pre: int | None, timing: _Timing) -> EarlyPhase:
    """The early phase by the rules; `means`: mean signal of each phase over what `where` says in words."""
    every = range(len(study.phases))
    baseline = _baseline(study, pre)
    candidates = [n for n in every if n not in baseline] or [n for n in every if n != pre]
    if timing.resumed_s is not None:
        latest = timing.resumed_s + AFTER_PAUSE_S
        soon = [n for n in candidates if timing.resumed_s <= study.phases[n].start_s <= latest]
        candidates = soon or candidates
    enhancement = means if pre is None else means - means[pre]
    maximum = max(enhancement[n] for n in candidates)
    if timing.times_s:
        after = [n for n in candidates if timing.times_s[n] >= 0] or candidates
        enhances = pre is not None and maximum >= LEAST_RISE * abs(means[pre])
        risen = [n for n in after if not enhances or enhancement[n] >= RISEN * maximum] or after
        return _nearest_in_time(timing, after, risen, baseline)
    # a maximum below zero (nothing enhances) is met only by itself
    least = min(EARLY_ENHANCEMENT * maximum, maximum)
    index = next(n for n in candidates if enhancement[n] >= least)
    what = "signal (no pre-contrast phase)" if pre is None else "enhancement"
    detail = f"{timing.detail}: first phase with at least 90 % of the maximal mean {what} over {where}"
    return EarlyPhase(index, "enhancement", None, detail, baseline)


def _nearest_in_time(
    timing: _Timing, after: Sequence[int], risen: Sequence[int], baseline: tuple[int, ...]
) -> EarlyPhase:
    """Of the phases that have risen, the one nearest to 90 s after contrast; of `after`, a nearer one is
    named.
    """

    def distance(n: int) -> tuple[float, float]:
        return round(abs(timing.times_s[n] - EARLY_PHASE_S), 3), timing.times_s[n]

    index = min(risen, key=distance)
    nearest = min(after, key=distance)
    detail = f"nearest to {EARLY_PHASE_S:g} s after contrast: {timing.detail}"
    if nearest != index:
        detail += f"; phase {nearest} is nearer, but enhances by less than {RISEN:.0%} of the maximum"
    return EarlyPhase(index, "time", timing.times_s[index], detail, baseline)


def _baseline(study: Study, pre: int | None) -> tuple[int, ...]:
    """Indices of the phases up to the last one before contrast."""
    order = _in_time(study).tolist()
    return () if pre is None else tuple(sorted(order[: order.index(pre) + 1]))


def _mean_signals(study: Study, where: np.ndarray) -> np.ndarray:
    """Mean signal of each phase (phases,) over a boolean array (K, J, I) that holds a voxel at least; only
    its bounding box is touched.
    """
    box = bounding_box(where)
    inside = where[box]
    return np.array([phase.volume.array[box][inside].mean(dtype=np.float64) for phase in study.phases])


def _where_enhancing(study: Study, pre: int | None) -> np.ndarray:
    """The top 1 % of maximal enhancement (of signal, without a pre-contrast phase), image border excluded;
    boolean (K, J, I).
    """
    arrays = [phase.volume.array for n, phase in enumerate(study.phases) if n != pre]
    highest = np.maximum.reduce(arrays).astype(np.float32)
    return _top_percent(highest if pre is None else highest - study.phases[pre].volume.array)


def _where_changing(study: Study) -> np.ndarray:
    """The top 1 % of change between phases, in whatever order, image border excluded; boolean (K, J, I)."""
    arrays = [phase.volume.array for phase in study.phases]
    return _top_percent(np.maximum.reduce(arrays).astype(np.float32) - np.minimum.reduce(arrays))


def _top_percent(values: np.ndarray) -> np.ndarray:
    """Where a float array (K, J, I) reaches its 99th percentile inside the image border."""
    edges = [max(1, int(BORDER * n)) if n > 2 else 0 for n in values.shape[1:]]
    inner = (slice(None), *(slice(edge, n - edge) for edge, n in zip(edges, values.shape[1:])))
    where = np.zeros(values.shape, bool)
    where[inner] = values[inner] >= np.percentile(values[inner], 99)
    return where
