"""Agreement: against published values, in the limits of arithmetic, and the command as a user runs it."""

import csv
import hashlib
import math
import re

import numpy as np
import pytest
import SimpleITK as sitk

from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.session.session import Session
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.repeatability.results import feature_groups
from HER2ViTTrainingLib.repeatability.sentences import kind
from HER2ViTTrainingLib.stats.agreement import FORMS, HEADLINE, bland_altman, grade, icc
from support.csv_files import rows_of

SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
SHIFTS = {"A1": 0.0, "A2": 0.05, "B1": 0.3}


def one_feature(rows):
    """The forms of ratings (cases, raters) as tuples (icc, low, high, F, df1, df2, p)."""
    found = {}
    for form, result in many(rows).items():
        numbers = (getattr(result, name) for name in ("icc", "low", "high", "f", "df1", "df2", "p"))
        found[form] = tuple(float(of_features[0]) for of_features in numbers)
    return found


def rounded_interval(numbers):
    return tuple(round(end, 2) for end in numbers[1:3])


def many(*tables):
    return icc(np.stack([np.asarray(table, float) for table in tables], axis=-1))


# Published values


def test_shrout_and_fleiss_1979():
    """Psychol Bull 1979;86:420, tables 2 and 4; F, p and intervals as R's documentation of psych::ICC prints
    them.
    """
    found = one_feature(SHROUT_FLEISS)
    assert [round(found[form][0], 4) for form in FORMS] == [0.1657, 0.2898, 0.7148, 0.4428, 0.6201, 0.9093]
    intervals = [rounded_interval(found[form]) for form in FORMS]
    assert intervals == [(-0.13, 0.72), (0.02, 0.76), (0.34, 0.95), (-0.88, 0.91), (0.07, 0.93), (0.68, 0.99)]
    assert found["ICC(1,1)"][3:] == pytest.approx((1.79, 5, 18, 0.164769), abs=5e-3)
    assert found["ICC(2,1)"][3:6] == pytest.approx((11.03, 5, 15), abs=5e-3)
    assert found["ICC(2,1)"][6] == pytest.approx(0.000135, abs=5e-7)


def test_wine_ratings():
    """Eight wines, four judges (real-statistics.com, intraclass correlation); ICC and intervals as psych::ICC
    gives them.
    """
    judges = [
        [1, 1, 3, 6, 6, 7, 8, 9],
        [2, 3, 8, 4, 5, 5, 7, 9],
        [0, 3, 1, 3, 5, 6, 7, 9],
        [1, 2, 4, 3, 6, 2, 9, 8],
    ]
    found = one_feature(np.transpose(judges))
    intervals = [rounded_interval(found[form]) for form in FORMS]
    assert intervals == [(0.43, 0.93)] * 3 + [(0.75, 0.98)] * 3
    assert [round(found[form][0], 3) for form in FORMS] == [0.728, 0.728, 0.729, 0.914, 0.914, 0.915]
    assert [round(found[form][3], 3) for form in FORMS] == [11.680, 11.787, 11.787] * 2


def test_anxiety_ratings_of_rs_irr():
    """R's irr, data(anxiety), 20 subjects, 3 raters: `icc(anxiety, "twoway", "agreement")` prints 0.198,
    -0.039 < ICC < 0.494, F = 1.83.
    """
    raters = ["33345523522615221243", "36462424332333221334", "21443216111233113322"]
    digits = [list(map(int, rater)) for rater in raters]
    found = one_feature(np.transpose(digits))["ICC(2,1)"]
    assert [round(number, 3) for number in found[:3]] == [0.198, -0.039, 0.494]
    assert round(found[3], 2) == 1.83


