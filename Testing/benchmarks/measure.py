"""How the benchmarks measure: two things in turn, A B A B ..., medians and the ratio pair by pair."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One promise: `result` must not be above `target`."""

    name: str
    target: float
    result: float
    unit: str
    detail: str

    @property
    def kept(self) -> bool:
        return self.result <= self.target


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def paired(
    ours: Callable[[], object], other: Callable[[], object], runs: int, warm_up: int = 3
) -> tuple[list[float], list[float]]:
    """Seconds of each of `runs` turns of both."""
    for _ in range(warm_up):
        ours(), other()
    turns = [(seconds(ours), seconds(other)) for _ in range(runs)]
    return [a for a, _ in turns], [b for _, b in turns]


def ratio_claim(
    name: str,
    target: float,
    ours: Callable[[], object],
    other: Callable[[], object],
    runs: int,
    warm_up: int = 3,
) -> Claim:
    a, b = paired(ours, other, runs, warm_up)
    detail = (
        f"median of {runs}: {statistics.median(a) * 1e3:.1f} ms against {statistics.median(b) * 1e3:.1f} ms"
    )
    return Claim(name, target, statistics.median(x / y for x, y in zip(a, b)), "x", detail)


def python(*arguments: str) -> Callable[[], object]:
    """A run of this Python in a process of its own; raises when it fails."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def over_empty_python_claim(name: str, target_ms: float, arguments: Sequence[str], runs: int = 15) -> Claim:
    a, b = paired(python(*arguments), python("-c", "pass"), runs)
    over = statistics.median(x - y for x, y in zip(a, b)) * 1e3
    return Claim(
        name,
        target_ms,
        over,
        "ms",
        f"median of {runs} over an empty Python ({statistics.median(b) * 1e3:.0f} ms)",
    )
