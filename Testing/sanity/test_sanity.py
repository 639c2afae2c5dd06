"""Whether the checks of attention maps find what is there, on models whose answer is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.model.calibration import Calibration
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.sanity.checking import (
    MethodSanity,
    Sanity,
    _orders,
    mean_over_patients,
    rank_correlations,
)
from HER2ViTTrainingLib.sanity.deletion import delete_and_insert
from HER2ViTTrainingLib.sanity.maps import Viewed, maps_of, randomised
from HER2ViTTrainingLib.sanity.verdict import score_tells, sentence, verdict_of
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import Resampling
from support.csv_files import write_csv
from support.models import a_bundle_folder, a_model

GEOMETRY = Geometry((6, 40, 44), (1.2, 1.2, 3.0), (5.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
PLAN = Resampling(100, 1)


def test_rank_correlations_equal_scipy():
    rng = np.random.default_rng(1)
    maps = rng.integers(0, 5, (6, 16)).astype(float)  # with ties
    others = rng.normal(size=(6, 16)) + maps
    expected = [spearmanr(one, other).statistic for one, other in zip(maps, others)]
    assert rank_correlations(maps, others) == pytest.approx(expected)
    assert rank_correlations(np.ones((1, 16)), others[:1]) == [0]


def test_weights_are_randomised_from_the_output_down():
    model = a_model(depth=2, embed_dim=48, num_heads=3, img_size=64)
    original = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed = {}
    for step, drawn in randomised(model, seed=1):
        state = drawn.state_dict()
        changed[step] = {name for name in state if not torch.equal(state[name], original[name])}
        for name, tensor in state.items():
            assert torch.equal(tensor.flatten().sort().values, original[name].flatten().sort().values)
    assert list(changed) == ["last layer", "block 2", "block 1", "embedding"]
    assert changed["last layer"] == {"head.weight"}  # the others are all 0 or all 1 here
    assert not any(name.startswith("blocks.0") for name in changed["block 2"])
    assert "patch_embed.proj.weight" in changed["embedding"] - changed["block 1"]
    assert all(torch.equal(tensor, original[name]) for name, tensor in model.state_dict().items())


def test_a_map_of_other_weights_is_another_map():
    model = a_model(3).requires_grad_(False)
    inputs = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    own = maps_of(model, inputs, 0.0)
    *_, (_, drawn) = randomised(model, seed=1)
    others = maps_of(drawn, inputs, 0.0)
    for method, values in own.items():
        assert values.shape == (5, 16)
        assert rank_correlations(values, values) == pytest.approx(1)
        assert (np.abs(rank_correlations(values, others[method])) < 0.9).all()


class OnePatch(torch.nn.Module):
    """Sees the mean of one patch of 4 x 4 pixels in an image of 16 x 16."""

    def forward(self, images):
        return 4 * images[:, 0, 4:8, 8:12].mean(dim=(1, 2))[:, None]


def viewed_by_one_patch(towards=1.0):
    images = torch.full((2, 3, 16, 16), -towards)
    images[:, :, 4:8, 8:12] = towards
    logits = OnePatch()(images)[:, 0].numpy()
    bundle = SimpleNamespace(
        model=OnePatch(), settings=SimpleNamespace(calibration=Calibration(1.0, 0.0), threshold=0.5)
    )
    return Viewed(bundle, torch.device("cpu"), images, logits, 0.0, np.zeros((2, 16)), (4, 4))


@pytest.mark.parametrize("towards", [1.0, -1.0])
def test_taking_out_what_the_score_rests_on_lowers_it_and_only_that(towards):
    viewed = viewed_by_one_patch(towards)
    right = np.zeros((2, 16))
    right[:, 6] = 1  # the patch in row 1, column 2
    maps = {"right": right, "wrong": -right}
    found = [delete_and_insert(viewed, case, maps, seed=1) for case in range(2)]
    orders = _orders(found)
    assert all((gain > 0).all() for gain in orders.gains("right").values())
    assert all((gain < 0).all() for gain in orders.gains("wrong").values())
    # Out from the second step on: the whole image counts half a step, grey the rest of them.
    grey = float(-towards * (16 - 2) / 16)
    low = 1 / (1 + np.exp(-towards * 4 * grey))
    high = 1 / (1 + np.exp(-4))
    assert found[0]["right"][0] == pytest.approx(0.05 * high + 0.95 * low, abs=1e-6)


def test_means_are_over_patients():
    values = np.array([0.0, 0.0, 0.0, 1.0])
    found = mean_over_patients(values, np.array(["a", "a", "a", "b"]), PLAN)
    assert found.value == 0.25
    assert (found.low, found.high) == (0, 1)  # either patient alone is a resample


# The verdict


def found_with(last=0.1, gain=0.1, auc=(0.8, 0.7, 0.9)):
    def around(value):
        return Estimate(value, value - 0.05, value + 0.05)

    of = MethodSanity(
        {"last layer": around(0.9), "embedding": around(last)},
        *(around(gain), around(gain), around(0.4), around(0.2), around(0.0)),
    )
    cases = SimpleNamespace(labels=np.arange(12) % 2 == 1, patients=np.arange(12))
    methods = dict.fromkeys(("rollout", "last", "gradient"), of)
    return Sanity(None, cases, methods, {}, Estimate(*auc), PLAN)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({}, "followed the learnt weights"),
        ({"last": 0.8}, "no map passed"),
        ({"gain": 0.01}, "no map passed"),
        ({"auc": (0.6, 0.45, 0.75)}, "did not tell the classes apart"),
        ({"auc": (float("nan"),)}, "undefined, one class only"),
    ],
)
def test_the_sentence_says_yes_and_no(changes, told):
    found = found_with(**changes)
    assert told in sentence(found)
    passes = verdict_of(found.methods["gradient"]).passes
    assert ("followed the learnt weights" in sentence(found)) == (passes and score_tells(found))


# The command


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    rows = []
    for n in range(12):
        k, j, i = np.indices(GEOMETRY.shape)
        lesion = ((k - 3) / 2) ** 2 + ((j - 20) / (5 + n % 4)) ** 2 + ((i - 22) / 7) ** 2 <= 1
        image = np.random.default_rng(n).normal(100, 10, GEOMETRY.shape) + 150 * lesion
        write_volume(Volume(image.astype(np.int16), GEOMETRY), folder / f"c{n}.nrrd")
        write_volume(Volume(lesion.astype(np.uint8), GEOMETRY), folder / f"c{n}_roi.nrrd")
        status = ("zero", "low")[n % 2]
        files = {"image": f"c{n}.nrrd", "roi": f"c{n}_roi.nrrd"}
        rows.append({"case_id": f"c{n}", **files, "her2_status": status})
    write_csv(folder / "manifest.csv", rows)
    write_csv(folder / "few.csv", rows[:9])
    a_bundle_folder(folder / "bundle")
    return folder


def test_random_weights_get_the_answer_no(archive, tmp_path, capsys):
    """A tiny network that nobody trained."""
    out = tmp_path / "out"
    words = ["sanity", archive / "bundle", archive / "manifest.csv", "--device", "cpu", "--out", out]
    assert main([str(word) for word in [*words, "--resamples", 50]]) == 0
    assert "did not tell the classes apart" in capsys.readouterr().out
    found = json.loads((out / "sanity.json").read_text())
    assert not found["score_tells"]
    assert found["n"] == 12
    assert set(found["methods"]) == {"rollout", "last", "gradient"}
    for of in found["methods"].values():
        assert list(of["steps"]) == ["last layer", "block 2", "block 1", "embedding"]
        assert 0 <= of["inside"]["value"] <= 1
    assert found["methods"]["rollout"]["steps"]["last layer"]["value"] == pytest.approx(1)
    page = (out / "sanity.html").read_text()
    assert "Research use only" in page
    assert found["sentence"].split("(")[0] in page
    assert (out / "sanity.png").exists()
    again = tmp_path / "again"
    assert main([str(word) for word in [*words[:-1], again, "--resamples", 50]]) == 0
    assert (again / "sanity.json").read_bytes() == (out / "sanity.json").read_bytes()


def test_too_few_cases_are_told_how_many_more(archive, tmp_path, refused):
    line = refused(["sanity", archive / "bundle", archive / "few.csv", "--out", tmp_path / "out"])
    assert "9 cases that zero-vs-rest asks about, where 10 are needed: 1 more would do" in line
