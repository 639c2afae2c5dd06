"""The pictures of a report. Slice, outline and attention are drawn without matplotlib, which 3D Slicer does
not bring.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from HER2ViTLib.her2 import TASKS
from HER2ViTLib.study.study import Study

from .reading import Reading, TaskReading

PNG = "image/png"
SVG = "image/svg+xml"
ATTENTION_OPACITY = 0.55
_HEIGHT_PX = 400
_MAX_WIDTH_PX = 640
_ON_PAGE = 0.42
"""Smaller on the page than it is, so that three stand side by side on A4, and print sharp."""
_OUTLINE = (208, 224, 53)
_FRAME = (74, 210, 255)
"""Colours as OpenCV has them: blue, green, red."""


@dataclass(frozen=True)
class Picture:
    """A picture of a report, as the bytes of a file of that media type, `width` pixels wide on the page, with
    a line below it.
    """

    data: bytes
    media_type: str
    width: int
    alternative: str
    caption: str = ""

    @property
    def source(self) -> str:
        """The picture as a data URL: a page holds it in itself."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


def reading_pictures(reading: Reading, study: Study, roi: np.ndarray) -> list[Picture]:
    """The slice that was read with its outline and the models' input framed; then each task's attention on
    it. `roi` is boolean (K, J, I) on the study's geometry.
    """
    early = study.phases[reading.early_phase.index].volume
    lead = reading.leading_task
    pictures = [_slice_picture(early.array[lead.slice], roi[lead.slice], lead, early.geometry.spacing)]
    for task in TASKS.values():
        if task.key in reading.tasks:
            found = reading.tasks[task.key]
            caption = f"{task.title}: attention ({found.attention.method}), slice {found.slice}"
            pictures.append(_attention_picture(early.array[found.slice], roi[found.slice], found, caption))
    return pictures


def grey_window(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """The signals shown black and white, of a slice (J, I) with its outline."""
    low, high = np.percentile(image, (1, 99.7))
    if mask.any():
        # A small, bright lesion would else be a white patch without texture.
        high = max(high, np.percentile(image[mask], 95))
    return float(low), float(high)


@dataclass(frozen=True)
class _View:
    """A part of a slice as a picture: `to_index` (2, 3) takes a pixel (x, y, 1) of the picture, `width` x
    `height` large, to the slice's (i, j).
    """

    to_index: np.ndarray
    width: int
    height: int

    def sampled(self, plane: np.ndarray) -> np.ndarray:
        """A float plane (J, I) as the picture's pixels (height, width)."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.width, self.height)
        return cv2.warpAffine(
            plane.astype(np.float32), self.to_index, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )

    def pixels_of(self, indices: np.ndarray) -> np.ndarray:
        """Where points (n, 2) of the slice (i, j) lie in the picture, as OpenCV draws lines."""
        inverse = cv2.invertAffineTransform(self.to_index)
        return np.rint(indices @ inverse[:, :2].T + inverse[:, 2]).astype(np.int32)[:, None]


def _view(pixel_to_index: np.ndarray, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> _View:
    """All of an image whose pixels (H, W) lie on a slice, true to its size in mm."""
    height, width = shape
    height_mm = float(height * pixel_to_index[1, 1] * spacing[1])
    width_mm = float(width * pixel_to_index[0, 0] * spacing[0])
    scale = min(_HEIGHT_PX / height_mm, _MAX_WIDTH_PX / width_mm)
    wide = max(round(width_mm * scale), 1)
    high = max(round(height_mm * scale), 1)
    # Pixel centres: the edges of both pixel grids lie at -0.5.
    steps = np.array([width / wide, height / high])
    to_pixel = np.eye(3)
    to_pixel[[0, 1], [0, 1]] = steps
    to_pixel[:2, 2] = (steps - 1) / 2
    return _View((pixel_to_index @ to_pixel)[:2], wide, high)


def _grey(view: _View, plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The slice in grey (height, width, 3)."""
    low, high = grey_window(plane, mask)
    share = (view.sampled(plane) - low) / max(high - low, float(np.finfo(np.float32).tiny))
    return cv2.cvtColor((255 * share.clip(0, 1)).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def _draw_outline(picture: np.ndarray, view: _View, mask: np.ndarray) -> None:
    inside = (view.sampled(mask) >= 0.5).astype(np.uint8)
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, _OUTLINE, 1, cv2.LINE_AA)


def _slice_picture(
    plane: np.ndarray, mask: np.ndarray, task: TaskReading, spacing: tuple[float, float, float]
) -> Picture:
    view = _view(np.eye(3), plane.shape, spacing)
    picture = _grey(view, plane, mask)
    _draw_outline(picture, view, mask)
    height, width = task.patch.image.shape
    corners = np.array([(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)])
    frame = corners @ task.patch.pixel_to_index[:2, :2].T + task.patch.pixel_to_index[:2, 2]
    cv2.polylines(picture, [view.pixels_of(frame)], isClosed=True, color=_FRAME, thickness=1)
    several = f" (one of {len(task.slices)} read)" if len(task.slices) > 1 else ""
    area = f"{task.area_mm2:.0f} mm²"
    caption = f"Early phase, slice {task.slice}{several}; outline {area}, model input framed"
    return _picture(picture, "Slice with outline and model input", caption)


def _attention_picture(plane: np.ndarray, mask: np.ndarray, task: TaskReading, caption: str) -> Picture:
    pixel_mm = task.patch.geometry.spacing
    whole = task.patch.pixel_to_index
    # The patch's own pixel size over what one of its pixels spans on the slice is the slice's.
    spacing = (pixel_mm[0] / whole[0, 0], pixel_mm[1] / whole[1, 1], pixel_mm[2])
    view = _view(whole, task.attention_map.shape, spacing)
    attention = cv2.resize(task.attention_map, (view.width, view.height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((255 * attention.clip(0, 1)).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = cv2.addWeighted(colours, ATTENTION_OPACITY, _grey(view, plane, mask), 1 - ATTENTION_OPACITY, 0)
    _draw_outline(picture, view, mask)
    return _picture(picture, "Attention over the slice", f"{caption}; light: strongest patch")


def _picture(pixels: np.ndarray, alternative: str, caption: str) -> Picture:
    _, encoded = cv2.imencode(".png", pixels)
    return Picture(encoded.tobytes(), PNG, round(pixels.shape[1] * _ON_PAGE), alternative, caption)
