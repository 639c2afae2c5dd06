"""series."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, say, say_written

SERIES_FILE = "series.json"


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `series`."""
    command = add_command(
        commands, "series", _series, "List the series of a DICOM examination, and which ones a reading uses."
    )
    command.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a DICOM folder, subfolders included; or an enhanced file"
    )
    command.add_argument(
        "--keep-names", action="store_true", help="show the series' descriptions and UIDs as well"
    )
    command.add_argument("--out", type=Path, metavar="DIR", help=f"folder for {SERIES_FILE}")


def _series(options: argparse.Namespace) -> None:
    from HER2ViTLib.dicom.listing import list_series, listing_text
    from HER2ViTLib.files.output import json_bytes, require_own_folder, write_results

    if options.out is not None:
        require_own_folder(options.out, [SERIES_FILE])
    listing = list_series(options.folder, options.keep_names)
    say(listing_text(listing))
    if options.out is not None:
        contents = {SERIES_FILE: json_bytes(listing.to_json())}
        say_written(options.out, write_results(options.out, [SERIES_FILE], contents))
