"""Kaplan-Meier curves and log-rank tests of a follow-up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import lifelines
import numpy as np
from lifelines.statistics import multivariate_logrank_test

from HER2ViTTrainingLib.stats.estimates import Z_95, Estimate

from .follow_up import FollowUp, Grouping


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier curve at each time that was observed (m,): at risk before it, events, censored, survival
    after it and its 95 % band.

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
        """How many cases it is of."""
        return int((self.events + self.censored).sum())

    @property
    def median(self) -> Estimate:
        """The time by which half have had the event, with its 95 % interval; NaN where curve or band stays
        above one half.
        """
        value = half_time(self.times, self.survival)
        return Estimate(value, half_time(self.times, self.low), half_time(self.times, self.high))

    def at_risk_at(self, times: Sequence[float]) -> list[int]:
        """Numbers at risk just before each of the times."""
        later = np.searchsorted(self.times, times)
        return [int(self.at_risk[n]) if n < len(self.times) else 0 for n in later]


def kaplan_meier(name: str, times: np.ndarray, events: np.ndarray) -> Curve:
    """The curve of times (n,) and events (n,) bool."""
    table = lifelines.KaplanMeierFitter().fit(times, events).event_table
    table = table[table["removed"] > 0]
    at_risk = table["at_risk"].to_numpy(int)
    died = table["observed"].to_numpy(int)
    survival = np.cumprod(1 - died / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Greenwood's variance of log S.
        error = np.sqrt(np.cumsum(died / (at_risk * (at_risk - died))))
        low = survival * np.exp(-Z_95 * error)
        high = np.minimum(1.0, survival * np.exp(Z_95 * error))
    ended = survival <= 0
    low[ended] = math.nan
    high[ended] = math.nan
    return Curve(
        name, table.index.to_numpy(float), at_risk, died, table["censored"].to_numpy(int), survival, low, high
    )


def half_time(times: np.ndarray, values: np.ndarray) -> float:
    """When a falling step function reaches one half; the middle of the step where it stays on it, as R's
    `survfit` has it. NaN: never.
    """
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
    adjusted = holm([pair.p for pair in pairs])
    return overall, [replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted)]


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
