"""Breast DCE-MRI phantoms: one breast with skin, fat, fibroglandular tissue, vessels, chest wall and a
lesion, as two protocols see it.

Anatomy is described in mm in a frame of three coordinates: `a` anterior of the chest wall, `s` superior, `u`
lateral (away from the sternum, on either side). Skin and chest wall are height fields a(s, u), so every
tissue is a comparison of depths.

Sources: Tofts et al., J Magn Reson Imaging 1999;10:223 (uptake); Parker et al., Magn Reson Med 2006;56:993
(arterial input); Rakow-Penner et al., J Magn Reson Imaging 2006;23:87 and Stanisz et al., Magn Reson Med
2005;54:507 (T1); Rohrer et al., Invest Radiol 2005;40:715 (relaxivity); Burgess et al., Med Phys 2001;28:419
(power-law texture of the breast); Gudbjartsson & Patz, Magn Reson Med 1995;34:910 (Rician noise).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .anatomy import Breast, rasterise_vessels, tissue_shares, vessel_paths
from .fields import normal_noise, power_law_texture, soft_step
from .kinetics import TISSUES, Uptake
from .lesions import Latents, Lesion, LesionBox, enhancement_map
from .protocols import Frame, Protocol

# Image


def render(
    protocol: Protocol,
    frame: Frame,
    breast: Breast,
    lesion: Lesion,
    box: LesionBox,
    uptake: Uptake,
    latents: Latents,
    anatomy: np.random.Generator,
    noise: Sequence[np.random.Generator],
    phases: Sequence[int],
) -> dict[int, np.ndarray]:
    """Images (K, J, I) int16 of the phases asked for, by phase index; `noise` has a generator for each of the
    protocol's phases.
    """
    texture = power_law_texture(anatomy, protocol)
    vessels = vessel_paths(anatomy, breast)
    gain = protocol.signal * math.exp(0.12 * anatomy.standard_normal())
    tilts = anatomy.normal(0, protocol.coil_tilt, 2)
    before, *_ = every_phase = uptake.signals(protocol)
    signals = every_phase[list(phases)]

    shares = tissue_shares(breast, frame, texture)
    clean = (signals[:, : len(shares)] @ shares.reshape(len(shares), -1)).reshape(
        len(signals), *protocol.shape
    )
    _paint_vessels(clean, vessels, frame, signals[:, TISSUES.index("blood")])
    tumour = TISSUES.index("lesion")
    _paint_lesion(
        clean,
        box,
        enhancement_map(lesion, box, latents),
        before[tumour],
        signals[:, tumour] - before[tumour],
        frame,
    )

    # Fat and gland are not quite even either; then the coil, and the receiver's gain.
    texture *= np.float32(0.05)
    texture += np.float32(1)
    texture *= _coil(protocol, frame, tilts) * np.float32(gain)
    clean *= texture
    return {phase: _rician(image, gain / protocol.snr, noise[phase]) for phase, image in zip(phases, clean)}


def _paint_vessels(
    images: np.ndarray, paths: Sequence[tuple[np.ndarray, np.ndarray]], frame: Frame, blood: np.ndarray
) -> None:
    """Lays vessels over the images (phases, K, J, I); `blood` is the signal of blood in each phase."""
    voxels, share = rasterise_vessels(paths, frame)
    flat = images.reshape(len(images), -1)
    flat[:, voxels] += share * (blood[:, None] - flat[:, voxels])


def _paint_lesion(
    images: np.ndarray,
    box: LesionBox,
    pattern: np.ndarray,
    before: float,
    enhancement: np.ndarray,
    frame: Frame,
) -> None:
    """Lays the lesion and its spicules over the images (phases, K, J, I): its signal before contrast, its
    mean enhancement in each phase.

    The pattern multiplies the enhancement of the signal, not the concentration: so the mean signal does not
    depend on it.
    """
    width = 1.3 * frame.geometry.spacing[0]
    spicules = np.minimum(box.spicule_mm - box.outside_mm, 0.25 * width)
    share = soft_step(np.maximum(-box.outside_mm, spicules), width)
    images = images[(slice(None), *box.box)]
    images += share * (before + enhancement[:, None, None, None] * pattern - images)


def _coil(protocol: Protocol, frame: Frame, tilts: np.ndarray) -> np.ndarray:
    """The receive coil's smooth sensitivity, 1 about the middle of the breast, falling towards the back."""
    forward = np.exp(np.clip(frame.a - 40, -140, 60) / np.float32(protocol.coil_fall_mm)).astype(np.float32)
    across = np.exp(np.float32(tilts[0]) * frame.s / 80 - (frame.s / 160) ** 2) * np.exp(
        np.float32(tilts[1]) * frame.u / 80 - (frame.u / 180) ** 2
    )
    return forward * across


def _rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of the signal with complex noise of the given sd, rounded to int16; works in place on
    `signal`.
    """
    real = normal_noise(rng, signal.shape)
    real *= np.float32(sigma)
    real += signal
    real *= real
    imaginary = normal_noise(rng, signal.shape)
    imaginary *= np.float32(sigma)
    imaginary *= imaginary
    real += imaginary
    np.sqrt(real, out=real)
    real += np.float32(0.5)
    return real.astype(np.int16)
