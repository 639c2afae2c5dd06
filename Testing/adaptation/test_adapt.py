"""`her2vit adapt`: what changes in a bundle, what does not, and what is refused."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from HER2ViTLib.her2 import TASKS
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.conformal import STATUSES, Conformal, StatusCutoff, conformal_from_json
from HER2ViTLib.model.development_scores import development_scores, development_scores_from_json
from HER2ViTTrainingLib.adaptation.population import _shares
from HER2ViTTrainingLib.adaptation.recalibrating import _folds
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.stats.calibration import logit
from HER2ViTTrainingLib.stats.prior_shift import estimate_priors
from support.csv_files import write_csv
from support.hostile import NUMBERS, SCRIPT, VALUES, outcome, places, replaced
from support.models import a_bundle_folder

TASK2 = TASKS["low-vs-positive"]
CALIBRATION = Calibration(1.3, -0.2)
"""Of the bundles of these tests (`support.models`)."""


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def site(n=120, shift=0.0, slope=1.0, seed=1, prefix="c"):
    """Cases of a site where the logit that is right is slope x the bundle's + shift."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(0.8, 1.5, n)
    calibrated = CALIBRATION.slope * raw + CALIBRATION.intercept
    labels = rng.random(n) < sigmoid(slope * calibrated + shift)
    return [
        {
            "case_id": f"{prefix}{k}",
            "set": "local",
            "label": int(labels[k]),
            "score": sigmoid(calibrated[k]),
            "score_raw": sigmoid(raw[k]),
        }
        for k in range(n)
    ]


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return a_bundle_folder(tmp_path_factory.mktemp("bundles") / "parent")


@pytest.fixture(scope="module")
def partner(tmp_path_factory):
    return a_bundle_folder(tmp_path_factory.mktemp("bundles") / "partner", "low-vs-positive", seed=1)


def adapted(tmp_path, *words):
    """Runs the command; its JSON, and the bundle in its folder."""
    out = tmp_path / "adapted"
    assert main(["adapt", *map(str, words), "--resamples", "50", "--out", str(out)]) == 0
    found = json.loads((out / "adaptation.json").read_text())
    assert "Research use only" in (out / "adaptation.html").read_text()
    return found, out


# From labelled cases


def test_where_the_bundle_is_right_nothing_changes(tmp_path, parent):
    local = write_csv(tmp_path / "p.csv", site())
    found, out = adapted(tmp_path, parent, "--local", local)
    bundle = load_bundle(out)
    old = load_bundle(parent)
    assert found["task1"]["choice"] == "nothing"
    assert bundle.settings.threshold == old.settings.threshold
    assert bundle.settings.calibration == old.settings.calibration
    assert bundle.settings.prevalence == old.settings.prevalence
    assert bundle.scores_sha256 == old.scores_sha256
    assert bundle.sha256 != old.sha256
    assert found["bundles"]["task1"]["changed"] == {}


def test_a_shift_moves_intercept_and_threshold(tmp_path, parent):
    rows = site(shift=-1.5)
    found, out = adapted(tmp_path, parent, "--local", write_csv(tmp_path / "p.csv", rows))
    bundle = load_bundle(out)
    task = found["task1"]
    assert task["choice"] == "intercept"
    assert bundle.settings.calibration.slope == CALIBRATION.slope
    assert bundle.settings.calibration.intercept == pytest.approx(
        CALIBRATION.intercept + task["intercept"]["value"]
    )
    # The threshold is reached by 90 % of the local positives or more, on the new scale.
    new = Calibration(bundle.settings.calibration.slope, bundle.settings.calibration.intercept)
    raw = logit(np.array([row["score_raw"] for row in rows]))
    scores = np.array([new.score(value) for value in raw.tolist()])
    labels = np.array([row["label"] for row in rows]) == 1
    assert (scores[labels] >= bundle.settings.threshold - 1e-9).mean() >= 0.9
    threshold = task["threshold"]
    assert threshold["value"]["low"] < threshold["value"]["value"] < threshold["value"]["high"]
    assert threshold["sensitivity"]["low"] < 0.9 < threshold["sensitivity"]["high"]
    assert bundle.settings.prevalence == pytest.approx(labels.mean())
    assert scores.mean() == pytest.approx(labels.mean(), abs=1e-6)  # as maximum likelihood has it


