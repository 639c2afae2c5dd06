"""The log of a repeatability read: a line of `log.jsonl` for each step. It survives kills and full disks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.messages import InputError

LOG_FILE = "log.jsonl"
OPENED = "opened"
SHOWN = "shown"
OUTLINED = "outlined"
SKIPPED = "skipped"
"""The events of a log: the read was opened, a case was shown, and then outlined or skipped."""
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


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
        line = {"at": stamp(self.at), "event": self.event, **self.values}
        return (json.dumps(line, ensure_ascii=False) + "\n").encode()


def read_log(folder: Path, codes: Sequence[str] | None = None) -> list[Entry]:
    """The entries of a read's log; none before the read was opened for the first time. A last line without an
    end, left by a process that was killed while writing, is ignored.

    `codes`: the cases the read has, None = unknown. Raises `InputError` for any other damage: a line that is
    no entry, times that go back, a case that is done twice or that the read does not have.
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
            fault = f"time {stamp(entry.at)} is before that of the line above"
        elif entry.event != OPENED and codes is not None and entry.code not in codes:
            fault = f"case {entry.code!r} is not one of this read"
        elif entry.code in done:
            fault = f"case {entry.code!r} was done before"
        else:
            entries.append(entry)
            done.update([entry.code] if entry.event in (OUTLINED, SKIPPED) else [])
            continue
        raise InputError(
            f"{path}: line {number}, {fault}; the log was changed or damaged: put back a copy of it"
        )
    return entries


def _entry(line: bytes) -> Entry | None:
    try:
        values = parse_json(line)
        at = datetime.strptime(values.pop("at"), _STAMP).replace(tzinfo=UTC)
        event = values.pop("event")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    known = event == OPENED or (event in (SHOWN, OUTLINED, SKIPPED) and isinstance(values.get("code"), str))
    whole = event != OUTLINED or isinstance(values.get("sha256"), str)
    return Entry(at, event, values) if known and whole else None


def finished_cases(entries: Sequence[Entry]) -> dict[str, Entry]:
    """By its code, the entry that says how each finished case ended, in the order of the log."""
    return {entry.code: entry for entry in entries if entry.event in (OUTLINED, SKIPPED)}


def append_entry(folder: Path, entry: Entry) -> None:
    """Adds an entry to a read's log; it is on the disk when the call returns. Raises `InputError`, and leaves
    the log as it was, when it cannot be written.
    """
    path = folder / LOG_FILE
    try:
        with path.open("ab") as log:
            log.write(entry.to_line())
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        cut_torn_line(folder)
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); free the disk and try again"
        ) from error


def cut_torn_line(folder: Path) -> None:
    """Removes a last line without an end, left by a process that was killed while writing."""
    path = folder / LOG_FILE
    if path.exists():
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            os.truncate(path, data.rfind(b"\n") + 1)


def stamp(at: datetime) -> str:
    """A time as the log writes it."""
    return at.strftime(_STAMP)
