"""Simulated cohorts: breast DCE-MRI, two readers' outlines, clinical data, follow-up and RNA counts whose true answers are known.

HER2 status acts through two hidden variables only: `heterogeneity` tells zero from low and positive (Task 1), `rim` low from positive
(Task 2). Everything else an image shows is drawn without regard to status. What a model learns here shows that the pipeline works, not
that HER2 can be read from images.

Every case comes from its own random streams, seeded by (seed, case, protocol, stream): it is the same whatever the number of cases, the
order or the process it is made in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from HER2ViTLib.messages import InputError
from HER2ViTLib.volume import Geometry, Volume

from .phantom import PROTOCOLS, Breast, Latents, Lesion, LesionBox, Protocol, Uptake, frame_of, lesion_box, reader_outlines, render

__all__ = ["PROTOCOLS", "Protocol", "SimulatedCase", "simulate_case"]

CLASS_COUNTS = {"zero": 138, "low": 344, "positive": 226}
"""The study's development cohort: the frequencies cases are drawn with."""

LATENT_DIFFERENCE = 1.94
"""Between the classes of a task, in within-class standard deviations: an AUC of 0.915 on the latent variable."""

_SHARE_LOW = CLASS_COUNTS["low"] / (CLASS_COUNTS["low"] + CLASS_COUNTS["positive"])
LATENT_MEANS = {
    # Zero's rim lies at the mean of the others', so that rim says nothing in Task 1.
    "zero": (-LATENT_DIFFERENCE / 2, LATENT_DIFFERENCE * (0.5 - _SHARE_LOW)),
    "low": (LATENT_DIFFERENCE / 2, -LATENT_DIFFERENCE / 2),
    "positive": (LATENT_DIFFERENCE / 2, LATENT_DIFFERENCE / 2),
}
"""Means of (heterogeneity, rim) by HER2 status; both are normal with unit variance within a class."""

LOG_HAZARD_RATIOS = {"age": math.log(1.09), "tumor_size_cm": math.log(1.29), "positive_ln": math.log(1.11), "rim_high": math.log(2.52)}
"""Conditional log hazard ratios, of death and of recurrence alike, per year, cm, node, and for rim > 0: the study's multivariable estimates."""

WEIBULL_SHAPE = 1.2
BASELINE_EVENTS_AT_5_YEARS = {"death": 0.035, "recurrence": 0.055}
"""Share of events within 60 months at age 52.6, 2.5 cm, no positive node, rim <= 0."""

_STREAMS = ("status", "body", "clinical", "survival", "texture", "outlines", "counts", "noise")


def _rng(seed: int, index: int, protocol: str, stream: str, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, index, ord(protocol), _STREAMS.index(stream), part])


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
        return f"{self.protocol_name}{self.seed}-{self.index:05d}"


@dataclass(frozen=True)
class SimulatedCase:
    """A simulated study. `phases` int16 volumes in time order, `times_s` their middles after the start of contrast (negative: before).

    `rois` holds `roi_a1`, `roi_a2`, `roi_b1`, boolean (K, J, I) like `true_mask`; `clinical` are the manifest's clinical columns.
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
    """Case `index` of a seed: status, latent variables, anatomy, kinetics and clinical data. Raises `InputError` for a negative seed."""
    if seed < 0 or index < 0:
        raise InputError(f"seed {seed}, case {index}: must not be negative")
    rng = _rng(seed, index, protocol_name, "status")
    status = draw_status(rng)
    latents = draw_latents(rng, status)
    body = _rng(seed, index, protocol_name, "body")
    left, zoom = bool(body.integers(2)), body.uniform(0.95, 1.05)
    breast = Breast.draw(body)
    lesion = Lesion.draw(body, breast)
    uptake = Uptake.draw(body)
    clinical = draw_clinical(_rng(seed, index, protocol_name, "clinical"), status, 0.2 * float(lesion.semi_axes.max()))
    clinical.update(draw_follow_up(_rng(seed, index, protocol_name, "survival"), clinical, latents.rim))
    return Patient(index, seed, protocol_name, status, latents, left, zoom, breast, lesion, uptake, clinical)


def draw_status(rng: np.random.Generator) -> str:
    """A HER2 status with the study's frequencies."""
    counts = np.array(list(CLASS_COUNTS.values()))
    return list(CLASS_COUNTS)[rng.choice(len(counts), p=counts / counts.sum())]


def draw_latents(rng: np.random.Generator, status: str) -> Latents:
    """The two latent variables of a case of the given status."""
    heterogeneity, rim = rng.standard_normal(2) + LATENT_MEANS[status]
    return Latents(float(heterogeneity), float(rim))


