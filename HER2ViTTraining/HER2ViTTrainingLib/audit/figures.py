"""The pictures of an audit: AUC by level, and what tells the level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from HER2ViTLib.files.output import plain
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, blank, panels, png
from HER2ViTTrainingLib.pages.texts import estimate_text
from HER2ViTTrainingLib.stats.estimates import Estimate

from .auditing import Audit, SetAudit

_WIDTH = 6.2
_ROW = 0.24
_Row = tuple[str, Estimate | None]
"""A name and its estimate; a heading has none."""


def audit_pictures(audit: Audit) -> dict[str, bytes]:
    """AUC by level beside the whole set's, and AUC of the level told by score and embedding beside 0.5, by
    file name, a panel a set; none without a column.
    """
    if not audit.about.columns:
        return {}
    return {
        "auc_by_level.png": _picture(audit, _level_rows, "AUC of the score (95 % interval)", overall=True),
        "tells_level.png": _picture(audit, _told_rows, "AUC of telling the level (95 % interval)"),
    }


def _picture(audit: Audit, rows_of: Any, xlabel: str, overall: bool = False) -> bytes:
    every = [rows_of(one) for one in audit.sets]
    height = 1.3 + _ROW * max(len(rows) for rows in every)
    figure, axes = panels(len(every), _WIDTH, height)
    for axis, one, rows in zip(axes, audit.sets, every):
        axis.set_title(f"{plain(one.audited.cases.name)} (n = {len(one.audited.first)})", fontsize=10)
        if overall:
            _draw_overall(axis, one.overall.metrics.estimates["auc"])
        _draw_rows(axis, rows, xlabel)
    return png(figure)


def _level_rows(one: SetAudit) -> list[_Row]:
    rows: list[_Row] = []
    for name, column in one.columns.items():
        rows.append((name, None))
        for level in column.subgroups.levels:
            text = f"{level.level}  {level.n} ({level.positive})"
            rows.append((text, level.result.metrics.estimates["auc"]))
    return rows


def _told_rows(one: SetAudit) -> list[_Row]:
    rows: list[_Row] = []
    for name, column in one.columns.items():
        rows.append((name, None))
        rows += [(f"by {told.question.source}", told.auc) for told in column.site.told]
    return rows


def _draw_overall(axis: Any, auc: Estimate) -> None:
    axis.axvspan(auc.low, auc.high, color=ORANGE, alpha=0.15, linewidth=0)
    axis.axvline(auc.value, color=ORANGE, linewidth=1.2, label=f"all {estimate_text(auc)}")
    axis.legend(loc="lower left", fontsize=7, frameon=False)


def _draw_rows(axis: Any, rows: Sequence[_Row], xlabel: str) -> None:
    if all(estimate is None or math.isnan(estimate.value) for _, estimate in rows):
        blank(axis, "nothing to show:\ntoo few cases")
        return
    axis.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    for at, (_, estimate) in enumerate(rows):
        if estimate is None:
            continue
        text = estimate_text(estimate) or "not defined"
        axis.text(1.03, at, text, fontsize=7, va="center", color="#1d2530")
        if not math.isnan(estimate.value):
            axis.plot([estimate.low, estimate.high], [at, at], color=BLUE, linewidth=1.2)
            axis.plot(estimate.value, at, "s", color=BLUE, markersize=4)
    axis.set(xlim=(0, 1.3), ylim=(len(rows) - 0.4, -0.6))
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axis.set_yticks(range(len(rows)), [plain(name) for name, _ in rows], fontsize=8)
    for tick, (_, estimate) in zip(axis.get_yticklabels(), rows):
        tick.set_fontweight("bold" if estimate is None else "normal")
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(xlabel, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