COMPUTED = {
    "negative": (
        [[4.1, 7.3, 5.2], [6.4, 3.9, 4.8], [5.0, 5.6, 6.9], [7.2, 4.4, 3.1], [4.6, 6.6, 6.1]],
        {
            "ICC(1,1)": (-0.3306988353, -0.4584728475, 0.2941783414, 0.2544545170, 4, 10, 0.9004064726),
            "ICC(2,1)": (-0.4834222119, -0.6533619584, 0.2636040871, 0.2065203603, 4, 8, 0.9276746208),
            "ICC(3,1)": (-0.3596067610, -0.4699585914, 0.2216821064, 0.2065203603, 4, 8, 0.9276746208),
            "ICC(1,k)": (-2.9299754300, -16.5604726152, 0.5556277338, 0.2544545170, 4, 10, 0.9004064726),
            "ICC(3,k)": (-3.8421375921, -23.4655403989, 0.4607612641, 0.2065203603, 4, 8, 0.9276746208),
        },
    ),
    "two reads": (
        [[12.1, 11.7], [8.4, 9.0], [15.2, 14.1], [10.0, 10.3], [9.7, 8.8], [20.4, 21.9], [11.3, 11.2]],
        {
            "ICC(1,1)": (0.9814393077, 0.9084928882, 0.9967160231, 106.7546012270, 6, 7, 1.5983e-06),
            "ICC(2,1)": (0.9814106138, 0.8957611949, 0.9967849105, 91.5306838106, 6, 6, 1.24187e-05),
            "ICC(3,1)": (0.9783855483, 0.8804369748, 0.9962524802, 91.5306838106, 6, 6, 1.24187e-05),
            "ICC(1,k)": (0.9906327223, 0.9520526839, 0.9983553110, 106.7546012270, 6, 7, 1.5983e-06),
            "ICC(2,k)": (0.9906181051, 0.9450148018, 0.9983898669, 91.5306838106, 6, 6, 1.24187e-05),
            "ICC(3,k)": (0.9890747020, 0.9364174249, 0.9981227225, 91.5306838106, 6, 6, 1.24187e-05),
        },
    ),
    "two cases": (
        [[1.0, 2.5, 2.0], [3.0, 3.5, 5.0]],
        {
            "ICC(1,1)": (0.6739130435, -0.1586138010, 0.9995369656, 7.2, 1, 4, 0.0550406090),
            "ICC(2,1)": (0.6875000000, -0.0196119917, 0.9995324622, 12.0, 1, 2, 0.0741799002),
            "ICC(3,1)": (0.7857142857, -0.2977815700, 0.9996873697, 12.0, 1, 2, 0.0741799002),
            "ICC(1,k)": (0.8611111111, -0.6969253657, 0.9998456075, 7.2, 1, 4, 0.0550406090),
            "ICC(2,k)": (0.8684210526, -0.0612379724, 0.9998441055, 12.0, 1, 2, 0.0741799002),
            "ICC(3,k)": (0.9166666667, -2.2088607595, 0.9998957682, 12.0, 1, 2, 0.0741799002),
        },
    ),
}


@pytest.mark.parametrize("table", COMPUTED)
def test_values_of_another_implementation(table):
    """Computed with pingouin 0.7.0's intraclass_corr, which is validated against psych::ICC(lmer = FALSE);
    written here as numbers.
    """
    ratings, expected = COMPUTED[table]
    found = one_feature(ratings)
    for form, numbers in expected.items():
        assert found[form] == pytest.approx(numbers, abs=6e-10), form


def test_where_the_formula_of_average_agreement_turns_over_its_limit_is_empty():
    """Far below zero the formula's denominator is negative: psych and pingouin print a lower limit of 6.39
    for this ICC(2,k) of -43.7.
    """
    value, low, high, *_ = one_feature(COMPUTED["negative"][0])["ICC(2,k)"]
    assert (value, high) == pytest.approx((-43.7412587413, 0.5178156290), abs=6e-10)
    assert math.isnan(low)


