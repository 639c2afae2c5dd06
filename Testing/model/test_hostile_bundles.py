"""Hostile and odd model bundles, splits and weights: nothing is fetched, nothing is run, no more memory is
taken than a real model takes.

What is refused one by one, a fault each, is in test_bundle.py (see INPUTS.md).
"""

import copy
import hashlib
import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from HER2ViTLib.model.bundle import load_bundle, model_input
from HER2ViTTrainingLib.training.networks import Network, build_network
from support.hostile import VALUES, damaged, faults_of, outcome, places, quick, replaced, written
from support.models import TINY, a_bundle_folder, a_model

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return a_bundle_folder(
        tmp_path_factory.mktemp("good") / "bundle", notice="for tests", provenance={"seed": 1}
    )


@pytest.fixture(scope="module")
def config(good):
    return json.loads((good / "config.json").read_text())


@pytest.fixture
def folder(good, tmp_path):
    """A copy to damage; the weights are a link, since most damage is done to the config."""
    (tmp_path / "bundle").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "bundle" / name).symlink_to(good / name)
    return tmp_path / "bundle"


def with_config(folder, text):
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(text)
    return folder


def with_weights(folder, data):
    """Other weights, with a config that vouches for them."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(data)
    content = json.loads((folder / "config.json").read_text())
    content["her2vit"]["weights_sha256"] = hashlib.sha256(data).hexdigest()
    return with_config(folder, json.dumps(content))


def works(bundle):
    preprocessing = bundle.settings.preprocessing
    with torch.inference_mode():
        logit = bundle.model(model_input(torch.rand(1, *preprocessing.size), preprocessing))
    score = bundle.settings.calibration.score(float(logit))
    assert logit.shape == (1, 1)
    assert 0 <= score <= 1
    assert 0 <= bundle.settings.threshold <= 1
    assert bundle.describe().isprintable()


def loaded_or_refused(folder):
    bundle, faults = outcome(load_bundle, folder)
    if faults is None:
        works(bundle)
    else:
        assert len(faults) == 1
        assert str(folder) in faults[0]
    return faults


# config.json


@quick(150)
@given(st.data())
def test_any_setting_may_be_anything(tmp_path_factory, good, config, data):
    folder = tmp_path_factory.getbasetemp() / "any setting"
    folder.mkdir(exist_ok=True)
    if not (folder / "model.safetensors").exists():
        (folder / "model.safetensors").symlink_to(good / "model.safetensors")
    place = data.draw(st.sampled_from(list(places(config))))
    (folder / "config.json").write_text(written(replaced(config, place, data.draw(st.sampled_from(VALUES)))))
    loaded_or_refused(folder)


@quick(60)
@given(st.integers(0, 10**6))
def test_configs_damaged_anywhere(tmp_path_factory, good, seed):
    folder = tmp_path_factory.getbasetemp() / "damaged config"
    folder.mkdir(exist_ok=True)
    if not (folder / "model.safetensors").exists():
        (folder / "model.safetensors").symlink_to(good / "model.safetensors")
    (folder / "config.json").write_bytes(damaged((good / "config.json").read_bytes(), seed))
    loaded_or_refused(folder)


ARCHITECTURES = (
    *(
        "hf-hub:timm/vit_tiny_patch16_224.augreg_in21k",
        "hf_hub:a/b",
        "local-dir:/etc",
        "local-dir:.",
        "../x",
        "/etc/passwd",
        "C:\\x",
        "a/b",
        "",
    ),
    *(
        "vit_tiny_patch16_224.nobody",
        "VIT_TINY_PATCH16_224",
        "vit_tiny_patch16_224\0",
        "vit_tiny_patch16_224 ",
        "vit_tiny_patch16_224?x",
        "__init__",
    ),
    *(
        "naflexvit_base_patch16_gap",
        "samvit_base_patch16",
        "resnet18",
        "swin_tiny_patch4_window7_224",
        "convnext_tiny",
        "eva02_tiny_patch14_224",
    ),
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_names_of_networks_fetch_and_open_nothing(folder, config, architecture):
    assert (
        loaded_or_refused(with_config(folder, json.dumps({**config, "architecture": architecture})))
        is not None
    )


ARGUMENTS = {
    "pretrained": True,
    "pretrained_cfg": {"hf_hub_id": "someone/something", "url": "http://127.0.0.1/x", "custom_load": True},
    "pretrained_cfg_overlay": {"file": "/etc/passwd"},
    "checkpoint_path": "/etc/passwd",
    "cache_dir": "/tmp",
    "scriptable": True,
    "global_pool": "eval('1')",
    "drop_path": "0.1",
    "drop_path_rate": 0.1,
    "block_fn": "builtins.exec",
    "norm_layer": "os.system",
    "act_layer": "__import__",
    "weight_init": "jax",
    "depth": 10**9,
    "embed_dim": 10**9,
    "num_heads": 0,
    "patch_size": 1,
    "img_size": [1024, 1024, 1024],
    "mlp_ratio": 1e-9,
    "reg_tokens": 16,
    "in_chans": 1,
    "class_token": False,
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_networks(folder, config, name):
    arguments = {**TINY, name: ARGUMENTS[name]}
    assert loaded_or_refused(with_config(folder, json.dumps({**config, "model_args": arguments}))) is not None


def test_arguments_that_would_take_the_memory_of_a_cluster_take_none(folder, config):
    """Attention over a million patches: the weights of such a network are small, its maps are not."""
    model = {**TINY, "patch_size": 2, "img_size": 1024, "embed_dim": 3, "num_heads": 3}
    assert "patches" in faults_of(
        load_bundle, with_config(folder, json.dumps({**config, "model_args": model}))
    )


def test_pretrained_settings_of_the_config_are_not_followed(folder, config):
    """timm's own section could name files and addresses. It is not looked at."""
    hostile = {
        "url": "http://127.0.0.1/x",
        "hf_hub_id": "a/b",
        "file": "/etc/passwd",
        "custom_load": "hf",
        "source": "hf-hub",
    }
    content = {**config, "pretrained_cfg": {**config["pretrained_cfg"], **hostile}}
    assert loaded_or_refused(with_config(folder, json.dumps(content))) is None


