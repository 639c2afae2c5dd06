"""How far a long piece of work is: told to whoever shows it. Libraries report; only the commands and the
panels draw.

A panel that runs a command as a process of its own asks for lines instead of a bar (`AS_LINES` in its
environment), and reads them here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

AS_LINES = "HER2VIT_PROGRESS_LINES"
"""Environment variable: where it is set, commands write their progress as lines to standard error."""
_MARK = "her2vit-progress "


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


@dataclass(frozen=True)
class ProgressLine:
    """What a command wrote of its progress: of which work, as `Progress` was told it."""

    what: str
    done: int
    total: int
    text: str = ""

    def __str__(self) -> str:
        return _MARK + json.dumps([self.what, self.done, self.total, self.text])


def progress_line(line: str) -> ProgressLine | None:
    """The progress that a line of a command's output tells of; None for any other line."""
    if not line.startswith(_MARK):
        return None
    try:
        return ProgressLine(*json.loads(line[len(_MARK) :]))
    except (ValueError, TypeError):  # cut off where the process was killed
        return None
