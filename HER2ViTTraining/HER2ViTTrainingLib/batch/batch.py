"""Many cases, read by several processes or a Dask cluster: each is read once, and an interrupted run resumes.

All that a run knows lies in the cases' folders (`jobs`), each put in place whole. So a run that is killed at
any moment loses only what it was reading; the next one reads what is missing or was made from other inputs,
and writes the tables anew from the folders.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.files.output import csv_bytes, prepare_folder, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.reading.readings_table import reading_row, readings_columns
from HER2ViTTrainingLib.cohort.manifest import read_cases
from HER2ViTTrainingLib.parallel.executors import available_cores, executor, worker_died
from HER2ViTTrainingLib.parallel.progress import Progress

from .archived import archive_folder
from .jobs import Failure, Job, Settings, job_of, room_to_write, sweep, write_failure
from .results import FAILURE_COLUMNS, SetSizes, set_sizes

LOCK_FILE = ".lock"
RESULT_FILES = ("readings.csv", "failures.csv", "cases", LOCK_FILE)
CHUNK = 8
"""Cases a worker gets at a time: enough to hide the time on the way, few enough for workers to finish
together.
"""
CLUSTER_WINDOW = 256
"""Chunks a cluster is given ahead of its results: more than it has workers."""
ENDED = (
    "the process that read it ended without an error, twice (no memory left, a fault in a library); read it"
    " alone with: her2vit read"
)


@dataclass(frozen=True)
class Outcome:
    """How many cases a batch has, how many of them this run had to read, and how many failed; of how many
    readings how many statuses could not be excluded, None where the bundles were not made to tell.
    """

    cases: int
    attempted: int
    failed: int
    sizes: SetSizes | None


def read_batch(
    manifest: str | os.PathLike,
    bundles: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    dicom_out: str | os.PathLike | None = None,
    device: str = "auto",
    attention: str = "rollout",
    figures: bool = False,
    slice_count: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Reads the cases of a manifest into `out`: a folder a case, `readings.csv` and `failures.csv` in the
    manifest's order.

    Run again, it reads what is not done yet or was done from other inputs, bundles or settings; of the cases
    that failed only those whose inputs changed, with `retry_failed` all. `dicom_out` as `archive_folder`,
    `slice_count` as `Reader`, `workers` and `scheduler` as `executor`; `progress` is told of the cases to be
    read. Raises `InputError` for faults of the manifest, the bundles or the device, a folder in use, no room.
    """
    manifest = Path(manifest).absolute()
    out = Path(out).absolute()
    cases = read_cases(manifest)
    folders = tuple(Path(folder).absolute() for folder in bundles)
    hashes = tuple(map(_bundle_sha256, folders))
    dicom = None if dicom_out is None else archive_folder(dicom_out, cases, out)
    settings = Settings(manifest.parent, folders, hashes, device, attention, figures, slice_count, dicom)
    with _alone(out):
        sweep(out / "cases")
        sweep(dicom)
        jobs = [job_of(case, settings, out / "cases" / case.case_id) for case in cases]
        pending = _pending(jobs, retry_failed)
        _read_all(settings, pending, workers, scheduler, progress)
        failed, sizes = _write_tables(jobs, out)
    return Outcome(len(jobs), len(pending), failed, sizes)


def _bundle_sha256(folder: Path) -> str:
    """Names the bundle, as `Bundle.sha256`: the hash of its config, which holds that of the weights. The
    workers verify all of it.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise InputError(
            f"{folder}: is not a bundle folder; give the folder that holds config.json and model.safetensors"
        )
    return file_sha256(config)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps other runs out of the folder, by a lock that ends with its process. A run that fails before it
    has read a case leaves no new folder behind.
    """
    is_new = not out.exists()
    prepare_folder(out, RESULT_FILES)
    lock = FileLock(out / LOCK_FILE)
    with room_to_write(out):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"{out}: another run is writing here; wait for its end, or name another folder"
            ) from None
    try:
        yield
    finally:
        lock.release()
        if is_new and [entry.name for entry in out.iterdir()] in ([], [LOCK_FILE]):
            (out / LOCK_FILE).unlink(missing_ok=True)
            out.rmdir()


def _pending(jobs: Sequence[Job], retry_failed: bool) -> list[Job]:
    """The jobs to do; failures that are to be tried again are forgotten."""
    for job in jobs if retry_failed else ():
        record = job.record()
        if record is not None and record.failure is not None:
            shutil.rmtree(job.folder)
    return [job for job in jobs if job.record() is None]


# Reading


