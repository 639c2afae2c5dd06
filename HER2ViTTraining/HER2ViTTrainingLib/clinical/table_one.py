"""Table 1: who is in each group, and whether the groups differ (`her2vit table1`).

Continuous variables: mean (SD), Student's t test, or ANOVA for three groups and more (Welch's forms on request). Continuous variables that
are not normal: median (quartiles, R's type 7), Mann-Whitney or Kruskal-Wallis test. Categorical variables: n (%), Pearson's chi-squared
test, or Fisher's exact test when an expected count is below 5. Tests equal R's `t.test`, `oneway.test`, `wilcox.test`, `kruskal.test`,
`chisq.test` and `fisher.test` at their defaults (but `var.equal = TRUE` unless Welch is asked for). What is missing is counted, never tested.
Values that vary by round-off alone are constant, by the rule of R's `t.test`, for every comparison of means.

Standardised differences: Austin, Stat Med 2009;28:3083 (continuous), Yang & Dalton, SAS Global Forum 2012, paper 335 (categorical).
"""

from __future__ import annotations

import itertools
import math
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from scipy import stats

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, each
from HER2ViTTrainingLib.evaluation.judging import p_text
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.tables.case_table import MOST_LEVELS, ROUND_OFF, CaseTable, cases_text, is_constant, is_missing, levels_in_order

RESULT_FILES = ("table1.csv", "table1.html")
CONTINUOUS, NONNORMAL, CATEGORICAL = "continuous", "nonnormal", "categorical"
NOT_AVAILABLE = "NA"
LEFT_COLUMNS, RIGHT_COLUMNS = ("variable", "level"), ("test", "statistic", "p", "smd")
BOOKKEEPING = frozenset((
    *("case_id", "patient_id", "image", "roi", "segment", "early_phase", "exclude", "included", "reason", "role", "ihc", "ish"),
    *("label", "score", "score_raw"),
))
"""Columns of a manifest, a case table or predictions that describe files and rows; in a table only when named."""

LEAST_EXPECTED = 5
MOST_STATES, MOST_COMPLETIONS = 4_000_000, 10_000_000
"""Bounds of the exact enumeration: a few seconds and 1 GB."""
MONTE_CARLO_TABLES = 100_000
_TIE = 1e-7
"""Relative tolerance within which two tables count as equally probable, as in R's `fisher.test`."""

METHODS = (
    "Continuous: mean (SD); Student's t test, one-way ANOVA for three groups and more (Welch's forms where the test says so).",
    "Not normal: median (first to third quartile); Mann-Whitney test, exact with fewer than 50 cases a group and no ties, else normal approximation "
    "with continuity correction (R's wilcox.test); Kruskal-Wallis test for three groups and more. Survival times are compared as plain numbers, "
    "whether censored or not: for survival itself see the prognosis command.",
    "Categorical: n (% of all the group's cases, NA among them); Pearson's chi-squared test, for 2 x 2 tables with Yates's continuity correction "
    "(R's chisq.test); Fisher's exact test when an expected count is below 5. Larger tables are enumerated where feasible, else "
    f"{MONTE_CARLO_TABLES} seeded random tables stand for all, and the test is labelled Monte Carlo.",
    "NA is counted, and left out of tests and standardised differences. Tests are two-sided and not corrected for their number.",
    "smd: absolute standardised mean difference (Austin 2009; categorical: Yang & Dalton 2012); with three "
    "groups and more, the mean of all pairs; empty where it has no bound: two groups have no level in "
    "common, or differ and do not vary.",
    "A standard error below ten times the round-off of the mean is none: such values do not vary (R's "
    "t.test).",
)


# Tests


@dataclass(frozen=True)
class Comparison:
    """A test's name, statistic and two-sided p; NaN where undefined."""

    name: str
    statistic: float = math.nan
    p: float = math.nan


