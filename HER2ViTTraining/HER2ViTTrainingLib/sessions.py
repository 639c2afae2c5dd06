"""Blinded repeatability sessions: the plan of who outlines which case when, one read's session, and what the reads left behind.

A plan is a folder:

    coordinator/key.csv, plan.json     which case each code stands for; stays with the coordinator
    reader_A/read_1, reader_A/read_2   the first reader's two reads (A1, A2)
    reader_B/read_1                    the other readers' only read (B1)

A reader gets `reader_X`, or one read of it. A read's folder is whole by itself: `session.json`, `images/CODE_phaseN.nrrd` and, once begun,
`log.jsonl` and `outlines/CODE.seg.nrrd`. Images hold voxels, geometry and nothing else of a header; times of phases are counted from the
first. Every read has codes of its own, numbered in its own order, so that a code tells nothing of the case, the manifest or another
read. Whoever is to be kept from the first outlines altogether gets `read_2` while `read_1` holds no more than `session.json` and `log.jsonl`.

Plain Python without torch, so that a radiologist's 3D Slicer runs a session before any model is installed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from HER2ViTLib import __version__
from HER2ViTLib.inputs import parse_json, read_file
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTLib.output import TEMPORARY_PREFIX, csv_bytes, json_bytes, write_atomically
from HER2ViTLib.roi import roi_on, write_segmentation
from HER2ViTLib.series import file_sha256
from HER2ViTLib.study import Study, load_study, study_from_volumes
from HER2ViTLib.volume import Geometry, Volume, read_volume, write_volume

from .cohort import Case, Cohort, grouped, read_manifest, read_table
from .processes import in_order

SESSION_FILE, LOG_FILE, LOCK_FILE = "session.json", "log.jsonl", "session.lock"
IMAGES, OUTLINES, COORDINATOR = "images", "outlines", "coordinator"
KEY_FILE, PLAN_FILE = "key.csv", "plan.json"
OPENED, SHOWN, OUTLINED, SKIPPED, OPEN = "opened", "shown", "outlined", "skipped", "open"
_FORMAT, _PLAN_FORMAT, _VERSION = "her2vit-session", "her2vit-session-plan", 1
_READER = r"[A-Za-z]([A-Za-z0-9_-]{0,18}[A-Za-z_-])?"
_CODE = r"\w[\w-]{0,79}"
"""Codes are file names."""
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST_WASHOUT_DAYS = 3650
_EVERY_FILE_FROM = 946684800  # 2000-01-01 UTC, so that times of change tell no order


# A read's session file


@dataclass(frozen=True)
class SessionCase:
    """A case under its code. Times of the phases in seconds from the first phase, None = unknown, as in `Study`."""

    code: str
    early_phase: int | None
    starts_s: tuple[float | None, ...]
    durations_s: tuple[float | None, ...]
    contrast_start_s: float | None

    def images(self, folder: Path) -> tuple[Path, ...]:
        """The phases' files in time order, in a read's folder."""
        return tuple(folder / IMAGES / f"{self.code}_phase{n}.nrrd" for n in range(len(self.starts_s)))

    def to_json(self) -> dict[str, Any]:
        phases = [{"start_s": start, "duration_s": duration} for start, duration in zip(self.starts_s, self.durations_s)]
        return {"code": self.code, "early_phase": self.early_phase, "contrast_start_s": self.contrast_start_s, "phases": phases}


@dataclass(frozen=True)
class Read:
    """One read of the plan: its label (A1, A2, B1), the reader, the number of the reader's read, and the cases in the order of reading."""

    label: str
    reader: str
    number: int
    washout_days: float
    cases: tuple[SessionCase, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "read": self.label,
            "reader": self.reader,
            "number": self.number,
            "washout_days": self.washout_days,
            "cases": [case.to_json() for case in self.cases],
            "notice": RESEARCH_NOTICE,
        }


