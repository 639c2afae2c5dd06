"""Slices of one kind as phases: in stack order, in time order, with the times of the clock that runs with
them.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from HER2ViTLib.imaging.times import DAY_S, PLAUSIBLE_STEP_S, unwrap_midnight
from HER2ViTLib.imaging.volume import Geometry, require_real_geometry
from HER2ViTLib.messages import InputError, ReadingWarning

from .frames import Frame

SAME_PLACE_MM = 0.03
"""Positions and directions written with few decimals move a slice by less; no scanner's slices lie so close.
"""
_UNEVEN = 0.01
"""Deviation of a slice from its place in the stack, as a share of the slice spacing, from which on the stack
is refused.
"""
_ANOTHER_STACK = 3.0
"""A gap of so many slice spacings is no missing slice: another stack begins."""
_STEP_S = (1.0, 3600.0)
"""Steps between phases that a clock of the header must keep to: others are counters, or gated heart beats."""
_CLOCKS = {
    ("acquisition_s",): _STEP_S,
    ("acquisition_s", "offset_s"): _STEP_S,
    ("offset_s",): _STEP_S,
    # the content time is that of writing the image: reconstructions in a row look like very quick phases
    ("content_s",): PLAUSIBLE_STEP_S,
}
"""The clocks a header may have, in the order they are believed, each the sum of some of a frame's times; and
the steps that each must keep to.
"""
_ORDERS = {
    "acquisition_s": "acquisition time",
    "temporal_position": "temporal position",
    "offset_s": "trigger time",
    "content_s": "content time",
    "series_s": "time of the series",
    "acquisition_number": "acquisition number",
    "instance_number": "instance number",
}
"""What can order phases, in words."""


@dataclass(frozen=True)
class Stack:
    """Frames of one kind and protocol as phases in time order, the slices of each in stack order (rising
    along the normal).

    `ordered_by`: what of the headers told the order of several phases.
    """

    phases: list[list[Frame]]
    ordered_by: str = ""

    @property
    def frames(self) -> list[Frame]:
        return [frame for phase in self.phases for frame in phase]


def stack_of(frames: Sequence[Frame], name: str) -> Stack:
    """Frames of one kind as phases; `name` is what faults call what they come from.

    Raises `InputError` when they do not make up complete phases: several orientations or stacks, slices
    missing, uneven or shifted, images at one position that nothing in the header brings into order.
    """
    frames = _unwrapped(frames)
    label = f"{name}: {series_label(frames)}"
    if any(np.abs(frame.orientation - frames[0].orientation).max() > 1e-3 for frame in frames):
        raise InputError(
            f"{label}: slices of several orientations; choose the series with --series NUMBER, once for each"
        )
    by_position = _by_position(frames)
    _require_one_stack(by_position, label)
    count = len(by_position[0])
    if any(len(place) != count for place in by_position):
        counts = sorted({len(place) for place in by_position})
        raise InputError(
            f"{label}: {counts[0]} to {counts[-1]} images at a slice position: "
            "slices are missing, or the phases lie at "
            "different places; export the series again, or choose the series with --series NUMBER"
        )
    ordered_by = ""
    if count > 1:
        by_position, ordered_by = _in_time_order(by_position, label)
    phases = list(map(list, zip(*by_position)))
    for phase in phases:
        _require_even(phase, label)
    return Stack(phases, ordered_by)


def series_label(frames: Iterable[Frame]) -> str:
    """The series of the frames in words, with their descriptions: for the screen, not to be handed on."""
    return "series " + " + ".join(dict.fromkeys(frame.series_label for frame in frames))


def _unwrapped(frames: Sequence[Frame]) -> list[Frame]:
    """The frames with their times of day running on over midnight."""
    acquired = unwrap_midnight([frame.acquisition_s for frame in frames])
    written = unwrap_midnight([frame.content_s for frame in frames])
    begun = unwrap_midnight([frame.series_s for frame in frames])
    return [
        replace(frame, acquisition_s=a, content_s=c, series_s=s)
        for frame, a, c, s in zip(frames, acquired, written, begun)
    ]


def unwrapped_phases(phases: Sequence[Sequence[Frame]]) -> list[list[Frame]]:
    """Phases with their times of day running on over midnight, all alike."""
    frames = iter(_unwrapped([frame for phase in phases for frame in phase]))
    return [list(itertools.islice(frames, len(phase))) for phase in phases]


def _by_position(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The frames by slice position, rising along the normal."""
    along = np.array([frame.position for frame in frames]) @ frames[0].normal
    order = np.argsort(along, kind="stable")
    places: list[list[Frame]] = []
    last = -np.inf
    for n in order:
        if along[n] - last > SAME_PLACE_MM:
            places.append([])
        places[-1].append(frames[n])
        last = along[n]
    return places


