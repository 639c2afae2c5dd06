"""A DCE-MRI study: its phases with times and geometry, from files or volumes.

Nothing but pixels, geometry and relative times is kept of a header: no name, identifier or date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from HER2ViTLib.dicom.selection import EVERYTHING, Selection
from HER2ViTLib.files.inputs import require_file
from HER2ViTLib.imaging.series import Series, array_sha256, is_dicom_file, read_image_file, require_one_phase, unwrap_midnight
from HER2ViTLib.imaging.volume import Geometry, Volume, require_finite
from HER2ViTLib.messages import InputError, ReadingWarning


@dataclass(frozen=True)
class Phase:
    """One volume of the series. Times in seconds, on one clock for all phases of a study; None = unknown."""

    volume: Volume
    start_s: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Study:
    """The phases of a DCE-MRI in time order, all of one geometry.

    `contrast_start_s` is on the clock of the phases. `image_sha256` holds (role, SHA-256) of what was read: "image", or
    "phase0", "phase1", ... where each phase came separately. `slice_axis` names the axis of the stored array that the slices are cut across.
    `notes` say, without alarm, what was done with the files (series not used).
    """

    phases: tuple[Phase, ...]
    contrast_start_s: float | None = None
    image_sha256: tuple[tuple[str, str], ...] = ()
    warnings: tuple[ReadingWarning, ...] = ()
    slice_axis: str = "k"
    notes: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        return self.phases[0].volume.geometry

    def with_slice_axis(self, axis: str) -> Study:
        """The study cut across array axis `axis` ("i", "j" or "k"); nothing is resampled."""
        cut = tuple(replace(phase, volume=phase.volume.with_slice_axis(axis)) for phase in self.phases)
        return replace(self, phases=cut, slice_axis=axis)


# Reading


def load_study(
    paths: str | os.PathLike | Sequence[str | os.PathLike], selection: Selection = EVERYTHING
) -> Study:
    """A study from a DICOM folder, one 4D file (NIfTI, NRRD, Slicer's `.seq.nrrd`), one 3D file, or one file
    per phase in time order.

    `selection` chooses among the series of DICOM folders. Raises `InputError` for whatever is not such a
    study: missing files, colour or 2D images, NaN, phases of different geometry, a file given twice, a 4D
    file among several; a selection where nothing is DICOM.
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not paths:
        raise InputError("no image given; give a DICOM folder, a 4D file, or one file per phase")
    paths = [Path(path) for path in paths]
    if len(paths) == 1:
        [series] = _read(paths, selection)
        phases = tuple(map(Phase, series.volumes, series.starts_s, series.durations_s))
        study = Study(
            phases, series.contrast_start_s, (("image", series.sha256),), series.warnings, notes=series.notes
        )
        names = [f"{paths[0]} phase {n}" for n in range(len(phases))]
    else:
        study = _one_phase_each(paths, selection)
        names = [str(path) for path in paths]
    _require_equal_geometry([phase.volume for phase in study.phases], names)
    return _on_its_own_clock(study)


def _one_phase_each(paths: Sequence[Path], selection: Selection) -> Study:
    """A study of files (or DICOM folders) that hold a phase each, in the order given."""
    series = _read(paths, selection)
    _require_different([os.path.realpath(path) for path in paths], paths)
    for path, one in zip(paths, series):
        require_one_phase(len(one.volumes), path)
    _require_different([one.sha256 for one in series], paths)
    starts = unwrap_midnight([one.starts_s[0] for one in series])
    contrast_starts = {one.contrast_start_s for one in series} - {None}
    return Study(
        phases=tuple(Phase(one.volumes[0], start, one.durations_s[0]) for one, start in zip(series, starts)),
        contrast_start_s=contrast_starts.pop() if len(contrast_starts) == 1 else None,
        image_sha256=tuple((f"phase{n}", one.sha256) for n, one in enumerate(series)),
        warnings=tuple(dict.fromkeys(warning for one in series for warning in one.warnings)),
        notes=tuple(dict.fromkeys(note for one in series for note in one.notes)),
    )


def _read(paths: Sequence[Path], selection: Selection) -> list[Series]:
    """The phases in each file or DICOM folder; DICOM is read together, since its phases share a clock and a
    scaling.
    """
    is_dicom = [_is_dicom(path) for path in paths]
    if not any(is_dicom) and selection != EVERYTHING:
        raise InputError(
            f"{paths[0]}: is no DICOM, which alone has series and image types to "
            "choose from; leave out --series and --image-type"
        )
    of_dicom: Iterator[Series] = iter(())
    if any(is_dicom):
        from HER2ViTLib.dicom.series import read_dicom  # pydicom takes longer to import than a NIfTI study to read

        of_dicom = iter(read_dicom([path for path, is_one in zip(paths, is_dicom) if is_one], selection))
    return [next(of_dicom) if is_one else read_image_file(path) for path, is_one in zip(paths, is_dicom)]


def _is_dicom(path: Path) -> bool:
    try:
        return path.is_dir() or is_dicom_file(require_file(path, "a DICOM folder or an image file"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


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
    warnings: Sequence[ReadingWarning] = (),
) -> Study:
    """A study from volumes in time order; times (s) where known, on one clock; `names` is what faults call
    the volumes.

    Without `image_sha256` the voxels are hashed. `warnings` are what is already known to be doubtful about
    the volumes. Raises `InputError` for no volume, voxels that are not finite, different geometries.
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
    return _on_its_own_clock(Study(phases, contrast_start_s, digests, tuple(warnings)))


def _require_different(keys: Sequence[object], paths: Sequence[Path]) -> None:
    """Raises `InputError` when two inputs are one and the same."""
    for n, key in enumerate(keys):
        if key in keys[:n]:
            raise InputError(f"{paths[n]}: is the same image as {paths[keys.index(key)]}; give each phase once")


def _require_equal_geometry(volumes: Sequence[Volume], names: Sequence[str]) -> None:
    """Raises `InputError` with a line for each volume that does not lie where the first one lies."""
    first = volumes[0].geometry
    cure = "resample it onto the first phase or leave it out"
    faults = [
        f"{name}: lies elsewhere than {names[0]} ({volume.geometry.differences_text(first)}); {cure}"
        for volume, name in zip(volumes[1:], names[1:])
        if not volume.geometry.matches(first)
    ]
    if faults:
        raise InputError(faults)
