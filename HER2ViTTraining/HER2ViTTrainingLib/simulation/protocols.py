"""How two centres image the breast: voxels, timing, axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.messages import InputError

FIELD_CENTRE_U_MM = 78.0
"""Distance of the field's centre from the midline; u is 0 there."""

_TOWARDS_LPS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}


@dataclass(frozen=True)
class Protocol:
    """How one centre images the breast.

    `shape` (K, J, I); `spacing` (i, j, k) mm; `axes` the patient direction in which i, j and k grow, as
    letters ("PIR": i to posterior). `centre_a_mm` is the field's centre anterior of the chest wall. Times in
    s after the start of contrast are those of a phase's middle. `fat_left` is the share of the fat signal
    that fat suppression leaves, `snr` the pre-contrast signal of fibroglandular tissue over the noise,
    `coil_fall_mm` the distance over which the coil's sensitivity falls by a factor e towards the back.
    """

    name: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axes: str
    centre_a_mm: float
    tesla: float
    tr_ms: float
    flip_deg: float
    post_times_s: tuple[float, ...]
    phase_s: float
    fat_left: float
    snr: float
    signal: float
    coil_fall_mm: float
    coil_tilt: float

    @property
    def times_s(self) -> tuple[float, ...]:
        """Middle of each phase, seconds after the start of contrast; the first is before."""
        return (-self.phase_s, *self.post_times_s)

    @property
    def early_phase(self) -> int:
        """The phase nearest to 90 s after the start of contrast."""
        return int(np.argmin(np.abs(np.asarray(self.times_s) - 90)))

    def scaled(self, factor: float) -> Protocol:
        """The same field of view with a coarser matrix: `factor` times as many pixels in plane, its square
        root through plane.

        Slices are thick already; thinning them out as much as the pixels would leave small lesions on one or
        two of them. Raises `InputError` for a factor that is not between 0.2 and 1.
        """
        if not 0.2 <= factor <= 1:
            raise InputError(f"scale {factor}: must lie between 0.2 and 1")
        factors = (math.sqrt(factor), factor, factor)
        k, j, i = (round(n * f) for n, f in zip(self.shape, factors))
        x, y, z = (s * n / m for s, n, m in zip(self.spacing, reversed(self.shape), (i, j, k)))
        return replace(self, shape=(k, j, i), spacing=(x, y, z))


PROTOCOLS = {
    "A": Protocol(
        name="A",
        shape=(50, 256, 256),
        spacing=(0.859, 0.859, 3.0),
        axes="PIR",
        centre_a_mm=5.0,
        tesla=1.5,
        tr_ms=6.2,
        flip_deg=10.0,
        post_times_s=(90.0, 165.0, 240.0),
        phase_s=70.0,
        fat_left=0.35,
        snr=20.0,
        signal=480.0,
        coil_fall_mm=130.0,
        coil_tilt=0.10,
    ),
    "B": Protocol(
        name="B",
        shape=(96, 208, 208),
        spacing=(0.8, 0.8, 1.6),
        axes="LPS",
        centre_a_mm=32.0,
        tesla=3.0,
        tr_ms=4.6,
        flip_deg=11.0,
        post_times_s=(100.0, 165.0, 230.0),
        phase_s=60.0,
        fat_left=0.22,
        snr=15.0,
        signal=300.0,
        coil_fall_mm=100.0,
        coil_tilt=0.25,
    ),
}
"""A: sagittal, 1.5 T, thick slices. B: axial, 3 T, thin slices, noisier, with a less even coil."""


@dataclass(frozen=True)
class Frame:
    """The voxels of a protocol for one patient: their geometry, and a, s, u (mm) as arrays that broadcast to
    (K, J, I).

    `side` is 1 on the patient's left, -1 on the right.
    """

    geometry: Geometry
    a: np.ndarray
    s: np.ndarray
    u: np.ndarray
    side: int

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous indices (..., 3) in the order (k, j, i) of points (..., 3) given as (a, s, u), mm."""
        return self.geometry.to_index(self.to_lps(points))[..., ::-1]

    def to_lps(self, points: np.ndarray) -> np.ndarray:
        """Points in LPS, mm, of points (..., 3) given as (a, s, u), mm."""
        a, s, u = np.moveaxis(np.asarray(points, float), -1, 0)
        return np.stack([self.side * (u + FIELD_CENTRE_U_MM), -a, s], axis=-1)


def frame_of(protocol: Protocol, left: bool, zoom: float) -> Frame:
    """The protocol's voxels on the patient's left or right side; `zoom` scales the pixels in plane, as
    operators fit the field to the patient.
    """
    side = 1 if left else -1
    x, y, z = protocol.spacing
    spacing = (round(x * zoom, 4), round(y * zoom, 4), round(z, 4))
    columns = np.array([_TOWARDS_LPS[letter] for letter in protocol.axes], float).T
    centre = np.array([side * FIELD_CENTRE_U_MM, -protocol.centre_a_mm, 0.0])
    half = (np.array(protocol.shape[::-1]) - 1) / 2 * spacing
    origin = centre - columns @ half
    lps_x, lps_y, lps_z = origin.tolist()
    geometry = Geometry(protocol.shape, spacing, (lps_x, lps_y, lps_z), tuple(columns.ravel().tolist()))
    lps = []
    for row in range(3):
        index_axis = int(np.flatnonzero(columns[row])[0])
        values = origin[row] + columns[row, index_axis] * spacing[index_axis] * np.arange(
            protocol.shape[2 - index_axis]
        )
        shape = [1, 1, 1]
        shape[2 - index_axis] = -1
        lps.append(values.reshape(shape).astype(np.float32))
    return Frame(geometry, -lps[1], lps[2], side * lps[0] - np.float32(FIELD_CENTRE_U_MM), side)
