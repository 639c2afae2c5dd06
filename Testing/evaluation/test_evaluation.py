"""Evaluation: against published values, against definitions computed plainly, and the commands as a user runs
them.
"""

import csv
import json
import math
import subprocess
import sys
from fractions import Fraction
from itertools import product
from statistics import mean

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from HER2ViTLib.files.output import csv_cell, csv_text
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.evaluation.curves import MAX_BAND_RESAMPLES, curves_of
from HER2ViTTrainingLib.evaluation.judging import evaluate
from HER2ViTTrainingLib.evaluation.predictions import read_predictions
from HER2ViTTrainingLib.evaluation.three_class import NAMES, judge
from HER2ViTTrainingLib.stats.calibration import (
    calibration_groups,
    calibration_line,
    decision_curve,
    platt_calibration,
    wilson,
)
from HER2ViTTrainingLib.stats.resampling import (
    METRICS,
    Resampling,
    bootstrap,
    bootstrap_metrics,
    metrics_of_weights,
    roc_band,
)
from HER2ViTTrainingLib.stats.roc import (
    auc,
    delong_interval,
    delong_test,
    roc_curve,
    youden,
    youden_threshold,
)

# Published values


def ovarian():
    """Albumin, total protein and K-G score of 43 patients with ovarian cancer; DeLong, DeLong &
    Clarke-Pearson, Biometrics 1988;44:837.
    """
    rows = """
        3.0 5.8 10 0  3.2 6.3  5 1  3.9 6.8  3 1  2.8 4.8  6 0  3.2 5.8  3 1  0.9 4.0  5 0
        2.5 5.7  8 0  1.6 5.6  5 1  3.8 5.7  5 1  3.7 6.7  6 1  3.2 5.4  4 1  3.8 6.6  6 1
        4.1 6.6  5 1  3.6 5.7  5 1  4.3 7.0  4 1  3.6 6.7  4 0  2.3 4.4  6 1  4.2 7.6  4 0
        4.0 6.6  6 0  3.5 5.8  6 1  3.8 6.8  7 1  3.0 4.7  8 0  4.5 7.4  5 1  3.7 7.4  5 1
        3.1 6.6  6 1  4.1 8.2  6 1  4.3 7.0  5 1  4.3 6.5  4 1  3.2 5.1  5 1  2.6 4.7  6 1
        3.3 6.8  6 0  1.7 4.0  7 0  3.7 6.1  5 1  3.3 6.3  7 1  4.2 7.7  6 1  3.5 6.2  5 1
        2.9 5.7  9 0  2.1 4.8  7 1  2.8 6.2  8 0  4.0 7.0  7 1  3.3 5.7  6 1  3.7 6.9  5 1
        3.6 6.6  5 1"""
    albumin, protein, kg, benefit = np.array(rows.split(), float).reshape(-1, 4).T
    return benefit == 1, {"albumin": albumin, "protein": protein, "kg": 10 - kg}


def test_delong_intervals_and_paired_tests_equal_those_published_for_the_original_data():
    """SAS/STAT User's Guide, PROC LOGISTIC, example "Comparing Receiver Operating Characteristic Curves"."""
    labels, scores = ovarian()
    published = {
        "albumin": (0.7366, 0.5549, 0.9182),
        "kg": (0.7258, 0.5243, 0.9273),
        "protein": (0.6478, 0.4518, 0.8439),
    }
    for name, expected in published.items():
        found = delong_interval(labels, scores[name])
        assert (found.value, found.low, found.high) == pytest.approx(expected, abs=5.1e-5)
    published = {"albumin": (0.0108, -0.1761, 0.1976, 0.9102), "protein": (-0.0780, -0.2830, 0.1271, 0.4561)}
    for name, expected in published.items():
        test = delong_test(labels, scores[name], scores["kg"])
        assert (test.difference.value, test.difference.low, test.difference.high, test.p) == pytest.approx(
            expected, abs=5.1e-5
        )