def test_what_the_former_threshold_gave_is_not_told_of_the_new_one(tmp_path, parent):
    folder = tmp_path / "parent"
    shutil.copytree(parent, folder)
    config = json.loads((folder / "config.json").read_text())
    rate = {"right": 9, "n": 10}
    point = {"cases": "external", "sensitivity": rate, "specificity": rate}
    config["her2vit"]["operating_point"] = {"B": point}
    (folder / "config.json").write_text(json.dumps(config))
    assert load_bundle(folder).settings.operating_points
    _, out = adapted(tmp_path, folder, "--local", write_csv(tmp_path / "p.csv", site(shift=-1.5)))
    assert load_bundle(out).settings.operating_points == ()
    # At another prevalence the same cases are called: what the threshold gives stays.
    shutil.rmtree(out)
    _, out = adapted(tmp_path, folder, "--prevalence", 0.4)
    assert len(load_bundle(out).settings.operating_points) == 1


def test_too_extreme_scores_change_the_slope(tmp_path, parent):
    rows = site(200, shift=-1, slope=0.3)
    found, out = adapted(tmp_path, parent, "--local", write_csv(tmp_path / "p.csv", rows))
    assert found["task1"]["choice"] == "intercept and slope"
    slope = found["task1"]["slope"]["value"]
    assert load_bundle(out).settings.calibration.slope == pytest.approx(CALIBRATION.slope * slope)
    figures = found["task1"]["figures"]
    before = figures["before"]["metrics"]["brier"]["value"]
    after = figures["after"]["metrics"]["brier"]["value"]
    assert after < before


