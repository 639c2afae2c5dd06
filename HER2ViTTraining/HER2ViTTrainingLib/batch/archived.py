"""What a batch checks of its cases and of `--dicom-out` before it reads anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from HER2ViTLib.files.output import require_own_folder
from HER2ViTLib.messages import each, faults_of
from HER2ViTTrainingLib.cohort.manifest import Case


def archive_folder(folder: str | os.PathLike, cases: Sequence[Case], out: Path) -> Path:
    """The absolute path of the folder for the cases' DICOM objects.

    Raises `InputError`, a line a case, for images that are no DICOM; and for a folder that holds anything but
    DICOM objects of these cases, or of those of an earlier manifest, whose readings are in `out`.
    """
    from HER2ViTLib.archive.folder import DICOM_FILES
    from HER2ViTLib.archive.source import require_dicom

    folder = Path(folder).absolute()

    def check(case: Case) -> None:
        with faults_of(f"case {case.case_id}"):
            require_dicom([path for path in case.images if path.exists()])  # what is missing fails by itself
            require_own_folder(folder / case.case_id, DICOM_FILES)

    former = out / "cases"
    known = {entry.name for entry in former.iterdir()} if former.is_dir() else set()
    require_own_folder(folder, {case.case_id for case in cases} | known)
    each(check, cases)
    return folder