def load_read(path: str | os.PathLike) -> Read:
    """The read of a session file, or of the folder it lies in. Raises `InputError`, one line, for anything that is not one."""
    path = _session_file(path)
    try:
        content = parse_json(read_file(path, f"the {SESSION_FILE} of a read that her2vit session has planned"))
        if (content["format"], content["version"]) != (_FORMAT, _VERSION):
            raise ValueError(content["version"])
        read = Read(
            content["read"], content["reader"], content["number"], float(content["washout_days"]), tuple(map(_session_case, content["cases"]))
        )
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not a session file of this version, or is damaged; get it again from the coordinator") from error
    codes = [case.code for case in read.cases]
    sound = all(isinstance(name, str) for name in (read.label, read.reader)) and all(re.fullmatch(_CODE, code) for code in codes)
    if not sound or not len(set(codes)) == len(codes) > 0 or read.number not in (1, 2) or not 0 <= read.washout_days <= _LONGEST_WASHOUT_DAYS:
        raise InputError(f"{path}: is damaged (its codes, number or wash-out); get it again from the coordinator")
    return read


def _session_file(path: str | os.PathLike) -> Path:
    return Path(path) / SESSION_FILE if Path(path).is_dir() else Path(path)


def _session_case(content: Mapping[str, Any]) -> SessionCase:
    phases = content["phases"]
    early_phase, contrast = content["early_phase"], content["contrast_start_s"]
    if not phases or not isinstance(content["code"], str) or not (early_phase is None or early_phase in range(len(phases))):
        raise ValueError(content["code"])
    starts, durations = (tuple(_seconds_or_none(phase[key]) for phase in phases) for key in ("start_s", "duration_s"))
    return SessionCase(content["code"], early_phase, starts, durations, _seconds_or_none(contrast))


def _seconds_or_none(value: Any) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError(value)
    return None if value is None else float(value)


# The log


def utc_now() -> datetime:
    """The time by the computer's clock, UTC."""
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Entry:
    """One line of a log: when (UTC, whole seconds), what, and the event's own values."""

    at: datetime
    event: str
    values: Mapping[str, Any]

    @property
    def code(self) -> str:
        return self.values.get("code", "")

    def to_line(self) -> bytes:
        line = {"at": self.at.strftime(_STAMP), "event": self.event, **self.values}
        return (json.dumps(line, ensure_ascii=False) + "\n").encode()


def read_log(folder: Path, codes: Sequence[str] | None = None) -> list[Entry]:
    """The entries of a read's log, none before its first opening; a torn last line, of a process that was killed while writing, is ignored.

    `codes`: the cases the read has, None = unknown. Raises `InputError` for any other damage: a line that is no entry, times that go
    back, a case that is done twice or that the read does not have.
    """
    path = folder / LOG_FILE
    data = read_file(path, "the log of the read") if path.exists() else b""
    entries: list[Entry] = []
    done: set[str] = set()
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        entry = _entry(line)
        if entry is None:
            fault = f"value {line[:40].decode('utf-8', 'replace')!r}: is no entry"
        elif entries and entry.at < entries[-1].at:
            fault = f"time {entry.at.strftime(_STAMP)} is before that of the line above"
        elif entry.event != OPENED and codes is not None and entry.code not in codes:
            fault = f"case {entry.code!r} is not one of this read"
        elif entry.code in done:
            fault = f"case {entry.code!r} was done before"
        else:
            entries.append(entry)
            done.update([entry.code] if entry.event in (OUTLINED, SKIPPED) else [])
            continue
        raise InputError(f"{path}: line {number}, {fault}; the log was changed or damaged: put back a copy of it")
    return entries


def _entry(line: bytes) -> Entry | None:
    try:
        values = parse_json(line)
        at = datetime.strptime(values.pop("at"), _STAMP).replace(tzinfo=timezone.utc)
        event = values.pop("event")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    known = event == OPENED or (event in (SHOWN, OUTLINED, SKIPPED) and isinstance(values.get("code"), str))
    whole = event != OUTLINED or isinstance(values.get("sha256"), str)
    return Entry(at, event, values) if known and whole else None


def _finished_cases(entries: Sequence[Entry]) -> dict[str, Entry]:
    return {entry.code: entry for entry in entries if entry.event in (OUTLINED, SKIPPED)}


# One read's session