def test_delong_interval_of_ratings_with_ties():
    """Hanley & McNeil, Radiology 1982;143:29, table I; area and interval as Stata's manual gives them ([R]
    roctab).
    """
    scores = np.repeat(np.tile(np.arange(1, 6), 2), [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    found = delong_interval(np.repeat([0, 1], [58, 51]), scores)
    assert (found.value, found.low, found.high) == pytest.approx((0.8932, 0.83295, 0.95339), abs=4e-5)


STUDY_TABLE2 = {
    # TP, FN, TN, FP; then accuracy, sensitivity, specificity with their intervals, and F1
    "task 1 GFPH": (
        (45, 25, 7, 3),
        {
            "accuracy": (0.65, 0.55, 0.75),
            "sensitivity": (0.64, 0.53, 0.75),
            "specificity": (0.70, 0.38, 1.00),
        },
        0.76,
    ),
    "task 1 FHCMU": (
        (67, 8, 5, 21),
        {
            "accuracy": (0.71, 0.62, 0.79),
            "sensitivity": (0.89, 0.82, 0.96),
            "specificity": (0.19, 0.05, 0.35),
        },
        0.82,
    ),
    "task 2 GFPH": (
        (17, 15, 35, 3),
        {
            "accuracy": (0.74, 0.63, 0.84),
            "sensitivity": (0.53, 0.36, 0.71),
            "specificity": (0.92, 0.82, 1.00),
        },
        0.65,
    ),
    "task 2 FHCMU": (
        (29, 24, 21, 1),
        {
            "accuracy": (0.67, 0.57, 0.76),
            "sensitivity": (0.55, 0.42, 0.67),
            "specificity": (0.95, 0.84, 1.00),
        },
        0.70,
    ),
}


def test_the_study_s_operating_points_come_out_with_their_intervals(tmp_path):
    """Table 2 of the study from its confusion matrices. Its F1 intervals are narrower than any bootstrap
    gives, and not compared.
    """
    rows = []
    for name, ((tp, fn, tn, fp), _, _) in STUDY_TABLE2.items():
        for label, score, count in ((1, 0.8, tp), (1, 0.3, fn), (0, 0.2, tn), (0, 0.7, fp)):
            rows += [[f"{name}-{len(rows) + n}", name, label, score] for n in range(count)]
    words = ["--threshold", "0.5", "--resamples", "100000", "--no-figures"]
    found = {row["set"]: row for row in evaluated(tmp_path, rows, *words)}
    for name, (cells, published, f1) in STUDY_TABLE2.items():
        row = found[name]
        assert tuple(int(row[cell]) for cell in ("tp", "fn", "tn", "fp")) == cells
        assert round(float(row["f1"]), 2) == f1
        for metric, (value, low, high) in published.items():
            assert round(float(row[metric]), 2) == value
            assert (float(row[f"{metric}_low"]), float(row[f"{metric}_high"])) == pytest.approx(
                (low, high), abs=0.02
            )


# Definitions


def a_score(seed, n=40, decimals=1):
    """Labels of both classes and scores in 0-1; one decimal makes many ties."""
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.6
    labels[:2] = True, False
    scores = np.clip((random.normal(0.5, 0.2, n) + 0.15 * labels).round(decimals), 0, 1)
    return labels, scores


@pytest.mark.parametrize("seed", range(5))
def test_auc_and_delong_equal_their_definition_in_exact_fractions(seed):
    labels, scores = a_score(seed)
    _, other = a_score(seed + 100)

    def win(a, b):
        return Fraction(int(a > b) * 2 + int(a == b), 2)

    def beaten(a, others):
        return [win(a, b) for b in others]

    def placements(values):
        wins = [beaten(a, values[~labels]) for a in values[labels]]
        return list(map(mean, wins)), list(map(mean, zip(*wins)))

    def covariance(a, b):
        mean_a = mean(a)
        mean_b = mean(b)
        return sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b)) / (len(a) - 1) / len(a)

    ours = placements(scores)
    theirs = placements(other)
    area = mean(ours[0])
    other_area = mean(theirs[0])
    variance = sum(covariance(a, a) for a in ours)
    of_difference = (
        variance
        + sum(covariance(b, b) for b in theirs)
        - 2 * sum(covariance(a, b) for a, b in zip(ours, theirs))
    )
    found = delong_interval(labels, scores)
    test = delong_test(labels, scores, other)
    assert auc(labels, scores) == found.value == pytest.approx(float(area), abs=1e-12)
    assert found.high - found.value == pytest.approx(
        min(1.959963984540054 * math.sqrt(variance), 1 - found.value), abs=1e-9
    )
    assert test.z == pytest.approx(float(area - other_area) / math.sqrt(of_difference), abs=1e-9)
    assert test.p == pytest.approx(math.erfc(abs(test.z) / math.sqrt(2)))


@pytest.mark.parametrize("seed", range(5))
def test_youden_is_the_best_of_all_observed_scores(seed):
    labels, scores = a_score(seed, n=25)
    options = []
    for threshold in set(scores.tolist()):
        sensitivity = Fraction(int((scores[labels] >= threshold).sum()), int(labels.sum()))
        specificity = Fraction(int((scores[~labels] < threshold).sum()), int((~labels).sum()))
        options.append((sensitivity + specificity, sensitivity, -threshold))
    total, sensitivity, negative_threshold = max(options)
    best = youden(labels, scores)
    assert best.threshold == youden_threshold(labels, scores) == -negative_threshold
    assert (best.sensitivity, best.j) == pytest.approx((float(sensitivity), float(total - 1)), abs=1e-12)


def test_tied_youden_takes_the_higher_sensitivity_then_the_lower_threshold():
    labels = np.array([0, 1, 0, 1])
    scores = np.array([0.1, 0.2, 0.3, 0.4])
    assert youden_threshold(labels, scores) == 0.2
    assert youden_threshold(np.array([1, 0]), np.array([0.1, 0.9])) == 0.1


def test_an_auc_below_half_is_not_flipped():
    labels, scores = a_score(0)
    assert auc(labels, -scores) == pytest.approx(1 - auc(labels, scores))
    assert auc([0, 1], [0.9, 0.1]) == 0


