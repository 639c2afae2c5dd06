"""MAMA-MIA: 1506 patients of four TCIA collections (DUKE, ISPY1, ISPY2, NACT) with experts' outlines.

Source: Garrucho L et al., A large-scale multicenter breast cancer DCE-MRI benchmark dataset with expert
segmentations, Sci Data 2025;12:453, doi:10.1038/s41597-025-04707-4; Synapse syn60868042,
https://doi.org/10.7303/syn60868042. Licence: CC BY-NC 4.0.

Layout as downloaded: `images/PATIENT/PATIENT_0000.nii.gz` (pre-contrast), `_0001`, ... in time order;
`segmentations/expert/PATIENT.nii.gz`; `clinical_and_imaging_info.xlsx`, sheet `dataset_info`, one row a
patient. Letter case of folders and files differs between releases.

HER2 is 0 or 1, by core biopsy; zero and low are not told apart (`--her2-states` does, for I-SPY 2).
`acquisition_times` is a list of seconds from the pre-contrast phase, as text: the phases' starts. With them
the early phase is chosen by time, as with DICOM; where they are missing, or are not as many as the phases, by
enhancement when the case is read. `site` is a code, "Site AAI" in I-SPY 1 and "AAI " in I-SPY 2.
All cases are development cases, of the cohort they come from: set `role` to hold some out.
Follow-up is left out: 0 stands both for none and for day 0. Dates and series UIDs are not taken over.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table

from .codes import code, meaning, number
from .data_set import DUKE_IMAGES, ISPY1_IMAGES, ISPY2_IMAGES, PublicCase, PublicData, Terms
from .her2_states import CITATION, ISPY2, HER2States
from .workbooks import find_table, given, one_row_a_patient, require_published, workbook_table

TERMS = Terms(
    title="MAMA-MIA, 1506 breast DCE-MRI with expert outlines",
    licence=(
        "CC BY-NC 4.0 (no commercial use); images of I-SPY 1 and NACT CC BY 3.0, of I-SPY 2 CC BY 4.0, of"
        " Duke CC BY-NC 4.0"
    ),
    url="https://doi.org/10.7303/syn60868042",
    citations=(
        "Garrucho L, Kushibar K, Reidel C-A, et al. A large-scale multicenter breast cancer DCE-MRI benchmark"
        " dataset with expert segmentations. Sci Data 2025;12:453. doi:10.1038/s41597-025-04707-4",
        ISPY1_IMAGES,
        "Newitt D, Hylton N. Single site breast DCE-MRI data and segmentations from patients undergoing"
        " neoadjuvant chemotherapy. The Cancer Imaging Archive 2016. doi:10.7937/K9/TCIA.2016.QHsyhJKy",
        ISPY2_IMAGES,
        DUKE_IMAGES,
    ),
)
WORKBOOK = "clinical_and_imaging_info.xlsx"
SHEET = "dataset_info"

_STATUS = {"0": HER2Status.NEGATIVE, "1": HER2Status.POSITIVE}
_RECEPTOR = {"0": "negative", "1": "positive"}
_GRADES = {"low": "G1", "intermediate": "G2", "high": "G3"}
_POSTMENOPAUSAL = {"pre": "no", "post": "yes"}

TIMES_MISSING = "not in the source"
TIMES_NOT_ALL = "not as many as phases"
TIMES_UNREADABLE = "no increasing list of seconds"


def read_mama_mia(folder: Path, states_path: Path | None) -> PublicData:
    """The data set in `folder`. Raises `InputError` with a line for each fault of its table, or of the join
    with the states.
    """
    table = workbook_table(find_table(folder, WORKBOOK.__eq__, WORKBOOK), SHEET, "patient_id")
    images = _entries(folder, "images")
    outlines = _entries(folder, "segmentations", "expert")
    states = HER2States(states_path) if states_path else None
    cases = mama_mia_cases(table, images, outlines, states)
    inputs = [(WORKBOOK, table.sha256)]
    terms = TERMS
    if states:
        inputs.append(("HER2 states", states.table.sha256))
        terms = Terms(terms.title, terms.licence, terms.url, (*terms.citations, CITATION))
    return PublicData(terms, cases, tuple(inputs), _notes(states), states.join if states else None)


def _notes(states: HER2States | None) -> tuple[str, ...]:
    patients = "Its patients are also in BreastDCEDL and Duke: do not test on them what was trained there."
    if states:
        return (patients,)
    negative = "Negative cases are zero or low, not told apart; --her2-states tells those of I-SPY 2 apart."
    return (patients, negative)


def mama_mia_cases(
    table: Table, images: Mapping[str, Path], outlines: Mapping[str, Path], states: HER2States | None
) -> tuple[PublicCase, ...]:
    """The cases of the table; `images` (a folder a patient) and `outlines` by name in lower case. Raises
    `InputError`, a line for each fault.
    """
    require_published(table, "patient_id", "dataset", "her2", "num_phases", "acquisition_times")
    faults = Faults(table.path)
    rows = one_row_a_patient(table, "patient_id", faults)
    cases = [_case(row, images, outlines, states, faults) for row in rows]
    faults.raise_any()
    return tuple(cases)


def _case(
    row: Row,
    images: Mapping[str, Path],
    outlines: Mapping[str, Path],
    states: HER2States | None,
    faults: Faults,
) -> PublicCase:
    patient = row["patient_id"]
    if not row["dataset"]:
        faults.note(row, "dataset", "is missing; give the table as it is published")
    status = faults.checked(row, "her2", lambda text: meaning(text, _STATUS))
    if states and row["dataset"].upper() == ISPY2:
        status = states.status(row, "patient_id", "her2", status, faults)
    count = faults.checked(row, "num_phases", number)
    phases, missing = _phases(images.get(patient.lower()), patient, count)
    outline = outlines.get(f"{patient.lower()}.nii.gz")
    starts, no_times = acquisition_starts(row["acquisition_times"], len(phases) or count)
    return PublicCase(
        case_id=patient,
        cohort=row["dataset"],
        status=status,
        image=tuple(phases),
        roi=outline,
        exclude=missing or ("" if outline else "expert outline not there"),
        phase_times_s=starts,
        no_times=no_times,
        details=_details(row, faults),
    )


def _details(row: Row, faults: Faults) -> dict[str, str]:
    age = faults.checked(row, "age", number)
    strength = faults.checked(row, "field_strength", number)
    return given(
        {
            "site": site(row["site"]),
            "vendor": "" if code(row["manufacturer"]) == "" else row["manufacturer"],
            "field_strength": strength and f"{strength:g}",
            "age": age and f"{age:g}",
            "menopause": _POSTMENOPAUSAL.get(row["menopause"].partition(" ")[0].lower()),
            "grade": _GRADES.get(row["nottingham_grade"].lower()),
            "er": faults.checked(row, "er", lambda text: meaning(text, _RECEPTOR)),
            "pr": faults.checked(row, "pr", lambda text: meaning(text, _RECEPTOR)),
        }
    )


def site(text: str) -> str:
    """A site's code: "AAI " and "Site AAI" are one."""
    found = re.sub(r"^site\b\s*", "", text.strip(), flags=re.IGNORECASE).upper()
    return found if code(found) else ""


