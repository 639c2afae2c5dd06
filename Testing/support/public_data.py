"""Public data sets in the layout of their downloads, with made-up patients and tiny images."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import SimpleITK as sitk

from support.csv_files import write_csv
from support.dicom_writer import write_phase

SHAPE = (6, 48, 48)

MAMA_MIA_COLUMNS = (
    *(
        "patient_id",
        "dataset",
        "days_to_recurrence",
        "er",
        "pr",
        "her2",
        "nottingham_grade",
        "age",
        "menopause",
    ),
    *("num_phases", "field_strength", "site", "manufacturer", "acquisition_times", "acquisition_date"),
    "tcia_series_uid",
)
SECRETS = {"acquisition_date": "2011/02/03", "tcia_series_uid": "1.3.6.1.4.1.14519.5.2.1.42"}

DUKE_GROUPS = ("Patient Information", "MRI Technical Information", "Demographics")
DUKE_COLUMNS = (
    *(
        "Patient ID",
        "Manufacturer",
        "Field Strength (Tesla)",
        "Date of Birth (Days)",
        "Menopause (at diagnosis)",
    ),
    *("Metastatic at Presentation (Outside of Lymph Nodes)", "ER", "PR", "HER2", "Nottingham grade"),
    *("Histologic type", "Tumor Location", "Shape", "Recurrence event(s)"),
    *(
        "Days to local recurrence (from the date of diagnosis) ",
        "Days to distant recurrence(from the date of diagnosis) ",
    ),
    "Days to death (from the date of diagnosis) ",
    "Days to last local recurrence free assessment (from the date of diagnosis) ",
    "Days to last distant recurrence free assemssment(from the date of diagnosis) ",
    "Age at last contact in EMR f/u(days)(from the date of diagnosis) ,last time patient known to be alive",
    "Shape",
)
DUKE_CODES = (None, "GE MEDICAL SYSTEMS=0, MPTronic software=1, SIEMENS=2", "1.494=0,1.5=1,2.8936=2,3=3")


def phases(seed: int, levels: Sequence[float]) -> list[np.ndarray]:
    """A volume a level: noise around 100, and a lesion with that mean signal."""
    random = np.random.default_rng(seed)
    noise = [random.normal(100, 5, SHAPE) for _ in levels]
    for volume, level in zip(noise, levels):
        volume[lesion()] += level - 100
    return [volume.clip(0).astype(np.uint16) for volume in noise]


def lesion() -> np.ndarray:
    """Where the lesion lies in each volume."""
    k, j, i = np.indices(SHAPE)
    return (abs(k - 3) < 2) & ((j - 24) ** 2 + (i - 22) ** 2 < 60)


def write_nifti(path: Path, array: np.ndarray) -> None:
    """A volume as a compressed NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(path), True)


def write_workbook(path: Path, sheet: str, rows: Sequence[Sequence]) -> Path:
    """A workbook of one sheet."""
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(list(row))
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


# MAMA-MIA


def mama_mia_row(patient: str, her2: object = 0, **changes: object) -> dict:
    """A row of the clinical table."""
    row = {"patient_id": patient, "dataset": patient.split("_")[0], "her2": her2, "num_phases": 3, "age": 41}
    row |= {"er": 0, "pr": 1, "menopause": "pre (<6 months since LMP)", "nottingham_grade": "high"}
    row |= {"field_strength": 1.5, "site": "AAI ", "manufacturer": "GE", "acquisition_times": "[0, 97, 194]"}
    return {**row, **SECRETS, **changes}


