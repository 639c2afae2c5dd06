"""import."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, add_out, say, say_written


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `import`."""
    command = add_command(
        commands, "import", _import, "Write the manifest of a public data set as it was downloaded."
    )
    command.add_argument(
        "source",
        choices=("mama-mia", "breastdcedl", "duke"),
        metavar="SOURCE",
        help="mama-mia, breastdcedl or duke",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="where it was downloaded to")
    command.add_argument(
        "--her2-states",
        type=Path,
        metavar="FILE",
        help="the published HER2 states of I-SPY 2 (CSV): they tell zero and low apart",
    )
    add_out(command, "folder for the manifest")


def _import(options: argparse.Namespace) -> None:
    from HER2ViTTrainingLib.public.importing import import_data_set
    from HER2ViTTrainingLib.public.page import import_text

    about, written = import_data_set(options.source, options.folder, options.out, options.her2_states)
    say(import_text(about))
    say_written(options.out, written)
