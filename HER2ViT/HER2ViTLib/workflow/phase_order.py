"""The order of the phases in the panel's list, and how it is known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from HER2ViTLib.messages import ReadingWarning

Item = TypeVar("Item")

BY_HEADERS = "headers"
BY_NAMES = "names"
BY_USER = "user"
ORDER_TEXTS = {
    BY_HEADERS: "Order and times: from the DICOM headers.",
    BY_NAMES: "Order: by the numbers in the names, a guess; check it. Times: unknown.",
    BY_USER: "Order: as listed here; check it.",
}
"""What the panel says of the order of its phases."""


@dataclass(frozen=True)
class PhaseOrder:
    """How the phases in the panel's list were brought into order: by the DICOM headers, by numbers in their
    names, or by the user.
    """

    order: tuple[int, ...]
    rule: str


def phase_order(names: Sequence[str], by_headers: Sequence[int] | None) -> PhaseOrder:
    """The order of volumes that become phases: `by_headers` (indices in time order) where known, else by a
    number in the names, else as they come.
    """
    if by_headers is not None:
        return PhaseOrder(tuple(by_headers), BY_HEADERS)
    numbers = _telling_numbers(names)
    if numbers is None:
        return PhaseOrder(tuple(range(len(names))), BY_USER)
    return PhaseOrder(tuple(sorted(range(len(names)), key=numbers.__getitem__)), BY_NAMES)


def order_warning(rule: str) -> list[ReadingWarning]:
    """`order_without_times` where the phases' order was guessed from their names."""
    if rule != BY_NAMES:
        return []
    text = "the phases are in the order of the numbers in their names; their times are not known"
    return [ReadingWarning("order_without_times", text)]


def moved_up(items: Sequence[Item], index: int) -> list[Item]:
    """The items with the one at `index` a place earlier; unchanged where there is none or it is the first."""
    moved = list(items)
    if 0 < index < len(moved):
        moved.insert(index - 1, moved.pop(index))
    return moved


def _telling_numbers(names: Sequence[str]) -> list[int] | None:
    """The one number in each name that tells the phases apart; None where there is none or more than one, and
    where the names differ in anything but numbers.
    """
    texts = {re.sub(r"\d+", "#", name) for name in names}
    if len(texts) != 1 or len(names) < 2:
        return None
    numbers = [map(int, re.findall(r"\d+", name)) for name in names]
    distinct = [list(column) for column in zip(*numbers) if len(set(column)) == len(names)]
    return distinct[0] if len(distinct) == 1 else None