def test_bland_altman_as_published():
    """Lancet 1986;1:307: peak flow by two meters, bias -2.1 (-22.0, 17.8), SD 38.8 l/min. Stat Methods Med
    Res 1999;8:135: blood pressure of 85 subjects, bias -16.29, SD 19.61, limits -54.7 (-61.9, -47.5) and 22.1
    (14.9, 29.3), there with rounded factors.
    """
    wright = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    found = bland_altman(np.c_[wright], np.c_[mini])
    assert [round(float(v[0]), 1) for v in (found.bias, found.bias_low, found.bias_high, found.sd)] == [
        -2.1,
        -22.0,
        17.8,
        38.8,
    ]
    pressure = np.random.default_rng(0).normal(size=(85, 1))
    pressure = -16.29 + 19.61 * (pressure - pressure.mean()) / pressure.std(ddof=1)
    found = bland_altman(pressure, np.zeros_like(pressure))
    assert [v[0] for v in (found.loa_lower, found.loa_lower_low, found.loa_lower_high)] == pytest.approx(
        [-54.7, -61.9, -47.5], abs=0.12
    )
    assert [v[0] for v in (found.loa_upper, found.loa_upper_low, found.loa_upper_high)] == pytest.approx(
        [22.1, 14.9, 29.3], abs=0.12
    )


# Limits


def test_perfect_agreement_is_one_and_a_constant_feature_is_empty():
    cases = np.array([[1], [2], [4], [7]]) / 3 + 1 / 7
    for raters in (2, 3, 5):
        perfect = np.repeat(cases, raters, axis=1)
        for found in many(perfect, np.full_like(perfect, 0.1)).values():
            assert (found.icc[0], found.low[0], found.high[0], found.f[0], found.p[0]) == (
                1,
                1,
                1,
                math.inf,
                0,
            )
            assert np.isnan([found.icc[1], found.low[1], found.high[1], found.f[1], found.p[1]]).all()


def test_a_feature_that_is_constant_but_for_round_off_is_empty():
    almost = np.array([[0.3, 0.1 + 0.2], [0.1 + 0.2, 0.3], [0.3, 0.3]])
    assert all(np.isnan(found.icc[0]) for found in many(almost).values())


@pytest.mark.parametrize("values", [(1, 1, 2), (0.1, 0.7, 1.3), (1e6 + 0.1, 1e6 + 0.2, 1e6)])
@pytest.mark.parametrize("cases", [2, 10, 5000])
def test_where_each_rater_gives_every_case_the_same_value(values, cases):
    """psych::ICC(w, lmer = FALSE) divides round-off by round-off here (ICC3 -0.00018 of grades 1, 1, 2; this
    room had 0.625): no case differs from another, so F and ICC(3,.) are 0/0. Its ICC1 -0.5 (-0.5, -0.5) with
    p 1 and ICC2 -4e-34 (-5e-31, 2e-30) are defined."""
    found = one_feature(np.tile(values, (cases, 1)))
    assert found["ICC(1,1)"][:3] == pytest.approx((-0.5, -0.5, -0.5), abs=1e-15)
    assert (found["ICC(1,1)"][3], found["ICC(1,1)"][6]) == (0, 1)
    assert np.isnan(found["ICC(1,k)"][:3]).all()
    for form in ("ICC(2,1)", "ICC(2,k)"):
        assert found[form][:3] == (0, 0, 0)
        assert np.isnan([found[form][3], found[form][6]]).all()
    for form in ("ICC(3,1)", "ICC(3,k)"):
        assert np.isnan([*found[form][:4], found[form][6]]).all()