def test_preprocessing_that_does_not_fit_the_network_is_refused_when_it_is_loaded(folder, config):
    for change in ({"size": [48, 48]}, {"mean": [0.5], "std": [0.5]}, {"size": [64, 1024]}):
        content = copy.deepcopy(config)
        content["her2vit"]["preprocessing"].update(change)
        folder = with_config(folder, json.dumps(content))
        assert "preprocessing" in faults_of(load_bundle, folder)


def test_json_that_reads_differently_elsewhere_is_refused(folder, good):
    text = (good / "config.json").read_text()
    assert "twice" in faults_of(
        load_bundle,
        with_config(folder, text.replace('"num_classes": 1,', '"num_classes": 1, "num_classes": 1,', 1)),
    )
    assert "not JSON" in faults_of(load_bundle, with_config(folder, text.replace('"for tests"', '"\\ud800"')))
    assert "not JSON" in faults_of(load_bundle, with_config(folder, "[" * 900 + "]" * 900))


def test_notices_cannot_steer_a_terminal(folder, config):
    content = copy.deepcopy(config)
    content["her2vit"]["notice"] = "\x1b[2Jfine\n\x07\N{RIGHT-TO-LEFT OVERRIDE}text"
    assert load_bundle(with_config(folder, json.dumps(content))).notice == "[2Jfine text"


# model.safetensors


