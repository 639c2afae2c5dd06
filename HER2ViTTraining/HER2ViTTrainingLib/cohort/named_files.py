"""The files that a manifest's row names: images and outlines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults

from .columns import MAX_PHASES

NOT_THERE = "no such file, or an empty folder; paths are relative to the manifest"


def check_files(
    row: Row, columns: Sequence[str], folder: Path | None, early_phase: int | None, faults: Faults
) -> None:
    """Whether the files of a case that is in are named, and with a `folder` also whether they are there. (A
    case that is out needs none: missing images are a reason to exclude.)
    """
    names = [name.strip() for name in row["image"].split(";")]
    if "image" in columns:
        _check_images(row, names, folder, faults)
    if early_phase is not None and len(names) > 1 and early_phase >= len(names):
        faults.note(row, "early_phase", f"image has {len(names)} phases; give 0-{len(names) - 1}")
    if "roi" in columns and not row["roi"]:
        faults.note(row, "roi", "is missing; give the outline, or set exclude to the reason")
    for column in columns:
        if column == "roi" or column.startswith("roi_"):
            _check_outline(row, column, names, folder, faults)


def _check_images(row: Row, names: Sequence[str], folder: Path | None, faults: Faults) -> None:
    if not row["image"]:
        faults.note(row, "image", "is missing; give the image, or set exclude to the reason")
        return
    if len(names) > MAX_PHASES:
        what = f"is the first of {len(names)} files; give at most {MAX_PHASES} phases, one ; between two"
        faults.note(row, "image", what, names[0])
        return
    for n, name in enumerate(names):
        if not name:
            faults.note(row, "image", f"phase {n} is empty; write one ; between two phases")
        elif name in names[:n]:
            faults.note(row, "image", f"names {name!r} twice; give each phase once")
        elif folder and not _is_there(folder / name):
            faults.note(row, "image", NOT_THERE, name)


def _check_outline(row: Row, column: str, images: Sequence[str], folder: Path | None, faults: Faults) -> None:
    outline = row[column]
    if outline and outline in images:
        faults.note(row, column, "is the image; give the outline")
    elif outline and folder and not _is_there(folder / outline):
        faults.note(row, column, NOT_THERE)


def _is_there(path: Path) -> bool:
    """Whether there is a file, or a folder (of DICOM files) that is not empty."""
    try:
        return path.is_file() or (path.is_dir() and any(path.iterdir()))
    except OSError:  # a name too long, a folder that may not be looked into
        return False
