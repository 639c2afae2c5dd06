"""Runs of commands, one after the other: what waits, what runs, how each ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from HER2ViTTrainingLib.parallel.progress import ProgressLine, progress_line

from .process import WORKING_FOLDER

MOST_LINES = 5000
"""Lines of output that a run keeps, the last ones."""
_WROTE = "wrote "


class State(Enum):
    """Where a run stands; the value is what the panel shows."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    SOME_FAILED = "done, some cases failed"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


_ENDS = {0: State.DONE, 2: State.REFUSED, 3: State.SOME_FAILED, 130: State.CANCELLED}
"""By exit status; any other is a failure."""
UNDER_WAY = (State.RUNNING, State.STOPPING)
UNFINISHED = (State.WAITING, *UNDER_WAY)


@dataclass(eq=False)
class Run:
    """One run of a command: `words` are the command and its arguments, `lines` the last ones of its output,
    `heard` how many there were, `written` the files that it says it wrote.
    """

    words: tuple[str, ...]
    state: State = State.WAITING
    lines: list[str] = field(default_factory=list)
    heard: int = 0
    progress: ProgressLine | None = None
    written: list[Path] = field(default_factory=list)
    _rest: str = ""

    @property
    def title(self) -> str:
        """The run in a few words: the command, and where its results go."""
        target = self.words[self.words.index("--out") + 1] if "--out" in self.words else ""
        return f"{self.words[0]} > {Path(target).name}" if target else self.words[0]

    def hear(self, output: str) -> None:
        """Takes a piece of the process's output, which may end within a line."""
        *whole, self._rest = (self._rest + output).replace("\r\n", "\n").split("\n")
        for line in whole:
            self._take(line)

    def end(self, status: int) -> None:
        """The process has ended with this exit status."""
        if self._rest:
            self._take(self._rest)
            self._rest = ""
        stopped = self.state is State.STOPPING
        self.state = State.CANCELLED if stopped else _ENDS.get(status, State.FAILED)

    def _take(self, line: str) -> None:
        told = progress_line(line)
        if told:
            self.progress = told
            return
        self.lines.append(line)
        self.heard += 1
        del self.lines[:-MOST_LINES]
        # The commands name each file that they wrote.
        if line.startswith(_WROTE):
            self.written.append(WORKING_FOLDER / line.removeprefix(_WROTE))


class RunQueue:
    """Runs in the order in which they were asked for. One at a time: each may use all processors, or the
    GPU.
    """

    def __init__(self) -> None:
        self.runs: list[Run] = []

    @property
    def current(self) -> Run | None:
        """The run whose process is there."""
        return next((run for run in self.runs if run.state in UNDER_WAY), None)

    @property
    def unfinished(self) -> list[Run]:
        """What runs or waits."""
        return [run for run in self.runs if run.state in UNFINISHED]

    def add(self, words: tuple[str, ...]) -> Run:
        """Puts a run at the end of the queue. The same words once more go on where a run was cancelled."""
        run = Run(words)
        self.runs.append(run)
        return run

    def start_next(self) -> Run | None:
        """The run whose turn it is, marked as running; None while another runs, or none waits."""
        waiting = [run for run in self.runs if run.state is State.WAITING]
        if self.current or not waiting:
            return None
        waiting[0].state = State.RUNNING
        return waiting[0]

    def cancel(self, run: Run) -> bool:
        """Marks a run as cancelled; True where its process is there and has to be stopped."""
        if run.state is State.WAITING:
            run.state = State.CANCELLED
        elif run.state is State.RUNNING:
            run.state = State.STOPPING
            return True
        return False

    def clear_finished(self) -> None:
        """Forgets what has ended."""
        self.runs = self.unfinished

    def quit_question(self) -> str:
        """What to ask before the application quits; empty where nothing is lost."""
        names = ", ".join(run.title for run in self.unfinished)
        if not names:
            return ""
        return (
            f"HER2ViT Training still works on: {names}. Quit and stop it? Started again with the same"
            " settings, a training, batch or simulation goes on where it was."
        )