def acquisition_starts(text: str, phases: float | None) -> tuple[tuple[float, ...], str]:
    """The phases' starts (s) in a cell such as `[0, 97, 194]`, and why there are none where that is so.

    `phases`: how many phases there are; None = not known.
    """
    if code(text) == "":
        return (), TIMES_MISSING
    starts = _listed(text)
    if len(starts) < 2 or any(later <= earlier for earlier, later in pairwise(starts)):
        return (), TIMES_UNREADABLE
    if phases is not None and len(starts) != phases:
        return (), TIMES_NOT_ALL
    return tuple(starts), ""


def _listed(text: str) -> Sequence[float]:
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if not isinstance(values, (list, tuple)):
        return ()
    sound = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    return [float(value) for value in values] if sound else ()


def _entries(folder: Path, *names: str) -> dict[str, Path]:
    """What lies in a folder of the data set, by name in lower case; the folder's own may differ, too."""
    place = folder
    for name in names:
        inside = {entry.name.lower(): entry for entry in sorted(place.iterdir())}
        if name not in inside or not inside[name].is_dir():
            raise InputError(
                f"{place / name}: no such folder; images, segmentations and {WORKBOOK} lie in one folder"
            )
        place = inside[name]
    return {entry.name.lower(): entry for entry in sorted(place.iterdir())}


def _phases(folder: Path | None, patient: str, count: float | None) -> tuple[list[Path], str]:
    """The patient's phases in time order; none, and what is missing, of a study that is there in part."""
    names: dict[str, Path] = {}
    if folder is not None and folder.is_dir():
        names = {entry.name.lower(): entry for entry in sorted(folder.iterdir())}
    pattern = re.compile(re.escape(patient.lower()) + r"_(\d{4})\.nii\.gz")
    matches = {name: pattern.fullmatch(name) for name in names}
    found = {int(match[1]): names[name] for name, match in matches.items() if match}
    if not found:
        return [], "DCE-MRI not there"
    numbers = sorted(found)
    wanted = max(numbers[-1] + 1, 2) if count is None else count
    if len(numbers) > wanted:
        return [], "more phases there than in the table"
    if len(numbers) < wanted or numbers != list(range(len(numbers))):
        return [], "DCE-MRI in part: phases not there"
    return [found[n] for n in numbers], ""
