"""What the user is told: faults in the input, warnings beside a reading, the research-use notice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

RESEARCH_NOTICE = (
    "Research use only; not for clinical decisions. An attention map shows where the model looked, not why:"
    " it is not causal evidence."
)


class InputError(ValueError):
    """Bad input: one line per fault, each naming the file, the value and the cure. The commands exit with
    status 2.

    `reason` is what is wrong and the cure without the value, for a caller that says itself where it stands;
    the faults themselves where nothing shorter is given.
    """

    def __init__(self, faults: str | Sequence[str], reason: str = "") -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))
        self.reason = reason or str(self)

    def __reduce__(self) -> tuple:
        """Pickled (an error of another process), it keeps its lines apart."""
        return type(self), (self.faults, self.reason)


@contextlib.contextmanager
def faults_of(whose: str) -> Iterator[None]:
    """Prefixes the faults raised inside with their owner, such as "case C7"."""
    try:
        yield
    except InputError as error:
        raise InputError([f"{whose}: {fault}" for fault in error.faults]) from error


def each(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` of every item; the faults of all of them in one `InputError`."""
    done: list[Result] = []
    faults: list[str] = []
    for item in items:
        try:
            done.append(work(item))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return done


@dataclass(frozen=True)
class ReadingWarning:
    """Something the reader of a result must know: a stable `code` and a one-line `text`."""

    code: str
    text: str
