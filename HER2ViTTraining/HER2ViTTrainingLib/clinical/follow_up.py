"""Times, events and groups of a prognosis, read from a table and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from HER2ViTLib.messages import InputError, each
from HER2ViTTrainingLib.cohort.columns import SET_NAMES
from HER2ViTTrainingLib.tables.case_table import (
    MAX_LEVELS,
    CaseTable,
    cases_text,
    levels_in_order,
)
from HER2ViTTrainingLib.tables.faults import Faults

SELECT_P = "p"
SELECT_ALL = "all"
PREDICTED_GROUP = "predicted group"
LOW_RISK = "low risk"
HIGH_RISK = "high risk"

SAME_TIME = math.sqrt(np.finfo(float).eps)
"""Tolerance of R's `timefix`, which is that of its `all.equal`."""


# What is asked


@dataclass(frozen=True)
class Question:
    """Columns of time and event (0 or 1); groups from a column, or from a score with a cut-off and the side
    that is high risk; covariates.
    """

    time: str
    event: str
    group: str = ""
    score: str = ""
    cutoff: float = 0.5
    high_risk: str = ""
    covariates: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    select: str = SELECT_P

    @property
    def columns(self) -> list[str]:
        """All columns that are named."""
        named = (self.time, self.event, self.group, self.score, *self.covariates, *self.categorical)
        return [name for name in named if name]


def check_question(question: Question, cases: CaseTable) -> None:
    """Raises `InputError` for columns that are not there or in two roles, and for a score without the side
    that is high risk.
    """
    if question.group and question.score:
        raise InputError(f"--group {question.group} and --score {question.score}: give one of them")
    if question.score and question.high_risk not in ("above", "below"):
        raise InputError(
            f"--score {question.score}: say which side of the cut-off is high risk: --high-risk above or"
            " --high-risk below"
        )
    if question.high_risk and not question.score:
        raise InputError(
            f"--high-risk {question.high_risk}: goes with --score, the column that the cut-off divides;"
            " name it"
        )
    if question.score and not math.isfinite(question.cutoff):
        raise InputError(f"--cutoff {question.cutoff}: not a finite number")
    cases.require(question.columns)
    if question.time == question.event:
        raise InputError(f"--time {question.time} and --event {question.event}: the same column; name two")
    outcome = (question.time, question.event)
    faults = [
        f"--categorical {name}: not among --covariates; add it there"
        for name in question.categorical
        if name not in question.covariates
    ]
    faults += [
        f"--covariates {name}: is the time or the event; leave it out"
        for name in question.covariates
        if name in outcome
    ]
    if question.group in outcome:
        faults.append(f"--group {question.group}: is the time or the event; name another column")
    if faults:
        raise InputError(faults)


# Follow-up and groups


@dataclass(frozen=True)
class FollowUp:
    """Cases with their times (n,), tied where they differ by round-off alone, and events (n,) bool."""

    cases: CaseTable
    times: np.ndarray
    events: np.ndarray


def read_follow_up(cases: CaseTable, time: str, event: str) -> FollowUp:
    """The cases with follow-up; those without time and event both are left out and noted.

    Raises `InputError`: one of the two missing, negative times, events other than 0 and 1, no case or no
    event at all.
    """
    with_any = cases.chosen(
        lambda row: bool(row[time] or row[event]),
        f"without follow-up ({time}, {event}), left out",
    )
    if not with_any.rows:
        raise InputError(f"{cases.path}: columns {time}, {event}: empty in every row; no case has follow-up")
    faults = Faults(cases.path)
    for row in with_any.rows:
        for column, other in ((time, event), (event, time)):
            if not row[column]:
                faults.note(row, column, f"is missing where {other} is not; fill it in, or empty both")
    coding = _wanted_events(with_any.texts(event))
    checks: list[Callable[[], Any]] = [
        faults.raise_any,
        lambda: with_any.numbers(
            time, lambda value: "is negative; times run from diagnosis on" if value < 0 else ""
        ),
        lambda: with_any.numbers(event, lambda value: "" if value in (0, 1) else coding, coding),
    ]
    _, times, events = each(lambda check: check(), checks)
    if not events.any():
        raise InputError(
            f"{cases.path}: column {event}: no event among {cases_text(len(with_any))}; there is nothing to"
            " estimate"
        )
    return FollowUp(with_any, tied_times(times), events == 1)


def _wanted_events(texts: Sequence[str]) -> str:
    """What events must be, and how to get there from the coding the texts have."""
    found = {text.lower() for text in texts if text}
    cure = ""
    if found <= {"true", "false"}:
        cure = "; write TRUE as 1, FALSE as 0"
    elif found <= {"1", "2"}:
        cure = "; where 1 is censored and 2 an event, as in R, write 1 as 0, 2 as 1"
    elif all(re.match("[01]:", text) for text in found):
        cure = "; keep the digit before the colon only"
    return f"must be 1 (event) or 0 (censored){cure}"


