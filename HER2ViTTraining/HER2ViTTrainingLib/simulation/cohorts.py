"""A simulated cohort on disk, and the bundled sample."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from HER2ViTLib.files.output import csv_bytes, prepare_folder, write_atomically
from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.lesion.masks import write_segmentation
from HER2ViTLib.messages import InputError
from HER2ViTLib.sample import sample_phases, sample_roi
from HER2ViTTrainingLib.parallel.executors import available_cores
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress

from .case_key import CaseKey
from .clinical import log_hazard
from .genes import draw_counts, genes
from .images import image_patient, simulate_case
from .lesions import lesion_box
from .patients import Patient, draw_patient
from .protocols import PROTOCOLS, Protocol, frame_of

_SETTINGS = "cohort.json"
_OWN = ("images", "rois", "manifest.csv", "truth.csv", "counts.csv.gz", _SETTINGS)
_ROI_COLUMNS = {"roi_a1": "roi", "roi_a2": "roi_a2", "roi_b1": "roi_b"}
MAX_PROCESSES = 4
"""Unless told otherwise: each takes about 0.4 GB of memory."""


def simulate_cohort(
    cases: int,
    seed: int,
    protocol: Protocol,
    out_dir: str | os.PathLike,
    progress: Progress | None = None,
    scale: float = 1.0,
    workers: int | None = None,
) -> Path:
    """Writes a cohort and returns its manifest's path.

    `out_dir` gets `images/CASE_phaseN.nrrd`, `rois/CASE_roi_a1.nrrd` (and `_a2`, `_b1`), `manifest.csv`,
    `counts.csv.gz` (genes x cases), `truth.csv` (status, latent variables and other true values) and
    `cohort.json` (what it was made with). `progress` is told of each case. `scale` as in
    `Protocol.scaled`. `workers` is the number of processes (default: the processors, 4 at most). A run that
    was interrupted is completed by the same call. Raises `InputError` for numbers out of range, and for a
    folder that holds foreign content or a cohort made otherwise.
    """
    if cases < 1:
        raise InputError(f"cases {cases}: at least 1 is needed")
    if seed < 0:
        raise InputError(f"seed {seed}: must not be negative")
    protocol = protocol if scale == 1 else protocol.scaled(scale)
    folder = prepare_folder(out_dir, _OWN)
    _claim(folder, seed, protocol)
    for name in ("images", "rois"):
        (folder / name).mkdir(exist_ok=True)
    workers = workers or min(MAX_PROCESSES, available_cores())
    keys = [CaseKey(protocol.name, seed, index) for index in range(cases)]
    rows = in_order(partial(_write_case, folder, protocol), keys, workers, progress)
    manifest, truth = zip(*rows)
    write_atomically(folder / "truth.csv", csv_bytes(tuple(truth[0]), truth))
    write_atomically(folder / "counts.csv.gz", _counts_csv_gz(keys))
    # Last: where the manifest is, the cohort is whole.
    write_atomically(folder / "manifest.csv", csv_bytes(tuple(manifest[0]), manifest))
    return folder / "manifest.csv"


def _claim(folder: Path, seed: int, protocol: Protocol) -> None:
    """Notes what the cohort is made with. Raises `InputError` when the folder holds one made otherwise."""
    settings = (json.dumps({"seed": seed, "protocol": asdict(protocol)}, indent=1) + "\n").encode()
    path = folder / _SETTINGS
    if path.exists() and path.read_bytes() != settings:
        raise InputError(f"{folder}: holds a cohort of another seed, protocol or scale; name another folder")
    if not path.exists():
        write_atomically(path, settings)


def _write_case(folder: Path, protocol: Protocol, key: CaseKey) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes a case's images and outlines, unless they are all there, and returns its rows of manifest and
    truth.
    """
    patient = draw_patient(key)
    images = [f"images/{key.case_id}_phase{phase}.nrrd" for phase in range(len(protocol.times_s))]
    rois = {name: f"rois/{key.case_id}_{name}.nrrd" for name in _ROI_COLUMNS}
    if not all((folder / path).exists() for path in (*images, *rois.values())):
        case = image_patient(patient, protocol)
        for path, volume in zip(images, case.phases):
            write_volume(volume, folder / path)
        for name, path in rois.items():
            write_volume(case.phases[0].with_array(case.rois[name]), folder / path)
    manifest = {
        "case_id": key.case_id,
        "image": ";".join(images),
        **{column: rois[name] for name, column in _ROI_COLUMNS.items()},
        "cohort": f"simulated-{protocol.name}",
        "patient_id": key.case_id,
        "laterality": "left" if patient.left else "right",
        "early_phase": protocol.early_phase,
        **patient.clinical,
    }
    return manifest, _truth(patient, protocol)


def _truth(patient: Patient, protocol: Protocol) -> dict[str, Any]:
    """The case's row of truth.csv; lengths in mm, the centre in LPS, rates per minute and months."""
    frame = frame_of(protocol, patient.left, patient.zoom)
    voxels = np.count_nonzero(lesion_box(patient.lesion, frame).outline())
    ktrans, kep, _ = patient.uptake.tissues["lesion"]
    lesion = patient.uptake.signals(protocol)[:, -1]
    left, posterior, superior = frame.to_lps(patient.lesion.centre)
    return {
        "case_id": patient.key.case_id,
        "her2_status": patient.her2_status,
        "heterogeneity": round(patient.latents.heterogeneity, 6),
        "rim": round(patient.latents.rim, 6),
        "rim_high": int(patient.latents.rim > 0),
        "lesion_volume_mm3": round(voxels * frame.geometry.voxel_mm3, 2),
        "lesion_centre_l": round(left, 3),
        "lesion_centre_p": round(posterior, 3),
        "lesion_centre_s": round(superior, 3),
        "lesion_ktrans": round(ktrans, 5),
        "lesion_kep": round(kep, 5),
        "lesion_early_enhancement": round(float(lesion[protocol.early_phase] / lesion[0] - 1), 5),
        "log_hazard": round(log_hazard(patient.clinical, patient.latents.rim), 6),
    }


def _counts_csv_gz(keys: Sequence[CaseKey]) -> bytes:
    """Genes as rows, cases as columns. The gzip header bears no time, so that the same cohort is the same
    file.
    """
    counts = np.stack([draw_counts(key) for key in keys], axis=1)
    names, *_ = genes()
    lines = [",".join(["gene", *(key.case_id for key in keys)])]
    lines += [",".join([name, *map(str, row.tolist())]) for name, row in zip(names, counts)]
    return gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0)


# The bundled sample

SAMPLE_KEY = CaseKey("A", seed=1, index=341)
"""A HER2-low case (IHC 1+) with typical latent variables and a spiculated lesion; no demo model was trained
on this seed.
"""


def write_sample(out_dir: str | os.PathLike) -> None:
    """Writes the bundled sample: one case whose true status is low, four phases and the first reader's
    outline; under 4 MB.
    """
    # Fewer grey levels than a scanner's: noise compresses badly, and the clone should stay small.
    protocol = replace(PROTOCOLS["A"].scaled(0.6), signal=120.0)
    case = simulate_case(SAMPLE_KEY, protocol)
    folder = Path(out_dir)
    for path, volume in zip(sample_phases(), case.phases):
        write_volume(volume, folder / path.name)
    write_segmentation(case.rois["roi_a1"], case.phases[0].geometry, folder / sample_roi().name)
