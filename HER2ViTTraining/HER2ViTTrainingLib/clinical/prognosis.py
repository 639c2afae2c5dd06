"""Prognosis: survival curves by group, log-rank tests and Cox models in the layout of the study's Table 3
(`her2vit prognosis`).

- Kaplan-Meier curves with Greenwood's variance and 95 % bands on the log scale (`conf.type = "log"`, the
  default of R's `survfit`; lifelines' own bands are on the log-log scale). Medians and their intervals are
  where curve and band reach one half, as `survfit` prints them: the middle of the step where they stay on it.
- Log-rank tests over all groups and for every pair (pairs with Holm's correction beside), as R's `survdiff`.
- Times that differ by round-off alone are ties, for curves, tests and models alike, as with R's `timefix`.
- Cox models by lifelines with Efron's ties, as R's `coxph`: one for each variable, then one of several. Each
  takes the cases that are complete for it. Intervals and p values are Wald's. A categorical variable's
  reference is its first level in order (R's rule).
- Proportional hazards: lifelines' `proportional_hazard_test` on Kaplan-Meier time (scaled Schoenfeld
  residuals, Grambsch & Therneau 1994); R's `cox.zph` has computed a score test since version 3.0 of
  `survival`, so its p values differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import InputError, each
from HER2ViTTrainingLib.tables.case_table import MAX_LEVELS, CaseTable, levels_in_order
from HER2ViTTrainingLib.tables.cells import as_number

from .cox import CoxModel, Variable, continuous_variable, fit_cox, level_variable
from .follow_up import (
    PREDICTED_GROUP,
    SELECT_ALL,
    FollowUp,
    Grouping,
    Question,
    check_question,
    group_by_column,
    group_by_score,
    read_follow_up,
)
from .survival import Curve, LogRank, groups_at_risk, kaplan_meier, log_rank

UNIVARIABLE = "univariable"
MULTIVARIABLE = "multivariable"
ENTRY_P = 0.05
ALL_CASES = "all cases"
EVENTS_PER_COEFFICIENT = 10


@dataclass(frozen=True)
class Prognosis:
    """All that is found. `entered` are the variables of the multivariable model; `warnings` belong into every
    table and picture.
    """

    question: Question
    cases: CaseTable
    curves: tuple[Curve, ...]
    overall: LogRank
    pairs: tuple[LogRank, ...]
    variables: tuple[Variable, ...]
    univariable: tuple[CoxModel, ...]
    multivariable: CoxModel | None
    entered: tuple[str, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def group_name(self) -> str:
        """What groups the cases, empty where nothing does."""
        return PREDICTED_GROUP if self.question.score else self.question.group


def prognosis(cases: CaseTable, question: Question) -> Prognosis:
    """Curves, tests and models of the cases.

    Raises `InputError`, a line per fault, as `check_question`, `read_follow_up`, the grouping and `fit_cox`
    do.
    """
    check_question(question, cases)
    follow_up = read_follow_up(cases, question.time, question.event)
    grouping = _grouping(follow_up, question)
    notes = [*follow_up.cases.notes]
    overall = LogRank((ALL_CASES,))
    pairs: list[LogRank] = []
    if grouping is None:
        curves = [kaplan_meier(ALL_CASES, follow_up.times, follow_up.events)]
    else:
        notes += grouping.notes
        members = [(level, grouping.labels == level) for level in grouping.levels]
        curves = [
            kaplan_meier(level, follow_up.times[chosen], follow_up.events[chosen])
            for level, chosen in members
        ]
        overall, pairs = log_rank(follow_up, grouping)
        notes += _log_rank_notes(follow_up, grouping, overall)
    variables = [*_group_variable(grouping, curves, notes), *_covariates(follow_up, question)]
    univariable = each(lambda variable: fit_cox(follow_up, [variable], UNIVARIABLE), variables)
    entered = [
        variable
        for variable, model in zip(variables, univariable)
        if question.select == SELECT_ALL or model.variable_p[variable.name] < ENTRY_P
    ]
    multivariable = fit_cox(follow_up, entered, MULTIVARIABLE) if entered else None
    notes += _model_notes(variables, entered, multivariable)
    return Prognosis(
        question,
        follow_up.cases,
        tuple(curves),
        overall,
        tuple(pairs),
        tuple(variables),
        tuple(univariable),
        multivariable,
        tuple(variable.name for variable in entered),
        tuple(notes),
        () if grouping is None else grouping.warnings,
    )


def _grouping(follow_up: FollowUp, question: Question) -> Grouping | None:
    if question.score:
        return group_by_score(follow_up, question.score, question.cutoff, question.high_risk)
    return group_by_column(follow_up, question.group) if question.group else None


def _log_rank_notes(follow_up: FollowUp, grouping: Grouping, overall: LogRank) -> list[str]:
    counted = groups_at_risk(follow_up, grouping, grouping.levels)
    early = [level for level in grouping.levels if level not in counted]
    notes = []
    if early:
        who = ", ".join(early)
        notes.append(f"{grouping.name}: not in the log-rank test, censored before the first event: {who}")
    if math.isnan(overall.p):
        alone = "a single group is at risk at an event"
        why = alone if len(counted) < 2 else "every case at risk at the first event has it"
        notes.append(f"{grouping.name}: no log-rank test, {why}")
    return notes


def _group_variable(grouping: Grouping | None, curves: Sequence[Curve], notes: list[str]) -> list[Variable]:
    """The groups as a Cox variable, unless a group has no event: curves and log-rank tests can do with that,
    a hazard ratio cannot.
    """
    if grouping is None:
        return []
    without = [curve.name for curve in curves if not curve.events.any()]
    if without:
        notes.append(f"{grouping.name}: not in the Cox models, no event in {', '.join(without)}")
        return []
    return [level_variable(grouping.name, grouping.levels, grouping.labels)]


def _covariates(follow_up: FollowUp, question: Question) -> list[Variable]:
    """Numbers enter as they are, texts, and what `--categorical` names, as levels. The grouping column is a
    variable already.
    """

    def variable(name: str) -> Variable:
        texts = follow_up.cases.texts(name)
        if not any(texts):
            raise InputError(
                f"{follow_up.cases.path}: covariate {name}: empty in every case with follow-up; leave it out"
            )
        numeric = sum(not math.isnan(as_number(text)) for text in texts)
        # One stray text in a column of numbers is a fault, not a level.
        if name not in question.categorical and 2 * numeric > sum(map(bool, texts)):
            return continuous_variable(name, follow_up.cases.numbers(name))
        levels = levels_in_order(text for text in texts if text)
        if len(levels) > MAX_LEVELS:
            raise InputError(
                f"{follow_up.cases.path}: covariate {name}: {len(levels)} levels; a categorical covariate has"
                f" at most {MAX_LEVELS}"
            )
        return level_variable(name, levels, np.array(texts))

    return each(variable, [name for name in question.covariates if name != question.group])


def _model_notes(
    variables: Sequence[Variable], entered: Sequence[Variable], model: CoxModel | None
) -> list[str]:
    if not variables:
        return []
    if model is None:
        return [f"no variable has a univariable p below {ENTRY_P}: no multivariable model"]
    notes = [
        f"multivariable model: {', '.join(variable.name for variable in entered)}; {model.n} complete cases,"
        f" {model.events} events"
    ]
    if model.events < EVENTS_PER_COEFFICIENT * len(model.ratios):
        few = (
            f"{model.events} events for {len(model.ratios)} coefficients, fewer than {EVENTS_PER_COEFFICIENT}"
            " each"
        )
        notes.append(f"{few}: the multivariable model may be overfitted")
    return notes
