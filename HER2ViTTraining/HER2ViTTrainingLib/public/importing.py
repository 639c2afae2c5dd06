"""A public data set becomes a manifest, with a page about it, its licence, and the split it brings."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.files.output import (
    csv_bytes,
    json_bytes,
    prepare_folder,
    require_own_folder,
    write_atomically,
)
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import given_splits

from .breastdcedl import read_breastdcedl
from .data_set import MANIFEST_COLUMNS, PublicData
from .duke import read_duke
from .mama_mia import read_mama_mia
from .page import import_html, licence_text
from .summary import summary

MANIFEST = "manifest.csv"
SUMMARY = "import.json"
SPLITS = "splits.json"
RESULT_FILES = (MANIFEST, SUMMARY, "import.html", "LICENCE.txt", SPLITS)


def read_source(source: str, folder: Path, states: Path | None) -> PublicData:
    """The data set `mama-mia`, `breastdcedl` or `duke` in a folder; `states`: the table of HER2 states of
    I-SPY 2. Raises `InputError` with a line for each fault.
    """
    if source == "duke":
        if states:
            raise InputError(f"--her2-states {states}: Duke has no patient of I-SPY 2; leave it out")
        return read_duke(folder)
    read = {"mama-mia": read_mama_mia, "breastdcedl": read_breastdcedl}[source]
    data = read(folder, states)
    if states and data.join and not data.join.known:
        raise InputError(f"{states}: no patient of {folder} is in it; give the table of I-SPY 2")
    return data


def import_data_set(
    source: str, folder: str | os.PathLike, out: str | os.PathLike, states: str | os.PathLike | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Writes the manifest of a data set and what belongs to it into `out`; returns what `import.json` says,
    and the names of the files.

    Raises `InputError` for faults of the data set, for a folder with other content, and for a manifest in it
    that was edited since.
    """
    out = Path(out)
    require_own_folder(out, RESULT_FILES)
    data = read_source(source, Path(folder), Path(states) if states else None)
    manifest = csv_bytes(MANIFEST_COLUMNS, (case.manifest_row(out) for case in data.cases))
    _require_unedited(out, manifest)
    prepare_folder(out, RESULT_FILES)
    about = summary(source, data, hashlib.sha256(manifest).hexdigest())
    contents = {
        MANIFEST: manifest,
        SUMMARY: json_bytes(about),
        "import.html": import_html(about),
        "LICENCE.txt": licence_text(about),
    }
    for name, content in contents.items():
        write_atomically(out / name, content)
    return about, [*contents, *_write_splits(data, out)]


def _write_splits(data: PublicData, out: Path) -> list[str]:
    """The source's own split; none where no case is in, or none on one of its sides."""
    cohort = read_manifest(out / MANIFEST)
    validation = {case.case_id for case in data.cases if case.validates}
    sides = {case.patient_id in validation for case in cohort.development}
    if not data.has_split or len(sides) < 2:
        (out / SPLITS).unlink(missing_ok=True)
        return []
    write_atomically(out / SPLITS, given_splits(cohort, validation).to_json())
    return [SPLITS]


def _require_unedited(out: Path, manifest: bytes) -> None:
    """Raises `InputError` when the manifest there is neither this one nor the one that was written with
    `import.json`.
    """
    path = out / MANIFEST
    if not path.exists() or path.read_bytes() == manifest:
        return
    try:
        written = parse_json((out / SUMMARY).read_bytes())["manifest_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        written = ""
    if hashlib.sha256(path.read_bytes()).hexdigest() != written:
        raise InputError(f"{path}: was edited, or is another manifest; name another --out, or delete it")
