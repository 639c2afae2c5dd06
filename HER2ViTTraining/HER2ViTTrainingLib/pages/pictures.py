"""What all pictures share: colours, panels, PNG."""

from __future__ import annotations

import io
import math
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from HER2ViTLib.messages import RESEARCH_NOTICE

BLUE = "#2f62a8"
ORANGE = "#d9822b"
GREY = "#8a94a3"
RED = "#8a1c1c"
OTHERS = ("#3a9a6b", "#8e5aa8", "#b5534f", "#6b7785")
PANELS_A_ROW = 4


def panels(count: int, width: float = 3.6, height: float = 3.7) -> tuple[Figure, list[Any]]:
    """A figure with `count` panels (inches each), in rows of up to four, and its axes."""
    columns = min(count, PANELS_A_ROW)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.3), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.remove()
    return figure, list(axes[:count])


def png(figure: Figure) -> bytes:
    """The figure as PNG with the research notice below it."""
    figure.text(0.5, -0.01, RESEARCH_NOTICE, ha="center", va="top", fontsize=7, color=RED, wrap=True)
    stream = io.BytesIO()
    # No date or software version in the file: the same numbers give the same bytes.
    figure.savefig(stream, format="png", dpi=120, bbox_inches="tight", metadata={"Software": None})
    return stream.getvalue()


def blank(axis: Any, why: str) -> None:
    """A panel without data, which says why."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(0.5, 0.5, why, transform=axis.transAxes, ha="center", va="center", fontsize=9, color=GREY)
