"""The recipe `probe`: the encoder stays as it was, the last layer is a ridge regression, and the bundle reads
like any other.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.model.attention import METHODS
from HER2ViTLib.model.bundle import load_bundle, model_input
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from HER2ViTTrainingLib.training.inputs import make_input
from HER2ViTTrainingLib.training.probe import embeddings_of
from support.csv_files import rows_of, write_csv
from support.models import a_model


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A simulated cohort of 48 from three sites."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(48, 5, PROTOCOLS["A"], folder, scale=0.4)
    rows = rows_of(folder / "manifest.csv")
    for n, row in enumerate(rows):
        row["site"] = "ABC"[n % 3]
    return write_csv(folder / "with_sites.csv", rows)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(a_model(architecture="vit_tiny_patch16_224", img_size=64).state_dict(), path)
    return path


def train(manifest, weights, out, *words):
    options = ["--task", "low-vs-positive", "--recipe", "probe", "--img-size", "64", "--device", "cpu"]
    return main(["train", str(manifest), *options, "--pretrained", str(weights), "--out", str(out), *words])


@pytest.fixture(scope="module")
def out(manifest, weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe") / "bundle"
    # A seed whose validation set the frozen random encoder ranks the right way round.
    assert any(train(manifest, weights, folder, "--seed", str(seed)) == 0 for seed in range(1, 6))
    return folder


def test_only_the_last_layer_is_new(out, weights):
    before = load_file(weights)
    after = load_file(out / "model.safetensors")
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_the_head_is_a_ridge_regression_on_the_embeddings(out, manifest, tmp_path):
    """scikit-learn on embeddings that timm gives itself, with the penalty of the bundle."""
    bundle = load_bundle(out)
    cases = {case.case_id: case for case in read_manifest(manifest).cases}
    rows = [row for row in rows_of(out / "predictions.csv") if row["set"] == "training"]
    preprocessing = bundle.settings.preprocessing
    images = np.concatenate([make_input(cases[row["case_id"]], preprocessing).images for row in rows])
    with torch.inference_mode():
        tokens = bundle.model.forward_features(model_input(torch.from_numpy(images), preprocessing))
    embeddings = tokens[:, 0].double().numpy()
    z = (embeddings - embeddings.mean(axis=0)) / embeddings.std(axis=0)
    labels = [int(row["label"]) for row in rows]
    penalty = bundle.settings.provenance["penalty"]
    ridge = LogisticRegression(C=1 / penalty / len(rows), tol=1e-9, max_iter=10000).fit(z, labels)
    expected = ridge.predict_proba(z)[:, 1]
    assert [float(row["score_raw"]) for row in rows] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_it_reads_as_its_predictions_say_with_every_attention(out, manifest, method):
    row = rows_of(out / "predictions.csv")[0]
    case = next(case for case in read_manifest(manifest).cases if case.case_id == row["case_id"])
    study = load_study(case.images)
    reading = Reader([load_bundle(out)], "cpu", method).read(study, read_roi(case.roi, study.geometry))
    assert reading.tasks["task2"].score == pytest.approx(float(row["score"]), abs=1e-5)
    assert reading.tasks["task2"].attention_map.max() > 0


def test_the_card_the_history_and_the_sites_are_told(out):
    card = (out / "README.md").read_text()
    assert "Recipe `probe`, only the last layer fitted, ridge penalty" in card
    assert "epoch" not in card
    assert set(rows_of(out / "history.csv")[0]) == {"penalty", "cross_validated_loss"}
    rows = rows_of(out / "predictions.csv")
    assert {row["site"] for row in rows} == {"A", "B", "C"}
    assert set(rows[0]) == {
        *("case_id", "set", "label", "score", "score_raw", "patient_id", "seed", "calibrated", "threshold"),
        "site",
    }


def test_folds_give_every_case_a_score_and_run_again_gives_the_same(manifest, weights, tmp_path):
    words = ("--folds", "3", "--cache", str(tmp_path / "cache"))
    assert train(manifest, weights, tmp_path / "folds", *words) == 0
    first = (tmp_path / "folds" / "predictions.csv").read_bytes()
    rows = rows_of(tmp_path / "folds" / "predictions.csv")
    assert len({row["case_id"] for row in rows}) == len(rows)
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    assert train(manifest, weights, tmp_path / "folds", *words) == 0
    assert (tmp_path / "folds" / "predictions.csv").read_bytes() == first


def test_kept_embeddings_are_those_of_these_weights(tmp_path):
    images = np.random.default_rng(0).random((2, 64, 64)).astype(np.float32)
    from HER2ViTLib.model.preprocessing import SquarePreprocessing

    preprocessing = SquarePreprocessing(size=(64, 64))
    first = embeddings_of(a_model(0), images, preprocessing, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert np.array_equal(embeddings_of(a_model(0), images, preprocessing, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 2
    assert not np.allclose(embeddings_of(a_model(1), images, preprocessing, tmp_path), first)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "3"], "recipe probe has no epochs"),
        (["--pretrained", "none"], "leaves the encoder as it starts"),
    ],
)
def test_what_makes_no_sense_with_it_is_refused(manifest, weights, tmp_path, capsys, words, said):
    assert train(manifest, weights, tmp_path / "out", *words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_it_does_not_take_the_place_of_a_training_of_all_weights(manifest, weights, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "checkpoint.safetensors").write_bytes(b"")
    assert train(manifest, weights, tmp_path / "out") == 2
    assert "belongs to a training of all weights" in capsys.readouterr().err
