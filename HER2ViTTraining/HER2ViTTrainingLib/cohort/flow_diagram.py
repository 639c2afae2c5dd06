"""The flow of cases as a picture, in the style of CONSORT. Lengths are in inches, y downwards."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from HER2ViTLib.her2 import POSITIVE_VS_NEGATIVE, TASKS

from .columns import COUNTED_STATUSES, DEVELOPMENT, EXTERNAL, SET_NAMES, STATUSES
from .splits import PER_TASK, SHARED

_MAIN = 2.9
_SIDE = 2.7
_GAP = 0.32
_LINE = 0.17
_PAD = 0.1
_COLUMN = _MAIN + _SIDE + 1.5 * _GAP
_BLUE = "#eef3f8"
_GREEN = "#e9f5ec"
_SAND = "#fbf3ea"
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
)
"""matplotlib's own, then those that have Chinese: cohorts and reasons are in the users' words."""


def flow_png(data: Mapping[str, Any]) -> bytes:
    """The flow as a diagram in the manner of CONSORT and STARD: per cohort assessed, excluded with reasons,
    included; then the sets.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = sorted(data["cohorts"], key=lambda group: group["role"] != DEVELOPMENT)
    width = max(_COLUMN * len(groups) + _GAP, 2 * _MAIN + 3 * _GAP)
    figure = Figure(facecolor="white")
    FigureCanvasAgg(figure)
    chart = _Chart(figure.add_axes((0, 0, 1, 1)))
    ends = _draw_cohorts(chart, groups)
    bottom = max(low for _, low in ends)
    if data["development"]["n"]:
        development = sum(group["role"] == DEVELOPMENT for group in groups)
        bottom = max(bottom, _draw_sets(chart, ends[:development], data))
    notes = [line for note in _notes(data) for line in textwrap.wrap(note, int(width / 0.065))]
    chart.text(_GAP, bottom + _GAP, "\n".join(notes), va="top", fontsize=7.5, color="#555555")
    height = bottom + _GAP + _LINE * (len(notes) + 1)
    chart.axes.set(xlim=(0, width), ylim=(height, 0))
    chart.axes.set_axis_off()
    figure.set_size_inches(width, height)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, metadata={"Software": None})
    return stream.getvalue()


def _notes(data: Mapping[str, Any]) -> list[str]:
    split = data["split"]
    how = (
        "each task on its own, stratified by its label"
        if split["kind"] == PER_TASK
        else "one for all tasks, stratified by HER2 status"
    )
    made = f"Split 8:2 by patient, {how}; seed {split['seed']}; SHA-256 {split['sha256'][:12]}..."
    return [made, *([split["note"]] if "note" in split else []), data["notice"]]


class _Chart:
    """Boxes and arrows on axes whose unit is the inch."""

    def __init__(self, axes: Any) -> None:
        from matplotlib.font_manager import fontManager

        self.axes = axes
        installed = {font.name for font in fontManager.ttflist}
        self.fonts = [name for name in _FONTS if name in installed]

    def box(
        self, centre: float, top: float, lines: Sequence[str], width: float = _MAIN, colour: str = _BLUE
    ) -> tuple[float, float]:
        """A box of the given lines, the first one bold; returns the middle of its lower edge."""
        from matplotlib.patches import Rectangle

        left = centre - width / 2
        height = _height(lines)
        self.axes.add_patch(
            Rectangle((left, top), width, height, facecolor=colour, edgecolor="#33475b", linewidth=1)
        )
        for n, line in enumerate(lines):
            y = top + _PAD + _LINE * (n + 0.5)
            weight = "normal" if n else "bold"
            self.text(left + _PAD, y, line, va="center", fontsize=9, weight=weight, color="#16202b")
        return centre, top + height

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text as it is: a $ is a $."""
        self.axes.text(x, y, text, family=self.fonts, parse_math=False, **style)

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through the points with its head at the last one."""
        self.axes.plot(*zip(*points[:-1]), color="#33475b", linewidth=1)
        style = {"arrowstyle": "-|>", "color": "#33475b", "shrinkA": 0, "shrinkB": 0, "linewidth": 1}
        self.axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=style)

    def elbow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Down, across, down."""
        half = end[1] - _GAP
        self.arrow(start, (start[0], half), (end[0], half), end)


def _height(lines: Sequence[str]) -> float:
    return 2 * _PAD + _LINE * len(lines)


def status_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts by status that are shown: of negative cases only where there are any."""
    shown = {status.value: counts[status.value] for status in COUNTED_STATUSES}
    return {status: n for status, n in shown.items() if n or status in STATUSES}