def _require_one_stack(by_position: Sequence[Sequence[Frame]], label: str) -> None:
    """Raises `InputError` for two stacks or more, as both breasts are taken in sagittal slices."""
    along = np.array([place[0].position for place in by_position]) @ by_position[0][0].normal
    gaps = np.diff(along)
    if len(gaps) < 2:
        return
    breaks = np.flatnonzero(gaps > _ANOTHER_STACK * np.median(gaps))
    sizes = np.diff([0, *(breaks + 1), len(along)])
    if len(breaks) and sizes.min() > 2:
        raise InputError(
            f"{label}: {len(sizes)} stacks of {' and '.join(map(str, sizes))} slices, "
            f"{gaps[breaks].min():.0f} mm apart (both breasts, "
            "perhaps); put the files of one stack into a folder of its own and give that"
        )


def _in_time_order(by_position: Sequence[Sequence[Frame]], label: str) -> tuple[list[list[Frame]], str]:
    """The frames at each position in time order, by the first thing in the header that tells all of them
    apart, and that in words.

    Each series counts its own temporal positions and trigger times: across series the time of day goes first,
    and where a series holds several phases, its time together with the count within it. Images of one
    acquisition are no phases, whenever they were made.
    """
    frames = [frame for place in by_position for frame in place]
    is_one_series = len({frame.series for frame in frames}) == 1
    acquired = {frame.acquisition_s for frame in frames}
    keys: list[tuple[str, ...]] = [
        ("acquisition_s",),
        ("acquisition_s", "temporal_position"),
        ("acquisition_s", "offset_s"),
    ]
    if is_one_series:
        keys += [("temporal_position",), ("offset_s",)]
    # one time all over is that of the run
    is_told = len(acquired - {None}) > 1
    if not is_told:
        keys += [("content_s",)] if is_one_series or acquired == {None} else []
        keys += [
            ("series_s",),
            ("series_s", "temporal_position"),
            ("temporal_position",),
            ("acquisition_number",),
        ]
        keys += [("instance_number",)] if is_one_series else []
    for names in keys:
        key = operator.attrgetter(*names)
        is_known = all(getattr(frame, name) is not None for frame in frames for name in names)
        if is_known and all(len(set(map(key, place))) == len(place) for place in by_position):
            return [sorted(place, key=key) for place in by_position], " and ".join(
                _ORDERS[name] for name in names
            )
    count = len(by_position[0])
    if is_told:
        raise InputError(
            f"{label}: {count} images at each position, some of them of the same acquisition "
            "time and yet different, or without one: copies, "
            "subtractions or other images lie among the phases; choose the phases with "
            "--series NUMBER, once for each series, or give one "
            "folder per phase, in time order"
        )
    raise InputError(
        f"{label}: {count} images at each position, but no temporal position, "
        "trigger, acquisition, content or series time and no "
        "acquisition number tells them apart; give one folder per phase, in time order"
    )


def order_warnings(stack: Stack, starts_s: Sequence[float | None]) -> list[ReadingWarning]:
    """`order_without_times` where the order of the phases is known and their times are not."""
    if not stack.ordered_by or None not in starts_s:
        return []
    text = (
        "the headers have no times of the phases that can be believed: they "
        f"are in the order of the {stack.ordered_by}; "
        "where that is wrong, give one folder per phase, in time order"
    )
    return [ReadingWarning("order_without_times", text)]


def _require_even(slices: Sequence[Frame], label: str) -> None:
    """Raises `InputError` unless the slices lie one above the other, at equal distances."""
    if len(slices) == 1:
        raise InputError(f"{label}: is one slice; give the folder of the whole series")
    positions = np.array([frame.position for frame in slices])
    along = positions @ slices[0].normal
    step = (along[-1] - along[0]) / (len(slices) - 1)
    gaps = np.diff(along)
    if np.abs(gaps - step).max() > max(_UNEVEN * step, SAME_PLACE_MM):
        raise InputError(
            f"{label}: slices are missing or uneven ({gaps.min():.3g} to "
            f"{gaps.max():.3g} mm apart); export the series again"
        )
    sideways = positions - positions[0] - np.outer(along - along[0], slices[0].normal)
    if np.abs(sideways).max() > 0.1 * min(slices[0].protocol[:2]):
        raise InputError(
            f"{label}: slices are shifted against each other by "
            f"{np.abs(sideways).max():.3g} mm; give one stack"
        )


