"""An adapted bundle and what is told of it: what was changed, from which parent, on which cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from HER2ViTLib import __version__
from HER2ViTLib.model.bundle import Bundle
from HER2ViTLib.model.config import Settings

CHANGED = ("slope", "intercept", "threshold", "prevalence")


@dataclass(frozen=True)
class Section:
    """A part of the page: what the table below it means, in plain words."""

    title: str
    text: str
    rows: Sequence[Mapping[str, str]] = ()


@dataclass(frozen=True)
class AdaptedBundle:
    """A parent, the folder it lies in, and its new settings, which name it and say what was changed."""

    parent: Bundle
    folder: Path
    settings: Settings

    @property
    def record(self) -> Mapping[str, Any]:
        """What the new bundle tells of this adaptation."""
        return adaptations_of(self.settings)[-1]


@dataclass(frozen=True)
class Adaptation:
    """All that a run of `adapt` found: the bundles, the inputs as (role, SHA-256), what the page says, and
    further figures for `adaptation.json`.
    """

    bundles: tuple[AdaptedBundle, ...]
    inputs: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    details: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def adaptations_of(settings: Settings) -> list[Mapping[str, Any]]:
    """What was done to a bundle since it was trained, oldest first."""
    found = settings.provenance.get("adaptations", [])
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def with_record(parent: Bundle, settings: Settings, method: str, cases: Mapping[str, Any]) -> Settings:
    """The new settings with a record of the adaptation: the parent's hash, the method, the `cases` (hash, n
    per class), and what was changed.
    """
    before = figures_of(parent.settings)
    after = figures_of(settings)
    changed: dict[str, Mapping[str, Any]] = {
        name: {"from": before[name], "to": after[name]} for name in CHANGED if before[name] != after[name]
    }
    if settings.conformal != parent.settings.conformal:
        changed["conformal"] = {"to": settings.conformal and settings.conformal.to_json()}
    record = {
        "parent_sha256": parent.sha256,
        "method": method,
        **cases,
        "changed": changed,
        "her2vit": __version__,
    }
    history = [*adaptations_of(parent.settings), record]
    return replace(settings, provenance={**parent.settings.provenance, "adaptations": history})


def figures_of(settings: Settings) -> dict[str, float]:
    """What an adaptation may change: slope and intercept of the calibration, threshold, prevalence."""
    return {
        "slope": settings.calibration.slope,
        "intercept": settings.calibration.intercept,
        "threshold": settings.threshold,
        "prevalence": settings.prevalence,
    }


def card_heading(adapted: AdaptedBundle) -> str:
    """What the card of the adapted bundle begins with."""
    record = adapted.record
    n = record.get("n", {})
    on = f" from {', '.join(f'{count} {name}' for name, count in n.items())} cases" if n else ""
    lines = [
        f"# Adapted: {adapted.settings.task.title}",
        "",
        f"By {record['method']}{on} (SHA-256 of the cases `{record.get('cases_sha256', 'none')}`), with"
        f" her2vit {record['her2vit']}; the parent is bundle `{adapted.parent.sha256}`, whose card follows."
        " Its figures are the parent's.",
        "",
    ]
    figures = figures_of(adapted.settings)
    before = figures_of(adapted.parent.settings)
    lines += ["| | parent | adapted |", "|---|---|---|"]
    lines += [f"| {name} | {before[name]:.4f} | {figures[name]:.4f} |" for name in CHANGED]
    conformal = adapted.settings.conformal
    if conformal is not None:
        lines += ["", f"What cannot be excluded, at coverage {conformal.level:g} a status, together with its"]
        lines += [f"partner (scores `{conformal.partner}`):", ""]
        lines += ["| status | calibration cases | coverage, 5th to 95th percentile | excluded below |"]
        lines += ["|---|---|---|---|"]
        lines += [
            f"| {status} | {of.n} | {of.coverage_low:.2f} to {of.coverage_high:.2f} |"
            f" {f'{of.cutoff:.4f}' if of.cutoff else 'never: too few cases'} |"
            for status, of in conformal.statuses.items()
        ]
    return "\n".join(lines)
