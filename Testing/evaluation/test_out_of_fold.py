"""Out-of-fold scores: ranked within the model that gave them, called by its threshold, drawn by patient."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.evaluation.curves import curves_of
from HER2ViTTrainingLib.evaluation.judging import evaluate
from HER2ViTTrainingLib.evaluation.predictions import read_predictions
from HER2ViTTrainingLib.stats.resampling import Resampling, bootstrap, bootstrap_metrics
from support.csv_files import rows_of, write_csv

PLAN = Resampling(60, seed=3)
QUICK = ("--resamples", "60", "--seed", "3", "--no-figures")


def some_rows(folds=4, seeds=(5, 6), patients=12):
    """Rows as `train` writes them: in each fold so many patients, every third with two cases, one row a case
    and seed; a model's scores have a scale of their own. The last fold has one class only.
    """
    rng = np.random.default_rng(8)
    rows = []
    for fold in range(1, folds + 1):
        for patient in range(patients):
            label = int(rng.random() < 0.4 and fold < folds)
            for side in "LR" if patient % 3 == 0 else "L":
                name = f"f{fold}p{patient}"
                for seed in seeds:
                    score = rng.normal(0.7 * label) + 0.3 * fold
                    row = {"case_id": f"{name}{side}", "set": "out-of-fold", "label": label}
                    row |= {"score": float(1 / (1 + np.exp(-score))), "patient_id": name}
                    row |= {"fold": fold, "seed": seed, "calibrated": 1, "threshold": 0.4 + 0.05 * fold}
                    rows.append(row)
    return rows


def one_set(tmp_path, rows, *columns):
    (found,) = read_predictions(write_csv(tmp_path / "predictions.csv", rows), *columns).sets
    return found


def evaluated(tmp_path, rows, *words):
    path = write_csv(tmp_path / "predictions.csv", rows)
    assert main(["evaluate", str(path), "--out", str(tmp_path / "out"), *QUICK, *words]) == 0
    (row,) = rows_of(tmp_path / "out" / "metrics.csv")
    return row


def within_models(labels, scores, models, weights):
    """The mean of the models' AUCs by scikit-learn; every case as often as its weight says."""
    times = weights.astype(int)
    labels, scores, models = (np.repeat(values, times) for values in (labels, scores, models))
    areas = []
    for model in sorted(set(models.tolist())):
        its = labels[models == model]
        positive = int(its.sum())
        if 0 < positive < len(its):
            areas.append(roc_auc_score(its, scores[models == model]))
    return np.mean(areas)


@pytest.mark.parametrize("stratified", [False, True])
def test_auc_and_interval_equal_scikit_learn_s_in_a_plain_loop_over_models_and_resamples(
    tmp_path, stratified
):
    cases = one_set(tmp_path, some_rows())
    plan = Resampling(60, 3, stratified)
    assert len(set(cases.models.tolist())) == 8
    weights, _ = bootstrap(lambda drawn: drawn, cases.labels, plan, cases.patients)
    for patient in set(cases.patients.tolist()):
        assert np.ptp(weights[:, cases.patients == patient], axis=1).max() == 0
    found = bootstrap_metrics(cases.labels, cases.scores, 0.5, plan, cases.patients, cases.models)
    area = found.estimates["auc"]
    arrays = (cases.labels, cases.scores, cases.models)
    assert area.value == pytest.approx(within_models(*arrays, np.ones(len(cases.labels))))
    resampled = [within_models(*arrays, drawn) for drawn in weights]
    assert (area.low, area.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])))
    (result,) = evaluate(read_predictions(tmp_path / "predictions.csv"), plan).sets
    assert result.metrics.estimates["auc"] == area


def test_another_scale_of_one_model_changes_no_auc(tmp_path):
    rows = some_rows()
    shifted = []
    for row in rows:
        changed = row["fold"] == 2 and row["seed"] == 6
        shifted.append({**row, "score": 0.01 * row["score"] if changed else row["score"]})
    plain = evaluated(tmp_path, rows)
    found = evaluated(tmp_path, shifted)
    for name in ("auc", "auc_low", "auc_high"):
        assert found[name] == plain[name] != ""
    assert found["brier"] != plain["brier"]