def test_what_is_zero_but_for_round_off_is_zero():
    """Raters constant but for the last digit; cases whose means are equal, where psych::ICC prints an ICC3k
    of -4.9e31."""
    almost = one_feature([[0.3, 0.1], [0.1 + 0.2, 0.1], [0.3, 0.1]])
    assert (almost["ICC(2,1)"][0], math.isnan(almost["ICC(3,1)"][0])) == (0, True)
    balanced = one_feature([[0.1, 0.3], [0.3, 0.1], [0.2, 0.2]])
    assert balanced["ICC(3,1)"][0] == -1
    assert math.isnan(balanced["ICC(3,k)"][0])
    shifted = one_feature(np.array([[1], [2], [4], [7]]) / 3 + [0.1, 0.2, 0.7])
    assert shifted["ICC(3,1)"][:4] == (1, 1, 1, math.inf)


def test_readers_that_differ_by_a_constant_are_consistent_but_do_not_agree():
    found = one_feature([[1, 3], [2, 4], [3, 5]])
    assert found["ICC(3,1)"][:3] == (1, 1, 1)
    # between 2, raters 6, no residual: 2 / (2 + 2 * 6 / 3)
    assert found["ICC(2,1)"][0] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "unit, offset, digits",
    [(1e9, 0, 1e-12), (1e-12, 0, 1e-12), (1e-200, 0, 1e-12), (1, 1e6, 1e-8), (-3, 7, 1e-12)],
)
def test_units_and_a_common_offset_do_not_matter(unit, offset, digits):
    plain = one_feature(SHROUT_FLEISS)
    changed = one_feature(np.array(SHROUT_FLEISS) / 7 * unit + offset)
    for form in FORMS:
        assert changed[form] == pytest.approx(plain[form], rel=digits)


def test_a_case_counts_for_a_feature_when_all_raters_compared_rated_it():
    """Listwise per feature, as irr::icc; psych::ICC by default would fit a mixed model."""
    full = np.array(SHROUT_FLEISS, float)
    gaps = full.copy()
    gaps[1, 2] = np.nan
    gaps[4, 0] = np.nan
    together = many(full, gaps)
    kept = many(np.delete(full, [1, 4], axis=0))
    for form in FORMS:
        for name in ("icc", "low", "high", "f", "df1", "df2", "p"):
            assert getattr(together[form], name)[1] == pytest.approx(getattr(kept[form], name)[0], rel=1e-12)
        assert together[form].n.tolist() == [6, 4]
    differences = bland_altman(gaps[:, :1], gaps[:, 2:3])
    assert differences.n[0] == 4
    assert differences.bias[0] == pytest.approx((full[:, 0] - full[:, 2])[[0, 2, 3, 5]].mean())


def test_too_few_complete_cases_leave_it_empty():
    found = many([[1, 2], [3, np.nan], [np.nan, 5]])
    assert np.isnan(found[HEADLINE].icc[0])
    assert found[HEADLINE].n[0] == 1
    assert np.isnan(bland_altman(np.array([[1.0], [np.nan]]), np.array([[2.0], [3.0]])).sd[0])


def test_grades_begin_above_their_bound():
    assert [grade(x) for x in (-0.2, 0.5, 0.51, 0.75, 0.76, 0.9, 0.91, math.nan)] == [
        *("poor", "poor", "moderate", "moderate", "good", "good", "excellent", "")
    ]


def test_intervals_hold_what_they_promise():
    """Simulated: variances 4 between cases, 1 between raters, 1 residual. ICC(3,.)'s intervals are exact;
    ICC(2,.)'s, an approximation (McGraw & Wong), fall short when few raters differ much: 91 % with these
    four.
    """
    random = np.random.default_rng(1)
    features = 4000
    cases = 30
    raters = 4
    between = random.normal(0, 2, (cases, 1, features))
    shift = random.normal(0, 1, (1, raters, features))
    found = icc(between + shift + random.normal(0, 1, (cases, raters, features)))
    for form, (truth, promised) in {
        "ICC(3,1)": (4 / 5, 0.95),
        "ICC(3,k)": (4 / 4.25, 0.95),
        "ICC(2,1)": (4 / 6, 0.91),
    }.items():
        coverage = ((found[form].low <= truth) & (truth <= found[form].high)).mean()
        assert coverage == pytest.approx(promised, abs=0.012), form


