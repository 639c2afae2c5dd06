"""A DCE-MRI study: phases with times and geometry, and which of them is the pre-contrast and which the early phase.

Nothing but pixels, geometry and relative times is kept of a header: no name, identifier or date.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .inputs import require_file
from .messages import InputError, ReadingWarning
from .series import Series, array_sha256, is_dicom_file, read_image_file, unwrap_midnight
from .volume import Geometry, Volume, bounding_box, require_finite

EARLY_PHASE_S = 90.0
"""Wanted time of the early phase after the start of contrast: breast cancers reach their first peak 60-120 s after injection."""
EARLY_ENHANCEMENT = 0.9
"""Without times, the early phase is the first with this share of the maximal enhancement."""
NO_ENHANCEMENT = 0.1
"""Relative enhancement of the ROI below which the outline, or the choice of phases, is doubtful."""
BORDER = 0.05
"""Share of the image at each in-plane edge left out where no ROI says where to look: coil flare and fold-over are brightest there."""


@dataclass(frozen=True)
class Phase:
    """One volume of the series. Times in seconds, on one clock for all phases of a study; None = unknown."""

    volume: Volume
    start_s: float | None = None
    duration_s: float | None = None

    @property
    def time_s(self) -> float | None:
        """The middle of the acquisition when its duration is known, else its start."""
        if self.start_s is None:
            return None
        return self.start_s + (self.duration_s or 0.0) / 2


@dataclass(frozen=True)
class Study:
    """The phases of a DCE-MRI in time order, all of one geometry.

    `contrast_start_s` is on the clock of the phases. `image_sha256` holds (role, SHA-256) of what was read: "image", or
    "phase0", "phase1", ... where each phase came separately. `slice_axis` names the axis of the stored array that the slices are cut across.
    """

    phases: tuple[Phase, ...]
    contrast_start_s: float | None = None
    image_sha256: tuple[tuple[str, str], ...] = ()
    warnings: tuple[ReadingWarning, ...] = ()
    slice_axis: str = "k"

    @property
    def geometry(self) -> Geometry:
        return self.phases[0].volume.geometry

    def with_slice_axis(self, axis: str) -> Study:
        """The study cut across array axis `axis` ("i", "j" or "k"); nothing is resampled."""
        cut = tuple(replace(phase, volume=phase.volume.with_slice_axis(axis)) for phase in self.phases)
        return replace(self, phases=cut, slice_axis=axis)


@dataclass(frozen=True)
class EarlyPhase:
    """The phase that is read, and why.

    `rule`: "given" (the only image), "user", "time" (nearest to 90 s after contrast) or "enhancement" (no times).
    `time_s`: seconds after the start of contrast, None = unknown. `detail`: one line on what the choice rests on.
    """

    index: int
    rule: str
    time_s: float | None
    detail: str


# Reading


def load_study(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> Study:
    """A study from a DICOM folder, one 4D file (NIfTI, NRRD, Slicer's `.seq.nrrd`), one 3D file, or one file per phase in time order.

    Raises `InputError` for whatever is not such a study: missing files, colour or 2D images, NaN, phases of different geometry,
    a file given twice, a 4D file among several.
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not paths:
        raise InputError("no image given; give a DICOM folder, a 4D file, or one file per phase")
    paths = [Path(path) for path in paths]
    if len(paths) == 1:
        series = _read(paths[0])
        phases = tuple(map(Phase, series.volumes, series.starts_s, series.durations_s))
        study = Study(phases, series.contrast_start_s, (("image", series.sha256),), _warnings(series.left_out))
        names = [f"{paths[0]} phase {n}" for n in range(len(phases))]
    else:
        study = _one_phase_each(paths)
        names = [str(path) for path in paths]
    _require_equal_geometry([phase.volume for phase in study.phases], names)
    return _on_its_own_clock(study)


def _one_phase_each(paths: Sequence[Path]) -> Study:
    """A study of files (or DICOM folders) that hold a phase each, in the order given."""
    series = [_read(path) for path in paths]
    _require_different([os.path.realpath(path) for path in paths], paths)
    for path, one in zip(paths, series):
        if len(one.volumes) > 1:
            raise InputError(f"{path}: holds {len(one.volumes)} phases; give it alone, or one file per phase")
    _require_different([one.sha256 for one in series], paths)
    starts = unwrap_midnight([one.starts_s[0] for one in series])
    contrast_starts = {one.contrast_start_s for one in series} - {None}
    return Study(
        phases=tuple(Phase(one.volumes[0], start, one.durations_s[0]) for one, start in zip(series, starts)),
        contrast_start_s=contrast_starts.pop() if len(contrast_starts) == 1 else None,
        image_sha256=tuple((f"phase{n}", one.sha256) for n, one in enumerate(series)),
        warnings=_warnings(sum(one.left_out for one in series)),
    )


def _read(path: Path) -> Series:
    """The phases in one file or DICOM folder."""
    if _is_dicom(path):
        from .dicom import read_dicom  # pydicom takes longer to import than a NIfTI study to read

        return read_dicom(path)
    return read_image_file(path)


def _is_dicom(path: Path) -> bool:
    try:
        return path.is_dir() or is_dicom_file(require_file(path, "a DICOM folder or an image file"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _warnings(left_out: int) -> tuple[ReadingWarning, ...]:
    text = f"{left_out} other series of the DICOM folder not used (scouts, other sequences, derived images)"
    return (ReadingWarning("series_left_out", text),) if left_out else ()


def _on_its_own_clock(study: Study) -> Study:
    """The study with times counted from its earliest phase: the time of day of an examination is nobody's business."""
    starts = [phase.start_s for phase in study.phases]
    if None in starts:
        return replace(study, contrast_start_s=None, phases=tuple(Phase(phase.volume) for phase in study.phases))
    zero = min(starts)
    phases = tuple(replace(phase, start_s=phase.start_s - zero) for phase in study.phases)
    return replace(study, phases=phases, contrast_start_s=None if study.contrast_start_s is None else study.contrast_start_s - zero)


def image_roles(count: int) -> list[str]:
    """What a result calls the images that were given: "image", or "phase0", "phase1", ... where there are several."""
    return ["image"] if count == 1 else [f"phase{n}" for n in range(count)]


def study_from_volumes(
    volumes: Sequence[Volume],
    starts_s: Sequence[float | None] | None = None,
    durations_s: Sequence[float | None] | None = None,
    contrast_start_s: float | None = None,
    names: Sequence[str] | None = None,
    image_sha256: Sequence[tuple[str, str]] = (),
) -> Study:
    """A study from volumes in time order; times (s) where known, on one clock; `names` is what faults call the volumes.

    Without `image_sha256` the voxels are hashed. Raises `InputError` for no volume, voxels that are not finite, different geometries.
    """
    if not volumes:
        raise InputError("no image given; choose at least one DCE volume")
    names = names or [f"phase {n}" for n in range(len(volumes))]
    for volume, name in zip(volumes, names):
        require_finite(volume.array, name)
    _require_equal_geometry(volumes, names)
    starts_s = starts_s or [None] * len(volumes)
    durations_s = durations_s or [None] * len(volumes)
    phases = tuple(map(Phase, volumes, starts_s, durations_s))
    digests = tuple(image_sha256) or tuple(zip(image_roles(len(volumes)), (array_sha256(volume.array) for volume in volumes)))
    return Study(phases, contrast_start_s, digests)


def _require_different(keys: Sequence[object], paths: Sequence[Path]) -> None:
    """Raises `InputError` when two inputs are one and the same."""
    for n, key in enumerate(keys):
        if key in keys[:n]:
            raise InputError(f"{paths[n]}: is the same image as {paths[keys.index(key)]}; give each phase once")


def _require_equal_geometry(volumes: Sequence[Volume], names: Sequence[str]) -> None:
    """Raises `InputError` with a line for each volume that does not lie where the first one lies."""
    first = volumes[0].geometry
    faults = [
        f"{name}: lies elsewhere than {names[0]} ({_difference(volume.geometry, first)}); resample it onto the first phase or leave it out"
        for volume, name in zip(volumes[1:], names[1:])
        if not volume.geometry.matches(first)
    ]
    if faults:
        raise InputError(faults)


def _difference(geometry: Geometry, reference: Geometry) -> str:
    """What differs between two geometries, in words."""

    def words(values: Sequence[float]) -> str:
        return " x ".join(f"{value:g}" for value in values)

    if geometry.shape != reference.shape:
        return f"size {words(geometry.shape[::-1])} against {words(reference.shape[::-1])}"
    for name in ("spacing", "direction", "origin"):
        ours, theirs = (np.round(getattr(g, name), 5) for g in (geometry, reference))
        if not np.array_equal(ours, theirs):
            return f"{name} {words(ours)} against {words(theirs)}"
    return "voxels shifted by more than 1e-3 of a voxel"


# Choosing phases


def pre_phase_index(study: Study, override: int | str | None = None) -> int | None:
    """Index of the (last) pre-contrast phase, None when there is none.

    `override`: an index, "none", or None for the rule: the last phase before a plausible contrast start, else phase 0 of several.
    Raises `InputError` for an index out of range.
    """
    count = len(study.phases)
    if override is not None:
        if str(override).lower() == "none":
            return None
        if count == 1:
            raise InputError(f"pre-contrast phase {override}: only one image is given, and it is read as the early phase; give both")
        return _index_in_range(override, count, "pre-contrast")
    if count == 1:
        return None
    contrast_start = _plausible_contrast_start(study, 0)
    if contrast_start is None:
        return 0
    times = [phase.time_s for phase in study.phases]
    return max((n for n, time in enumerate(times) if time < contrast_start), default=0, key=times.__getitem__)


def choose_early_phase(study: Study, roi: np.ndarray | None, pre: int | None, override: int | None = None) -> EarlyPhase:
    """The early phase: the user's, the only one, the one nearest to 90 s after contrast (tie: earlier), or by enhancement.

    `roi`: boolean (K, J, I) on the study's geometry, or None. `pre`: index of the pre-contrast phase. Contrast starts at the header's
    contrast start, when plausible, else with the end of the pre-contrast phase. Without times: the first phase whose mean enhancement
    over the ROI (without one: over the top 1 % of maximal enhancement) is at least 90 % of its maximum.
    Raises `InputError` for an override out of range or equal to the pre-contrast phase.
    """
    timing = _times_after_contrast(study, pre)
    if override is not None:
        index = _index_in_range(override, len(study.phases), "early")
        if index == pre:
            raise InputError(
                f"early phase {index}: is the pre-contrast phase; choose another one of 0-{len(study.phases) - 1}, or another pre-contrast phase"
            )
        return EarlyPhase(index, "user", timing[0][index] if timing else None, "chosen by the user")
    if len(study.phases) == 1:
        return EarlyPhase(0, "given", None, "the only image given")
    candidates = [n for n in range(len(study.phases)) if n != pre]
    if timing:
        times, source = timing
        candidates = [n for n in candidates if times[n] >= 0] or candidates
        index = min(candidates, key=lambda n: (round(abs(times[n] - EARLY_PHASE_S), 3), times[n]))
        return EarlyPhase(index, "time", times[index], f"nearest to {EARLY_PHASE_S:g} s after contrast: {source}")
    means = _mean_signals(study, _where_enhancing(study, pre) if roi is None else roi)
    enhancement = means - means[pre] if pre is not None else means
    maximum = max(enhancement[n] for n in candidates)
    # a maximum below zero (nothing enhances) is met only by itself
    index = next(n for n in candidates if enhancement[n] >= min(EARLY_ENHANCEMENT * maximum, maximum))
    where = "the top 1 % of enhancement" if roi is None else "the ROI"
    what = "signal (no pre-contrast phase)" if pre is None else "enhancement"
    return EarlyPhase(index, "enhancement", None, f"no phase times: first phase with at least 90 % of the maximal mean {what} over {where}")


def phase_warnings(study: Study, roi: np.ndarray | None, pre: int | None, early: int | None = None) -> list[ReadingWarning]:
    """What is doubtful about the phases: `phase_order`, `no_enhancement`, `no_pre_contrast`, `maybe_reformatted`.

    `roi`: boolean (K, J, I) or None; `no_enhancement` needs it and `early`.
    """
    warnings = []
    spacing = study.geometry.spacing
    if spacing[2] < 0.99 * max(spacing[:2]):
        text = f"slices are {spacing[2]:.3g} mm apart, pixels up to {max(spacing[:2]):.3g} mm: perhaps reformatted; see the slice axis option"
        warnings.append(ReadingWarning("maybe_reformatted", text))
    if pre is None:
        return [*warnings, ReadingWarning("no_pre_contrast", "no pre-contrast phase: phase order and enhancement were not checked")]
    means = _mean_signals(study, _where_changing(study) if roi is None else roi)
    # a second baseline may lie below the first by its noise, hence the margin
    if means[pre] - means.min() > 0.05 * (means.max() - means.min()):
        text = f"phase {pre}, taken as pre-contrast, is not the least enhanced (phase {int(means.argmin())} is): check the order of the phases"
        warnings.append(ReadingWarning("phase_order", text))
    if roi is not None and early is not None and means[early] - means[pre] < NO_ENHANCEMENT * abs(means[pre]):
        text = f"the ROI enhances by less than {NO_ENHANCEMENT:.0%} from phase {pre} to phase {early}: check outline and phases"
        warnings.append(ReadingWarning("no_enhancement", text))
    return warnings


def subtraction(study: Study, early: int, pre: int) -> np.ndarray:
    """Early minus pre-contrast phase, float32 (K, J, I)."""
    return np.subtract(study.phases[early].volume.array, study.phases[pre].volume.array, dtype=np.float32, casting="unsafe")


def _index_in_range(value: int | str, count: int, what: str) -> int:
    """The phase index the user gave. Raises `InputError` when there is no such phase."""
    try:
        index = int(value)
    except ValueError:
        index = -1
    if not 0 <= index < count:
        raise InputError(f"{what} phase {value}: not there; give 0-{count - 1} (the first phase is 0)")
    return index


def _plausible_contrast_start(study: Study, pre: int | None) -> float | None:
    """The header's contrast start, None when it cannot be: before the pre-contrast phase (injectors and scanners keep their own clocks),
    after the start of the last phase, or, without a pre-contrast phase, ten minutes or more before the first.
    """
    starts = [phase.start_s for phase in study.phases]
    if study.contrast_start_s is None or None in starts:
        return None
    earliest = min(starts) - 600 if pre is None else starts[pre]
    return study.contrast_start_s if earliest < study.contrast_start_s < max(starts) else None


def _times_after_contrast(study: Study, pre: int | None) -> tuple[list[float], str] | None:
    """Seconds after the start of contrast for each phase and, in words, what they rest on; None without times.

    Where no duration is known, a phase is taken to end with the shortest interval between two phases.
    """
    starts = [phase.start_s for phase in study.phases]
    if None in starts:
        return None
    has_durations = all(phase.duration_s for phase in study.phases)
    contrast_start = _plausible_contrast_start(study, pre)
    if contrast_start is not None:
        zero, source = contrast_start, "contrast start of the header"
    elif pre is not None and study.phases[pre].duration_s:
        zero, source = starts[pre] + study.phases[pre].duration_s, f"end of phase {pre}"
    elif pre is not None and len(set(starts)) > 1:
        zero, source = starts[pre] + float(np.diff(sorted(set(starts))).min()), f"estimated end of phase {pre}"
    else:
        return None
    times = [(phase.time_s if has_durations else phase.start_s) - zero for phase in study.phases]
    return times, f"counted from the {source} to the {'middle' if has_durations else 'start'} of a phase"


def _mean_signals(study: Study, where: np.ndarray) -> np.ndarray:
    """Mean signal of each phase over a boolean array (K, J, I) that holds a voxel at least; only its bounding box is touched."""
    box = bounding_box(where)
    inside = where[box]
    return np.array([phase.volume.array[box][inside].mean(dtype=np.float64) for phase in study.phases])


def _where_enhancing(study: Study, pre: int | None) -> np.ndarray:
    """The top 1 % of maximal enhancement (of signal, without a pre-contrast phase), image border excluded; boolean (K, J, I)."""
    arrays = [phase.volume.array for n, phase in enumerate(study.phases) if n != pre]
    highest = np.maximum.reduce(arrays).astype(np.float32)
    return _top_percent(highest if pre is None else highest - study.phases[pre].volume.array)


def _where_changing(study: Study) -> np.ndarray:
    """The top 1 % of change between phases, whatever their order, image border excluded; boolean (K, J, I)."""
    arrays = [phase.volume.array for phase in study.phases]
    return _top_percent(np.maximum.reduce(arrays).astype(np.float32) - np.minimum.reduce(arrays))


def _top_percent(values: np.ndarray) -> np.ndarray:
    """Where a float array (K, J, I) reaches its 99th percentile inside the image border."""
    edges = [max(1, int(BORDER * n)) if n > 2 else 0 for n in values.shape[1:]]
    inner = (slice(None), *(slice(edge, n - edge) for edge, n in zip(edges, values.shape[1:])))
    where = np.zeros(values.shape, bool)
    where[inner] = values[inner] >= np.percentile(values[inner], 99)
    return where
