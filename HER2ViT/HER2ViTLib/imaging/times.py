"""Times of phases: unwrapped at midnight, in seconds, plausible or not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PLAUSIBLE_STEP_S = (5.0, 600.0)
"""Shortest and longest time between two phases. Files often carry a repetition time or a mere count (0, 1, 2
...) in the place of the time.
"""
DAY_S = 86400.0
_SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3, "min": 60.0}


def unwrap_midnight(times: Sequence[float | None]) -> list[float | None]:
    """Times of day (s) of one examination; when it runs over midnight, those after it a day later."""
    known = [time for time in times if time is not None]
    if not known or max(known) - min(known) < DAY_S / 2:
        return list(times)
    return [time + DAY_S if time is not None and time < DAY_S / 2 else time for time in times]


def times_in_seconds(values: str, unit: str, count: int) -> list[float] | None:
    """Numbers separated by blanks or commas as plausible times in seconds, None when that is not what they
    are.
    """
    factor = _SECONDS.get(unit.strip().lower())
    try:
        times = [float(value) * factor for value in values.replace(",", " ").split()] if factor else []
    except ValueError:
        return None
    return plausible_times(times) if len(times) == count else None


def plausible_times(starts: list[float]) -> list[float] | None:
    """The times when they rise in steps that DCE phases can have, else None."""
    steps = np.diff(starts)
    shortest, longest = PLAUSIBLE_STEP_S
    return starts if len(steps) and steps.min() >= shortest and steps.max() <= longest else None
