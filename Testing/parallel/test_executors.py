"""One interface to many processes: on this machine and on a Dask cluster."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.parallel import executors
from HER2ViTTrainingLib.parallel.executors import executor
from support.patience import wait_until


def square(n):
    return n * n, os.getpid()


def blocked_signals():
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def fail(line):
    raise InputError([line, "second"])


def sleep(seconds, marker):
    marker.write_text(str(os.getpid()))
    time.sleep(seconds)


@pytest.fixture(params=["processes", "cluster"])
def pool(request):
    if request.param == "processes":
        with executor(2) as pool:
            yield pool
    else:
        with executor(scheduler=request.getfixturevalue("a_cluster")) as pool:
            yield pool


def test_both_kinds_work_as_concurrent_futures(pool):
    futures = {pool.submit(square, n): n for n in (1, 2, 2, 3)}
    found = [(futures[future], future.result()) for future in as_completed(futures)]
    assert sorted((n, value) for n, (value, _) in found) == [(1, 1), (2, 4), (2, 4), (3, 9)]
    assert os.getpid() not in {pid for _, (_, pid) in found}
    assert [value for value, _ in pool.map(square, range(4))] == [0, 1, 4, 9]


def test_bad_input_in_a_worker_comes_back_with_its_lines(pool):
    with pytest.raises(InputError) as raised:
        pool.submit(fail, "first").result()
    assert raised.value.faults == ("first", "second")


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 1)
    with socket.socket() as closed, socket.create_server(("127.0.0.1", 0)) as silent:
        closed.bind(("127.0.0.1", 0))
        addresses = [f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in (closed, silent)]
        for wrong in (*addresses, "nonsense", "magic://x", "tls://127.0.0.1:9"):
            with pytest.raises(InputError, match="cannot be reached") as raised, executor(scheduler=wrong):
                pass
            assert len(raised.value.faults) == 1
            assert "\n" not in raised.value.faults[0]


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def started_worker(marker):
    wait_until(lambda: marker.exists() and marker.read_text())
    return int(marker.read_text())


def test_workers_without_the_library_are_one_line():
    """Given a task that it cannot import, a Dask worker ends, and its next one too: the batch would wait for
    ever.
    """
    answers = {"tcp://worker": ModuleNotFoundError("No module named 'HER2ViTTrainingLib'")}
    client = SimpleNamespace(run=lambda function, on_error: answers)
    with pytest.raises(
        InputError,
        match=r"a worker cannot run her2vit .*No module named 'HER2ViTTrainingLib'.*install it where",
    ):
        executors._require_her2vit(client, "tcp://scheduler")


def test_workers_end_at_once_with_an_error(tmp_path):
    def run():
        with executor(1) as pool:
            pool.submit(sleep, 600, tmp_path / "marker")
            worker = started_worker(tmp_path / "marker")
            raise KeyError(worker)

    with pytest.raises(KeyError) as raised:
        run()
    wait_until(lambda: is_gone(raised.value.args[0]))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows")
def test_a_worker_that_is_still_starting_leaves_ctrl_c_to_its_parent():
    with executor(1) as pool:
        assert signal.SIGINT in pool.submit(blocked_signals).result()
        assert signal.SIGINT not in blocked_signals()


def test_workers_end_with_a_killed_parent(tmp_path):
    run = "with executor(1) as pool: pool.submit(sleep, 600, Path(sys.argv[1])).result()"
    code = f"import sys; from pathlib import Path; from test_executors import *\n{run}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "marker")], env=environment) as parent:
        worker = started_worker(tmp_path / "marker")
        parent.kill()
    wait_until(lambda: is_gone(worker))


def test_a_worker_that_dies_breaks_the_pool():
    with pytest.raises(BrokenProcessPool), executor(1) as pool:
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
