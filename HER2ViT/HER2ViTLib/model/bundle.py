"""Model bundles: a folder in timm's layout (config.json, model.safetensors, README.md) with our settings
under "her2vit".

`timm.create_model("local-dir:FOLDER", pretrained=True)` loads it too. Files are data: JSON and safetensors
only, checked before use; a pickle is never opened.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from HER2ViTLib.files.inputs import is_folder, read_file
from HER2ViTLib.files.output import write_atomically
from HER2ViTLib.her2 import Task
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError

from .config import Settings, architecture_of, settings_of
from .config_file import CARD_FILE, CONFIG_FILE, MAX_CONFIG_BYTES, parse_config, section_of
from .preprocessing import Preprocessing

WEIGHTS_FILE = "model.safetensors"
MAX_WEIGHTS_BYTES = 16 << 30
MAX_TOKENS = 4096
"""Patches of an image that a model may look at: 1024 x 1024 pixels in patches of 16. Attention takes memory
by their square.
"""


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its settings and its network, ready to run on the CPU.

    `sha256` is the hash of config.json, which holds that of the weights, and so names the whole bundle.
    `scores_sha256` names what its scores follow from: network, weights, preprocessing, calibration. A bundle
    that differs in threshold or conformal part only has the same.
    """

    name: str
    architecture: str
    settings: Settings
    model: nn.Module
    sha256: str
    scores_sha256: str

    @property
    def task(self) -> Task:
        return self.settings.task

    @property
    def notice(self) -> str:
        return self.settings.notice

    def describe(self) -> str:
        """One line: task, network, preset, threshold, and the notice if there is one."""
        settings = self.settings
        line = (
            f"{settings.task.name}: {self.architecture}, preset {settings.preprocessing.preset}, threshold"
            f" {settings.threshold:.3f}"
        )
        return f"{line}; {settings.notice}" if settings.notice else line


