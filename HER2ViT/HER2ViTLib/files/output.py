"""Writing results: never half a file, never over what is not ours."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from HER2ViTLib.messages import InputError

TEMPORARY_PREFIX = ".writing-"
RECORD_FILE = "made_by.json"
"""Which command wrote the files beside it, from what: belongs into any folder of results."""
UNWRITABLE = "backslashreplace"
"""What becomes of halves of characters, which file names may hold and UTF-8 cannot: in JSON it is the same
character again.
"""


def require_own_folder(folder: str | os.PathLike, own: Collection[str]) -> None:
    """Raises `InputError` when the folder is a file, or holds anything but `own`, the names (patterns
    allowed) a former run may have left.

    A run must not mix its results with what is not its own.
    """
    folder = Path(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder for the results")
    patterns = (f"{TEMPORARY_PREFIX}*", RECORD_FILE, *own)
    for entry in sorted(folder.iterdir()):
        if not any(fnmatch(entry.name, pattern) for pattern in patterns):
            raise InputError(
                f"{folder}: holds {entry.name!r}, which is not a result of this command; name an empty or new"
                " folder"
            )


def prepare_folder(folder: str | os.PathLike, own: Collection[str]) -> Path:
    """The folder to write into, made if need be. Raises `InputError` as `require_own_folder`, and when it
    cannot be made.
    """
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


def write_atomically(path: str | os.PathLike, data: bytes, writer: str = "") -> None:
    """Writes a file whole or not at all. Where several processes may write the same file at once, each is a
    `writer` with a name of its own.
    """
    path = Path(path)
    temporary = temporary_name(path.with_name(f"{writer}{path.name}"))
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_results(
    folder: str | os.PathLike, own: Collection[str], contents: Mapping[str, bytes]
) -> list[str]:
    """Writes a command's files (name to content) into a folder of their own and returns their names; those of
    `own` that a former run left go.

    Raises `InputError` as `prepare_folder`.
    """
    folder = prepare_folder(folder, own)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    for name in set(own) - set(contents):
        (folder / name).unlink(missing_ok=True)
    return list(contents)


def csv_cell(value: Any) -> str:
    """A value as the text of a CSV cell: None and NaN empty, numbers in full, text that a spreadsheet would
    run as a formula quoted.

    Text that begins with = + - @ (or a tab or line break before one) gets an apostrophe in front, which
    spreadsheets hide; a number written as text, such as -0.5, is left alone. `csv_text` takes the apostrophe
    off again.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str):
        return str(value)
    is_number = re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value)
    return f"'{value}" if re.match(r"'*[=+\-@\t\r\n]", value) and not is_number else value


def csv_text(cell: str) -> str:
    """The text that `csv_cell` wrote as `cell`."""
    return cell[1:] if re.match(r"'+[=+\-@\t\r\n]", cell) else cell


def plain(text: str) -> str:
    """Text from a user's file, for a matplotlib picture: a dollar sign would start a formula."""
    return text.replace("$", r"\$")


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A table as CSV in UTF-8, cells by `csv_cell`; a column that a row lacks stays empty. Raises
    `ValueError` for a value without a column.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [csv_cell(name) for name in columns], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({csv_cell(name): csv_cell(value) for name, value in row.items()})
    return text.getvalue().encode(errors=UNWRITABLE)


def json_bytes(data: Any) -> bytes:
    """Plain data as JSON in UTF-8, NaN as null: JSON has no NaN."""
    return (json.dumps(_without_nan(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode(
        errors=UNWRITABLE
    )


def _without_nan(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data
