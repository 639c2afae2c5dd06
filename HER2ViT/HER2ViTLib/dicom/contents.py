"""What DICOM files hold: slices that have a place in the patient, and the rest of an examination."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from .files import sound_header
from .frames import DIFFUSION, LOCALISER, MAGNITUDE, Frame, frame_of, words_of
from .headers import BROKEN, HEADER_TAGS, Header, object_without_signal, series_of
from .plain import plain_header


@dataclass(frozen=True)
class Other:
    """A file of an examination that holds no slice to read, and `what` it is; `images`: how many it holds."""

    study: str
    series: str
    series_number: str
    description: str
    what: str
    images: int


@dataclass(frozen=True)
class Content:
    """What a file holds: slices, else what it is."""

    uid: str
    frames: list[Frame]
    other: Other | None


def read_frames(files: Sequence[Path]) -> list[Frame]:
    """Every slice in the files that has a place in space, scouts left out: see `read_headers`."""
    return read_headers(files)[0]


def read_headers(files: Sequence[Path]) -> tuple[list[Frame], list[Other]]:
    """Every slice in the files that has a place in space, and what else the files hold; copies of one and the
    same file are taken once.

    Raises `InputError` for a header that is broken.
    """
    frames: dict[tuple, Frame] = {}
    others: dict[str, Other] = {}
    weighted: set[str] = set()
    for path in files:
        with sound_header(path, "export it again or take it out of the folder"):
            content = _read(path)
            if content.other is not None:
                others.setdefault(content.uid, content.other)
            for frame in content.frames:
                # anonymisers give one UID to several images: the same image is of the same place and moment,
                # too
                moment = _moment_and_counts(frame)
                key = (content.uid, frame.number, frame.series, *frame.position, *moment)
                frames.setdefault(key, frame)
                if frame.b_value:
                    weighted.add(frame.series)
    in_order = sorted((_of_its_series(frame, weighted) for frame in frames.values()), key=_by_header)
    return in_order, list(others.values())


def _read(path: Path) -> Content:
    """What a file holds. Raises `BROKEN` for a header that is broken."""
    try:
        header = plain_header(path)
        if header is not None:
            return content_of(header, path)
    except BROKEN:
        pass  # pydicom has the word on what is broken
    # forced: `is_dicom_file` let it pass, with or without the preamble of a Part 10 file
    return content_of(
        pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS, force=True), path
    )


def content_of(header: Header, path: Path) -> Content:
    """What a file holds by its header. Raises `BROKEN` for one that is broken."""
    frames, what = _slices(header, path)
    uid = str(header.get("SOPInstanceUID") or path)
    return Content(uid, frames, None if frames else _other(header, what))


def _of_its_series(frame: Frame, weighted: set[str]) -> Frame:
    """The frame; of diffusion where its series is: images without weighting (b = 0) belong to one."""
    if frame.kind == MAGNITUDE and frame.series in weighted:
        return replace(frame, kind=DIFFUSION)
    return frame


def _slices(header: Header, path: Path) -> tuple[list[Frame], str]:
    """The slices of a file, or why there are none, in words."""
    storage = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", "")
    what = object_without_signal(str(storage))
    if what:
        return [], what
    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise ValueError("deflated files are not read, since they may inflate without end")
    if "Rows" not in header:
        return [], "no images"
    if header.get("SamplesPerPixel", 1) != 1:
        return [], "colour images"
    count = int(header.get("NumberOfFrames") or 1)
    # several frames without functional groups are a film or a rendering: they have no place each
    if count > 1 and "PerFrameFunctionalGroupsSequence" not in header:
        return [], "film or rendering"
    frames = [frame_of(header, path, number) for number in range(count)]
    is_scout = LOCALISER in words_of(header.get("ImageType"))
    return list(filter(None, frames)), "localiser" if is_scout else "images without a place in the patient"


def _other(header: Header, what: str) -> Other:
    return Other(
        *series_of(header),
        what=what,
        images=max(int(header.get("NumberOfFrames") or 1), 0) if "Rows" in header else 0,
    )


def _by_header(frame: Frame) -> tuple:
    """Sorts frames by what their headers say, so that nothing depends on how files are called."""
    known = [math.inf if value is None else value for value in _moment_and_counts(frame)]
    series = (int(frame.series_number or 0), frame.study, frame.series)
    return (*known, *series, *frame.position.tolist(), frame.kind, frame.image_type)


def _moment_and_counts(frame: Frame) -> tuple[float | None, ...]:
    """All that a header can tell of when an image was taken, and in which order."""
    times = (frame.acquisition_s, frame.offset_s, frame.temporal_position, frame.content_s, frame.series_s)
    return (*times, frame.acquisition_number, frame.instance_number)