def simulate_case(index: int, seed: int, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """Case `index` of a seed in memory; `phases` picks some of the protocol's phases to save time, the rest of the case stays the same."""
    return _image(draw_patient(index, seed, protocol.name), protocol, phases)


def _image(patient: Patient, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """The patient's study."""
    frame = frame_of(protocol, patient.left, patient.zoom)
    box = lesion_box(patient.lesion, frame)
    key = (patient.seed, patient.index, protocol.name)
    noise = [_rng(*key, "noise", phase) for phase in range(len(protocol.times_s))]
    images = render(
        protocol, frame, patient.left, patient.breast, patient.lesion, box, patient.uptake, patient.latents, _rng(*key, "texture"), noise, phases
    )
    outlines = reader_outlines(_rng(*key, "outlines"), box)
    return SimulatedCase(
        patient.case_id,
        patient.her2_status,
        [Volume(image, frame.geometry) for image in images.values()],
        tuple(protocol.times_s[phase] for phase in images),
        protocol.early_phase,
        {name: _on(frame.geometry, box, outline) for name, outline in outlines.items()},
        _on(frame.geometry, box, box.outline()),
        {"heterogeneity": patient.latents.heterogeneity, "rim": patient.latents.rim},
        patient.clinical,
    )


def _on(geometry: Geometry, box: LesionBox, outline: np.ndarray) -> np.ndarray:
    """An outline of the box on the whole image."""
    mask = np.zeros(geometry.shape, bool)
    mask[box.box] = outline
    return mask


# Clinical data


def draw_clinical(rng: np.random.Generator, status: str, size_cm: float) -> dict[str, Any]:
    """The manifest's clinical columns but follow-up. Only `ihc` and `ish` follow the status; pT follows the size, pN the positive nodes."""
    ihc, ish = _draw_immunohistochemistry(rng, status)
    age = int(np.clip(round(rng.normal(52.6, 10.5)), 24, 88))
    size = max(0.3, round(size_cm * (1 + 0.06 * rng.standard_normal()), 1))
    nodes = int(rng.negative_binomial(0.9, 0.22)) if rng.random() < 0.48 else 0
    er = rng.random() < 0.70
    return {
        "ihc": ihc,
        "ish": ish,
        "age": age,
        "menopause": _or_unknown(rng, 0.03, "yes" if age + rng.normal(0, 4) > 50.5 else "no"),
        "histology": "invasive" if rng.random() < 0.93 else "others",
        "pT": "T1" if size <= 2 else "T2" if size <= 5 else "T3",
        "pN": "N0" if nodes == 0 else "N1" if nodes <= 3 else "N2" if nodes <= 9 else "N3",
        "grade": _or_unknown(rng, 0.05, str(rng.choice(["G1", "G2", "G3"], p=[0.07, 0.55, 0.38]))),
        "er": "positive" if er else "negative",
        "pr": "positive" if rng.random() < (0.82 if er else 0.06) else "negative",
        "lvi": "yes" if rng.random() < 0.3 else "no",
        "tumor_size_cm": size,
        "positive_ln": nodes,
    }


def _or_unknown(rng: np.random.Generator, share: float, value: str) -> str:
    return "NA" if rng.random() < share else value


def _draw_immunohistochemistry(rng: np.random.Generator, status: str) -> tuple[str, str]:
    """IHC and ISH of a status: the several ways that lead to each, and ISH now and then done where nobody needed it."""
    way, extra = rng.random(2)
    if status == "zero":
        return "0", "negative" if extra < 0.05 else ""
    if status == "low":
        return ("1+", "negative" if extra < 0.08 else "") if way < 0.55 else ("2+", "negative")
    return ("3+", "positive" if extra < 0.15 else "") if way < 0.8 else ("2+", "positive")


def draw_follow_up(rng: np.random.Generator, clinical: dict[str, Any], rim: float) -> dict[str, Any]:
    """Months and event (0 or 1) of recurrence-free and overall survival: Weibull, proportional hazards, censored at the end of follow-up.

    Death and recurrence have the same shape and the same hazard ratios, so the earlier of the two has them as well.
    """
    linear = (
        LOG_HAZARD_RATIOS["age"] * (clinical["age"] - 52.6)
        + LOG_HAZARD_RATIOS["tumor_size_cm"] * (clinical["tumor_size_cm"] - 2.5)
        + LOG_HAZARD_RATIOS["positive_ln"] * clinical["positive_ln"]
        + LOG_HAZARD_RATIOS["rim_high"] * (rim > 0)
    )
    hazard = {name: -math.log(1 - share) * math.exp(linear) for name, share in BASELINE_EVENTS_AT_5_YEARS.items()}
    months = {name: 60 * (rng.exponential() / rate) ** (1 / WEIBULL_SHAPE) for name, rate in hazard.items()}
    end = rng.uniform(40, 110)

    def observed(time: float) -> tuple[float, int]:
        return max(0.1, round(min(time, end), 1)), int(time <= end)

    rfs_months, rfs_event = observed(min(months.values()))
    os_months, os_event = observed(months["death"])
    return {"rfs_months": rfs_months, "rfs_event": rfs_event, "os_months": os_months, "os_event": os_event}
