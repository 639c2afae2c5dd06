"""Faults of a table: which rows share one, and one line for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from HER2ViTLib.messages import InputError

from .cells import Row
from .table import grouped

MAX_ALIKE = 20


def require_columns(path: Path, columns: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `InputError` with a line per column that is missing."""
    missing = [name for name in dict.fromkeys(wanted) if name not in columns]
    if missing:
        raise InputError(
            [
                f"{path}: row 1: column {name} is missing; add it, or name one of: {', '.join(columns)}"
                for name in missing
            ]
        )


class RowFaults:
    """Collects what is wrong in the rows of a file; a line per kind of fault names its rows: a wrong column
    would fill the screen otherwise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[str, str, str], list[int]] = {}

    def note(self, row: Row, column: str, cure: str) -> None:
        self.rows.setdefault((column, row.written(column), cure), []).append(row.number)

    def raise_any(self) -> None:
        alike = grouped(self.rows, lambda what: (what[0], what[2])).values()
        kinds = [
            part
            for whats in alike
            for part in ([whats] if len(whats) > MAX_ALIKE else [(what,) for what in whats])
        ]
        if kinds:
            raise InputError([self._line(whats) for whats in kinds])

    def _line(self, whats: Sequence[tuple[str, str, str]]) -> str:
        column, value, cure = whats[0]
        rows = _rows_text(sorted(number for what in whats for number in self.rows[what]))
        return (
            f"{self.path}: {rows}, column {column}, value {value!r}{' and others' if len(whats) > 1 else ''}:"
            f" {cure}"
        )


def _rows_text(numbers: Sequence[int], shown: int = 5) -> str:
    text = ", ".join(map(str, numbers[:shown]))
    return (
        f"row {text}"
        if len(numbers) == 1
        else f"rows {text}" + (f" and {len(numbers) - shown} more" if len(numbers) > shown else "")
    )
