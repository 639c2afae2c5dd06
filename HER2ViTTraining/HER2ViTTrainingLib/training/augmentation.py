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
MAX_SHARPENED = 0.5
"""An image goes at most all the way to its copy of so many pixels a side, or half that way in the other
direction.
"""
MIN_RANGE = 1e-6


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """A batch (B, 1, H, W) as other patients and other scanners might give it: one random transform per
    image.

    Flips, rotation and zoom (the edge repeated); then contrast (gamma), sharpness and noise, as shares of the
    image's own range, so that any preset's intensities will do. Random numbers are drawn on the CPU, so that
    every device sees the same transforms.
    """
    draws = torch.rand(7, len(images), generator=generator).to(images.device) * 2 - 1
    moved = _move(images, *draws[:4])
    low, high = moved.amin((1, 2, 3), keepdim=True), moved.amax((1, 2, 3), keepdim=True)
    gamma, sharpness, noise = draws[4:].view(3, -1, 1, 1, 1)
    shares = ((moved - low) / (high - low).clamp_min(MIN_RANGE)) ** (GAMMA**gamma)
    pixels = max(2, round(min(images.shape[2:]) / COARSE_SIDE))
    coarse = functional.interpolate(
        functional.avg_pool2d(shares, pixels, ceil_mode=True), images.shape[2:], mode="bilinear"
    )
    shares = shares.lerp(coarse, (sharpness + 1 + MAX_SHARPENED * (sharpness - 1)) / 2)
    shares = shares + (noise + 1) / 2 * NOISE * torch.randn(images.shape, generator=generator).to(
        images.device
    )
    return low + (high - low) * shares


def _move(images: Tensor, turn: Tensor, zoom: Tensor, side: Tensor, up: Tensor) -> Tensor:
    """The images (B, 1, H, W) turned, zoomed and flipped by draws (B,) from -1 to 1 each."""
    angle, scale = turn * math.radians(ROTATION_DEGREES), 1 + zoom * ZOOM
    flip_x, flip_y = side.sign(), up.sign()
    cos, sin, zero = angle.cos() * scale, angle.sin() * scale, torch.zeros_like(scale)
    affine = torch.stack(
        [
            torch.stack([cos * flip_x, -sin * flip_x, zero], 1),
            torch.stack([sin * flip_y, cos * flip_y, zero], 1),
        ],
        1,
    )
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
