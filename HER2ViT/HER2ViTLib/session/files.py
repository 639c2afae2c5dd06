"""The files of a repeatability plan, and a read's session file.

A plan is a folder:

    coordinator/key.csv, plan.json     which case each code stands for; stays with the coordinator
    reader_A/read_1, reader_A/read_2   the first reader's two reads (A1, A2)
    reader_B/read_1                    the other readers' only read (B1)

A reader gets `reader_X`, or one read of it. A read's folder is whole by itself: `session.json`,
`images/CODE_phaseN.nrrd` and, once begun, `log.jsonl` and `outlines/CODE.seg.nrrd`. Images hold voxels,
geometry and nothing else of a header; times of phases are counted from the first. Every read has codes of its
own, numbered in its own order, so that a code tells nothing of the case, the manifest or another read.
A reader who must not see the first outlines again gets `read_2` with a `read_1` that holds `session.json` and
`log.jsonl` only.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTLib.study.study import Study, study_from_volumes

SESSION_FILE = "session.json"
IMAGES = "images"
OUTLINES = "outlines"
VERSION = 1
MAX_WASHOUT_DAYS = 3650
_FORMAT = "her2vit-session"
_CODE = r"\w[\w-]{0,79}"
"""Codes are file names."""


@dataclass(frozen=True)
class SessionCase:
    """A case under its code. Times of the phases in seconds from the first phase, None = unknown, as in
    `Study`.
    """

    code: str
    early_phase: int | None
    starts_s: tuple[float | None, ...]
    durations_s: tuple[float | None, ...]
    contrast_start_s: float | None

    def images(self, folder: Path) -> tuple[Path, ...]:
        """The phases' files in time order, in a read's folder."""
        return tuple(folder / IMAGES / f"{self.code}_phase{n}.nrrd" for n in range(len(self.starts_s)))

    def outline(self, folder: Path) -> Path:
        """The file of its outline there, once it has one."""
        return folder / OUTLINES / f"{self.code}.seg.nrrd"

    def to_json(self) -> dict[str, Any]:
        phases = [
            {"start_s": start, "duration_s": duration}
            for start, duration in zip(self.starts_s, self.durations_s)
        ]
        return {
            "code": self.code,
            "early_phase": self.early_phase,
            "contrast_start_s": self.contrast_start_s,
            "phases": phases,
        }


@dataclass(frozen=True)
class Read:
    """One read of the plan: its label (A1, A2, B1), the reader, which of the reader's reads it is (1 or 2),
    the days to wait after the first before the second may be opened, and the cases in the order of reading.
    """

    label: str
    reader: str
    number: int
    washout_days: float
    cases: tuple[SessionCase, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "version": VERSION,
            "read": self.label,
            "reader": self.reader,
            "number": self.number,
            "washout_days": self.washout_days,
            "cases": [case.to_json() for case in self.cases],
            "notice": RESEARCH_NOTICE,
        }


def load_read(path: str | os.PathLike) -> Read:
    """The read of a session file, or of the folder it lies in. Raises `InputError`, one line, for anything
    that is not one.
    """
    path = session_file(path)
    data = read_file(path, f"the {SESSION_FILE} of a read that her2vit session has planned")
    try:
        content = parse_json(data)
        if (content["format"], content["version"]) != (_FORMAT, VERSION):
            raise ValueError(content["version"])
        read = Read(
            content["read"],
            content["reader"],
            content["number"],
            float(content["washout_days"]),
            tuple(map(_session_case, content["cases"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: is not a session file of this version, or is damaged; get it again from the coordinator"
        ) from error
    if not _is_sound(read):
        raise InputError(
            f"{path}: is damaged (its codes, number or wash-out); get it again from the coordinator"
        )
    return read


def _is_sound(read: Read) -> bool:
    """Whether labels, codes, number and wash-out are such as a plan writes."""
    codes = [case.code for case in read.cases]
    are_names = isinstance(read.label, str) and isinstance(read.reader, str)
    are_codes = all(re.fullmatch(_CODE, code) for code in codes) and len(set(codes)) == len(codes) > 0
    return are_names and are_codes and read.number in (1, 2) and 0 <= read.washout_days <= MAX_WASHOUT_DAYS


def session_file(path: str | os.PathLike) -> Path:
    """The session file that was given, or the one in the folder that was given."""
    return Path(path) / SESSION_FILE if Path(path).is_dir() else Path(path)


def _session_case(content: Mapping[str, Any]) -> SessionCase:
    phases = content["phases"]
    early_phase = content["early_phase"]
    if (
        not phases
        or not isinstance(content["code"], str)
        or not (early_phase is None or early_phase in range(len(phases)))
    ):
        raise ValueError(content["code"])
    return SessionCase(
        content["code"],
        early_phase,
        tuple(_seconds_or_none(phase["start_s"]) for phase in phases),
        tuple(_seconds_or_none(phase["duration_s"]) for phase in phases),
        _seconds_or_none(content["contrast_start_s"]),
    )


def _seconds_or_none(value: Any) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError(value)
    return None if value is None else float(value)


def session_study(case: SessionCase, images: Sequence[Path]) -> Study:
    """The study of a session's case: the images of its phases in time order, with the times of the originals.
    Raises `InputError` for images that are missing or damaged.
    """
    volumes = [read_volume(path) for path in images]
    hashes = list(map(file_sha256, images))
    return study_from_volumes(
        volumes,
        case.starts_s,
        case.durations_s,
        case.contrast_start_s,
        [str(path) for path in images],
        hashes,
    )
