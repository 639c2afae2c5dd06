"""The picture of a reading: the slice, the outline, the attention map, the probabilities."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from HER2ViTLib.files.output import plain
from HER2ViTLib.her2 import NO_CALL, TASKS
from HER2ViTLib.study.study import Study

from .pictures import ATTENTION_OPACITY, grey_window
from .reading import Reading, TaskReading

ATTENTION_COLOURS = "inferno"
FIGURE_TEXT = "Slice with outline, attention maps, probabilities against thresholds"
FIGURE_WIDTH = 640
"""On a page, in pixels."""
FILLED = "#3f6fb5"
PALE = "#b9c4d6"
"""Colours of the bars: of the call, or of a score that reaches its threshold; and of the others."""


def figure_png(reading: Reading, study: Study, roi: np.ndarray) -> bytes:
    """The picture of a reading: the slice with its outline, per task the attention on it with a scale, scores
    against thresholds.

    `roi` is boolean (K, J, I) on the study's geometry. Rows run as stored in the image; pixels keep their
    size in mm.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = [(task, reading.tasks[task.key]) for task in TASKS.values() if task.key in reading.tasks]
    figure = Figure(figsize=(4.2 * (len(tasks) + 1), 6.2), facecolor="white")
    FigureCanvasAgg(figure)
    # Fixed margins: an automatic layout would draw everything twice, a third of the time of a whole reading.
    margins = {"left": 0.05, "right": 0.95, "bottom": 0.13, "top": 0.84, "wspace": 0.22, "hspace": 0.28}
    axes = figure.subplots(2, len(tasks) + 1, height_ratios=(4, 1.15), gridspec_kw=margins)
    early = study.phases[reading.early_phase.index].volume
    _draw_slice(axes[0, 0], early.array, roi, reading.leading_task, early.geometry.spacing)
    for axis, (task, found) in zip(axes[0, 1:], tasks):
        _draw_attention(axis, early.array, roi, found, early.geometry.spacing)
        axis.set_title(f"{task.title}\nattention ({found.attention.method})", fontsize=10)
    _draw_probabilities(axes[1, 0], reading)
    for axis, (task, found) in zip(axes[1, 1:], tasks):
        _draw_score(axis, task.target_name, found)
    call = f"HER2 call: {reading.call}" if reading.call else NO_CALL
    figure.suptitle(plain(f"{reading.case_id}   {call}"), fontsize=13, fontweight="bold")
    figure.text(
        0.5,
        0.01,
        plain("\n".join(reading.notices)),
        ha="center",
        va="bottom",
        fontsize=7.5,
        color="#8a1c1c",
        wrap=True,
    )
    stream = io.BytesIO()
    # No creation date or software version in the file: the same reading gives the same bytes.
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _extent_mm(
    spacing: tuple[float, float, float], shape: tuple[int, ...], pixel_to_index: np.ndarray
) -> tuple[float, float, float, float]:
    """Left, right, bottom, top edge (mm from the centre of the slice's first pixel) of a picture whose pixels
    lie on a slice.
    """
    height, width = shape
    left, top = (pixel_to_index @ (-0.5, -0.5, 1))[:2] * spacing[:2]
    right, bottom = (pixel_to_index @ (width - 0.5, height - 0.5, 1))[:2] * spacing[:2]
    return left, right, bottom, top


def _draw_outline(axis: Any, mask: np.ndarray, spacing: tuple[float, float, float]) -> None:
    x = np.arange(mask.shape[1]) * spacing[0]
    y = np.arange(mask.shape[0]) * spacing[1]
    axis.contour(x, y, mask.astype(float), levels=[0.5], colors="#35e0d0", linewidths=1.2)


def _draw_grey(axis: Any, image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]) -> None:
    low, high = grey_window(image, mask)
    axis.imshow(
        image,
        cmap="gray",
        vmin=low,
        vmax=high,
        extent=_extent_mm(spacing, image.shape, np.eye(3)),
        interpolation="nearest",
    )
    axis.set_xticks([])
    axis.set_yticks([])


def _draw_slice(
    axis: Any, array: np.ndarray, roi: np.ndarray, task: TaskReading, spacing: tuple[float, float, float]
) -> None:
    _draw_grey(axis, array[task.slice], roi[task.slice], spacing)
    _draw_outline(axis, roi[task.slice], spacing)
    left, right, bottom, top = _extent_mm(spacing, task.patch.image.shape, task.patch.pixel_to_index)
    axis.plot(
        [left, right, right, left, left], [top, top, bottom, bottom, top], color="#ffd24a", linewidth=0.9
    )
    several = f" (one of {len(task.slices)} read)" if len(task.slices) > 1 else ""
    axis.set_title(
        f"early phase, slice {task.slice}{several}\noutline {task.area_mm2:.0f} mm², model input framed",
        fontsize=10,
    )


def _draw_attention(
    axis: Any, array: np.ndarray, roi: np.ndarray, task: TaskReading, spacing: tuple[float, float, float]
) -> None:
    _draw_grey(axis, array[task.slice], roi[task.slice], spacing)
    extent = _extent_mm(spacing, task.attention_map.shape, task.patch.pixel_to_index)
    shown = axis.imshow(
        task.attention_map,
        cmap=ATTENTION_COLOURS,
        vmin=0,
        vmax=1,
        alpha=ATTENTION_OPACITY,
        extent=extent,
        interpolation="bilinear",
    )
    _draw_outline(axis, roi[task.slice], spacing)
    left, right, bottom, top = extent
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
    scale = axis.figure.colorbar(shown, ax=axis, shrink=0.8, pad=0.02)
    scale.set_label("attention (1 = strongest patch)", fontsize=8)
    scale.ax.tick_params(labelsize=7)


def _draw_probabilities(axis: Any, reading: Reading) -> None:
    if reading.probabilities is None:
        axis.axis("off")
        axis.text(
            0.5,
            0.5,
            "Tasks 1 and 2 are needed\nfor class probabilities",
            ha="center",
            va="center",
            fontsize=9,
        )
        return
    names = list(reading.probabilities)
    values = list(reading.probabilities.values())
    colours = [FILLED if name == reading.call else PALE for name in names]
    bars = axis.barh(names, values, color=colours)
    axis.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    axis.set_xlim(0, 1.12)
    axis.invert_yaxis()
    axis.set_title("class probabilities (call in blue)", fontsize=9)
    axis.tick_params(labelsize=8)


def _draw_score(axis: Any, target: str, task: TaskReading) -> None:
    axis.barh([0], [task.score], color=FILLED if task.score >= task.threshold else PALE, height=0.5)
    axis.axvline(task.threshold, color="#c0392b", linewidth=2)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.6, 0.9)
    axis.set_yticks([])
    axis.tick_params(labelsize=8)
    axis.text(
        task.threshold,
        0.45,
        f" threshold {task.threshold:.2f}",
        color="#c0392b",
        fontsize=8,
        ha="left" if task.threshold < 0.6 else "right",
    )
    axis.set_title(
        f"P({target}) = {task.score:.3f}   (development prevalence {task.prevalence:.2f})", fontsize=9
    )
