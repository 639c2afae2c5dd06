"""A model's maps of cases, and maps of the same model with weights that were randomised layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from HER2ViTLib.model.attention import METHODS, attend, patch_shares
from HER2ViTLib.model.bundle import Bundle, model_input

from .cases import Cases

BATCH = 16


@dataclass(frozen=True)
class Viewed:
    """A bundle's network on its device, and what it makes of cases: inputs (n, C, H, W), raw logits (n,), the
    decision threshold as a logit, the outlines' shares (n, patches) of each patch.
    """

    bundle: Bundle
    device: torch.device
    inputs: Tensor
    logits: np.ndarray
    cutoff: float
    outlines: np.ndarray
    grid: tuple[int, int]

    @property
    def model(self) -> Any:
        return self.bundle.model


def view(bundle: Bundle, cases: Cases, device: torch.device) -> Viewed:
    """The cases as a bundle sees them. Raises `InputError` for a network without attention over patches."""
    settings = bundle.settings
    model: Any = bundle.model.to(device)
    inputs = model_input(torch.from_numpy(cases.images).to(device), settings.preprocessing)
    cutoff = settings.calibration.logit_of(settings.threshold)
    logits, _ = attend(model, inputs[:1])
    grid = tuple(model.patch_embed.grid_size)
    outlines = np.stack([patch_shares(outline, grid).ravel() for outline in cases.outlines])
    with torch.inference_mode():
        logits = torch.cat([model(part).squeeze(-1) for part in inputs.split(BATCH)])
    return Viewed(bundle, device, inputs, logits.cpu().double().numpy(), cutoff, outlines, grid)


def maps_of(model: nn.Module, inputs: Tensor, cutoff: float) -> dict[str, np.ndarray]:
    """The map of each case by method (n, patches)."""
    found = {}
    for method in METHODS:
        parts = [attend(model, part, method, cutoff)[1] for part in inputs.split(BATCH)]
        found[method] = torch.cat(parts).flatten(1).cpu().double().numpy()
    return found


def randomised(model: nn.Module, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """The network with its weights randomised from the output down (cascading randomisation; Adebayo et al.,
    NeurIPS 2018): last layer, then each block from the last to the first, then the patches' embedding. Each
    step keeps what the steps before it randomised.

    The values of each tensor change places at random. So their distribution stays, and a map cannot change
    because of the size of the weights.
    """
    drawn: Any = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    blocks = list(drawn.blocks)
    steps = [("last layer", _parameters(drawn.get_classifier()) + _parameters(getattr(drawn, "norm", None)))]
    steps += [(f"block {n + 1}", _parameters(blocks[n])) for n in reversed(range(len(blocks)))]
    done = {id(one) for _, part in steps for one in part}
    steps.append(("embedding", [one for one in drawn.parameters() if id(one) not in done]))
    for name, parameters in steps:
        for tensor in parameters:
            order = torch.randperm(tensor.numel(), generator=generator).to(tensor.device)
            tensor.data = tensor.data.flatten()[order].view_as(tensor)
        yield name, drawn


def _parameters(module: nn.Module | None) -> list[nn.Parameter]:
    return [] if module is None else list(module.parameters())