# Words


def test_only_labels_of_the_documented_form_are_called_intra_or_inter_observer():
    assert kind(["A1", "A2"]) == "Intra-observer agreement"
    assert kind(["A1", "B1"]) == "Inter-observer agreement"
    assert kind(["A1", "A2", "B1"]) == kind(["reader1", "reader2"]) == kind(["A1", "x"]) == "Agreement"


def test_features_are_grouped_by_the_first_word_of_their_name():
    assert feature_groups(["volume", "shape_a", "texture_x", "shape_b", "age"]) == {
        "shape": [1, 3],
        "other": [0, 2, 4],
    }


# The command


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def rating_rows(raters, cases=12):
    """Two shape features with reader shifts, a constant, and one with gaps."""
    random = np.random.default_rng(3)
    truth = random.normal(10, 3, (cases, 2))
    rows = [["case_id", "rater", "shape_volume", "shape_area", "constant", "gaps"]]
    for rater in raters:
        noise = random.normal(0, 0.1 + SHIFTS[rater], truth.shape)
        for n, values in enumerate(truth + SHIFTS[rater] + noise):
            rows.append([f"case {n}", rater, *values, 1.5, "" if n < 2 and rater == "B1" else values[0]])
    return rows


@pytest.fixture
def ratings(tmp_path):
    return write_csv(tmp_path / "ratings.csv", rating_rows(SHIFTS))


def run(*arguments):
    return main(["agreement", *map(str, arguments)])


def test_the_command_writes_tables_pictures_and_a_report(tmp_path, ratings, capsys):
    out = tmp_path / "out"
    assert run(ratings, "--compare", "A1,A2", "--compare", "A1,B1", "--out", out) == 0
    written = (
        "bland_altman.csv",
        "bland_altman.png",
        "icc.csv",
        "icc_forest.png",
        "made_by.json",
        "overlap.csv",
        "report.html",
    )
    assert sorted(path.name for path in out.iterdir()) == list(written)
    rows = rows_of(out / "icc.csv")
    assert list(rows[0]) == [
        *(
            "comparison",
            "feature",
            "form",
            "icc",
            "ci_low",
            "ci_high",
            "F",
            "df1",
            "df2",
            "p",
            "n",
            "k",
            "grade",
            "grade_low",
        )
    ]
    assert [(row["comparison"], row["form"]) for row in rows] == [
        (pair, form) for pair in ("A1,A2", "A1,B1") for _ in range(4) for form in FORMS
    ]
    by_key = {(row["comparison"], row["feature"]): row for row in rows if row["form"] == HEADLINE}
    constant = by_key["A1,A2", "constant"]
    gaps = by_key["A1,B1", "gaps"]
    assert {
        constant[name] for name in ("icc", "ci_low", "ci_high", "F", "df1", "df2", "p", "grade", "grade_low")
    } == {""}
    assert (constant["n"], gaps["n"], gaps["k"], gaps["df1"]) == ("12", "10", "2", "9")
    assert float(by_key["A1,A2", "shape_area"]["icc"]) > float(by_key["A1,B1", "shape_area"]["icc"])
    assert {row["comparison"] for row in rows_of(out / "bland_altman.csv")} == {"A1,A2", "A1,B1"}
    assert rows_of(out / "overlap.csv") == []
    report = (out / "report.html").read_text()
    printed = capsys.readouterr().out
    for text in (
        "Intra-observer agreement (A1, A2) was excellent",
        "Research use only",
        "Inter-observer agreement (A1, B1) was",
    ):
        assert text in report
        assert text in printed
    assert "listwise" in report
    assert str(tmp_path) not in report


