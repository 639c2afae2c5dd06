"""Cells of the sources' tables: the same code written in many ways, numbers, what stands for missing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeVar

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import as_number, is_missing

_MISSING_HERE = frozenset(("none", "np", "nc", "x", "#ref!", "#value!", "#div/0!", "#name?", "#num!"))
"""Missing in published tables beside what is missing in all: NP (not pertinent) and NC (not collected) are
Duke's, the last are a spreadsheet's formulas that failed. Nobody can correct them in the source.
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
    if is_missing(word) or word in _MISSING_HERE:
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
