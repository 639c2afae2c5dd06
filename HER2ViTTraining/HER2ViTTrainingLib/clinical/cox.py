"""Cox proportional hazards models of a follow-up."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lifelines
import numpy as np
import pandas as pd
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import proportional_hazard_test
from scipy import stats

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.stats.estimates import Z_95, Estimate
from HER2ViTTrainingLib.stats.round_off import is_constant
from HER2ViTTrainingLib.tables.case_table import cases_text

from .follow_up import FollowUp

_MAX_ERROR = 10.0
"""A standard error, per standard deviation of a covariate, as large as this says that the likelihood has no
maximum.
"""


@dataclass(frozen=True)
class Variable:
    """A variable of a Cox model: its columns (k, n), NaN where missing, with their labels; the reference
    level if it has levels.
    """

    name: str
    labels: tuple[str, ...]
    columns: np.ndarray
    reference: str = ""

    @property
    def known(self) -> np.ndarray:
        """Which cases have a value (n,) bool."""
        return ~np.isnan(self.columns).any(axis=0)


def continuous_variable(name: str, values: np.ndarray) -> Variable:
    """A variable that enters as it is."""
    return Variable(name, (name,), values[None, :])


def level_variable(name: str, levels: Sequence[str], labels: np.ndarray) -> Variable:
    """A variable of levels: an indicator for each but the first, which is the reference."""
    columns = np.array(
        [np.where(labels == "", math.nan, labels == level) for level in levels[1:]], float
    ).reshape(len(levels) - 1, len(labels))
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

    Raises `InputError`, a line per fault: no complete case or event, a constant covariate, a level without
    events, collinear covariates, an estimate that does not converge, a hazard ratio per unit that no number
    can hold.
    """
    known = np.all([variable.known for variable in variables], axis=0)
    times = follow_up.times[known]
    events = follow_up.events[known]
    design = np.concatenate([variable.columns[:, known] for variable in variables]).T
    path = follow_up.cases.path
    where = (
        f"{path}: covariate{'' if len(variables) == 1 else 's'}"
        f" {', '.join(variable.name for variable in variables)}"
    )
    _require_estimable(path, variables, known, events)
    _require_independent(where, [label for variable in variables for label in variable.labels], design)
    # Standardised, and so are Wald's tests: columns of any scale converge alike, and lifelines knows them by
    # number, never as a formula.
    spread = design.std(axis=0)
    names = [f"x{n}" for n in range(design.shape[1])]
    frame = pd.DataFrame((design - design.mean(axis=0)) / spread, columns=names).assign(
        time=times, event=events
    )
    cox = _fitted(frame, where)
    coefficients = cox.params_[names].to_numpy()
    covariance = cox.variance_matrix_.loc[names, names].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proportional = np.atleast_1d(proportional_hazard_test(cox, frame, time_transform="km").p_value)
    ratios = []
    variable_p = {}
    start = 0
    for variable in variables:
        part = slice(start, start + len(variable.labels))
        start = part.stop
        errors = np.sqrt(np.diag(covariance))[part]
        wald = coefficients[part] @ np.linalg.solve(covariance[part, part], coefficients[part])
        variable_p[variable.name] = float(stats.chi2.sf(wald, len(variable.labels)))
        fitted = zip(variable.labels, coefficients[part], errors, spread[part], proportional[part])
        for label, b, error, unit, ph in fitted:
            ratio = _ratio_per_unit(f"{path}: covariate {label}", b, error, unit)
            ratios.append(
                HazardRatio(
                    label,
                    model,
                    ratio,
                    float(2 * stats.norm.sf(abs(b) / error)),
                    variable.reference,
                    float(ph),
                )
            )
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
        ratio = Estimate(*np.exp(np.array([b, b - Z_95 * error, b + Z_95 * error]) / spread).tolist())
    if ratio.low > 0 and ratio.high < math.inf:
        return ratio
    factor = 10.0 ** -math.floor(math.log10(spread))
    raise InputError(
        f"{where}: a unit is {1 / spread:.2g} standard deviations, so that no number can hold the hazard "
        f"ratio per unit; rescale it: multiply the column by {factor:g}"
    )


def _fitted(frame: pd.DataFrame, where: str) -> lifelines.CoxPHFitter:
    fault = InputError(
        f"{where}: the Cox model does not converge (no bound: a covariate separates the events); leave a"
        " covariate out"
    )
    cox = lifelines.CoxPHFitter()
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            # As far as floating point goes: lifelines stops by the gain in likelihood, long before the last
            # digits of the estimates.
            cox.fit(frame, "time", "event", fit_options={"precision": 1e-16, "r_precision": 1e-16})
    except (ConvergenceError, np.linalg.LinAlgError, OverflowError) as error:
        raise fault from error
    # What lifelines only guesses from variances and correlations is left to the estimates themselves.
    failed = any(
        "Newton-Raphson" in str(warning.message) or "log-likelihood" in str(warning.message)
        for warning in said
    )
    if failed or not (cox.standard_errors_.to_numpy() < _MAX_ERROR).all():
        raise fault
    return cox


def _require_estimable(
    path: Path, variables: Sequence[Variable], known: np.ndarray, events: np.ndarray
) -> None:
    complete = f"{cases_text(len(events))} complete for the model"
    if not events.any():
        names = ", ".join(variable.name for variable in variables)
        raise InputError(
            f"{path}: covariates {names}: no event among {complete}; leave out what is missing most"
        )
    faults = []
    for variable in variables:
        where = f"{path}: covariate {variable.name}"
        columns = variable.columns[:, known]
        if all(map(is_constant, columns)):
            faults.append(f"{where}: the same value in all {complete}; leave it out")
        elif variable.reference:
            levels = [variable.reference, *(label[len(variable.name) + 1 : -1] for label in variable.labels)]
            members = [~columns.any(axis=0), *(columns == 1)]
            for level, chosen in zip(levels, members):
                if not events[chosen].any():
                    of_level = f"{cases_text(int(chosen.sum()))} of level {level!r}"
                    cure = "its hazard ratio has no bound; merge levels or leave the covariate out"
                    faults.append(f"{where}: no event among {of_level}: {cure}")
    if faults:
        raise InputError(faults)


def _require_independent(where: str, labels: Sequence[str], design: np.ndarray) -> None:
    centred = (design - design.mean(axis=0)) / design.std(axis=0)
    kept: list[int] = []
    for n, label in enumerate(labels):
        if np.linalg.matrix_rank(centred[:, [*kept, n]], tol=1e-7 * math.sqrt(len(design))) <= len(kept):
            raise InputError(
                f"{where}: collinear: {label} follows from {', '.join(labels[k] for k in kept)}; leave"
                " one out"
            )
        kept.append(n)
