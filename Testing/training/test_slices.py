"""Several slices a case, from the training to the reading: the bundle keeps their number and reads as it was
trained.
"""

import numpy as np
import pytest
from safetensors.torch import save_file

from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from HER2ViTTrainingLib.training import runs
from HER2ViTTrainingLib.training.inputs import make_input
from support.csv_files import rows_of
from support.models import a_model


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(40, 5, PROTOCOLS["A"], folder, scale=0.4)
    return folder / "manifest.csv"


@pytest.mark.parametrize("recipe", [("--recipe", "probe"), ("--epochs", "1")])
def test_a_model_of_three_slices_reads_as_its_predictions_say(manifest, tmp_path, recipe, monkeypatch):
    # What is learnt from a few cases is not the question here.
    monkeypatch.setattr(runs, "platt_calibration", lambda labels, logits: Calibration(1.3, 0.2))
    weights = tmp_path / "weights.safetensors"
    save_file(a_model(architecture="vit_tiny_patch16_224", img_size=64).state_dict(), weights)
    shared = ["--task", "zero-vs-rest", "--img-size", "64", "--pretrained", str(weights), "--device", "cpu"]
    out = tmp_path / "bundle"
    assert main(["train", str(manifest), *shared, "--slice-count", "3", *recipe, "--out", str(out)]) == 0
    bundle = load_bundle(out)
    assert bundle.settings.preprocessing.slice_count == 3
    assert "up to 3 slices" in (out / "README.md").read_text()
    row = rows_of(out / "predictions.csv")[-1]
    case = next(case for case in read_manifest(manifest).cases if case.case_id == row["case_id"])
    study = load_study(case.images)
    task = Reader([bundle], "cpu").read(study, read_roi(case.roi, study.geometry)).tasks["task1"]
    assert len(task.slices) == 3
    assert task.score == pytest.approx(float(row["score"]), abs=1e-5)


def test_a_case_is_made_into_its_slices_the_largest_first(manifest):
    case = read_manifest(manifest).cases[0]
    one = make_input(case, SquarePreprocessing(size=(64, 64)))
    three = make_input(case, SquarePreprocessing(size=(64, 64), slice_count=3))
    assert three.images.shape == (3, 64, 64)
    assert np.array_equal(three.images[0], one.images[0])
    assert not np.array_equal(three.images[0], three.images[1])
    assert (three.slice, three.area_mm2) == (one.slice, one.area_mm2)