def test_the_new_bundle_says_where_it_comes_from(tmp_path, parent):
    rows = site(shift=-1.5)
    _, out = adapted(tmp_path, parent, "--local", write_csv(tmp_path / "p.csv", rows))
    (record,) = load_bundle(out).settings.provenance["adaptations"]
    assert record["parent_sha256"] == load_bundle(parent).sha256
    lines = sorted(f"{row['case_id']},{row['label']}" for row in rows)
    assert record["cases_sha256"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    positive = sum(row["label"] for row in rows)
    assert record["n"] == {"zero": 120 - positive, "low/positive": positive}
    assert set(record["changed"]) == {"intercept", "threshold", "prevalence"}
    card = (out / "README.md").read_text()
    assert record["parent_sha256"] in card
    assert "# A model for tests" in card
    assert (out / "model.safetensors").read_bytes() == (parent / "model.safetensors").read_bytes()
    adapted(tmp_path / "2", out, "--prevalence", 0.5)
    assert len(load_bundle(tmp_path / "2" / "adapted").settings.provenance["adaptations"]) == 2


def test_figures_of_the_local_cases_do_not_know_them(tmp_path, parent):
    """Scores without any information, ten of each class: adapted on the cases themselves the calibration
    would be perfect, without them it is not.
    """
    rng = np.random.default_rng(7)
    rows = site(40, shift=-2, seed=3)
    for row in rows:
        row["label"] = int(rng.random() < 0.3)
    rows[0]["label"] = 1
    found, _ = adapted(tmp_path, parent, "--local", write_csv(tmp_path / "p.csv", rows))
    after = found["task1"]["figures"]["after"]
    assert after["n"] == 40
    assert abs(after["mean_predicted"] - after["observed"]) > 1e-4
    assert found["task1"]["cross_validation"]["folds"] == 10


def test_patients_stay_together_in_the_cross_validation():
    patients = np.array([f"p{k // 2}" for k in range(60)])
    labels = np.arange(60) % 4 == 0
    folds = list(_folds(labels, patients, seed=1))
    assert len(folds) == 10
    assert (np.sum(folds, axis=0) == 1).all()
    for held_out in folds:
        assert not set(patients[held_out]) & set(patients[~held_out])


def test_youden_is_the_threshold_where_it_is_asked_for(tmp_path, parent):
    rows = site(shift=-1.5)
    path = write_csv(tmp_path / "p.csv", rows)
    found, _ = adapted(tmp_path, parent, "--local", path, "--youden")
    assert found["task1"]["threshold"]["rule"] == "Youden"
    assert found["task1"]["threshold"]["value"]["low"] is None


@pytest.mark.parametrize(
    "rows, words, told",
    [
        (site(30, shift=-4), (), "more would do"),
        (site(40), ("--youden",), "--youden from 40 cases, where 50 are needed: 10 more would do"),
        (site(120), ("--sensitivity", "0.99"), "or ask for 0.9"),
        ([{**row, "score": 1 - row["score"], "score_raw": ""} for row in site(200)], (), "score_raw"),
        (
            [{**row, "score": 1 - row["score"], "score_raw": 1 - row["score_raw"]} for row in site()],
            (),
            "this bundle's predictions",
        ),
        ([{**row, "set": "training"} for row in site()], (), "a bundle was made on it"),
        ([*site(), *[{**row, "set": "other"} for row in site()]], (), "--set"),
        (site(), ("--set", "elsewhere"), "no such set"),
        (site(), ("--prevalence", "0.3"), "give one of"),
        (site(), ("--coverage", "0.9"), "needs the bundles of"),
        (site(), ("--set", "local", "--truth", "x.csv"), "readings have no sets"),
    ],
)
def test_what_is_refused(tmp_path, parent, refused, rows, words, told):
    path = write_csv(tmp_path / "p.csv", rows)
    line = refused(["adapt", parent, "--local", path, *words, "--out", tmp_path / "out"])
    assert told in line
    assert not (tmp_path / "out").exists()


def test_scores_that_rank_the_wrong_way_round_are_refused(tmp_path, parent, refused):
    rows = [{**row, "label": 1 - row["label"]} for row in site()]
    line = refused(
        ["adapt", parent, "--local", write_csv(tmp_path / "p.csv", rows), "--out", tmp_path / "out"]
    )
    assert "wrong way round" in line


def test_too_few_of_a_class_are_told_how_many_more(tmp_path, parent, refused):
    rows = site(60)
    for k, row in enumerate(rows):
        row["label"] = int(k >= 7)
    line = refused(["adapt", parent, "--local", write_csv(tmp_path / "p.csv", rows), "--out", tmp_path / "o"])
    assert "7 cases of label 0 (zero), where 10 of each are needed: 3 more would do" in line


@pytest.mark.parametrize("sensitivity, needed", [(0.9, 10), (0.95, 22)])
def test_the_number_that_would_do_does(tmp_path, parent, refused, sensitivity, needed):
    for n in (needed - 1, needed):
        rows = site(80, shift=-1)
        for k, row in enumerate(rows):
            row["label"] = int(k % 2 == 0 and k < 2 * n)
        path = write_csv(tmp_path / f"p{n}.csv", rows)
        words = ["adapt", parent, "--local", path, "--sensitivity", sensitivity, "--out", tmp_path / str(n)]
        if n < needed:
            assert ": 1 more would do" in refused(words)
        else:
            assert main([str(word) for word in words]) == 0


def test_the_parent_is_not_overwritten(tmp_path, parent, refused):
    path = write_csv(tmp_path / "p.csv", site())
    before = (parent / "config.json").read_bytes()
    line = refused(["adapt", parent, "--local", path, "--out", parent])
    assert "the parent itself" in line
    assert (parent / "config.json").read_bytes() == before


# Prevalence


def test_a_given_prevalence_moves_the_probabilities_and_calls_the_same_cases(tmp_path, parent):
    _, out = adapted(tmp_path, parent, "--prevalence", 0.4)
    old = load_bundle(parent).settings
    new = load_bundle(out).settings
    shift = np.log(0.4 / 0.6) - np.log(0.8 / 0.2)
    assert new.calibration.intercept == pytest.approx(old.calibration.intercept + shift)
    assert new.calibration.slope == old.calibration.slope
    assert new.prevalence == 0.4
    for raw in np.linspace(-4, 4, 41):
        called = old.calibration.score(raw) >= old.threshold
        assert (new.calibration.score(raw) >= new.threshold) == called


def test_prevalence_is_between_0_and_1_and_of_one_bundle(tmp_path, parent, partner, refused, capsys):
    assert main(["adapt", str(parent), "--prevalence", "1", "--out", str(tmp_path / "o")]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
    line = refused(["adapt", parent, partner, "--prevalence", 0.5, "--out", tmp_path / "o"])
    assert "one task" in line


def readings(parents, statuses, seed=1, scanner=0.0):
    """Readings of cases with these statuses by the bundles, as a batch writes them, and a manifest; scores of
    two normal classes, right at the bundles' prevalence of 0.8.
    """
    rng = np.random.default_rng(seed)
    bundles = [load_bundle(parent) for parent in parents]
    rows = []
    for k, status in enumerate(statuses):
        row = {"case_id": f"r{k}", "call": "low", "warnings": ""}
        for bundle in bundles:
            label = bundle.task.label(status)
            if label is None:  # a zero says nothing of low against positive: as the mixture of both
                label = rng.random() < 0.8
            x = rng.normal(2.0 * label, 1) + scanner
            calibrated = 2 * x - 2 + np.log(0.8 / 0.2)
            raw = (calibrated - CALIBRATION.intercept) / CALIBRATION.slope
            key = bundle.task.key
            row[f"{key}_score"] = f"{sigmoid(calibrated):.6f}"
            row[f"{key}_score_raw"] = f"{sigmoid(raw):.6f}"
            row[f"{key}_bundle_sha256"] = bundle.sha256
        rows.append(row)
    return rows


def some_statuses(n, shares, seed=4):
    from HER2ViTLib.her2 import HER2Status

    names = [HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE]
    return [names[k] for k in np.random.default_rng(seed).choice(3, n, p=shares)]


def test_shares_are_estimated_from_both_bundles(tmp_path, parent, partner):
    shares = (0.5, 0.2, 0.3)
    rows = readings((parent, partner), some_statuses(400, shares))
    found, out = adapted(
        tmp_path, partner, parent, "--estimate-prevalence", write_csv(tmp_path / "r.csv", rows)
    )
    estimated = found["estimate"]["shares"]
    for name, share in zip(("zero", "low", "positive"), shares):
        assert estimated[name]["value"] == pytest.approx(share, abs=0.1)
        assert estimated[name]["low"] < estimated[name]["value"] < estimated[name]["high"]
    assert found["has_changed"]
    first = load_bundle(out / "zero-vs-rest").settings
    second = load_bundle(out / "low-vs-positive").settings
    assert first.prevalence == pytest.approx(1 - estimated["zero"]["value"])
    assert second.prevalence == pytest.approx(
        estimated["low"]["value"] / (estimated["low"]["value"] + estimated["positive"]["value"])
    )
    assert "Not checked" in (out / "adaptation.html").read_text()


def test_without_evidence_of_another_prevalence_nothing_changes(tmp_path, parent):
    rows = readings((parent,), some_statuses(200, (0.2, 0.5, 0.3)))
    found, out = adapted(tmp_path, parent, "--estimate-prevalence", write_csv(tmp_path / "r.csv", rows))
    assert not found["has_changed"]
    assert load_bundle(out).settings.threshold == load_bundle(parent).settings.threshold


@pytest.mark.parametrize("scanner, alike", [(0.0, True), (-1.3, False)])
def test_another_population_is_told(tmp_path, scanner, alike):
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [200, 800])
    calibrated = 2 * rng.normal(2 * labels, 1) - 2 + np.log(4)
    raw = (calibrated - CALIBRATION.intercept) / CALIBRATION.slope
    parent = a_bundle_folder(tmp_path / "b", development_scores=development_scores(labels, raw))
    rows = readings((parent,), some_statuses(200, (0.5, 0.3, 0.2)), scanner=scanner)
    found, out = adapted(tmp_path, parent, "--estimate-prevalence", write_csv(tmp_path / "r.csv", rows))
    assert (found["estimate"]["check"]["p"] >= 0.05) == alike
    assert ("another population" in (out / "adaptation.html").read_text()) != alike


@pytest.mark.parametrize(
    "which, change, told",
    [
        ("partner", {}, "the zeros among unlabelled cases are unknown"),
        ("parent", {"task1_bundle_sha256": "0" * 64}, "is another bundle"),
        ("parent", {"task1_score": "1.5"}, "is no probability"),
    ],
)
def test_readings_that_cannot_tell_the_prevalence(tmp_path, parent, partner, refused, which, change, told):
    folder = {"parent": parent, "partner": partner}[which]
    rows = [{**row, **change} for row in readings((folder,), some_statuses(40, (0.2, 0.5, 0.3)))]
    path = write_csv(tmp_path / "r.csv", rows)
    assert told in refused(["adapt", folder, "--estimate-prevalence", path, "--out", tmp_path / "o"])


def test_readings_with_a_manifest_are_labelled_cases(tmp_path, parent, partner):
    statuses = some_statuses(150, (0.3, 0.4, 0.3))
    rows = readings((parent, partner), statuses, scanner=-1)
    truth = [{"case_id": row["case_id"], "her2_status": status} for row, status in zip(rows, statuses)]
    truth[0]["her2_status"] = ""
    found, out = adapted(
        tmp_path,
        *(parent, partner, "--local", write_csv(tmp_path / "r.csv", rows)),
        *("--truth", write_csv(tmp_path / "m.csv", truth)),
    )
    zeros = statuses[1:].count("zero")
    assert found["bundles"]["task1"]["n"] == {"zero": zeros, "low/positive": 149 - zeros}
    assert sum(found["bundles"]["task2"]["n"].values()) == 149 - zeros
    assert found["task2"]["left_out"] == {
        "HER2 status missing": 1,
        "HER2 zero: not asked by low-vs-positive": zeros,
    }
    assert load_bundle(out / "low-vs-positive").task is TASK2


def test_the_check_finds_the_share_that_the_estimate_finds():
    logits = np.random.default_rng(8).normal(0.5, 2, (3, 80))
    probability = sigmoid(CALIBRATION.slope * logits + CALIBRATION.intercept)
    for one, share in zip(probability, _shares(logits, CALIBRATION, 0.8)):
        both = np.column_stack([1 - one, one])
        assert share == pytest.approx(estimate_priors(both, np.array([0.2, 0.8]))[0, 1], abs=1e-5)


COLUMNS = ("case_id", "set", "label", "score", "score_raw", "patient_id")


@pytest.mark.parametrize("column", COLUMNS)
def test_any_cell_of_the_local_cases_may_be_anything(tmp_path, parent, capsys, column):
    for n, cell in enumerate((*NUMBERS, SCRIPT, "=1+1", "{{ 7 * 7 }}", "\N{GRINNING FACE}")):
        rows = [{**row, "patient_id": row["case_id"]} for row in site(60)]
        rows[3][column] = cell
        path = write_csv(tmp_path / "p.csv", rows)
        out = tmp_path / f"out{n}"
        words = ["adapt", parent, "--local", path, "--resamples", 20, "--out", out]
        status = main([str(word) for word in words])
        said = capsys.readouterr().err
        assert status in (0, 2)
        assert "internal error" not in said
        assert out.exists() == (status == 0)
        if status == 0:
            assert SCRIPT not in (out / "adaptation.html").read_text()


def test_any_setting_of_an_adapted_bundle_may_be_anything():
    labels = np.repeat([0, 1], 20)
    scores = development_scores(labels, np.random.default_rng(1).normal(labels, 1))
    statuses = {name: StatusCutoff(0.1, 20, 0.8, 0.98) for name in STATUSES}
    part = Conformal(0.9, statuses, "a" * 64, "b" * 64)
    assert development_scores_from_json(scores.to_json()) == scores
    for sound, parse in (
        (scores.to_json(), development_scores_from_json),
        (part.to_json(), conformal_from_json),
    ):
        for place in places(sound):
            for value in VALUES:
                outcome(parse, replaced(sound, place, value))