def t_test(groups: Sequence[np.ndarray], welch: bool = False) -> Comparison:
    """Student's (or Welch's) t test of two samples (n,) float, n >= 2; one-way ANOVA (or Welch's) of more.

    NaN where nothing varies inside the samples but round-off, for Welch's ANOVA in one of them.
    """
    name = ("Welch t" if welch else "Student t") if len(groups) == 2 else ("Welch ANOVA" if welch else "ANOVA")
    of = _moments(groups)
    pooled = (of.sizes - 1) @ of.variances / (of.sizes - 1).sum()
    variances = of.variances if welch else np.full(len(groups), pooled)
    unweighable = welch and len(groups) > 2 and not variances.all()
    if unweighable or _lost_in_round_off(replace(of, variances=variances)):
        return Comparison(name)
    if len(groups) == 2:
        first, second = zip(of.means, np.sqrt(of.variances), of.sizes)
        found = stats.ttest_ind_from_stats(*first, *second, equal_var=not welch)
    elif welch:
        return _welch_anova(of)
    else:
        found = stats.f_oneway(*groups)
    return Comparison(name, float(found.statistic), float(found.pvalue))


@dataclass(frozen=True)
class _Moments:
    """Sizes, means and sample variances of groups (k,); a variance that is round-off alone is 0."""

    sizes: np.ndarray
    means: np.ndarray
    variances: np.ndarray


def _moments(groups: Sequence[np.ndarray]) -> _Moments:
    sizes = np.array([len(group) for group in groups])
    means = np.array([group.mean() for group in groups])
    variances = np.array([0.0 if is_constant(group) else group.var(ddof=1) for group in groups])
    return _Moments(sizes, means, variances)


def _lost_in_round_off(of: _Moments) -> bool:
    """R's rule for two means (`t.test`: "data are essentially constant"), for any number of them."""
    return bool(np.sqrt((of.variances / of.sizes).sum()) <= ROUND_OFF * np.abs(of.means).max())


def _welch_anova(of: _Moments) -> Comparison:
    """Welch, Biometrika 1951;38:330."""
    k = len(of.sizes)
    weights = of.sizes / of.variances
    share = weights / weights.sum()
    lack = ((1 - share) ** 2 / (of.sizes - 1)).sum() / (k * k - 1)
    f = (weights * (of.means - share @ of.means) ** 2).sum() / (k - 1) / (1 + 2 * (k - 2) * lack)
    return Comparison("Welch ANOVA", float(f), float(stats.f.sf(f, k - 1, 1 / (3 * lack))))


def rank_test(groups: Sequence[np.ndarray]) -> Comparison:
    """Mann-Whitney test of two samples, as R's `wilcox.test` (the statistic is its W), Kruskal-Wallis test of more."""
    values = np.concatenate(groups)
    name = "Mann-Whitney" if len(groups) == 2 else "Kruskal-Wallis"
    if (values == values[0]).all():
        return Comparison(name)
    if len(groups) > 2:
        found = stats.kruskal(*groups)
    else:
        exact = max(map(len, groups)) < 50 and len(np.unique(values)) == len(values)
        found = stats.mannwhitneyu(*groups, method="exact" if exact else "asymptotic", use_continuity=True)
        name += " (exact)" if exact else ""
    return Comparison(name, float(found.statistic), float(found.pvalue))


def table_test(counts: np.ndarray, rng: np.random.Generator) -> Comparison:
    """Chi-squared test of counts (levels, groups) int, or Fisher's exact test when an expected count is below 5; empty levels do not count."""
    counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
    if min(counts.shape) < 2:
        return Comparison("none: one level only")
    if stats.contingency.expected_freq(counts).min() < LEAST_EXPECTED:
        return fisher_test(counts, rng)
    found = stats.chi2_contingency(counts, correction=True)
    return Comparison("chi-squared (Yates)" if counts.shape == (2, 2) else "chi-squared", float(found.statistic), float(found.pvalue))


