"""What happens to the score when the patches that a map points at are taken out, or put in alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .maps import Viewed

SHARES = np.linspace(0, 1, 11)
"""Of the patches that are taken out, or put in."""
RANDOM_ORDERS = 5
"""Each is taken forwards and backwards."""
_BATCH = 64


@dataclass(frozen=True)
class Orders:
    """By order of the patches ("random", or the method of a map): the mean probability of the called side
    (n,) while patches are taken out, most important first, and while they are put in.
    """

    deletion: dict[str, np.ndarray]
    insertion: dict[str, np.ndarray]

    def gains(self, method: str) -> dict[str, np.ndarray]:
        """What a map's order does better than random ones (n,): how much lower the probability is on average
        while patches are taken out, how much higher while they are put in.
        """
        return {
            "deletion": self.deletion["random"] - self.deletion[method],
            "insertion": self.insertion[method] - self.insertion["random"],
        }


def delete_and_insert(
    viewed: Viewed, case: int, maps: dict[str, np.ndarray], seed: int
) -> dict[str, tuple[float, float]]:
    """Of one case: by order, the mean over SHARES of the probability of the side it was called (Petsiuk et
    al., BMVC 2018), while patches are taken out and while they are put in. A patch that is out has the mean
    grey of the image.

    `maps` (n, patches) are by method. Random orders are averaged; taking out in one is putting in, in another
    one.
    """
    rng = np.random.default_rng((seed, case))
    patches = viewed.outlines.shape[1]
    of_maps = {method: np.argsort(-values[case], kind="stable") for method, values in maps.items()}
    orders = [*of_maps.values(), *(rng.permutation(patches) for _ in range(RANDOM_ORDERS))]
    kept = []
    for order in orders:
        place = np.empty(patches, int)
        place[order] = np.arange(patches)
        out = place[None, :] < np.round(SHARES * patches)[:, None]
        kept += [~out, out]
    probabilities = _probabilities(viewed, case, np.concatenate(kept))
    means = np.trapezoid(probabilities.reshape(len(orders), 2, len(SHARES)), SHARES, axis=2)
    found = {method: tuple(means[n].tolist()) for n, method in enumerate(of_maps)}
    found["random"] = (float(means[len(of_maps) :].mean()),) * 2
    return found


def _probabilities(viewed: Viewed, case: int, kept: np.ndarray) -> np.ndarray:
    """The calibrated probability of the side the case was called (m,), of its image with only the patches
    that are `kept` (m, patches).
    """
    image = viewed.inputs[case]
    grey = image.mean(dim=(1, 2), keepdim=True)
    logits = []
    with torch.inference_mode():
        for part in torch.from_numpy(kept).to(viewed.device).split(_BATCH):
            shown = _enlarged(part, viewed.grid, tuple(image.shape[1:]))
            logits.append(viewed.model(torch.where(shown[:, None], image, grey)).squeeze(-1))
    platt = viewed.bundle.settings.calibration
    calibrated = platt.slope * torch.cat(logits).cpu().double().numpy() + platt.intercept
    towards = 1 if viewed.logits[case] >= viewed.cutoff else -1
    return 1 / (1 + np.exp(-towards * calibrated))


def _enlarged(patches: Tensor, grid: tuple[int, int], size: tuple[int, ...]) -> Tensor:
    """Patches (m, patches) as pixels (m, H, W)."""
    rows, columns = grid
    shown = patches.view(-1, rows, columns)
    return shown.repeat_interleave(size[0] // rows, 1).repeat_interleave(size[1] // columns, 2)
