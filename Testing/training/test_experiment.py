"""From a manifest to a bundle: the inputs are cached, the sets are kept apart, what is written can be read
and used.
"""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.output import csv_bytes
from HER2ViTLib.her2 import LOW_VS_POSITIVE, ZERO_VS_REST, her2_status
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.operating_point import Rate
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import VALIDATION_SHARE, make_splits
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from HER2ViTTrainingLib.stats.roc import youden_threshold
from HER2ViTTrainingLib.training import networks, repeats
from HER2ViTTrainingLib.training import runs as experiment
from HER2ViTTrainingLib.training.experiment import Experiment
from HER2ViTTrainingLib.training.inputs import FileHashes, model_inputs
from HER2ViTTrainingLib.training.networks import Network, build_network
from HER2ViTTrainingLib.training.predictions import Prediction
from HER2ViTTrainingLib.training.recipes import RECIPES
from HER2ViTTrainingLib.training.repeats import run_repeated
from HER2ViTTrainingLib.training.runs import Trained, TrainingJob, run_experiment
from support.csv_files import rows_of, write_csv
from support.models import a_model

NETWORK = Network("vit_tiny_patch16_224", 64, "none")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A simulated cohort of 36, the last eight of them external."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(36, 5, PROTOCOLS["A"], folder, scale=0.4)
    rows = rows_of(folder / "manifest.csv")
    for n, row in enumerate(rows):
        row["cohort"] = "elsewhere" if n >= 28 else "here"
        row["role"] = "external" if n >= 28 else "development"
    return write_csv(folder / "with_external.csv", rows)


@pytest.fixture
def calibrates_anything(monkeypatch):
    """Two epochs on a few cases learn nothing: these tests are about what is written, not about what is
    learnt.
    """
    monkeypatch.setattr(experiment, "platt_calibration", lambda labels, logits: Calibration(1.3, 0.2))


def an_experiment(task=ZERO_VS_REST, **changes):
    return Experiment(
        task, replace(RECIPES["default"], epochs=2, batch=8), network=NETWORK, device="cpu", **changes
    )


def test_a_training_writes_a_bundle_that_reads_as_its_predictions_say(
    manifest, tmp_path, calibrates_anything
):
    cohort = read_manifest(manifest)
    splits = make_splits(cohort, seed=2)
    out = tmp_path / "bundle"
    weights = tmp_path / "weights.safetensors"
    save_file(a_model(architecture="vit_tiny_patch16_224", img_size=64).state_dict(), weights)
    network = replace(NETWORK, pretrained=str(weights))
    run_experiment(
        TrainingJob(replace(an_experiment(), network=network), cohort, splits, out, tmp_path / "cache")
    )
    predictions = rows_of(out / "predictions.csv")
    by_set = {}
    for row in predictions:
        by_set.setdefault(row["set"], set()).add(row["case_id"])
    split = splits.tasks["zero-vs-rest"]
    assert by_set == {
        "training": {*split.training},
        "validation": {*split.validation},
        "elsewhere": {*splits.external["elsewhere"]},
    }
    bundle = load_bundle(out)
    validation = [row for row in predictions if row["set"] == "validation"]
    labels = np.array([int(row["label"]) for row in validation])
    scores = np.array([float(row["score"]) for row in validation])
    assert bundle.settings.threshold == youden_threshold(labels, scores)
    kinds = {point.set_name: point.kind for point in bundle.settings.operating_points}
    assert kinds == {"validation": "validation", "elsewhere": "external"}
    for point in bundle.settings.operating_points:
        of_set = [row for row in predictions if row["set"] == point.set_name]
        reaching = [(row["label"], float(row["score"]) >= float(row["threshold"])) for row in of_set]
        labels = [label for label, _ in reaching]
        assert point.sensitivity == Rate(reaching.count(("1", True)), labels.count("1"))
        assert point.specificity == Rate(reaching.count(("0", False)), labels.count("0"))
    assert bundle.settings.splits_sha256 == splits.sha256
    assert bundle.settings.provenance["pretrained_sha256"] == file_sha256(weights)
    assert bundle.settings.provenance["fingerprint"] in (out / "README.md").read_text()
    assert bundle.settings.preprocessing == SquarePreprocessing(size=(64, 64))
    case = next(case for case in cohort.cases if case.case_id == predictions[-1]["case_id"])
    study = load_study(case.images)
    reading = Reader([bundle], "cpu").read(study, read_roi(case.roi, study.geometry))
    assert reading.tasks["task1"].score == pytest.approx(float(predictions[-1]["score"]), abs=1e-5)
    card = (out / "README.md").read_text()
    assert "optimistic" in card
    assert "At the threshold, elsewhere: sensitivity" in card
    assert reading.tasks["task1"].operating_point.set_name == "elsewhere"
    assert "Research use only" in card
    assert len(rows_of(out / "history.csv")) == 2