def _read_all(
    settings: Settings,
    jobs: Sequence[Job],
    workers: int | None,
    scheduler: str | None,
    progress: Progress | None,
) -> None:
    """Reads the jobs. Those out when a worker dies are read again, one at a time: the one whose worker dies
    then too has failed.
    """
    finished: set[str] = set()

    def finish(done: Iterable[Job]) -> None:
        finished.update(job.case_id for job in done)
        if progress is not None:
            progress(len(finished), len(jobs))

    finish(())
    workers = min(workers or available_cores(), max(len(jobs), 1))
    left = list(jobs)
    while left:
        share = max(1, min(CHUNK, len(left) // (4 * workers)))
        chunks = [left[n : n + share] for n in range(0, len(left), share)]
        with executor(workers, scheduler) as pool:
            struck = _read_together(
                pool, settings, chunks, CLUSTER_WINDOW if scheduler else workers + 1, finish
            )
        _read_alone(settings, struck, scheduler, finish)
        left = [job for job in left if job.case_id not in finished]


def _read_alone(
    settings: Settings, struck: Sequence[Job], scheduler: str | None, finish: Callable[[Iterable[Job]], None]
) -> None:
    left = [job for job in struck if job.record() is None]
    while left:
        with executor(1, scheduler) as pool:
            _require_workers_that_start(pool, settings)
            for job in _read_together(pool, settings, [[job] for job in left], 1, finish):
                write_failure(job, Failure("worker", ENDED))
        left = [job for job in left if job.record() is None]
    finish(struck)


def _require_workers_that_start(pool: Executor, settings: Settings) -> None:
    """Raises `InputError` when no case is to blame for the death of a worker."""
    error = pool.submit(_read_jobs, settings, ()).exception()
    if error is not None and worker_died(error):
        raise InputError(
            "the worker processes end as soon as they load the models; give them more memory, or fewer"
            " --workers"
        ) from error
    if error is not None:
        raise error


def _read_together(
    pool: Executor,
    settings: Settings,
    chunks: Iterable[Sequence[Job]],
    window: int,
    finish: Callable[[Iterable[Job]], None],
) -> list[Job]:
    """Hands out the chunks, at most `window` at a time; returns the jobs that were out when a worker died."""
    waiting = iter(chunks)
    struck: list[Job] = []
    out: dict[Future, Sequence[Job]] = {}
    while True:
        # A broken pool takes nothing more, and all that is out comes back with its error.
        with contextlib.suppress(BrokenExecutor):
            for chunk in islice(waiting, window - len(out)):
                out[pool.submit(_read_jobs, settings, chunk)] = chunk
        if not out:
            return struck
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            chunk = out.pop(future)
            error = _error(future)
            if error is None:
                finish(chunk)
            elif worker_died(error):
                struck += chunk
            else:
                raise error


def _error(future: Future) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:
        raise InputError("the scheduler has gone away; start it and run again: what is done stays") from error


def _read_jobs(settings: Settings, jobs: Sequence[Job]) -> None:
    from .worker import read_jobs  # torch: the workers need it, this process does not

    read_jobs(settings, jobs)


# Tables


def _write_tables(jobs: Sequence[Job], out: Path) -> tuple[int, SetSizes | None]:
    """Writes `readings.csv` and `failures.csv` from the cases' folders; returns the number of failures, and
    how many statuses the readings leave.
    """
    failures: list[dict[str, str]] = []
    faults: list[str] = []

    def readings() -> Iterator[dict[str, Any]]:
        for job in jobs:
            record = job.record()
            if record is None:
                faults.append(
                    f"{job.folder}: is not there though it was read; workers elsewhere must see --out under"
                    " the same path"
                )
            elif record.failure is None:
                yield from _row(job, faults)
            else:
                failures.append(
                    {"case_id": job.case_id, "stage": record.failure.stage, "reason": record.failure.reason}
                )

    rows = list(readings())
    if faults:
        raise InputError(faults)
    with room_to_write(out):
        write_atomically(out / "readings.csv", csv_bytes(readings_columns(rows), rows))
        write_atomically(out / "failures.csv", csv_bytes(FAILURE_COLUMNS, failures))
    return len(failures), set_sizes(rows)


def _row(job: Job, faults: list[str]) -> Iterator[dict[str, Any]]:
    """The case's row of `readings.csv`; none, but a fault, where something has happened to its reading since
    it was written.
    """
    path = job.folder / "reading.json"
    try:
        yield reading_row(parse_json(path.read_bytes()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        faults.append(f"{path}: is missing or damaged; remove the folder {job.folder.name} and run again")
