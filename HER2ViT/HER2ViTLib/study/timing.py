"""When each phase was taken after contrast, and whether its times can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import ReadingWarning

from .study import Study

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


# Times


@dataclass(frozen=True)
class Timing:
    """The phases' times after contrast (s), None = unknown, and in words what they rest on.

    `resumed_s`: start of the first phase after a pause, where there was one.
    """

    times_s: Sequence[float] | None
    detail: str
    warnings: tuple[ReadingWarning, ...] = ()
    resumed_s: float | None = None


_NO_TIMES = Timing(None, "no phase times")
_OF_THE_HEADER = "contrast start of the header"


def timing_of(study: Study, pre: int | None) -> Timing:
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
    times = [middle - zero for middle in middles_of(study)]
    doubt = _doubt(study, times, pre)
    if doubt:
        text = f"{doubt}: the phases' times are not believed, enhancement decided"
        return Timing(
            None, f"phase times not believed ({doubt})", (ReadingWarning("times_not_believed", text),)
        )
    return Timing(times, f"counted from the {source} to the middle of a phase")


def _pause_after(starts: Sequence[float], pre: int) -> Timing | None:
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
    return Timing(None, detail, (ReadingWarning("pause_before_series", text),), min(later))


def _start_of_contrast(study: Study, pre: int | None) -> tuple[float | None, str]:
    """When contrast was given, on the phases' clock (s; None = unknown), and in words how that is known."""
    contrast_start = plausible_contrast_start(study, pre)
    if contrast_start is not None:
        return contrast_start, _OF_THE_HEADER
    if pre is None:
        return None, ""
    estimated = "" if all(phase.duration_s for phase in study.phases) else "estimated "
    return study.phases[pre].start_s + _durations(study)[pre], f"{estimated}end of phase {pre}"


def _doubt(study: Study, times_s: Sequence[float], pre: int | None) -> str:
    """Why the times after contrast cannot be those of a clock, in words; empty when they can."""
    before = baseline_of(study, pre)
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


def plausible_contrast_start(study: Study, pre: int | None) -> float | None:
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


def middles_of(study: Study) -> list[float]:
    """The middle of every phase (s), on the study's clock."""
    return [phase.start_s + duration / 2 for phase, duration in zip(study.phases, _durations(study))]


def baseline_of(study: Study, pre: int | None) -> tuple[int, ...]:
    """Indices of the phases up to the last one before contrast."""
    order = in_time_order(study).tolist()
    return () if pre is None else tuple(sorted(order[: order.index(pre) + 1]))


def in_time_order(study: Study) -> np.ndarray:
    """Indices of the phases in time order, as they come where times are not known."""
    starts = [phase.start_s for phase in study.phases]
    return np.arange(len(starts)) if None in starts else np.argsort(starts, kind="stable")
