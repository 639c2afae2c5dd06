"""The command `adapt`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from HER2ViTLib.messages import InputError

from .options import add_command, add_out, add_resamples, add_seed, record_run, say

if TYPE_CHECKING:
    from HER2ViTTrainingLib.adaptation.adapted import Adaptation
    from HER2ViTTrainingLib.adaptation.adapting import Parents


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `adapt`."""
    command = add_command(
        commands, "adapt", _adapt, "Adapt a bundle to another hospital, from its own cases or prevalence."
    )
    command.add_argument(
        "bundle", type=Path, nargs="+", metavar="BUNDLE", help="model bundle; two of the two-step call"
    )
    command.add_argument(
        "--local",
        type=Path,
        metavar="PREDICTIONS",
        help="labelled local cases: predictions of the bundle, or readings with --truth",
    )
    command.add_argument("--set", metavar="NAME", help="the local set of PREDICTIONS, where it has several")
    command.add_argument(
        "--truth", type=Path, metavar="MANIFEST", help="CSV with case_id and ihc, ish or her2_status"
    )
    threshold = command.add_mutually_exclusive_group()
    threshold.add_argument(
        "--sensitivity",
        type=_share,
        metavar="S",
        help="threshold for this sensitivity of new cases (default: 0.9)",
    )
    threshold.add_argument("--youden", action="store_true", help="Youden's threshold instead")
    command.add_argument(
        "--prevalence",
        type=_share,
        metavar="P",
        help="the site's share of label 1 among the cases the task asks about",
    )
    command.add_argument(
        "--estimate-prevalence",
        type=Path,
        metavar="READINGS",
        help="estimate it from the readings.csv of a batch, without labels",
    )
    command.add_argument(
        "--coverage",
        type=_share,
        metavar="LEVEL",
        help="store which statuses a reading cannot exclude, at this coverage a status",
    )
    add_resamples(command)
    add_seed(command, "bootstrap and folds")
    add_out(command, "folder for the adapted bundle")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def _adapt(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder

    way = _way(options)
    from HER2ViTTrainingLib.adaptation.results import RESULT_FILES, adaptation_text, write_adaptation

    require_own_folder(options.out, RESULT_FILES)
    if options.out.resolve() in [folder.resolve() for folder in options.bundle]:
        raise InputError(f"{options.out}: is the parent itself; name a new folder with --out")
    adaptation = way(_parents(options.bundle))
    written = write_adaptation(adaptation, options.out)
    say(adaptation_text(adaptation))
    record_run(options, written)


def _parents(folders: list[Path]) -> Parents:
    from HER2ViTLib.model.bundle import load_bundle
    from HER2ViTTrainingLib.adaptation.adapting import Parents

    loaded = [(folder, load_bundle(folder)) for folder in folders]
    loaded.sort(key=lambda one: one[1].task.key)
    tasks = [bundle.task.name for _, bundle in loaded]
    if len(set(tasks)) < len(tasks):
        raise InputError(f"two bundles are for {tasks[0]}; give one per task")
    return Parents(tuple(folder for folder, _ in loaded), tuple(bundle for _, bundle in loaded))


def _way(options: argparse.Namespace) -> Callable[[Parents], Adaptation]:
    """How to adapt, as the options say. Raises `InputError` unless they say one thing."""
    from HER2ViTTrainingLib.adaptation import adapting
    from HER2ViTTrainingLib.stats.resampling import Resampling

    plan = Resampling(options.resamples, options.seed)
    _require_one_way(options)
    if options.prevalence is not None:
        return lambda parents: adapting.move_prevalence(parents, options.prevalence)
    if options.estimate_prevalence is not None:
        return lambda parents: adapting.estimate_prevalence(parents, options.estimate_prevalence, plan)
    labelled = adapting.Labelled(options.local, options.truth, options.set)
    if options.coverage is not None:
        return lambda parents: adapting.add_coverage(parents, labelled, options.coverage)
    sensitivity = None if options.youden else options.sensitivity or 0.9
    return lambda parents: adapting.recalibrate(parents, labelled, sensitivity, plan)


def _require_one_way(options: argparse.Namespace) -> None:
    ways = {
        "--local": options.local,
        "--prevalence": options.prevalence,
        "--estimate-prevalence": options.estimate_prevalence,
    }
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        found = " and ".join(given) if given else "nothing to adapt to"
        raise InputError(f"{found}: give one of {', '.join(ways)}")
    needs_local = {
        "--coverage": options.coverage is not None,
        "--set": options.set is not None,
        "--truth": options.truth is not None,
        "--sensitivity": options.sensitivity is not None,
        "--youden": options.youden,
    }
    used = [name for name, is_given in needs_local.items() if is_given]
    if used and options.local is None:
        raise InputError(f"{used[0]}: goes with --local; leave it out with {given[0]}")
    if options.coverage is not None and ("--sensitivity" in used or "--youden" in used):
        raise InputError("--coverage: changes no threshold; leave out --sensitivity and --youden")
    if options.set is not None and options.truth is not None:
        raise InputError("--set: readings have no sets; leave it out with --truth")
