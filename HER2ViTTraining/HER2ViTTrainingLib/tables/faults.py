"""What is wrong with a table, collected so that it is said all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HER2ViTLib.messages import InputError

from .cells import Row
from .grouping import grouped

MAX_ALIKE = 20
"""Values of a column with the same fault that have a line each; more of them share one."""

MAX_ROWS_NAMED = 5


@dataclass(frozen=True)
class _Fault:
    """A fault of a row, or of one cell in it; `column` is empty for a fault of the whole row."""

    row: int
    column: str
    value: str
    what: str


class Faults:
    """Collects the faults of a file's rows, to raise them all at once in the order of the rows.

    Rows in which a column has the same value and fault share a line that names them, and so do more than
    `MAX_ALIKE` values with the same fault: a wrong column would fill the screen otherwise. With `row_by_row`
    every row has its own line.
    """

    def __init__(self, path: Path, row_by_row: bool = False) -> None:
        self.path = path
        self._row_by_row = row_by_row
        self._found: list[_Fault] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def note(self, row: Row, column: str, what: str, part: str | None = None) -> None:
        """Notes what is wrong with a cell, and the cure. `part` is the part of the cell that is at fault."""
        value = row.written(column) if part is None else part
        self._found.append(_Fault(row.number, column, value, what))

    def note_row(self, number: int, what: str) -> None:
        """Notes what is wrong with a whole row, and the cure."""
        self._found.append(_Fault(number, "", "", what))

    def checked(self, row: Row, column: str, check: Callable[[str], Any], default: Any = None) -> Any:
        """The parsed value; the default where the cell is missing, or faulty, which is noted."""
        if not row[column]:
            return default
        try:
            return check(row[column])
        except InputError as error:
            self.note(row, column, error.reason)
            return default

    def lines(self) -> list[str]:
        """The faults as lines, in the order of the rows they begin with."""
        parts = [[fault] for fault in self._found] if self._row_by_row else list(self._alike())
        parts.sort(key=lambda part: min(fault.row for fault in part))
        return [self._line(part) for part in parts]

    def raise_any(self) -> None:
        """Raises `InputError` when there are faults."""
        if self:
            raise InputError(self.lines())

    def _alike(self) -> Iterable[Sequence[_Fault]]:
        for same_fault in grouped(self._found, lambda fault: (fault.column, fault.what)).values():
            by_value = grouped(same_fault, lambda fault: fault.value)
            if len(by_value) > MAX_ALIKE:
                yield same_fault
            else:
                yield from by_value.values()

    def _line(self, part: Sequence[_Fault]) -> str:
        rows = _rows_text(sorted(fault.row for fault in part))
        first = part[0]
        if not first.column:
            return f"{self.path}: {rows}: {first.what}"
        others = " and others" if any(fault.value != first.value for fault in part) else ""
        return f"{self.path}: {rows}, column {first.column}, value {first.value!r}{others}: {first.what}"


def _rows_text(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    more = len(numbers) - MAX_ROWS_NAMED
    named = ", ".join(map(str, numbers[:MAX_ROWS_NAMED]))
    return f"rows {named}" + (f" and {more} more" if more > 0 else "")
