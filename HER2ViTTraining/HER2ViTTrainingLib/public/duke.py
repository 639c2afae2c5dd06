"""Duke Breast Cancer MRI: 922 patients of one institution, with follow-up; no outlines.

Source: Saha A et al., A machine learning approach to radiogenomics of breast cancer: a study of 922 subjects
and 529 DCE-MRI features, Br J Cancer 2018;119:508-516, doi:10.1038/s41416-018-0185-8; The Cancer Imaging
Archive, https://doi.org/10.7937/TCIA.e3sv-re93. Licence: CC BY-NC 4.0.

Layout as downloaded: DICOM, `.../Breast_MRI_001/STUDY/SERIES/*.dcm`;
`Clinical_and_Other_Features.xlsx`, sheet `Data`, with three header rows (groups, names, codes), or in another
release one (names). Its sheets `Legend` and `Column Explanations` give the codes; `NA` is not available, `NP`
not pertinent, `NC` not collected. HER2 is 0 negative (zero or low, not told apart), 1 positive, 2 borderline,
which is indeterminate here.

Outlines: the source has a box a tumour, and segmentations of breast, vessels and dense tissue, not of
tumours. A case needs an outline of its own, e.g. from the panel, as `outlines/Breast_MRI_001.seg.nrrd` (or
.nrrd, .nii.gz, .nii) beside the table; without one it is listed and left out.

Follow-up in days from diagnosis, months of 30.4375 days here; day 0 is a day, `NP` is none.
- rfs: to the first recurrence (local or distant) or death of any cause; without, to the earlier of the last
  assessments free of local and of distant recurrence. Contralateral cancer is not in the table. Empty for
  patients metastatic at presentation, and where it is not said whether there was a recurrence, or said both
  ways.
- os: to death of any cause; without, to the last contact, or where that is not there to the later of the two
  assessments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from HER2ViTLib.her2 import HER2Status
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table

from .codes import meaning, number
from .data_set import DUKE_IMAGES, PublicCase, PublicData, Terms
from .workbooks import find_table, given, one_row_a_patient, require_published, workbook_table

TERMS = Terms(
    title="Duke Breast Cancer MRI, 922 patients",
    licence="CC BY-NC 4.0 (no commercial use)",
    url="https://doi.org/10.7937/TCIA.e3sv-re93",
    citations=(
        "Saha A, Harowicz MR, Grimm LJ, et al. A machine learning approach to radiogenomics of breast cancer:"
        " a study of 922 subjects and 529 DCE-MRI features. Br J Cancer 2018;119:508-516."
        " doi:10.1038/s41416-018-0185-8",
        DUKE_IMAGES,
    ),
)
NOTES = (
    "The source has no outlines of tumours: a case is in once outlines/PATIENT.seg.nrrd is there.",
    "Negative cases are zero or low, not told apart; borderline (2) is indeterminate.",
    "291 of the patients are also in MAMA-MIA: do not test on them what was trained there.",
)
WORKBOOK = "clinical_and_other_features.xlsx"
SHEET = "Data"
ID = "Patient ID"
COHORT = "DUKE"
DAYS_A_MONTH = 30.4375
DAYS_A_YEAR = 365.25
OUTLINE_FOLDER = "outlines"
OUTLINE_ENDINGS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
MAX_DEPTH = 4
"""How deep below the folder patients are looked for (manifest-.../Duke-Breast-Cancer-MRI/Breast_MRI_001)."""

_STATUS = {"0": HER2Status.NEGATIVE, "1": HER2Status.POSITIVE, "2": HER2Status.INDETERMINATE}
_RECEPTOR = {"0": "negative", "1": "positive"}
_YES_NO = {"0": False, "1": True}
_GRADES = {"1": "G1", "2": "G2", "3": "G3"}
_POSTMENOPAUSAL = {"0": "no", "1": "yes", "2": None}
_SIDES = {"l": "left", "r": "right"}
_VENDORS = {"0": "GE", "1": "MPTronic", "2": "SIEMENS"}
_STRENGTHS = {"0": "1.5", "1": "1.5", "2": "3", "3": "3"}
"""1.494 and 2.8936 T are 1.5 and 3 T by name."""
_HISTOLOGY = {
    **{"0": "DCIS", "1": "ductal", "2": "lobular", "3": "metaplastic", "4": "LCIS", "5": "tubular"},
    **{"6": "mixed", "7": "micropapillary", "8": "colloid", "9": "mucinous", "10": "medullary"},
}
_LONG_NAMES = {
    "recurrence": "recurrence event",
    "local": "days to local recurrence",
    "distant": "days to distant recurrence",
    "death": "days to death",
    "free of local": "days to last local recurrence free",
    "free of distant": "days to last distant recurrence free",
    "contact": "age at last contact",
    "born": "date of birth",
    "menopause": "menopause",
    "strength": "field strength",
    "metastatic": "metastatic at presentation",
}
"""Columns whose names go on and on: how they begin, in lower case."""


def read_duke(folder: Path) -> PublicData:
    """The data set in `folder`. Raises `InputError` with a line for each fault of its table."""
    table = workbook_table(find_table(folder, WORKBOOK.__eq__, WORKBOOK), SHEET, ID)
    cases = duke_cases(table, _patient_folders(folder), _outlines(folder))
    return PublicData(TERMS, cases, ((WORKBOOK, table.sha256),), NOTES)


def duke_cases(
    table: Table, images: Mapping[str, Path], outlines: Mapping[str, Path]
) -> tuple[PublicCase, ...]:
    """The cases of the table; `images` (DICOM folders) and `outlines` by patient in lower case. Raises
    `InputError`, a line for each fault.
    """
    require_published(table, ID, "HER2", "ER", "PR")
    names = {short: _name(table, begins) for short, begins in _LONG_NAMES.items()}
    faults = Faults(table.path)
    cases = []
    for row in one_row_a_patient(table, ID, faults):
        patient = row[ID]
        status = faults.checked(row, "HER2", lambda text: meaning(text, _STATUS))
        image = images.get(patient.lower())
        outline = outlines.get(patient.lower())
        missing = "" if outline else "outline not there: the source has none, draw one"
        case = PublicCase(
            case_id=patient,
            cohort=COHORT,
            status=status,
            image=(image,) if image else (),
            roi=outline,
            exclude=missing if image else "DCE-MRI not there",
            no_times="in the DICOM files",
            details={**_details(row, names, faults), **_follow_up(row, names, faults)},
        )
        cases.append(case)
    faults.raise_any()
    return tuple(cases)


def _name(table: Table, begins: str) -> str:
    """The full name of a column; raises `InputError` where there is none."""
    for name in table.columns:
        if name.lower().startswith(begins):
            return name
    require_published(table, begins)
    raise AssertionError("a column that begins so was found after all")


def _details(row: Row, names: Mapping[str, str], faults: Faults) -> dict[str, str]:
    born = faults.checked(row, names["born"], number)

    def coded(column: str, codes: Mapping[str, str | None]) -> str | None:
        return faults.checked(row, column, lambda text: meaning(text, codes))

    return given(
        {
            "laterality": coded("Tumor Location", _SIDES),
            "site": "Duke",
            "vendor": coded("Manufacturer", _VENDORS),
            "field_strength": coded(names["strength"], _STRENGTHS),
            "age": None if born is None else f"{int(-born / DAYS_A_YEAR)}",
            "menopause": coded(names["menopause"], _POSTMENOPAUSAL),
            "histology": coded("Histologic type", _HISTOLOGY),
            "grade": coded("Nottingham grade", _GRADES),
            "er": coded("ER", _RECEPTOR),
            "pr": coded("PR", _RECEPTOR),
        }
    )


# Follow-up


def _follow_up(row: Row, names: Mapping[str, str], faults: Faults) -> dict[str, str]:
    def days(short: str) -> float | None:
        return faults.checked(row, names[short], number)

    def flag(short: str) -> bool | None:
        return faults.checked(row, names[short], lambda text: meaning(text, _YES_NO))

    death = days("death")
    free = (days("free of local"), days("free of distant"))
    recurrences = [day for day in (days("local"), days("distant")) if day is not None]
    rfs = None
    if flag("metastatic") is not True and flag("recurrence") is bool(recurrences):
        rfs = recurrence_free(recurrences, death, free)
    overall = survival(death, days("contact"), free)
    return {**_months("rfs", rfs), **_months("os", overall)}


def recurrence_free(
    recurrences: list[float], death: float | None, free: tuple[float | None, float | None]
) -> tuple[float, bool] | None:
    """Day and event of recurrence-free survival, None where unknown. `free`: the last assessments free of
    local and of distant recurrence.
    """
    events = [*recurrences, *([] if death is None else [death])]
    if events:
        return min(events), True
    known = [day for day in free if day is not None]
    return (min(known), False) if len(known) == len(free) else None


def survival(
    death: float | None, contact: float | None, free: tuple[float | None, float | None]
) -> tuple[float, bool] | None:
    """Day and event of overall survival, None where unknown."""
    if death is not None:
        return death, True
    alive = [contact] if contact is not None else [day for day in free if day is not None]
    return (max(alive), False) if alive else None


def _months(endpoint: str, found: tuple[float, bool] | None) -> dict[str, str]:
    if found is None or found[0] < 0:
        return {f"{endpoint}_months": "", f"{endpoint}_event": ""}
    day, event = found
    return {f"{endpoint}_months": f"{day / DAYS_A_MONTH:.2f}", f"{endpoint}_event": str(int(event))}


# Files


def _patient_folders(folder: Path) -> dict[str, Path]:
    """The patients' DICOM folders that hold a file, by name in lower case."""
    found: dict[str, Path] = {}
    for place, folders, _ in os.walk(folder):
        folders.sort()
        here = Path(place)
        for name in list(folders):
            if re.fullmatch(r"breast_mri_\d+", name, re.IGNORECASE):
                folders.remove(name)
                if any(files for _, _, files in os.walk(here / name)):
                    found.setdefault(name.lower(), here / name)
        if len(here.relative_to(folder).parts) >= MAX_DEPTH - 1:
            folders.clear()
    return found


def _outlines(folder: Path) -> dict[str, Path]:
    """The outlines by patient in lower case, those of the first ending where there are several."""
    places = [entry for entry in sorted(folder.iterdir()) if entry.name.lower() == OUTLINE_FOLDER]
    files = [entry for place in places if place.is_dir() for entry in sorted(place.iterdir())]
    found: dict[str, Path] = {}
    for ending in OUTLINE_ENDINGS:
        for path in files:
            if path.name.lower().endswith(ending):
                found.setdefault(path.name.lower().removesuffix(ending), path)
    return found
