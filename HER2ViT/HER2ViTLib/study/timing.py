"""When each phase was taken after contrast, and whether its times can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import ReadingWarning

from .study import Study

PAUSE_S = 120.0
"""A gap before the dynamic run that is this much longer than the regular step, and twice it, is a pause: when
contrast was given is not known.
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
class Timing:
    """The phases' times after contrast (s), None = unknown, and in words what they rest on.

    `after_pause`: where the series rests before the phases after contrast, those that start soon after it.
    """

    times_s: Sequence[float] | None
    detail: str
    warnings: tuple[ReadingWarning, ...] = ()
    after_pause: tuple[int, ...] = ()


_NO_TIMES = Timing(None, "no phase times")


def timing_of(study: Study, pre: int | None) -> Timing:
    """What the phases' times are worth."""
    starts = study.starts_s
    if starts is None or len(set(starts)) == 1:
        return _NO_TIMES
    zero = plausible_contrast_start(study, pre)
    source = "contrast start of the header"
    if zero is None:
        if pre is None:
            return _NO_TIMES
        pause = _pause_after(starts, pre)
        if pause:
            return pause
        zero = starts[pre] + _durations(study, starts)[pre]
        estimated = "" if _stored_durations(study) else "estimated "
        source = f"{estimated}end of phase {pre}"
    times = [middle - zero for middle in middles_of(study, starts)]
    doubt = _doubt(starts, times, baseline_of(study, pre))
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
    resumed = min(later)
    gap = resumed - starts[pre]
    # the gap in question is no regular step; with two phases there is no other
    others = [[start for start in starts if start <= starts[pre]], later]
    step = _regular_step(*others) if len(set(starts)) > 2 else gap
    if gap <= 2 * step or gap <= step + PAUSE_S:
        return None
    text = (
        f"{gap:.0f} s lie between phase {pre}, the last before contrast, and the "
        f"next one, in a series with steps of {step:.0f} s: "
        "the time after contrast is not known, enhancement decided"
    )
    return Timing(
        None,
        f"a pause of {gap:.0f} s before the phases after contrast",
        (ReadingWarning("pause_before_series", text),),
        tuple(n for n, start in enumerate(starts) if resumed <= start <= resumed + AFTER_PAUSE_S),
    )


def _doubt(starts: Sequence[float], times_s: Sequence[float], baseline: Sequence[int]) -> str:
    """Why the times after contrast cannot be those of a clock, in words; empty when they can."""
    later = [time for n, time in enumerate(times_s) if time > 0 and n not in baseline]
    if later and min(later) > FIRST_PHASE_S:
        return f"the first phase after contrast would be {min(later):.0f} s after it"
    if len(starts) >= ULTRAFAST_PHASES and np.diff(sorted(starts)).max() < ULTRAFAST_STEP_S:
        span = max(starts) + _regular_step(starts) - min(starts)
        return f"all {len(starts)} phases would take {span:.0f} s" if span < LAST_PHASE_S else ""
    if max(times_s) < LAST_PHASE_S:
        return f"the last phase would be {max(times_s):.0f} s after contrast"
    return ""


def plausible_contrast_start(study: Study, pre: int | None) -> float | None:
    """The header's contrast start, None when it cannot be: before the pre-contrast phase (injectors and
    scanners keep their own clocks), after the start of the last phase, or, without a pre-contrast phase, ten
    minutes or more before the first.
    """
    starts = study.starts_s
    if study.contrast_start_s is None or starts is None:
        return None
    earliest = min(starts) - 600 if pre is None else starts[pre]
    return study.contrast_start_s if earliest < study.contrast_start_s < max(starts) else None


def _regular_step(*runs: Sequence[float]) -> float:
    """The usual time between two phases (s) of runs that start at the given times: the median, of an even
    number the shorter of the two in the middle.
    """
    steps = sorted(np.concatenate([np.diff(sorted(set(run))) for run in runs]))
    return float(steps[(len(steps) - 1) // 2])


def middles_of(study: Study, starts: Sequence[float]) -> list[float]:
    """The middle of every phase (s), on the study's clock; `starts` are its `starts_s`."""
    return [start + duration / 2 for start, duration in zip(starts, _durations(study, starts))]


def _durations(study: Study, starts: Sequence[float]) -> list[float]:
    """How long the phases took (s). Where that is not known of all, the regular step is taken: with starts
    alone, idle seconds before the injection would decide which phase is read.
    """
    return _stored_durations(study) or [_regular_step(starts)] * len(starts)


def _stored_durations(study: Study) -> list[float]:
    """How long the phases took (s) by their headers; empty unless that is known of every one."""
    known = [phase.duration_s for phase in study.phases if phase.duration_s]
    return known if len(known) == len(study.phases) else []


def baseline_of(study: Study, pre: int | None) -> tuple[int, ...]:
    """Indices of the phases up to the last one before contrast."""
    order = in_time_order(study).tolist()
    return () if pre is None else tuple(sorted(order[: order.index(pre) + 1]))


def in_time_order(study: Study) -> np.ndarray:
    """Indices of the phases in time order, as they come where times are not known."""
    starts = study.starts_s
    return np.arange(len(study.phases)) if starts is None else np.argsort(starts, kind="stable")