def fisher_test(counts: np.ndarray, rng: np.random.Generator) -> Comparison:
    """Fisher's exact test of counts (r, c): the probability of all tables with the same margins that are no more probable than this one.

    Exact where enumeration is feasible, else by `MONTE_CARLO_TABLES` random tables, the table itself counted as one of
    them, as R's `simulate.p.value`; the name says so.
    """
    exact = exact_p(counts)
    if exact is not None:
        return Comparison("Fisher exact", p=exact)
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    tables = stats.random_table(rows, columns).rvs(MONTE_CARLO_TABLES, random_state=rng)
    log_factorials = _log_factorials(int(counts.sum()))
    # The less probable a table, the larger the sum of its log factorials.
    as_extreme = log_factorials[tables.astype(int)].sum(axis=(1, 2)) >= log_factorials[counts].sum() - _TIE
    p = (1 + as_extreme.sum()) / (1 + MONTE_CARLO_TABLES)
    return Comparison(f"Fisher Monte Carlo ({MONTE_CARLO_TABLES} tables)", p=float(p))


def _log_factorials(n: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def exact_p(counts: np.ndarray) -> float | None:
    """Fisher's exact p of counts (r, c) int, or None where it takes too much (`MOST_STATES`, `MOST_COMPLETIONS`).

    Column by column, smallest first, every state is kept once: what is left of each row, the sum of log factorials so far, and the number of
    ways that lead there. Rows are interchangeable, so what is left is kept sorted. The last two columns are done at once: all ways to divide
    what is left are sorted, and each state looks up the probability of those that complete it to a table that is extreme enough.
    """
    counts = min(counts, counts.T, key=_effort)
    rows, columns = counts.sum(axis=1), np.sort(counts.sum(axis=0))
    log_factorials = _log_factorials(int(counts.sum()))
    margins = log_factorials[rows].sum() + log_factorials[columns].sum() - log_factorials[-1]
    observed = log_factorials[counts].sum() - _TIE
    states: list[_State] | None = [_State(np.sort(rows), np.zeros(1), np.ones(1))]
    for column in columns[:-2]:
        states = _advance(states, int(column), log_factorials)
        if states is None:
            return None
    most = int(columns[-2])
    if sum(math.prod(np.minimum(state.left[:-1], most) + 1.0) for state in states) > MOST_COMPLETIONS:
        return None
    p = 0.0
    for state in states:
        parts = _divisions(most, state.left)
        sums = np.sort((log_factorials[parts] + log_factorials[state.left - parts]).sum(axis=1))
        # Relative to the most probable completion, so that no exponential overflows.
        chances = np.append(np.cumsum(np.exp(sums[0] - sums)[::-1])[::-1], 0.0)
        p += float((state.ways * np.exp(margins - sums[0] - state.past)) @ chances[np.searchsorted(sums, observed - state.past)])
    return min(1.0, p)


@dataclass(frozen=True)
class _State:
    """What is left of the rows (r,) int, sorted; sums of log factorials so far (m,), each once, and in how many ways they come about (m,)."""

    left: np.ndarray
    past: np.ndarray
    ways: np.ndarray


def _effort(counts: np.ndarray) -> int:
    """How many states there can be before the last two columns, the largest."""
    return math.comb(int(np.sort(counts.sum(axis=0))[:-2].sum()) + len(counts) - 1, len(counts) - 1)


def _advance(states: Sequence[_State], column: int, log_factorials: np.ndarray) -> list[_State] | None:
    """The states after one column more, or None when they are too many."""
    remainders, lengths, pasts, ways, total = [], [], [], [], 0
    for state in states:
        parts = _divisions(column, state.left)
        total += len(parts) * len(state.past)
        if total > MOST_STATES:
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
    index, past = index[order], past[order]
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(index) > 0) | (np.diff(past) > 0)]))
    merged = np.add.reduceat(np.concatenate(ways)[order], starts)
    edges = np.searchsorted(index[starts], np.arange(1, len(lefts)))
    return [_State(*state) for state in zip(lefts, np.split(past[starts], edges), np.split(merged, edges))]


def _divisions(total: int, most: Sequence[int]) -> np.ndarray:
    """All ways (ways, r) int to divide a total into r parts of at most `most`."""
    parts = np.zeros((1, 0), int)
    for n, limit in enumerate(most):
        room = sum(most[n + 1 :])
        rest = total - parts.sum(axis=1)
        low, high = np.maximum(0, rest - room), np.minimum(limit, rest)
        ways = np.maximum(0, high - low + 1)
        index = np.repeat(np.arange(len(parts)), ways)
        first = np.repeat(np.cumsum(ways) - ways, ways)
        parts = np.column_stack([parts[index], low[index] + np.arange(ways.sum()) - first])
    return parts


