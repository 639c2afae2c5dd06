"""Prognosis: survival curves by group, log-rank tests and Cox models in the layout of the study's Table 3 (`her2vit prognosis`).

- Kaplan-Meier curves with Greenwood's variance and 95 % bands on the log scale (`conf.type = "log"`, the default of R's `survfit`; lifelines'
  own bands are on the log-log scale). Medians and their intervals are where curve and band reach one half, as `survfit` prints them: the
  middle of the step where they stay on it.
- Log-rank tests over all groups and for every pair (pairs with Holm's correction beside), as R's `survdiff`.
- Times that differ by round-off alone are ties, for curves, tests and models alike, as with R's `timefix`.
- Cox models by lifelines with Efron's ties, as R's `coxph`: one for each variable, then one of several. Each takes the cases that are
  complete for it. Intervals and p values are Wald's. A categorical variable's reference is its first level in order (R's rule).
- Proportional hazards: lifelines' `proportional_hazard_test` on Kaplan-Meier time (scaled Schoenfeld residuals, Grambsch & Therneau 1994);
  R's `cox.zph` has computed a score test since version 3.0 of `survival`, so its p values differ.
"""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lifelines
import numpy as np
import pandas as pd
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import multivariate_logrank_test, proportional_hazard_test
from scipy import stats

from HER2ViTLib.messages import InputError, each
from HER2ViTTrainingLib.cohort.manifest import SET_NAMES
from HER2ViTTrainingLib.evaluation.judging import RowFaults
from HER2ViTTrainingLib.stats.roc import Estimate
from HER2ViTTrainingLib.tables.case_table import MOST_LEVELS, CaseTable, as_number, cases_text, is_constant, is_missing, levels_in_order

UNIVARIABLE, MULTIVARIABLE = "univariable", "multivariable"
SELECT_P, SELECT_ALL = "p", "all"
ENTRY_P = 0.05
PREDICTED_GROUP, LOW_RISK, HIGH_RISK = "predicted group", "low risk", "high risk"
ALL_CASES = "all cases"
EVENTS_PER_COEFFICIENT = 10
_Z = float(stats.norm.ppf(0.975))
_SAME_TIME = math.sqrt(np.finfo(float).eps)
"""Tolerance of R's `timefix`, which is that of its `all.equal`."""

_LARGEST_ERROR = 10.0
"""Standard error, per standard deviation of a covariate, that no estimate worth the name has: the likelihood has no maximum."""


# What is asked


@dataclass(frozen=True)
class Question:
    """Columns of time and event (0 or 1); groups from a column, or from a score with a cut-off and the side that is high risk; covariates."""

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
        return [name for name in (self.time, self.event, self.group, self.score, *self.covariates, *self.categorical) if name]