def geometries_of(phases: Sequence[Sequence[Frame]], name: str) -> list[Geometry]:
    """The phases' geometries; those that differ by no more than the decimals of their headers get the one
    that most phases have.

    Raises `InputError` for what no scanner's geometry is; `name` is what faults call the phases.
    """
    found = [_geometry(phase) for phase in phases]
    for geometry in found:
        require_real_geometry(geometry, name)
    common = max(found, key=lambda geometry: sum(map(geometry.matches, found)))
    return [common if _differs_by_decimals(geometry, common) else geometry for geometry in found]


def _differs_by_decimals(geometry: Geometry, other: Geometry) -> bool:
    """Whether two geometries put the corners of the stack at the same place, but for how many decimals were
    written.
    """
    if geometry.shape != other.shape:
        return False
    last = np.array(geometry.shape[::-1]) - 1
    corners = np.array([(0, 0, 0), (last[0], 0, 0), (0, last[1], 0), (0, 0, last[2]), last])
    return bool(np.abs(geometry.to_lps(corners) - other.to_lps(corners)).max() <= SAME_PLACE_MM)


def _geometry(slices: Sequence[Frame]) -> Geometry:
    """Geometry of a stack of slices, as SimpleITK's series reader gives it."""
    first = slices[0]
    step = float((slices[-1].position - first.position) @ first.normal) / (len(slices) - 1)
    axes = np.column_stack([first.orientation[:3], first.orientation[3:], first.normal])
    return Geometry(
        shape=(len(slices), first.rows, first.columns),
        spacing=(first.protocol[1], first.protocol[0], step),
        origin=tuple(first.position.tolist()),
        direction=tuple(axes.ravel().tolist()),
    )


def clock_times(
    phases: Sequence[Sequence[Frame]],
) -> tuple[Sequence[float | None], Sequence[float | None], float | None]:
    """Start and duration (s) of the phases, and the contrast start, on the first clock of the header that
    runs with them.

    None = unknown.
    """
    for names, steps in _CLOCKS.items():
        clock = _clock(phases, names)
        if clock is not None and _runs(clock, steps):
            break
    else:
        unknown = [None] * len(phases)
        return unknown, unknown, None
    starts = [min(times) for times in clock]
    frames = [frame for phase in phases for frame in phase]
    contrast = {frame.contrast_start_s for frame in frames if frame.contrast_start_s is not None}
    # another clock; or no time of injection, but one that every series has of its own
    if names == ("offset_s",) or len(contrast) != 1:
        return starts, _durations(phases, clock), None
    contrast_start = contrast.pop()
    day = DAY_S * round((starts[0] - contrast_start) / DAY_S)
    return starts, _durations(phases, clock), contrast_start + day


def _clock(phases: Sequence[Sequence[Frame]], names: Sequence[str]) -> list[list[float]] | None:
    """The time of every slice, phase by phase: the sum of the named attributes; None where one is unknown."""
    clock = []
    for phase in phases:
        times = []
        for frame in phase:
            values = [getattr(frame, name) for name in names]
            if None in values:
                return None
            times.append(sum(values))
        clock.append(times)
    return clock


def _runs(clock: Sequence[Sequence[float]], steps: tuple[float, float]) -> bool:
    """Whether a clock goes on from phase to phase, without overlap, by steps (s) in a range."""
    if any(max(times) >= min(later) for times, later in itertools.pairwise(clock)):
        return False
    found = np.diff([min(times) for times in clock])
    return all(steps[0] <= step <= steps[1] for step in found)


def _durations(phases: Sequence[Sequence[Frame]], clock: Sequence[Sequence[float]]) -> Sequence[float | None]:
    """Durations of the phases (s) where the header has them.

    None when one runs into the next phase: then it is that of the whole series.
    """
    unknown = [None] * len(phases)
    starts = [min(times) for times in clock]
    ends = []
    for times, phase in zip(clock, phases):
        durations = [frame.duration_s for frame in phase if frame.duration_s]
        if len(durations) < len(phase):
            return unknown
        ends.append(max(time + duration for time, duration in zip(times, durations)))
    if any(end > start + 1.0 for end, start in zip(ends, starts[1:])):
        return unknown
    return [end - start for start, end in zip(starts, ends)]
