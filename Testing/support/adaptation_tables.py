"""The tables and the picture of `Docs/adaptation.md`, from the results of `adaptation_study.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from HER2ViTLib.model.conformal import STATUSES
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, ORANGE, panels, png

WANTED = 0.9
"""The sensitivity, and the coverage, that was asked for."""


def tables(result: dict[str, Any]) -> Iterator[str]:
    """The tables of the page, in Markdown."""
    yield "| site | n | refused | kept | calibration error | after | worse | worse if always refitted |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in result["labelled"]:
        error = row["error"]
        yield (
            f"| {row['site']} | {row['n']} | {row['refused']:.0%} | {row['kept']:.0%} |"
            f" {error['before']:.3f} | {interval(error['after'], 3)} | {row['worse']:.0%} |"
            f" {row['worse_always']:.0%} |"
        )
    yield ""
    yield "| site | n | sensitivity before | after | specificity before | after | further from 0.90 |"
    yield "|---|---|---|---|---|---|---|"
    for row in result["labelled"]:
        yield (
            f"| {row['site']} | {row['n']} | {row['sensitivity']['before']:.2f} |"
            f" {interval(row['sensitivity']['after'])} | {row['specificity']['before']:.2f} |"
            f" {interval(row['specificity']['after'])} | {row['further_from_sensitivity']:.0%} |"
        )
    yield ""
    yield "| site | n | refused | true share | estimated | calibration error | after | worse | check warns |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in result["unlabelled"]:
        error = row["error"]
        yield (
            f"| {row['site']} | {row['n']} | {row['refused']:.0%} | {row['true_share']:.2f} |"
            f" {interval(row['share'])} | {error['before']:.3f} | {interval(error['after'], 3)} |"
            f" {percent(row['worse'])} | {percent(row['flagged'])} |"
        )
    yield ""
    yield "| calibration cases a status | theory | zero | low | positive | statuses left |"
    yield "|---|---|---|---|---|---|"
    for row in result["coverage"]:
        found = [percentiles(row["realised"][status]) for status in STATUSES]
        yield (f"| {row['n']} | {percentiles(row['theory'])} | {' | '.join(found)} | {row['set_size']:.2f} |")


def interval(values: dict[str, float], digits: int = 2) -> str:
    if math.isnan(values["mean"]):
        return ""
    return f"{values['mean']:.{digits}f} ({values['low']:.{digits}f}, {values['high']:.{digits}f})"


def percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0%}"


def percentiles(values: dict[str, float]) -> str:
    return f"{values['mean']:.3f} ({values['p5']:.2f} to {values['p95']:.2f})"


def picture(result: dict[str, Any]) -> bytes:
    """Calibration error and sensitivity before and after, a panel each, and coverage against theory."""
    figure, (errors, rates, coverage) = panels(3, 4.2, 3.9)
    _draw_before_after(errors, result, "error", "calibration error")
    _draw_before_after(rates, result, "sensitivity", "sensitivity at the threshold")
    rates.axhline(WANTED, color=GREY, linewidth=0.8, linestyle=":")
    for column, row in enumerate(result["coverage"]):
        theory = row["theory"]
        coverage.plot([column - 0.35, column + 0.35], [theory["mean"]] * 2, color=ORANGE, linewidth=1.5)
        coverage.fill_between(
            [column - 0.35, column + 0.35], theory["p5"], theory["p95"], color=ORANGE, alpha=0.25
        )
        for k, status in enumerate(STATUSES):
            found = row["realised"][status]
            at = column + (k - 1) * 0.2
            reach = [[found["mean"] - found["p5"]], [found["p95"] - found["mean"]]]
            coverage.errorbar([at], [found["mean"]], yerr=reach, fmt="o", color=BLUE, markersize=4)
    levels = [row["n"] for row in result["coverage"]]
    coverage.axhline(WANTED, color=GREY, linewidth=0.8, linestyle=":")
    coverage.set_xticks(range(len(levels)), [f"n = {n}" for n in levels], fontsize=8)
    coverage.set_title(
        "coverage of zero, low, positive (blue: mean, 5-95 %)\nagainst theory (orange)", fontsize=9
    )
    return png(figure)


def _draw_before_after(axis: Any, result: dict[str, Any], name: str, title: str) -> None:
    sites = list(dict.fromkeys(row["site"] for row in result["labelled"]))
    sizes = sorted({row["n"] for row in result["labelled"]})
    listed = ", ".join(map(str, sizes))
    for column, site in enumerate(sites):
        rows = [row for row in result["labelled"] if row["site"] == site]
        before = rows[0][name]["before"]
        axis.plot([column - 0.35, column + 0.35], [before] * 2, color=ORANGE, linewidth=1.5)
        for k, row in enumerate(rows):
            after = row[name]["after"]
            # Where most draws keep the bundle their mean may lie outside of 95 % of them.
            reach = [[max(0, after["mean"] - after["low"])], [max(0, after["high"] - after["mean"])]]
            at = column + (k - 1) * 0.2
            axis.errorbar([at], [after["mean"]], yerr=reach, fmt="o", color=BLUE, markersize=4)
    axis.set_xticks(range(len(sites)), [site.replace(" ", "\n", 1) for site in sites], fontsize=8)
    axis.set_title(f"{title}: before (orange),\nafter {listed} cases (blue: mean, 95 %)", fontsize=9)