def check_question(question: Question, cases: CaseTable) -> None:
    """Raises `InputError` for columns that are not there or in two roles, and for a score without the side that is high risk."""
    if question.group and question.score:
        raise InputError(f"--group {question.group} and --score {question.score}: give one of them")
    if question.score and question.high_risk not in ("above", "below"):
        raise InputError(f"--score {question.score}: say which side of the cut-off is high risk: --high-risk above or --high-risk below")
    if question.high_risk and not question.score:
        raise InputError(f"--high-risk {question.high_risk}: goes with --score, the column that the cut-off divides; name it")
    if question.score and not math.isfinite(question.cutoff):
        raise InputError(f"--cutoff {question.cutoff}: not a finite number")
    cases.require(question.columns)
    if question.time == question.event:
        raise InputError(f"--time {question.time} and --event {question.event}: the same column; name two")
    outcome = (question.time, question.event)
    faults = [f"--categorical {name}: not among --covariates; add it there" for name in question.categorical if name not in question.covariates]
    faults += [f"--covariates {name}: is the time or the event; leave it out" for name in question.covariates if name in outcome]
    faults += [f"--group {name}: is the time or the event; name another column" for name in (question.group,) if name in outcome]
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

    Raises `InputError`: one of the two missing, negative times, events other than 0 and 1, no case or no event at all.
    """
    with_any = cases.chosen(lambda row: not (is_missing(row[time]) and is_missing(row[event])), f"without follow-up ({time}, {event}), left out")
    if not with_any.rows:
        raise InputError(f"{cases.path}: columns {time}, {event}: empty in every row; no case has follow-up")
    faults = RowFaults(cases.path)
    for row in with_any.rows:
        for column, other in ((time, event), (event, time)):
            if is_missing(row[column]):
                faults.note(row, column, f"is missing where {other} is not; fill it in, or empty both")
    coding = _wanted_events(with_any.texts(event))
    checks = [
        faults.raise_any,
        lambda: with_any.numbers(time, lambda value: "is negative; times run from diagnosis on" if value < 0 else ""),
        lambda: with_any.numbers(event, lambda value: "" if value in (0, 1) else coding, coding),
    ]
    _, times, events = each(lambda check: check(), checks)
    if not events.any():
        raise InputError(f"{cases.path}: column {event}: no event among {cases_text(len(with_any))}; there is nothing to estimate")
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
    apart = (gaps > _SAME_TIME) & (gaps / distinct.mean() > _SAME_TIME)
    earliest = distinct[np.concatenate([[True], apart])]
    return earliest[np.searchsorted(earliest, times, side="right") - 1]


@dataclass(frozen=True)
class Grouping:
    """A name for what groups, its levels (the first is Cox's reference), and each case's level (n,), empty where it has none."""

    name: str
    levels: tuple[str, ...]
    labels: np.ndarray
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def group_by_column(follow_up: FollowUp, column: str) -> Grouping:
    """Groups by a column's values. Raises `InputError` for a single group, groups of one case, more than 20 groups."""
    labels = np.array(follow_up.cases.texts(column))
    return _checked(Grouping(column, tuple(levels_in_order(label for label in labels if label)), labels), follow_up, column)


def group_by_score(follow_up: FollowUp, score: str, cutoff: float, high_risk: str) -> Grouping:
    """High and low risk by a score: "above" is score >= cutoff. Warns of cases the model was trained or its threshold fixed on (`set`).

    Raises `InputError` for scores that are no numbers, and a cut-off that leaves a group without or with one case.
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
        raise InputError(f"--cutoff {cutoff:g}: no case has {score} {side} (they run from {span}); choose a cut-off between")
    sign = ">=" if high_risk == "above" else "<"
    notes, warned = _trained_on(follow_up.cases, known)
    grouping = Grouping(PREDICTED_GROUP, (LOW_RISK, HIGH_RISK), labels, (f"{HIGH_RISK}: {score} {sign} {cutoff:g}", *notes), warned)
    return _checked(grouping, follow_up, score)


def _trained_on(cases: CaseTable, scored: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes and warnings about the sets the scored cases are of."""
    if "set" not in cases.columns:
        return ("no column set: whether the model was trained on these cases is not known",), ()
    own = sum(row["set"].lower() in SET_NAMES for row, known in zip(cases.rows, scored) if known)
    if not own:
        return (), ()
    which = f"{own} of {cases_text(int(scored.sum()))} {'is' if own == 1 else 'are'} of the model's own training or validation set"
    return (), (f"{which}: curves and hazard ratios by its score flatter it; out-of-fold predictions (train --folds) are the clean input",)


def _checked(grouping: Grouping, follow_up: FollowUp, column: str) -> Grouping:
    where = f"{follow_up.cases.path}: column {column}"
    if len(grouping.levels) < 2:
        only = f"one group only, {grouping.levels[0]!r}" if grouping.levels else "no group"
        raise InputError(f"{where}: {only}, among {cases_text(len(follow_up.cases))} with follow-up; two groups or more are compared")
    if len(grouping.levels) > MOST_LEVELS:
        raise InputError(f"{where}: {len(grouping.levels)} different values; at most {MOST_LEVELS} groups are compared")
    alone = [level for level in grouping.levels if (grouping.labels == level).sum() == 1]
    if alone:
        raise InputError([f"{where}: group {level!r} has 1 case; merge it with another or leave it out" for level in alone])
    without = int((grouping.labels == "").sum())
    notes = [f"{cases_text(without)} without {column}: in no group"] if without else []
    return replace(grouping, notes=(*grouping.notes, *notes))


# Kaplan-Meier and log-rank


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve at each time that was observed (m,): at risk before it, events, censored, survival after it and its 95 % band.

    The band is empty (NaN) once nobody is left alive.
    """

    name: str
    times: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    censored: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def n(self) -> int:
        return int((self.events + self.censored).sum())

    @property
    def median(self) -> Estimate:
        """The time by which half have had the event, with its 95 % interval; NaN where curve or band stays above one half."""
        return Estimate(*(half_time(self.times, values) for values in (self.survival, self.low, self.high)))

    def at_risk_at(self, times: Sequence[float]) -> list[int]:
        """Numbers at risk just before each of the times."""
        later = np.searchsorted(self.times, times)
        return [int(self.at_risk[n]) if n < len(self.times) else 0 for n in later]


def kaplan_meier(name: str, times: np.ndarray, events: np.ndarray) -> Curve:
    """The curve of times (n,) and events (n,) bool."""
    table = lifelines.KaplanMeierFitter().fit(times, events).event_table
    table = table[table["removed"] > 0]
    at_risk, died = table["at_risk"].to_numpy(int), table["observed"].to_numpy(int)
    survival = np.cumprod(1 - died / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Greenwood's variance of log S.
        error = np.sqrt(np.cumsum(died / (at_risk * (at_risk - died))))
        low, high = survival * np.exp(-_Z * error), np.minimum(1.0, survival * np.exp(_Z * error))
    ended = survival <= 0
    low[ended] = high[ended] = math.nan
    return Curve(name, table.index.to_numpy(float), at_risk, died, table["censored"].to_numpy(int), survival, low, high)


def half_time(times: np.ndarray, values: np.ndarray) -> float:
    """When a falling step function reaches one half; the middle of the step where it stays on it, as R's `survfit` has it. NaN: never."""
    reached = np.flatnonzero(values < 0.5 + 1e-8)
    if not len(reached):
        return math.nan
    first = reached[0]
    below = np.flatnonzero(values < values[first] - 1e-8)
    on_half = abs(values[first] - 0.5) < 1e-8 and len(below)
    return float((times[first] + times[below[0]]) / 2 if on_half else times[first])


@dataclass(frozen=True)
class LogRank:
    """A log-rank test of groups; NaN, with no degree of freedom, where there is nothing to compare."""

    groups: tuple[str, ...]
    statistic: float = math.nan
    df: int = 0
    p: float = math.nan
    p_holm: float = math.nan


def log_rank(follow_up: FollowUp, grouping: Grouping) -> tuple[LogRank, list[LogRank]]:
    """The test over all groups, and those of every pair, as R's `survdiff`.

    A group that is censored before the first event is never at risk at one and does not count in the degrees
    of freedom. NaN: fewer than two groups count, or everyone at risk has the event at once, so that nothing
    varies.
    """
    overall = _log_rank(follow_up, grouping, grouping.levels)
    pairs = [_log_rank(follow_up, grouping, pair) for pair in itertools.combinations(grouping.levels, 2)]
    return overall, [replace(pair, p_holm=p) for pair, p in zip(pairs, holm([pair.p for pair in pairs]))]


def _log_rank(follow_up: FollowUp, grouping: Grouping, levels: tuple[str, ...]) -> LogRank:
    counted = groups_at_risk(follow_up, grouping, levels)
    chosen = np.isin(grouping.labels, counted)
    times = follow_up.times[chosen]
    events = follow_up.events[chosen]
    labels = grouping.labels[chosen]
    if len(counted) < 2:
        return LogRank(levels)
    first = times[events].min()
    at_first = events & (times == first)
    if at_first[times >= first].all():
        return LogRank(levels)
    found = multivariate_logrank_test(times, labels, events)
    return LogRank(levels, float(found.test_statistic), len(counted) - 1, float(found.p_value))


def groups_at_risk(follow_up: FollowUp, grouping: Grouping, levels: Sequence[str]) -> list[str]:
    """Those of the levels that have a case at risk when the first event among them happens."""
    among = np.isin(grouping.labels, levels)
    first = follow_up.times[among & follow_up.events].min(initial=math.inf)
    return [level for level in levels if (follow_up.times[grouping.labels == level] >= first).any()]


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p (Scand J Stat 1979;6:65), as R's `p.adjust`: NaN does not count."""
    values = np.asarray(ps, float)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested])]
    adjusted = np.full(len(values), math.nan)
    stepped = (len(order) - np.arange(len(order))) * values[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(stepped))
    return adjusted.tolist()


