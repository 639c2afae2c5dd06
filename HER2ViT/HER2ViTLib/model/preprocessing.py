"""From a volume and its outline to the model's input patch, and back from patch pixels to patient space.

Two presets. `study` repeats the eight steps of the study's published code, quirks included. `square`, the
default for new models, keeps the aspect ratio and works in mm. Both copy the one grey channel to as many
channels as the model has.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np

from HER2ViTLib.imaging.volume import Geometry, Volume, bounding_box
from HER2ViTLib.lesion.measures import areas_mm2
from HER2ViTLib.messages import InputError, faults_of

from .sampling import Sampling, without_aliasing

MAX_SLICE_COUNT = 64
"""Slices of a lesion that a model reads, at most."""


@dataclass(frozen=True)
class Patch:
    """The model's view of one slice.

    `image` (H, W) float32 is the preprocessed grey image, one for all channels; `mask` (H, W) float32, 0-1,
    is the outline's share of each pixel. `pixel_to_index` (3, 3) takes patch pixels (x, y, 1), x along a row,
    to voxel indices (i, j, 1) of slice `slice`.
    """

    image: np.ndarray
    mask: np.ndarray
    slice: int
    area_mm2: float
    pixel_to_index: np.ndarray
    volume_geometry: Geometry

    @property
    def geometry(self) -> Geometry:
        """The patch in patient space: a one-slice geometry (1, H, W) as thick as the volume's slices."""
        volume = self.volume_geometry
        height, width = self.image.shape
        spacing_x, spacing_y, thickness = volume.spacing
        x, y, z = volume.to_lps((*self.pixel_to_index[:2, 2], self.slice)).tolist()
        return Geometry(
            shape=(1, height, width),
            spacing=(
                spacing_x * float(self.pixel_to_index[0, 0]),
                spacing_y * float(self.pixel_to_index[1, 1]),
                thickness,
            ),
            origin=(x, y, z),
            direction=volume.direction,
        )