@dataclass(frozen=True)
class Obstacle:
    """Why a read may not be opened, in one line, and whether a stated reason overrides it."""

    text: str
    can_override: bool


class Session:
    """One read, as the reader goes through it. The panel holds one of these and shows what it says.

    `Session(path)` looks only; `open()` takes the read, and `close()` gives it back. Then, until `finished`: `next_case()`, and for that
    case either `save_outline(mask, geometry)` or `skip(reason)`. Both are final: a blinded read is not gone over again. Whatever was saved or
    skipped is on the disk when the call returns; a process killed at any moment loses at most the outline in progress, and the next
    `open()` goes on with that case.

    Each step is a line of `log.jsonl`, with the time in UTC and, for a case that is done, the reading time: seconds from `next_case()` to
    the end, by a clock that nobody can set; after a kill it counts from when the case was shown again. A computer's clock that is behind
    the log's last entry is refused, so that the wash-out is not shortened by setting it back; a clock that is set *forward* cannot be
    detected. Two processes exclude each other by a lock of the operating system, which ends with its process.

    `now` and `seconds` are the clocks, for tests. Raises `InputError` for a session file or log that is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike, now: Callable[[], datetime] = utc_now, seconds: Callable[[], float] = time.monotonic) -> None:
        self.folder = _session_file(path).parent
        self.read = load_read(path)
        self._codes = [case.code for case in self.read.cases]
        self._now, self._seconds = now, seconds
        self._lock: FileLock | None = None
        self._entries = read_log(self.folder, self._codes)
        self._shown_at: float | None = None

    # What the panel shows

    @property
    def is_open(self) -> bool:
        return self._lock is not None

    @property
    def obstacle(self) -> Obstacle | None:
        """What keeps the read from being opened now, None when nothing does."""
        return self._clock_obstacle(self._entries, "this read's") or self._washout_obstacle()

    @property
    def may_open(self) -> bool:
        return self.obstacle is None

    @property
    def why_not(self) -> str:
        """Why the read may not be opened now, in one line; empty when it may."""
        return self.obstacle.text if self.obstacle else ""

    @property
    def may_override(self) -> bool:
        """Whether `open` takes a reason to open the read all the same."""
        return self.obstacle is not None and self.obstacle.can_override

    @property
    def current(self) -> SessionCase | None:
        """The case to outline, None when all are done."""
        done = _finished_cases(self._entries)
        return next((case for case in self.read.cases if case.code not in done), None)

    @property
    def finished(self) -> bool:
        return self.current is None

    @property
    def images(self) -> tuple[Path, ...]:
        """The current case's phases, a file each, in time order; empty when all cases are done."""
        return self.current.images(self.folder) if self.current else ()

    @property
    def progress(self) -> str:
        """Where the read stands, in one line."""
        done, total = _finished_cases(self._entries), len(self.read.cases)
        skipped = sum(entry.event == SKIPPED for entry in done.values())
        counts = f"{len(done) - skipped} outlined, {skipped} skipped"
        if self.current is None:
            return f"Read {self.read.label} is finished: {total} cases, {counts}"
        return f"Read {self.read.label}, case {len(done) + 1} of {total} ({self.current.code}); {counts}"

    # What the panel does

    def open(self, override: str = "") -> None:
        """Takes the read for this process. `override` is the reason to open it against the wash-out; it is recorded where it was needed.

        Raises `InputError` when another process has it, for a clock that is behind, and for the wash-out without an override.
        """
        if self.is_open:
            return
        lock = FileLock(str(self.folder / LOCK_FILE), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"{self.folder}: read {self.read.label} is open in another window or program; close it there") from None
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written ({error.strerror}); copy the session to a folder of your own") from error
        self._lock = lock
        try:
            self._begin(" ".join(override.split()))
        except BaseException:
            self.close()
            raise

    def next_case(self) -> SessionCase | None:
        """The current case, None when all are done; its reading time runs from here. Asked again, it is the same case and goes on running."""
        self._require_open()
        case = self.current
        if case is not None and self._shown_at is None:
            self._append(SHOWN, code=case.code)
            self._shown_at = self._seconds()
        return case

    def save_outline(self, mask: np.ndarray, geometry: Geometry) -> Path:
        """Keeps the outline of the current case, boolean (K, J, I) on `geometry`, and goes on to the next; returns the file.

        On another geometry than the images' it is resampled (nearest neighbour). Raises `InputError`, with nothing kept, for an outline
        that is empty or outside the image, a clock that is behind, a disk that is full.
        """
        case, seconds = self._case_in_progress()
        reference = read_volume(case.images(self.folder)[0]).geometry
        outline = roi_on(Volume(np.asarray(mask, bool), geometry), reference, f"case {case.code}: the outline")
        self._require_clock()
        path = self.folder / OUTLINES / f"{case.code}.seg.nrrd"
        try:
            path.parent.mkdir(exist_ok=True)
            write_segmentation(outline, reference, path)
            _to_disk(path)
        except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError when the disk is full
            raise InputError(f"{path}: cannot be written; free the disk and save again") from error
        self._append(OUTLINED, code=case.code, reading_s=seconds, sha256=file_sha256(path))
        self._shown_at = None
        return path

    def skip(self, reason: str) -> None:
        """Leaves the current case out for a stated reason and goes on to the next. Raises `InputError` without a reason."""
        case, seconds = self._case_in_progress()
        reason = " ".join(reason.split())
        if not reason:
            raise InputError(f"case {case.code}: say why it is skipped")
        self._append(SKIPPED, code=case.code, reading_s=seconds, reason=reason)
        self._shown_at = None

    def close(self) -> None:
        """Gives the read back. What was not saved is lost; the case comes again."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._shown_at = None

    def __enter__(self) -> Session:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Behind them

    def _begin(self, override: str) -> None:
        self._entries = read_log(self.folder, self._codes)
        obstacle = self.obstacle
        if obstacle and not (obstacle.can_override and override):
            raise InputError(obstacle.text)
        # Opening a finished read to look at it must not lengthen the wash-out of the next.
        if not self.finished:
            self._cut_torn_line()
            self._append(OPENED, **({"override": override, "against": obstacle.text} if obstacle else {}))

    def _clock_obstacle(self, entries: Sequence[Entry], whose: str) -> Obstacle | None:
        now = self._now()
        if not entries or _whole_seconds(now) >= entries[-1].at:
            return None
        text = f"the computer's clock ({now.strftime(_STAMP)}) is behind {whose} last entry ({entries[-1].at.strftime(_STAMP)}); set the clock"
        return Obstacle(text, False)

    def _washout_obstacle(self) -> Obstacle | None:
        """The wash-out counts from the first read's last entry; a read that was begun is through it."""
        if self.read.number == 1 or self._entries:
            return None
        first_folder = self.folder.parent / "read_1"
        if not (first_folder / SESSION_FILE).exists():
            text = f"{first_folder}: the first read is not there, so the wash-out cannot be checked"
            return Obstacle(f"{text}; put its folder back, or say why this read is opened now", True)
        first = load_read(first_folder)
        entries = read_log(first_folder, [case.code for case in first.cases])
        left = len(first.cases) - len(_finished_cases(entries))
        if left:
            return Obstacle(f"read {first.label} comes first: {left} of its {len(first.cases)} cases are not done; outline or skip them", False)
        return self._clock_obstacle(entries, f"read {first.label}'s") or self._too_early(first, entries[-1].at)

    def _too_early(self, first: Read, ended: datetime) -> Obstacle | None:
        opens = ended + timedelta(days=self.read.washout_days)
        to_wait = (opens - self._now()) / timedelta(days=1)
        if to_wait <= 0:
            return None
        rule = f"read {self.read.label} opens {self.read.washout_days:g} days after the end of {first.label}, on {opens.strftime(_STAMP)}"
        return Obstacle(f"{rule}; wait {to_wait:.1f} days, or say why it is opened now", True)

    def _case_in_progress(self) -> tuple[SessionCase, float]:
        """The case that is shown and its reading time so far, s."""
        self._require_open()
        case = self.current
        if case is None or self._shown_at is None:
            raise InputError(f"{self.folder}: no case is shown; go to the next case first")
        return case, round(self._seconds() - self._shown_at, 1)

    def _require_open(self) -> None:
        if not self.is_open:
            raise InputError(f"{self.folder}: read {self.read.label} is not open; open it first")

    def _require_clock(self) -> None:
        obstacle = self._clock_obstacle(self._entries, "this read's")
        if obstacle:
            raise InputError(obstacle.text)

    def _append(self, event: str, **values: Any) -> None:
        self._require_clock()
        entry = Entry(_whole_seconds(self._now()), event, values)
        try:
            with (self.folder / LOG_FILE).open("ab") as log:
                log.write(entry.to_line())
                log.flush()
                os.fsync(log.fileno())
        except OSError as error:
            self._cut_torn_line()
            raise InputError(f"{self.folder / LOG_FILE}: cannot be written ({error.strerror}); free the disk and try again") from error
        self._entries.append(entry)

    def _cut_torn_line(self) -> None:
        """What a kill left of a line goes: the next one begins on a line of its own."""
        path = self.folder / LOG_FILE
        if path.exists():
            data = path.read_bytes()
            if not data.endswith(b"\n"):
                os.truncate(path, data.rfind(b"\n") + 1)


