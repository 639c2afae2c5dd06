"""One read of a repeatability plan, as its reader goes through it (see `files`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import roi_on, write_segmentation
from HER2ViTLib.messages import InputError

from .files import SESSION_FILE, Read, SessionCase, load_read, session_file
from .log import (
    OPENED,
    OUTLINED,
    SHOWN,
    SKIPPED,
    Entry,
    append_entry,
    cut_torn_line,
    finished_cases,
    read_log,
    stamp,
)

LOCK_FILE = "session.lock"


def utc_now() -> datetime:
    """The time by the computer's clock, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Obstacle:
    """Why a read may not be opened, in one line, and whether a stated reason overrides it."""

    text: str
    can_override: bool


class Session:
    """One read, as the reader goes through it. The panel holds one of these and shows what it says.

    `Session(path)` looks only; `open()` takes the read, and `close()` gives it back. Then, until `finished`:
    `next_case()`, and for that case either `save_outline(mask, geometry)` or `skip(reason)`. Both are final:
    the reader of a blinded read does not go back. Whatever was saved or skipped is on the disk when the call
    returns; a process killed at any moment loses at most the outline in progress, and the next `open()`
    resumes with that case.

    Each step is a line of `log.jsonl`, with the time in UTC and, for a case that is done, the reading time:
    seconds from `next_case()` to the end, by a clock that nobody can set; after a kill it counts from when
    the case was shown again. A computer's clock that is behind the log's last entry is refused, so that the
    wash-out is not shortened by setting it back; a clock that is set *forward* cannot be detected. Two
    processes exclude each other by a lock of the operating system, which ends with its process.

    `now` and `seconds` are the clocks, for tests. Raises `InputError` for a session file or log that is
    missing or damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        now: Callable[[], datetime] = utc_now,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = session_file(path).parent
        self.read = load_read(path)
        self._codes = [case.code for case in self.read.cases]
        self._now = now
        self._seconds = seconds
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
    def current(self) -> SessionCase | None:
        """The case to outline, None when all are done."""
        done = finished_cases(self._entries)
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
        done = finished_cases(self._entries)
        total = len(self.read.cases)
        skipped = sum(entry.event == SKIPPED for entry in done.values())
        counts = f"{len(done) - skipped} outlined, {skipped} skipped"
        if self.current is None:
            return f"Read {self.read.label} is finished: {total} cases, {counts}"
        return f"Read {self.read.label}, case {len(done) + 1} of {total} ({self.current.code}); {counts}"

    @property
    def left(self) -> int:
        """How many cases are still to be outlined, the current one included."""
        return len(self.read.cases) - len(finished_cases(self._entries))

    @property
    def elapsed_s(self) -> float:
        """How long the current case has been shown, s; 0 while none is."""
        return 0.0 if self._shown_at is None else self._seconds() - self._shown_at

    # What the panel does

    def open(self, override: str = "") -> None:
        """Takes the read for this process. `override` is the reason to open it against the wash-out; it is
        recorded where it was needed.

        Raises `InputError` when another process has it, for a clock that is behind, and for the wash-out
        without an override.
        """
        if self.is_open:
            return
        lock = FileLock(str(self.folder / LOCK_FILE), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{self.folder}: read {self.read.label} is open in another window or program; close it there"
            ) from None
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written ({error.strerror}); copy the session to a folder of"
                " your own"
            ) from error
        self._lock = lock
        try:
            self._begin(" ".join(override.split()))
        except BaseException:
            self.close()
            raise

    def next_case(self) -> SessionCase | None:
        """The current case, None when all are done; its reading time starts here. A second call returns the
        same case, and its time keeps running.
        """
        self._require_open()
        case = self.current
        if case is not None and self._shown_at is None:
            self._append(SHOWN, code=case.code)
            self._shown_at = self._seconds()
        return case

    def save_outline(self, mask: np.ndarray, geometry: Geometry) -> Path:
        """Saves the outline of the current case, a boolean mask (K, J, I) on `geometry`, and moves on to the
        next case; returns the file.

        On another geometry than the images' it is resampled (nearest neighbour). Raises `InputError`, and
        saves nothing, for an outline that is empty or outside the image, a clock that is behind, a disk that
        is full.
        """
        case, seconds = self._case_in_progress()
        reference = read_volume(case.images(self.folder)[0]).geometry
        outline = roi_on(
            Volume(np.asarray(mask, bool), geometry), reference, f"case {case.code}: the outline"
        ).mask
        self._require_clock()
        path = case.outline(self.folder)
        try:
            path.parent.mkdir(exist_ok=True)
            write_segmentation(outline, reference, path)
            _to_disk(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written; free the disk and save again") from error
        self._append(OUTLINED, code=case.code, reading_s=seconds, sha256=file_sha256(path))
        self._shown_at = None
        return path

    def skip(self, reason: str) -> None:
        """Leaves the current case out for a stated reason and moves on to the next. Raises `InputError`
        without a reason.
        """
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
        self._lock = None
        self._shown_at = None

    def __enter__(self) -> Session:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # What keeps the promises above

    def _begin(self, override: str) -> None:
        self._entries = read_log(self.folder, self._codes)
        obstacle = self.obstacle
        if obstacle and not (obstacle.can_override and override):
            raise InputError(obstacle.text)
        # Opening a finished read to look at it must not lengthen the wash-out of the next.
        if not self.finished:
            cut_torn_line(self.folder)
            self._append(OPENED, **({"override": override, "against": obstacle.text} if obstacle else {}))

    def _clock_obstacle(self, entries: Sequence[Entry], whose: str) -> Obstacle | None:
        now = self._now()
        if not entries or _whole_seconds(now) >= entries[-1].at:
            return None
        text = (
            f"the computer's clock ({stamp(now)}) is behind {whose} last entry ({stamp(entries[-1].at)}); set"
            " the clock"
        )
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
        left = len(first.cases) - len(finished_cases(entries))
        if left:
            return Obstacle(
                f"read {first.label} comes first: {left} of its {len(first.cases)} cases are not done;"
                " outline or skip them",
                False,
            )
        return self._clock_obstacle(entries, f"read {first.label}'s") or self._too_early(
            first, entries[-1].at
        )

    def _too_early(self, first: Read, ended: datetime) -> Obstacle | None:
        opens = ended + timedelta(days=self.read.washout_days)
        to_wait = (opens - self._now()) / timedelta(days=1)
        if to_wait <= 0:
            return None
        rule = (
            f"read {self.read.label} opens {self.read.washout_days:g} days after the end of {first.label}, on"
            f" {stamp(opens)}"
        )
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
        append_entry(self.folder, entry)
        self._entries.append(entry)


def _whole_seconds(time_: datetime) -> datetime:
    return time_.replace(microsecond=0)


def _to_disk(path: Path) -> None:
    """Waits until the file is on the disk: the log must never name an outline that a power cut has lost."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