@dataclass(frozen=True)
class Preprocessing(ABC):
    """How a volume becomes the model's input: a value object that is stored in the model's bundle.

    `slice_count` slices of a lesion are read at most: see `patches`. Bundles of versions that read one slice
    only do not store it.
    """

    preset: ClassVar[str]

    size: tuple[int, int] = (224, 224)
    slice_count: int = field(default=1, kw_only=True)

    @property
    @abstractmethod
    def mean(self) -> tuple[float, ...]:
        """What the network's input is shifted by, a number a channel."""

    @property
    @abstractmethod
    def std(self) -> tuple[float, ...]:
        """What the network's input is divided by after that."""

    def to_json(self) -> dict[str, Any]:
        return {"preset": self.preset, **asdict(self)}

    def faults(self) -> list[str]:
        """A line for each setting that is out of range, with its value and what it may be."""
        found = []
        for name, (is_sound, allowed) in self._rules().items():
            if not is_sound:
                value = getattr(self, name)
                shown = repr(list(value) if isinstance(value, tuple) else value)
                found.append(f"{name} is {shown[:60]}; it must be {allowed}")
        return found

    def _rules(self) -> dict[str, tuple[bool, str]]:
        """By setting: whether its value will do, and in words what will."""
        return {
            "size": (_are_numbers(self.size, 2, 16, 1024, int), "two whole numbers from 16 to 1024"),
            "slice_count": (
                _is_number(self.slice_count, 1, MAX_SLICE_COUNT, int),
                f"a whole number from 1 to {MAX_SLICE_COUNT}",
            ),
        }

    def apply(self, volume: Volume, mask: np.ndarray, slice_index: int | None = None) -> Patch:
        """The patch of the chosen slice; `volume` (K, J, I), `mask` boolean of the same shape.

        `slice_index` overrides the preset's choice. Raises `InputError` for an empty outline, a slice without
        outline and a crop of one grey value, which has no contrast to normalise.
        """
        areas = areas_mm2(mask, volume.geometry)
        chosen = self._largest_slice(areas, mask) if slice_index is None else slice_index
        if not 0 <= chosen < len(areas):
            raise InputError(f"slice {chosen}: the image has slices 0 to {len(areas) - 1}")
        if not areas[chosen]:
            where = np.flatnonzero(areas)
            cure = f"it lies on slices {where[0]} to {where[-1]}" if where.size else "draw it first"
            raise InputError(f"the outline is empty on slice {chosen}; {cure}")
        return self._patch(volume, mask, chosen, float(areas[chosen]))

    def patches(self, volume: Volume, mask: np.ndarray, slice_index: int | None = None) -> list[Patch]:
        """The patch of `apply` first, then those of the outline's slices nearest to it, nearest first (of two
        equally near ones the lower): `slice_count` in all, fewer where the outline has fewer.

        Takes and raises what `apply` does.
        """
        leading = self.apply(volume, mask, slice_index)
        if self.slice_count == 1:
            return [leading]
        areas = areas_mm2(mask, volume.geometry)
        outlined = np.flatnonzero(areas)
        nearest = outlined[np.argsort(np.abs(outlined - leading.slice), kind="stable")]
        patches = [leading]
        for index in nearest[1 : self.slice_count].tolist():
            with faults_of(f"slice {index}"):
                patches.append(self._patch(volume, mask, index, float(areas[index])))
        return patches

    def _patch(self, volume: Volume, mask: np.ndarray, index: int, area_mm2: float) -> Patch:
        image, outline, pixel_to_index = self._crop(volume.array[index], mask[index], volume.geometry)
        return Patch(image, outline, index, area_mm2, pixel_to_index, volume.geometry)

    @abstractmethod
    def _largest_slice(self, areas: np.ndarray, mask: np.ndarray) -> int: ...

    @abstractmethod
    def _crop(
        self, image: np.ndarray, mask: np.ndarray, geometry: Geometry
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class StudyPreprocessing(Preprocessing):
    """Preset `study`: the published code's steps, in its order, with OpenCV's arithmetic. Three channels; no
    mean and sd of the model.
    """

    preset: ClassVar[str] = "study"
    mean: ClassVar[tuple[float, ...]] = (0.0, 0.0, 0.0)
    std: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)

    margin_px: int = 10
    clip_limit: float = 2.0
    tiles: int = 8
    background: float = 0.3

    def _rules(self) -> dict[str, tuple[bool, str]]:
        limits_contrast = _is_number(self.clip_limit, 0, math.inf) and self.clip_limit > 0
        return {
            **super()._rules(),
            "margin_px": (_is_number(self.margin_px, 1, math.inf, int), "a whole number above 0"),
            "clip_limit": (limits_contrast, "a number above 0"),
            "tiles": (_is_number(self.tiles, 1, 64, int), "a whole number from 1 to 64"),
            "background": (_is_number(self.background, 0, 1), "a number from 0 to 1"),
        }

    def _largest_slice(self, areas: np.ndarray, mask: np.ndarray) -> int:
        return int(np.argmax(areas))

    def _crop(
        self, image: np.ndarray, mask: np.ndarray, geometry: Geometry
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, columns = bounding_box(mask)
        # The far edge is exclusive, so the crop holds one pixel less after the outline than before it: the
        # published code's quirk.
        top = max(rows.start - self.margin_px, 0)
        left = max(columns.start - self.margin_px, 0)
        window = np.s_[top : rows.stop - 1 + self.margin_px, left : columns.stop - 1 + self.margin_px]
        crop = image[window]
        outline = mask[window]
        # Whole numbers go through double precision, as nibabel's get_fdata hands them to OpenCV; floats stay
        # what they are.
        crop = np.ascontiguousarray(
            crop if crop.dtype in (np.float32, np.float64) else crop.astype(np.float64)
        )
        require_contrast(crop)
        unscaled: Any = None  # OpenCV makes the array itself; its type hints do not know
        grey: np.ndarray = cv2.normalize(crop, unscaled, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        grey = cv2.createCLAHE(self.clip_limit, (self.tiles, self.tiles)).apply(grey)
        # Truncated, not rounded: 0.3 v + 0.7 v falls just below v for some grey levels, and they lose one
        # level.
        grey = (self.background * grey + (1 - self.background) * grey * outline).astype(np.uint8)
        require_contrast(grey)
        z = ((grey - grey.mean()) / grey.std()).astype(np.float32)
        height, width = self.size
        scale_x = outline.shape[1] / width
        scale_y = outline.shape[0] / height
        pixel_to_index = np.array(
            [[scale_x, 0, left + scale_x / 2 - 0.5], [0, scale_y, top + scale_y / 2 - 0.5], [0, 0, 1]]
        )
        patch = cv2.resize(z, (width, height), interpolation=cv2.INTER_CUBIC)
        share = cv2.resize(outline.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        return patch, share, pixel_to_index


@dataclass(frozen=True)
class SquarePreprocessing(Preprocessing):
    """Preset `square`: a square around the outline with a margin in mm, aspect ratio kept, robust intensity,
    the model's mean and sd.

    Beyond the image its edge is repeated. Intensities are cut at two percentiles of the patch and mapped to
    0-1.
    """

    preset: ClassVar[str] = "square"

    margin_mm: float = 10.0
    percentiles: tuple[float, float] = (1.0, 99.0)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def _rules(self) -> dict[str, tuple[bool, str]]:
        rise = _are_numbers(self.percentiles, 2, 0, 100) and self.percentiles[0] < self.percentiles[1]
        channels = len(self.mean) if isinstance(self.mean, tuple) else 0
        fits_channels = channels in (1, 3)
        return {
            **super()._rules(),
            "margin_mm": (_is_number(self.margin_mm, 0, 1000), "a number from 0 to 1000"),
            "percentiles": (rise, "two numbers from 0 to 100, the lower one first"),
            "mean": (
                fits_channels and _are_numbers(self.mean, channels, -1e3, 1e3),
                "one or three numbers from -1000 to 1000",
            ),
            "std": (
                # where the mean has too few or too many numbers, that is the fault to tell
                not fits_channels or _are_numbers(self.std, channels, 1e-3, 1e3),
                "as many numbers as the mean has, from 0.001 to 1000",
            ),
        }

    def _largest_slice(self, areas: np.ndarray, mask: np.ndarray) -> int:
        largest = np.flatnonzero(areas >= areas.max() * (1 - 1e-9))
        centroid = np.average(np.arange(len(areas)), weights=areas) if areas.any() else 0.0
        return int(largest[np.argmin(np.abs(largest - centroid))])

    def _crop(
        self, image: np.ndarray, mask: np.ndarray, geometry: Geometry
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, columns = bounding_box(mask)
        spacing_x, spacing_y = geometry.spacing[:2]
        side_mm = (
            max((columns.stop - columns.start) * spacing_x, (rows.stop - rows.start) * spacing_y)
            + 2 * self.margin_mm
        )
        height, width = self.size
        pixel_mm = side_mm / min(height, width)
        scale_x = pixel_mm / spacing_x
        scale_y = pixel_mm / spacing_y
        centre_x = (columns.start + columns.stop - 1) / 2
        centre_y = (rows.start + rows.stop - 1) / 2
        across = Sampling(centre_x - scale_x * (width - 1) / 2, scale_x, width)
        down = Sampling(centre_y - scale_y * (height - 1) / 2, scale_y, height)
        pixel_to_index = np.array(
            [
                [scale_x, 0, across.start],
                [0, scale_y, down.start],
                [0, 0, 1],
            ]
        )
        source = without_aliasing(np.ascontiguousarray(image, dtype=np.float32), scale_x, scale_y)
        patch = down.cubic(across.cubic(source.T).T)
        share = down.linear(across.linear(mask.astype(np.float32).T).T)
        low, high = np.percentile(patch, self.percentiles)
        # Interpolating a constant image leaves rounding errors: they are no contrast.
        if high - low <= 1e-5 * max(abs(low), abs(high)):
            raise InputError(
                f"the image is constant around the outline (grey value {low:g}); check the phase and the"
                " outline"
            )
        return np.clip((patch - low) / (high - low), 0, 1).astype(np.float32), share, pixel_to_index


PRESETS: dict[str, type[Preprocessing]] = {
    preset.preset: preset for preset in (SquarePreprocessing, StudyPreprocessing)
}


def preprocessing_from_json(settings: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing a bundle stores. Raises `InputError` for an unknown preset or setting, and with one
    line for each value that is out of range.
    """
    values = dict(settings)
    name = values.pop("preset", None)
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None:
        raise InputError(f"preprocessing preset {name!r}: unknown; use {' or '.join(PRESETS)}")
    for key, value in values.items():
        if isinstance(value, list):
            values[key] = tuple(value)
    try:
        made = preset(**values)
    except TypeError as error:
        raise InputError(f"preprocessing {preset.preset}: {error}") from error
    faults = made.faults()
    if faults:
        raise InputError([f"preprocessing {preset.preset}: {fault}" for fault in faults])
    return made


def _is_number(value: Any, low: float, high: float, kind: type[int] | type[float] = float) -> bool:
    """Whether a setting is a finite number from `low` to `high`; of kind `int` a whole one."""
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        return False
    return low <= value <= high and math.isfinite(value)  # NaN fails the comparison


def _are_numbers(
    value: Any, count: int, low: float, high: float, kind: type[int] | type[float] = float
) -> bool:
    """Whether a setting is a tuple of so many numbers, each as `_is_number` has it."""
    if not isinstance(value, tuple) or len(value) != count:
        return False
    return all(_is_number(number, low, high, kind) for number in value)


def require_contrast(image: np.ndarray) -> None:
    """Raises `InputError` when all pixels have one value."""
    if image.min() == image.max():
        raise InputError(
            f"the image is constant around the outline (grey value {image.flat[0]:g}); check the phase and"
            " the outline"
        )
