"""What a run wrote, sorted by how it is shown."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable
from pathlib import Path

from HER2ViTLib.messages import InputError

MOST_ROWS = 500
"""Rows of a table that are shown."""

TABLE = "table"
PICTURE = "picture"
REPORT = "report"
_SHOWN_AS = {".csv": TABLE, ".png": PICTURE, ".html": REPORT}


def shown_as(path: Path) -> str:
    """How a file is shown: as a table, as a picture, as a report in the browser; empty for any other file."""
    return _SHOWN_AS.get(path.suffix.lower(), "")


def shown_files(written: Iterable[Path]) -> list[Path]:
    """The files among these that can be shown and are there: reports, pictures, tables."""
    order = (REPORT, PICTURE, TABLE)
    there = [path for path in dict.fromkeys(written) if shown_as(path) and path.is_file()]
    return sorted(there, key=lambda path: order.index(shown_as(path)))


def table_of(path: Path) -> tuple[list[str], list[list[str]], bool]:
    """Heads and rows of a CSV file, as texts, and whether rows beyond `MOST_ROWS` are left out. Raises
    `InputError` for a file that is none.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(itertools.islice(csv.reader(file), MOST_ROWS + 2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); open it elsewhere") from error
    heads, *cells = rows or [[]]
    return heads, cells[:MOST_ROWS], len(cells) > MOST_ROWS
