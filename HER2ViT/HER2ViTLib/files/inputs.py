"""Opening what was given, whoever made it: regular files of a plausible size, and JSON that does no harm."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from HER2ViTLib.messages import InputError

_MAX_JSON_DEPTH = 32
_MAX_DIGITS = 18
MAX_FILE_BYTES = 2 << 30


def require_file(path: str | os.PathLike, what: str) -> Path:
    """The path of a regular file. `what` says in a fault what to give instead.

    Raises `InputError` for nothing there, a folder, names no file can have, links in a circle, and pipes and
    devices: they may keep a program waiting for ever, or never end.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(
            f"{path}: cannot be read ({getattr(error, 'strerror', error)}); check the path"
        ) from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder; give {what}")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is a pipe or device; save it as a file and give that")
    return Path(path)


def is_folder(path: str | os.PathLike) -> bool:
    """Whether there is a folder of that name; False too where no file can have the name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def read_file(path: str | os.PathLike, what: str, largest: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a regular file. Raises `InputError` as `require_file`, for more than `largest` bytes, and
    when it cannot be read.
    """
    path = require_file(path, what)
    try:
        if path.stat().st_size > largest:
            raise InputError(f"{path}: has {path.stat().st_size} bytes, more than any real one; give {what}")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from error


def parse_json(data: bytes | str) -> Any:
    """What JSON in UTF-8 holds. Raises `ValueError` for what is none, and for what would trip up who works
    with it.

    That is: nesting deeper than any file of ours, a name twice in an object (programs differ in which they
    take), whole numbers that no float holds, halves of characters (lone surrogates), which cannot be written
    again.
    """
    text = data if isinstance(data, str) else data.decode("utf-8")
    try:
        content = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _require_plain(content)
    return content


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"the number {digits[:20]}... is too long")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice in one object")
    return found


def _require_plain(content: Any, depth: int = 0) -> None:
    if depth > _MAX_JSON_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(content, str):
        content.encode()  # UnicodeEncodeError is a ValueError
    elif isinstance(content, (dict, list)):
        parts = [*content, *content.values()] if isinstance(content, dict) else content
        for part in parts:
            _require_plain(part, depth + 1)


def is_dicom_file(path: Path) -> bool:
    """Whether a file starts as DICOM files do (as pydicom's `is_dicom`, whose import takes longer than
    reading a NIfTI study).

    Older systems write neither preamble nor meta information: such a file begins with an element of group 2
    or 8, and soon names a class of DICOM's (PS3.10 7.1; PS3.6 annex A).
    """
    with path.open("rb") as file:
        start = file.read(1024)
    if start[128:132] == b"DICM":
        return True
    return start[:2] in (b"\x02\x00", b"\x08\x00") and b"1.2.840.10008.5.1.4.1.1." in start


def is_dicom(path: str | os.PathLike, what: str) -> bool:
    """Whether a path is a folder, which only DICOM comes in, or a file as `is_dicom_file` has it.

    Raises `InputError` as `require_file`, and for a file that cannot be read.
    """
    try:
        return Path(path).is_dir() or is_dicom_file(require_file(path, what))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
