"""The commands of a repeatability study: `session`, `features`, `agreement`."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from .options import (
    add_command,
    add_device,
    add_manifest,
    add_no_figures,
    add_out,
    add_seed,
    positive_number,
    progress_bar,
    record_run,
    say,
    say_written,
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `session`, `features` and `agreement`."""
    _add_session(commands)
    _add_features(commands)
    _add_agreement(commands)


# Session


def _add_session(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "session",
        _session,
        "Plan blinded repeatability sessions: the first reader reads twice, the others once.",
    )
    add_manifest(command)
    command.add_argument(
        "--cases",
        type=positive_number,
        default=60,
        metavar="N",
        help="how many cases to draw (default: %(default)s)",
    )
    command.add_argument(
        "--readers", default="A,B", metavar="A,B", help="names of the readers (default: %(default)s)"
    )
    command.add_argument(
        "--washout-days",
        type=float,
        default=14,
        metavar="DAYS",
        help="from the end of the first read to the second (default: %(default)s)",
    )
    add_seed(command, "draw and orders")
    add_out(command, "new folder for the sessions")


def _session(options: argparse.Namespace) -> None:
    from HER2ViTTrainingLib.repeatability.plan import Plan, write_plan

    readers = tuple(name.strip() for name in options.readers.split(","))
    plan = Plan(options.cases, readers, options.washout_days, options.seed)
    with progress_bar("session", "case") as progress:
        written = write_plan(options.manifest, plan, options.out, progress)
    say_written(options.out, written)
    say(
        f"keep {options.out / 'coordinator'} to yourself: its key tells the cases; give each reader the"
        " folder of that reader only"
    )


# Features


def _add_features(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "features",
        _features,
        "Shape, intensity, enhancement and model features of outlined lesions.",
    )
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "manifest", nargs="?", type=Path, metavar="MANIFEST", help="CSV, one row a case; paths relative to it"
    )
    source.add_argument(
        "--session",
        type=Path,
        metavar="DIR",
        help="all reads of a repeatability session, by its coordinator's key",
    )
    command.add_argument(
        "--roi-column",
        default="roi",
        metavar="COLUMN",
        help="which outlines of the manifest (default: %(default)s)",
    )
    command.add_argument(
        "--rater", default="A1", metavar="LABEL", help="who drew them (default: %(default)s)"
    )
    command.add_argument(
        "--bundle",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="also its embedding and score; once per task",
    )
    add_device(command)
    add_out(command)


def _features(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.cohort.manifest import read_manifest
    from HER2ViTTrainingLib.repeatability.feature_table import RESULT_FILES, feature_table, write_features
    from HER2ViTTrainingLib.repeatability.outlines import manifest_outlines
    from HER2ViTTrainingLib.repeatability.reads import case_reads, outlines_of

    require_own_folder(options.out, RESULT_FILES)
    reads = []
    if options.session:
        reads = case_reads(options.session)
        drawn = outlines_of(reads, options.session)
    else:
        drawn = manifest_outlines(read_manifest(options.manifest), options.roi_column, options.rater)
    with progress_bar("features", "outline") as progress:
        table = feature_table(drawn, options.bundle, options.device, progress=progress)
    say_written(options.out, write_features(table, options.out, reads))


# Agreement


def _add_agreement(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "agreement", _agreement, "Compare the ratings and outlines of several reads."
    )
    command.add_argument(
        "ratings",
        nargs="*",
        type=Path,
        metavar="RATINGS",
        help="CSV: case_id, rater, FEATURE... (default: the outlines' features)",
    )
    outlines = command.add_mutually_exclusive_group()
    outlines.add_argument(
        "--manifest",
        type=Path,
        metavar="MANIFEST",
        help="compare outlines too, those in columns of this CSV file",
    )
    outlines.add_argument(
        "--session", type=Path, metavar="DIR", help="compare outlines too, those of a repeatability session"
    )
    command.add_argument(
        "--roi-columns",
        default="roi,roi_a2,roi_b",
        metavar="COLUMN,...",
        help="the manifest's columns, of A1, A2 and B1 (default: %(default)s)",
    )
    command.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="A1,A2",
        help="raters to compare; may be repeated (default: all together)",
    )
    add_no_figures(command)
    add_out(command)


def _agreement(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.repeatability import reads
    from HER2ViTTrainingLib.repeatability.agreement import agreement_of
    from HER2ViTTrainingLib.repeatability.figures import agreement_pictures
    from HER2ViTTrainingLib.repeatability.outlines import column_outlines
    from HER2ViTTrainingLib.repeatability.ratings import read_ratings
    from HER2ViTTrainingLib.repeatability.results import RESULT_FILES, write_agreement
    from HER2ViTTrainingLib.repeatability.sentences import agreement_text

    require_own_folder(options.out, RESULT_FILES)
    drawn = []
    if options.manifest:
        drawn = column_outlines(options.manifest, options.roi_columns.split(","))
    elif options.session:
        drawn = reads.outlines(options.session)
    ratings = read_ratings(options.ratings) if options.ratings else None
    with progress_bar("outlines", "case") if drawn else contextlib.nullcontext() as progress:
        agreement = agreement_of(ratings, drawn, options.compare, progress)
    pictures = {} if options.no_figures else agreement_pictures(agreement)
    written = write_agreement(agreement, options.out, pictures)
    say(agreement_text(agreement))
    record_run(options, written)
