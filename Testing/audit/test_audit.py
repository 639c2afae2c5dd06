"""The audit of simulated predictions whose truth is known: what rests on site or size is told, what does not
is not.
"""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from HER2ViTTrainingLib.audit import sites
from HER2ViTTrainingLib.audit.auditing import audit
from HER2ViTTrainingLib.audit.inputs import read_audit
from HER2ViTTrainingLib.audit.measures import read_measures
from HER2ViTTrainingLib.audit.results import audit_json
from HER2ViTTrainingLib.audit.sentences import trained_on
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from HER2ViTTrainingLib.stats.resampling import Resampling
from support.csv_files import rows_of, write_csv
from support.models import a_bundle_folder

PLAN = Resampling(60, seed=2)
SITES = ("Basel", "Oslo")


@pytest.fixture(autouse=True)
def one_partition(monkeypatch):
    """Quick: each classifier is cross-validated once."""
    monkeypatch.setattr(sites, "PARTITIONS", 1)


def some_rows(score, prevalence=(0.5, 0.5), n=120, seed=1, **more):
    """`n` cases of two sites with their shares of positives; `score` takes label, site and a generator."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        site = k % 2
        label = int(rng.random() < prevalence[site])
        value = float(score(label, site, rng))
        rows.append({"case_id": f"c{k}", "set": "test", "label": label, "score": value, "site": SITES[site]})
        rows[-1].update(more)
    return rows


def audited(tmp_path, rows, features=None, manifest=None, by=()):
    """The audit of the only set."""
    path = write_csv(tmp_path / "predictions.csv", rows)
    joined = write_csv(tmp_path / "manifest.csv", manifest) if manifest else None
    measures = [read_measures(write_csv(tmp_path / "features.csv", features))] if features else []
    found = audit(read_audit(path, joined, by).with_measures(measures), PLAN)
    assert len(found.sets) == 1
    return found


def of_site(tmp_path, rows, **options):
    return audited(tmp_path, rows, **options).sets[0].columns["site"]


def told_by(column, source="score"):
    (found,) = (told for told in column.site.told if told.question.source == source)
    return found


def test_a_score_that_is_nothing_but_the_site_is_unmasked(tmp_path):
    rows = some_rows(lambda label, site, rng: site + rng.normal(0, 0.1), (0.15, 0.85), n=400)
    (one,) = audited(tmp_path, rows).sets
    column = one.columns["site"]
    assert one.overall.metrics.estimates["auc"].value > 0.75
    assert column.site.alone.value > 0.75
    assert column.site.alone.low < column.site.alone.value < column.site.alone.high
    assert told_by(column).auc.value > 0.99
    for level in column.subgroups.levels:
        assert 0.35 < level.result.metrics.estimates["auc"].value < 0.65


def test_a_shift_of_the_score_at_one_site_is_told_and_is_no_heterogeneity(tmp_path):
    rows = some_rows(lambda label, site, rng: label + 4 * site + rng.normal())
    column = of_site(tmp_path, rows)
    assert told_by(column).auc.low > 0.95
    assert column.subgroups.heterogeneity.p > 0.05
    assert column.site.alone.value < 0.65


def test_a_score_that_knows_no_site_does_not_tell_it(tmp_path):
    found = []
    for seed in range(3):
        rows = some_rows(lambda label, site, rng: label + rng.normal(), (0.2, 0.8), n=400, seed=seed)
        found.append(told_by(of_site(tmp_path, rows)).auc.value)
    # Pooled over the labels the score would tell the site, by prevalence; within a label it does not.
    assert abs(np.mean(found) - 0.5) < 0.08  # its SE is 0.03
    labels = [row["site"] == SITES[1] for row in rows]
    assert roc_auc_score(labels, [row["score"] for row in rows]) > 0.6


def test_a_score_that_ranks_at_one_site_only_is_heterogeneous(tmp_path):
    rows = some_rows(lambda label, site, rng: (2.5 * label if site else 0) + rng.normal())
    test = of_site(tmp_path, rows).subgroups.heterogeneity
    assert test.df == 1
    assert test.p < 0.01
    assert test.i2 > 0.5


def test_an_embedding_that_knows_the_site_tells_it(tmp_path):
    rows = some_rows(lambda label, site, rng: rng.normal())
    rng = np.random.default_rng(5)
    features = []
    for row in rows:
        knows = {"vit1_embedding_000": 3 * (row["site"] == SITES[1]) + rng.normal()}
        ignorant = {"vit2_embedding_000": rng.normal(), "vit2_embedding_001": rng.normal()}
        features.append({"case_id": row["case_id"], "shape2d_area": 1 + rng.random(), **knows, **ignorant})
    column = of_site(tmp_path, rows, features=features[:-3])
    assert told_by(column, "embedding of Task 1").auc.value > 0.9
    assert told_by(column, "embedding of Task 2").auc.value < 0.7
    assert told_by(column, "embedding of Task 1").question.left_out == 3


@pytest.mark.parametrize("sign", [1, -1])
def test_a_score_that_is_the_size_gains_nothing_over_it(tmp_path, sign):
    rows = some_rows(lambda label, site, rng: 10 + label + rng.normal())
    features = [{"case_id": row["case_id"], "shape3d_volume": sign * row["score"]} for row in rows]
    (one,) = audited(tmp_path, rows, features=features).sets
    size = one.sizes["shape3d_volume"]
    auc = roc_auc_score([row["label"] for row in rows], [row["score"] for row in rows])
    assert size.comparison.auc == pytest.approx(auc)
    assert size.auc.value == pytest.approx(auc if sign > 0 else 1 - auc)
    assert size.direction.startswith("larger" if sign > 0 else "smaller")
    assert (size.comparison.difference.value, size.comparison.p) == (0, 1)


def test_the_score_is_never_flipped(tmp_path):
    rows = some_rows(lambda label, site, rng: -label + rng.normal())
    features = [{"case_id": row["case_id"], "shape2d_area": row["score"]} for row in rows]
    size = audited(tmp_path, rows, features=features).sets[0].sizes["shape2d_area"]
    assert size.comparison.auc < 0.4
    assert size.comparison.other_auc == pytest.approx(1 - size.comparison.auc)
    assert size.comparison.difference.value < 0


# Out-of-fold


def out_of_fold(rows, fold_of, seeds=(1,)):
    """The rows as a cross-validation writes them; each model has a scale of its own."""
    found = []
    for row in rows:
        for seed in seeds:
            fold = fold_of(row)
            shift = 5 * seed + 3 * len(str(fold))
            more = {"fold": fold, "seed": seed, "patient_id": row["case_id"], "threshold": shift}
            found.append({**row, "score": row["score"] + shift, **more})
    return found


def test_with_a_fold_for_each_site_the_levels_are_of_models_that_had_not_seen_them(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal())
    features = [{"case_id": row["case_id"], "shape2d_area": row["score"]} for row in rows]
    (one,) = audited(tmp_path, out_of_fold(rows, lambda row: row["site"], (1, 2)), features).sets
    column = one.columns["site"]
    assert [level.seen for level in column.subgroups.levels] == [False, False]
    assert "has seen no case of it" in trained_on(one, "site")
    assert "scales of their own" in told_by(column).question.why_not
    assert one.sizes["shape2d_area"].method == "paired bootstrap within models"
    assert np.isnan(one.sizes["shape2d_area"].comparison.p)
    assert one.sizes["shape2d_area"].comparison.difference.value == pytest.approx(0)
    assert one.sizes["shape2d_area"].n == 120


def test_random_folds_contain_every_site_and_scores_are_compared_within_their_model(tmp_path):
    rows = some_rows(lambda label, site, rng: label + 4 * site + rng.normal())
    folded = out_of_fold(rows, lambda row: "x" * (1 + int(row["case_id"][1:]) // 2 % 3), (1, 2))
    (one,) = audited(tmp_path, folded).sets
    column = one.columns["site"]
    assert [level.seen for level in column.subgroups.levels] == [True, True]
    assert "internal" in trained_on(one, "site")
    assert told_by(column).auc.low > 0.9
    assert [level.n for level in column.subgroups.levels] == [60, 60]
    assert len(one.audited.comparable_scores) == 120


# Columns and files


def test_columns_and_status_are_joined_from_the_manifest(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal(), n=122)
    manifest = []
    for k, row in enumerate(rows):
        site = ("", "", *["Rome"] * 4, *["Wien"] * 5)[k] if k < 11 else row["site"]
        status = "positive" if row["label"] else ("zero", "low")[k % 4 // 2]
        manifest.append({"case_id": row["case_id"], "patient_id": f"p{k // 2}"})
        manifest[-1] |= {"site": site, "her2_status": status, "scanner": "x"}
        del row["site"]
    (one,) = audited(tmp_path, rows, manifest=manifest, by=("site", "scanner")).sets
    column = one.columns["site"]
    assert column.missing == 2
    assert column.pooled == ("Rome", "Wien")
    assert [(level.level, level.n) for level in column.subgroups.levels[-1:]] == [("pooled", 9)]
    assert sum(level.n for level in column.subgroups.levels) == 120
    assert set(told_by(column).question.n) <= {"zero", "low", "positive"}
    assert set(told_by(column).question.too_few["positive"]) == {"pooled"}
    assert one.columns["scanner"].site.why_not == "one level only: nothing to tell apart"
    assert len(set(one.audited.patients.tolist())) == 61


def test_calibration_of_a_level_is_predicted_against_observed(tmp_path):
    rows = some_rows(lambda label, site, rng: 0.3 + 0.3 * label + 0.2 * rng.random(), (0.4, 0.6))
    column = of_site(tmp_path, rows)
    for level in column.subgroups.levels:
        its = [row for row in rows if row["site"] == level.level]
        assert level.predicted == pytest.approx(np.mean([row["score"] for row in its]))
        assert level.prevalence.value == pytest.approx(np.mean([row["label"] for row in its]))
        assert level.prevalence.low < level.prevalence.value < level.prevalence.high
    uncalibrated = of_site(tmp_path, [{**row, "calibrated": 0} for row in rows])
    assert all(np.isnan(level.predicted) for level in uncalibrated.subgroups.levels)


def test_levels_with_few_patients_of_a_class_are_shown_and_left_out_of_the_test(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal())
    few = [{**row, "site": "Graz"} for row in some_rows(lambda label, site, rng: 0, (0, 0), 12)]
    for k, row in enumerate(few):
        row |= {"case_id": f"g{k}", "label": int(k < 3)}
    column = of_site(tmp_path, [*rows, *few])
    assert [level.level for level in column.subgroups.levels] == ["Basel", "Graz", "Oslo"]
    assert column.subgroups.left_out == {"Graz": "fewer than 5 patients of a class"}
    assert column.subgroups.heterogeneity.df == 1


def test_of_several_raters_the_first_counts_and_a_size_may_be_missing(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal())
    features = []
    for rater, value in (("B1", 1), ("A1", 2)):
        for k, row in enumerate(rows):
            size = "" if k < 4 else value * k
            features.append({"case_id": row["case_id"], "rater": rater, "shape2d_area": size, "mood": "x"})
    found = audited(tmp_path, rows, features=features)
    assert found.about.notes == ("size and embedding are those of rater 'B1', not of 'A1'",)
    assert found.sets[0].audited.sizes["shape2d_area"][4] == 4
    assert (found.sets[0].sizes["shape2d_area"].n, found.sets[0].sizes["shape2d_area"].left_out) == (116, 4)


def test_what_the_training_set_holds_is_seen(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal(), n=80)
    for k, row in enumerate(rows):
        row["set"] = ("training", "external")[k // 40]
        row["site"] = "Graz" if k >= 40 and k % 4 < 2 else SITES[k % 4 // 2]
    path = write_csv(tmp_path / "predictions.csv", rows)
    found = audit(read_audit(path), PLAN)
    levels = found.sets[1].columns["site"].subgroups.levels
    assert {level.level: level.seen for level in levels} == {"Graz": False, "Oslo": True}
    sets = audit_json(found)["sets"]
    assert [sets[name]["optimistic"] for name in sets] == [True, False]


# The command


def command(tmp_path, *words):
    named = [str(word) for word in words]
    return main(["audit", *named, "--resamples", "40", "--out", str(tmp_path / "out")])


def test_the_command_writes_page_json_and_pictures(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal(), vendor="<b>GE</b>", patient_id="")
    for row in rows:
        row["patient_id"] = f"secret-{row['case_id']}"
    features = [{"case_id": row["case_id"], "shape2d_area": 5 + row["score"]} for row in rows]
    paths = [write_csv(tmp_path / "p.csv", rows), "--features", write_csv(tmp_path / "f.csv", features)]
    assert command(tmp_path, *paths) == 0
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"audit.json", "audit.html", "auc_by_level.png", "tells_level.png", "made_by.json"}
    page = (tmp_path / "out" / "audit.html").read_text()
    about = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert "&lt;b&gt;GE&lt;/b&gt;" in page
    assert "<b>GE" not in page
    assert "secret" not in page + json.dumps(about)
    assert about["exploratory"] in page
    assert [entry["role"] for entry in about["inputs"]] == ["predictions", "features"]
    assert all(entry["sha256"] in page for entry in about["inputs"])
    assert about["bootstrap"]["seed"] == 1
    assert about["columns"] == {"site": "predictions", "vendor": "predictions"}


def test_size_alone_is_an_audit_and_says_what_is_missing(tmp_path):
    rows = some_rows(lambda label, site, rng: label + rng.normal())
    for row in rows:
        del row["site"]
    features = [{"case_id": row["case_id"], "shape2d_area": 5 + row["score"]} for row in rows]
    paths = [write_csv(tmp_path / "p.csv", rows), "--features", write_csv(tmp_path / "f.csv", features)]
    assert command(tmp_path, *paths) == 0
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "were not asked" in page
    assert not list((tmp_path / "out").glob("*.png"))


def test_embeddings_are_measured_in_the_images_of_the_manifest(tmp_path, capsys):
    manifest = simulate_cohort(4, 5, PROTOCOLS["A"], tmp_path / "cohort", scale=0.25)
    bundle = a_bundle_folder(tmp_path / "bundle")
    rows = []
    for k, case in enumerate(rows_of(manifest)):
        rows.append({"case_id": case["case_id"], "set": "test", "label": k % 2, "score": k, "site": k % 2})
    predictions = write_csv(tmp_path / "p.csv", rows)
    assert command(tmp_path, predictions, "--bundle", bundle) == 2
    assert "name their manifest with --manifest" in capsys.readouterr().err
    assert command(tmp_path, predictions, "--bundle", bundle, "--manifest", manifest, "--device", "cpu") == 0
    about = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert {"bundle task1", "manifest"} < {entry["role"] for entry in about["inputs"]}
    assert "embedding of Task 1" in about["sets"]["test"]["columns"]["site"]["told_by"]
    assert about["sets"]["test"]["size"]["shape2d_area"]["n"] == 4
    assert "may know them" in about["notes"][0]


GOOD = some_rows(lambda label, site, rng: label + rng.normal(), n=20)
SIZES = [{"case_id": row["case_id"], "shape2d_area": 1.5} for row in GOOD]
FAULTS = {
    "features of other cases": (
        GOOD,
        [{**row, "case_id": "z"} for row in SIZES[:1]],
        None,
        "none of its cases",
    ),
    "no size": (GOOD, [{"case_id": "c0", "size": 1}], None, "neither column shape2d_area nor"),
    "a size that is none": (GOOD, [{**SIZES[0], "shape2d_area": "x"}], None, "row 2, column shape2d_area"),
    "a size beyond all": (GOOD, [{**SIZES[0], "shape2d_area": 1e300}], None, "row 2, column shape2d_area"),
    "a case twice": (GOOD, [SIZES[0], SIZES[0]], None, "is there before"),
    "one class": ([row for row in GOOD if row["label"]], None, None, "one class only"),
    "manifest of other cases": (GOOD, None, [{"case_id": "z", "site": "x"}], "none of its cases"),
    "a status that is none": (GOOD, None, [{"case_id": "c0", "her2_status": "x"}], "column her2_status"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line_each_and_nothing_is_written(tmp_path, capsys, fault):
    rows, features, manifest, expected = FAULTS[fault]
    words = [write_csv(tmp_path / "p.csv", rows)]
    if features:
        words += ["--features", write_csv(tmp_path / "f.csv", features)]
    if manifest:
        words += ["--manifest", write_csv(tmp_path / "m.csv", manifest)]
    assert command(tmp_path, *words) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_column_in_neither_file_names_both(tmp_path, capsys):
    predictions = write_csv(tmp_path / "p.csv", GOOD)
    manifest = write_csv(tmp_path / "m.csv", [{"case_id": "c0", "vendor": "GE"}])
    assert command(tmp_path, predictions, "--by", "coil", "--manifest", manifest) == 2
    said = capsys.readouterr().err
    assert "--by coil" in said
    assert str(predictions) in said
    assert str(manifest) in said
