"""From a public data set as it is downloaded to a trained bundle."""

from collections import Counter

import numpy as np
import pytest

from HER2ViTLib.her2 import TASKS
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from HER2ViTTrainingLib.batch.jobs import Settings, job_of
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.repeatability.outlines import manifest_outlines
from HER2ViTTrainingLib.training import runs
from HER2ViTTrainingLib.training.inputs import FileHashes, case_key, make_input
from support.csv_files import rows_of, write_csv
from support.public_data import (
    breastdcedl_row,
    duke_row,
    mama_mia_row,
    write_breastdcedl,
    write_duke,
    write_mama_mia,
    write_states,
)

STATES = ("HER2=0", "HER2low", "HER2+")
SMALL = ("--img-size", "64", "--pretrained", "none", "--epochs", "1", "--device", "cpu")


@pytest.fixture
def calibrates_anything(monkeypatch):
    """One epoch on a few cases learns nothing: these tests are about the way there."""
    monkeypatch.setattr(runs, "platt_calibration", lambda labels, logits: Calibration(1.3, 0.2))


def states_of(count):
    return {f"{n:06d}": STATES[n % 3] for n in range(count)}


def train(tmp_path, task, splits):
    words = ["--task", task, *SMALL, "--splits", str(splits), "--cache", str(tmp_path / "cache")]
    manifest = str(tmp_path / "imported" / "manifest.csv")
    assert main(["train", manifest, *words, "--out", str(tmp_path / "bundle")]) == 0
    return load_bundle(tmp_path / "bundle"), rows_of(tmp_path / "bundle" / "predictions.csv")


def cohort(tmp_path):
    manifest = str(tmp_path / "imported" / "manifest.csv")
    assert main(["cohort", manifest, "--out", str(tmp_path / "checked")]) == 0
    return tmp_path / "checked" / "splits.json"


def test_mama_mia_to_a_bundle(tmp_path, calibrates_anything):
    states = states_of(15)
    rows = [mama_mia_row(f"ISPY2_{n}", int(state == "HER2+")) for n, state in states.items()]
    folder = write_mama_mia(tmp_path / "MAMA-MIA", rows)
    table = write_states(tmp_path / "states.csv", states)
    words = ["--her2-states", str(table), "--out", str(tmp_path / "imported")]
    assert main(["import", "mama-mia", str(folder), *words]) == 0
    bundle, predictions = train(tmp_path, "zero-vs-rest", cohort(tmp_path))
    assert bundle.settings.task is TASKS["zero-vs-rest"]
    assert len(predictions) == 15
    assert sum(row["label"] == "1" for row in predictions) == 10


def test_breastdcedl_to_a_bundle_by_its_own_split(tmp_path, calibrates_anything):
    states = states_of(15)
    sets = [0.0] * 6 + [2.0] * 6 + [1.0] * 3
    rows = [
        breastdcedl_row(f"ISPY2-{n}", float(state == "HER2+"), in_set)
        for (n, state), in_set in zip(states.items(), sets)
    ]
    folder = write_breastdcedl(tmp_path / "data", rows, numbers=(0, 2, 3))
    table = write_states(tmp_path / "states.csv", states)
    words = ["--her2-states", str(table), "--out", str(tmp_path / "imported")]
    assert main(["import", "breastdcedl", str(folder), *words]) == 0
    cohort(tmp_path)
    bundle, predictions = train(tmp_path, "low-vs-positive", tmp_path / "imported" / "splits.json")
    assert bundle.settings.task is TASKS["low-vs-positive"]
    found = Counter(row["set"] for row in predictions)
    assert found == {"training": 4, "validation": 4, "ISPY2-test": 2}


def imported_duke(tmp_path):
    rows = [duke_row(f"Breast_MRI_{n:03d}", n % 2) for n in range(1, 9)]
    folder = write_duke(tmp_path / "data", rows)
    assert main(["import", "duke", str(folder), "--out", str(tmp_path / "imported")]) == 0
    return tmp_path / "imported" / "manifest.csv"