def test_all_raters_are_compared_unless_told_otherwise(tmp_path, ratings):
    assert run(ratings, "--out", tmp_path / "out", "--no-figures") == 0
    assert {(row["comparison"], row["k"]) for row in rows_of(tmp_path / "out" / "icc.csv")} == {
        ("A1,A2,B1", "3")
    }
    assert {row["comparison"] for row in rows_of(tmp_path / "out" / "bland_altman.csv")} == {
        "A1,A2",
        "A1,B1",
        "A2,B1",
    }


def test_the_same_ratings_give_the_same_bytes(tmp_path):
    ratings = write_csv(tmp_path / "ratings.csv", [row[:3] for row in rating_rows(("A1", "A2"))])
    for out in ("one", "two"):
        assert run(ratings, "--out", tmp_path / out) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_file_per_rater_columns_in_any_order(tmp_path, ratings):
    header, *rows = rating_rows(SHIFTS)
    files = []
    for rater in SHIFTS:
        theirs = [row[::-1] for row in rows if row[1] == rater]
        files.append(write_csv(tmp_path / f"{rater}.csv", [header[::-1], *theirs]))
    assert run(*files, "--out", tmp_path / "several", "--no-figures") == 0
    assert run(ratings, "--out", tmp_path / "one", "--no-figures") == 0

    def icc_by_feature_and_form(folder):
        return {(row["feature"], row["form"]): row["icc"] for row in rows_of(folder / "icc.csv")}

    assert icc_by_feature_and_form(tmp_path / "several") == icc_by_feature_and_form(tmp_path / "one")


def test_names_from_a_file_stay_text(tmp_path):
    rows = rating_rows(("A1", "A2"))
    rows[0][2] = "<script>alert(1)</script>"
    rows[0][3] = "=1+1"
    assert run(write_csv(tmp_path / "r.csv", rows), "--out", tmp_path / "out", "--no-figures") == 0
    assert "<script>" not in (tmp_path / "out" / "report.html").read_text()
    assert "'=1+1" in {row["feature"] for row in rows_of(tmp_path / "out" / "icc.csv")}


def without(rows, *numbers):
    return [row for n, row in enumerate(rows) if n not in numbers]


def replaced(rows, number, column, value):
    changed = [list(row) for row in rows]
    changed[number][column] = value
    return changed


FAULTS = {
    "a case one rater lacks": (
        lambda rows: without(rows, 13),
        (),
        "rater 'A2': has no row for 1 case (case 0), which A1 rated",
    ),
    "text in a column": (
        lambda rows: replaced(rows, 3, 2, "large"),
        (),
        "row 4, column shape_volume, value 'large': is not a finite number",
    ),
    "infinity": (
        lambda rows: replaced(rows, 3, 2, "inf"),
        (),
        "row 4, column shape_volume, value 'inf': is not a finite number",
    ),
    "one rater": (lambda rows: rows[:13], (), "rater 'A1' only; agreement needs two raters or more"),
    "a rating twice": (
        lambda rows: [*rows, rows[1]],
        (),
        "rater 'A1' rates 1 case (case 0) twice; keep one row a case and rater",
    ),
    "one case": (
        lambda rows: [rows[0], rows[1], rows[13]],
        (),
        "1 case in common; agreement needs two cases or more",
    ),
    "no row": (lambda rows: rows[:1], (), "no row; agreement needs two raters or more"),
    "no feature": (lambda rows: [row[:2] for row in rows], (), "no feature column beside case_id and rater"),
    "no rater column": (lambda rows: [row[:1] + row[2:] for row in rows], (), "column rater is missing"),
    "no label": (lambda rows: replaced(rows, 3, 1, ""), (), "row 4, column rater, value '': is missing"),
    "a comma in a label": (
        lambda rows: replaced(rows, 3, 1, "A,1"),
        (),
        "row 4, column rater, value 'A,1': holds a comma",
    ),
    "an unknown rater": (
        lambda rows: rows,
        ("--compare", "A1,C1"),
        "--compare A1,C1: 'C1' is no rater here; the raters are A1, A2",
    ),
    "a rater with itself": (
        lambda rows: rows,
        ("--compare", "A1,A1"),
        "--compare A1,A1: name two or more different raters",
    ),
    "a rater alone": (
        lambda rows: rows,
        ("--compare", "A1"),
        "--compare A1: name two or more different raters",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_gets_one_line_and_status_2(tmp_path, refused, fault):
    change, options, expected = FAULTS[fault]
    path = write_csv(tmp_path / "ratings.csv", change(rating_rows(("A1", "A2"))))
    assert expected in refused(["agreement", path, *options, "--out", tmp_path / "out"])
    assert not (tmp_path / "out").exists()


def test_files_with_different_features_are_told_apart(tmp_path, refused):
    first = write_csv(tmp_path / "a.csv", rating_rows(("A1",)))
    second = write_csv(tmp_path / "b.csv", [row[:-1] for row in rating_rows(("A2",))])
    assert "column gaps: is in one of this file" in refused(
        ["agreement", first, second, "--out", tmp_path / "out"]
    )


# Outlines


def box(shape, spacing, low, high):
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(a, b) for a, b in zip(low, high))] = 1
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


