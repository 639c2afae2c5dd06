"""Outlines with the images they were drawn on, and those in the columns of a manifest; those of a session
come from `reads`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from HER2ViTLib.dicom.selection import EVERYTHING, Selection
from HER2ViTLib.lesion.masks import Roi, read_roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.session.files import SessionCase, session_study
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTLib.study.study import Study
from HER2ViTTrainingLib.cohort.case_study import load_case_study
from HER2ViTTrainingLib.cohort.manifest import Cohort, read_manifest

_RATER_OF_COLUMN = {"roi": "A1", "roi_b": "B1"}


@dataclass(frozen=True)
class Outline:
    """An outline with the images it was drawn on. `session_case` holds the phases' times where the images are
    a session's copies.
    """

    case_id: str
    rater: str
    images: tuple[Path, ...]
    roi: Path
    segment: str = ""
    early_phase: int | None = None
    session_case: SessionCase | None = None
    selection: Selection = EVERYTHING
    times: GivenTimes | None = None

    @property
    def role(self) -> str:
        """By what results name its file."""
        return f"outline {self.rater}, case {self.case_id}"

    def study(self) -> Study:
        """The images as a study. Raises `InputError` as `load_study`."""
        if self.session_case is None:
            return load_case_study(self)
        return session_study(self.session_case, self.images)

    def read(self, study: Study) -> Roi:
        """The outline on the images' geometry. Raises `InputError` as `read_roi`."""
        return read_roi(self.roi, study.geometry, self.segment or None, study.frame_of_reference)


def manifest_outlines(cohort: Cohort, roi_column: str = "roi", rater: str = "A1") -> list[Outline]:
    """The outlines in one column of a manifest, those of included cases that have one, as drawn by `rater`.

    Raises `InputError` for a column that the manifest does not have, and when no case has an outline in it.
    """
    columns = [name for name in cohort.columns if name == "roi" or name.startswith("roi_")]
    if roi_column not in columns:
        raise InputError(
            f"{cohort.path}: column {roi_column!r} is not a column of outlines; use {', '.join(columns)}"
        )
    if not rater.strip():
        raise InputError("rater '': give the outlines' reader a label such as A1")
    found = [
        Outline(
            case.case_id,
            rater.strip(),
            case.images,
            cohort.path.parent / case.row[roi_column],
            case.segment,
            case.early_phase,
            selection=case.selection,
            times=case.times,
        )
        for case in cohort.cases
        if case.included and case.row[roi_column]
    ]
    if not found:
        raise InputError(
            f"{cohort.path}: column {roi_column!r} is empty for every included case; give outlines"
        )
    return found


def column_outlines(manifest: str | os.PathLike, columns: Sequence[str]) -> list[Outline]:
    """The outlines in two or more columns of a manifest; excluded cases and empty cells are left out.

    Raises `InputError` for columns that do not name two or more raters, and as `read_manifest` and
    `manifest_outlines`.
    """
    cohort = read_manifest(manifest)
    raters = {_RATER_OF_COLUMN.get(column, column.removeprefix("roi_").upper()): column for column in columns}
    if len(raters) < max(2, len(columns)):
        raise InputError(
            f"--roi-columns {','.join(columns)}: name two or more columns, each of another rater, such as"
            " roi,roi_a2"
        )
    return [
        outline for rater, column in raters.items() for outline in manifest_outlines(cohort, column, rater)
    ]
