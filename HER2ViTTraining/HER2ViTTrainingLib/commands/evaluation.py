"""The commands `evaluate` and `evaluate3`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, add_no_figures, add_out, add_resamples, add_seed, record_run, say


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `evaluate` and `evaluate3`."""
    _add_evaluate(commands)
    _add_evaluate3(commands)


def _add_resampling_options(command: argparse.ArgumentParser) -> None:
    add_resamples(command)
    add_seed(command, "the bootstrap")
    command.add_argument(
        "--stratified",
        action="store_true",
        help="resample each class by itself (default: all cases together)",
    )
    add_out(command)


def _threshold(text: str) -> float | None:
    try:
        return None if text == "youden" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither youden nor a number") from None


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = add_command(commands, "evaluate", _evaluate, "Judge the predictions of a model, set by set.")
    command.add_argument(
        "predictions",
        type=Path,
        metavar="PREDICTIONS",
        help="CSV: case_id, set, label, score; optional patient_id, more scores",
    )
    command.add_argument(
        "--threshold",
        type=_threshold,
        metavar="youden|NUMBER",
        help="each set's own Youden optimum, or one number for all (default: youden)",
    )
    command.add_argument(
        "--threshold-from", metavar="SET", help="the Youden optimum of this set for all sets"
    )
    command.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="COLUMN",
        help="another score column: paired DeLong test; may be repeated",
    )
    command.add_argument(
        "--by", action="append", default=[], metavar="COLUMN", help="a column of subgroups; may be repeated"
    )
    add_no_figures(command)
    _add_resampling_options(command)


def _evaluate(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.evaluation.curves import curves_of
    from HER2ViTTrainingLib.evaluation.figures import evaluation_pictures
    from HER2ViTTrainingLib.evaluation.judging import evaluate
    from HER2ViTTrainingLib.evaluation.predictions import read_predictions
    from HER2ViTTrainingLib.evaluation.results import RESULT_FILES, table2_text, write_evaluation
    from HER2ViTTrainingLib.stats.resampling import Resampling

    require_own_folder(options.out, RESULT_FILES)
    predictions = read_predictions(options.predictions, options.compare, options.by)
    plan = Resampling(options.resamples, options.seed, options.stratified)
    evaluation = evaluate(predictions, plan, options.threshold, options.threshold_from)
    pictures = {}
    if not options.no_figures:
        curves = [curves_of(result, plan) for result in evaluation.sets]
        pictures = evaluation_pictures(evaluation.sets, curves)
    written = write_evaluation(evaluation, options.out, pictures)
    say(table2_text(evaluation))
    record_run(options, written)


def _add_evaluate3(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "evaluate3", _evaluate3, "Judge the two-step call: zero, low or positive."
    )
    command.add_argument("readings", type=Path, metavar="READINGS", help="readings.csv of a batch")
    command.add_argument(
        "--truth",
        type=Path,
        required=True,
        metavar="MANIFEST",
        help="CSV with case_id and ihc, ish or her2_status",
    )
    _add_resampling_options(command)


def _evaluate3(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.evaluation.three_class import (
        RESULT_FILES,
        evaluate_three_class,
        match,
        three_class_text,
        write_three_class,
    )
    from HER2ViTTrainingLib.stats.resampling import Resampling

    require_own_folder(options.out, RESULT_FILES)
    cases = match(options.readings, options.truth)
    evaluation = evaluate_three_class(cases, Resampling(options.resamples, options.seed, options.stratified))
    written = write_three_class(evaluation, options.out)
    say(three_class_text(evaluation))
    record_run(options, written)
