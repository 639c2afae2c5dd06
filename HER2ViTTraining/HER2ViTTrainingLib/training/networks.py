"""The network: built, and started from pretrained weights."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import safetensors.torch
import timm
import torch
from torch import nn

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import require_file
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.preprocessing import Preprocessing, SquarePreprocessing, StudyPreprocessing


@dataclass(frozen=True)
class Network:
    """Which network to train, and from which weights: "imagenet" (from the hub), "none", or a safetensors
    file of timm's key names.

    `model_args` goes to timm as it is (a smaller member of the family, say).
    """

    architecture: str = "vit_tiny_patch16_224"
    img_size: int | None = None
    pretrained: str = "imagenet"
    model_args: Mapping[str, Any] = field(default_factory=dict)


def model_args(network: Network) -> dict[str, Any]:
    """What timm builds the network with. Networks that take any size get none. Raises `InputError` for one
    that timm does not know.
    """
    name = network.architecture
    if "/" in name or ":" in name or not timm.is_model(name):
        raise InputError(f"architecture {name!r}: timm has no such model; see timm.list_models()")
    fixed = (timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()).fixed_input_size
    return {**network.model_args, **({"img_size": network.img_size} if network.img_size and fixed else {})}


def stored_model_args(network: Network) -> dict[str, Any]:
    """What the bundle keeps of `model_args`: dropout of any kind is for training, and has no part in a
    reading.
    """
    return {name: value for name, value in model_args(network).items() if "drop" not in name}


def build_network(network: Network, seed: int) -> nn.Module:
    """A network with one logit. Raises `InputError`, one line, for unknown names, weights that do not fit, or
    a hub out of reach.
    """
    arguments = model_args(network)
    # They log every retry and every odd tensor; we report one line.
    for library in ("huggingface_hub", "timm"):
        logging.getLogger(library).setLevel(logging.ERROR)
    torch.manual_seed(seed)
    if network.pretrained == "none":
        return timm.create_model(network.architecture, num_classes=1, **arguments)
    if network.pretrained == "imagenet":
        return _from_hub(network, arguments)
    return _from_file(network, arguments, Path(network.pretrained))


def _from_hub(network: Network, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return timm.create_model(network.architecture, pretrained=True, num_classes=1, **arguments)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"ImageNet weights of {network.architecture} cannot be had from the hub ({type(error).__name__}:"
            f" {reason}); give a file with --pretrained FILE.safetensors, or --pretrained none"
        ) from error


def _from_file(network: Network, arguments: Mapping[str, Any], path: Path) -> nn.Module:
    path = require_file(path, "imagenet, none or a .safetensors file")
    try:
        # Opened here, not by timm: that would take a file with another ending for a pickle.
        tensors = safetensors.torch.load_file(path)
        if not tensors or not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("weights that are not finite, or none at all")
        model = timm.create_model(
            network.architecture,
            pretrained=True,
            num_classes=1,
            pretrained_cfg_overlay={"state_dict": tensors},
            **arguments,
        )
    except (safetensors.SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise _unfit(network, path, error) from error
    _pretrained_cfg(model).pop("state_dict", None)
    try:
        _require_all_but_head(model, tensors)
    except KeyError as error:
        raise _unfit(network, path, error) from error
    return model


def _unfit(network: Network, path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: does not hold the weights of {network.architecture} ({' '.join(str(error).split())[:120]})"
    )


def _require_all_but_head(model: nn.Module, names: Collection[str]) -> None:
    """Raises `KeyError` for a tensor that the file lacks: timm would silently leave it at random."""
    head = _pretrained_cfg(model)["classifier"]
    heads = (head,) if isinstance(head, str) else tuple(head)
    for name in model.state_dict():
        if name not in names and not name.startswith(heads):
            raise KeyError(f"{name} is missing")


def _pretrained_cfg(model: nn.Module) -> dict[str, Any]:
    """What timm notes at a model about its weights; torch's types know only tensors and modules there."""
    return cast(dict[str, Any], model.pretrained_cfg)


def preprocessing_for(preset: str, network: Network) -> Preprocessing:
    """The preset at the network's input size, with the network's own mean and sd where the preset uses
    them.
    """
    pretrained = timm.get_pretrained_cfg(network.architecture) or timm.models.PretrainedCfg()
    _, height, width = pretrained.input_size
    size = (network.img_size, network.img_size) if network.img_size else (height, width)
    if preset == "study":
        return StudyPreprocessing(size=size)
    return SquarePreprocessing(size=size, mean=pretrained.mean, std=pretrained.std)


def weights_sha256(network: Network) -> str | None:
    """The hash of the file with the starting weights, None where there is none."""
    return file_sha256(network.pretrained) if network.pretrained not in ("imagenet", "none") else None
