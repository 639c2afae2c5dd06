"""Every series of an examination: what it is, whether a reading uses it and as which phase, else why not.

It asks the room that a reading asks (`examination`), so both always agree. Pixels are decoded only to tell
copies: a file whose pixels are damaged shows when it is read.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from HER2ViTLib.files.inputs import is_dicom
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, ReadingWarning

from .contents import Other, read_headers
from .examination import Examination
from .files import dicom_files
from .frames import MAGNITUDE, NEVER_READ, WATER, Frame
from .naming import CORRECTED, names_by_kind
from .relations import is_made_of_phases, is_same_place, may_be_dynamic, moments
from .remarks import why_not
from .selection import EVERYTHING

WITHOUT_NAMES = "this folder"
_UNCLEAR = "it is not clear which series are meant, see the last line"


@dataclass(frozen=True)
class ListedSeries:
    """A series of an examination. `number`: empty where it has none. `images`: how many; `size` (columns,
    rows, slices) and `spacing_mm`, None where they have no place in the patient. `phases`: as which phases a
    reading uses it, from 0; where it does not, `why_not`, and in `choose` the flag that has it read, empty
    where none does. `examination` (from 1) tells studies in one folder apart. `description` and `uid` are
    empty unless names are kept.
    """

    number: str
    what: str
    images: int
    size: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float] | None
    phases: tuple[int, ...]
    why_not: str
    choose: str
    examination: int
    description: str
    uid: str

    def to_json(self) -> dict[str, Any]:
        about = {
            "examination": self.examination,
            "number": int(self.number) if self.number else None,
            "what": self.what,
            "images": self.images,
            "size": self.size,
            "spacing_mm": self.spacing_mm,
            "phases": self.phases,
            "why_not": self.why_not or None,
            "choose": self.choose or None,
        }
        return about if not self.uid else {**about, "description": self.description, "uid": self.uid}


@dataclass(frozen=True)
class Listing:
    """The series of a folder; the number of phases that a reading uses of them, with what is doubtful; or why
    it refuses the folder.
    """

    series: tuple[ListedSeries, ...]
    phases: int
    warnings: tuple[ReadingWarning, ...]
    refused: str

    def to_json(self) -> dict[str, Any]:
        return {
            "phases": self.phases,
            "refused": self.refused or None,
            "warnings": [{"code": one.code, "text": one.text} for one in self.warnings],
            "series": [one.to_json() for one in self.series],
            "notice": RESEARCH_NOTICE,
        }


def list_series(path: str | os.PathLike, keep_names: bool = False) -> Listing:
    """The series in a DICOM folder (subfolders included) or file, as a reading without flags takes them.

    Descriptions and UIDs are left out unless `keep_names`. Raises `InputError` for what is no DICOM folder or
    file, and for a header that is broken, as a reading does.
    """
    if not is_dicom(path, "a DICOM folder"):
        raise InputError(f"{path}: is no DICOM file; give a DICOM folder")
    frames, others = read_headers(dicom_files(Path(path)))
    names = {series: names_by_kind(members) for series, members in _by_series(frames).items()}
    if not keep_names:
        frames = [replace(frame, description="") for frame in frames]
        others = [replace(other, description="") for other in others]
    examination = Examination(frames, str(path) if keep_names else WITHOUT_NAMES)
    refused = ""
    try:
        examination.sort(EVERYTHING)
    except InputError as fault:
        refused = str(fault) if keep_names else _without_paths(str(fault), frames)
    studies = sorted({frame.study for frame in frames} | {other.study for other in others})
    sorting = _Sorting(examination, bool(refused), studies, keep_names)
    listed = [_listed(members, names[series], sorting) for series, members in _by_series(frames).items()]
    by_kind: dict[tuple[str, str], list[Other]] = defaultdict(list)
    for other in others:
        by_kind[other.series, other.what].append(other)
    listed += [_listed_other(members, sorting) for members in by_kind.values()]
    listed.sort(key=lambda one: (one.examination, int(one.number or 0), one.what, one.images))
    if refused:
        return Listing(tuple(listed), 0, (), refused)
    return Listing(tuple(listed), len(examination.stack.phases), examination.warnings, "")


@dataclass(frozen=True)
class _Sorting:
    """What all series of a listing are seen against: `studies` (UIDs) in the order they are counted in."""

    examination: Examination
    is_refused: bool
    studies: Sequence[str]
    keep_names: bool

    def phases_of(self, series: str) -> tuple[int, ...]:
        """As which phases a reading uses a series (UID)."""
        phases = [] if self.is_refused else self.examination.stack.phases
        owners = [set(_by_series(phase)) for phase in phases]
        return tuple(n for n, its in enumerate(owners) if series in its)


def _by_series(frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    members: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        members[frame.series].append(frame)
    return members


def _without_paths(text: str, frames: Sequence[Frame]) -> str:
    for path in {str(frame.path) for frame in frames}:
        text = text.replace(path, "a file of it")
    return text


def _listed(members: Sequence[Frame], names: dict[str, str], sorting: _Sorting) -> ListedSeries:
    first = members[0]
    phases = sorting.phases_of(first.series)
    size, spacing = _size(members)
    return ListedSeries(
        number=first.series_number,
        what=_what(members, names, phases, sorting.examination),
        images=len(members),
        size=size,
        spacing_mm=spacing,
        phases=phases,
        why_not="" if phases else _why_not(members, sorting),
        choose=_flag(first, sorting) if spacing and not phases else "",
        examination=1 + sorting.studies.index(first.study),
        description=first.description,
        uid=first.series if sorting.keep_names else "",
    )


def _listed_other(members: Sequence[Other], sorting: _Sorting) -> ListedSeries:
    first = members[0]
    return ListedSeries(
        number=first.series_number,
        what=first.what,
        images=sum(one.images for one in members),
        size=None,
        spacing_mm=None,
        phases=(),
        why_not="holds no slices of a series",
        choose="",
        examination=1 + sorting.studies.index(first.study),
        description=first.description,
        uid=first.series if sorting.keep_names else "",
    )


def _what(
    members: Sequence[Frame], names: dict[str, str], phases: Sequence[int], examination: Examination
) -> str:
    """What a series is, where it stands among the others."""
    first = members[0]
    count = len(examination.stack.phases)
    if phases and count > 1:
        dynamic = f"DCE-MRI, {count} phases" if len(phases) == count else "DCE-MRI"
        names = {**names, examination.stack.frames[0].kind: dynamic}
    if first.series in examination.originals and examination.reasons[first.series]:
        return f"re-sent copy of series {examination.originals[first.series] or '?'}"
    made_of = _of_the_same_moments(members, examination.frames)
    name = " + ".join(names.values())
    return f"{name} of series {made_of}" if name == CORRECTED and made_of else name


def _why_not(members: Sequence[Frame], sorting: _Sorting) -> str:
    examination = sorting.examination
    first = members[0]
    told = examination.reasons[first.series]
    if told or not sorting.is_refused:
        return told or why_not(members, examination.stack.frames)
    if first.kind not in (MAGNITUDE, WATER):
        return f"{first.kind} images"
    if first.is_derived:
        return "derived images"
    if not may_be_dynamic(first):
        return f"its echo time of {first.protocol[3]:g} ms is not that of a dynamic series"
    alike = _of_the_same_moments(members, examination.frames)
    return f"{_UNCLEAR}; taken at the moments of series {alike}" if alike else _UNCLEAR


def _of_the_same_moments(members: Sequence[Frame], frames: Sequence[Frame]) -> str:
    """The numbers of other original series with images of the same moments and places; empty for none."""
    ours = moments(members)
    found = {}
    for frame in frames:
        is_other = frame.series != members[0].series and frame.study == members[0].study
        is_other = is_other and not frame.is_derived and not is_made_of_phases(frame)
        if ours and is_other and frame.moment_s in ours and is_same_place([frame], members):
            found[frame.series] = frame.series_number or "?"
    return " + ".join(sorted(found.values(), key=lambda number: (len(number), number)))


def _flag(frame: Frame, sorting: _Sorting) -> str:
    """The flag that has a series read."""
    if frame.kind in NEVER_READ:
        return ""
    if frame.kind not in (MAGNITUDE, WATER):
        return f"--image-type {frame.kind}"
    frames = sorting.examination.frames
    same = {one.series for one in frames if one.series_number == frame.series_number}
    if frame.series_number and len(same) == 1:
        return f"--series {frame.series_number}"
    return f"--series {frame.series}" if sorting.keep_names else "--series UID (--keep-names shows it)"


def _size(members: Sequence[Frame]) -> tuple[tuple[int, int, int], tuple[float, float, float] | None]:
    """Columns, rows and slices; and their distances (mm), None for a single slice or several orientations."""
    first = members[0]
    along = np.unique(np.round(np.array([frame.position for frame in members]) @ first.normal, 2))
    places = {tuple(np.round(frame.position, 2)) for frame in members}
    size = (first.columns, first.rows, len(places))
    is_one_stack = all(np.abs(frame.orientation - first.orientation).max() <= 1e-3 for frame in members)
    if not is_one_stack or len(along) < 2:
        return size, None
    step = float(np.median(np.diff(along)))
    return size, (first.protocol[1], first.protocol[0], round(step, 3))


def _phases_text(phases: Sequence[int]) -> str:
    """Phases as a range, or one by one."""
    if len(phases) == 1:
        return f"phase {phases[0]}"
    if list(phases) == list(range(phases[0], phases[-1] + 1)):
        return f"phases {phases[0]} to {phases[-1]}"
    return f"phases {', '.join(map(str, phases))}"


def listing_text(listing: Listing) -> str:
    """The listing for the screen, a line a series."""
    several = len({one.examination for one in listing.series}) > 1
    lines = [_line(one, several) for one in listing.series]
    lines += [f"Warning  {one.code}: {one.text}" for one in listing.warnings]
    if listing.refused:
        lines.append(f"A reading refuses it: {listing.refused}")
    else:
        lines.append(f"A reading uses {listing.phases} phase{'s'[: listing.phases > 1]}.")
    return "\n".join(lines)


def _line(one: ListedSeries, several: bool) -> str:
    where = f"examination {one.examination}, " if several else ""
    quoted = f' "{one.description}"' if one.description else ""
    uid = f" ({one.uid})" if one.uid else ""
    parts = [f"{one.images} image{'s'[: one.images != 1]}"]
    parts += [" x ".join(map(str, one.size))] if one.size else []
    parts += [" x ".join(f"{value:.4g}" for value in one.spacing_mm) + " mm"] if one.spacing_mm else []
    role = f"used as {_phases_text(one.phases)}" if one.phases else f"not used: {one.why_not}"
    cure = f"; to read it: {one.choose}" if one.choose else ""
    return f"{where}series {one.number or '?'}{quoted}{uid}: {one.what}; {', '.join(parts)}; {role}{cure}"
