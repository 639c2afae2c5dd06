"""Training a Vision Transformer with one logit on patches.

Augmentation runs on the batch, on the device. Everything random comes from one seed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .evaluation import auc


@dataclass(frozen=True)
class Patches:
    """Model inputs and labels: `images` (n, H, W) uint8, grey in 0-255; `labels` (n,) 0 or 1."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: AdamW, linear warm-up then cosine, class-weighted cross-entropy, averaged weights (EMA)."""

    epochs: int = 30
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.1
    averaging: float = 0.99
    rotation_degrees: float = 15.0
    zoom: float = 0.1
    noise: float = 0.01


@dataclass(frozen=True)
class Epoch:
    """One line of the history."""

    epoch: int
    train_loss: float
    validation_auc: float


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random flips, rotation, zoom and noise of a batch (B, C, H, W); one transform per image, edges repeated."""
    n = len(images)

    def uniform(spread: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1).to(images.device) * spread

    angle, scale = uniform(math.radians(recipe.rotation_degrees)), 1 + uniform(recipe.zoom)
    flip_x, flip_y = uniform(1).sign(), uniform(1).sign()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    zero = torch.zeros_like(cos)
    affine = torch.stack([torch.stack([cos * flip_x, -sin * flip_x, zero], 1), torch.stack([sin * flip_y, cos * flip_y, zero], 1)], 1)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    noise = torch.randn(moved.shape, generator=generator).to(moved.device)
    return moved + recipe.noise * noise


def learning_rate_factor(step: int, steps: int, warm_up: float) -> float:
    """Linear warm-up over the first share of the steps, then a half cosine to zero."""
    ramp = max(1, int(warm_up * steps))
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, steps - ramp)))


def predict(model: nn.Module, images: np.ndarray, channels: Callable[[Tensor], Tensor], batch: int = 64) -> np.ndarray:
    """Logits (n,) of patches (n, H, W) uint8."""
    model.eval()
    with torch.inference_mode():
        chunks = [model(channels(torch.from_numpy(images[n : n + batch]))).squeeze(-1) for n in range(0, len(images), batch)]
    return torch.cat(chunks).double().cpu().numpy()


def fit(
    model: nn.Module,
    train: Patches,
    validation: Patches,
    channels: Callable[[Tensor], Tensor],
    recipe: Recipe,
    seed: int,
    report: Callable[[Epoch], None] = lambda _: None,
) -> nn.Module:
    """Trains the model and returns the averaged weights of the epoch with the best validation AUC.

    `channels` takes patches (B, H, W) uint8 to the model's input (B, C, H, W) float32.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    steps_an_epoch = len(train.labels) // recipe.batch
    steps = steps_an_epoch * recipe.epochs
    optimizer = torch.optim.AdamW(_parameter_groups(model, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, recipe.warm_up))
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.averaging))
    images, labels = torch.from_numpy(train.images), torch.from_numpy(train.labels.astype(np.float32))
    weight = (len(labels) - labels.sum()) / labels.sum()
    best, best_auc = copy.deepcopy(averaged.module), -1.0
    for epoch in range(recipe.epochs):
        model.train()
        losses = []
        order = torch.randperm(len(labels), generator=generator)
        for n in range(steps_an_epoch):
            chosen = order[n * recipe.batch : (n + 1) * recipe.batch]
            batch = augment(channels(images[chosen]), recipe, generator)
            loss = functional.binary_cross_entropy_with_logits(model(batch).squeeze(-1), labels[chosen], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            averaged.update_parameters(model)
            losses.append(float(loss.detach()))
        found = auc(validation.labels, predict(averaged.module, validation.images, channels))
        if found > best_auc:
            best, best_auc = copy.deepcopy(averaged.module), found
        report(Epoch(epoch, float(np.mean(losses)), found))
    return best.eval()


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Biases, norms and position embeddings are not decayed."""
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1 and "pos_embed" not in name and "cls_token" not in name]
    kept = {id(p) for p in decayed}
    plain = [p for p in model.parameters() if id(p) not in kept]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
