"""Where a Vision Transformer looked: attention maps of its blocks, and their statistics.

Three methods, all for the token the model classifies from (CLS; a model pooled without CLS uses the mean of
its patch tokens):

- rollout: per block the mean over heads, plus identity, rows re-normalised, multiplied through (Abnar &
  Zuidema, ACL 2020);
- last: the mean over heads of the last block;
- gradient: the positive part of gradient x attention, mean over heads, R <- R + A R (Chefer et al., ICCV
  2021), for the predicted class. Its rows need not sum to 1.

A map is not causal evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from HER2ViTLib.messages import InputError

METHODS = ("rollout", "last", "gradient")
FOCUS_LEVEL = 0.5
MIN_FOCUS_PATCHES = 2


def attention_modules(model: nn.Module) -> list[Any]:
    """The attention modules of a timm ViT, first block first. Raises `InputError` for a model without global
    attention (a CNN).
    """
    blocks: Any = getattr(model, "blocks", [])
    modules = [getattr(block, "attn", None) for block in blocks]
    known = modules and all(hasattr(m, "attn_drop") and hasattr(m, "fused_attn") for m in modules)
    if not known or not hasattr(getattr(model, "patch_embed", None), "grid_size"):
        raise InputError(
            f"{type(model).__name__}: has no attention over patches; attention maps need a timm Vision"
            " Transformer"
        )
    return modules


def head_mean(attention: Tensor) -> Tensor:
    """(B, heads, N, N) to (B, N, N)."""
    return attention.mean(dim=1)


@contextmanager
def recorded_attention(
    model: nn.Module, keep: Callable[[Tensor], Tensor] = lambda attention: attention
) -> Iterator[list[Tensor]]:
    """Within it, each forward appends to the list what `keep` makes of every block's attention (B, heads, N,
    N), after the softmax.

    Fused kernels never form that matrix, so they are switched off meanwhile.
    """
    modules = attention_modules(model)
    fused = [module.fused_attn for module in modules]
    recorded: list[Tensor] = []
    hooks = [
        module.attn_drop.register_forward_pre_hook(lambda _, inputs: recorded.append(keep(inputs[0])))
        for module in modules
    ]
    try:
        for module in modules:
            module.fused_attn = False
        yield recorded
    finally:
        for hook in hooks:
            hook.remove()
        for module, was_fused in zip(modules, fused):
            module.fused_attn = was_fused


def rollout(attentions: Sequence[Tensor], rows: Tensor) -> Tensor:
    """Attention rollout of some rows: `rows` (B, R, N) times the product of the blocks' matrices, last block
    first.

    `attentions` holds the mean over heads (B, N, N) per block, first block first. Identity as `rows` gives
    the whole matrix; one row costs a fraction of it.
    """
    for mean in reversed(attentions):
        # Rows of softmax attention sum to 1, so re-normalising A + I divides by 2; dividing by the sum holds
        # for any A.
        normaliser = mean.sum(dim=-1) + 1
        weighted = rows / normaliser[:, None, :]
        rows = weighted @ mean + weighted
    return rows


def gradient_relevance(attentions: Sequence[Tensor], gradients: Sequence[Tensor], rows: Tensor) -> Tensor:
    """Gradient-weighted relevance of some rows (B, R, N): R <- R + A R over the blocks, A = mean over heads
    of (gradient x attention)+.
    """
    for attention, gradient in zip(reversed(attentions), reversed(gradients)):
        rows = rows + rows @ head_mean((gradient * attention).clamp(min=0))
    return rows


def _readout_row(model: Any, batch: int, tokens: int, like: Tensor) -> Tensor:
    """(B, 1, N): 1 at the CLS token, or the mean over the patch tokens for a model pooled without CLS."""
    row = torch.zeros(batch, 1, tokens, dtype=like.dtype, device=like.device)
    prefix = model.num_prefix_tokens
    if model.global_pool == "token" and prefix:
        row[..., 0] = 1
    else:
        row[..., prefix:] = 1 / (tokens - prefix)
    return row


def attend(
    model: nn.Module,
    images: Tensor,
    method: str = "rollout",
    cutoff: float = 0.0,
    slice_counts: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """One forward of `images` (B, C, H, W): logits (B,) and attention over the patches (B, grid rows, grid
    columns).

    `cutoff` is the logit of the decision threshold; method "gradient" explains the side of it each case fell
    on. `slice_counts` says how many of the images, in their order, are slices of the first case, the second
    and so on: a case's logit is their mean. Without it each image is a case. CLS and register tokens are
    dropped from the map. Raises `InputError` for a model without attention.
    """
    if method == "gradient":
        logits, row = _gradient_row(model, images, cutoff, slice_counts or [1] * len(images))
    else:
        # Only means are kept: the memory of a block's heads then serves the next block.
        with torch.inference_mode(), recorded_attention(model, head_mean) as means:
            logits = model(images).squeeze(-1)
            row = _readout_row(model, len(images), means[-1].shape[-1], means[-1])
            row = rollout(means, row) if method == "rollout" else row @ means[-1]
    vit: Any = model  # timm's: torch does not know what a module's attributes are
    return logits, row[:, 0, vit.num_prefix_tokens :].unflatten(-1, tuple(vit.patch_embed.grid_size))


def _gradient_row(
    model: nn.Module, images: Tensor, cutoff: float, slice_counts: Sequence[int]
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad(), recorded_attention(model) as attentions:
        logits = model(images.detach().requires_grad_()).squeeze(-1)
        cases = logits.detach().split(list(slice_counts))
        of_case = torch.cat([slices.mean().expand_as(slices) for slices in cases])
        towards_call = torch.where(of_case >= cutoff, 1.0, -1.0)
        gradients = torch.autograd.grad((logits * towards_call).sum(), attentions)
    with torch.no_grad():
        row = _readout_row(model, len(images), attentions[-1].shape[-1], attentions[-1])
        return logits.detach(), gradient_relevance([a.detach() for a in attentions], gradients, row)


@dataclass(frozen=True)
class AttentionStatistics:
    """One map in numbers.

    `entropy` is normalised: 0 for one patch, 1 for an even map. `share_in_roi` is the part of the attention
    inside the outline. Foci are 8-connected regions at or above half of the maximum of at least two patches.
    """

    method: str
    entropy: float
    share_in_roi: float
    foci: int
    focal_area_mm2: float


def attention_statistics(
    grid: np.ndarray, roi: np.ndarray, patch_mm2: float, method: str
) -> AttentionStatistics:
    """Statistics of a map over the patches: `grid` and `roi` (rows, columns), `roi` the outline's share of
    each patch (0-1).

    `patch_mm2` is the area of one patch in the patient.
    """
    total = float(grid.sum())
    # Gradient relevance can be zero everywhere: then nothing stands out and the map counts as even.
    share = grid / total if total > 0 else np.full(grid.shape, 1 / grid.size)
    filled = share[share > 0]
    entropy = float(-(filled * np.log(filled)).sum() / np.log(grid.size)) if grid.size > 1 else 0.0
    foci, patches = _foci(share)
    return AttentionStatistics(
        method, min(max(entropy, 0.0), 1.0), float((share * roi).sum()), foci, patches * patch_mm2
    )


def _foci(share: np.ndarray) -> tuple[int, int]:
    """How many foci there are, and how many patches they hold together."""
    hot = (share >= FOCUS_LEVEL * share.max()).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(hot, connectivity=8)
    sizes = stats[1:count, cv2.CC_STAT_AREA]
    sizes = sizes[sizes >= MIN_FOCUS_PATCHES]
    return len(sizes), int(sizes.sum())


def patch_shares(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The outline's share of each patch: `mask` (H, W) in 0-1 averaged over a grid (rows, columns)."""
    return cv2.resize(mask, grid[::-1], interpolation=cv2.INTER_AREA)


def display_map(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The map (rows, columns) enlarged to the patch's pixels (H, W), float32; 1 at the strongest patch, never
    below 0.
    """
    grid = np.ascontiguousarray(grid, dtype=np.float32)
    peak = grid.max()
    return cv2.resize(grid / peak if peak > 0 else grid, size[::-1], interpolation=cv2.INTER_LINEAR)
