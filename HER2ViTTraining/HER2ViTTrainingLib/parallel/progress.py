"""How far a long piece of work is: told to whoever shows it. Libraries report; only the commands and the
panels draw.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told that `done` of `total` are done, and a short text beside it, such as the last epoch's figures.

    `done` falls and `total` changes where the next stage of the work begins.
    """

    def __call__(self, done: int, total: int, text: str = "", /) -> None: ...


def prefixed(progress: Progress | None, prefix: str) -> Progress | None:
    """The same progress, with `prefix` in front of its texts: which of several trainings is told of, say."""
    if progress is None:
        return None

    def tell(done: int, total: int, text: str = "", /) -> None:
        progress(done, total, f"{prefix}: {text}" if text else prefix)

    return tell
