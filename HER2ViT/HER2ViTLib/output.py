"""Writing results: never half a file, never over what is not ours."""

from __future__ import annotations

import os
from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path

from .messages import InputError

TEMPORARY_PREFIX = ".writing-"


def require_own_folder(folder: str | os.PathLike, own: Collection[str]) -> None:
    """Raises `InputError` when the folder is a file, or holds anything but `own`, the names (patterns allowed) a former run may have left.

    A run must not mix its results with what is not its own.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder for the results")
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not entry.name.startswith(TEMPORARY_PREFIX) and not any(fnmatch(entry.name, pattern) for pattern in own):
            raise InputError(f"{folder}: holds {entry.name!r}, which is not a result of this command; name an empty or new folder")


def prepare_folder(folder: str | os.PathLike, own: Collection[str]) -> Path:
    """The folder to write into, made if need be. Raises `InputError` as `require_own_folder`, and when it cannot be made."""
    require_own_folder(folder, own)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); name another folder") from error
    return folder


def temporary_name(path: Path) -> Path:
    """Where a file is written before it takes its name: the same folder, the same ending."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}")


def write_atomically(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file whole or not at all."""
    path = Path(path)
    temporary = temporary_name(path)
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
