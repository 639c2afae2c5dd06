"""Bundles: what is saved comes back, timm reads it too, and broken or hostile folders are refused with one
line.
"""

import json
import pickle
import shutil

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import load_bundle, save_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from support.models import TINY, a_bundle_folder, a_model, settings


@pytest.fixture
def folder(tmp_path):
    return a_bundle_folder(
        tmp_path / "bundle", splits_sha256="ab" * 32, notice="for tests", provenance={"seed": 1}
    )


def test_a_bundle_comes_back_as_it_was_saved(folder):
    bundle = load_bundle(folder)
    assert bundle.settings == settings(splits_sha256="ab" * 32, notice="for tests", provenance={"seed": 1})
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(bundle.model(images), a_model()(images))
    assert "zero-vs-rest" in bundle.describe()
    assert "for tests" in bundle.describe()
    assert "Research use only" in (folder / "README.md").read_text()


def test_timm_itself_loads_it(folder):
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model(images), a_model()(images))


def test_half_precision_weights_run_in_single_precision(tmp_path):
    bundle = load_bundle(a_bundle_folder(tmp_path / "half", half=True))
    assert {p.dtype for p in bundle.model.parameters()} == {torch.float32}
    images = torch.randn(1, 3, 64, 64)
    assert torch.allclose(bundle.model(images), a_model()(images), atol=0.02)


def test_networks_with_computed_buffers_are_rebuilt(tmp_path):
    arguments = {"img_size": 56}
    model = a_model(architecture="eva02_tiny_patch14_224", **arguments)
    fitting = settings(preprocessing=SquarePreprocessing(size=(56, 56)))
    save_bundle(tmp_path / "eva", model, "eva02_tiny_patch14_224", arguments, fitting, "card")
    images = torch.randn(1, 3, 56, 56)
    assert torch.equal(load_bundle(tmp_path / "eva").model(images), model(images))


def test_calibration_and_its_inverse():
    platt = Calibration(1.7, -0.4)
    assert platt.score(platt.logit_of(0.37)) == pytest.approx(0.37)
    assert Calibration().score(-1000.0) == 0
    assert Calibration().logit_of(0.0) == -float("inf")


def rewrite(folder, change):
    """Changes the config after a function, and keeps it JSON."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def ours(key, value):
    return lambda folder: rewrite(folder, lambda config: config["her2vit"].__setitem__(key, value))


def top(key, value):
    return lambda folder: rewrite(folder, lambda config: config.__setitem__(key, value))


def resave(change):
    def damage(folder):
        import hashlib

        tensors = change(load_file(folder / "model.safetensors"))
        save_file(tensors, folder / "model.safetensors")
        digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        ours("weights_sha256", digest)(folder)

    return damage


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


def pickled(folder):
    import hashlib

    data = pickle.dumps(Hostile())
    (folder / "model.safetensors").write_bytes(data)
    ours("weights_sha256", hashlib.sha256(data).hexdigest())(folder)


FAULTS = {
    "wrong hash": (ours("weights_sha256", "00" * 32), "SHA-256"),
    "no hash": (ours("weights_sha256", None), "SHA-256"),
    "a pickle renamed": (pickled, "not a safetensors file"),
    "truncated weights": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000]),
        "SHA-256",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "missing"),
    "no config": (lambda f: (f / "config.json").unlink(), "missing"),
    "config not JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "config not text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "not JSON"),
    "config a list": (lambda f: (f / "config.json").write_text("[]"), "no settings"),
    "config deeply nested": (lambda f: (f / "config.json").write_text("[" * 200_000), "not JSON"),
    "config huge": (lambda f: (f / "config.json").write_text(" " * (2 << 20)), "more than any real one"),
    "not ours": (top("her2vit", None), "her2vit"),
    "other schema": (ours("schema", 99), "schema 99"),
    "other task": (ours("task", ["zero-vs-rest"]), "task"),
    "threshold a text": (ours("threshold", "0.5"), "threshold"),
    "threshold NaN": (ours("threshold", float("nan")), "threshold"),
    "slope zero": (ours("calibration", {"slope": 0, "intercept": 0}), "slope"),
    "slope negative": (ours("calibration", {"slope": -1, "intercept": 0}), "slope"),
    "percentiles odd": (ours("training_percentiles", {"x": [1]}), "percentiles"),
    "preprocessing odd": (
        ours("preprocessing", {"preset": "square", "size": [10**7, 10**7]}),
        "preprocessing square: size is [10000000, 10000000]; it must be two whole numbers from 16 to 1024",
    ),
    "a model of the hub": (top("architecture", "hf-hub:someone/something"), "not a timm model"),
    "a path": (top("architecture", "local-dir:/etc"), "not a timm model"),
    "an unknown model": (top("architecture", "vit_of_nobody"), "not a timm model"),
    "another model": (top("architecture", "vit_base_patch32_224"), "does not fit"),
    "two classes": (top("num_classes", 2), "one logit"),
    "a hostile argument": (
        top("model_args", {**TINY, "pretrained_cfg": {"url": "http://x"}}),
        "pretrained_cfg",
    ),
    "a huge argument": (top("model_args", {**TINY, "depth": 10**9}), "depth"),
    "an impossible argument": (top("model_args", {**TINY, "num_heads": 7}), "cannot be built"),
    "another shape": (resave(lambda t: {**t, "head.weight": torch.zeros(1, 7)}), "does not fit"),
    "another tensor": (resave(lambda t: {**t, "extra": torch.zeros(1)}), "does not fit"),
    "NaN weights": (resave(lambda t: {**t, "head.bias": torch.full((1,), float("nan"))}), "NaN"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_and_hostile_folders_are_refused_with_one_line(folder, fault):
    damage, expected = FAULTS[fault]
    damage(folder)
    with pytest.raises(InputError) as error:
        load_bundle(folder)
    assert len(error.value.faults) == 1
    assert "\n" not in error.value.faults[0].strip()
    assert expected in str(error.value)
    assert str(folder) in str(error.value)


def test_a_file_or_nothing_in_the_place_of_a_folder(tmp_path, folder):
    shutil.copy(folder / "config.json", tmp_path / "file")
    for path in (tmp_path / "file", tmp_path / "nothing"):
        with pytest.raises(InputError, match="not a bundle folder"):
            load_bundle(path)


def test_a_calibration_that_turns_the_scores_round_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="slope"):
        a_bundle_folder(tmp_path / "x", calibration=Calibration(-1.0, 0.0))