@pytest.fixture
def outlined(tmp_path):
    """Four cases, larger and larger; A2's outline lies one voxel, 2 mm, further along i, B1's four; B1 has
    not outlined the last.
    """
    rows = [["case_id", "image", "roi", "roi_a2", "roi_b", "her2_status"]]
    shape = (10, 20, 20)
    spacing = (2.0, 1.0, 1.5)
    for n in range(4):
        name = f"case {n}"
        image = sitk.GetImageFromArray(np.random.default_rng(n).normal(100, 5, shape).astype(np.float32))
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
        for reader, shift in {"a1": 0, "a2": 1, "b": 4}.items():
            sitk.WriteImage(
                box(shape, spacing, (3, 5, 5 + shift), (7, 13 + n, 13 + shift)),
                str(tmp_path / f"{name}_{reader}.nrrd"),
            )
        rows.append(
            [
                name,
                f"{name}.nrrd",
                f"{name}_a1.nrrd",
                f"{name}_a2.nrrd",
                f"{name}_b.nrrd" if n < 3 else "",
                "low",
            ]
        )
    return write_csv(tmp_path / "manifest.csv", rows)


def test_overlap_of_outlines_case_by_case(tmp_path, ratings, outlined):
    out = tmp_path / "out"
    assert run(ratings, "--compare", "A1,A2", "--compare", "A1,B1", "--manifest", outlined, "--out", out) == 0
    rows = rows_of(out / "overlap.csv")
    assert [
        (row["comparison"], row["case_id"]) for row in rows if row["case_id"] in ("case 2", "case 3")
    ] == [*(("A1,A2", "case 2"), ("A1,B1", "case 2"), ("A1,A2", "case 3"))]
    assert [float(rows[0][name]) for name in ("dice", "hausdorff95_mm")] == pytest.approx([7 / 8, 2.0])
    assert [float(rows[1][name]) for name in ("dice", "hausdorff95_mm")] == pytest.approx([4 / 8, 8.0])
    assert (out / "overlap.png").exists()
    assert "overlapped with a median Dice coefficient of 0.88" in (out / "report.html").read_text()


def test_without_ratings_the_outlines_features_are_compared(tmp_path, outlined, capsys):
    out = tmp_path / "out"
    assert (
        run("--manifest", outlined, "--compare", "A1,A2", "--compare", "A1,B1", "--out", out, "--no-figures")
        == 0
    )
    volume = {
        row["comparison"]: row
        for row in rows_of(out / "icc.csv")
        if (row["feature"], row["form"]) == ("shape3d_volume", HEADLINE)
    }
    assert [(row["icc"], row["n"]) for row in volume.values()] == [("1.0", "4"), ("1.0", "3")]
    assert capsys.readouterr().out.startswith("Intra-observer agreement (A1, A2) was")
    assert "outline B1, case case 2" in (out / "report.html").read_text()


