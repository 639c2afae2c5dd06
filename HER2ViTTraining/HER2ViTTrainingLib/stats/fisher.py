"""Fisher's exact test of r x c tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .estimates import Comparison

MAX_STATES = 4_000_000
MAX_COMPLETIONS = 10_000_000
"""Bounds of the exact enumeration: a few seconds and 1 GB."""
MONTE_CARLO_TABLES = 100_000
_TIE = 1e-7
"""Relative tolerance within which two tables count as equally probable, as in R's `fisher.test`."""


def fisher_test(counts: np.ndarray, rng: np.random.Generator) -> Comparison:
    """Fisher's exact test of counts (r, c): the probability of all tables with the same margins that are no
    more probable than this one.

    Exact where enumeration is feasible, else by `MONTE_CARLO_TABLES` random tables, the table itself counted
    as one of them, as R's `simulate.p.value`; the name says so.
    """
    exact = exact_p(counts)
    if exact is not None:
        return Comparison("Fisher exact", p=exact)
    rows = counts.sum(axis=1)
    columns = counts.sum(axis=0)
    tables = stats.random_table(rows, columns).rvs(MONTE_CARLO_TABLES, random_state=rng)
    log_factorials = _log_factorials(int(counts.sum()))
    # The less probable a table, the larger the sum of its log factorials.
    as_extreme = log_factorials[tables.astype(int)].sum(axis=(1, 2)) >= log_factorials[counts].sum() - _TIE
    p = (1 + as_extreme.sum()) / (1 + MONTE_CARLO_TABLES)
    return Comparison(f"Fisher Monte Carlo ({MONTE_CARLO_TABLES} tables)", p=float(p))


def _log_factorials(n: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def exact_p(counts: np.ndarray) -> float | None:
    """Fisher's exact p of counts (r, c) int, or None where it takes too much (`MAX_STATES`,
    `MAX_COMPLETIONS`).

    Column by column, smallest first, every state is kept once: what is left of each row, the sum of log
    factorials so far, and the number of ways that lead there. Rows are interchangeable, so what is left is
    kept sorted. The last two columns are done at once: all ways to divide what is left are sorted, and each
    state looks up the probability of those that complete it to a table that is extreme enough.
    """
    counts = min(counts, counts.T, key=_effort)
    rows = counts.sum(axis=1)
    columns = np.sort(counts.sum(axis=0))
    log_factorials = _log_factorials(int(counts.sum()))
    margins = log_factorials[rows].sum() + log_factorials[columns].sum() - log_factorials[-1]
    observed = log_factorials[counts].sum() - _TIE
    states = [_State(np.sort(rows), np.zeros(1), np.ones(1))]
    for column in columns[:-2]:
        advanced = _advance(states, int(column), log_factorials)
        if advanced is None:
            return None
        states = advanced
    most = int(columns[-2])
    if sum(math.prod(np.minimum(state.left[:-1], most) + 1.0) for state in states) > MAX_COMPLETIONS:
        return None
    p = 0.0
    for state in states:
        parts = _divisions(most, state.left)
        sums = np.sort((log_factorials[parts] + log_factorials[state.left - parts]).sum(axis=1))
        # Relative to the most probable completion, so that no exponential overflows.
        chances = np.append(np.cumsum(np.exp(sums[0] - sums)[::-1])[::-1], 0.0)
        p += float(
            (state.ways * np.exp(margins - sums[0] - state.past))
            @ chances[np.searchsorted(sums, observed - state.past)]
        )
    return min(1.0, p)


@dataclass(frozen=True)
class _State:
    """What is left of the rows (r,) int, sorted; sums of log factorials so far (m,), each once, and in how
    many ways they come about (m,).
    """

    left: np.ndarray
    past: np.ndarray
    ways: np.ndarray


def _effort(counts: np.ndarray) -> int:
    """How many states there can be before the last two columns, the largest."""
    return math.comb(int(np.sort(counts.sum(axis=0))[:-2].sum()) + len(counts) - 1, len(counts) - 1)


def _advance(states: Sequence[_State], column: int, log_factorials: np.ndarray) -> list[_State] | None:
    """The states after one column more, or None when they are too many."""
    remainders = []
    lengths = []
    pasts = []
    ways = []
    total = 0
    for state in states:
        parts = _divisions(column, state.left)
        total += len(parts) * len(state.past)
        if total > MAX_STATES:
            return None
        remainders.append(np.sort(state.left - parts, axis=1))
        lengths.append(np.full(len(parts), len(state.past)))
        pasts.append((log_factorials[parts].sum(axis=1)[:, None] + state.past).ravel())
        ways.append(np.tile(state.ways, len(parts)))
    lefts, index = np.unique(np.concatenate(remainders), axis=0, return_inverse=True)
    index = np.repeat(index.ravel(), np.concatenate(lengths))
    # The same product of factorials, summed in another order, differs in the last digits.
    past = np.round(np.concatenate(pasts), 9)
    order = np.lexsort((past, index))
    index = index[order]
    past = past[order]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(index) > 0) | (np.diff(past) > 0)]))
    merged = np.add.reduceat(np.concatenate(ways)[order], starts)
    edges = np.searchsorted(index[starts], np.arange(1, len(lefts)))
    return [_State(*state) for state in zip(lefts, np.split(past[starts], edges), np.split(merged, edges))]


def _divisions(total: int, most: np.ndarray) -> np.ndarray:
    """All ways (ways, r) int to divide a total into r parts of at most `most` (r,) int."""
    parts = np.zeros((1, 0), int)
    for n, limit in enumerate(most):
        room = sum(most[n + 1 :])
        rest = total - parts.sum(axis=1)
        low = np.maximum(0, rest - room)
        high = np.minimum(limit, rest)
        ways = np.maximum(0, high - low + 1)
        index = np.repeat(np.arange(len(parts)), ways)
        first = np.repeat(np.cumsum(ways) - ways, ways)
        parts = np.column_stack([parts[index], low[index] + np.arange(ways.sum()) - first])
    return parts
