"""Contrast uptake and the signal it gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .protocols import Protocol

HAEMATOCRIT = 0.42
R1_PER_MM_S = {1.5: 4.1, 3.0: 3.7}
TISSUES = ("fat", "gland", "muscle", "skin", "lung", "organ", "blood", "lesion")
"""Order of the rows wherever something is given per tissue; `organ` is the heart on the left, the liver on
the right.
"""
T1_MS = {
    1.5: {
        "fat": 296,
        "gland": 1266,
        "muscle": 1008,
        "skin": 900,
        "lung": 1200,
        "organ": 1030,
        "blood": 1441,
        "lesion": 1250,
    },
    3.0: {
        "fat": 367,
        "gland": 1445,
        "muscle": 1412,
        "skin": 1100,
        "lung": 1400,
        "organ": 1471,
        "blood": 1932,
        "lesion": 1430,
    },
}
PROTON_DENSITY = {
    "fat": 0.95,
    "gland": 0.95,
    "muscle": 0.75,
    "skin": 0.65,
    "lung": 0.15,
    "organ": 0.8,
    "blood": 0.85,
    "lesion": 0.92,
}


def parker_arterial_input(minutes: np.ndarray) -> np.ndarray:
    """Concentration of contrast in arterial blood, mM, `minutes` after its arrival: the population average of
    Parker et al. 2006.
    """
    t = np.asarray(minutes, float)
    first = 0.809 / (0.0563 * math.sqrt(2 * math.pi)) * np.exp(-((t - 0.17046) ** 2) / (2 * 0.0563**2))
    second = 0.330 / (0.132 * math.sqrt(2 * math.pi)) * np.exp(-((t - 0.365) ** 2) / (2 * 0.132**2))
    tail = 1.050 * np.exp(-0.1685 * t) / (1 + np.exp(-38.078 * (t - 0.483)))
    return np.where(t > 0, first + second + tail, 0.0)


def tissue_concentration(
    times_s: Sequence[float], arrival_s: float, ktrans: float, kep: float, vp: float
) -> np.ndarray:
    """Concentration of contrast in tissue, mM, at the given times: the extended Tofts model; `ktrans` and
    `kep` per minute.
    """
    step = 1 / 60
    minutes = np.arange(0, max(max(times_s), 60) / 60 + step, step)
    plasma = parker_arterial_input(minutes - arrival_s / 60) / (1 - HAEMATOCRIT)
    extravascular = ktrans * step * np.convolve(plasma, np.exp(-kep * minutes))[: len(minutes)]
    return np.interp(np.asarray(times_s) / 60, minutes, vp * plasma + extravascular, left=0.0)


def spoiled_gradient_echo(t1_ms: np.ndarray, tr_ms: float, flip_deg: float) -> np.ndarray:
    """Signal of a spoiled gradient echo per unit proton density; T2* is neglected (the echo is short)."""
    decay = np.exp(-tr_ms / np.asarray(t1_ms, float))
    flip = math.radians(flip_deg)
    return np.sin(flip) * (1 - decay) / (1 - np.cos(flip) * decay)


@dataclass(frozen=True)
class Uptake:
    """How a patient's tissues take up contrast: arrival in the breast (s), and (ktrans, kep, vp) per tissue,
    rates per minute.
    """

    arrival_s: float
    tissues: dict[str, tuple[float, float, float]]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Uptake:
        """One patient's rates: brisk uptake and wash-out in the lesion, slow and persistent in fibroglandular
        tissue, next to none in fat.
        """
        lesion = 0.24 * math.exp(0.4 * rng.standard_normal())
        ve = rng.uniform(0.16, 0.42)
        gland = 0.027 * math.exp(0.38 * rng.standard_normal())
        tissues = {
            "fat": (0.003, 0.05, 0.002),
            "gland": (gland, 0.10, 0.008),
            "muscle": (0.045, 0.35, 0.015),
            "skin": (0.030, 0.20, 0.015),
            "lung": (0.05, 0.5, 0.10),
            "organ": (0.45, 0.9, 0.10),
            "blood": (0.0, 1.0, 1 - HAEMATOCRIT),
            "lesion": (lesion, lesion / ve, 0.04),
        }
        return cls(rng.uniform(14, 22), tissues)

    def signals(self, protocol: Protocol) -> np.ndarray:
        """Signal (phases, tissues) by the spoiled gradient echo equation, fat suppression included;
        fibroglandular tissue is 1 before contrast.
        """
        columns = []
        for tissue in TISSUES:
            t1 = T1_MS[protocol.tesla][tissue]
            concentration = tissue_concentration(protocol.times_s, self.arrival_s, *self.tissues[tissue])
            shortened = 1000 / (1000 / t1 + R1_PER_MM_S[protocol.tesla] * concentration)
            share = protocol.fat_left if tissue == "fat" else 1.0
            columns.append(
                share
                * PROTON_DENSITY[tissue]
                * spoiled_gradient_echo(shortened, protocol.tr_ms, protocol.flip_deg)
            )
        signals = np.stack(columns, axis=1)
        return (signals / signals[0, TISSUES.index("gland")]).astype(np.float32)
