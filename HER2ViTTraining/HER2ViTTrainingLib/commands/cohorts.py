"""The commands `simulate` and `cohort`."""

from __future__ import annotations

import argparse

from .options import add_command, add_manifest, add_out, add_seed, progress_bar, record_run, say, say_written


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `simulate` and `cohort`."""
    _add_simulate(commands)
    _add_cohort(commands)


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "simulate", _simulate, "Simulate a cohort of breast DCE-MRI with known answers."
    )
    command.add_argument("--cases", type=int, required=True, metavar="N", help="how many cases")
    command.add_argument(
        "--protocol", choices=("A", "B"), default="A", help="scanner protocol (default: %(default)s)"
    )
    command.add_argument(
        "--scale",
        type=float,
        default=1.0,
        metavar="F",
        help="0.2 to 1: coarser voxels, same field of view (default: %(default)s)",
    )
    add_seed(command, "all that is random")
    add_out(command, "folder for the cohort")


def _simulate(options: argparse.Namespace) -> None:
    from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
    from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS

    with progress_bar("simulate", "case") as progress:
        simulate_cohort(
            options.cases, options.seed, PROTOCOLS[options.protocol], options.out, progress, options.scale
        )
    say_written(options.out, ("manifest.csv", "truth.csv", "counts.csv.gz"))


def _add_cohort(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "cohort", _cohort, "Check a manifest, show who is in and who is out, split by patient."
    )
    add_manifest(command)
    command.add_argument("--folds", type=int, metavar="K", help="also K folds for cross-validation")
    command.add_argument(
        "--split",
        choices=("shared", "per-task"),
        default="shared",
        help=(
            "shared: one split for all tasks; per-task: as in the study, no clean set for the two-step call"
            " (default: %(default)s)"
        ),
    )
    add_seed(command, "the split")
    add_out(command)


def _cohort(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.cohort.flow import RESULT_FILES, flow, flow_text, write_cohort
    from HER2ViTTrainingLib.cohort.manifest import read_manifest
    from HER2ViTTrainingLib.cohort.splits import make_splits

    require_own_folder(options.out, RESULT_FILES)
    cohort = read_manifest(options.manifest)
    splits = make_splits(cohort, options.split, options.folds, options.seed)
    written = write_cohort(cohort, splits, options.out)
    say(flow_text(flow(cohort, splits)))
    record_run(options, written)
