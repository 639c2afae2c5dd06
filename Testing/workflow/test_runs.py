"""The queue of runs, what is heard of them, how they end, what they need."""

import itertools
import os
import subprocess
import sys
import time
import tomllib

import pytest

from conftest import REPOSITORY
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.commands.main import EXTRAS, build_parser, commands_of
from HER2ViTTrainingLib.parallel.progress import ProgressLine, progress_line
from HER2ViTTrainingLib.workflow.packages import needs_torch, packages_for
from HER2ViTTrainingLib.workflow.process import (
    ENVIRONMENT,
    SCRIPT,
    WORKING_FOLDER,
    end,
    interpreter,
    interrupt,
)
from HER2ViTTrainingLib.workflow.results import MOST_ROWS, shown_files, table_of
from HER2ViTTrainingLib.workflow.runs import MOST_LINES, Run, RunQueue, State
from test_install import EVERY_FILE, imports

COMMANDS = commands_of(build_parser())
del COMMANDS["help"]
TRAIN = ("train", "m.csv", "--task", "zero-vs-rest", "--out", "study/task1")


def test_runs_wait_for_each_other_in_their_order():
    queue = RunQueue()
    first = queue.add(TRAIN)
    second = queue.add(("demo",))
    assert queue.start_next() is first
    assert queue.start_next() is None
    assert queue.current is first and second.state is State.WAITING
    first.end(0)
    assert queue.start_next() is second
    second.end(0)
    assert queue.start_next() is None
    assert (queue.current, queue.unfinished) == (None, [])
    queue.clear_finished()
    assert queue.runs == []


def test_a_run_is_cancelled_at_once_while_it_waits_and_stopped_while_it_runs():
    queue = RunQueue()
    running = queue.add(TRAIN)
    waiting = queue.add(("demo",))
    queue.start_next()
    assert not queue.cancel(waiting)
    assert waiting.state is State.CANCELLED
    assert queue.cancel(running)
    assert not queue.cancel(running), "asked once"
    assert (running.state, queue.current) == (State.STOPPING, running)
    running.end(137)
    assert running.state is State.CANCELLED
    assert not queue.cancel(running)


@pytest.mark.parametrize(
    "status, state",
    [
        (0, State.DONE),
        (1, State.FAILED),
        (2, State.REFUSED),
        (3, State.SOME_FAILED),
        (130, State.CANCELLED),
        (137, State.FAILED),
    ],
)
def test_the_exit_status_says_how_a_run_ended(status, state):
    run = Run(("demo",), State.RUNNING)
    run.end(status)
    assert run.state is state


def test_output_is_heard_in_pieces_and_progress_is_kept_apart():
    run = Run(TRAIN, State.RUNNING)
    told = ProgressLine("train", 2, 40, "loss 0.5")
    whole = f"warning: few cases\r\n{told}\nwrote study/a.csv\nwrote /elsewhere/b.png"
    for start in range(0, len(whole), 7):
        run.hear(whole[start : start + 7])
    assert run.progress == told
    assert run.lines == ["warning: few cases", "wrote study/a.csv"]
    run.end(0)
    assert run.lines[-1] == "wrote /elsewhere/b.png"
    assert [str(path) for path in run.written] == [
        str(WORKING_FOLDER / "study" / "a.csv"),
        str(WORKING_FOLDER / "/elsewhere/b.png"),
    ]


def test_long_output_keeps_its_end():
    run = Run(("demo",))
    run.hear("".join(f"{n}\n" for n in range(MOST_LINES + 3)))
    assert (len(run.lines), run.lines[0], run.heard) == (MOST_LINES, "3", MOST_LINES + 3)


def test_quitting_is_asked_about_while_something_is_left_to_do():
    queue = RunQueue()
    assert queue.quit_question() == ""
    run = queue.add(TRAIN)
    assert "train > task1" in queue.quit_question()
    queue.start_next()
    assert "train > task1" in queue.quit_question()
    run.end(0)
    assert queue.quit_question() == ""


# Results


def test_reports_come_first_then_pictures_then_tables_and_nothing_that_is_not_there(tmp_path):
    names = ("metrics.csv", "roc.png", "table2.html", "metrics.json", "confusion.png")
    for name in names:
        (tmp_path / name).write_text("x")
    written = [tmp_path / name for name in (*names, "gone.csv", "roc.png")]
    assert [path.name for path in shown_files(written)] == [
        "table2.html",
        "roc.png",
        "confusion.png",
        "metrics.csv",
    ]