def _whole_seconds(time_: datetime) -> datetime:
    return time_.replace(microsecond=0)


def _to_disk(path: Path) -> None:
    """Waits until the file is on the disk, so that the log never names an outline that a power cut has lost."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


# What the reads left behind, for the coordinator


@dataclass(frozen=True)
class Outline:
    """An outline with the images it was drawn on. `session_case` holds the phases' times where the images are a session's copies."""

    case_id: str
    rater: str
    images: tuple[Path, ...]
    roi: Path
    segment: str = ""
    early_phase: int | None = None
    session_case: SessionCase | None = None

    def study(self) -> Study:
        """The images as a study. Raises `InputError` as `load_study`."""
        if self.session_case is None:
            return load_study(self.images)
        return session_study(self.session_case, self.images)


def session_study(case: SessionCase, images: Sequence[Path]) -> Study:
    """A session case's study, its times as in the images that were copied. Raises `InputError` for images that are not there or damaged."""
    volumes = [read_volume(path) for path in images]
    roles = ["image"] if len(images) == 1 else [f"phase{n}" for n in range(len(images))]
    hashes = [(role, file_sha256(path)) for role, path in zip(roles, images)]
    return study_from_volumes(volumes, case.starts_s, case.durations_s, case.contrast_start_s, [str(path) for path in images], hashes)


