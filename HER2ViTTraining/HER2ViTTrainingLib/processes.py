"""Work on many cases by several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_PAYS_FROM_JOBS = 16
"""A process takes seconds to start: fewer jobs are done sooner without."""


def in_order(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None) -> Iterator[Result]:
    """`work` of each job, in the jobs' order, by several processes where that pays; `workers` defaults to the processors.

    `work` and its jobs must pickle. What it raises comes out here.
    """
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers < 2 or len(jobs) < _PAYS_FROM_JOBS:
        yield from map(work, jobs)
        return
    # Spawned, not forked: ITK's, OpenCV's and torch's threads do not survive a fork.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, jobs)