# Standardised differences


def continuous_difference(groups: Sequence[np.ndarray]) -> float:
    """Absolute standardised difference of means (Austin 2009), averaged over all pairs of groups.

    Two groups that do not vary but by round-off: 0 where they are the same, else NaN, for it has no bound.
    """

    def of_pair(a: np.ndarray, b: np.ndarray) -> float:
        of = _moments([a, b])
        difference = abs(of.means[0] - of.means[1])
        if _lost_in_round_off(of):
            return 0.0 if difference <= ROUND_OFF * np.abs(of.means).max() else math.nan
        return difference / math.sqrt(of.variances.mean())

    return float(np.mean([of_pair(a, b) for a, b in itertools.combinations(groups, 2)]))


def categorical_difference(counts: np.ndarray) -> float:
    """Standardised difference of counts (levels, groups), averaged over all pairs: Mahalanobis distance of
    the shares (Yang & Dalton 2012).

    NaN where two groups have no level in common: it has no bound.
    """

    def of_pair(a: np.ndarray, b: np.ndarray) -> float:
        if not (a * b).any():
            return math.nan
        covariance = (np.diag(a) - np.outer(a, a) + np.diag(b) - np.outer(b, b)) / 2
        # Shares sum to 1. To leave a level out for that, as the paper does, is to choose a generalised
        # inverse; with a level in common all of them give the same distance, and this one treats the levels
        # alike.
        squared = (a - b) @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ (a - b)
        return math.sqrt(max(0.0, squared))

    shares = counts / counts.sum(axis=0)
    return float(np.mean([of_pair(a, b) for a, b in itertools.combinations(shares.T, 2)]))


# The table


@dataclass(frozen=True)
class Plan:
    """Which columns are in the table and of what kind, in the table's order; how they are tested."""

    by: str
    kinds: dict[str, str]
    welch: bool = False
    seed: int = 1
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableOne:
    """Rows of `table1.csv` by column, the groups, and what its reader must know."""

    plan: Plan
    groups: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    cases: CaseTable
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (*LEFT_COLUMNS, *self.groups, *RIGHT_COLUMNS)


def make_plan(
    cases: CaseTable,
    by: str,
    continuous: Sequence[str] = (),
    nonnormal: Sequence[str] = (),
    categorical: Sequence[str] = (),
    welch: bool = False,
    seed: int = 1,
) -> Plan:
    """The columns named, in the file's order; where none is named, all but bookkeeping, of the kind their values suggest.

    Unnamed, a column of numbers is continuous when it has more than five different values or some that are not whole, and not normal when
    its name ends in `_months` (survival times, as in the study); anything else is categorical, unless it has more than 20 levels: then it
    is left out. Raises `InputError` for columns that are not there or named twice.
    """
    named = {**dict.fromkeys(continuous, CONTINUOUS), **dict.fromkeys(nonnormal, NONNORMAL), **dict.fromkeys(categorical, CATEGORICAL)}
    cases.require([by, *named])
    times = Counter([by, *continuous, *nonnormal, *categorical])
    if any(count > 1 for count in times.values()):
        raise InputError([f"column {name}: named {count} times; name it once, as one kind" for name, count in times.items() if count > 1])
    if named:
        return Plan(by, {name: named[name] for name in cases.columns if name in named}, welch, seed)
    wanted = [name for name in cases.columns if name not in BOOKKEEPING and name != by and not name.startswith("roi_")]
    kinds = {name: _kind(cases, name) for name in wanted}
    many = [name for name, kind in kinds.items() if kind == CATEGORICAL and len(set(cases.texts(name))) > MOST_LEVELS]
    chosen = {name: kind for name, kind in kinds.items() if name not in many}
    if not chosen:
        raise InputError(f"{cases.path}: no column to describe; name some with --continuous, --nonnormal or --categorical")
    return Plan(by, chosen, welch, seed, tuple(many))