@dataclass(frozen=True)
class CaseRead:
    """What became of one case in one read: `status` outlined, skipped or open; the reading time in seconds; when it was done (UTC)."""

    case_id: str
    rater: str
    code: str
    status: str
    reason: str
    reading_s: float | None
    at: str
    outline: Outline | None


def case_reads(folder: str | os.PathLike) -> list[CaseRead]:
    """All cases of all reads of a plan, by case and read, true case ids put back by the coordinator's key.

    Raises `InputError` with a line for each fault: no plan in the folder, a damaged key, session file or log, an outline that is missing
    or not the one that was saved.
    """
    folder = Path(folder)
    reads = _plan_reads(folder)
    keys = _key(folder / COORDINATOR / KEY_FILE)
    found: list[CaseRead] = []
    faults: list[str] = []
    for label, subfolder in reads:
        try:
            found += _reads_of(label, folder / subfolder, keys)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    order = [label for label, _ in reads]
    return sorted(found, key=lambda one: (one.case_id, order.index(one.rater)))


def outlines(folder: str | os.PathLike) -> list[Outline]:
    """The outlines that the reads of a plan have left so far, by case and read. Raises `InputError` as `case_reads`, and when there is none."""
    found = [one.outline for one in case_reads(folder) if one.outline is not None]
    if not found:
        raise InputError(f"{folder}: no case is outlined yet; the readers open their {SESSION_FILE} in 3D Slicer")
    return found


