"""The files of a sanity check, and what `her2vit sanity` says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import timm
import torch

from HER2ViTLib import __version__
from HER2ViTLib.files.output import json_bytes, write_results
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.pictures import BLUE, GREY, OTHERS, panels, png
from HER2ViTTrainingLib.pages.texts import aligned, estimate_text
from HER2ViTTrainingLib.stats.estimates import Estimate

from .checking import RANDOMISATIONS, MethodSanity, Sanity
from .deletion import RANDOM_ORDERS
from .verdict import STILL_ALIKE, score_tells, sentence, verdict_of

PICTURE = "sanity.png"
RESULT_FILES = ("sanity.json", "sanity.html", PICTURE)
VERSIONS = {
    "her2vit": __version__,
    "numpy": np.__version__,
    "torch": torch.__version__,
    "timm": timm.__version__,
}
_GAINS = {
    "deletion": "deletion: random minus map",
    "insertion": "insertion: map minus random",
    "over_even": "in the outline: map minus even",
    "over_others": "in the outline: own minus others' map",
}


def write_sanity(
    found: Sanity, manifest_sha256: str, folder: str | os.PathLike, *, figures: bool
) -> list[str]:
    """Writes the results into a folder of their own; those of a former run go. Returns the files' names.
    Raises `InputError` when the folder holds anything else.
    """
    pictures = {PICTURE: _picture(found)} if figures else {}
    inputs = [("bundle", found.bundle.sha256), ("manifest", manifest_sha256)]
    contents = {
        "sanity.json": json_bytes(sanity_json(found, inputs)),
        "sanity.html": _page(found, inputs, pictures),
        **pictures,
    }
    return write_results(folder, RESULT_FILES, contents)


def sanity_json(found: Sanity, inputs: list[tuple[str, str]]) -> dict[str, Any]:
    """`sanity.json`: everything the page shows, with how it was made."""
    return {
        "notice": RESEARCH_NOTICE,
        "sentence": sentence(found),
        "versions": VERSIONS,
        "inputs": [{"role": role, "sha256": sha256} for role, sha256 in inputs],
        "bootstrap": {**asdict(found.plan), "unit": "patient", "interval": "percentile, 95 %"},
        "randomisations": RANDOMISATIONS,
        "random_orders": RANDOM_ORDERS,
        "task": found.bundle.task.name,
        "n": len(found.cases.labels),
        "positive": int(found.cases.labels.sum()),
        "auc": asdict(found.auc),
        "score_tells": score_tells(found),
        "methods": {name: _method_json(of) for name, of in found.methods.items()},
        "agreement": [
            {"methods": list(pair), "rank_correlation": asdict(value)}
            for pair, value in found.agreement.items()
        ],
    }


def _method_json(of: MethodSanity) -> dict[str, Any]:
    verdict = verdict_of(of)
    return {**asdict(of), "verdict": {**asdict(verdict), "passes": verdict.passes}}


def _page(found: Sanity, inputs: list[tuple[str, str]], pictures: Mapping[str, bytes]) -> bytes:
    return html_page(
        "sanity.html",
        pictures,
        sentence=sentence(found),
        bundle=found.bundle,
        n=len(found.cases.labels),
        positive=int(found.cases.labels.sum()),
        auc=estimate_text(found.auc) or "undefined: one class only",
        verdicts=_verdict_rows(found),
        steps=_step_rows(found),
        gains=_gain_rows(found),
        agreement=_agreement_rows(found),
        randomisations=RANDOMISATIONS,
        random_orders=RANDOM_ORDERS,
        still_alike=STILL_ALIKE,
        plan=found.plan,
        inputs=inputs,
        versions=VERSIONS,
    )


def _verdict_rows(found: Sanity) -> list[dict[str, str]]:
    rows = []
    for name, of in found.methods.items():
        verdict = verdict_of(of)
        rows.append(
            {
                "map": name,
                "follows the learnt weights": _yes(verdict.follows_weights),
                "its patches matter": _yes(verdict.matters),
                "in the outline": _yes(verdict.inside),
                "may be shown as where the score comes from": _yes(verdict.passes and score_tells(found)),
            }
        )
    return rows


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _step_rows(found: Sanity) -> list[dict[str, str]]:
    names = list(next(iter(found.methods.values())).steps)
    rows = []
    for step in names:
        row = {"randomised down to": step}
        row.update((name, estimate_text(of.steps[step])) for name, of in found.methods.items())
        rows.append(row)
    return rows


def _gain_rows(found: Sanity) -> list[dict[str, str]]:
    rows = []
    for field, title in {**_GAINS, "inside": "share in the outline"}.items():
        row = {"": title}
        row.update((name, estimate_text(getattr(of, field))) for name, of in found.methods.items())
        rows.append(row)
    return rows


def _agreement_rows(found: Sanity) -> list[dict[str, str]]:
    return [
        {"maps": " and ".join(pair), "rank correlation": estimate_text(value)}
        for pair, value in found.agreement.items()
    ]


def sanity_text(found: Sanity) -> str:
    """The verdicts and the sentence, for the screen."""
    rows = _verdict_rows(found)
    table = aligned([list(rows[0]), *(list(row.values()) for row in rows)])
    return "\n".join([*table, sentence(found), RESEARCH_NOTICE])


def _picture(found: Sanity) -> bytes:
    """Rank correlations by step, and the gains, a panel each."""
    figure, (steps, gains) = panels(2, 5.2, 3.9)
    colours = dict(zip(found.methods, (BLUE, *OTHERS)))
    for name, of in found.methods.items():
        places = range(len(of.steps))
        _line(steps, places, list(of.steps.values()), colours[name], name)
    steps.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    steps.set_xticks(places, list(of.steps), rotation=45, ha="right", fontsize=8)
    steps.set_ylim(-1.05, 1.05)
    steps.set_title("rank correlation with the map of randomised weights", fontsize=9)
    steps.legend(fontsize=8, frameon=False)
    for n, (name, of) in enumerate(found.methods.items()):
        values = [getattr(of, field) for field in _GAINS]
        at = np.arange(len(values)) + (n - 1) * 0.2
        _points(gains, at, values, colours[name], name)
    gains.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    labels = [title.replace(": ", ":\n") for title in _GAINS.values()]
    gains.set_xticks(range(len(_GAINS)), labels, fontsize=7)
    gains.set_title("more than by chance (95 % over patients)", fontsize=9)
    return png(figure)


def _line(axis: Any, places: range, values: list[Estimate], colour: str, name: str) -> None:
    axis.plot(places, [one.value for one in values], "o-", color=colour, markersize=3, label=name)
    axis.fill_between(
        places, [one.low for one in values], [one.high for one in values], color=colour, alpha=0.15
    )


def _points(axis: Any, at: np.ndarray, values: list[Estimate], colour: str, name: str) -> None:
    middle = np.array([one.value for one in values])
    reach = np.array([[one.value - one.low for one in values], [one.high - one.value for one in values]])
    axis.errorbar(at, middle, yerr=np.maximum(reach, 0), fmt="o", color=colour, markersize=4, label=name)
