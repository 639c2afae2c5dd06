"""When the phases of a study were taken, as whoever gives the images says. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GivenTimes:
    """The phases' starts in their order, and that of contrast where known: seconds on one clock."""

    starts_s: tuple[float, ...]
    contrast_start_s: float | None = None