def test_each_row_is_called_by_its_own_threshold_unless_one_is_given(tmp_path):
    rows = some_rows()
    row = evaluated(tmp_path, rows)
    calls = [one["score"] >= one["threshold"] for one in rows]
    right = sum(call == one["label"] for call, one in zip(calls, rows))
    assert float(row["accuracy"]) == pytest.approx(right / len(rows))
    assert (row["threshold"], row["threshold_source"]) == ("per fold", "column threshold")
    assert int(row["tp"]) == sum(call and one["label"] for call, one in zip(calls, rows))
    assert int(row["n"]) == len(rows)
    assert f"{len(rows) // 2} cases with a row for each seed" in row["notes"]
    assert "8 models" in row["notes"]
    assert "2 of them have one class only and are left out" in row["notes"]
    assert f"{len(rows)} rows of 48 patients: resampled by patient" in row["notes"]
    assert row["auc_delong_low"] == ""
    assert "per fold" in (tmp_path / "out" / "table2.html").read_text()
    given = evaluated(tmp_path, rows, "--threshold", "0.5")
    assert (given["threshold"], given["threshold_source"]) == ("0.5", "given")
    right = sum((one["score"] >= 0.5) == one["label"] for one in rows)
    assert float(given["accuracy"]) == pytest.approx(right / len(rows))


def test_without_thresholds_and_seeds_the_auc_is_still_within_folds(tmp_path):
    keep = ("case_id", "set", "label", "score", "fold")
    rows = []
    for row in some_rows(seeds=(5,)):
        rows.append({name: row[name] for name in keep})
    row = evaluated(tmp_path, rows)
    whole = evaluated(tmp_path, some_rows(seeds=(5,)))
    assert row["auc"] == whole["auc"]
    assert (row["threshold"], row["threshold_source"], row["accuracy"]) == ("", "none", "")
    assert "4 models" in row["notes"]


def test_raw_scores_of_a_model_that_learnt_nothing_are_ranked_and_no_probabilities(tmp_path):
    rows = [{**row, "calibrated": int(row["fold"] != 3)} for row in some_rows()]
    row = evaluated(tmp_path, rows)
    assert row["auc"] == evaluated(tmp_path, some_rows())["auc"]
    assert row["brier"] == row["brier_low"] == row["calibration_slope"] == ""
    assert "scores are not calibrated" in row["notes"]
    (result,) = evaluate(read_predictions(write_csv(tmp_path / "raw.csv", rows)), PLAN).sets
    assert result.decision is None
    assert curves_of(result, PLAN).calibration == ()


def test_a_subgroup_is_ranked_within_models_at_their_thresholds(tmp_path):
    evaluated(tmp_path, some_rows(), "--by", "seed")
    groups = rows_of(tmp_path / "out" / "subgroups.csv")
    alone = evaluated(tmp_path, some_rows(seeds=(5, 6))[::2])
    assert [group["level"] for group in groups] == ["5", "6"]
    for name in ("n", "auc", "auc_low", "accuracy", "threshold"):
        assert groups[0][name] == alone[name]


def test_scores_are_compared_by_a_paired_bootstrap_within_models(tmp_path):
    rng = np.random.default_rng(2)
    rows = [{**row, "other": rng.random(), "same": 3 * row["score"]} for row in some_rows()]
    row = evaluated(tmp_path, rows, "--compare", "other", "--compare", "same")
    other, same = rows_of(tmp_path / "out" / "comparison.csv")
    assert same["difference"] == same["difference_low"] == same["difference_high"] == "0.0"
    assert other["z"] == other["p"] == ""
    assert other["auc"] == row["auc"]
    cases = one_set(tmp_path, rows, ["other"])
    weights, _ = bootstrap(lambda drawn: drawn, cases.labels, PLAN, cases.patients)
    differences = []
    for drawn in weights:
        pair = (cases.scores, cases.others["other"])
        first, second = (within_models(cases.labels, scores, cases.models, drawn) for scores in pair)
        differences.append(first - second)
    found = (float(other["difference_low"]), float(other["difference_high"]))
    assert found == pytest.approx(tuple(np.quantile(differences, [0.025, 0.975])))