def _counts_lines(counts: Mapping[str, int]) -> list[str]:
    patients = "" if counts["patients"] == counts["n"] else f" cases of {counts['patients']} patients"
    return [
        f"n = {counts['n']}{patients}",
        ", ".join(f"{status} {n}" for status, n in status_counts(counts).items()),
    ]


def _excluded_lines(group: Mapping[str, Any]) -> list[str]:
    reasons = [f"{entry['n']}  {entry['reason']}" for entry in group["reasons"]]
    return [
        "Excluded",
        f"n = {group['excluded']}",
        *(line for reason in reasons for line in textwrap.wrap(reason, 34, subsequent_indent="     ")),
    ]


def _draw_cohorts(chart: _Chart, groups: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Assessed, excluded, included of each cohort, side by side; returns where each ends."""
    assessed = [
        [*textwrap.wrap(f"{group['cohort']}: assessed", 34), f"n = {group['assessed']}"] for group in groups
    ]
    excluded = [_excluded_lines(group) for group in groups]
    side = _GAP + max(map(_height, assessed)) + _GAP
    last = side + max(map(_height, excluded)) + _GAP
    ends = []
    for n, group in enumerate(groups):
        centre = _COLUMN * n + _GAP + _MAIN / 2
        right = centre + _MAIN / 2 + _GAP / 2 + _SIDE / 2
        middle = side + _height(excluded[n]) / 2
        start = chart.box(centre, _GAP, assessed[n])
        chart.box(right, side, excluded[n], _SIDE, _SAND)
        chart.arrow((centre, middle), (right - _SIDE / 2, middle))
        chart.arrow(start, (centre, last))
        external = group["role"] == EXTERNAL
        title = "Included: external test set" if external else "Included: development"
        lines = [title, *_counts_lines(group["included"])]
        ends.append(chart.box(centre, last, lines, colour=_GREEN if external else _BLUE))
    return ends


def _draw_sets(chart: _Chart, ends: Sequence[tuple[float, float]], data: Mapping[str, Any]) -> float:
    """Training and validation sets under the development cohorts, which meet in one box where there are
    several; returns the lowest edge.
    """
    low = max(bottom for _, bottom in ends)
    middle = sum(centre for centre, _ in ends) / len(ends)
    start = ends[0]
    if len(ends) > 1:
        top = low + 2 * _GAP
        for end in ends:
            chart.elbow(end, (middle, top))
        start = chart.box(middle, top, ["Development", *_counts_lines(data["development"])])
    split = data["split"]
    shown = {f"{TASKS[name].key.replace('task', 'Task ')}: ": task for name, task in split["tasks"].items()}
    if split["kind"] == SHARED:
        # Task 3 asks of every case: its sets are the whole ones.
        shown = {"": split["tasks"][POSITIVE_VS_NEGATIVE.name]}
    left = max(middle - _MAIN / 2 - _GAP / 2, _GAP + _MAIN / 2)
    centres = {name: left + n * (_MAIN + _GAP) for n, name in enumerate(SET_NAMES)}
    bottom = start[1] + 2 * _GAP
    for centre in centres.values():
        chart.elbow(start, (centre, bottom))
    for prefix, task in shown.items():
        ends = [
            chart.box(centre, bottom, [f"{prefix}{name}".capitalize(), *_counts_lines(task[name])])
            for name, centre in centres.items()
        ]
        bottom = ends[0][1] + _GAP / 2
    return bottom - _GAP / 2