def reads_csv(reads: Sequence[CaseRead]) -> bytes:
    """The reads as a table: case_id, rater, code, status, reason, reading_s, at."""
    columns = ("case_id", "rater", "code", "status", "reason", "reading_s", "at")
    return csv_bytes(columns, [{name: getattr(one, name) for name in columns} for one in reads])


def _plan_reads(folder: Path) -> list[tuple[str, str]]:
    """The plan's reads in its order: label and folder."""
    path = folder / COORDINATOR / PLAN_FILE
    if not path.exists():
        raise InputError(f"{folder}: is no session plan ({COORDINATOR}/{PLAN_FILE} is missing); give the folder that her2vit session wrote")
    try:
        content = parse_json(read_file(path, "the folder that her2vit session wrote"))
        if (content["format"], content["version"]) != (_PLAN_FORMAT, _VERSION):
            raise ValueError(content["version"])
        reads = [(one["read"], _read_folder(one["reader"], one["number"])) for one in content["reads"]]
        if not all(re.fullmatch(_READER, one["reader"]) and one["number"] in (1, 2) for one in content["reads"]):
            raise ValueError(content["reads"])
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not a plan of this version, or is damaged; put back a copy of it") from error
    return reads


def _key(path: Path) -> dict[str, str]:
    """The case of each code."""
    columns, rows = read_table(path)
    if not {"code", "case_id"} <= set(columns):
        raise InputError(f"{path}: row 1: columns code and case_id are needed; put back a copy of it")
    return {row["code"]: row["case_id"] for row in rows}


def _reads_of(label: str, folder: Path, keys: Mapping[str, str]) -> list[CaseRead]:
    read = load_read(folder)
    if read.label != label:
        raise InputError(f"{folder / SESSION_FILE}: is read {read.label}, the plan has {label} here; put every read back into its folder")
    unknown = [case.code for case in read.cases if case.code not in keys]
    if unknown:
        raise InputError(f"{folder / SESSION_FILE}: code {unknown[0]!r} is not in the key; give the key of this plan")
    done = _finished_cases(read_log(folder, [case.code for case in read.cases]))
    faults: list[str] = []
    reads = []
    for case in read.cases:
        entry = done.get(case.code)
        outline = None
        if entry is not None and entry.event == OUTLINED:
            outline = Outline(keys[case.code], label, case.images(folder), _outline_file(folder, case), "", case.early_phase, case)
            faults += _outline_faults(outline.roi, entry)
        values = entry.values if entry else {}
        status, at = (entry.event, entry.at.strftime(_STAMP)) if entry else (OPEN, "")
        reads.append(CaseRead(keys[case.code], label, case.code, status, values.get("reason", ""), values.get("reading_s"), at, outline))
    if faults:
        raise InputError(faults)
    return reads


def _outline_file(folder: Path, case: SessionCase) -> Path:
    return folder / OUTLINES / f"{case.code}.seg.nrrd"


def _outline_faults(path: Path, entry: Entry) -> list[str]:
    if not path.is_file():
        return [f"{path}: the outline is not there; put it back"]
    if file_sha256(path) != entry.values["sha256"]:
        return [f"{path}: is not the outline that was saved (SHA-256 differs); put that one back"]
    return []


# The plan


@dataclass(frozen=True)
class Plan:
    """Who outlines how many cases: the first of `readers` twice, `washout_days` apart, the others once."""

    cases: int
    readers: tuple[str, ...]
    washout_days: float = 14.0
    seed: int = 1

    @property
    def reads(self) -> list[tuple[str, str, int]]:
        """Label, reader and number of each read."""
        numbered = [(reader, number) for n, reader in enumerate(self.readers) for number in ((1, 2) if n == 0 else (1,))]
        return [(f"{reader}{number}", reader, number) for reader, number in numbered]

    def faults(self) -> list[str]:
        """What is wrong with the plan by itself, a line each."""
        found = []
        if self.cases < 1:
            found.append(f"cases {self.cases}: at least 1 is needed")
        for reader in self.readers:
            if not re.fullmatch(_READER, reader):
                found.append(f"reader {reader!r}: use up to 20 letters, digits, _ and -, begin with a letter and do not end in a digit")
        if len({reader.casefold() for reader in self.readers}) < len(self.readers):
            found.append(f"readers {', '.join(self.readers)}: two have the same name; give every reader one of their own")
        elif len(self.readers) < 2:
            found.append(f"readers {', '.join(self.readers)!r}: two at least are needed, such as A,B: the first reads twice, the others once")
        if not (math.isfinite(self.washout_days) and 0 <= self.washout_days <= _LONGEST_WASHOUT_DAYS):
            found.append(f"wash-out of {self.washout_days:g} days: use 0 to {_LONGEST_WASHOUT_DAYS}")
        return found


