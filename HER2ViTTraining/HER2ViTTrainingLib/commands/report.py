"""The command `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, add_out, say, say_written


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `report`."""
    command = add_command(
        commands, "report", _report, "One page of a whole study, with the reporting checklists."
    )
    command.add_argument(
        "study", type=Path, metavar="STUDYDIR", help="folder with the results of the commands, at any depth"
    )
    command.add_argument(
        "--keep-names", action="store_true", help="show the names of the folders the results lie in"
    )
    add_out(command)


def _report(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.study_report.results import RESULT_FILES, report_of, report_text, write_report

    require_own_folder(options.out, RESULT_FILES)
    report = report_of(options.study, keep_names=options.keep_names)
    written = write_report(report, options.out)
    say(report_text(report))
    say_written(options.out, written)
