"""The pictures of an evaluation: matplotlib figures without pyplot, the same bytes for the same numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, OTHERS, blank, panels, png
from HER2ViTTrainingLib.pages.texts import estimate_text, p_text
from HER2ViTTrainingLib.stats.calibration import logit

from .curves import Curves, Roc
from .judging import SetResult

NO_PROBABILITIES = "scores outside 0-1, or\nnot calibrated:\nno probabilities"
_Draw = Callable[[Any, SetResult, Curves], None]


def evaluation_pictures(sets: Sequence[SetResult], curves: Sequence[Curves]) -> dict[str, bytes]:
    """ROC curves, confusion matrices, calibration and decision curves by file name, a panel per set; `curves`
    are those of the sets.
    """
    draw: dict[str, _Draw] = {
        "roc.png": _draw_roc,
        "confusion.png": _draw_confusion,
        "calibration.png": _draw_calibration,
        "decision_curve.png": _draw_decision,
    }
    return {name: _picture(sets, curves, draw_one) for name, draw_one in draw.items()}


def _picture(sets: Sequence[SetResult], curves: Sequence[Curves], draw: _Draw) -> bytes:
    figure, axes = panels(len(sets))
    for axis, result, its_curves in zip(axes, sets, curves):
        axis.tick_params(labelsize=8)
        axis.set_box_aspect(1)
        axis.set_title(f"{plain(result.cases.name)} (n = {len(result.cases.labels)})", fontsize=10)
        draw(axis, result, its_curves)
    return png(figure)


def _unit_square(axis: Any, xlabel: str, ylabel: str) -> None:
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axis.set_xlabel(xlabel, fontsize=9)
    axis.set_ylabel(ylabel, fontsize=9)


def _draw_roc(axis: Any, result: SetResult, curves: Curves) -> None:
    roc = curves.roc
    if roc is None:
        blank(axis, "one class only:\nno ROC curve")
        return
    area = result.metrics.estimates["auc"]
    label = f"AUC {area.value:.2f} ({area.low:.2f}, {area.high:.2f})"
    if roc.band is None:
        _draw_model_curves(axis, roc, f"{label}\nmean of {len(roc.curves)} models")
    else:
        axis.fill_between(
            roc.grid, *roc.band, color=BLUE, alpha=0.18, linewidth=0, label="95 % band (bootstrap)"
        )
        axis.plot(*roc.curves[0], color=BLUE, linewidth=1.6, label=label)
    for colour, (column, curve) in zip(itertools.cycle(OTHERS), roc.others.items()):
        test = result.comparisons[column]
        label = f"{plain(column)} {test.other_auc:.2f}, p {p_text(test.p)}"
        axis.plot(*curve, color=colour, linewidth=1.1, linestyle="--", label=label)
    rates = result.metrics.estimates
    if result.has_threshold:
        label = f"{_threshold_text(result)}, {plain(result.threshold_source)}"
        axis.plot(
            1 - rates["specificity"].value,
            rates["sensitivity"].value,
            "o",
            color=ORANGE,
            markersize=6,
            label=label,
            zorder=3,
        )
    _unit_square(axis, "1 - specificity", "sensitivity")
    axis.legend(loc="lower right", fontsize=7, frameon=False)


def _draw_model_curves(axis: Any, roc: Roc, label: str) -> None:
    """A thin curve for each model; the label stands for all of them."""
    for curve in roc.curves:
        axis.plot(*curve, color=BLUE, linewidth=0.7, alpha=0.6, label=label)
        label = "_"  # matplotlib leaves such names out of the legend


def _threshold_text(result: SetResult) -> str:
    shown = result.shown_threshold
    return f"thresholds {shown}" if isinstance(shown, str) else f"threshold {shown:.3f}"


def _draw_confusion(axis: Any, result: SetResult, _curves: Curves) -> None:
    if not result.has_threshold:
        blank(axis, "no threshold:\nno confusion matrix")
        return
    n = result.counts
    table = np.array([[n["tn"], n["fp"]], [n["fn"], n["tp"]]], float)
    totals = table.sum(axis=1, keepdims=True)
    share = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        of_row = f"\n{share[row, column]:.0%}" if totals[row, 0] else ""
        axis.text(
            column,
            row,
            f"{count:.0f}{of_row}",
            ha="center",
            va="center",
            color="white" if share[row, column] > 0.55 else "#1d2530",
        )
    names = ["label 0", "label 1"]  # not negative and positive: in Task 2 1 stands for HER2-low
    axis.set_xticks([0, 1], names, fontsize=8)
    axis.set_yticks([0, 1], names, fontsize=8, rotation=90, va="center")
    axis.set_xlabel(f"call at {_threshold_text(result)}", fontsize=9)
    axis.set_ylabel("reference standard", fontsize=9)


def _draw_calibration(axis: Any, result: SetResult, curves: Curves) -> None:
    cases = result.cases
    if not curves.calibration:
        blank(axis, NO_PROBABILITIES)
        return
    x = np.array([group.predicted for group in curves.calibration])
    y = np.array([group.observed.value for group in curves.calibration])
    low = np.array([group.observed.low for group in curves.calibration])
    high = np.array([group.observed.high for group in curves.calibration])
    reach = np.maximum(0, [y - low, high - y])
    axis.errorbar(x, y, yerr=reach, fmt="o", color=BLUE, markersize=4.5, linewidth=1)
    line = result.calibration
    if line:
        at = np.linspace(cases.scores.min(), cases.scores.max(), 200)
        axis.plot(
            at, 1 / (1 + np.exp(-(line.offset + line.slope.value * logit(at)))), color=ORANGE, linewidth=1.4
        )
        found = f"slope {estimate_text(line.slope)}\nintercept {estimate_text(line.intercept)}"
        axis.set_title(f"{axis.get_title()}\n{found}", fontsize=9)
    # Where the probabilities lie, as small bars along the lower edge.
    counts, edges = np.histogram(cases.scores, bins=25, range=(0, 1))
    axis.bar(edges[:-1], 0.12 * counts / counts.max(), width=0.04, align="edge", color=GREY, alpha=0.5)
    _unit_square(axis, "predicted probability", "share of positives (groups, Wilson 95 %)")


def _draw_decision(axis: Any, result: SetResult, _curves: Curves) -> None:
    curve = result.decision
    if curve is None:
        blank(axis, NO_PROBABILITIES)
        return
    prevalence = float(result.cases.labels.mean())
    axis.plot(curve.thresholds, curve.everyone, color=GREY, linewidth=1.2, label="all positive")
    axis.axhline(0, color="#1d2530", linewidth=0.9, label="all negative")
    axis.plot(curve.thresholds, curve.model, color=BLUE, linewidth=1.6, label="by the score")
    axis.set(xlim=(0, 1), ylim=(-0.15 * max(prevalence, 0.1), 1.1 * max(prevalence, 0.1)))
    axis.set_xlabel("threshold probability", fontsize=9)
    axis.set_ylabel("net benefit", fontsize=9)
    axis.legend(loc="best", fontsize=7, frameon=False)