def write_mama_mia(
    folder: Path, rows: Sequence[Mapping], levels: Sequence[float] = (100, 180, 250), images: bool = True
) -> Path:
    """The data set as downloaded: workbook, phases, outlines (none of the latter two without `images`)."""
    table = [MAMA_MIA_COLUMNS, *(_cells(row, MAMA_MIA_COLUMNS) for row in rows)]
    write_workbook(folder / "clinical_and_imaging_info.xlsx", "dataset_info", table)
    outlines = folder / "segmentations" / "expert"
    outlines.mkdir(parents=True, exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    for seed, row in enumerate(rows if images else ()):
        patient = row["patient_id"]
        for n, volume in enumerate(phases(seed, levels)):
            write_nifti(folder / "images" / patient / f"{patient.lower()}_{n:04d}.nii.gz", volume)
        write_nifti(outlines / f"{patient.lower()}.nii.gz", lesion().astype(np.uint8))
    return folder


def write_states(path: Path, states: Mapping[str, str]) -> Path:
    """The table of HER2 states: state by patient number."""
    return write_csv(path, [{"patientid": n, "HER2.3.state..3.": state} for n, state in states.items()])


# BreastDCEDL


def breastdcedl_row(pid: str, her2: object = 0, test: object = 0.0, **changes: object) -> dict:
    """A row of the metadata, in the layout of all three collections."""
    row = {"pid": pid, "n_times": 4.0, "pre": 0.0, "post_early": 2.0, "post_late": 3.0, "age": 50.0}
    row |= {"menopause": 1.0, "HER2": her2, "HER2pos": her2, "dataset": "spy2", "test": test}
    return {**row, **changes}


def write_breastdcedl(folder: Path, rows: Sequence[Mapping], numbers: Sequence[int] = (0, 1, 2, 3)) -> Path:
    """The data set as downloaded; `numbers`: the phases that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "BreastDCEDL_metadata.csv", rows)
    for seed, row in enumerate(rows):
        name = f"{row['pid']}_spy2_vis1"
        for n, volume in zip(numbers, phases(seed, [100, 180, 240, 250])):
            write_nifti(folder / "BreastDCEDL_ISPY2" / "dce" / f"{name}_dce_aqc_{n}.nii.gz", volume)
        write_nifti(folder / "BreastDCEDL_ISPY2" / "mask" / f"{name}_mask.nii.gz", lesion().astype(np.uint8))
    return folder


# Duke


def duke_row(patient: str, her2: object = 0, **changes: object) -> dict:
    """A row of the clinical table; `changes` by the beginning of a column's name."""
    values = {
        "Patient ID": patient,
        "Manufacturer": 0,
        "Field Strength": 2,
        "Date of Birth": -15209,
        "HER2": her2,
    }
    values |= {"Menopause": 0, "Metastatic": 0, "ER": 1, "PR": "NA", "Nottingham": 2, "Histologic": 1}
    values |= {
        "Tumor Location": "L",
        "Recurrence event": 0,
        "Days to last local": 1000,
        "Days to last distant": 900,
    }
    values |= dict.fromkeys(("Days to local", "Days to distant", "Days to death"), "NP")
    values |= {"Age at last contact": 1100, **changes}
    return {name: _value_of(name, values) for name in DUKE_COLUMNS}


def _value_of(column, values):
    """The value given under the beginning of the column's long name."""
    for name, value in values.items():
        if column.startswith(name):
            return value
    return "NC"


def write_duke(
    folder: Path,
    rows: Sequence[Mapping],
    three_header_rows: bool = True,
    images: bool = True,
    outlines: bool = True,
) -> Path:
    """The data set as downloaded: workbook and DICOM; and outlines as users add them."""
    cells = [_cells(row, DUKE_COLUMNS) for row in rows]
    header = [DUKE_GROUPS, DUKE_COLUMNS, DUKE_CODES] if three_header_rows else [DUKE_COLUMNS]
    write_workbook(folder / "Clinical_and_Other_Features.xlsx", "Data", [*header, *cells])
    for seed, row in enumerate(rows):
        patient = row["Patient ID"]
        if images:
            _write_dicom(folder / "manifest-1" / "Duke-Breast-Cancer-MRI" / patient / "study", seed)
        if outlines:
            write_nifti(folder / "outlines" / f"{patient}.nii.gz", lesion().astype(np.uint8))
    return folder


def _write_dicom(folder: Path, seed: int) -> None:
    for n, volume in enumerate(phases(seed, [100, 180, 250])):
        names = (f"1-{k:03d}.dcm" for k in itertools.count(1))
        tags = {"SeriesInstanceUID": f"1.2.{seed + 1}.{n + 1}", "SeriesNumber": n + 1, "spacing": (1.0, 1.0)}
        tags |= {"StudyInstanceUID": f"1.2.{seed + 1}", "AcquisitionTime": f"10{2 * n:02d}00"}
        write_phase(folder / f"series{n}", volume, names, **tags)


def _cells(row, columns):
    return [row.get(name) for name in columns]