def _kind(cases: CaseTable, name: str) -> str:
    if not cases.is_continuous(name):
        return CATEGORICAL
    return NONNORMAL if name.endswith("_months") else CONTINUOUS


def table_one(cases: CaseTable, plan: Plan) -> TableOne:
    """Table 1 of the cases by the plan.

    Raises `InputError`, a line per fault: a single group, groups of one case, more than 20 groups, values of a continuous column that are no
    numbers.
    """
    cases = cases.chosen(lambda row: not is_missing(row[plan.by]), f"without {plan.by}, left out")
    labels = np.array(cases.texts(plan.by))
    groups = tuple(levels_in_order(labels.tolist()))
    _require_groups(cases, plan.by, groups, labels)
    rng = np.random.default_rng(plan.seed)
    rows: list[dict[str, Any]] = [{"variable": "n", "level": "", **{group: str((labels == group).sum()) for group in groups}}]
    notes = list(cases.notes)
    if plan.left_out:
        notes.append(f"left out, more than {MOST_LEVELS} levels: {', '.join(plan.left_out)}")

    def rows_of(name: str) -> list[dict[str, Any]]:
        if plan.kinds[name] == CATEGORICAL:
            return _categorical_rows(cases, name, labels, groups, rng, notes)
        return _number_rows(cases, name, labels, groups, plan, notes)

    rows += itertools.chain.from_iterable(each(rows_of, plan.kinds))
    return TableOne(plan, groups, tuple(rows), cases, tuple(notes))


def _require_groups(cases: CaseTable, by: str, groups: Sequence[str], labels: np.ndarray) -> None:
    where = f"{cases.path}: column {by}"
    if len(groups) < 2:
        raise InputError(f"{where}: {'one group only, ' + repr(groups[0]) if groups else 'no group'}; two groups or more are compared")
    if len(groups) > MOST_LEVELS:
        raise InputError(f"{where}: {len(groups)} different values; --by takes a column with at most {MOST_LEVELS} groups")
    faults = [f"{where}: group {group!r} has 1 case; merge it with another or leave it out" for group in groups if (labels == group).sum() == 1]
    faults += [f"{where}: group {group!r} is called as a column of the table; rename it" for group in groups if group in LEFT_COLUMNS + RIGHT_COLUMNS]
    if faults:
        raise InputError(faults)


def _tested(result: Comparison, difference: float) -> dict[str, Any]:
    return {"test": result.name, "statistic": result.statistic, "p": result.p, "smd": difference}