# Cox models


@dataclass(frozen=True)
class Variable:
    """A variable of a Cox model: its columns (k, n), NaN where missing, with their labels; the reference level if it has levels."""

    name: str
    labels: tuple[str, ...]
    columns: np.ndarray
    reference: str = ""

    @property
    def known(self) -> np.ndarray:
        return ~np.isnan(self.columns).any(axis=0)


def continuous_variable(name: str, values: np.ndarray) -> Variable:
    """A variable that enters as it is."""
    return Variable(name, (name,), values[None, :])


def level_variable(name: str, levels: Sequence[str], labels: np.ndarray) -> Variable:
    """A variable of levels: an indicator for each but the first, which is the reference."""
    columns = np.array([np.where(labels == "", math.nan, labels == level) for level in levels[1:]], float).reshape(len(levels) - 1, len(labels))
    return Variable(name, tuple(f"{name}[{level}]" for level in levels[1:]), columns, levels[0])


@dataclass(frozen=True)
class HazardRatio:
    """A row of `cox.csv`: a coefficient as a hazard ratio with its 95 % interval."""

    variable: str
    model: str
    ratio: Estimate
    p: float
    reference: str
    ph_p: float


@dataclass(frozen=True)
class CoxModel:
    """A fitted model: its hazard ratios, and the Wald p of each variable over all its levels, by name."""

    ratios: tuple[HazardRatio, ...]
    variable_p: Mapping[str, float]
    n: int
    events: int
    concordance: float