def test_run_again_gives_the_same_files_and_another_seed_is_refused(manifest, tmp_path, calibrates_anything):
    cohort = read_manifest(manifest)
    splits = make_splits(cohort, seed=2)
    out = tmp_path / "bundle"
    run_experiment(TrainingJob(an_experiment(LOW_VS_POSITIVE), cohort, splits, out, tmp_path / "cache"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    run_experiment(TrainingJob(an_experiment(LOW_VS_POSITIVE), cohort, splits, out, tmp_path / "cache"))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(InputError, match="other cases or settings"):
        run_experiment(
            TrainingJob(an_experiment(LOW_VS_POSITIVE, seed=9), cohort, splits, out, tmp_path / "cache")
        )


def test_the_third_task_from_a_manifest_that_knows_no_more_to_a_reading(
    manifest, tmp_path, calibrates_anything
):
    rows = rows_of(manifest)
    for row in rows:
        status = her2_status(row.pop("ihc"), row.pop("ish"))
        row["her2_status"] = "positive" if status == "positive" else "negative"
    binary = write_csv(manifest.with_name("binary.csv"), rows)
    out = tmp_path / "bundle"
    words = ["--arch", NETWORK.architecture, "--img-size", "64", "--pretrained", "none", "--epochs", "2"]
    train = ["train", str(binary), "--task", "positive-vs-negative", *words, "--device", "cpu"]
    assert main([*train, "--cache", str(tmp_path / "cache"), "--out", str(out)]) == 0
    labels = {row["case_id"]: row["label"] for row in rows_of(out / "predictions.csv")}
    assert labels == {row["case_id"]: str(int(row["her2_status"] == "positive")) for row in rows}
    card = (out / "README.md").read_text()
    assert card.startswith("# Task 3: HER2-positive vs negative (zero or low)")
    assert "the probability of HER2-positive" in card
    assert "takes no part in the two-step call" in card
    assert "look alike" not in card
    case = read_manifest(binary).cases[0]
    study = load_study(case.images)
    reading = Reader([load_bundle(out)], "cpu").read(study, read_roi(case.roi, study.geometry))
    assert reading.call is None
    score = next(row["score"] for row in rows_of(out / "predictions.csv") if row["case_id"] == case.case_id)
    assert reading.tasks["task3"].score == pytest.approx(float(score), abs=1e-5)


def test_a_model_that_ranks_the_wrong_way_round_gives_no_bundle(manifest, tmp_path, monkeypatch, refused):
    def turned(labels, logits):
        raise ValueError("calibration slope -1: the scores rank the classes the wrong way round")

    monkeypatch.setattr(experiment, "platt_calibration", turned)
    words = [
        "--task",
        "zero-vs-rest",
        "--img-size",
        "64",
        "--pretrained",
        "none",
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    refused(["train", manifest, *words, "--out", tmp_path / "out", "--cache", tmp_path / "cache"])
    assert not (tmp_path / "out" / "model.safetensors").exists()
    assert (tmp_path / "out" / "history.csv").exists()


def test_only_what_changed_is_made_again(manifest, tmp_path):
    cases = read_manifest(manifest).cases[:4]
    cache = tmp_path / "cache"
    preprocessing = SquarePreprocessing(size=(64, 64))
    first = model_inputs(cases, preprocessing, cache, workers=2)
    made = {path: path.stat().st_mtime_ns for path in cache.glob("*.npz")}
    assert len(made) == 4
    again = model_inputs(cases, preprocessing, cache)
    assert all(
        np.array_equal(a.images, b.images) and a.properties == b.properties for a, b in zip(first, again)
    )
    assert {path: path.stat().st_mtime_ns for path in cache.glob("*.npz")} == made
    model_inputs(cases, SquarePreprocessing(size=(64, 64), margin_mm=5.0), cache, workers=1)
    assert len(list(cache.glob("*.npz"))) == 8
    os.utime(cases[0].images[1])  # touched, not changed: hashed anew, not made anew
    model_inputs(cases, preprocessing, cache, workers=1)
    assert len(list(cache.glob("*.npz"))) == 8
    model_inputs([replace(cases[0], early_phase=2)], preprocessing, cache, workers=1)
    assert len(list(cache.glob("*.npz"))) == 9
    (cache / "files.json").write_text("damaged")
    model_inputs(cases, preprocessing, cache, workers=1)


def test_two_processes_fill_one_cache_at_once(manifest, tmp_path):
    code = (
        "import sys; from pathlib import Path; from HER2ViTTrainingLib.cohort.manifest import read_manifest;"
        " from HER2ViTTrainingLib.training.inputs import *; from HER2ViTLib.model.preprocessing import"
        " SquarePreprocessing as P; model_inputs(read_manifest(sys.argv[1]).cases[:6], P(size=(64, 64)),"
        " sys.argv[2], workers=1)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(manifest), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == ["", ""]
    assert len(list((tmp_path / "cache").iterdir())) == 7


def test_faulty_cases_are_all_named(manifest, tmp_path):
    cases = read_manifest(manifest).cases[:3]
    (tmp_path / "bad.nrrd").write_text("no image")
    faulty = [replace(case, roi=tmp_path / "bad.nrrd") for case in cases[:2]]
    with pytest.raises(InputError) as error:
        model_inputs([*faulty, cases[2]], SquarePreprocessing(size=(64, 64)), tmp_path / "cache", workers=1)
    assert [fault.split(":")[0] for fault in error.value.faults] == [
        f"case {case.case_id}" for case in cases[:2]
    ]
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 1


def test_a_damaged_cached_input_is_named(manifest, tmp_path):
    cases = read_manifest(manifest).cases[:1]
    model_inputs(cases, SquarePreprocessing(size=(64, 64)), tmp_path / "cache", workers=1)
    (cached,) = (tmp_path / "cache").glob("*.npz")
    cached.write_bytes(cached.read_bytes()[:500])
    with pytest.raises(InputError, match=f"{cached.name}: is a damaged"):
        model_inputs(cases, SquarePreprocessing(size=(64, 64)), tmp_path / "cache", workers=1)


def test_a_cache_tells_files_of_the_same_name_size_and_time_in_different_folders_apart(tmp_path, monkeypatch):
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "image.nrrd").write_text(name)
        os.utime(tmp_path / name / "image.nrrd", (1, 1))
        monkeypatch.chdir(tmp_path / name)
        hashes = FileHashes(tmp_path / "files.json")
        found.append(hashes.of(Path("image.nrrd")))
        hashes.save()
    assert found[0] != found[1]


def test_a_task_without_a_development_case_is_one_line(manifest, tmp_path, capsys):
    rows = [{**row, "role": "external", "cohort": "elsewhere"} for row in rows_of(manifest)]
    path = manifest.with_name("all_external.csv")
    path.write_bytes(csv_bytes(list(rows[0]), rows))
    words = [
        "--task",
        "zero-vs-rest",
        "--img-size",
        "64",
        "--pretrained",
        "none",
        "--cache",
        str(tmp_path / "cache"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["train", str(path), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "training part holds no case of this task" in line


@pytest.mark.parametrize(
    "words", [("--img-size", "0"), ("--img-size", "1000000"), ("--epochs", "0"), ("--seed", "-1")]
)
def test_sizes_and_counts_that_no_training_has_are_one_line(manifest, tmp_path, capsys, words):
    assert (
        main(["train", str(manifest), "--task", "zero-vs-rest", *words, "--out", str(tmp_path / "out")]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert f"argument {words[0]}: '{words[1]}' is not a whole number from" in line


def test_a_hub_out_of_reach_is_one_line_before_the_inputs_are_made(manifest, tmp_path, capsys, monkeypatch):
    told = []

    def unreachable(*_, **__):
        told.append(logging.getLogger("huggingface_hub.utils._http").isEnabledFor(logging.WARNING))
        raise OSError("no connection")

    monkeypatch.setattr(networks.timm, "create_model", unreachable)
    assert (
        main(
            [
                "train",
                str(manifest),
                "--task",
                "zero-vs-rest",
                "--cache",
                str(tmp_path / "cache"),
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert "--pretrained none" in line
    assert told == [False]
    assert not (tmp_path / "cache").exists()


def test_folds_score_every_development_case_once(manifest, tmp_path, calibrates_anything):
    words = [
        "--task",
        "zero-vs-rest",
        "--img-size",
        "64",
        "--pretrained",
        "none",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--folds",
        "2",
    ]
    assert (
        main(
            [
                "train",
                str(manifest),
                *words,
                "--out",
                str(tmp_path / "folds"),
                "--cache",
                str(tmp_path / "cache"),
            ]
        )
        == 0
    )
    found = rows_of(tmp_path / "folds" / "predictions.csv")
    assert sorted(row["case_id"] for row in found) == sorted(
        case.case_id for case in read_manifest(manifest).development
    )
    assert {row["set"] for row in found} == {"out-of-fold"}
    assert (
        json.loads((tmp_path / "folds" / "fold2" / "config.json").read_text())["her2vit"]["task"]
        == "zero-vs-rest"
    )


def test_trainings_are_named_by_their_seed_and_their_predictions_put_together(
    manifest, tmp_path, monkeypatch
):
    def trained(job, progress):
        found = []
        for name, ids in job.sets.items():
            for case_id in ids:
                seed = job.experiment.seed
                whose = (f"={case_id}", job.fold_name, seed)
                found.append(Prediction(case_id, name, 1, seed / 10, 0.5, *whose, int(seed != 6), 0.25))
        return Trained(found, f"seed {job.experiment.seed}" if job.experiment.seed == 6 else "")

    monkeypatch.setattr(TrainingJob, "data", lambda job, progress=None: None)
    monkeypatch.setattr(repeats, "train", trained)
    cohort = read_manifest(manifest)
    splits = make_splits(cohort, folds=2, seed=2)
    job = TrainingJob(an_experiment(seed=5), cohort, splits, tmp_path / "out")
    written = run_repeated(job, seeds=3, folds=True)
    assert written.names == [
        "predictions.csv",
        *("seed5-fold1", "seed5-fold2", "seed6-fold1", "seed6-fold2", "seed7-fold1", "seed7-fold2"),
    ]
    assert written.warnings == ["seed 6", "seed 6"]
    rows = rows_of(tmp_path / "out" / "predictions.csv")
    development = {case.case_id for case in cohort.development}
    for seed in ("5", "6", "7"):
        of_seed = [row for row in rows if row["seed"] == seed]
        assert sorted(row["case_id"] for row in of_seed) == sorted(development)
        assert {row["score"] for row in of_seed} == {f"0.{seed}"}
        assert {row["calibrated"] for row in of_seed} == {"0" if seed == "6" else "1"}
    folds = splits.tasks["zero-vs-rest"].folds
    for row in rows:
        assert row["case_id"] in folds[int(row["fold"]) - 1]
        assert (row["set"], row["threshold"]) == ("out-of-fold", "0.25")
        # What a spreadsheet would run is quoted, once: the rows are not read back from the trainings' files.
        assert row["patient_id"] == f"'={row['case_id']}"

    written = run_repeated(replace(job, out=tmp_path / "seeds"), seeds=3)
    assert written.names == ["predictions.csv", "seed5", "seed6", "seed7"]
    rows = rows_of(tmp_path / "seeds" / "predictions.csv")
    columns = ["case_id", "set", "label", "score", "patient_id", "calibrated"]
    assert list(rows[0]) == [*columns, "score_seed5", "score_seed6", "score_seed7"]
    assert len({row["case_id"] for row in rows}) == len(rows)
    for row in rows:
        assert [row["score_seed5"], row["score_seed6"], row["score_seed7"]] == ["0.5", "0.6", "0.7"]
        assert float(row["score"]) == pytest.approx(0.6)
        assert row["calibrated"] == "0"


def test_a_held_out_fold_is_in_no_part_that_its_model_is_made_from(manifest):
    cohort = read_manifest(manifest)
    splits = make_splits(cohort, folds=3, seed=2)
    experiment = an_experiment()
    held_out = []
    for fold in (1, 2, 3):
        job = TrainingJob(experiment, cohort, splits, Path("out"), fold=fold)
        sets = job.sets
        held_out += sets["out-of-fold"]
        assert list(sets) == ["training", "validation", "out-of-fold"]
        everyone = [*sets["training"], *sets["validation"], *sets["out-of-fold"]]
        assert sorted(everyone) == sorted(case.case_id for case in cohort.development)
        statuses = [case.her2_status for case in cohort.cases if case.case_id in sets["validation"]]
        others = len(sets["training"]) + len(sets["validation"])
        assert abs(len(statuses) - VALIDATION_SHARE * others) <= len(set(statuses)) / 2
        assert len(set(statuses)) == 3
        another = replace(job, experiment=replace(experiment, seed=9))
        assert another.sets["validation"] != sets["validation"]
        assert another.sets["out-of-fold"] == sets["out-of-fold"]
    assert sorted(held_out) == sorted(case.case_id for case in cohort.development)


def test_a_fold_that_learnt_nothing_is_in_the_estimate_without_a_bundle(
    manifest, tmp_path, monkeypatch, capsys
):
    """The first fold's calibration is turned round; the second run has the same fault in both folds."""
    turned = [True, False, True, True]

    def calibrated(labels, logits):
        if turned.pop(0):
            raise ValueError("calibration slope -0.3: the scores rank the classes the wrong way round")
        return Calibration(1.3, 0.2)

    monkeypatch.setattr(experiment, "platt_calibration", calibrated)
    network = ["--arch", "resnet10t", "--img-size", "32", "--pretrained", "none", "--epochs", "1"]
    words = ["--task", "low-vs-positive", *network, "--device", "cpu", "--folds", "2"]
    out = tmp_path / "out"
    train = ["train", str(manifest), *words, "--cache", str(tmp_path / "cache"), "--out", str(out)]
    assert main(train) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert len(said) == 1
    assert "fold1, fold '1': calibration slope -0.3" in said[0]
    assert not (out / "fold1" / "config.json").exists()
    assert "slope -0.3" in (out / "fold1" / "README.md").read_text()
    assert str(tmp_path) not in (out / "fold1" / "README.md").read_text()
    card = (out / "fold2" / "README.md").read_text()
    assert "fold `2` was held out" in card
    assert "| out-of-fold |" in card
    rows = rows_of(out / "predictions.csv")
    own = {"1": rows_of(out / "fold1" / "predictions.csv"), "2": rows_of(out / "fold2" / "predictions.csv")}
    for row in rows:
        assert row["calibrated"] == ("0" if row["fold"] == "1" else "1")
        assert (row["score"] == row["score_raw"]) == (row["fold"] == "1")
        validation = [one for one in own[row["fold"]] if one["set"] == "validation"]
        labels = np.array([int(one["label"]) for one in validation])
        scores = np.array([float(one["score"]) for one in validation])
        assert float(row["threshold"]) == youden_threshold(labels, scores)
    assert main(["evaluate", str(out / "predictions.csv"), "--out", str(tmp_path / "evaluation")]) == 0
    assert main(train) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]) == 2
    assert not (out / "fold2" / "config.json").exists()
    assert not (out / "fold2" / "model.safetensors").exists()


def test_folds_whose_models_cannot_be_validated_have_a_line_each_before_anything_is_made(
    manifest, tmp_path, capsys
):
    """One positive case a site: the model of each fold trains on it, and has none to validate on."""
    rows = rows_of(manifest)[:20]
    for n, row in enumerate(rows):
        row |= {"site": "AB"[n % 2], "ihc": "1+" if n > 1 else "3+", "ish": ""}
    path = write_csv(manifest.with_name("sites.csv"), rows)
    words = ["--task", "low-vs-positive", "--pretrained", "none", "--folds-by", "site"]
    cache = tmp_path / "cache"
    assert main(["train", str(path), *words, "--cache", str(cache), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["fold 'A', seed 1: the validation part" in lines[0], "fold 'B'" in lines[1]] == [True, True]
    assert len(lines) == 2
    assert not cache.exists()


def test_folds_and_seeds_on_a_cluster_give_what_they_give_here(manifest, tmp_path, calibrates_anything):
    """Two folds with two seeds each: every case has the scores of the two models that have not seen it.

    The cluster lies within this process, where the calibration is stood in for; `test_executors` has one of
    processes.
    """
    distributed = pytest.importorskip("distributed")
    words = [
        "--task",
        "low-vs-positive",
        "--arch",
        "resnet10t",
        "--img-size",
        "32",
        "--pretrained",
        "none",
        "--epochs",
        "1",
        "--device",
        "cpu",
    ]
    repeats = ["--folds", "2", "--seed", "5", "--seeds", "2"]
    train = ["train", str(manifest), *words, *repeats, "--cache", str(tmp_path / "cache")]
    assert main([*train, "--out", str(tmp_path / "here")]) == 0
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        assert main([*train, "--out", str(tmp_path / "there"), "--scheduler", cluster.scheduler_address]) == 0
    here, there = (rows_of(tmp_path / name / "predictions.csv") for name in ("here", "there"))
    assert [row["case_id"] for row in there] == [row["case_id"] for row in here]
    # Not to the last digit: a worker may have another number of threads.
    assert [float(row["score"]) for row in there] == pytest.approx(
        [float(row["score"]) for row in here], abs=1e-4
    )
    folders = sorted(path.name for path in (tmp_path / "there").iterdir() if path.is_dir())
    assert folders == ["seed5-fold1", "seed5-fold2", "seed6-fold1", "seed6-fold2"]
    assert [row["seed"] for row in here] == sorted(["5", "6"] * (len(here) // 2))
    config = json.loads((tmp_path / "here" / "seed6-fold1" / "config.json").read_text())
    assert config["her2vit"]["provenance"]["seed"] == 6


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--scheduler", "tcp://127.0.0.1:9"], "give --folds K, --folds-by COLUMN or --seeds N"),
        (["--scheduler", "tcp://127.0.0.1:9", "--seeds", "2"], "cannot be reached"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_line(manifest, tmp_path, refused, words, expected):
    train = [
        "train",
        manifest,
        "--task",
        "zero-vs-rest",
        "--img-size",
        "64",
        "--pretrained",
        "none",
        "--cache",
        tmp_path / "cache",
    ]
    assert expected in refused([*train, *words, "--out", tmp_path / "out"])


def test_starting_weights_from_a_file_and_faults_of_networks(tmp_path):
    source = a_model(architecture="vit_tiny_patch16_224", img_size=64)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    built = build_network(Network("vit_tiny_patch16_224", 64, str(tmp_path / "weights.safetensors")), 1)
    assert np.array_equal(built.blocks[3].mlp.fc1.weight.detach(), source.blocks[3].mlp.fc1.weight.detach())
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04pickle")
    for pretrained, expected in (
        (tmp_path / "nothing", "no such file"),
        (tmp_path / "weights.pth", "does not hold the weights"),
    ):
        with pytest.raises(InputError, match=expected):
            build_network(Network("vit_tiny_patch16_224", 64, str(pretrained)), 1)
    with pytest.raises(InputError, match="timm has no such model"):
        build_network(Network("vit_of_nobody", None, "none"), 1)
    with pytest.raises(InputError, match="does not hold the weights"):
        build_network(Network("resnet18", None, str(tmp_path / "weights.safetensors")), 1)


def test_the_real_imagenet_weights_load(shared_data):
    weights = shared_data / "weights" / "vit_tiny_patch16_224_in1k_head.fp16.safetensors"
    model = build_network(Network("vit_tiny_patch16_224", None, str(weights)), 1)
    assert float(model.blocks[0].attn.qkv.weight.detach().std()) > 0.05
    assert model.head.out_features == 1
