"""The public MAMA-MIA data set (Garrucho et al., Sci Data 12:453, 2025; Synapse syn60868042) as a manifest.

Layout as downloaded: `images/PATIENT/PATIENT_0000.nii.gz` (pre-contrast), `_0001`, ... in time order;
`segmentations/expert/PATIENT.nii.gz`; `clinical_and_imaging_info.xlsx`, whose sheet `dataset_info` must be
saved as CSV beside it (workbooks are not read). Letter case of folders and files differs between releases.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from HER2ViTLib.files.output import csv_bytes, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.table import read_table

from .columns import EXTERNAL

TABLE = "clinical_and_imaging_info"
COLUMNS = (
    "case_id",
    "image",
    "roi",
    "her2_status",
    "cohort",
    "role",
    "exclude",
    "age",
    "menopause",
    "grade",
    "er",
    "pr",
)
NOT_ZERO_OR_LOW = "HER2-negative in the source: zero and low are not told apart"
_YES_NO = {"1": "positive", "0": "negative"}
_GRADES = {"low": "G1", "intermediate": "G2", "high": "G3"}


def write_mama_mia_manifest(folder: str | os.PathLike, path: str | os.PathLike) -> Path:
    """Writes the manifest of the data set in `folder` to `path`, with paths relative to it; returns `path`.

    The source knows HER2 as positive or negative only, by core biopsy. Positive cases are HER2-positive; the
    others are excluded, since negative is zero or low. Whoever has their IHC scores fills in `ihc`, `ish` and
    clears `exclude`. All cases are `external`: as they stand they can test, not train. Cases not (wholly)
    downloaded are excluded, too. Follow-up is left out: the source writes 0 both for an event on day 0 and
    for none. Raises `InputError` when folder or table is not as described, or when `path` holds another
    manifest (edited, perhaps).
    """
    folder = Path(folder)
    path = Path(path)
    table = read_table(_table(folder))
    missing = [name for name in ("patient_id", "dataset", "her2") if name not in table.columns]
    if missing:
        raise InputError(
            [
                f"{table.path}: row 1: column {name} is missing; save the sheet dataset_info as it is"
                for name in missing
            ]
        )
    images = {entry.name.lower(): entry for entry in _entries(folder / "images")}
    outlines = {entry.name.lower(): entry for entry in _entries(folder / "segmentations" / "expert")}
    content = csv_bytes(COLUMNS, (_manifest_row(row, images, outlines, path.parent) for row in table.rows))
    if path.exists() and path.read_bytes() != content:
        raise InputError(
            f"{path}: is another manifest, or was edited; give it to the command as the manifest, or"
            " delete it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return path


def _table(folder: Path) -> Path:
    table = folder / f"{TABLE}.csv"
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; name the one that holds images, segmentations and {TABLE}.csv"
        )
    if not table.exists():
        raise InputError(
            f"{table}: no such file; save the sheet dataset_info of {TABLE}.xlsx as CSV UTF-8 under this name"
        )
    return table


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; the data set's images, segmentations and table lie in one folder"
        )
    return sorted(folder.iterdir())


def _manifest_row(
    row: Row, images: Mapping[str, Path], outlines: Mapping[str, Path], base: Path
) -> dict[str, str]:
    patient = row["patient_id"]
    phases = _phases(images.get(patient.lower()), patient)
    outline = outlines.get(f"{patient.lower()}.nii.gz")
    positive = _flag(row["her2"])
    if not phases:
        exclude = "phases of the DCE-MRI not there"
    elif outline is None:
        exclude = "expert outline not there"
    else:
        exclude = {"1": "", "0": NOT_ZERO_OR_LOW}.get(positive, "HER2 status missing")
    return {
        "case_id": patient,
        "image": ";".join(_relative(phase, base) for phase in phases),
        "roi": _relative(outline, base) if outline else "",
        "her2_status": {"1": "positive", "0": "indeterminate"}.get(positive, ""),
        "cohort": row["dataset"],
        "role": EXTERNAL,
        "exclude": exclude,
        "age": row["age"],
        "menopause": {"pre": "no", "post": "yes"}.get(row["menopause"].partition(" ")[0].lower(), "NA"),
        "grade": _GRADES.get(row["nottingham_grade"].lower(), "NA"),
        "er": _YES_NO.get(_flag(row["er"]), "NA"),
        "pr": _YES_NO.get(_flag(row["pr"]), "NA"),
    }


def _phases(folder: Path | None, patient: str) -> list[Path]:
    """The patient's phases in time order; none when one is missing, the first two at least."""
    if folder is None or not folder.is_dir():
        return []
    names = {entry.name.lower(): entry for entry in folder.iterdir()}
    pattern = re.compile(re.escape(patient.lower()) + r"_(\d{4})\.nii\.gz")
    matches = map(pattern.fullmatch, names)
    numbers = sorted(int(match[1]) for match in matches if match)
    if len(numbers) < 2 or numbers != list(range(len(numbers))):
        return []
    return [names[f"{patient.lower()}_{number:04d}.nii.gz"] for number in numbers]


def _flag(text: str) -> str:
    """0 and 1, which programs write as 0.0 and 1.0 where others of the column are missing."""
    return text.partition(".")[0]


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
