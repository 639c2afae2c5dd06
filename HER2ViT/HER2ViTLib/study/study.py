"""A DCE-MRI study: its phases with times and geometry, from files or volumes.

Nothing but pixels, geometry and relative times is kept of a header: no name, identifier or date; of DICOM
the frame of reference, to compare with an outline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from HER2ViTLib.files.hashes import FILE, VOXELS, InputHash, array_sha256
from HER2ViTLib.imaging.series import StoredSlice
from HER2ViTLib.imaging.volume import Geometry, Volume, require_finite
from HER2ViTLib.messages import InputError, ReadingWarning


@dataclass(frozen=True)
class Phase:
    """One volume of the series. Times in seconds, on one clock for all phases of a study; None = unknown.

    `stored`: where its slices are, as read, whatever axis the volume is cut across since; empty for what is
    no DICOM.
    """

    volume: Volume
    start_s: float | None = None
    duration_s: float | None = None
    stored: tuple[StoredSlice, ...] = ()


@dataclass(frozen=True)
class Study:
    """The phases of a DCE-MRI in time order, all of one geometry.

    `contrast_start_s` is on the clock of the phases. `inputs` are the hashes of what was read, in the roles
    of `image_roles`. `slice_axis` names the axis of the stored array that the slices are cut across. `notes`
    say, without alarm, what was done with the files (series not used). `frame_of_reference`: its DICOM UID,
    empty where it has none; no result holds it.
    """

    phases: tuple[Phase, ...]
    contrast_start_s: float | None = None
    inputs: tuple[InputHash, ...] = ()
    warnings: tuple[ReadingWarning, ...] = ()
    slice_axis: str = "k"
    notes: tuple[str, ...] = ()
    frame_of_reference: str = ""

    @property
    def geometry(self) -> Geometry:
        return self.phases[0].volume.geometry

    @property
    def starts_s(self) -> list[float] | None:
        """When the phases started (s), None unless that is known of every one."""
        starts = [phase.start_s for phase in self.phases if phase.start_s is not None]
        return starts if len(starts) == len(self.phases) else None

    def with_slice_axis(self, axis: str) -> Study:
        """The study cut across array axis `axis` ("i", "j" or "k"); nothing is resampled."""
        cut = tuple(replace(phase, volume=phase.volume.with_slice_axis(axis)) for phase in self.phases)
        return replace(self, phases=cut, slice_axis=axis)


def image_roles(count: int) -> list[str]:
    """What a result calls the images that were given: "image", or "phase0", "phase1", ... where there are
    several.
    """
    return ["image"] if count == 1 else [f"phase{n}" for n in range(count)]


def image_hashes(hashes: Sequence[str], of: str) -> tuple[InputHash, ...]:
    """The hashes (SHA-256) of the images that were given, with their roles; `of` as in `InputHash`."""
    return tuple(InputHash(role, sha256, of) for role, sha256 in zip(image_roles(len(hashes)), hashes))


def study_from_volumes(
    volumes: Sequence[Volume],
    starts_s: Sequence[float | None] | None = None,
    durations_s: Sequence[float | None] | None = None,
    contrast_start_s: float | None = None,
    names: Sequence[str] | None = None,
    file_hashes: Sequence[str] = (),
    warnings: Sequence[ReadingWarning] = (),
) -> Study:
    """A study from volumes in time order; times (s) where known, on one clock; `names` is what faults call
    the volumes.

    `file_hashes`: SHA-256 of the file that each volume was read from; without them the voxels are hashed.
    `warnings` are what is already known to be doubtful about the volumes. Raises `InputError` for no volume,
    voxels that are not finite, different geometries.
    """
    if not volumes:
        raise InputError("no image given; choose at least one DCE volume")
    names = names or [f"phase {n}" for n in range(len(volumes))]
    for volume, name in zip(volumes, names):
        require_finite(volume.array, name)
    require_equal_geometry(volumes, names)
    starts_s = starts_s or [None] * len(volumes)
    durations_s = durations_s or [None] * len(volumes)
    phases = tuple(map(Phase, volumes, starts_s, durations_s))
    inputs = image_hashes(file_hashes, FILE)
    if not inputs:
        inputs = image_hashes([array_sha256(volume.array) for volume in volumes], VOXELS)
    return on_its_own_clock(Study(phases, contrast_start_s, inputs, tuple(warnings)))


def require_different(keys: Sequence[object], paths: Sequence[Path]) -> None:
    """Raises `InputError` when two inputs are one and the same."""
    for n, key in enumerate(keys):
        if key in keys[:n]:
            raise InputError(
                f"{paths[n]}: is the same image as {paths[keys.index(key)]}; give each phase once"
            )


def require_equal_geometry(volumes: Sequence[Volume], names: Sequence[str]) -> None:
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


def on_its_own_clock(study: Study) -> Study:
    """The study with times counted from its earliest phase; without times where one phase has none.

    Absolute times are dropped: they could help to identify the patient.
    """
    starts = study.starts_s
    if starts is None:
        untimed = tuple(replace(phase, start_s=None, duration_s=None) for phase in study.phases)
        return replace(study, contrast_start_s=None, phases=untimed)
    zero = min(starts)
    phases = tuple(
        replace(phase, start_s=start - zero) for phase, start in zip(study.phases, starts, strict=True)
    )
    contrast_start = None if study.contrast_start_s is None else study.contrast_start_s - zero
    return replace(study, phases=phases, contrast_start_s=contrast_start)