def a_file(header, data=b"\0" * 64, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


FILES = {
    "nothing": b"",
    "a few bytes": b"\0\0\0",
    "no header": a_file(b""),
    "a header that is too long": a_file({}, length=2**63 - 1),
    "a header longer than the file": a_file({}, length=10_000),
    "a negative length": a_file({}, length=2**64 - 1),
    "a header that is no JSON": a_file(b"x" * 100),
    "a header nested deeply": a_file(b"[" * 50_000),
    "overlapping tensors": a_file({"a": tensor(), "b": tensor(offsets=(2, 6))}),
    "offsets beyond the file": a_file({"a": tensor(shape=(10**6,), offsets=(0, 4 * 10**6))}),
    "offsets backwards": a_file({"a": tensor(offsets=(4, 0))}),
    "negative offsets": a_file({"a": tensor(offsets=(-4, 0))}),
    "another size than the shape": a_file({"a": tensor(shape=(7,))}),
    "a shape whose product overflows": a_file({"a": tensor(shape=(2**32, 2**32))}),
    "a negative shape": a_file({"a": tensor(shape=(-1,))}),
    "an unknown type": a_file({"a": tensor(dtype="OBJECT")}),
    "holes": a_file({"a": tensor(offsets=(32, 36))}),
    "a pickle": pickle.dumps({"a": 1}),
    "a zip": b"PK\x03\x04" + b"\0" * 100,
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_safetensors_file_is_refused(folder, tmp_path, kind):
    assert "not a safetensors file" in faults_of(load_bundle, with_weights(folder, FILES[kind]))
    (tmp_path / "weights.safetensors").write_bytes(FILES[kind])
    faults_of(build_network, Network("vit_tiny_patch16_224", 64, str(tmp_path / "weights.safetensors")), 1)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.int64,
        torch.int8,
        torch.bool,
        torch.bfloat16,
        torch.float64,
        torch.float8_e4m3fn,
        torch.complex64,
    ],
)
@pytest.mark.parametrize("name", ["head.bias", "blocks.0.attn.qkv.weight"])
def test_tensors_of_other_types(folder, tmp_path, dtype, name):
    tensors = {**load_file(folder / "model.safetensors")}
    tensors[name] = tensors[name].to(dtype)
    save_file(tensors, tmp_path / "x.safetensors")
    faults = loaded_or_refused(with_weights(folder, (tmp_path / "x.safetensors").read_bytes()))
    assert (faults is None) == (dtype in (torch.bfloat16, torch.float64, torch.float8_e4m3fn))


def test_numbers_that_only_double_precision_holds_are_refused(folder, tmp_path):
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {**tensors, "head.bias": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "x.safetensors"
    )
    assert "infinite" in faults_of(
        load_bundle, with_weights(folder, (tmp_path / "x.safetensors").read_bytes())
    )


@quick(60)
@given(st.integers(0, 10**6))
def test_weights_damaged_anywhere(tmp_path_factory, good, seed):
    folder = tmp_path_factory.getbasetemp() / "damaged weights"
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((good / name).read_bytes())
    loaded_or_refused(with_weights(folder, damaged((good / "model.safetensors").read_bytes(), seed)))


def test_what_is_no_file_is_refused_at_once(folder, config):
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")
    assert "pipe" in faults_of(load_bundle, folder)
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    faults_of(load_bundle, folder)
    for name in ("x" * 300, "a\0b", "/dev/null", ""):
        faults_of(load_bundle, folder / name)


# Weights to start from


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was opened')",))


def test_starting_weights_are_safetensors_whatever_their_name(tmp_path):
    state = {
        name: value
        for name, value in a_model(img_size=64).state_dict().items()
        if not name.startswith("head")
    }
    save_file(state, tmp_path / "weights.pth")
    network = build_network(Network("vit_tiny_patch16_224", 64, str(tmp_path / "weights.pth")), 1)
    assert torch.equal(network.blocks[0].attn.qkv.weight.detach(), state["blocks.0.attn.qkv.weight"])
    assert "state_dict" not in network.pretrained_cfg
    for name in ("weights.safetensors", "weights.pth", "weights.bin"):
        (tmp_path / name).write_bytes(pickle.dumps(Hostile()))
        faults_of(build_network, Network("vit_tiny_patch16_224", 64, str(tmp_path / name)), 1)
    save_file({**state, "cls_token": torch.full((1, 1, 192), np.nan)}, tmp_path / "nan.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("nan.safetensors", "other.safetensors", "pipe.safetensors", "x" * 300):
        faults_of(build_network, Network("vit_tiny_patch16_224", 64, str(tmp_path / name)), 1)


# The command


def test_the_command_says_it_in_one_line(folder, config, tmp_path, refused):
    from HER2ViTLib.sample import sample_phases, sample_roi

    with_config(folder, json.dumps({**config, "architecture": "hf-hub:a/b"}))
    line = refused(
        ["read", *sample_phases(), "--roi", sample_roi(), "--bundle", folder, "--out", tmp_path / "out"]
    )
    assert "not a timm model" in line
    assert not (tmp_path / "out").exists()
