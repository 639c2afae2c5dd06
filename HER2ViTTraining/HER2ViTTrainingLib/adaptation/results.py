"""The files of an adaptation: the bundles, `adaptation.json`, `adaptation.html`; and what `her2vit adapt`
says.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from HER2ViTLib import __version__
from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.output import json_bytes, prepare_folder, write_atomically
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTLib.model.bundle import CARD_FILE, WEIGHTS_FILE, save_with_settings
from HER2ViTLib.model.config import CONFIG_FILE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import aligned

from .adapted import Adaptation, AdaptedBundle, card_heading, figures_of

BUNDLE_FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE)
RESULT_FILES = (*BUNDLE_FILES, *TASKS, "adaptation.json", "adaptation.html")
SCREEN_WIDTH = 110
VERSIONS = {"her2vit": __version__, "numpy": np.__version__, "scipy": scipy.__version__}


def write_adaptation(adaptation: Adaptation, folder: str | os.PathLike) -> list[str]:
    """Writes one adapted bundle into the folder itself, several each into a folder named by its task, and the
    page beside them. Returns the files' names. Raises `InputError` when the folder holds anything else.
    """
    folder = prepare_folder(folder, RESULT_FILES)
    several = len(adaptation.bundles) > 1
    written = []
    hashes = {}
    for one in adaptation.bundles:
        name = one.settings.task.name if several else ""
        save_with_settings(one.folder, folder / name, one.settings, card_heading(one))
        hashes[one.settings.task.key] = file_sha256(folder / name / CONFIG_FILE)
        written += [str(Path(name) / file) for file in BUNDLE_FILES]
    write_atomically(folder / "adaptation.json", json_bytes(adaptation_json(adaptation, hashes)))
    write_atomically(folder / "adaptation.html", adaptation_html(adaptation, hashes))
    return [*written, "adaptation.json", "adaptation.html"]


def adaptation_json(adaptation: Adaptation, hashes: dict[str, str]) -> dict[str, Any]:
    """`adaptation.json`: everything the page shows; `hashes` are those of the new bundles by task key."""
    return {
        "notice": RESEARCH_NOTICE,
        "versions": VERSIONS,
        "inputs": [{"role": role, "sha256": sha256} for role, sha256 in _inputs(adaptation)],
        "bundles": {
            one.settings.task.key: {
                "task": one.settings.task.name,
                "sha256": hashes[one.settings.task.key],
                "before": figures_of(one.parent.settings),
                "after": figures_of(one.settings),
                **one.record,
            }
            for one in adaptation.bundles
        },
        **adaptation.details,
        "notes": list(adaptation.notes),
    }


def _inputs(adaptation: Adaptation) -> list[tuple[str, str]]:
    parents = [(f"bundle {one.parent.task.key}", one.parent.sha256) for one in adaptation.bundles]
    return [*parents, *adaptation.inputs]


def adaptation_html(adaptation: Adaptation, hashes: dict[str, str]) -> bytes:
    """The self-contained page. All texts are escaped."""
    made = [(f"adapted bundle {key}", sha256) for key, sha256 in hashes.items()]
    return html_page(
        "adaptation.html",
        {},
        adaptation=adaptation,
        inputs=[*_inputs(adaptation), *made],
        versions=VERSIONS,
    )


def adaptation_text(adaptation: Adaptation) -> str:
    """The page in plain lines, for the screen."""
    lines = []
    for section in adaptation.sections:
        lines += [section.title, *textwrap.wrap(section.text, SCREEN_WIDTH)]
        if section.rows:
            rows = [list(section.rows[0]), *(list(row.values()) for row in section.rows)]
            lines += aligned(rows)
        lines.append("")
    lines += [_changed_line(one) for one in adaptation.bundles]
    return "\n".join([*lines, *adaptation.notes, RESEARCH_NOTICE])


def _changed_line(one: AdaptedBundle) -> str:
    changed = ", ".join(one.record["changed"]) or "nothing"
    return f"{one.settings.task.name}: changed {changed}"