def test_the_report_names_the_outlines_compared_and_no_others(tmp_path, outlined):
    """Outlines of other columns were hashed and listed too, though nothing came from them."""
    out = tmp_path / "out"
    assert run("--manifest", outlined, "--compare", "A1,A2", "--out", out, "--no-figures") == 0
    report = (out / "report.html").read_text()
    assert re.findall("outline [A-Z0-9]+, case case 1", report) == [
        "outline A1, case case 1",
        "outline A2, case case 1",
    ]
    sha256 = hashlib.sha256((tmp_path / "case 1_a2.nrrd").read_bytes()).hexdigest()
    assert f"<td>outline A2, case case 1</td><td><code>{sha256}</code></td>" in report
    assert "outline B1" not in report


def test_a_session_is_compared_and_a_skipped_case_counts_for_those_who_did_not_skip_it(tmp_path, outlined):
    plan = tmp_path / "plan"
    assert main(["session", str(outlined), "--cases", "3", "--washout-days", "0", "--out", str(plan)]) == 0
    cases = {row["code"]: row["case_id"] for row in rows_of(plan / "coordinator" / "key.csv")}
    for read, shift in {"reader_A/read_1": 0, "reader_A/read_2": 1, "reader_B/read_1": 4}.items():
        with Session(plan / read) as session:
            while case := session.next_case():
                if shift == 4 and cases[case.code] == sorted(cases.values())[0]:
                    session.skip("motion")
                    continue
                geometry = read_volume(session.images[0]).geometry
                mask = np.zeros(geometry.shape, bool)
                mask[3:7, 5 : 13 + int(cases[case.code][-1]), 5 + shift : 13 + shift] = True
                session.save_outline(mask, geometry)
    out = tmp_path / "out"
    assert (
        run("--session", plan, "--compare", "A1,A2", "--compare", "A1,B1", "--out", out, "--no-figures") == 0
    )
    volume = {
        row["comparison"]: row
        for row in rows_of(out / "icc.csv")
        if (row["feature"], row["form"]) == ("shape3d_volume", HEADLINE)
    }
    assert [(row["icc"], row["n"]) for row in volume.values()] == [("1.0", "3"), ("1.0", "2")]
    overlap = [(row["comparison"], row["dice"]) for row in rows_of(out / "overlap.csv")]
    assert overlap == [("A1,A2", "0.875"), *[("A1,A2", "0.875"), ("A1,B1", "0.5")] * 2]


OUTLINE_FAULTS = {
    "one column": (("--roi-columns", "roi"), "--roi-columns roi: name two or more columns"),
    "the same twice": (("--roi-columns", "roi,roi"), "--roi-columns roi,roi: name two or more columns"),
    "an unknown column": (
        ("--roi-columns", "roi,roi_c"),
        "column 'roi_c' is not a column of outlines; use roi, roi_a2, roi_b",
    ),
    "not of the raters compared": (
        ("ratings", "--roi-columns", "roi_b,roi_a2"),
        "no case has those of two raters compared",
    ),
    "an outline that is not there": (("--roi-columns", "roi,roi_a2"), "no such file"),
}


@pytest.mark.parametrize("fault", OUTLINE_FAULTS)
def test_bad_outlines_get_one_line(tmp_path, ratings, outlined, refused, fault):
    options, expected = OUTLINE_FAULTS[fault]
    if fault == "an outline that is not there":
        (tmp_path / "case 1_a2.nrrd").unlink()
    files = [ratings if option == "ratings" else option for option in options]
    assert expected in refused(
        ["agreement", *files, "--manifest", outlined, "--compare", "A1,A2", "--out", tmp_path / "out"]
    )


def test_nothing_to_compare_is_told(tmp_path, refused):
    assert "give ratings files, --manifest or --session" in refused(["agreement", "--out", tmp_path / "out"])
