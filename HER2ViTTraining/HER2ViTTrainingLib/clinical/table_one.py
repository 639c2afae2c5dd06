"""Table 1: who is in each group, and whether the groups differ (`her2vit table1`).

Continuous variables: mean (SD), Student's t test, or ANOVA for three groups and more (Welch's forms on
request). Continuous variables that are not normal: median (quartiles, R's type 7), Mann-Whitney or
Kruskal-Wallis test. Categorical variables: n (%), Pearson's chi-squared test, or Fisher's exact test when an
expected count is below 5. Tests equal R's `t.test`, `oneway.test`, `wilcox.test`, `kruskal.test`,
`chisq.test` and `fisher.test` at their defaults (but `var.equal = TRUE` unless Welch is asked for). What is
missing is counted, never tested. Values that vary by round-off alone are constant, by the rule of R's
`t.test`, for every comparison of means.

Standardised differences: Austin, Stat Med 2009;28:3083 (continuous), Yang & Dalton, SAS Global Forum 2012,
paper 335 (categorical).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from HER2ViTLib.messages import InputError, each
from HER2ViTTrainingLib.stats.estimates import Comparison
from HER2ViTTrainingLib.stats.group_tests import (
    categorical_difference,
    continuous_difference,
    rank_test,
    t_test,
    table_test,
)
from HER2ViTTrainingLib.stats.round_off import is_constant
from HER2ViTTrainingLib.tables.case_table import (
    MAX_LEVELS,
    CaseTable,
    levels_in_order,
)

CONTINUOUS = "continuous"
NONNORMAL = "nonnormal"
CATEGORICAL = "categorical"
NOT_AVAILABLE = "NA"
LEFT_COLUMNS = ("variable", "level")
RIGHT_COLUMNS = ("test", "statistic", "p", "smd")
BOOKKEEPING = frozenset(
    (
        *("case_id", "patient_id", "image", "roi", "segment", "early_phase", "exclude", "included", "reason"),
        *("role", "ihc", "ish", "label", "score", "score_raw"),
        *("fold", "seed", "calibrated", "threshold"),
    )
)
"""Columns of a manifest, a case table or predictions that describe files and rows; in a table only when
named.
"""


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
        """The columns of `table1.csv`."""
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
    """The columns named, in the file's order; where none is named, all but bookkeeping, of the kind their
    values suggest.

    Unnamed, a column of numbers is continuous when it has more than five different values or some that are
    not whole, and not normal when its name ends in `_months` (survival times, as in the study); anything else
    is categorical, unless it has more than 20 levels: then it is left out. Raises `InputError` for columns
    that are not there or named twice.
    """
    named = {
        **dict.fromkeys(continuous, CONTINUOUS),
        **dict.fromkeys(nonnormal, NONNORMAL),
        **dict.fromkeys(categorical, CATEGORICAL),
    }
    cases.require([by, *named])
    times = Counter([by, *continuous, *nonnormal, *categorical])
    twice = {name: count for name, count in times.items() if count > 1}
    if twice:
        raise InputError(
            [
                f"column {name}: named {count} times; name it once, as one kind"
                for name, count in twice.items()
            ]
        )
    if named:
        return Plan(by, {name: named[name] for name in cases.columns if name in named}, welch, seed)
    wanted = [
        name
        for name in cases.columns
        if name not in BOOKKEEPING and name != by and not name.startswith("roi_")
    ]
    kinds = {name: _kind(cases, name) for name in wanted}
    many = [
        name
        for name, kind in kinds.items()
        if kind == CATEGORICAL and len(set(cases.texts(name))) > MAX_LEVELS
    ]
    chosen = {name: kind for name, kind in kinds.items() if name not in many}
    if not chosen:
        raise InputError(
            f"{cases.path}: no column to describe; name some with --continuous, --nonnormal or --categorical"
        )
    return Plan(by, chosen, welch, seed, tuple(many))


def _kind(cases: CaseTable, name: str) -> str:
    if not cases.is_continuous(name):
        return CATEGORICAL
    return NONNORMAL if name.endswith("_months") else CONTINUOUS


def table_one(cases: CaseTable, plan: Plan) -> TableOne:
    """Table 1 of the cases by the plan.

    Raises `InputError`, a line per fault: a single group, groups of one case, more than 20 groups, values of
    a continuous column that are no numbers.
    """
    cases = cases.chosen(lambda row: bool(row[plan.by]), f"without {plan.by}, left out")
    labels = np.array(cases.texts(plan.by))
    groups = tuple(levels_in_order(labels.tolist()))
    _require_groups(cases, plan.by, groups, labels)
    rng = np.random.default_rng(plan.seed)
    rows: list[dict[str, Any]] = [
        {"variable": "n", "level": "", **{group: str((labels == group).sum()) for group in groups}}
    ]
    notes = list(cases.notes)
    if plan.left_out:
        notes.append(f"left out, more than {MAX_LEVELS} levels: {', '.join(plan.left_out)}")

    def rows_of(name: str) -> list[dict[str, Any]]:
        if plan.kinds[name] == CATEGORICAL:
            return _categorical_rows(cases, name, labels, groups, rng, notes)
        return _number_rows(cases, name, labels, groups, plan, notes)

    rows += itertools.chain.from_iterable(each(rows_of, plan.kinds))
    return TableOne(plan, groups, tuple(rows), cases, tuple(notes))


def _require_groups(cases: CaseTable, by: str, groups: Sequence[str], labels: np.ndarray) -> None:
    where = f"{cases.path}: column {by}"
    if len(groups) < 2:
        raise InputError(
            f"{where}: {'one group only, ' + repr(groups[0]) if groups else 'no group'}; two groups or more"
            " are compared"
        )
    if len(groups) > MAX_LEVELS:
        raise InputError(
            f"{where}: {len(groups)} different values; --by takes a column with at most {MAX_LEVELS} groups"
        )
    faults = [
        f"{where}: group {group!r} has 1 case; merge it with another or leave it out"
        for group in groups
        if (labels == group).sum() == 1
    ]
    faults += [
        f"{where}: group {group!r} is called as a column of the table; rename it"
        for group in groups
        if group in LEFT_COLUMNS + RIGHT_COLUMNS
    ]
    if faults:
        raise InputError(faults)


def _tested(result: Comparison, difference: float) -> dict[str, Any]:
    return {"test": result.name, "statistic": result.statistic, "p": result.p, "smd": difference}


def _missing_row(
    name: str, missing: np.ndarray, labels: np.ndarray, groups: Sequence[str]
) -> list[dict[str, Any]]:
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
    row = {
        "variable": name,
        "level": level,
        **{group: describe(sample) for group, sample in zip(groups, samples)},
    }
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
    cases: CaseTable,
    name: str,
    labels: np.ndarray,
    groups: Sequence[str],
    rng: np.random.Generator,
    notes: list[str],
) -> list[dict[str, Any]]:
    texts = np.array(cases.texts(name))
    levels = levels_in_order(texts[texts != ""].tolist())
    if len(levels) > MAX_LEVELS:
        raise InputError(
            f"{cases.path}: column {name}: {len(levels)} levels; a categorical column has at most"
            f" {MAX_LEVELS}"
        )
    sizes = {group: int((labels == group).sum()) for group in groups}
    counts = _level_counts(texts, levels, labels, groups)
    rows: list[dict[str, Any]] = []
    for level, line in zip(levels, counts):
        shares = {group: share_text(n, sizes[group]) for group, n in zip(groups, line)}
        rows.append({"variable": name, "level": level, **shares})
    if not rows:
        notes.append(f"{name}: empty in every case")
    elif not counts.any(axis=0).all():
        without = [group for group, n in zip(groups, counts.sum(axis=0)) if not n]
        notes.append(f"{name}: not tested, no value in {', '.join(without)}")
    elif len(levels) < 2:
        notes.append(f"{name}: not tested, one level only")
    else:
        difference = categorical_difference(counts)
        if math.isnan(difference):
            notes.append(f"{name}: no standardised difference, two groups have no level in common")
        rows[0].update(_tested(table_test(counts, rng), difference))
    return [*rows, *_missing_row(name, texts == "", labels, groups)]


def _level_counts(
    texts: np.ndarray, levels: Sequence[str], labels: np.ndarray, groups: Sequence[str]
) -> np.ndarray:
    """How many cases of each group have each level: (levels, groups) int."""
    counts = np.zeros((len(levels), len(groups)), int)
    for row, level in enumerate(levels):
        for column, group in enumerate(groups):
            counts[row, column] = ((texts == level) & (labels == group)).sum()
    return counts


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
