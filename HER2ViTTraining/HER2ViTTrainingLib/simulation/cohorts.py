"""A simulated cohort on disk, and the bundled sample."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from HER2ViTLib.files.output import prepare_folder, write_atomically
from HER2ViTLib.her2 import TASKS, HER2Status
from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.lesion.masks import write_segmentation
from HER2ViTLib.messages import InputError
from HER2ViTLib.sample import sample_phases, sample_roi
from HER2ViTTrainingLib.parallel.executors import available_cores
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress

from .clinical import log_hazard
from .genes import draw_counts, genes
from .lesions import lesion_box
from .patients import Patient, draw_patient, image_patient, simulate_case
from .protocols import PROTOCOLS, Protocol, frame_of
from .random_streams import case_id_of

# Cohort

_SETTINGS = "cohort.json"
_OWN = ("images", "rois", "manifest.csv", "truth.csv", "counts.csv.gz", _SETTINGS)
_ROI_COLUMNS = {"roi_a1": "roi", "roi_a2": "roi_a2", "roi_b1": "roi_b"}
MAX_PROCESSES = 4
"""Unless told otherwise: each takes about half a gigabyte of memory."""


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
    rows = in_order(partial(_write_case, folder, seed, protocol), range(cases), workers, progress)
    manifest, truth = zip(*rows)
    _write_csv(folder / "truth.csv", truth)
    _write_counts(folder / "counts.csv.gz", cases, seed, protocol.name)
    # Last: where the manifest is, the cohort is whole.
    _write_csv(folder / "manifest.csv", manifest)
    return folder / "manifest.csv"


def _claim(folder: Path, seed: int, protocol: Protocol) -> None:
    """Notes what the cohort is made with. Raises `InputError` when the folder holds one made otherwise."""
    settings = (json.dumps({"seed": seed, "protocol": asdict(protocol)}, indent=1) + "\n").encode()
    path = folder / _SETTINGS
    if path.exists() and path.read_bytes() != settings:
        raise InputError(f"{folder}: holds a cohort of another seed, protocol or scale; name another folder")
    if not path.exists():
        write_atomically(path, settings)


def _write_case(
    folder: Path, seed: int, protocol: Protocol, index: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes a case's images and outlines, unless they are all there, and returns its rows of manifest and
    truth.
    """
    patient = draw_patient(index, seed, protocol.name)
    images = [f"images/{patient.case_id}_phase{phase}.nrrd" for phase in range(len(protocol.times_s))]
    rois = {name: f"rois/{patient.case_id}_{name}.nrrd" for name in _ROI_COLUMNS}
    if not all((folder / path).exists() for path in (*images, *rois.values())):
        case = image_patient(patient, protocol)
        for path, volume in zip(images, case.phases):
            write_volume(volume, folder / path)
        for name, path in rois.items():
            write_volume(case.phases[0].with_array(case.rois[name]), folder / path)
    manifest = {
        "case_id": patient.case_id,
        "image": ";".join(images),
        **{column: rois[name] for name, column in _ROI_COLUMNS.items()},
        "cohort": f"simulated-{protocol.name}",
        "patient_id": patient.case_id,
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
        "case_id": patient.case_id,
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


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())


def _write_counts(path: Path, cases: int, seed: int, protocol_name: str) -> None:
    """Genes as rows, cases as columns. The gzip header bears no time, so that the same cohort is the same
    file.
    """
    columns = np.stack([draw_counts(index, seed, protocol_name) for index in range(cases)], axis=1)
    lines = [",".join(["gene", *(case_id_of(protocol_name, seed, index) for index in range(cases))])]
    lines += [",".join([name, *map(str, row.tolist())]) for name, row in zip(genes()[0], columns)]
    write_atomically(path, gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def oracle_auc(truth: Sequence[Mapping[str, Any]], task: str) -> float:
    """The AUC nobody can beat by much: logistic regression on the two latent variables, in the cases it was
    fitted to.

    `truth` are rows of truth.csv (`her2_status, heterogeneity, rim`), `task` a task's name ("zero-vs-rest",
    "low-vs-positive").
    """
    labelled = [
        (TASKS[task].label(HER2Status(row["her2_status"])), float(row["heterogeneity"]), float(row["rim"]))
        for row in truth
    ]
    labels, *latents = np.array([row for row in labelled if row[0] is not None], float).T
    if labels.min() == labels.max():
        raise InputError(f"oracle AUC of {task}: the cases are all of one class; simulate more")
    design = np.stack([np.ones_like(labels), *latents], axis=1)
    weights = np.zeros(design.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        # A whisper of ridge keeps separable classes finite.
        hessian = (design.T * (p * (1 - p))) @ design + 1e-6 * np.eye(len(weights))
        weights += np.linalg.solve(hessian, design.T @ (labels - p) - 1e-6 * weights)
    scores = design @ weights
    below = scores[labels == 0][:, None] - scores[labels == 1]
    return float((below < 0).mean() + 0.5 * (below == 0).mean())


# The bundled sample

SAMPLE_SEED = 1
SAMPLE_INDEX = 341
"""A HER2-low case (IHC 1+) with typical latent variables and a spiculated lesion; no demo model was trained
on this seed.
"""


def write_sample(out_dir: str | os.PathLike) -> None:
    """Writes the bundled sample: one case whose true status is low, four phases and the first reader's
    outline; under 4 MB.
    """
    # Fewer grey levels than a scanner's: noise compresses badly, and the clone should stay small.
    protocol = replace(PROTOCOLS["A"].scaled(0.6), signal=120.0)
    case = simulate_case(SAMPLE_INDEX, SAMPLE_SEED, protocol)
    folder = Path(out_dir)
    for path, volume in zip(sample_phases(), case.phases):
        write_volume(volume, folder / path.name)
    write_segmentation(case.rois["roi_a1"], case.phases[0].geometry, folder / sample_roi().name)
