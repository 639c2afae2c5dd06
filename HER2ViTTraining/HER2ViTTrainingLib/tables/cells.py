"""What a cell of a user's table says: nothing, a number, or a text. One rule for all tables."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_MISSING = frozenset(("", "na", "n/a", "nan", "#n/a", "#null!"))
"""As R, pandas and people write it; `#N/A` is Excel's, `#NULL!` what SPSS exports into a workbook."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_missing(text: str) -> bool:
    """Whether a cell says nothing: blank, NA, N/A, NaN, #N/A or #NULL!, in capitals or not.

    Excel's other errors (#DIV/0!, #VALUE!, #REF!) are not missing values but formulas that failed, and "none"
    can be an answer (no invasion): both are text.
    """
    return text.strip().lower() in _MISSING


def as_number(text: str) -> float:
    """The finite number a cell holds, NaN where it holds none: nothing, or a text.

    A number is ASCII digits with a decimal point, a sign and an exponent where there is need (`-0.5`, `.5`,
    `5.`, `1e3`), blanks around it. All else is text, since a guess would change values unseen: decimal commas
    and thousands separators (`1,234` is 1.234 to some and 1234 to others), `1_000`, hexadecimal numbers,
    digits of other scripts, units and per cent signs. So is infinity (`Inf`, `1e999`): no statistic can use
    it.
    """
    value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    return value if math.isfinite(value) else math.nan


@dataclass(frozen=True)
class Row:
    """A row of a table: its number as a spreadsheet counts (the header is row 1), and its cells by column as
    they are written, without blanks around them.

    `row[column]` is the text of a cell: empty where the cell is missing (`is_missing`), or the column.
    """

    number: int
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        text = self.written(column)
        return "" if is_missing(text) else text

    def written(self, column: str) -> str:
        """The cell as it is written, for a message that quotes it."""
        return self.values.get(column, "")
