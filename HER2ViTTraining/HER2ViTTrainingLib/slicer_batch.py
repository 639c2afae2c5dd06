"""Runs a command inside 3D Slicer, with the flags, files and exit status of `her2vit COMMAND ...`:

    Slicer --no-splash --no-main-window --python-script .../HER2ViTTrainingLib/slicer_batch.py -- COMMAND ...

The `--` keeps Slicer from taking flags for its own. Run by a plain Python it does the same.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Runs the command in the process's arguments; returns the exit status."""
    _find_libraries()
    from HER2ViTTrainingLib.commands.main import main as run
    from HER2ViTTrainingLib.workflow.process import interpreter, lead_own_group

    lead_own_group()
    multiprocessing.set_executable(interpreter())
    words = sys.argv[1:]
    return run(words[1:] if words[:1] == ["--"] else words)


def _find_libraries() -> None:
    """Puts both libraries on the path: they lie beside each other when installed, in two module folders in
    the sources.
    """
    # Python has put the script's folder there: the subfolders must not be found as packages of their own.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    for folder in (HERE.parent, HERE.parent.parent / "HER2ViT"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def _exit(status: int) -> None:
    """Ends the process; inside Slicer also the application, which would stay open."""
    if "slicer" not in sys.modules:
        sys.exit(status)
    import slicer

    slicer.util.exit(status)


if __name__ == "__main__":
    outcome = 1
    try:
        outcome = main()
    finally:  # also with --debug, whose traceback Slicer prints: it must not stay open
        _exit(outcome)
