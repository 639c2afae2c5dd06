"""A simulated patient as a protocol sees them: DCE-MRI of one breast with skin, fat, fibroglandular tissue,
vessels, chest wall and a lesion, and two readers' outlines.

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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from HER2ViTLib.imaging.volume import Geometry, Volume

from .anatomy import rasterise_vessels, tissue_shares, vessel_paths
from .case_key import CaseKey
from .fields import normal_noise, power_law_texture, soft_step
from .kinetics import TISSUES
from .lesions import LesionBox, enhancement_map, lesion_box, reader_outlines
from .patients import Patient, draw_patient
from .protocols import Frame, Protocol, frame_of


@dataclass(frozen=True)
class SimulatedCase:
    """A simulated study. `phases` int16 volumes in time order, `times_s` their middles after the start of
    contrast (negative: before).

    `rois` holds `roi_a1`, `roi_a2`, `roi_b1`, boolean (K, J, I) like `true_mask`; `clinical` are the
    manifest's clinical columns.
    """

    case_id: str
    her2_status: str
    phases: list[Volume]
    times_s: tuple[float, ...]
    early_phase: int
    rois: dict[str, np.ndarray]
    true_mask: np.ndarray
    latents: dict[str, float]
    clinical: dict[str, Any]


def simulate_case(key: CaseKey, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """A case in memory; `phases` picks some of the protocol's phases to save time, the rest of the case stays
    the same.
    """
    return image_patient(draw_patient(key), protocol, phases)


def image_patient(patient: Patient, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """The patient's study by a protocol, or some of its phases, with the readers' outlines."""
    chosen = range(len(protocol.times_s)) if phases is None else phases
    frame = frame_of(protocol, patient.left, patient.zoom)
    box = lesion_box(patient.lesion, frame)
    images = _render(patient, protocol, frame, box, chosen)
    outlines = reader_outlines(patient.key.stream("outlines"), box)
    return SimulatedCase(
        case_id=patient.key.case_id,
        her2_status=patient.her2_status,
        phases=[Volume(image, frame.geometry) for image in images],
        times_s=tuple(protocol.times_s[phase] for phase in chosen),
        early_phase=protocol.early_phase,
        rois={name: _on_the_image(frame.geometry, box, outline) for name, outline in outlines.items()},
        true_mask=_on_the_image(frame.geometry, box, box.outline()),
        latents=asdict(patient.latents),
        clinical=patient.clinical,
    )


def _on_the_image(geometry: Geometry, box: LesionBox, outline: np.ndarray) -> np.ndarray:
    """An outline of the box on the whole image (K, J, I)."""
    mask = np.zeros(geometry.shape, bool)
    mask[box.box] = outline
    return mask


def _render(
    patient: Patient, protocol: Protocol, frame: Frame, box: LesionBox, phases: Sequence[int]
) -> list[np.ndarray]:
    """Images (K, J, I) int16 of the phases asked for, in that order."""
    # The order of these draws is part of every simulated case.
    anatomy = patient.key.stream("texture")
    texture = power_law_texture(anatomy, protocol)
    vessels = vessel_paths(anatomy, patient.breast)
    gain = protocol.signal * math.exp(0.12 * anatomy.standard_normal())
    tilts = anatomy.normal(0, protocol.coil_tilt, 2)

    every_phase = patient.uptake.signals(protocol)
    signals = every_phase[list(phases)]
    shares = tissue_shares(patient.breast, frame, texture)
    mixed = signals[:, : len(shares)] @ shares.reshape(len(shares), -1)
    clean = mixed.reshape(len(signals), *protocol.shape)
    _paint_vessels(clean, vessels, frame, signals[:, TISSUES.index("blood")])
    lesion = TISSUES.index("lesion")
    before = every_phase[0, lesion]
    pattern = enhancement_map(patient.lesion, box, patient.latents)
    _paint_lesion(clean, box, pattern, before, signals[:, lesion] - before, frame)

    # Fat and gland are not quite even either; then the coil, and the receiver's gain.
    texture *= np.float32(0.05)
    texture += np.float32(1)
    texture *= _coil(protocol, frame, tilts) * np.float32(gain)
    clean *= texture
    sigma = gain / protocol.snr
    return [_rician(image, sigma, patient.key.stream("noise", phase)) for phase, image in zip(phases, clean)]


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
