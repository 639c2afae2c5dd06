"""Work on many cases, in order, by several processes where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from HER2ViTLib.messages import InputError

from .executors import available_cores, executor
from .progress import Progress

Job = TypeVar("Job")
Result = TypeVar("Result")

_PAYS_FROM_JOBS = 16
"""A process takes seconds to start: fewer jobs are done sooner without."""


def in_order(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """`work` of each job, in the jobs' order; `workers` is the number of processes (default: one a core).

    `work`, its jobs and results must pickle. `progress` is told (done, all) after each job. Raises
    `InputError` with the faults of all jobs whose work raises one, once all are done; what else it raises
    comes out at once.
    """
    found: list[Result] = []
    faults: list[str] = []
    results = _results(partial(_found_or_faulty, work), jobs, workers or available_cores())
    for done, one in enumerate(results, start=1):
        if isinstance(one, InputError):
            faults += one.faults
        else:
            found.append(one)
        if progress is not None:
            progress(done, len(jobs))
    if faults:
        raise InputError(faults)
    return found


def _found_or_faulty(work: Callable[[Job], Result], job: Job) -> Result | InputError:
    try:
        return work(job)
    except InputError as error:
        return error


def _results(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    workers = min(workers, len(jobs))
    if workers < 2 or len(jobs) < _PAYS_FROM_JOBS:
        yield from map(work, jobs)
        return
    with executor(workers) as pool:
        yield from pool.map(work, jobs)
