"""Table 1: tests against R's published output, exact tests against enumeration, the command as a user runs
it.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.stats import fisher
from HER2ViTTrainingLib.stats.fisher import exact_p, fisher_test
from HER2ViTTrainingLib.stats.group_tests import (
    categorical_difference,
    continuous_difference,
    rank_test,
    t_test,
    table_test,
)
from support.csv_files import rows_of, write_csv

RNG = np.random.default_rng(1)

# R's documentation examples. Values: printed output of R's example(...) (tests/Examples/stats-Ex.Rout.save of
# the R sources, and the comments in the help pages themselves).

SLEEP = np.array(
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0, 1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
).reshape(2, 10)
PLANT_GROWTH = np.array(
    [
        [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14],
        [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69],
        [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26],
    ]
)
OZONE_MAY = [
    41,
    36,
    12,
    18,
    28,
    23,
    19,
    8,
    7,
    16,
    11,
    14,
    18,
    14,
    34,
    6,
    30,
    11,
    1,
    11,
    4,
    32,
    23,
    45,
    115,
    37,
]
OZONE_AUGUST = [
    39,
    9,
    16,
    78,
    35,
    66,
    122,
    89,
    110,
    44,
    28,
    65,
    22,
    59,
    23,
    31,
    44,
    21,
    9,
    45,
    168,
    73,
    76,
    118,
    84,
    85,
]
JOB = np.array([1, 2, 1, 0, 3, 3, 6, 1, 10, 10, 14, 9, 6, 7, 12, 11]).reshape(4, 4).T
MEHTA_PATEL_6 = np.array(
    [
        [1, 2, 2, 1, 1, 0, 1],
        [2, 0, 0, 2, 3, 0, 0],
        [0, 1, 1, 1, 2, 7, 3],
        [1, 1, 2, 0, 0, 0, 1],
        [0, 1, 1, 1, 1, 0, 0],
    ]
)


def test_t_tests_equal_r():
    found = t_test(SLEEP)
    assert (found.name, round(found.statistic, 4), round(found.p, 5)) == ("Student t", -1.8608, 0.07919)
    found = t_test(SLEEP, welch=True)
    assert (found.name, round(found.statistic, 4), round(found.p, 5)) == ("Welch t", -1.8608, 0.07939)


def test_anova_and_welchs_equal_r():
    """oneway.test(weight ~ group, PlantGrowth): F 4.8461, p 0.01591 with equal variances; F 5.181, p 0.01739
    without.
    """
    found = t_test(PLANT_GROWTH)
    assert (found.name, round(found.statistic, 4), round(found.p, 5)) == ("ANOVA", 4.8461, 0.01591)
    found = t_test(PLANT_GROWTH, welch=True)
    assert (found.name, round(found.statistic, 3), round(found.p, 5)) == ("Welch ANOVA", 5.181, 0.01739)


def test_rank_tests_equal_r():
    """wilcox.test: Ozone ~ Month (ties: W 127.5, p 0.0001208); placental permeability (exact: W 35, p 0.1272
    one-sided, hence 0.2544).
    """
    found = rank_test([np.array(OZONE_MAY), np.array(OZONE_AUGUST)])
    assert (found.name, found.statistic, round(found.p, 7)) == ("Mann-Whitney", 127.5, 0.0001208)
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    found = rank_test([np.array(at_term), np.array(early)])
    assert (found.name, found.statistic) == ("Mann-Whitney (exact)", 35)
    assert found.p == pytest.approx(2 * 0.1272, abs=1e-4)
    clearance = [[2.9, 3.0, 2.5, 2.6, 3.2], [3.8, 2.7, 4.0, 2.4], [2.8, 3.4, 3.7, 2.2, 2.0]]
    found = rank_test([np.array(group) for group in clearance])
    assert (found.name, round(found.statistic, 5), round(found.p, 2)) == ("Kruskal-Wallis", 0.77143, 0.68)


def test_chi_squared_tests_equal_r():
    """chisq.test: party by gender (Agresti 2007, p. 39); table(mtcars$am, mtcars$vs), which R corrects for
    continuity.
    """
    found = table_test(np.array([[762, 327, 468], [484, 239, 477]]), RNG)
    assert (found.name, round(found.statistic, 2)) == ("chi-squared", 30.07)
    assert found.p == pytest.approx(2.954e-07, rel=1e-3)
    found = table_test(np.array([[12, 7], [6, 7]]), RNG)
    assert (found.name, round(found.statistic, 5), round(found.p, 4)) == (
        "chi-squared (Yates)",
        0.34754,
        0.5555,
    )


def test_fishers_exact_test_equals_r():
    """fisher.test: tea tasting, convictions, job satisfaction (Agresti 2002, p. 57), sixth example of Mehta &
    Patel 1983.
    """
    for counts, p, digits in (
        (np.array([[3, 1], [1, 3]]), 0.4857, 4),
        (np.array([[2, 15], [10, 3]]), 0.0005367, 7),
        (JOB, 0.7827, 4),
        (MEHTA_PATEL_6, 0.03929, 5),
    ):
        found = fisher_test(counts, RNG)
        assert (found.name, round(found.p, digits)) == ("Fisher exact", p)


def all_tables(rows, columns):
    """Every table with these margins, by plain recursion."""
    if len(columns) == 1:
        yield [list(rows)]
        return
    for first in itertools.product(*(range(min(row, columns[0]) + 1) for row in rows)):
        if sum(first) == columns[0]:
            for rest in all_tables([row - x for row, x in zip(rows, first)], columns[1:]):
                yield [list(first), *rest]


@pytest.mark.parametrize("seed", range(8))
def test_exact_p_equals_the_sum_over_all_tables_in_fractions(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, (rng.integers(2, 5), rng.integers(2, 4)))
    counts[0] += 1
    counts[:, 0] += 1

    def weight(table):
        return Fraction(1, math.prod(math.factorial(int(x)) for line in table for x in line))

    weights = [
        weight(table) for table in all_tables(counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist())
    ]
    expected = sum(w for w in weights if w <= weight(counts)) / sum(weights)
    assert exact_p(counts) == pytest.approx(float(expected), abs=1e-9)
    assert exact_p(counts.T) == pytest.approx(float(expected), abs=1e-9)


def test_a_table_too_large_to_enumerate_is_tested_by_labelled_random_tables(monkeypatch):
    huge = np.array([[100, 200, 30, 20, 3], [150, 130, 40, 10, 4], [120, 133, 44, 12, 8]])
    found = table_test(huge, np.random.default_rng(1))
    assert found.name == "Fisher Monte Carlo (100000 tables)"
    assert found == table_test(huge, np.random.default_rng(1))
    monkeypatch.setattr(fisher, "exact_p", lambda counts: None)
    assert fisher_test(JOB, np.random.default_rng(1)).p == pytest.approx(0.7827, abs=0.005)


def test_standardised_differences_follow_their_definitions():
    """Austin 2009: means over the pooled spread; shares likewise, which is Yang & Dalton's distance for two
    levels.
    """
    assert continuous_difference([np.array([1.0, 2, 3]), np.array([2.0, 4, 6])]) == pytest.approx(
        2 / math.sqrt((1 + 4) / 2)
    )
    assert categorical_difference(np.array([[30, 10], [70, 90]])) == pytest.approx(
        0.2 / math.sqrt((0.3 * 0.7 + 0.1 * 0.9) / 2)
    )
    three = np.array([[20, 35, 10], [50, 40, 20], [30, 25, 70]])
    # Mahalanobis' distance does not depend on which level is left out; here the last instead of the first.
    shares = (three / three.sum(axis=0))[:-1]

    def distance(a, b):
        covariance = (np.diag(a) - np.outer(a, a) + np.diag(b) - np.outer(b, b)) / 2
        return math.sqrt((a - b) @ np.linalg.inv(covariance) @ (a - b))

    pairs = [distance(shares[:, i], shares[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert categorical_difference(three) == pytest.approx(np.mean(pairs))


# Computed with R 4.2.2; the lines that gave a value stand beside it


@pytest.mark.parametrize("welch", [False, True])
def test_what_varies_by_round_off_alone_is_constant(welch):
    """t.test(rep(0.1, 3), rep(0.1, 7)) and t.test(rep(0.1, 3), rep(0.2, 7)): "data are essentially constant";
    the means of tenths differ in the last digit. oneway.test gives F = 4.86 for such data (c(0.3, 0.1 + 0.2,
    ...)); here one rule holds for all tests."""
    tenths = [np.full(n, 0.1) for n in (3, 7, 4)]
    almost = [
        np.array([0.3, 0.1 + 0.2, 0.3]),
        np.array([0.1 + 0.2, 0.1 + 0.2, 0.3, 0.3]),
        np.array([0.3, 0.3]),
    ]
    for same in (tenths, almost):
        for groups in (same[:2], same):
            assert math.isnan(t_test(groups, welch).p)
            assert continuous_difference(groups) == 0
    apart = [np.full(3, 0.1), np.full(7, 0.2)]
    assert math.isnan(t_test(apart, welch).p)
    assert math.isnan(continuous_difference(apart))


def test_one_group_that_is_constant_but_for_round_off_among_others_that_vary():
    """x <- c(0.3, 0.1 + 0.2, 0.3); y <- c(1, 2, 4, 3.5); z <- c(2, 2.5, 5); t.test(x, y, var.equal = TRUE): t
    -2.854229, p 0.03564660; t.test(x, y): t -3.377170, p 0.04318148; oneway.test(v ~ f, var.equal = TRUE): F
    4.590119, p 0.05325936."""
    x = np.array([0.3, 0.1 + 0.2, 0.3])
    y = np.array([1, 2, 4, 3.5])
    z = np.array([2, 2.5, 5])
    found = [t_test([x, y]), t_test([x, y], welch=True), t_test([x, y, z])]
    expected = [(-2.854229284, 0.03564659595), (-3.377169632, 0.04318148052), (4.590119002, 0.05325936332)]
    for test, values in zip(found, expected):
        assert (test.statistic, test.p) == pytest.approx(values, rel=1e-8)
    assert math.isnan(t_test([x, y, z], welch=True).p), "weights are inverse variances, and x has none"


def test_a_categorical_difference_depends_on_no_order_and_has_no_value_for_groups_apart():
    """P <- c(.5, .5, 0, 0); Q <- c(.2, .3, .5, 0); for each o in 1:3, of the levels that are there p <-
    P[1:3][-o]; q <- Q[1:3][-o]; S <- (diag(p) - p %o% p + diag(q) - q %o% q) / 2; sqrt((p - q) %*% solve(S)
    %*% (p - q)): 1.433197; P <- c(1, 0, 0), Q <- c(.5, .25, .25): 1.414214, for each level left out. (No
    package of Debian's R has it: Yang & Dalton's formula.)"""
    for counts, expected in (
        ([[10, 4], [10, 6], [0, 10], [0, 0]], 1.433197144),
        ([[10, 10], [0, 5], [0, 5]], math.sqrt(2)),
        ([[10, 0], [0, 5], [0, 5]], math.nan),
        ([[10, 0], [0, 5]], math.nan),
        ([[10, 5], [0, 0]], 0),
    ):
        for order in itertools.permutations(counts):
            assert categorical_difference(np.array(order)) == pytest.approx(expected, abs=1e-9, nan_ok=True)


# The command


def some_cases(n=40):
    rng = np.random.default_rng(3)
    return [
        {
            "case_id": f"c{k}",
            "cohort": ("A", "B")[k % 2],
            "age [years]": rng.integers(30, 80),
            "rfs_months": round(rng.exponential(50), 1),
            "grade": "NA" if k == 7 else ("G1", "G2", "G3")[rng.integers(3)],
            "er": ("negative", "positive")[rng.integers(2)],
        }
        for k in range(n)
    ]


def table1(tmp_path, capsys, rows, *options):
    status = main(
        ["table1", str(write_csv(tmp_path / "cases.csv", rows)), *options, "--out", str(tmp_path / "out")]
    )
    return status, capsys.readouterr()


def test_the_command_describes_every_column_by_its_values_and_counts_what_is_missing(tmp_path, capsys):
    status, said = table1(tmp_path, capsys, some_cases(), "--by", "cohort")
    assert status == 0, said.err
    rows = rows_of(tmp_path / "out" / "table1.csv")
    assert list(rows[0]) == ["variable", "level", "A", "B", "test", "statistic", "p", "smd"]
    assert [(row["variable"], row["level"]) for row in rows] == [
        ("n", ""),
        ("age [years]", "mean (SD)"),
        ("rfs_months", "median (IQR)"),
        *(("grade", level) for level in ("G1", "G2", "G3", "NA")),
        *(("er", level) for level in ("negative", "positive")),
    ]
    assert (rows[0]["A"], rows[0]["B"]) == ("20", "20")
    grade = rows[3:7]
    assert (grade[3]["A"], grade[3]["B"], grade[3]["test"]) == ("0 (0.0)", "1 (5.0)", "")
    counts = np.array([[int(row["A"].split()[0]), int(row["B"].split()[0])] for row in grade[:3]])
    assert float(grade[0]["p"]) == pytest.approx(table_test(counts, RNG).p)
    html = (tmp_path / "out" / "table1.html").read_text()
    assert all(text in html for text in ("Research use only", "Yates", "SHA-256", "scipy"))


def test_named_columns_and_joined_sets(tmp_path, capsys):
    rows = some_cases()
    sets = [
        {"case_id": row["case_id"], "set": ("training", "validation")[k % 3 == 0]}
        for k, row in enumerate(rows[:-2])
    ]
    other = write_csv(tmp_path / "predictions.csv", sets)
    options = ("--by", "set", "--join", str(other), "--nonnormal", "age [years]", "--categorical", "er")
    status, said = table1(tmp_path, capsys, rows, *options)
    assert status == 0, said.err
    assert "2 cases without set, left out" in said.out
    found = rows_of(tmp_path / "out" / "table1.csv")
    assert [row["variable"] for row in found] == ["n", "age [years]", "er", "er"]
    assert (found[0]["training"], found[0]["validation"]) == ("25", "13")
    assert found[1]["test"].startswith("Mann-Whitney")


def test_the_notes_say_why_a_column_has_no_test_or_no_difference(tmp_path, capsys):
    rows = [
        {
            "arm": "AB"[k % 2],
            "same": 0.1,
            "apart": 0.1 + k % 2,
            "one": 2 if k % 2 else k,
            "site": "xyz"[k % 2 * (1 + k % 4 // 2)],
        }
        for k in range(20)
    ]
    arguments = ("--by", "arm", "--continuous", "same,apart,one", "--categorical", "site")
    status, said = table1(tmp_path, capsys, rows, *arguments)
    assert status == 0, said.err
    assert "same: not tested, its values do not vary\n" in said.out
    assert "apart: not tested, its values do not vary within A, B\n" in said.out
    assert "site: no standardised difference, two groups have no level in common\n" in said.out
    assert "one:" not in said.out
    found = {row["variable"]: row for row in rows_of(tmp_path / "out" / "table1.csv")[::-1]}
    assert [(found[name]["p"] == "", found[name]["smd"]) for name in ("same", "apart", "site")] == [
        (True, "0.0"),
        (True, ""),
        (False, ""),
    ]


def test_texts_of_the_user_are_neither_formulas_nor_markup(tmp_path, capsys):
    rows = [{**row, "note": ("=1+1", "<b>x</b>")[k % 2]} for k, row in enumerate(some_cases())]
    assert table1(tmp_path, capsys, rows, "--by", "cohort", "--categorical", "note")[0] == 0
    assert "'=1+1" in (tmp_path / "out" / "table1.csv").read_text()
    assert "<b>" not in (tmp_path / "out" / "table1.html").read_text()


FAULTS = {
    "unknown column": (
        lambda rows: rows,
        ["--by", "cohort", "--continuous", "agee"],
        "column agee is missing",
    ),
    "named twice": (
        lambda rows: rows,
        ["--by", "cohort", "--continuous", "er", "--categorical", "er"],
        "column er: named 2 times",
    ),
    "one group": (lambda rows: rows, ["--by", "one"], "one group only, 'x'"),
    "group of one": (lambda rows: rows, ["--by", "lonely"], "group 'b' has 1 case"),
    "text among numbers": (
        lambda rows: rows,
        ["--by", "cohort", "--continuous", "text"],
        "row 4, column text, value '1,5': is not a finite number",
    ),
    "every value another": (
        lambda rows: rows,
        ["--by", "cohort", "--categorical", "case_id"],
        "column case_id: 40 levels",
    ),
    "a case twice": (
        lambda rows: [*rows, rows[0]],
        ["--by", "cohort"],
        "rows 2, 42, column case_id, value 'c0': is there 2 times",
    ),
    "reserved name": (lambda rows: rows, ["--by", "reserved"], "group 'p' is called as a column"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(tmp_path, capsys, name):
    change, options, expected = FAULTS[name]
    rows = [
        {**row, "one": "x", "lonely": "ab"[k == 5], "text": "1,5" if k == 2 else k, "reserved": "pq"[k % 2]}
        for k, row in enumerate(some_cases())
    ]
    status, said = table1(tmp_path, capsys, change(rows), *options)
    assert status == 2
    assert expected in said.err
    assert len(said.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
