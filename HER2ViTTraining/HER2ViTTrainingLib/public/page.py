"""An import as a page, as text for the screen, and its licence as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from HER2ViTTrainingLib.pages.html import html_page

COUNT_NAMES = {"other": "none of these", "n": "all", "included": "in"}
SUBGROUPS = {"cohort": "data set", "site": "site", "vendor": "vendor", "field_strength": "field strength, T"}


def import_html(about: Mapping[str, Any]) -> bytes:
    """`import.html`."""
    return html_page(
        "import.html",
        {},
        about=about,
        status_rows=[{"": "all", **_shown(about["her2_status"])}],
        subgroups={title: _rows(title, about["by"][key]) for key, title in SUBGROUPS.items()},
        state_subgroups=_state_subgroups(about["her2_states"]),
        early_rows=[_early_row(row) for row in about["early_phase"]],
    )


def _state_subgroups(join: Mapping[str, Any] | None) -> dict[str, list[dict[str, Any]]]:
    """The same subgroups of I-SPY 2 alone, whose states were joined."""
    by = join["by"] if join else {}
    return {SUBGROUPS[key]: _rows(SUBGROUPS[key], groups) for key, groups in by.items()}


def _rows(title: str, groups: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    return [{title: name, **_shown(counted)} for name, counted in groups.items()]


def _shown(counted: Mapping[str, int]) -> dict[str, int]:
    return {COUNT_NAMES.get(name, name): n for name, n in counted.items()}


def _early_row(row: Mapping[str, Any]) -> dict[str, Any]:
    time = row["time_s"]
    return {
        "data set": row["cohort"],
        "site": row["site"],
        "cases": row["n"],
        "by time": row["by_time"],
        "marked by the source": row["by_source"],
        "by enhancement, when read": row["when_read"],
        "phase: cases": ", ".join(f"{index}: {n}" for index, n in row["phases"].items()),
        "s after contrast, median (range)": (
            f"{time['median']:.0f} ({time['lowest']:.0f}-{time['highest']:.0f})" if time else ""
        ),
    }


def licence_text(about: Mapping[str, Any]) -> bytes:
    """`LICENCE.txt`: under what terms the data may be used, and whom to cite."""
    lines = [about["title"], f"From: {about['url']}", f"Licence: {about['licence']}", "", "Cite:"]
    lines += [f"- {citation}" for citation in about["citations"]]
    return "\n".join([*lines, ""]).encode()


def import_text(about: Mapping[str, Any]) -> str:
    """The import in plain lines, for the screen."""
    counted = about["her2_status"]
    by_status = ", ".join(f"{n} {COUNT_NAMES.get(name, name)}" for name, n in counted.items() if name != "n")
    lines = [licence_text(about).decode().rstrip(), "", f"{about['cases']} cases: {by_status}"]
    lines += [f"  out {entry['n']}: {entry['reason']}" for entry in about["excluded"]]
    join = about["her2_states"]
    if join:
        found = f"{join['zero']} zero, {join['low']} low, {join['positive']} positive"
        lines.append(f"HER2 states joined to {join['joined']} of {join['cases']} cases of I-SPY 2: {found}")
        lines += [f"  left {n}: {reason}" for reason, n in join["left"].items()]
    times = about["phase_times"]
    lines.append(f"phase times given for {times['given']}")
    lines += [f"  not for {n}: {reason}" for reason, n in times["left_empty"].items()]
    return "\n".join([*lines, *(f"note: {note}" for note in about["notes"])])