def write_plan(
    manifest: str | os.PathLike,
    plan: Plan,
    out: str | os.PathLike,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> list[str]:
    """Draws the cases, copies their images under codes and writes a session for every read; returns the files the coordinator starts from.

    One case is drawn of each of `plan.cases` patients, from those the manifest includes, development and external alike: the ICC takes
    subjects as independent. The same manifest's cases and seed give the same plan. `progress` is told (done, all) after each case.
    The folder is written whole or not at all. Raises `InputError` for a plan or a manifest with faults, too few patients, images that
    cannot be read, a folder that holds anything already.
    """
    out = Path(os.path.realpath(out))
    if plan.faults():
        raise InputError(plan.faults())
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise InputError(f"{out}: is there already; a plan is never written over, name a new folder")
    cohort = read_manifest(manifest)
    cases = draw_cases(cohort, plan)
    working = out.with_name(f"{TEMPORARY_PREFIX}{out.name}")
    shutil.rmtree(working, ignore_errors=True)
    try:
        working.mkdir(parents=True)
        _write_reads(cohort, plan, cases, working, progress or (lambda done, total: None), workers)
        _set_times(working)
        if out.exists():
            out.rmdir()
        working.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); name another folder") from error
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return [f"{COORDINATOR}/{KEY_FILE}", *(f"{_read_folder(reader, number)}/{SESSION_FILE}" for _, reader, number in plan.reads)]


def draw_cases(cohort: Cohort, plan: Plan) -> list[Case]:
    """The drawn cases: one of each drawn patient. Raises `InputError` when there are fewer patients than cases asked for."""
    included = [case for case in cohort.cases if case.included]
    by_patient = grouped(included, lambda case: case.patient_id)
    if plan.cases > len(by_patient):
        raise InputError(
            f"{cohort.path}: {plan.cases} cases asked for, {len(by_patient)} patients with an included case there "
            "(one case of a patient is drawn); ask for fewer"
        )
    shuffled = _shuffler(included, plan.seed)
    return [shuffled(by_patient[patient], "case", _case_id)[0] for patient in shuffled(list(by_patient), "draw", str)[: plan.cases]]


def _case_id(case: Case) -> str:
    return case.case_id


def _shuffler(included: Sequence[Case], seed: int) -> Callable[[Sequence[Any], str, Callable[[Any], str]], list[Any]]:
    """A function that orders items at random, the same on every machine and with any order of rows.

    Seeded by all case ids as well: whoever guesses the seed and knows a patient's id cannot tell the patient's place from that.
    """
    secret = hashlib.sha256("\0".join([str(seed), *sorted(case.case_id for case in included)]).encode()).hexdigest()

    def shuffled(items: Sequence[Any], purpose: str, name: Callable[[Any], str]) -> list[Any]:
        return sorted(items, key=lambda item: hashlib.sha256(f"{secret}\0{purpose}\0{name(item)}".encode()).digest())

    return shuffled