def tied_times(times: np.ndarray) -> np.ndarray:
    """Times (n,) >= 0; those that differ by round-off alone, absolute or against the mean, are the earliest.

    As R's `aeqSurv`, which its `survfit`, `survdiff` and `coxph` call: what is 0.3 in one row and 0.1 + 0.2
    in another is one time.
    """
    distinct = np.unique(times + 0.0)  # -0.0 is 0.0
    gaps = np.diff(distinct)
    apart = (gaps > SAME_TIME) & (gaps / distinct.mean() > SAME_TIME)
    earliest = distinct[np.concatenate([[True], apart])]
    return earliest[np.searchsorted(earliest, times, side="right") - 1]


@dataclass(frozen=True)
class Grouping:
    """A name for what groups, its levels (the first is Cox's reference), and each case's level (n,), empty
    where it has none.
    """

    name: str
    levels: tuple[str, ...]
    labels: np.ndarray
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def group_by_column(follow_up: FollowUp, column: str) -> Grouping:
    """Groups by a column's values. Raises `InputError` for a single group, groups of one case, more than 20
    groups.
    """
    labels = np.array(follow_up.cases.texts(column))
    return _checked(
        Grouping(column, tuple(levels_in_order(label for label in labels if label)), labels),
        follow_up,
        column,
    )


def group_by_score(follow_up: FollowUp, score: str, cutoff: float, high_risk: str) -> Grouping:
    """High and low risk by a score: "above" is score >= cutoff. Warns of cases the model was trained or its
    threshold fixed on (`set`).

    Raises `InputError` for scores that are no numbers, and a cut-off that leaves a group without or with one
    case.
    """
    values = follow_up.cases.numbers(score)
    known = ~np.isnan(values)
    if not known.any():
        raise InputError(f"{follow_up.cases.path}: column {score}: empty in every case with follow-up")
    high = values >= cutoff if high_risk == "above" else values < cutoff
    labels = np.where(known, np.where(high, HIGH_RISK, LOW_RISK), "")
    if len(set(labels[known])) < 2:
        side = f"below {cutoff:g}" if values[known].min() >= cutoff else f"{cutoff:g} or above"
        span = f"{values[known].min():g} to {values[known].max():g}"
        raise InputError(
            f"--cutoff {cutoff:g}: no case has {score} {side} (they run from {span}); choose a cut-off"
            " between"
        )
    sign = ">=" if high_risk == "above" else "<"
    notes, warned = _trained_on(follow_up.cases, known)
    grouping = Grouping(
        PREDICTED_GROUP,
        (LOW_RISK, HIGH_RISK),
        labels,
        (f"{HIGH_RISK}: {score} {sign} {cutoff:g}", *notes),
        (*warned, *_not_calibrated(follow_up.cases, known)),
    )
    return _checked(grouping, follow_up, score)


def _trained_on(cases: CaseTable, scored: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes and warnings about the sets the scored cases are of."""
    if "set" not in cases.columns:
        return ("no column set: whether the model was trained on these cases is not known",), ()
    own = sum(row["set"].lower() in SET_NAMES for row, known in zip(cases.rows, scored) if known)
    if not own:
        return (), ()
    which = (
        f"{own} of {cases_text(int(scored.sum()))} {'is' if own == 1 else 'are'} of the model's own training"
        " or validation set"
    )
    return (), (
        (
            f"{which}: curves and hazard ratios by its score flatter it; out-of-fold predictions (train"
            " --folds) are the clean input"
        ),
    )


def _not_calibrated(cases: CaseTable, scored: np.ndarray) -> tuple[str, ...]:
    """A warning where some of the scored cases have the raw score of a model that learnt nothing."""
    raw = sum(row["calibrated"] == "0" for row, known in zip(cases.rows, scored) if known)
    if not raw:
        return ()
    of_all = f"{raw} of {cases_text(int(scored.sum()))}"
    return (f"{of_all}: score not calibrated, its model learnt nothing: the cut-off means nothing there",)


def _checked(grouping: Grouping, follow_up: FollowUp, column: str) -> Grouping:
    where = f"{follow_up.cases.path}: column {column}"
    if len(grouping.levels) < 2:
        only = f"one group only, {grouping.levels[0]!r}" if grouping.levels else "no group"
        raise InputError(
            f"{where}: {only}, among {cases_text(len(follow_up.cases))} with follow-up; two groups or more"
            " are compared"
        )
    if len(grouping.levels) > MAX_LEVELS:
        raise InputError(
            f"{where}: {len(grouping.levels)} different values; at most {MAX_LEVELS} groups are compared"
        )
    alone = [level for level in grouping.levels if (grouping.labels == level).sum() == 1]
    if alone:
        raise InputError(
            [f"{where}: group {level!r} has 1 case; merge it with another or leave it out" for level in alone]
        )
    without = int((grouping.labels == "").sum())
    notes = [f"{cases_text(without)} without {column}: in no group"] if without else []
    return replace(grouping, notes=(*grouping.notes, *notes))
