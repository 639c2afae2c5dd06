"""The command `sanity`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import (
    add_command,
    add_device,
    add_manifest,
    add_no_figures,
    add_out,
    add_resamples,
    add_seed,
    positive_number,
    progress_bar,
    record_run,
    say,
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `sanity`."""
    command = add_command(
        commands, "sanity", _sanity, "Whether a bundle's attention maps mean anything, on your own cases."
    )
    command.add_argument("bundle", type=Path, metavar="BUNDLE", help="model bundle")
    add_manifest(command)
    command.add_argument(
        "--cases",
        type=positive_number,
        default=50,
        metavar="N",
        help="look at so many cases at most, drawn at random (default: %(default)s)",
    )
    add_no_figures(command)
    add_resamples(command)
    add_seed(command, "cases, weights, orders and bootstrap")
    add_device(command)
    add_out(command)


def _sanity(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTLib.model.attention import attention_modules
    from HER2ViTLib.model.bundle import load_bundle
    from HER2ViTLib.model.devices import choose_device
    from HER2ViTTrainingLib.cohort.manifest import read_manifest
    from HER2ViTTrainingLib.sanity.cases import chosen_cases, load_cases
    from HER2ViTTrainingLib.sanity.checking import check
    from HER2ViTTrainingLib.sanity.results import RESULT_FILES, sanity_text, write_sanity
    from HER2ViTTrainingLib.stats.resampling import Resampling

    require_own_folder(options.out, RESULT_FILES)
    bundle = load_bundle(options.bundle)
    attention_modules(bundle.model)
    device, _ = choose_device(options.device)
    cohort = read_manifest(options.manifest)
    chosen = chosen_cases(cohort, bundle.task, options.cases, options.seed)
    with progress_bar("sanity", "case") as progress:
        cases = load_cases(chosen, bundle.task, bundle.settings.preprocessing, progress)
        found = check(bundle, cases, device, Resampling(options.resamples, options.seed), progress)
    written = write_sanity(found, cohort.sha256, options.out, figures=not options.no_figures)
    say(sanity_text(found))
    record_run(options, written)