def _write_reads(
    cohort: Cohort, plan: Plan, cases: Sequence[Case], folder: Path, progress: Callable[[int, int], None], workers: int | None
) -> None:
    shuffled = _shuffler([case for case in cohort.cases if case.included], plan.seed)
    orders = {label: shuffled(cases, f"order {label}", _case_id) for label, _, _ in plan.reads}
    digits = max(3, len(str(len(cases))))
    codes = {label: [f"{label}-{n:0{digits}d}" for n in range(1, len(cases) + 1)] for label in orders}
    first_label, first_reader, first_number = plan.reads[0]
    first = folder / _read_folder(first_reader, first_number)
    copied = _copy_cases(orders[first_label], codes[first_label], first, progress, workers)
    by_id = {case.case_id: one for case, one in zip(orders[first_label], copied)}
    for label, reader, number in plan.reads:
        target = folder / _read_folder(reader, number)
        sessions = tuple(_under_code(by_id[case.case_id], code) for case, code in zip(orders[label], codes[label]))
        (target / IMAGES).mkdir(parents=True, exist_ok=True)
        # In the order of the codes: what a file system remembers of the order then tells no more than they do.
        for case, session in zip(orders[label], sessions):
            for source, copy in zip(by_id[case.case_id].images(first), session.images(target)):
                if source != copy:
                    shutil.copyfile(source, copy)
        write_atomically(target / SESSION_FILE, json_bytes(Read(label, reader, number, plan.washout_days, sessions).to_json()))
    _write_coordinator(cohort, plan, orders, codes, folder / COORDINATOR)


def _under_code(case: SessionCase, code: str) -> SessionCase:
    return SessionCase(code, case.early_phase, case.starts_s, case.durations_s, case.contrast_start_s)


def _read_folder(reader: str, number: int) -> str:
    return f"reader_{reader}/read_{number}"


def _copy_cases(
    cases: Sequence[Case], codes: Sequence[str], folder: Path, progress: Callable[[int, int], None], workers: int | None
) -> list[SessionCase]:
    """Writes the cases' images under their codes. Raises `InputError` with a line for each that cannot be read."""
    (folder / IMAGES).mkdir(parents=True)
    copied: list[SessionCase] = []
    faults: list[str] = []
    jobs = [(case, code, folder) for case, code in zip(cases, codes)]
    for done, one in enumerate(in_order(_copy_case, jobs, workers), start=1):
        if isinstance(one, SessionCase):
            copied.append(one)
        else:
            faults += one
        progress(done, len(jobs))
    if faults:
        raise InputError(sorted(faults))
    return copied


def _copy_case(job: tuple[Case, str, Path]) -> SessionCase | list[str]:
    """The session's case, or what is wrong with it."""
    case, code, folder = job
    try:
        study = load_study(case.images)
        if case.early_phase is not None and case.early_phase >= len(study.phases):
            raise InputError(f"early phase {case.early_phase}: the study has phases 0 to {len(study.phases) - 1}; correct the manifest")
    except InputError as error:
        return [f"case {case.case_id}: {fault}" for fault in error.faults]
    starts, durations = (tuple(getattr(phase, name) for phase in study.phases) for name in ("start_s", "duration_s"))
    session_case = SessionCase(code, case.early_phase, starts, durations, study.contrast_start_s)
    for phase, path in zip(study.phases, session_case.images(folder)):
        write_volume(phase.volume, path)
    return session_case


def _write_coordinator(
    cohort: Cohort, plan: Plan, orders: Mapping[str, Sequence[Case]], codes: Mapping[str, Sequence[str]], folder: Path
) -> None:
    folder.mkdir()
    rows = [
        {"code": code, "case_id": case.case_id, "rater": label}
        for label, order in orders.items()
        for case, code in zip(order, codes[label])
    ]
    about = {
        "format": _PLAN_FORMAT,
        "version": _VERSION,
        "reads": [{"read": label, "reader": reader, "number": number} for label, reader, number in plan.reads],
        "cases": plan.cases,
        "washout_days": plan.washout_days,
        "seed": plan.seed,
        "inputs": [{"role": "manifest", "sha256": file_sha256(cohort.path)}],
        "versions": {"her2vit": __version__},
        "notice": RESEARCH_NOTICE,
    }
    write_atomically(folder / KEY_FILE, csv_bytes(("code", "case_id", "rater"), rows))
    write_atomically(folder / PLAN_FILE, json_bytes(about))


def _set_times(folder: Path) -> None:
    """One time of change for all that a reader gets."""
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (_EVERY_FILE_FROM, _EVERY_FILE_FROM))