def test_the_roc_picture_has_a_curve_a_model_and_none_of_all_together(tmp_path):
    (result,) = evaluate(read_predictions(write_csv(tmp_path / "p.csv", some_rows())), PLAN).sets
    roc = curves_of(result, PLAN).roc
    assert len(roc.curves) == 6
    assert roc.band is None
    path = str(tmp_path / "p.csv")
    assert main(["evaluate", path, "--out", str(tmp_path / "pictures"), "--resamples", "20"]) == 0
    assert (tmp_path / "pictures" / "roc.png").exists()
    data = json.loads((tmp_path / "pictures" / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert data["sets"]["out-of-fold"]["youden"] is None
    assert data["bootstrap"]["unit"] == "patient"


def test_no_model_with_both_classes_leaves_the_auc_empty(tmp_path):
    rows = [{**row, "label": row["fold"] % 2} for row in some_rows()]
    row = evaluated(tmp_path, rows)
    assert row["auc"] == row["auc_low"] == ""
    assert row["accuracy"] != ""
    assert "8 of them have one class only" in row["notes"]


def changed(row, **cells):
    """The first rows of a file, the second of them changed."""
    return [row[0], {**row[1], **cells}, *row[2:6]]


FAULTS = {
    "a case twice with one seed": (
        {"seed": 5},
        (),
        "rows 2, 3, column case_id, value 'f1p0L': is there 2 times in set 'out-of-fold' with seed 5; keep",
    ),
    "no fold": ({"fold": ""}, (), "row 3, column fold, value '': is missing, where other rows"),
    "no seed": ({"seed": ""}, (), "row 3, column seed, value '': is missing, where other rows"),
    "no threshold": ({"threshold": ""}, (), "row 3, column threshold, value '': is missing"),
    "a word as threshold": ({"threshold": "best"}, (), "value 'best': is not a finite number"),
    "calibrated yes": ({"calibrated": "yes"}, (), "row 3, column calibrated, value 'yes': must be 1 or 0"),
    "threshold of folds": (
        {},
        ("--threshold-from", "out-of-fold"),
        "'out-of-fold': is scored by a model a fold, hence no Youden optimum",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_that_do_not_tell_their_model_are_one_line(tmp_path, refused, fault):
    cells, words, expected = FAULTS[fault]
    path = write_csv(tmp_path / "predictions.csv", changed(some_rows(), **cells))
    assert expected in refused(["evaluate", path, *words, "--out", tmp_path / "out"])


def test_a_join_takes_one_seed_and_says_so_of_several(tmp_path, refused, capsys):
    rows = some_rows()
    cases = []
    for row in rows[::2]:
        cases.append({"case_id": row["case_id"], "group": "xy"[row["label"]], "age": 40 + len(cases) % 30})
    path = write_csv(tmp_path / "cases.csv", cases)
    several = write_csv(tmp_path / "several.csv", rows)
    single = write_csv(tmp_path / "single.csv", rows[::2])
    words = ["table1", path, "--by", "group", "--out", tmp_path / "out"]
    line = refused([*words, "--join", several])
    assert "column seed: a case has a row for each seed (5, 6); keep the rows of one seed" in line
    assert main([str(word) for word in [*words, "--join", single]]) == 0
    with (tmp_path / "out" / "table1.csv").open(newline="") as file:
        variables = {row["variable"] for row in csv.DictReader(file)}
    assert not variables & {"fold", "seed", "calibrated", "threshold"}