def test_identical_ranks_have_p_1_and_perfect_ones_no_width():
    labels, scores = a_score(1)
    same = delong_test(labels, scores, scores**3)
    assert (same.difference.value, same.z, same.p) == (0, 0, 1)
    perfect = delong_interval(labels, labels.astype(float))
    assert (perfect.value, perfect.low, perfect.high) == (1, 1, 1)
    assert math.isnan(delong_test(labels, labels.astype(float), 1 - labels.astype(float)).p)


def test_roc_curve_goes_from_corner_to_corner_through_every_threshold():
    labels, scores = a_score(2)
    thresholds, false, true = roc_curve(labels, scores)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    for threshold, x, y in zip(thresholds, false, true):
        assert (x, y) == pytest.approx(
            ((scores[~labels] >= threshold).mean(), (scores[labels] >= threshold).mean())
        )
    trapezoids = np.diff(false) * (true[1:] + true[:-1]) / 2
    assert trapezoids.sum() == pytest.approx(auc(labels, scores))


# Bootstrap


def by_scikit_learn(labels, scores, threshold):
    called = scores >= threshold
    return {
        "auc": reference.roc_auc_score(labels, scores),
        "accuracy": reference.accuracy_score(labels, called),
        "sensitivity": reference.recall_score(labels, called),
        "specificity": reference.recall_score(labels, called, pos_label=0),
        "f1": reference.f1_score(labels, called),
        "ppv": reference.precision_score(labels, called, zero_division=np.nan),
        "npv": reference.precision_score(labels, called, pos_label=0, zero_division=np.nan),
        "brier": reference.brier_score_loss(labels, scores),
    }


def test_bootstrapped_metrics_equal_scikit_learn_on_the_same_resamples():
    labels, scores = a_score(3)
    plan = Resampling(30, seed=5)
    counts, _ = bootstrap(lambda weights: weights, labels, plan)
    found, _ = bootstrap(metrics_of_weights(labels, scores, 0.6), labels, plan)
    for count, row in zip(counts.astype(int), found):
        expected = by_scikit_learn(labels.repeat(count), scores.repeat(count), 0.6)
        assert row == pytest.approx([expected[name] for name in METRICS], abs=1e-12, nan_ok=True)
    estimates = bootstrap_metrics(labels, scores, 0.6, plan).estimates
    low, high = np.quantile(found[:, 0], [0.025, 0.975])
    assert (estimates["auc"].low, estimates["auc"].high) == (low, high)


def test_a_resample_has_as_many_cases_and_both_classes_and_the_seed_decides():
    labels = np.arange(12) < 1
    weights, redrawn = bootstrap(lambda weights: weights, labels, Resampling(500, seed=2))
    assert weights.shape == (500, 12)
    assert (weights.sum(axis=1) == 12).all()
    assert (weights[:, 0] >= 1).all()
    assert redrawn / (500 + redrawn) == pytest.approx((11 / 12) ** 12, abs=0.07)
    assert np.array_equal(weights, bootstrap(lambda weights: weights, labels, Resampling(500, seed=2))[0])
    assert not np.array_equal(weights, bootstrap(lambda weights: weights, labels, Resampling(500, seed=3))[0])


def test_stratified_resamples_keep_the_class_sizes():
    labels = np.arange(30) < 7
    weights, redrawn = bootstrap(lambda weights: weights, labels, Resampling(200, stratified=True))
    assert (weights[:, labels].sum(axis=1) == 7).all()
    assert (weights[:, ~labels].sum(axis=1) == 23).all()
    assert redrawn == 0


@pytest.mark.parametrize("stratified", [False, True])
def test_patients_are_drawn_whole(stratified):
    labels = np.array([1, 1, 0, 0, 1, 0, 1, 0])
    patients = np.array(["a", "a", "b", "b", "c", "c", "d", "e"])
    weights, _ = bootstrap(lambda weights: weights, labels, Resampling(300, stratified=stratified), patients)
    for a, b in ((0, 1), (2, 3), (4, 5)):
        assert np.array_equal(weights[:, a], weights[:, b])
    assert (weights[:, [0, 2, 4, 6, 7]].sum(axis=1) == 5).all()
    if stratified:
        assert (weights[:, 4] == 1).all(), "the one patient with both classes is a stratum of its own"


def test_a_constant_set_of_patients_has_the_interval_of_its_patients_not_of_its_cases():
    """Twenty copies of every case carry no more information than one."""
    labels, scores = a_score(4)
    one = bootstrap_metrics(labels, scores, 0.6, Resampling(400)).estimates["accuracy"]
    many = bootstrap_metrics(
        labels.repeat(20), scores.repeat(20), 0.6, Resampling(400), np.arange(len(labels)).repeat(20)
    ).estimates["accuracy"]
    assert (many.value, many.low, many.high) == pytest.approx((one.value, one.low, one.high))


