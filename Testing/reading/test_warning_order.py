"""In which order warnings are told."""

from __future__ import annotations

import ast
from pathlib import Path

import HER2ViTLib
from HER2ViTLib.messages import ReadingWarning
from HER2ViTLib.reading.warning_order import OF_THE_CASE, OF_THE_MODEL, TECHNICAL, in_order

LIBRARY = Path(HER2ViTLib.__file__).parent


def codes_in(path):
    """The codes of the warnings that a file raises; None for one that stands in no literal."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ReadingWarning":
            first = node.args[0] if node.args else None
            yield first.value if isinstance(first, ast.Constant) else None


def test_every_warning_of_a_reading_has_its_place_once_and_no_place_is_empty():
    found = {}
    for path in LIBRARY.rglob("*.py"):
        for code in codes_in(path):
            found.setdefault(code, set()).add(path.name)
    # Warnings that were written out and are read back: their codes are raised elsewhere.
    assert found.pop(None) == {"dce_sequence.py", "shown_reading.py"}
    placed = [*OF_THE_CASE, *OF_THE_MODEL, *TECHNICAL]
    assert len(placed) == len(set(placed))
    assert set(placed) == set(found)


def test_the_case_comes_first_and_the_machine_last():
    told = [
        ReadingWarning("device_fallback", "no GPU was found, the CPU was used"),
        ReadingWarning("of_a_later_version", "something new"),
        ReadingWarning("unlike_training", "task1: too large"),
        ReadingWarning("unlike_training", "task2: too large"),
        ReadingWarning("phase_order", "phase 1 is less enhanced"),
        ReadingWarning("small_lesion", "8 mm2"),
    ]
    assert [warning.text for warning in in_order(told)] == [
        "8 mm2",
        "phase 1 is less enhanced",
        "task1: too large",
        "task2: too large",
        "something new",
        "no GPU was found, the CPU was used",
    ]
