"""How results are written as text: estimates with their intervals, p values, tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from HER2ViTTrainingLib.stats.estimates import Estimate


def estimate_text(estimate: Estimate) -> str:
    """`0.85 (0.82, 0.89)`; empty where undefined."""
    if math.isnan(estimate.value):
        return ""
    interval = "" if math.isnan(estimate.low) else f" ({estimate.low:.2f}, {estimate.high:.2f})"
    return f"{estimate.value:.2f}{interval}"


def p_text(p: float) -> str:
    """A p value to three decimals; empty where undefined."""
    return "<0.001" if p < 0.001 else with_decimals(p)


def with_decimals(value: float, digits: int = 3) -> str:
    """A number to that many decimals; empty where undefined (NaN)."""
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells, the header first, as lines of plain text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        padded = (f"{cell:<{width}}" for cell, width in zip(row, widths))
        lines.append("  ".join(padded).rstrip())
    return lines
