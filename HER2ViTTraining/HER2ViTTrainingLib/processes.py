"""Work on many cases, in order, by several processes where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from .executors import available_cores, executor

Job = TypeVar("Job")
Result = TypeVar("Result")

_PAYS_FROM_JOBS = 16
"""A process takes seconds to start: fewer jobs are done sooner without."""


def in_order(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None) -> Iterator[Result]:
    """`work` of each job, in the jobs' order; `workers` is the number of processes (default: one a core).

    `work` and its jobs must pickle. What it raises comes out here.
    """
    workers = min(workers or available_cores(), len(jobs))
    if workers < 2 or len(jobs) < _PAYS_FROM_JOBS:
        yield from map(work, jobs)
        return
    with executor(workers) as pool:
        yield from pool.map(work, jobs)
