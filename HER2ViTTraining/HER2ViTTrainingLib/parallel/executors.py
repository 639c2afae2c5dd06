"""Many processes, one interface: an executor of `concurrent.futures`, on this machine or on a Dask cluster.

What is submitted must be an importable function with arguments that can be pickled; the futures are those of
`concurrent.futures`, so `as_completed` and `wait` work with both. A Dask cluster
(https://distributed.dask.org) is any scheduler with workers that can import the libraries and see the same
files under the same paths:

    dask scheduler --interface lo                                    # prints its address, tcp://...
    dask worker tcp://ADDRESS --nworkers 8 --nthreads 1              # on every machine

On SLURM, dask-jobqueue starts scheduler and workers as jobs of the queue:

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(cores=8, processes=8, memory="32GB", walltime="08:00:00")
    cluster.scale(jobs=10)
    print(cluster.scheduler_address)

**A Dask scheduler has no authentication**: whoever reaches its port runs any code on its workers. Keep it on
a trusted network, or behind TLS certificates (https://distributed.dask.org/en/stable/tls.html), which are
taken from Dask's configuration here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from HER2ViTLib.messages import InputError

CONNECT_SECONDS = 15
_M_TRIM_THRESHOLD = -1  # of malloc.h, as the next
_M_MMAP_THRESHOLD = -3
_MAX_ON_WINDOWS = 61
"""Processes of a pool, by the Python documentation: Windows waits for so many at once."""


def available_cores() -> int:
    """How many cores this process may use: fewer than the machine has under SLURM, in a container, after
    taskset.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def executor(workers: int | None = None, scheduler: str | None = None) -> Iterator[Executor]:
    """An executor: `workers` processes on this machine (default: one a core), or with `scheduler` the Dask
    cluster at that address.

    Left with an error or an interrupt, processes on this machine end at once, whatever they are doing; so
    they do when this process is killed. Of a cluster only what has not begun is taken back. Raises
    `InputError`, one line, for a scheduler that does not answer.
    """
    with _processes(workers or available_cores()) if scheduler is None else _cluster(scheduler) as pool:
        yield pool


def worker_died(error: BaseException) -> bool:
    """Whether a future failed because its worker ended, not because of what was submitted: in a cluster after
    several tries elsewhere.
    """
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


class _Processes(ProcessPoolExecutor):
    """Starts its workers where Ctrl-C is held back, which they inherit: one that is still starting would end
    with a traceback.
    """

    def submit(self, *call: Any, **options: Any) -> Future:
        with _interrupts_held_back():
            return super().submit(*call, **options)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def keep_freed_memory() -> None:
    """Lets this process keep some of the memory it frees, for a worker that runs a network on the CPU.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536: every tensor then goes back to the system and
    its memory comes anew, page by page, which makes a forward half as long again. Does nothing where the C
    library is not glibc.
    """
    # no such function; no such library (Windows)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)


@contextlib.contextmanager
def _processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    # Spawned, not forked: a fork of a process that runs torch's threads can hang.
    context = multiprocessing.get_context("spawn")
    lifeline, held = context.Pipe(duplex=False)
    workers = min(workers, _MAX_ON_WINDOWS) if sys.platform == "win32" else workers
    pool = _Processes(workers, context, _live_with_parent, (lifeline,))
    try:
        yield pool
    except BaseException:
        held.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        lifeline.close()


def _live_with_parent(lifeline: Connection) -> None:
    """Prepares a worker: it leaves Ctrl-C to its parent, and ends when the parent lets go of the line or is
    killed (then the line breaks).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        with contextlib.suppress(OSError, EOFError):
            lifeline.recv_bytes()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextlib.contextmanager
def _cluster(scheduler: str) -> Iterator[Executor]:
    from distributed import Client  # an optional package, and slow to import

    logging.getLogger("distributed.client").setLevel(
        logging.CRITICAL
    )  # we report a lost scheduler in one line
    try:
        # A client that fails to connect prints tracebacks when it is collected: knock first.
        asyncio.run(asyncio.wait_for(_knock(scheduler), CONNECT_SECONDS))
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (TimeoutError, OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:120] or "no answer"
        raise InputError(
            f"scheduler {scheduler!r}: cannot be reached ({reason}); give the address that `dask scheduler`"
            " shows, tcp://..."
        ) from error
    with client:
        _require_her2vit(client, scheduler)
        pool = client.get_executor(pure=False)  # pure: equal calls would be done once
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False)
            raise
        pool.shutdown()


def _require_her2vit(client: Any, scheduler: str) -> None:
    """Raises `InputError` when a worker cannot import this library: given a task of it, that worker would
    end, and the batch wait for ever.
    """
    for answer in client.run(available_cores, on_error="return").values():
        if isinstance(answer, BaseException):
            raise InputError(
                f"scheduler {scheduler!r}: a worker cannot run her2vit ({answer}); install it where the"
                " workers run"
            )


async def _knock(scheduler: str) -> None:
    """Connects to a Dask scheduler and hangs up. Raises `OSError` where none answers, `ValueError` or
    `TypeError` for what is no address.
    """
    from distributed import Security
    from distributed.comm import connect

    comm = await connect(scheduler, timeout=CONNECT_SECONDS, **Security().get_connection_args("client"))
    await comm.close()