def test_duke_to_inputs_of_a_training(tmp_path):
    splits = imported_duke(tmp_path), cohort(tmp_path)
    cases = read_manifest(splits[0]).development
    assert len(cases) == 8
    made = make_input(cases[0], SquarePreprocessing(size=(64, 64)))
    assert (made.images.shape, made.early_phase) == ((1, 64, 64), 1)
    assert np.isfinite(made.images).all()


def test_duke_to_a_bundle(tmp_path, calibrates_anything):
    imported_duke(tmp_path)
    bundle, predictions = train(tmp_path, "positive-vs-negative", cohort(tmp_path))
    assert bundle.settings.task.name == "positive-vs-negative"
    assert len(predictions) == 8


# Every room that loads a case's study takes the times of the manifest


@pytest.fixture
def with_and_without_times(tmp_path):
    """A case with and without phase times. By enhancement phase 3 is the early one, by time phase 1."""
    rows = [mama_mia_row("ISPY2_000001", 1, num_phases=4, acquisition_times="[0, 90, 180, 270]")]
    folder = write_mama_mia(tmp_path / "MAMA-MIA", rows, levels=(100, 150, 170, 250))
    assert main(["import", "mama-mia", str(folder), "--out", str(tmp_path / "imported")]) == 0
    manifest = tmp_path / "imported" / "manifest.csv"
    without = write_csv(
        manifest.with_name("without.csv"), [{**row, "phase_times_s": ""} for row in rows_of(manifest)]
    )
    return read_manifest(manifest), read_manifest(without)


def test_training_inputs_and_their_keys_depend_on_the_times(with_and_without_times, tmp_path):
    preprocessing = SquarePreprocessing(size=(64, 64))
    cases = [cohort.cases[0] for cohort in with_and_without_times]
    assert [make_input(case, preprocessing).early_phase for case in cases] == [1, 3]
    hashes = FileHashes(tmp_path / "files.json")
    keys = {case_key(case, preprocessing, hashes) for case in cases}
    assert len(keys) == 2


def test_jobs_of_a_batch_hand_the_times_on(with_and_without_times, tmp_path):
    settings = Settings(tmp_path, (), (), "cpu", "rollout", False)
    jobs = [job_of(cohort.cases[0], settings, tmp_path / "case") for cohort in with_and_without_times]
    assert [job.times for job in jobs] == [cohort.cases[0].times for cohort in with_and_without_times]
    assert jobs[0].times.starts_s == (0.0, 90.0, 180.0, 270.0)
    assert jobs[0].key != jobs[1].key


def test_a_batch_reads_the_phase_that_the_times_choose(with_and_without_times, tmp_path):
    from support.models import a_bundle_folder

    bundle = a_bundle_folder(tmp_path / "bundle")
    found = []
    for cohort in with_and_without_times:
        out = tmp_path / cohort.path.stem
        words = ["--bundle", str(bundle), "--device", "cpu", "--workers", "1", "--out", str(out)]
        assert main(["batch", str(cohort.path), *words]) == 0
        [row] = rows_of(out / "readings.csv")
        found.append((row["early_phase"], row["early_phase_rule"]))
    assert found == [("1", "time"), ("3", "enhancement")]


def test_features_and_sessions_take_the_times(with_and_without_times, tmp_path):
    outlines = [manifest_outlines(cohort)[0] for cohort in with_and_without_times]
    studies = [outline.study() for outline in outlines]
    assert [phase.start_s for phase in studies[0].phases] == [0.0, 90.0, 180.0, 270.0]
    assert [phase.start_s for phase in studies[1].phases] == [None] * 4
    manifest = str(with_and_without_times[0].path)
    words = ["--cases", "1", "--readers", "A,B", "--washout-days", "14", "--out", str(tmp_path / "session")]
    assert main(["session", manifest, *words]) == 0
    [session, *_] = sorted((tmp_path / "session").rglob("session.json"))
    assert "270.0" in session.read_text()
