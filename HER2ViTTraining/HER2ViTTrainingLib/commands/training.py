"""The command `train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from HER2ViTLib.messages import InputError

from .options import (
    add_command,
    add_device,
    add_manifest,
    add_out,
    add_seed,
    add_slice_count,
    positive_number,
    progress_bar,
    record_run,
    say,
    whole_number,
)

if TYPE_CHECKING:  # only where they are used: a command starts fast
    from HER2ViTLib.her2 import Task
    from HER2ViTTrainingLib.cohort.manifest import Cohort
    from HER2ViTTrainingLib.cohort.splits import Splits
    from HER2ViTTrainingLib.training.recipes import Recipe


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `train`."""
    _add_train(commands)


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "train", _train, "Train a model on your own cases; run again to go on after a kill."
    )
    add_manifest(command)
    command.add_argument(
        "--task",
        choices=("zero-vs-rest", "low-vs-positive", "positive-vs-negative"),
        required=True,
        help="which question the model answers",
    )
    command.add_argument(
        "--recipe",
        choices=("default", "study", "probe"),
        default="default",
        help="ours, the published code's, or only a last layer for few cases (default: %(default)s)",
    )
    command.add_argument(
        "--preset", choices=("square", "study"), default="square", help="preprocessing (default: %(default)s)"
    )
    add_slice_count(command, "learn from so many slices of each case (default: 1, the largest)")
    command.add_argument(
        "--arch", default="vit_tiny_patch16_224", metavar="NAME", help="timm model (default: %(default)s)"
    )
    command.add_argument(
        "--img-size",
        type=whole_number(16, 2048),
        metavar="N",
        help="input size in pixels (default: the model's)",
    )
    command.add_argument(
        "--pretrained",
        default="imagenet",
        metavar="imagenet|none|FILE",
        help="starting weights (default: %(default)s)",
    )
    command.add_argument(
        "--splits", type=Path, metavar="FILE", help="splits.json of `cohort` (default: made anew with --seed)"
    )
    command.add_argument(
        "--folds", type=int, metavar="K", help="cross-validation: a model a fold, out-of-fold predictions"
    )
    command.add_argument(
        "--folds-by",
        metavar="COLUMN",
        help="cross-validation with a fold for each value of this manifest column, such as the site",
    )
    command.add_argument(
        "--seeds",
        type=positive_number,
        default=1,
        metavar="N",
        help="train with so many seeds, --seed and the next ones (default: 1)",
    )
    command.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="train folds and seeds side by side on this Dask cluster (tcp://host:8786)",
    )
    command.add_argument(
        "--epochs", type=positive_number, metavar="N", help="at most so many epochs (default: the recipe's)"
    )
    add_device(command)
    add_seed(command, "all that is random")
    command.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder for the cases' inputs, to share between trainings (default: in --out)",
    )
    add_out(command, "folder for the bundle")


def _train(options: argparse.Namespace) -> None:
    from HER2ViTLib.her2 import TASKS
    from HER2ViTTrainingLib.cohort.manifest import read_manifest
    from HER2ViTTrainingLib.cohort.one_sided import one_sided_cohorts
    from HER2ViTTrainingLib.training.experiment import Experiment
    from HER2ViTTrainingLib.training.networks import Network
    from HER2ViTTrainingLib.training.repeats import run_repeated
    from HER2ViTTrainingLib.training.runs import TrainingJob, run_experiment

    with_folds = bool(options.folds or options.folds_by)
    repeated = with_folds or options.seeds > 1
    if options.scheduler and not repeated:
        raise InputError(
            "--scheduler trains folds and seeds side by side: give --folds K, --folds-by COLUMN or --seeds N,"
            " or leave it out"
        )
    experiment = Experiment(
        task=TASKS[options.task],
        recipe=_recipe(options),
        preset=options.preset,
        slice_count=options.slice_count or 1,
        network=Network(options.arch, options.img_size, options.pretrained),
        seed=options.seed,
        device=options.device,
    )
    cohort = read_manifest(options.manifest)
    splits = _splits(options, cohort, experiment.task)
    for doubt in one_sided_cohorts(cohort, experiment.task):
        say(f"warning: {doubt.text}")
    job = TrainingJob(experiment, cohort, splits, options.out, options.cache)
    warnings: list[str] = []
    with progress_bar("train") as progress:
        if repeated:
            done = run_repeated(
                job,
                seeds=options.seeds,
                folds=with_folds,
                scheduler=options.scheduler,
                progress=progress,
            )
            written = done.names
            warnings = done.warnings
        else:
            written = run_experiment(job, progress)
    for warning in warnings:
        say(f"warning: {warning}")
    record_run(options, written)


def _recipe(options: argparse.Namespace) -> Recipe:
    """The recipe by its name, for as many epochs as `--epochs` says."""
    from dataclasses import replace

    from HER2ViTTrainingLib.training.recipes import RECIPES, Probe

    recipe = RECIPES[options.recipe]
    if isinstance(recipe, Probe):
        if options.epochs is not None:
            raise InputError(f"--epochs {options.epochs}: recipe probe has no epochs; leave it out")
        if options.pretrained == "none":
            raise InputError(
                "--pretrained none: recipe probe leaves the encoder as it starts; give imagenet or a file"
            )
        return recipe
    return recipe if options.epochs is None else replace(recipe, epochs=options.epochs)


def _splits(options: argparse.Namespace, cohort: Cohort, task: Task) -> Splits:
    """The splits of `--splits`, those by `--folds-by`, or new ones."""
    from HER2ViTTrainingLib.cohort.folds import splits_by
    from HER2ViTTrainingLib.cohort.splits import load_splits, make_splits

    if options.folds_by and (options.folds or options.splits):
        given = f"--folds {options.folds}" if options.folds else f"--splits {options.splits}"
        raise InputError(
            f"{given} and --folds-by {options.folds_by}: both say what the folds are; give one of them"
        )
    if options.folds_by:
        return splits_by(cohort, options.folds_by, task)
    if not options.splits:
        return make_splits(cohort, folds=options.folds, seed=options.seed)
    splits = load_splits(options.splits, cohort)
    if task.name not in splits.tasks:
        raise InputError(
            f"{options.splits}: has no split for {task.name}; write it again with: her2vit cohort"
        )
    folds = len(splits.tasks[task.name].folds)
    if options.folds not in (None, folds):
        raise InputError(
            f"{options.splits}: holds {folds} folds, not {options.folds}; make them with: her2vit cohort"
            f" --folds {options.folds}"
        )
    return splits
