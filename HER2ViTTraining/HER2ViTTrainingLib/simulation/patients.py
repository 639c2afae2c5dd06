"""Simulated cohorts: breast DCE-MRI, two readers' outlines, clinical data, follow-up and RNA counts whose
true answers are known.

HER2 status acts on images through two hidden variables only: `heterogeneity` tells zero from low and positive
(Task 1), `rim` low from positive (Task 2). Everything else an image shows is drawn without regard to status.
What a model learns here shows that the pipeline works, not that HER2 can be read from images.

Every case comes from its own random streams, seeded by (seed, case, protocol, stream): it is the same
whatever the number of cases, the order or the process it is made in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.messages import InputError

from .anatomy import Breast
from .clinical import draw_clinical, draw_follow_up
from .images import render
from .kinetics import Uptake
from .lesions import Latents, Lesion, LesionBox, lesion_box, reader_outlines
from .protocols import Protocol, frame_of
from .random_streams import case_id_of, draw_hidden, random_stream

# One case


@dataclass(frozen=True)
class Patient:
    """All about a case that can be told without making its image."""

    index: int
    seed: int
    protocol_name: str
    her2_status: str
    latents: Latents
    left: bool
    zoom: float
    breast: Breast
    lesion: Lesion
    uptake: Uptake
    clinical: dict[str, Any]

    @property
    def case_id(self) -> str:
        """Protocol, seed and number: unique over cohorts, and says nothing about the case."""
        return case_id_of(self.protocol_name, self.seed, self.index)


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


def draw_patient(index: int, seed: int, protocol_name: str) -> Patient:
    """Case `index` of a seed: status, latent variables, anatomy, kinetics and clinical data. Raises
    `InputError` for a negative seed.
    """
    if seed < 0 or index < 0:
        raise InputError(f"seed {seed}, case {index}: must not be negative")
    status, latents = draw_hidden(index, seed, protocol_name)
    body = random_stream(seed, index, protocol_name, "body")
    left, zoom = bool(body.integers(2)), body.uniform(0.95, 1.05)
    breast = Breast.draw(body)
    lesion = Lesion.draw(body, breast)
    uptake = Uptake.draw(body)
    clinical = draw_clinical(
        random_stream(seed, index, protocol_name, "clinical"), status, 0.2 * float(lesion.semi_axes.max())
    )
    clinical.update(
        draw_follow_up(random_stream(seed, index, protocol_name, "survival"), clinical, latents.rim)
    )
    return Patient(index, seed, protocol_name, status, latents, left, zoom, breast, lesion, uptake, clinical)


def simulate_case(
    index: int, seed: int, protocol: Protocol, phases: Sequence[int] | None = None
) -> SimulatedCase:
    """Case `index` of a seed in memory; `phases` picks some of the protocol's phases to save time, the rest
    of the case stays the same.
    """
    return image_patient(draw_patient(index, seed, protocol.name), protocol, phases)


def image_patient(patient: Patient, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """The patient's study by a protocol, or some of its phases."""
    chosen = range(len(protocol.times_s)) if phases is None else phases
    frame = frame_of(protocol, patient.left, patient.zoom)
    box = lesion_box(patient.lesion, frame)
    streams = partial(random_stream, patient.seed, patient.index, patient.protocol_name)
    noise = [streams("noise", phase) for phase in range(len(protocol.times_s))]
    images = render(
        protocol,
        frame,
        patient.breast,
        patient.lesion,
        box,
        patient.uptake,
        patient.latents,
        streams("texture"),
        noise,
        chosen,
    )
    outlines = reader_outlines(streams("outlines"), box)
    return SimulatedCase(
        case_id=patient.case_id,
        her2_status=patient.her2_status,
        phases=[Volume(image, frame.geometry) for image in images.values()],
        times_s=tuple(protocol.times_s[phase] for phase in images),
        early_phase=protocol.early_phase,
        rois={name: _on(frame.geometry, box, outline) for name, outline in outlines.items()},
        true_mask=_on(frame.geometry, box, box.outline()),
        latents=asdict(patient.latents),
        clinical=patient.clinical,
    )


def _on(geometry: Geometry, box: LesionBox, outline: np.ndarray) -> np.ndarray:
    """An outline of the box on the whole image."""
    mask = np.zeros(geometry.shape, bool)
    mask[box.box] = outline
    return mask