def model_input(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Patches' images (B, H, W) as the network's input (B, C, H, W): one grey image in every channel, by the
    model's mean and sd.
    """
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, -1, 1, 1)
    return (images[:, None] - mean) / std


def save_bundle(
    folder: str | os.PathLike,
    model: nn.Module,
    architecture: str,
    model_args: Mapping[str, Any],
    settings: Settings,
    card: str,
) -> None:
    """Writes a bundle. `model` is a timm model with one logit, built as `architecture` with `model_args`;
    `card` is the model card.

    Weights are stored in the precision the model has. The card comes with the research-use notice. Raises
    `ValueError` for a calibration slope <= 0.
    """
    if not settings.calibration.slope > 0:
        raise ValueError(f"calibration slope {settings.calibration.slope} would turn the scores round")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = safetensors.torch.save(state, metadata={"format": "pt"})
    built: Any = model.pretrained_cfg
    pretrained = {key: built[key] for key in ("first_conv", "classifier") if key in built}
    size = settings.preprocessing.size
    pretrained.update(
        num_classes=1,
        input_size=[3, *size],
        fixed_input_size=True,
        interpolation="bicubic",
        crop_pct=1.0,
        mean=list(settings.preprocessing.mean),
        std=list(settings.preprocessing.std),
    )
    config = {
        "architecture": architecture,
        "num_classes": 1,
        "num_features": model.num_features,
        "model_args": dict(model_args),
        "pretrained_cfg": pretrained,
        "her2vit": {**settings.to_json(), "weights_sha256": hashlib.sha256(weights).hexdigest()},
    }
    write_atomically(folder / WEIGHTS_FILE, weights)
    write_atomically(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    write_atomically(folder / CARD_FILE, f"{card.rstrip()}\n\n{RESEARCH_NOTICE}\n".encode())


def load_bundle(folder: str | os.PathLike) -> Bundle:
    """The bundle in a folder, verified.

    Raises `InputError` for anything missing, altered (SHA-256), out of range, or not plain JSON and
    safetensors.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise InputError(
            f"{folder}: is not a bundle folder; give the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    try:
        return _load(folder)
    except InputError as error:
        named = [fault if str(folder) in fault else f"{folder}: {fault}" for fault in error.faults]
        raise InputError(named) from error


def _load(folder: Path) -> Bundle:
    raw_config = _read(folder / CONFIG_FILE, MAX_CONFIG_BYTES)
    config = parse_config(raw_config)
    ours = section_of(config, "her2vit")
    settings = settings_of(ours)
    architecture, model_args = architecture_of(config)
    raw_weights = _read(folder / WEIGHTS_FILE, MAX_WEIGHTS_BYTES)
    found = hashlib.sha256(raw_weights).hexdigest()
    if found != ours.get("weights_sha256"):
        wanted = str(ours.get("weights_sha256"))
        raise InputError(
            f"{WEIGHTS_FILE} has SHA-256 {found[:12]}..., {CONFIG_FILE} says {wanted[:12]}...; get the bundle"
            " anew"
        )
    model = _build(architecture, model_args, _weights(raw_weights), settings.preprocessing)
    return Bundle(
        name=folder.resolve().name,
        architecture=architecture,
        settings=settings,
        model=model,
        sha256=hashlib.sha256(raw_config).hexdigest(),
        scores_sha256=_scores_sha256(architecture, model_args, found, settings),
    )


def _scores_sha256(
    architecture: str, model_args: Mapping[str, Any], weights_sha256: str, settings: Settings
) -> str:
    shown = settings.to_json()
    parts = [architecture, model_args, weights_sha256, shown["preprocessing"], shown["calibration"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def save_with_settings(
    parent: str | os.PathLike, folder: str | os.PathLike, settings: Settings, heading: str
) -> None:
    """Writes the bundle of folder `parent` with other settings: the same network and weights, byte by byte.
    Its card begins with `heading` and goes on with the parent's.

    Raises `InputError` for a parent that cannot be read. Load it first: that verifies it.
    """
    parent = Path(parent)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(parse_config(_read(parent / CONFIG_FILE, MAX_CONFIG_BYTES)))
    weights = _read(parent / WEIGHTS_FILE, MAX_WEIGHTS_BYTES)
    config["her2vit"] = {**settings.to_json(), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    card = parent / CARD_FILE
    before = _read(card, MAX_CONFIG_BYTES).decode(errors="replace") if card.exists() else RESEARCH_NOTICE
    write_atomically(folder / WEIGHTS_FILE, weights)
    write_atomically(folder / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
    write_atomically(folder / CARD_FILE, f"{heading.rstrip()}\n\n{before.rstrip()}\n".encode())


def _read(path: Path, largest: int) -> bytes:
    if not path.exists():
        raise InputError(f"{path.name} is missing; get the bundle anew")
    return read_file(path, "the bundle anew", largest)


def _weights(raw: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"{WEIGHTS_FILE} is not a safetensors file ({error}); get the bundle anew"
        ) from error


def _build(
    architecture: str,
    model_args: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    preprocessing: Preprocessing,
) -> nn.Module:
    """The network in single precision with exactly these weights; shapes are compared before any memory is
    taken.
    """
    try:
        with torch.device("meta"):
            model = timm.create_model(architecture, pretrained=False, num_classes=1, **model_args).eval()
        _require_fit(model, preprocessing)
    except InputError:
        raise
    except _UNBUILDABLE as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"{CONFIG_FILE}: {architecture} cannot be built with {dict(model_args)} and its preprocessing"
            f" ({reason})"
        ) from error
    _require_forms(weights, model.state_dict(), architecture)
    state = {name: _in_single_precision(tensor) for name, tensor in weights.items()}
    if set(dict(model.named_buffers())) - set(state):
        # Buffers that are computed, not stored (rotary positions), need a network that was really built.
        model = timm.create_model(architecture, pretrained=False, num_classes=1, **model_args)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


_UNBUILDABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What timm and torch raise for arguments that make no network."""


def _require_fit(model: nn.Module, preprocessing: Preprocessing) -> None:
    """Raises unless the network takes what the preprocessing makes, tried without memory or arithmetic (on
    the meta device).
    """
    tokens = getattr(getattr(model, "patch_embed", None), "num_patches", 0)
    if tokens > MAX_TOKENS:
        raise InputError(
            f"{CONFIG_FILE}: the model looks at {tokens} patches, more than {MAX_TOKENS}; get the bundle anew"
        )
    with torch.inference_mode():
        logit = model(torch.empty(1, len(preprocessing.mean), *preprocessing.size, device="meta"))
    if logit.shape != (1, 1):
        raise ValueError("does not give one logit")


def _require_forms(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], architecture: str) -> None:
    """Raises `InputError` unless the weights are those of the network, by name, shape and kind of number."""
    wrong = list(weights.keys() ^ wanted.keys())
    wrong += [name for name in weights.keys() & wanted.keys() if _form(weights[name]) != _form(wanted[name])]
    if wrong:
        raise InputError(
            f"{WEIGHTS_FILE} does not fit {architecture}: {len(wrong)} tensors differ, first"
            f" {min(wrong)[:60]!r}; get the bundle anew"
        )


def _in_single_precision(tensor: Tensor) -> Tensor:
    """The tensor as it runs; whole numbers stay what they are. Raises `InputError` for NaN and infinity."""
    if not tensor.is_floating_point():
        return tensor
    single = tensor.float()
    if not torch.isfinite(single).all():
        raise InputError(f"{WEIGHTS_FILE} holds NaN or infinite weights; train the model again")
    return single


def _form(tensor: Tensor) -> tuple[tuple[int, ...], bool]:
    return tuple(tensor.shape), tensor.is_floating_point()