def test_the_roc_band_holds_the_curve():
    labels, scores = a_score(6, n=200, decimals=2)
    grid = np.linspace(0.1, 0.9, 9)
    low, high = roc_band(labels, scores, grid, Resampling(300))
    _, false, true = roc_curve(labels, scores)
    middle = np.interp(grid, false, true)
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (high > low).all()


# Calibration, decision curve


def grouped(*groups):
    """Cases of groups (probability, positives, n)."""
    labels = np.concatenate([np.arange(n) < positives for _, positives, n in groups])
    return labels, np.concatenate([np.full(n, probability) for probability, _, n in groups])


def test_probabilities_that_are_right_have_slope_1_and_intercept_0():
    line = calibration_line(*grouped((0.2, 2, 10), (0.5, 5, 10), (0.8, 8, 10)))
    assert (line.slope.value, line.intercept.value, line.offset) == pytest.approx((1, 0, 0), abs=1e-9)
    assert line.slope.low < 1 < line.slope.high


def test_probabilities_too_extreme_have_a_slope_below_1_and_too_high_ones_a_negative_intercept():
    odds = 2.0  # twice as steep in the logit as the truth
    extreme = [1 / (1 + ((1 - p) / p) ** odds) for p in (0.2, 0.5, 0.8)]
    line = calibration_line(*grouped(*((p, k, 10) for p, k in zip(extreme, (2, 5, 8)))))
    assert line.slope.value == pytest.approx(0.5, abs=1e-9)
    assert calibration_line(*grouped((0.4, 2, 10), (0.9, 5, 10))).intercept.value < 0


