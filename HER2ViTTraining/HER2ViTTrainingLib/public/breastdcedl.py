"""BreastDCEDL: I-SPY 1, I-SPY 2 and Duke as NIfTI files for deep learning, with a split of its own.

Source: Fridman N, Solway B, Fridman T, Barnea I, Goldstein A, BreastDCEDL: A comprehensive breast cancer
DCE-MRI dataset and transformer implementation for treatment response prediction, Sci Data 2026
(arXiv:2506.12190); Zenodo, https://doi.org/10.5281/zenodo.18114231, code and tables
github.com/naomifridman/BreastDCEDL. Licence: CC BY 4.0 (Duke's images CC BY-NC 4.0).

Layout as downloaded, in folders that differ between releases: `PID_..._dce_aqc_N.nii.gz`, N the phase;
`PID_..._mask.nii.gz`, the outline (Duke has none, a box in the table only); a CSV whose name holds
`metadata`, one row a patient, in two layouts: that of I-SPY 2 alone (`pid, n_times, pre, post_early,
post_late, HER2pos, test`) and that of all three (also `HER2, dataset`). The full release holds phases 0 to
`n_times` - 1, MinCrop only `pre`, `post_early` and `post_late` under their old numbers.

Times are not in it: `post_early`, the phase that the source's readers took as early, becomes `early_phase`,
so that both releases give the same phase. `test`: 0 trains, 2 validates, 1 is the test set, as the authors'
code reads it; it comes from the same hospitals as the others, so a result on it is no external validation.
HER2 is 0 or 1; `--her2-states` tells zero and low of I-SPY 2 apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.cohort.columns import DEVELOPMENT, EXTERNAL
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

from .codes import meaning, number
from .data_set import DUKE_IMAGES, ISPY1_IMAGES, ISPY2_IMAGES, PublicCase, PublicData, Terms
from .her2_states import CITATION, ISPY2, HER2States
from .workbooks import find_table, given, one_row_a_patient, require_published

TERMS = Terms(
    title="BreastDCEDL, breast DCE-MRI of I-SPY 1, I-SPY 2 and Duke",
    licence="CC BY 4.0; images of Duke CC BY-NC 4.0 (no commercial use)",
    url="https://doi.org/10.5281/zenodo.18114231",
    citations=(
        "Fridman N, Solway B, Fridman T, Barnea I, Goldstein A. BreastDCEDL: A comprehensive breast cancer"
        " DCE-MRI dataset and transformer implementation for treatment response prediction. Sci Data 2026."
        " arXiv:2506.12190; Zenodo doi:10.5281/zenodo.18114231",
        ISPY1_IMAGES,
        ISPY2_IMAGES,
        DUKE_IMAGES,
    ),
)
NOTES = (
    "The source's test set becomes role external, under the cohort's name with -test. It comes from the same"
    " hospitals as the development cases: a result on it is no external validation.",
    "early_phase is the phase that the source's readers took as early (post_early).",
    "The patients are also in MAMA-MIA: do not test on them what was trained there.",
)
NO_TIMES = "not in the source"
NO_SET = "no set in the source's split"

_COHORTS = {"spy1": "ISPY1", "spy2": "ISPY2", "duke": "DUKE"}
_COHORT_OF_ID = {"ispy2": "ISPY2", "acrin": "ISPY2", "ispy1": "ISPY1", "breas": "DUKE"}
_STATUS = {"0": HER2Status.NEGATIVE, "1": HER2Status.POSITIVE}
_SETS = {"0": "training", "1": "test", "2": "validation"}
_POSTMENOPAUSAL = {"0": "no", "1": "yes"}
_IMAGE = re.compile(r"(.+)_dce_aqc_(\d{1,3})\.nii\.gz")
_OUTLINE = re.compile(r"(.+)_mask\.nii\.gz")


def read_breastdcedl(folder: Path, states_path: Path | None) -> PublicData:
    """The data set in `folder`. Raises `InputError` with a line for each fault of its table, of the join with
    the states, or for two copies of a patient's phase.
    """
    path = find_table(folder, _is_metadata, "the table of metadata (CSV)")
    table = read_table(path)
    states = HER2States(states_path) if states_path else None
    cases = breastdcedl_cases(table, _patient_files(folder, table), states)
    inputs = [("metadata", table.sha256)]
    terms = TERMS
    if states:
        inputs.append(("HER2 states", states.table.sha256))
        terms = Terms(terms.title, terms.licence, terms.url, (*terms.citations, CITATION))
    join = states.join if states else None
    return PublicData(terms, cases, tuple(inputs), NOTES, join, has_split=True)


def _is_metadata(name: str) -> bool:
    return "metadata" in name and name.endswith(".csv")


# Files


@dataclass
class _Files:
    """A patient's files: phases by number, outline."""

    phases: dict[int, Path] = field(default_factory=dict)
    outline: Path | None = None