def _missing_row(name: str, missing: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> list[dict[str, Any]]:
    counts = {group: share_text(missing[labels == group].sum(), (labels == group).sum()) for group in groups}
    return [{"variable": name, "level": NOT_AVAILABLE, **counts}] if missing.any() else []


def _number_rows(
    cases: CaseTable, name: str, labels: np.ndarray, groups: Sequence[str], plan: Plan, notes: list[str]
) -> list[dict[str, Any]]:
    values = cases.numbers(name)
    missing = np.isnan(values)
    samples = [values[(labels == group) & ~missing] for group in groups]
    normal = plan.kinds[name] == CONTINUOUS
    describe, level = (mean_text, "mean (SD)") if normal else (median_text, "median (IQR)")
    row = {"variable": name, "level": level, **{group: describe(sample) for group, sample in zip(groups, samples)}}
    few = [group for group, sample in zip(groups, samples) if len(sample) < 2]
    if few:
        notes.append(f"{name}: not tested, fewer than two values in {', '.join(few)}")
    else:
        result = t_test(samples, plan.welch) if normal else rank_test(samples)
        difference = continuous_difference(samples)
        if math.isnan(result.p):
            notes.append(f"{name}: not tested, {_why_untested(groups, samples)}")
        elif math.isnan(difference):
            notes.append(f"{name}: no standardised difference, two groups differ and do not vary")
        row.update(_tested(result, difference))
    return [row, *_missing_row(name, missing, labels, groups)]


def _why_untested(groups: Sequence[str], samples: Sequence[np.ndarray]) -> str:
    constant = [group for group, sample in zip(groups, samples) if is_constant(sample)]
    if is_constant(np.concatenate(samples)):
        return "its values do not vary"
    if constant:
        return f"its values do not vary within {', '.join(constant)}"
    return "its spread is lost in round-off"


def _categorical_rows(
    cases: CaseTable, name: str, labels: np.ndarray, groups: Sequence[str], rng: np.random.Generator, notes: list[str]
) -> list[dict[str, Any]]:
    texts = np.array(cases.texts(name))
    levels = levels_in_order(texts[texts != ""].tolist())
    if len(levels) > MOST_LEVELS:
        raise InputError(f"{cases.path}: column {name}: {len(levels)} levels; a categorical column has at most {MOST_LEVELS}")
    sizes = {group: int((labels == group).sum()) for group in groups}
    counts = np.array([[((texts == level) & (labels == group)).sum() for group in groups] for level in levels]).reshape(len(levels), len(groups))
    rows: list[dict[str, Any]] = [
        {"variable": name, "level": level, **{group: share_text(n, sizes[group]) for group, n in zip(groups, line)}}
        for level, line in zip(levels, counts)
    ]
    if not rows:
        notes.append(f"{name}: empty in every case")
    elif not counts.any(axis=0).all():
        notes.append(f"{name}: not tested, no value in {', '.join(group for group, n in zip(groups, counts.sum(axis=0)) if not n)}")
    elif len(levels) < 2:
        notes.append(f"{name}: not tested, one level only")
    else:
        difference = categorical_difference(counts)
        if math.isnan(difference):
            notes.append(f"{name}: no standardised difference, two groups have no level in common")
        rows[0].update(_tested(table_test(counts, rng), difference))
    return [*rows, *_missing_row(name, texts == "", labels, groups)]


def mean_text(values: np.ndarray) -> str:
    """`52.6 (10.5)`."""
    if not len(values):
        return ""
    spread = f" ({values.std(ddof=1):.1f})" if len(values) > 1 else ""
    return f"{values.mean():.1f}{spread}"


def median_text(values: np.ndarray) -> str:
    """`78.1 (37.6-90.6)`: median, first and third quartile."""
    if not len(values):
        return ""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"


def share_text(count: int, of: int) -> str:
    """`12 (34.3)`: n and per cent."""
    return f"{count} ({100 * count / of:.1f})"


# Writing


def readable_rows(table: TableOne) -> list[list[str]]:
    """The table's rows for people: p to three decimals, a variable's name on its first row only."""

    def number(row: dict[str, Any], name: str, text: str) -> str:
        value = row.get(name, math.nan)
        return "" if math.isnan(value) else format(value, text)

    rows, last = [], None
    for row in table.rows:
        name = "" if row["variable"] == last else row["variable"]
        tail = [row.get("test", ""), number(row, "statistic", ".3f"), p_text(row.get("p", math.nan)), number(row, "smd", ".3f")]
        rows.append([name, row["level"], *(row[group] for group in table.groups), *tail])
        last = row["variable"]
    return rows


def table_one_text(table: TableOne) -> str:
    """The table as aligned plain text, with its notes and the notice."""
    lines = [list(table.columns), *readable_rows(table)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    aligned = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([*aligned, *table.notes, RESEARCH_NOTICE])


def table_one_html(table: TableOne) -> bytes:
    """The table as a self-contained page with methods, notes, inputs and versions. All texts are escaped."""
    return html_page(
        "table1.html",
        {},
        table=table,
        rows=readable_rows(table),
        methods=METHODS,
        cases=cases_text(len(table.cases)),
        versions={"her2vit": __version__, "python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
    )


def write_table_one(table: TableOne, folder: str | os.PathLike) -> list[str]:
    """Writes `table1.csv` and `table1.html` into a folder of their own and returns their names. Raises `InputError` for foreign content."""
    contents = {"table1.csv": csv_bytes(table.columns, table.rows), "table1.html": table_one_html(table)}
    return write_results(folder, RESULT_FILES, contents)