def test_a_table_is_shown_up_to_a_limit(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        'case_id,"a, b"\n' + "".join(f"c{n},{n}\n" for n in range(MOST_ROWS)), encoding="utf-8-sig"
    )
    heads, rows, cut = table_of(path)
    assert (heads, rows[0], len(rows), cut) == (["case_id", "a, b"], ["c0", "0"], MOST_ROWS, False)
    path.write_text(path.read_text() + "one,more\n")
    heads, rows, cut = table_of(path)
    assert (len(rows), cut) == (MOST_ROWS, True)
    path.write_text("")
    assert table_of(path) == ([], [], False)
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match=r"t\.csv: cannot be read as a table"):
        table_of(path)


# Processes


def started(*words):
    """A run's process after its first case, as the panel starts it."""
    process = subprocess.Popen(
        [interpreter(), SCRIPT, *words],
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if progress_line(line):
            break
    return process


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
@pytest.mark.parametrize("stop, statuses", [(interrupt, (130,)), (end, (-9,))], ids=["asked", "ended"])
def test_a_run_ends_with_all_its_processes_and_goes_on_where_it_was(tmp_path, stop, statuses):
    words = ("simulate", "--cases", "400", "--scale", "0.2", "--out", str(tmp_path / "cohort"))
    process = started(*words)
    assert alive(process.pid)
    stop(process.pid)
    process.communicate(timeout=60)
    assert process.returncode in statuses
    patience = time.monotonic() + 20
    while alive(process.pid) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not alive(process.pid)
    made = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "cohort" / "images").glob("A1-0000[0-3]*.nrrd")
    }
    assert made and not (tmp_path / "cohort" / "manifest.csv").exists()
    again = started("simulate", "--cases", "4", "--scale", "0.2", "--out", str(tmp_path / "cohort"))
    again.communicate(timeout=60)
    assert again.returncode == 0
    whole = [path for path in made if path.stat().st_mtime_ns == made[path]]
    assert whole, "what was there is not made anew"


def test_no_process_is_not_our_own_group(monkeypatch):
    for name in ("kill", "killpg"):
        monkeypatch.setattr(os, name, lambda *words: pytest.fail(f"signalled {words}"))
    interrupt(0)
    end(0)


def test_a_process_that_is_gone_hears_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    interrupt(process.pid)
    end(process.pid)


# Packages

ALL_OPTIONS = ("--bundle", "--dicom-out", "--scheduler", "probe")
SLICERS_OWN = {"numpy", "scipy", "SimpleITK", "pydicom", "slicer", "vtkmodules", "tqdm", "torch"}
"""tqdm draws the bar of a terminal; torch comes through its own extension."""


def reached(command):
    """Every package that the rooms of a command import, wherever the import stands."""
    found = set()
    file = COMMANDS[command].get_default("run").__module__
    todo = [file] if file else []
    seen = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in EVERY_FILE:
            todo += imports(name)
        else:
            found.add(name.partition(".")[0])
    return found - set(sys.stdlib_module_names) - SLICERS_OWN


def test_every_command_says_which_packages_it_needs_as_the_project_declares_them():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = {*project["dependencies"], *itertools.chain.from_iterable(extras)}
    for command in COMMANDS:
        assert set(packages_for((command, *ALL_OPTIONS)).values()) <= declared, command
    for package in set(EXTRAS) - {"scipy"}:
        assert any(package in packages_for((command, *ALL_OPTIONS)) for command in COMMANDS), package


def test_the_rooms_of_all_commands_import_nothing_that_no_command_names():
    named = {package for command in COMMANDS for package in packages_for((command, *ALL_OPTIONS))}
    assert set().union(*map(reached, COMMANDS)) <= named


def test_only_what_runs_a_network_needs_torch():
    with_a_network = {"demo", "read", "batch", "train", "adapt", "sanity"}
    assert {command for command in COMMANDS if needs_torch((command,))} == with_a_network
    assert needs_torch(("features", "m.csv", "--bundle", "b"))
    assert "highdicom" in packages_for(("read", "--dicom-out", "d")) and "highdicom" not in packages_for(
        ("read",)
    )
