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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from HER2ViTLib.files.inputs import is_folder, parse_json, read_file
from HER2ViTLib.files.output import write_atomically
from HER2ViTLib.her2 import TASKS, Task
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError

from .calibration import Calibration
from .preprocessing import Preprocessing, preprocessing_from_json

SCHEMA = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
MAX_CONFIG_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 16 << 30
MAX_TOKENS = 4096
"""Patches of an image that a model may look at: 1024 x 1024 pixels in patches of 16. Attention takes memory
by their square.
"""
# What a model may be built with. The limits keep a hostile config from asking for more memory or time than
# any real model takes.
MAX_MODEL_ARGUMENT = {
    "img_size": 1024, "patch_size": 64, "in_chans": 3, "embed_dim": 4096, "depth": 64, "num_heads": 64, "mlp_ratio": 8, "reg_tokens": 16,
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a bundle holds beside the network: what turns a logit into a call, and where the model comes from.

    `threshold` is on the calibrated scale. `prevalence` is the positive class's share of the development set.
    `training_percentiles` gives per property the 1st and 99th percentile over the training set; a case
    outside is reported as unlike it. `notice` is shown wherever the model's result is.
    """

    task: Task
    preprocessing: Preprocessing
    threshold: float
    calibration: Calibration
    prevalence: float
    training_percentiles: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    splits_sha256: str | None = None
    notice: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "task": self.task.name,
            "preprocessing": self.preprocessing.to_json(),
            "threshold": self.threshold,
            "calibration": {"slope": self.calibration.slope, "intercept": self.calibration.intercept},
            "prevalence": self.prevalence,
            "training_percentiles": {
                name: list(limits) for name, limits in self.training_percentiles.items()
            },
            "splits_sha256": self.splits_sha256,
            "notice": self.notice,
            "provenance": dict(self.provenance),
        }


@dataclass(frozen=True)
class Bundle:
    """A verified bundle: its settings and its network, ready to run on the CPU.

    `sha256` is the hash of config.json, which holds that of the weights, and so names the whole bundle.
    """

    name: str
    architecture: str
    settings: Settings
    model: nn.Module
    sha256: str

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
    mean, std = (
        torch.tensor(values, device=images.device).view(1, -1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
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
    pretrained = {
        key: model.pretrained_cfg[key] for key in ("first_conv", "classifier") if key in model.pretrained_cfg
    }
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

    Raises `InputError`, one line, for anything missing, altered (SHA-256), out of range, or not plain JSON
    and safetensors.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise InputError(
            f"{folder}: is not a bundle folder; give the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    try:
        return _load(folder)
    except InputError as error:
        raise InputError(
            [fault if str(folder) in fault else f"{folder}: {fault}" for fault in error.faults]
        ) from error


def _load(folder: Path) -> Bundle:
    raw_config = _read(folder / CONFIG_FILE, MAX_CONFIG_BYTES)
    config = _parse_config(raw_config)
    ours = _mapping(config, "her2vit")
    settings = _settings(ours)
    architecture, model_args = _architecture(config)
    raw_weights = _read(folder / WEIGHTS_FILE, MAX_WEIGHTS_BYTES)
    found = hashlib.sha256(raw_weights).hexdigest()
    if found != ours.get("weights_sha256"):
        wanted = str(ours.get("weights_sha256"))
        raise InputError(
            f"{WEIGHTS_FILE} has SHA-256 {found[:12]}..., {CONFIG_FILE} says {wanted[:12]}...; get the bundle"
            " anew"
        )
    try:
        tensors = safetensors.torch.load(raw_weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(
            f"{WEIGHTS_FILE} is not a safetensors file ({error}); get the bundle anew"
        ) from error
    model = _build(architecture, model_args, tensors, settings.preprocessing)
    return Bundle(
        folder.resolve().name, architecture, settings, model, hashlib.sha256(raw_config).hexdigest()
    )


def _read(path: Path, largest: int) -> bytes:
    if not path.exists():
        raise InputError(f"{path.name} is missing; get the bundle anew")
    return read_file(path, "the bundle anew", largest)


def _parse_config(raw: bytes) -> Mapping[str, Any]:
    try:
        config = parse_json(raw)
    except ValueError as error:
        raise InputError(f"{CONFIG_FILE} is not JSON ({str(error)[:80]}); get the bundle anew") from error
    if not isinstance(config, dict):
        raise InputError(f"{CONFIG_FILE} holds no settings; get the bundle anew")
    return config


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key, {} if key in ("training_percentiles", "provenance", "model_args") else None)
    if not isinstance(value, dict):
        raise InputError(
            f"{CONFIG_FILE}: section {key!r} is missing; only bundles written by her2vit can be read"
        )
    return value


def _number(ours: Mapping[str, Any], key: str, low: float, high: float) -> float:
    value = ours.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{CONFIG_FILE}: {key} is {value!r}; it must be a number from {low:g} to {high:g}")
    return float(value)


def _settings(ours: Mapping[str, Any]) -> Settings:
    if ours.get("schema") != SCHEMA:
        raise InputError(
            f"{CONFIG_FILE}: schema {ours.get('schema')!r}; this version reads {SCHEMA}: update her2vit or"
            " the bundle"
        )
    task = TASKS.get(ours["task"]) if isinstance(ours.get("task"), str) else None
    if task is None:
        raise InputError(f"{CONFIG_FILE}: task {ours.get('task')!r}; it must be {' or '.join(TASKS)}")
    platt = _mapping(ours, "calibration")
    slope = _number(platt, "slope", -1e6, 1e6)
    if slope <= 0:
        raise InputError(
            f"{CONFIG_FILE}: calibration slope {slope:g} would turn the scores round; train the model again"
        )
    notice, splits = ours.get("notice", ""), ours.get("splits_sha256")
    if not isinstance(notice, str) or len(notice) > 500:
        raise InputError(f"{CONFIG_FILE}: notice must be a text of at most 500 characters")
    limits = _mapping(ours, "training_percentiles")
    percentiles = {name: _percentiles(name, pair) for name, pair in limits.items()}
    return Settings(
        task=task,
        preprocessing=preprocessing_from_json(_mapping(ours, "preprocessing")),
        threshold=_number(ours, "threshold", 0, 1),
        calibration=Calibration(slope, _number(platt, "intercept", -1e6, 1e6)),
        prevalence=_number(ours, "prevalence", 0, 1),
        training_percentiles=percentiles,
        splits_sha256=splits if isinstance(splits, str) else None,
        notice=" ".join("".join(c if c.isprintable() else " " for c in notice).split()),
        provenance=_mapping(ours, "provenance"),
    )


def _percentiles(name: str, pair: Any) -> tuple[float, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise InputError(f"{CONFIG_FILE}: training percentiles of {name!r} must be two numbers")
    low, high = (_number({name: value}, name, -1e12, 1e12) for value in pair)
    return low, high


def _architecture(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The timm model and its arguments. A name with a scheme would make timm fetch or open something else:
    refused.
    """
    architecture = config.get("architecture")
    if (
        not isinstance(architecture, str)
        or ":" in architecture
        or "/" in architecture
        or not timm.is_model(architecture)
    ):
        raise InputError(
            f"{CONFIG_FILE}: architecture {str(architecture)[:60]!r} is not a timm model; update timm or the"
            " bundle"
        )
    if config.get("num_classes") != 1:
        raise InputError(
            f"{CONFIG_FILE}: num_classes {config.get('num_classes')!r}; a bundle's model has one logit"
        )
    arguments = _mapping(config, "model_args")
    for name, value in arguments.items():
        _require_known_argument(name, value)
    return architecture, dict(arguments)


def _require_known_argument(name: str, value: Any) -> None:
    largest = MAX_MODEL_ARGUMENT.get(name)
    values = value if isinstance(value, list) and name == "img_size" else [value]
    sound = largest is not None and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and 0 < v <= largest for v in values
    )
    if name == "global_pool":
        sound = value in ("token", "avg")
    if name == "class_token":
        sound = isinstance(value, bool)
    if not sound:
        raise InputError(
            f"{CONFIG_FILE}: model argument {name}={value!r} is unknown or out of range; get the bundle anew"
        )


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


def _build(
    architecture: str,
    model_args: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
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
    wanted, given = (
        {name: (tuple(t.shape), t.is_floating_point()) for name, t in named.items()}
        for named in (model.state_dict(), tensors)
    )
    if wanted != given:
        wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        raise InputError(
            f"{WEIGHTS_FILE} does not fit {architecture}: {len(wrong)} tensors differ, first"
            f" {wrong[0][:60]!r}; get the bundle anew"
        )
    state = {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }
    if not all(torch.isfinite(tensor).all() for tensor in state.values() if tensor.is_floating_point()):
        raise InputError(f"{WEIGHTS_FILE} holds NaN or infinite weights; train the model again")
    if set(dict(model.named_buffers())) - set(state):
        # Buffers that are computed, not stored (rotary positions), need a network that was really built.
        model = timm.create_model(architecture, pretrained=False, num_classes=1, **model_args)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)
