"""Augmentation of the training images."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

ROTATION_DEGREES = 15.0
ZOOM = 0.1
GAMMA = 1.5
NOISE = 0.03
COARSE_SIDE = 56
"""Pixels a side of the copy that an image is blurred towards, at most all the way."""
MAX_SHARPENED = 0.5
"""How far it goes at most in the other direction: away from that copy."""
MIN_RANGE = 1e-6
"""Of an image's intensities: an even image is not divided by zero."""


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """A batch (B, 1, H, W) as other patients and other scanners might give it: one random transform per
    image.

    Flips, rotation and zoom (the edge repeated); then contrast (gamma), sharpness and noise, as shares of the
    image's own range, so that any preset's intensities will do. The transforms are drawn on the CPU, so that
    every device sees the same.
    """
    draws = torch.rand(7, len(images), generator=generator) * 2 - 1
    moved = _move(images, *draws[:4])
    low = moved.amin((1, 2, 3), keepdim=True)
    high = moved.amax((1, 2, 3), keepdim=True)
    gamma, sharpness, noise = draws[4:].to(images.device).view(3, -1, 1, 1, 1)
    shares = ((moved - low) / (high - low).clamp_min(MIN_RANGE)) ** (GAMMA**gamma)
    pixels = max(2, round(min(images.shape[2:]) / COARSE_SIDE))
    averaged = functional.avg_pool2d(shares, pixels, ceil_mode=True)
    coarse = functional.interpolate(averaged, images.shape[2:], mode="bilinear")
    shares = shares.lerp(coarse, (sharpness + 1 + MAX_SHARPENED * (sharpness - 1)) / 2)
    shares = shares + (noise + 1) / 2 * NOISE * _grain(images, generator)
    return low + (high - low) * shares


def _grain(images: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise like the images, of their device's own generator: a number for every pixel, drawn
    on the CPU, would hold up a GPU. Its seed is drawn from `generator`, so that it repeats.
    """
    if images.device != generator.device:
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        generator = torch.Generator(images.device).manual_seed(seed)
    return torch.randn(images.shape, generator=generator, device=images.device)


def _move(images: Tensor, turn: Tensor, zoom: Tensor, side: Tensor, up: Tensor) -> Tensor:
    """The images (B, 1, H, W) turned, zoomed and flipped by draws (B,) from -1 to 1 each.

    The matrices are made where the draws are: on a GPU an operation on so few numbers takes as long as one on
    the images.
    """
    angle = turn * math.radians(ROTATION_DEGREES)
    scale = 1 + zoom * ZOOM
    flip_x = side.sign()
    flip_y = up.sign()
    cos = angle.cos() * scale
    sin = angle.sin() * scale
    zero = torch.zeros_like(scale)
    row_x = torch.stack([cos * flip_x, -sin * flip_x, zero], 1)
    row_y = torch.stack([sin * flip_y, cos * flip_y, zero], 1)
    affine = torch.stack([row_x, row_y], 1).to(images.device)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