def fit_cox(follow_up: FollowUp, variables: Sequence[Variable], model: str) -> CoxModel:
    """The Cox model of the variables in the cases that are complete for them.

    Raises `InputError`, a line per fault: no complete case or event, a constant covariate, a level without events, collinear covariates,
    an estimate that does not converge, a hazard ratio per unit that no number can hold.
    """
    known = np.all([variable.known for variable in variables], axis=0)
    times, events = follow_up.times[known], follow_up.events[known]
    design = np.concatenate([variable.columns[:, known] for variable in variables]).T
    path = follow_up.cases.path
    where = f"{path}: covariate{'' if len(variables) == 1 else 's'} {', '.join(variable.name for variable in variables)}"
    _require_estimable(path, variables, known, events)
    _require_independent(where, [label for variable in variables for label in variable.labels], design)
    # Standardised, and so are Wald's tests: columns of any scale converge alike, and lifelines knows them by
    # number, never as a formula.
    spread = design.std(axis=0)
    names = [f"x{n}" for n in range(design.shape[1])]
    frame = pd.DataFrame((design - design.mean(axis=0)) / spread, columns=names).assign(time=times, event=events)
    cox = _fitted(frame, where)
    coefficients = cox.params_[names].to_numpy()
    covariance = cox.variance_matrix_.loc[names, names].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proportional = np.atleast_1d(proportional_hazard_test(cox, frame, time_transform="km").p_value)
    ratios, variable_p, start = [], {}, 0
    for variable in variables:
        part = slice(start, start + len(variable.labels))
        start = part.stop
        errors = np.sqrt(np.diag(covariance))[part]
        wald = coefficients[part] @ np.linalg.solve(covariance[part, part], coefficients[part])
        variable_p[variable.name] = float(stats.chi2.sf(wald, len(variable.labels)))
        fitted = zip(variable.labels, coefficients[part], errors, spread[part], proportional[part])
        for label, b, error, unit, ph in fitted:
            ratio = _ratio_per_unit(f"{path}: covariate {label}", b, error, unit)
            ratios.append(HazardRatio(label, model, ratio, float(2 * stats.norm.sf(abs(b) / error)), variable.reference, float(ph)))
    return CoxModel(tuple(ratios), variable_p, len(times), int(events.sum()), _concordance(cox))


