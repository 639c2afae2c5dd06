"""A study from files: DICOM folders, 4D files, or one file a phase."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from HER2ViTLib.dicom.selection import EVERYTHING, Selection
from HER2ViTLib.files.hashes import FILE
from HER2ViTLib.files.inputs import is_dicom
from HER2ViTLib.imaging.series import Series, read_image_file, require_one_phase
from HER2ViTLib.imaging.times import unwrap_midnight
from HER2ViTLib.messages import InputError

from .given_times import GivenTimes
from .study import (
    Phase,
    Study,
    image_hashes,
    on_its_own_clock,
    require_different,
    require_equal_geometry,
)

CLOCKS_AGREE_S = 1.0
"""Given times this close to those of the images are the same."""


def load_study(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    selection: Selection = EVERYTHING,
    times: GivenTimes | None = None,
) -> Study:
    """A study from a DICOM folder, one 4D file (NIfTI, NRRD, Slicer's `.seq.nrrd`), one 3D file, or one file
    per phase in time order.

    `selection` chooses among the series of DICOM folders. `times`, where given, count instead of those in the
    files: who gives them knows better than a header; a note says so where the two differ. Raises `InputError`
    for whatever is not such a study: missing files, colour or 2D images, NaN, phases of different geometry, a
    file given twice, a 4D file among several; a selection where nothing is DICOM; more or fewer times than
    phases.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    files = [Path(path) for path in given]
    if not files:
        raise InputError("no image given; give a DICOM folder, a 4D file, or one file per phase")
    if len(files) == 1:
        (series,) = _read(files, selection)
        study = _study_of(series, str(files[0]))
    else:
        study = _one_phase_each(files, selection)
    return study if times is None else _at_given_times(study, times, files[0])


def study_of_dicom_files(files: Sequence[Path]) -> Study:
    """The study of the one DCE-MRI among DICOM files, such as those of a series in a database: what
    `load_study` makes of a folder with them. Raises `InputError` as it does.
    """
    from HER2ViTLib.dicom.series import read_dicom_files

    return _study_of(read_dicom_files(files), "the images")


def _study_of(series: Series, name: str) -> Study:
    """The study of phases that were read together; `name` is what faults call them."""
    phases = _phases(series)
    hashes = image_hashes([series.sha256], FILE)
    study = Study(
        phases,
        series.contrast_start_s,
        hashes,
        series.warnings,
        notes=series.notes,
        frame_of_reference=series.frame_of_reference,
    )
    names = [f"{name} phase {n}" for n in range(len(phases))]
    require_equal_geometry([phase.volume for phase in phases], names)
    return on_its_own_clock(study)


def _at_given_times(study: Study, times: GivenTimes, path: Path) -> Study:
    """The study with the given starts. The files' durations and contrast start go, too: they belong to
    another clock.
    """
    if len(times.starts_s) != len(study.phases):
        raise InputError(
            f"{path}: the study has {len(study.phases)} phases, phase_times_s gives {len(times.starts_s)}"
            " starts; give one for each phase, or none"
        )
    timed = tuple(
        replace(phase, start_s=start, duration_s=None) for phase, start in zip(study.phases, times.starts_s)
    )
    given = on_its_own_clock(replace(study, phases=timed, contrast_start_s=times.contrast_start_s))
    differences = [
        abs(ours.start_s - theirs.start_s)
        for ours, theirs in zip(given.phases, study.phases)
        if ours.start_s is not None and theirs.start_s is not None
    ]
    if max(differences, default=0) <= CLOCKS_AGREE_S:
        return given
    apart = f"those in the images differ by up to {max(differences):.0f} s"
    note = f"the phases' times are those given with the case; {apart}"
    return replace(given, notes=(*study.notes, note))


def _one_phase_each(paths: Sequence[Path], selection: Selection) -> Study:
    """A study of files (or DICOM folders) that hold a phase each, in the order given."""
    series = _read(paths, selection)
    require_different([os.path.realpath(path) for path in paths], paths)
    for path, one in zip(paths, series):
        require_one_phase(len(one.volumes), path)
    require_different([one.sha256 for one in series], paths)
    starts = unwrap_midnight([one.starts_s[0] for one in series])
    contrast_starts = {one.contrast_start_s for one in series} - {None}
    require_equal_geometry([one.volumes[0] for one in series], [str(path) for path in paths])
    study = Study(
        phases=tuple(replace(_phases(one)[0], start_s=start) for one, start in zip(series, starts)),
        contrast_start_s=contrast_starts.pop() if len(contrast_starts) == 1 else None,
        inputs=image_hashes([one.sha256 for one in series], FILE),
        warnings=tuple(dict.fromkeys(warning for one in series for warning in one.warnings)),
        notes=tuple(dict.fromkeys(note for one in series for note in one.notes)),
        frame_of_reference=series[0].frame_of_reference,
    )
    return on_its_own_clock(study)


def _phases(series: Series) -> tuple[Phase, ...]:
    stored = series.stored or [()] * len(series.volumes)
    return tuple(map(Phase, series.volumes, series.starts_s, series.durations_s, stored))


def _read(paths: Sequence[Path], selection: Selection) -> list[Series]:
    """The phases in each file or DICOM folder; DICOM is read together, since its phases share a clock and a
    scaling.
    """
    are_dicom = [is_dicom(path, "a DICOM folder or an image file") for path in paths]
    if not any(are_dicom) and selection != EVERYTHING:
        raise InputError(
            f"{paths[0]}: is no DICOM, which alone has series and image types to "
            "choose from; leave out --series and --image-type"
        )
    of_dicom: Iterator[Series] = iter(())
    if any(are_dicom):
        # pydicom takes longer to import than a NIfTI study to read
        from HER2ViTLib.dicom.series import read_dicom

        dicom_paths = [path for path, is_one in zip(paths, are_dicom) if is_one]
        of_dicom = iter(read_dicom(dicom_paths, selection))
    return [next(of_dicom) if is_one else read_image_file(path) for path, is_one in zip(paths, are_dicom)]
