"""Cells of the sources' tables: the same code written in many ways, numbers, what stands for missing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeVar

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import as_number

MISSING = frozenset(
    (
        *("", "na", "n/a", "nan", "none", "np", "nc", "x"),
        *("#n/a", "#ref!", "#value!", "#div/0!", "#name?", "#num!", "#null!"),
    )
)
"""NP (not pertinent) and NC (not collected) are Duke's; the last are a spreadsheet's formulas that came to
nothing, which published tables hold, too.
"""
_SPELLINGS = {
    **dict.fromkeys(("true", "yes", "positive", "pos"), "1"),
    **dict.fromkeys(("false", "no", "negative", "neg"), "0"),
}

Value = TypeVar("Value")


def code(text: str) -> str:
    """The code in a cell: `1` for 1.0, True and " positive"; empty where missing. Other texts stay, in lower
    case.
    """
    word = text.strip().lower()
    if word in MISSING:
        return ""
    whole = re.fullmatch(r"([+-]?\d+)\.0*", word)
    return whole[1] if whole else _SPELLINGS.get(word, word)


def meaning(text: str, codes: Mapping[str, Value]) -> Value | None:
    """What a cell's code stands for; None where missing. Raises `InputError` for another code."""
    found = code(text)
    if found and found not in codes:
        raise InputError(f"is not a code of this column; use {', '.join(codes)} or leave it empty")
    return codes[found] if found else None


def number(text: str) -> float | None:
    """The number in a cell; None where missing. Raises `InputError` for what is none."""
    if code(text) == "":
        return None
    value = as_number(text)
    if math.isnan(value):
        raise InputError("is not a number; correct it, or leave it empty")
    return value
