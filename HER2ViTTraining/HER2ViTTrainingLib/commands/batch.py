"""The command that reads the cases of a manifest: `batch`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import (
    DONE,
    SOME_FAILED,
    add_command,
    add_dicom_out,
    add_manifest,
    add_model_options,
    add_out,
    add_slice_count,
    positive_number,
    progress_bar,
    record_run,
    require_apart,
    say,
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `batch`."""
    _add_batch(commands)


def _add_batch(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "batch", _batch, "Read the cases of a manifest; an interrupted run resumes."
    )
    add_manifest(command)
    command.add_argument(
        "--bundle",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="model bundle; once per task",
    )
    add_out(command)
    add_dicom_out(command, "also write every reading as DICOM objects, of DICOM images, into DIR/CASE")
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=positive_number, metavar="N", help="processes on this machine (default: one a core)"
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask cluster instead, tcp://...; no authentication: trusted networks only",
    )
    command.add_argument("--retry-failed", action="store_true", help="try the cases that failed before again")
    command.add_argument("--figures", action="store_true", help="also a picture of every case")
    add_slice_count(command, "read so many slices of a lesion (default: as many as each bundle says)")
    add_model_options(command)


def _batch(options: argparse.Namespace) -> int:
    from HER2ViTTrainingLib.batch.batch import read_batch

    if options.dicom_out is not None:
        require_apart(options.out, options.dicom_out)
    with progress_bar("read", "case") as progress:
        outcome = read_batch(
            options.manifest,
            options.bundle,
            options.out,
            dicom_out=options.dicom_out,
            device=options.device,
            attention=options.attention,
            figures=options.figures,
            slice_count=options.slice_count,
            workers=options.workers,
            scheduler=options.scheduler,
            retry_failed=options.retry_failed,
            progress=progress,
        )
    say(
        f"{outcome.cases} cases: {outcome.cases - outcome.failed} read, {outcome.failed} failed;"
        f" {outcome.attempted} of them in this run"
    )
    if outcome.sizes is not None:
        sizes = outcome.sizes
        say(
            f"one status left in {sizes.told}; several, cannot tell, in {sizes.cannot_tell}; none, unlike the"
            f" calibration cases, in {sizes.none_left}"
        )
    record_run(options, ("readings.csv", "failures.csv", "cases"))
    return SOME_FAILED if outcome.failed else DONE