def _concordance(cox: lifelines.CoxPHFitter) -> float:
    """Harrell's concordance in the cases the model was fitted to; NaN where no two of them compare."""
    try:
        return float(cox.concordance_index_)
    except ZeroDivisionError:
        return math.nan


def _ratio_per_unit(where: str, b: float, error: float, spread: float) -> Estimate:
    """The hazard ratio per unit, of a coefficient per standard deviation with its standard error."""
    with np.errstate(over="ignore", under="ignore"):
        ratio = Estimate(*np.exp(np.array([b, b - _Z * error, b + _Z * error]) / spread).tolist())
    if ratio.low > 0 and ratio.high < math.inf:
        return ratio
    factor = 10.0 ** -math.floor(math.log10(spread))
    raise InputError(
        f"{where}: a unit is {1 / spread:.2g} standard deviations, so that no number can hold the hazard "
        f"ratio per unit; rescale it: multiply the column by {factor:g}"
    )


def _fitted(frame: pd.DataFrame, where: str) -> lifelines.CoxPHFitter:
    fault = InputError(f"{where}: the Cox model does not converge (no bound: a covariate separates the events); leave a covariate out")
    cox = lifelines.CoxPHFitter()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            # As far as floating point goes: lifelines stops by the gain in likelihood, long before the last digits of the estimates.
            cox.fit(frame, "time", "event", fit_options={"precision": 1e-16, "r_precision": 1e-16})
    except (ConvergenceError, np.linalg.LinAlgError, OverflowError) as error:
        raise fault from error
    # What lifelines only guesses from variances and correlations is left to the estimates themselves.
    failed = any("Newton-Raphson" in str(warning.message) or "log-likelihood" in str(warning.message) for warning in said)
    if failed or not (cox.standard_errors_.to_numpy() < _LARGEST_ERROR).all():
        raise fault
    return cox


def _require_estimable(path: Path, variables: Sequence[Variable], known: np.ndarray, events: np.ndarray) -> None:
    complete = f"{cases_text(len(events))} complete for the model"
    if not events.any():
        names = ", ".join(variable.name for variable in variables)
        raise InputError(f"{path}: covariates {names}: no event among {complete}; leave out what is missing most")
    faults = []
    for variable in variables:
        where, columns = f"{path}: covariate {variable.name}", variable.columns[:, known]
        if all(map(is_constant, columns)):
            faults.append(f"{where}: the same value in all {complete}; leave it out")
        elif variable.reference:
            names = [variable.reference, *(label[len(variable.name) + 1 : -1] for label in variable.labels)]
            members = zip(names, [~columns.any(axis=0), *(columns == 1)])
            without = [(level, int(chosen.sum())) for level, chosen in members if not events[chosen].any()]
            cure = "its hazard ratio has no bound; merge levels or leave the covariate out"
            faults += [f"{where}: no event among {cases_text(n)} of level {level!r}: {cure}" for level, n in without]
    if faults:
        raise InputError(faults)