def _patient_files(folder: Path, table: Table) -> dict[str, _Files]:
    """The files of the table's patients, by id in lower case; wherever in the folder they lie."""
    require_published(table, "pid")
    files = {row["pid"].lower(): _Files() for row in table.rows}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            _note_file(Path(place, name), files)
    if not any(one.phases for one in files.values()):
        raise InputError(
            f"{folder}: no image of a patient of {table.path.name} (PID_..._dce_aqc_N.nii.gz); unpack the"
            " images into it"
        )
    return files


def _note_file(path: Path, files: Mapping[str, _Files]) -> None:
    name = path.name.lower()
    image = _IMAGE.fullmatch(name)
    outline = _OUTLINE.fullmatch(name)
    match = image or outline
    owner = files.get(_patient_of(match[1], files)) if match else None
    if owner is None:
        return
    earlier = owner.phases.get(int(image[2])) if image else owner.outline
    if earlier:
        raise InputError(
            f"{path}: is there twice (also {earlier}); name the folder of one release, with one visit a"
            " patient"
        )
    if image:
        owner.phases[int(image[2])] = path
    else:
        owner.outline = path


def _patient_of(stem: str, files: Mapping[str, _Files]) -> str:
    """The patient's id at the beginning of a file's name, before `_spy2_vis1` or the like."""
    while stem not in files and "_" in stem:
        stem = stem.rpartition("_")[0]
    return stem


# Cases


def breastdcedl_cases(
    table: Table, files: Mapping[str, _Files], states: HER2States | None
) -> tuple[PublicCase, ...]:
    """The cases of the table. Raises `InputError`, a line for each fault."""
    require_published(table, "pid", "pre", "post_early", "post_late", "n_times", "HER2pos", "test")
    faults = Faults(table.path)
    rows = one_row_a_patient(table, "pid", faults)
    cases = [_case(row, files.get(row["pid"].lower(), _Files()), states, faults) for row in rows]
    faults.raise_any()
    return tuple(cases)


def _case(row: Row, files: _Files, states: HER2States | None, faults: Faults) -> PublicCase:
    cohort = _cohort(row, faults)
    status = _status(row, faults)
    if states and cohort == ISPY2:
        status = states.status(row, "pid", "HER2pos", status, faults)
    in_set = faults.checked(row, "test", lambda text: meaning(text, _SETS))
    external = in_set == "test"
    count = faults.checked(row, "n_times", number)
    kept = [faults.checked(row, column, number) for column in ("pre", "post_early", "post_late")]
    phases, missing = _phases(files, count, kept)
    if not missing and files.outline is None:
        missing = "outline not there"
    numbers = sorted(files.phases)
    early = kept[1]
    return PublicCase(
        case_id=row["pid"],
        cohort=f"{cohort}-test" if external else cohort,
        status=status,
        image=phases,
        roi=files.outline,
        exclude=missing or ("" if in_set else NO_SET),
        role=EXTERNAL if external else DEVELOPMENT,
        early_phase=numbers.index(early) if phases and early in numbers else None,
        no_times=NO_TIMES,
        details=_details(row, faults),
        validates=in_set == "validation",
    )


def _details(row: Row, faults: Faults) -> dict[str, str]:
    age = faults.checked(row, "age", number)
    vendor = row["manufacturer"]
    return given(
        {
            "vendor": "GE" if vendor.upper().startswith("GE") else vendor,
            "age": age and f"{age:g}",
            "menopause": faults.checked(row, "menopause", lambda text: meaning(text, _POSTMENOPAUSAL)),
        }
    )


def _cohort(row: Row, faults: Faults) -> str:
    """The collection a patient comes from: by column `dataset`, else by the beginning of the id."""
    column = "dataset" if row["dataset"] else "pid"
    named = _COHORTS.get(row["dataset"].lower())
    if column == "pid":
        named = _COHORT_OF_ID.get(row["pid"][:5].lower())
    if named is None:
        what = "is of no collection known here; use spy1, spy2 or duke in column dataset"
        faults.note(row, column, what)
        return ""
    return named


def _status(row: Row, faults: Faults) -> HER2Status | None:
    """By `HER2pos` and, where it is there, `HER2`; that the two contradict each other is a fault."""
    subtype = faults.checked(row, "HER2pos", lambda text: meaning(text, _STATUS))
    status = faults.checked(row, "HER2", lambda text: meaning(text, _STATUS))
    if status and subtype and status is not subtype:
        what = f"contradicts HER2pos {row['HER2pos']!r}; correct one of them"
        faults.note(row, "HER2", what)
    return status or subtype


def _phases(files: _Files, count: float | None, kept: Sequence[float | None]) -> tuple[tuple[Path, ...], str]:
    """The phases in time order, all `count` of them or those that MinCrop has `kept`; and what is missing, if
    so.
    """
    numbers = sorted(files.phases)
    if not numbers:
        return (), "DCE-MRI not there"
    wanted = max(numbers) + 1 if count is None else count
    all_there = numbers == list(range(len(numbers))) and len(numbers) == wanted
    if len(numbers) < 2 or not (all_there or numbers == kept):
        listed = ", ".join(map(str, numbers))
        return (), f"DCE-MRI in part: of {wanted:g} phases {listed} there"
    return tuple(files.phases[n] for n in numbers), ""