def test_calibration_line_equals_a_logistic_regression():
    labels, scores = a_score(7, n=150, decimals=2)
    scores = np.clip(scores, 0.01, 0.99)
    x = np.log(scores / (1 - scores))[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(x, labels)
    line = calibration_line(labels, scores)
    assert (line.slope.value, line.offset) == pytest.approx(
        (model.coef_[0, 0], model.intercept_[0]), abs=1e-5
    )


@pytest.mark.parametrize(
    "scores",
    [[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.5] * 4, [0.1, 0.5, 0.5, 0.9], [0.1, 0.9, 0.2, 1.8]],
)
def test_no_calibration_line_where_none_exists(scores):
    assert calibration_line(np.array([0, 0, 1, 1]), np.array(scores)) is None


def test_platt_scaling_equals_weighted_logistic_regression_and_refuses_the_wrong_way_round():
    labels, scores = a_score(8, n=120, decimals=2)
    positive = labels.sum()
    negative = (~labels).sum()
    targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
    model = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky")
    model.fit(
        np.tile(scores, 2)[:, None],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    found = platt_calibration(labels, scores)
    assert (found.slope, found.intercept) == pytest.approx((model.coef_[0, 0], model.intercept_[0]), abs=1e-4)
    separated = platt_calibration(labels, np.where(labels, 8.0, -8.0))
    assert 0 < separated.slope < 1
    for wrong in (-scores, np.zeros(len(scores))):
        with pytest.raises(ValueError, match="wrong way round"):
            platt_calibration(labels, wrong)


def test_calibration_groups_hold_all_cases_and_never_split_equal_probabilities():
    labels, scores = a_score(9, n=95)
    groups = calibration_groups(labels, scores)
    assert sum(group.n for group in groups) == 95
    assert sum(group.n * group.observed.value for group in groups) == pytest.approx(labels.sum())
    assert len(calibration_groups(np.array([0, 1] * 30), np.full(60, 0.4))) == 1


def test_wilson_interval():
    """Newcombe, Stat Med 1998;17:857, table I: 81 of 263, and 0 of 20."""
    many = wilson(81, 263)
    none = wilson(0, 20)
    assert (many.low, many.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_net_benefit_is_true_positives_less_false_ones_at_the_odds_of_the_threshold():
    labels, scores = a_score(10)
    curve = decision_curve(labels, scores)
    for n in (0, 19, 49, 79):
        threshold = curve.thresholds[n]
        called = scores >= threshold
        expected = ((labels & called).sum() - (~labels & called).sum() * threshold / (1 - threshold)) / len(
            labels
        )
        assert curve.model[n] == pytest.approx(expected, abs=1e-12)
    assert curve.everyone[49] == pytest.approx(2 * labels.mean() - 1)


# The command


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def evaluated(folder, rows, *words, header=("case_id", "set", "label", "score")):
    predictions = write(folder / "predictions.csv", header, rows)
    assert main(["evaluate", str(predictions), "--out", str(folder / "out"), *words]) == 0
    return table(folder / "out" / "metrics.csv")


def some_rows(*sets, n=60, seed=0):
    rows = []
    for k, name in enumerate(sets):
        labels, scores = a_score(seed + k, n, decimals=2)
        rows += [
            [f"{name}{i}", name, int(label), score] for i, (label, score) in enumerate(zip(labels, scores))
        ]
    return rows


QUICK = ("--resamples", "50", "--no-figures")


def test_metrics_csv_has_the_contract_s_columns_and_json_is_plain(tmp_path):
    (row,) = evaluated(tmp_path, some_rows("validation"), *QUICK)
    expected = ["set", "n", "n_pos", "n_neg", "tp", "fn", "tn", "fp", "threshold", "threshold_source"]
    expected += [name + end for name, end in product(METRICS, ("", "_low", "_high"))] + [
        "auc_delong_low",
        "auc_delong_high",
    ]
    assert list(row)[: len(expected)] == expected
    data = json.loads((tmp_path / "out" / "metrics.json").read_text(), parse_constant=pytest.fail)
    found = data["sets"]["validation"]
    assert found["metrics"]["auc"]["value"] == float(row["auc"])
    assert found["youden"]["threshold"] == float(row["threshold"])
    assert "Research use only" in data["notice"]
    assert "optimistic" in data["optimism"]
    for name in ("table2.csv", "table2.html"):
        text = (tmp_path / "out" / name).read_text()
        assert "Research use only" in text
        assert "optimistic" in text
        assert f"{float(row['auc']):.2f} ({float(row['auc_low']):.2f}, {float(row['auc_high']):.2f})" in text


def test_thresholds_of_each_set_of_one_set_and_given(tmp_path):
    rows = some_rows("validation", "external")
    own = {row["set"]: row for row in evaluated(tmp_path, rows, *QUICK)}
    carried = {row["set"]: row for row in evaluated(tmp_path, rows, *QUICK, "--threshold-from", "validation")}
    given = {row["set"]: row for row in evaluated(tmp_path, rows, *QUICK, "--threshold", "-0.5")}
    assert {row["threshold_source"] for row in own.values()} == {"self (optimistic)"}
    assert own["external"]["threshold"] != own["validation"]["threshold"]
    assert [carried[name]["threshold"] for name in carried] == [own["validation"]["threshold"]] * 2
    assert [carried[name]["threshold_source"] for name in carried] == ["self (optimistic)", "validation"]
    assert {row["threshold"] for row in given.values()} == {"-0.5"}
    assert {row["sensitivity"] for row in given.values()} == {"1.0"}


def test_a_set_of_one_class_keeps_what_is_defined(tmp_path):
    rows = [*some_rows("validation"), *([f"x{i}", "external", 1, 0.1 * i] for i in range(8))]
    row = evaluated(tmp_path, rows, *QUICK, "--threshold-from", "validation")[1]
    assert (row["n_pos"], row["n_neg"]) == ("8", "0")
    assert row["auc"] == row["auc_low"] == row["auc_delong_low"] == row["specificity"] == ""
    assert float(row["sensitivity"]) == float(row["accuracy"])
    assert float(row["accuracy_low"]) < float(row["accuracy_high"])
    assert "one class only" in row["notes"]
    row = evaluated(tmp_path, rows, *QUICK)[1]
    assert row["threshold"] == row["accuracy"] == row["tp"] == ""
    assert row["threshold_source"] == "none"


def test_two_cases_are_enough_for_a_row(tmp_path):
    (row,) = evaluated(tmp_path, [["a", "s", 1, 0.8], ["b", "s", 0, 0.3]], "--resamples", "40")
    assert (row["auc"], row["auc_low"], row["auc_high"], row["auc_delong_low"]) == ("1.0", "1.0", "1.0", "")
    assert int(row["redrawn"]) > 10, "half of all resamples lack a class"
    assert row["calibration_slope"] == ""


def test_scores_outside_0_1_are_judged_by_rank_only(tmp_path):
    rows = some_rows("s")
    logits = [[*row[:3], 8 * row[3] - 4] for row in rows]
    (plain,) = evaluated(tmp_path, rows, *QUICK)
    (raw,) = evaluated(tmp_path, logits, *QUICK)
    assert [raw[name] for name in ("auc", "auc_low", "tp", "f1")] == [
        plain[name] for name in ("auc", "auc_low", "tp", "f1")
    ]
    assert raw["brier"] == raw["brier_low"] == raw["calibration_slope"] == ""
    assert plain["brier"] != ""
    assert "no probabilities" in raw["notes"]


def test_patients_comparison_and_subgroups(tmp_path):
    rows = [
        [*row, f"p{i // 2}", row[3] * 0.5, "=young" if i % 3 else "old"]
        for i, row in enumerate(some_rows("a", "b", n=61))
    ]
    header = ("case_id", "set", "label", "score", "patient_id", "other", "group")
    found = evaluated(
        tmp_path, rows, *QUICK, "--compare", "other", "--by", "group", "--stratified", header=header
    )
    out = tmp_path / "out"
    assert "resampled by patient" in found[0]["notes"]
    data = json.loads((out / "metrics.json").read_text())
    assert "1 patients are in set 'a' and in set 'b'" in data["notes"][0]
    assert data["bootstrap"] == {
        "resamples": 50,
        "seed": 1,
        "stratified": True,
        "unit": "patient",
        "interval": "percentile, 95 %",
    }
    comparison = table(out / "comparison.csv")
    assert [(row["set"], row["difference"], row["p"]) for row in comparison] == [
        ("a", "0.0", "1.0"),
        ("b", "0.0", "1.0"),
    ]
    groups = table(out / "subgroups.csv")
    assert [(row["set"], row["level"]) for row in groups] == [
        ("a", "'=young"),
        ("a", "old"),
        ("b", "'=young"),
        ("b", "old"),
    ]
    assert sum(int(row["n"]) for row in groups) == len(rows)
    assert {row["threshold"] for row in groups[:2]} == {found[0]["threshold"]}


def test_texts_of_the_file_are_escaped_everywhere(tmp_path):
    name = "=<b>$x_1$"
    evaluated(tmp_path, [[i, name, i % 2, 0.1 * (i % 7)] for i in range(20)], "--resamples", "20")
    out = tmp_path / "out"
    pictures = sorted(path.name for path in out.glob("*.png"))
    assert pictures == ["calibration.png", "confusion.png", "decision_curve.png", "roc.png"]
    assert all((out / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)
    assert "<b>" not in (out / "table2.html").read_text()
    assert table(out / "metrics.csv")[0]["set"] == "'" + name
    before = (out / "metrics.json").read_bytes()
    evaluated(tmp_path, [[i, name, i % 2, 0.1 * (i % 7)] for i in range(20)], *QUICK[2:], "--resamples", "20")
    assert (out / "metrics.json").read_bytes() == before
    assert not list(out.glob("*.png")), "pictures of a former run are taken away"


@pytest.mark.parametrize(
    "text", ["=1+1", "-a", "+x", "@x", "\tx", "'=x", "''=x", "plain", "1+", "'quoted'", ""]
)
def test_no_text_becomes_a_formula_and_all_come_back(text):
    cell = csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t"))
    assert csv_text(cell) == text


@pytest.mark.parametrize(
    ("value", "cell"),
    [("-0.5", "-0.5"), ("+1e-3", "+1e-3"), (-0.25, "-0.25"), (math.nan, ""), (None, ""), (3, "3")],
)
def test_numbers_stay_numbers_in_csv(value, cell):
    assert csv_cell(value) == cell


GOOD = [["a", "s", "1", "0.8"], ["b", "s", "0", "0.3"], ["c", "s", "1", "0.6"]]
HEADER = ["case_id", "set", "label", "score"]
FAULTS = {
    "label": ([*GOOD, ["d", "s", "2", "0.5"]], (), ["row 5, column label, value '2'"]),
    "NaN": ([*GOOD, ["d", "s", "1", "nan"]], (), ["row 5, column score, value 'nan'"]),
    "empty": (
        [*GOOD, ["d", "s", "1", ""], ["e", "", "1", "0.1"]],
        (),
        ["row 5, column score, value ''", "row 6, column set"],
    ),
    "infinite": ([*GOOD, ["d", "s", "1", "inf"]], (), ["row 5, column score"]),
    "twice in a set": ([*GOOD, ["a", "s", "1", "0.5"]], (), ["rows 2, 5, column case_id, value 'a'"]),
    "many alike": (
        [[str(n), "s", "low", "0.5"] for n in range(30)],
        (),
        ["rows 2, 3, 4, 5, 6 and 25 more, column label, value 'low'"],
    ),
    "unknown set": (GOOD, ("--threshold-from", "x"), ["'x': no such set; the sets are 's'"]),
    "one class": ([["a", "s", "1", "0.8"]], ("--threshold-from", "s"), ["one class only"]),
    "two thresholds": (GOOD, ("--threshold", "0.5", "--threshold-from", "s"), ["give one of them"]),
    "threshold NaN": (GOOD, ("--threshold", "nan"), ["finite number"]),
    "threshold word": (GOOD, ("--threshold", "best"), ["'best' is neither youden nor a number"]),
    "no resamples": (GOOD, ("--resamples", "0"), ["'0' is not a whole number"]),
    "no such column": (GOOD, ("--compare", "cnn"), ["column cnn is missing"]),
    "no cases": ([], (), ["holds no case"]),
    "digits grouped": ([*GOOD, ["d", "s", "1", "0_5"]], (), ["row 5, column score, value '0_5'"]),
    "a column of text": (
        [[str(n), "s", "1", f"t{n}"] for n in range(30)],
        (),
        ["and 25 more, column score, value 't0' and others"],
    ),
    "a set a case": (
        [[str(n), f"s{n}", "1", "0.5"] for n in range(101)],
        (),
        ["column set has 101 different values"],
    ),
    "negative seed": (GOOD, ("--seed", "-1"), ["'-1' is not a whole number from 0"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_predictions_get_a_line_a_fault_and_status_2(tmp_path, capsys, fault):
    rows, words, expected = FAULTS[fault]
    predictions = write(tmp_path / "predictions.csv", HEADER, rows)
    assert main(["evaluate", str(predictions), *words, "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected), lines
    assert all(part in line for part, line in zip(expected, lines))
    assert not (tmp_path / "out").exists()


def test_missing_columns_are_named_one_by_one(tmp_path, capsys):
    predictions = write(tmp_path / "predictions.csv", ["case_id", "score"], [["a", "0.5"]])
    assert main(["evaluate", str(predictions), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["column set is missing" in lines[0], "column label is missing" in lines[1], len(lines)] == [
        True,
        True,
        2,
    ]


def test_evaluating_needs_neither_torch_nor_scikit_learn(tmp_path):
    predictions = write(tmp_path / "predictions.csv", HEADER, some_rows("s"))
    words = ["evaluate", str(predictions), "--out", str(tmp_path / "out"), *QUICK]
    code = (
        f"import sys; from HER2ViTTrainingLib.commands.main import main; main({words!r}); print({{'torch',"
        " 'sklearn', 'scipy'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.splitlines()[-1]
        == "set()"
    )


def test_scores_too_small_to_tell_apart_as_logits_have_no_calibration_line():
    """Below 1e-6 all logits are one: the classes are separated, though the scores are not."""
    labels = np.array([1, 1, 0, 0], bool)
    assert calibration_line(labels, np.array([1e-8, 0.9, 1e-9, 2e-8])) is None
    assert calibration_line(labels, np.array([1e-8, 3e-8, 1e-9, 2e-8])) is None


@pytest.mark.parametrize(("spread", "shift"), [(1e-9, 0.25), (1.0, 2.0**27), (1e-6, 1.0)])
def test_calibration_of_logits_close_together_or_far_off_is_that_of_the_same_logits_scaled(spread, shift):
    labels, scores = a_score(3)
    plain = platt_calibration(labels, scores)
    found = platt_calibration(labels, shift + spread * scores)
    assert found.slope * spread == pytest.approx(plain.slope, rel=1e-4)
    assert found.intercept + found.slope * shift == pytest.approx(
        plain.intercept, abs=1e-4 * max(1, abs(found.intercept) * 1e-10)
    )


def test_names_of_sets_are_kept_apart_whatever_they_begin_with(tmp_path):
    rows = [
        [f"c{n}", csv_cell(name), n % 2, 0.1 * n]
        for n, name in enumerate(["=x", "'=x"] * 2 + ["'=x", "=x"] * 2)
    ]
    assert [csv_text(row["set"]) for row in evaluated(tmp_path, rows, *QUICK)] == ["=x", "'=x"]


def test_the_page_names_its_input_and_versions(tmp_path):
    evaluated(tmp_path, some_rows("s"), *QUICK)
    made = json.loads((tmp_path / "out" / "metrics.json").read_text())
    page = (tmp_path / "out" / "table2.html").read_text()
    assert made["inputs"][0]["sha256"] in page
    assert all(f"{name} {version}" in page for name, version in made["versions"].items())


def test_curves_of_the_pictures_are_computed_with_a_bound_and_empty_where_undefined(tmp_path):
    rows = [*some_rows("s"), *([f"x{i}", "one class", 1, 0.1 * i] for i in range(8))]
    rows += [[*row[:1], "logits", row[2], 8 * row[3] - 4] for row in some_rows("s")]
    predictions = read_predictions(write(tmp_path / "p.csv", HEADER, rows))
    found = {result.cases.name: result for result in evaluate(predictions, Resampling(10)).sets}
    curves = curves_of(found["s"], Resampling(MAX_BAND_RESAMPLES + 500))
    expected = curves_of(found["s"], Resampling(MAX_BAND_RESAMPLES))
    assert np.array_equal(curves.roc.band, expected.roc.band)
    assert not np.array_equal(curves.roc.band, curves_of(found["s"], Resampling(10)).roc.band)
    assert sum(group.n for group in curves.calibration) == 60
    assert curves_of(found["one class"], Resampling(10)).roc is None
    assert curves_of(found["logits"], Resampling(10)).calibration == ()


# Three classes

TRUTHS = {"zero": ("0", ""), "low": ("2+", "negative"), "positive": ("2+", "positive")}


def three_class_case(folder, calls, truths, more_manifest=(), more_readings=()):
    """Readings and manifest of cases c0, c1, ...; the manifest names no image that is there."""
    manifest = [[f"c{n}", "none.nii", "none.nii", *TRUTHS[truth], "", ""] for n, truth in enumerate(truths)]
    readings = [[f"c{n}", call, 0.2, 0.3, 0.5] for n, call in enumerate(calls)]
    header = ["case_id", "image", "roi", "ihc", "ish", "exclude", "cohort"]
    return (
        write(
            folder / "readings.csv",
            ["case_id", "call", "p_zero", "p_low", "p_positive"],
            [*readings, *more_readings],
        ),
        write(folder / "manifest.csv", header, [*manifest, *more_manifest]),
    )


def test_three_classes_equal_scikit_learn(tmp_path):
    random = np.random.default_rng(1)
    truths, calls = (random.choice(list(TRUTHS), 60) for _ in range(2))
    left_out = [
        ["c60", "", "", "2+", "", "", ""],
        ["c61", "", "", "3+", "", "motion", ""],
        ["c62", "", "", "1+", "", "", ""],
    ]
    readings, manifest = three_class_case(
        tmp_path, calls, truths, left_out, [[f"c{n}", "low", 0, 1, 0] for n in (60, 61)]
    )
    assert (
        main(
            [
                "evaluate3",
                str(readings),
                "--truth",
                str(manifest),
                "--out",
                str(tmp_path / "out"),
                "--resamples",
                "200",
            ]
        )
        == 0
    )
    data = json.loads((tmp_path / "out" / "three_class.json").read_text(), parse_constant=pytest.fail)
    labels = list(TRUTHS)
    assert data["labels"] == labels
    assert data["matrix"] == reference.confusion_matrix(truths, calls, labels=labels).tolist()
    assert (data["n"], data["without_reading"]) == (60, 1)
    assert {entry["reason"]: entry["n"] for entry in data["excluded"]} == {
        "HER2 indeterminate": 1,
        "excluded: motion": 1,
    }
    assert data["kappa_weights"] == "linear"
    kappa = reference.cohen_kappa_score(truths, calls, labels=labels, weights="linear")
    assert data["weighted_kappa"]["value"] == pytest.approx(kappa, abs=1e-12)
    assert data["balanced_accuracy"]["value"] == pytest.approx(
        reference.balanced_accuracy_score(truths, calls)
    )
    assert [data["classes"][name]["ppv"]["value"] for name in labels] == pytest.approx(
        reference.precision_score(truths, calls, labels=labels, average=None)
    )
    assert all(
        data[name]["low"] < data[name]["value"] < data[name]["high"]
        for name in ("accuracy", "balanced_accuracy", "weighted_kappa")
    )
    assert "Research use only" in data["notice"]


def test_cohorts_are_also_judged_by_themselves(tmp_path):
    more = [[f"x{n}", "", "", *TRUTHS[truth], "", "GFPH"] for n, truth in enumerate(TRUTHS)]
    readings, manifest = three_class_case(
        tmp_path, TRUTHS, TRUTHS, more, [[f"x{n}", "low", 0, 1, 0] for n in range(3)]
    )
    assert (
        main(
            [
                "evaluate3",
                str(readings),
                "--truth",
                str(manifest),
                "--out",
                str(tmp_path / "out"),
                "--resamples",
                "20",
            ]
        )
        == 0
    )
    data = json.loads((tmp_path / "out" / "three_class.json").read_text())
    assert {name: part["accuracy"]["value"] for name, part in data["cohorts"].items()} == pytest.approx(
        {"development": 1, "GFPH": 1 / 3}
    )


def test_negative_cases_are_no_truth_of_three_classes(tmp_path):
    statuses = ["zero", "low", "positive", "negative"]
    manifest = write(tmp_path / "manifest.csv", ["case_id", "her2_status"], list(zip("abcd", statuses)))
    readings = write(
        tmp_path / "readings.csv", ["case_id", "call"], list(zip("abcd", [*statuses[:3], "low"]))
    )
    words = ["evaluate3", str(readings), "--truth", str(manifest), "--out", str(tmp_path / "out")]
    assert main([*words, "--resamples", "20"]) == 0
    data = json.loads((tmp_path / "out" / "three_class.json").read_text())
    assert data["n"] == 3
    assert data["excluded"] == [{"reason": "HER2 negative: zero and low are not told apart", "n": 1}]


def test_perfect_calls_and_a_class_that_is_missing():
    perfect = judge(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 2]), Resampling(50))
    assert [perfect.found.estimates[name].value for name in NAMES] == [1] * len(NAMES)
    missing = judge(np.array([1, 1, 2, 2]), np.array([1, 2, 2, 0]), Resampling(50))
    estimates = missing.found.estimates
    assert math.isnan(estimates["sensitivity_zero"].value)
    assert math.isnan(estimates["balanced_accuracy"].value)
    assert estimates["accuracy"].value == 0.5
    assert "no case is zero" in missing.notes[0]


THREE_CLASS_FAULTS = {
    "no call": (
        dict(more_readings=[["c9", "", 0, 0, 0]], more_manifest=[["c9", "", "", "0", "", "", ""]]),
        "column call, value ''",
    ),
    "not in the manifest": (
        dict(more_readings=[["c9", "low", 0, 0, 0]]),
        "row 5, column case_id, value 'c9'",
    ),
    "read twice": (
        dict(more_readings=[["c0", "low", 0, 0, 0]]),
        "row 5, column case_id, value 'c0': is there before",
    ),
    "bad ihc": (dict(more_manifest=[["c9", "", "", "4+", "", "", ""]]), "row 5, column ihc, value '4+'"),
}


@pytest.mark.parametrize("fault", THREE_CLASS_FAULTS)
def test_bad_readings_get_one_line_and_status_2(tmp_path, capsys, fault):
    changes, expected = THREE_CLASS_FAULTS[fault]
    readings, manifest = three_class_case(tmp_path, TRUTHS, TRUTHS, **changes)
    assert main(["evaluate3", str(readings), "--truth", str(manifest), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert expected in lines[0]
