"""Who a simulated patient is: HER2 status, hidden variables, anatomy, uptake of contrast, clinical data and
follow-up. `images` shows how a protocol sees them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .anatomy import Breast
from .case_key import CaseKey
from .clinical import draw_clinical, draw_follow_up
from .hidden import Latents, draw_hidden
from .kinetics import Uptake
from .lesions import Lesion


@dataclass(frozen=True)
class Patient:
    """All about a case that can be told without making its images.

    `left`: the breast is the left one; `zoom`: how far the operator fits the field of view to the patient;
    `clinical`: the manifest's clinical columns.
    """

    key: CaseKey
    her2_status: str
    latents: Latents
    left: bool
    zoom: float
    breast: Breast
    lesion: Lesion
    uptake: Uptake
    clinical: dict[str, Any]


def draw_patient(key: CaseKey) -> Patient:
    """The patient of a case."""
    status, latents = draw_hidden(key)
    # The order of these draws is part of every simulated case.
    body = key.stream("body")
    left = bool(body.integers(2))
    zoom = body.uniform(0.95, 1.05)
    breast = Breast.draw(body)
    lesion = Lesion.draw(body, breast)
    uptake = Uptake.draw(body)
    size_cm = 0.2 * float(lesion.semi_axes.max())
    clinical = draw_clinical(key.stream("clinical"), status, size_cm)
    clinical |= draw_follow_up(key.stream("survival"), clinical, latents.rim)
    return Patient(key, status, latents, left, zoom, breast, lesion, uptake, clinical)