def _require_independent(where: str, labels: Sequence[str], design: np.ndarray) -> None:
    centred = (design - design.mean(axis=0)) / design.std(axis=0)
    kept: list[int] = []
    for n, label in enumerate(labels):
        if np.linalg.matrix_rank(centred[:, [*kept, n]], tol=1e-7 * math.sqrt(len(design))) <= len(kept):
            raise InputError(f"{where}: collinear: {label} follows from {', '.join(labels[k] for k in kept)}; leave one out")
        kept.append(n)


# The analysis


@dataclass(frozen=True)
class Prognosis:
    """All that is found. `entered` are the variables of the multivariable model; `warnings` belong into every table and picture."""

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
        return PREDICTED_GROUP if self.question.score else self.question.group


def prognosis(cases: CaseTable, question: Question) -> Prognosis:
    """Curves, tests and models of the cases.

    Raises `InputError`, a line per fault, as `check_question`, `read_follow_up`, the grouping and `fit_cox` do.
    """
    check_question(question, cases)
    follow_up = read_follow_up(cases, question.time, question.event)
    grouping = _grouping(follow_up, question)
    notes = [*follow_up.cases.notes]
    if grouping is None:
        curves = [kaplan_meier(ALL_CASES, follow_up.times, follow_up.events)]
        overall, pairs = LogRank((ALL_CASES,)), []
    else:
        notes += grouping.notes
        members = [(level, grouping.labels == level) for level in grouping.levels]
        curves = [kaplan_meier(level, follow_up.times[chosen], follow_up.events[chosen]) for level, chosen in members]
        overall, pairs = log_rank(follow_up, grouping)
        notes += _log_rank_notes(follow_up, grouping, overall)
    variables = [*_group_variable(grouping, curves, notes), *_covariates(follow_up, question)]
    univariable = each(lambda variable: fit_cox(follow_up, [variable], UNIVARIABLE), variables)
    entered = [
        variable for variable, model in zip(variables, univariable) if question.select == SELECT_ALL or model.variable_p[variable.name] < ENTRY_P
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
    """The groups as a Cox variable, unless a group has no event: curves and log-rank tests can do with that, a hazard ratio cannot."""
    if grouping is None:
        return []
    without = [curve.name for curve in curves if not curve.events.any()]
    if without:
        notes.append(f"{grouping.name}: not in the Cox models, no event in {', '.join(without)}")
        return []
    return [level_variable(grouping.name, grouping.levels, grouping.labels)]


def _covariates(follow_up: FollowUp, question: Question) -> list[Variable]:
    """Numbers enter as they are, texts, and what `--categorical` names, as levels. The grouping column is a variable already."""

    def variable(name: str) -> Variable:
        texts = follow_up.cases.texts(name)
        if not any(texts):
            raise InputError(f"{follow_up.cases.path}: covariate {name}: empty in every case with follow-up; leave it out")
        numeric = sum(not math.isnan(as_number(text)) for text in texts)
        # One stray text in a column of numbers is a fault, not a level.
        if name not in question.categorical and 2 * numeric > sum(map(bool, texts)):
            return continuous_variable(name, follow_up.cases.numbers(name))
        levels = levels_in_order(text for text in texts if text)
        if len(levels) > MOST_LEVELS:
            raise InputError(f"{follow_up.cases.path}: covariate {name}: {len(levels)} levels; a categorical covariate has at most {MOST_LEVELS}")
        return level_variable(name, levels, np.array(texts))

    return each(variable, [name for name in question.covariates if name != question.group])


def _model_notes(variables: Sequence[Variable], entered: Sequence[Variable], model: CoxModel | None) -> list[str]:
    if not variables:
        return []
    if model is None:
        return [f"no variable has a univariable p below {ENTRY_P}: no multivariable model"]
    notes = [f"multivariable model: {', '.join(variable.name for variable in entered)}; {model.n} complete cases, {model.events} events"]
    if model.events < EVENTS_PER_COEFFICIENT * len(model.ratios):
        few = f"{model.events} events for {len(model.ratios)} coefficients, fewer than {EVENTS_PER_COEFFICIENT} each"
        notes.append(f"{few}: the multivariable model may be overfitted")
    return notes
