"""How numbers are written: estimates with their intervals, p values."""

from __future__ import annotations

import math

from HER2ViTTrainingLib.stats.estimates import Estimate


def estimate_text(estimate: Estimate) -> str:
    """`0.85 (0.82, 0.89)`; empty where undefined."""
    if math.isnan(estimate.value):
        return ""
    interval = "" if math.isnan(estimate.low) else f" ({estimate.low:.2f}, {estimate.high:.2f})"
    return f"{estimate.value:.2f}{interval}"


def p_text(p: float) -> str:
    """A p value to three decimals; empty where undefined."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def with_decimals(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
