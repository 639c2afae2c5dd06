"""The commands `table1` and `prognosis`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, add_no_figures, add_out, add_seed, listed_names, record_run, say


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `table1` and `prognosis`."""
    _add_table1(commands)
    _add_prognosis(commands)


def _add_cases_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "cases",
        type=Path,
        metavar="CSV",
        help="one row a case: cases.csv of `cohort`, a manifest, or a table of your own",
    )
    command.add_argument(
        "--join",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="add this file's columns by case_id (predictions.csv); may be repeated",
    )
    add_out(command)


def _add_table1(commands: argparse._SubParsersAction) -> None:
    command = add_command(commands, "table1", _table1, "Describe and compare groups of cases: Table 1.")
    _add_cases_options(command)
    command.add_argument("--by", required=True, metavar="COLUMN", help="the column of the groups")
    command.add_argument(
        "--continuous", type=listed_names, default=(), metavar="a,b", help="mean (SD), t test or ANOVA"
    )
    command.add_argument(
        "--nonnormal",
        type=listed_names,
        default=(),
        metavar="c",
        help="median (quartiles), Mann-Whitney or Kruskal-Wallis test",
    )
    command.add_argument(
        "--categorical",
        type=listed_names,
        default=(),
        metavar="d,e",
        help="n (%%), chi-squared or Fisher's exact test (default, none named: all columns)",
    )
    command.add_argument(
        "--welch", action="store_true", help="variances need not be equal: Welch's t test or ANOVA"
    )
    add_seed(command, "Monte Carlo tests")


def _table1(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.clinical.table_one import make_plan, table_one
    from HER2ViTTrainingLib.clinical.table_one_results import RESULT_FILES, table_one_text, write_table_one
    from HER2ViTTrainingLib.tables.case_table import read_cases

    require_own_folder(options.out, RESULT_FILES)
    cases = read_cases(options.cases, options.join)
    plan = make_plan(
        cases,
        options.by,
        options.continuous,
        options.nonnormal,
        options.categorical,
        options.welch,
        options.seed,
    )
    table = table_one(cases, plan)
    written = write_table_one(table, options.out)
    say(table_one_text(table))
    record_run(options, written)


def _add_prognosis(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "prognosis", _prognosis, "Survival by group: Kaplan-Meier, log-rank test, Cox models."
    )
    _add_cases_options(command)
    command.add_argument(
        "--time",
        required=True,
        metavar="COL",
        help="time to the event or the end of follow-up (rfs_months, os_months)",
    )
    command.add_argument(
        "--event", required=True, metavar="COL", help="1 event, 0 censored (rfs_event, os_event)"
    )
    groups = command.add_mutually_exclusive_group()
    groups.add_argument("--group", default="", metavar="COL", help="the column of the groups")
    groups.add_argument(
        "--score", default="", metavar="COL", help="groups of high and low risk by this score"
    )
    command.add_argument(
        "--cutoff", type=float, default=0.5, metavar="X", help="cut-off of the score (default: %(default)s)"
    )
    command.add_argument(
        "--high-risk",
        choices=("above", "below"),
        default="",
        help="high risk is a score at or above, or below, the cut-off",
    )
    command.add_argument(
        "--covariates",
        type=listed_names,
        default=(),
        metavar="a,b",
        help="further variables of the Cox models",
    )
    command.add_argument(
        "--categorical",
        type=listed_names,
        default=(),
        metavar="a",
        help="covariates written as numbers that are levels (grade 1, 2, 3)",
    )
    command.add_argument(
        "--select",
        choices=("p", "all"),
        default="p",
        help="multivariable model: variables with univariable p < 0.05, or all (default: %(default)s)",
    )
    add_no_figures(command)


def _prognosis(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.clinical.follow_up import Question
    from HER2ViTTrainingLib.clinical.prognosis import prognosis
    from HER2ViTTrainingLib.clinical.prognosis_figures import prognosis_pictures
    from HER2ViTTrainingLib.clinical.prognosis_results import RESULT_FILES, prognosis_text, write_prognosis
    from HER2ViTTrainingLib.tables.case_table import read_cases

    require_own_folder(options.out, RESULT_FILES)
    question = Question(
        options.time,
        options.event,
        options.group,
        options.score,
        options.cutoff,
        options.high_risk,
        options.covariates,
        options.categorical,
        options.select,
    )
    found = prognosis(read_cases(options.cases, options.join), question)
    written = write_prognosis(found, options.out, {} if options.no_figures else prognosis_pictures(found))
    say(prognosis_text(found))
    record_run(options, written)
