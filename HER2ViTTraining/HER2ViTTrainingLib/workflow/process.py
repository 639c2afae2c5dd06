"""The process of a run: which Python, in which environment, and how it is ended with all that it started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from HER2ViTTrainingLib.parallel.progress import AS_LINES

OWN_GROUP = "HER2VIT_OWN_GROUP"
"""Environment variable: where it is set, a command leads a process group, which can be ended as a whole."""
ENVIRONMENT = {AS_LINES: "1", OWN_GROUP: "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
"""What a run's environment has besides the application's."""
WORKING_FOLDER = Path.home()
"""What relative paths in a form are relative to."""
SCRIPT = Path(__file__).parents[1] / "slicer_batch.py"
"""Runs any command, with whatever Python."""


def interpreter() -> str:
    """The Python of this process. Inside 3D Slicer not `sys.executable`: that is a launcher, which starts the
    Python proper as a child, so that signals to it reach nobody and workers started through it hang (Slicer
    issue 7445). The environment that the launcher would set is Slicer's own already.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if "slicer" not in sys.modules:
        return sys.executable
    return (
        shutil.which("python-real")
        or shutil.which(version, path=str(Path(sys.prefix, "bin")))
        or sys.executable
    )


def lead_own_group() -> None:
    """Makes this process the leader of a process group that hears Ctrl-C, where the panel asked for it. An
    application that was started in the background leaves Ctrl-C ignored to its children.
    """
    if os.environ.get(OWN_GROUP) and hasattr(os, "setsid") and os.getpgrp() != os.getpid():
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupt(pid: int) -> None:
    """Asks a run to end, as Ctrl-C would: it leaves its folder whole and ends its workers. On Windows, where
    a process without a console hears no Ctrl-C, it is ended at once; what it left unfinished it finishes when
    it is started again.
    """
    if sys.platform == "win32":
        end(pid)
    else:
        _signal(pid, signal.SIGINT)


def end(pid: int) -> None:
    """Ends a run at once, with every process that it started."""
    if sys.platform == "win32":
        # /T: with its children; /F: by force. taskkill is part of Windows.
        taskkill = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        words = [taskkill, "/PID", str(pid), "/T", "/F"]
        subprocess.run(words, check=False, capture_output=True)  # noqa: S603
    else:
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, which: signal.Signals) -> None:
    """To the group that the process leads; to the process alone while it does not yet. A process that is gone
    hears nothing.
    """
    if pid <= 0:  # not there: 0 would mean our own group, the application
        return
    for send in (os.killpg, os.kill):
        try:
            send(pid, which)
        except ProcessLookupError:
            continue
        return
