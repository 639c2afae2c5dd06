"""Simulated cohorts: breast DCE-MRI, two readers' outlines, clinical data, follow-up and RNA counts whose true answers are known.

HER2 status acts on images through two hidden variables only: `heterogeneity` tells zero from low and positive (Task 1), `rim` low from
positive (Task 2). Everything else an image shows is drawn without regard to status. What a model learns here shows that the pipeline
works, not that HER2 can be read from images.

Every case comes from its own random streams, seeded by (seed, case, protocol, stream): it is the same whatever the number of cases, the
order or the process it is made in.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from HER2ViTLib.files.output import prepare_folder, write_atomically
from HER2ViTLib.her2 import TASKS, HER2Status
from HER2ViTLib.imaging.volume import Geometry, Volume, write_volume
from HER2ViTLib.lesion.masks import write_segmentation
from HER2ViTLib.messages import InputError
from HER2ViTLib.sample import sample_phases, sample_roi

from .images import PROTOCOLS, Breast, Latents, Lesion, LesionBox, Protocol, Uptake, frame_of, lesion_box, reader_outlines, render

__all__ = [
    "GENE_LOG2_FOLD_CHANGES",
    "LOG_HAZARD_RATIOS",
    "PROTOCOLS",
    "Patient",
    "Protocol",
    "SimulatedCase",
    "draw_hidden",
    "draw_patient",
    "oracle_auc",
    "simulate_case",
    "simulate_cohort",
    "write_sample",
]

CLASS_COUNTS = {"zero": 138, "low": 344, "positive": 226}
"""The study's development cohort: the frequencies cases are drawn with."""

LATENT_DIFFERENCE = 1.94
"""Between the classes of a task, in within-class standard deviations: an AUC of 0.915 on the latent variable."""

_SHARE_LOW = CLASS_COUNTS["low"] / (CLASS_COUNTS["low"] + CLASS_COUNTS["positive"])
LATENT_MEANS = {
    # Zero's rim lies at the mean of the others', so that rim says nothing in Task 1.
    "zero": (-LATENT_DIFFERENCE / 2, LATENT_DIFFERENCE * (0.5 - _SHARE_LOW)),
    "low": (LATENT_DIFFERENCE / 2, -LATENT_DIFFERENCE / 2),
    "positive": (LATENT_DIFFERENCE / 2, LATENT_DIFFERENCE / 2),
}
"""Means of (heterogeneity, rim) by HER2 status; both are normal with unit variance within a class."""

LOG_HAZARD_RATIOS = {"age": math.log(1.09), "tumor_size_cm": math.log(1.29), "positive_ln": math.log(1.11), "rim_high": math.log(2.52)}
"""Conditional log hazard ratios, of death and of recurrence alike, per year, cm, node, and for rim > 0: the study's multivariable estimates."""

WEIBULL_SHAPE = 1.2
BASELINE_EVENTS_AT_5_YEARS = {"death": 0.035, "recurrence": 0.055}
"""Share of events within 60 months at age 52.6, 2.5 cm, no positive node, rim <= 0."""

_STREAMS = ("hidden", "body", "clinical", "survival", "texture", "outlines", "counts", "noise")


def _rng(seed: int, index: int, protocol: str, stream: str, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, index, ord(protocol), _STREAMS.index(stream), part])


def _case_id(protocol_name: str, seed: int, index: int) -> str:
    return f"{protocol_name}{seed}-{index:05d}"


# One case


@dataclass(frozen=True)
class Patient:
    """All about a case that can be told without making its image."""

    index: int
    seed: int
    protocol_name: str
    her2_status: str
    latents: Latents
    left: bool
    zoom: float
    breast: Breast
    lesion: Lesion
    uptake: Uptake
    clinical: dict[str, Any]

    @property
    def case_id(self) -> str:
        """Protocol, seed and number: unique over cohorts, and says nothing about the case."""
        return _case_id(self.protocol_name, self.seed, self.index)


@dataclass(frozen=True)
class SimulatedCase:
    """A simulated study. `phases` int16 volumes in time order, `times_s` their middles after the start of contrast (negative: before).

    `rois` holds `roi_a1`, `roi_a2`, `roi_b1`, boolean (K, J, I) like `true_mask`; `clinical` are the manifest's clinical columns.
    """

    case_id: str
    her2_status: str
    phases: list[Volume]
    times_s: tuple[float, ...]
    early_phase: int
    rois: dict[str, np.ndarray]
    true_mask: np.ndarray
    latents: dict[str, float]
    clinical: dict[str, Any]


def draw_patient(index: int, seed: int, protocol_name: str) -> Patient:
    """Case `index` of a seed: status, latent variables, anatomy, kinetics and clinical data. Raises `InputError` for a negative seed."""
    if seed < 0 or index < 0:
        raise InputError(f"seed {seed}, case {index}: must not be negative")
    status, latents = draw_hidden(index, seed, protocol_name)
    body = _rng(seed, index, protocol_name, "body")
    left, zoom = bool(body.integers(2)), body.uniform(0.95, 1.05)
    breast = Breast.draw(body)
    lesion = Lesion.draw(body, breast)
    uptake = Uptake.draw(body)
    clinical = draw_clinical(_rng(seed, index, protocol_name, "clinical"), status, 0.2 * float(lesion.semi_axes.max()))
    clinical.update(draw_follow_up(_rng(seed, index, protocol_name, "survival"), clinical, latents.rim))
    return Patient(index, seed, protocol_name, status, latents, left, zoom, breast, lesion, uptake, clinical)


def draw_hidden(index: int, seed: int, protocol_name: str) -> tuple[str, Latents]:
    """HER2 status, with the study's frequencies, and latent variables of case `index` of a seed."""
    rng = _rng(seed, index, protocol_name, "hidden")
    counts = np.array(list(CLASS_COUNTS.values()))
    status = list(CLASS_COUNTS)[rng.choice(len(counts), p=counts / counts.sum())]
    heterogeneity, rim = rng.standard_normal(2) + LATENT_MEANS[status]
    return status, Latents(float(heterogeneity), float(rim))


def simulate_case(index: int, seed: int, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """Case `index` of a seed in memory; `phases` picks some of the protocol's phases to save time, the rest of the case stays the same."""
    return image_patient(draw_patient(index, seed, protocol.name), protocol, phases)


def image_patient(patient: Patient, protocol: Protocol, phases: Sequence[int] | None = None) -> SimulatedCase:
    """The patient's study by a protocol, or some of its phases."""
    chosen = range(len(protocol.times_s)) if phases is None else phases
    frame = frame_of(protocol, patient.left, patient.zoom)
    box = lesion_box(patient.lesion, frame)
    streams = partial(_rng, patient.seed, patient.index, patient.protocol_name)
    noise = [streams("noise", phase) for phase in range(len(protocol.times_s))]
    images = render(protocol, frame, patient.breast, patient.lesion, box, patient.uptake, patient.latents, streams("texture"), noise, chosen)
    outlines = reader_outlines(streams("outlines"), box)
    return SimulatedCase(
        case_id=patient.case_id,
        her2_status=patient.her2_status,
        phases=[Volume(image, frame.geometry) for image in images.values()],
        times_s=tuple(protocol.times_s[phase] for phase in images),
        early_phase=protocol.early_phase,
        rois={name: _on(frame.geometry, box, outline) for name, outline in outlines.items()},
        true_mask=_on(frame.geometry, box, box.outline()),
        latents=asdict(patient.latents),
        clinical=patient.clinical,
    )


def _on(geometry: Geometry, box: LesionBox, outline: np.ndarray) -> np.ndarray:
    """An outline of the box on the whole image."""
    mask = np.zeros(geometry.shape, bool)
    mask[box.box] = outline
    return mask


# Clinical data


def draw_clinical(rng: np.random.Generator, status: str, size_cm: float) -> dict[str, Any]:
    """The manifest's clinical columns but follow-up. Only `ihc` and `ish` follow the status; pT follows the size, pN the positive nodes."""
    ihc, ish = _draw_immunohistochemistry(rng, status)
    age = int(np.clip(round(rng.normal(52.6, 10.5)), 24, 88))
    size = max(0.3, round(size_cm * (1 + 0.06 * rng.standard_normal()), 1))
    nodes = int(rng.negative_binomial(0.9, 0.22)) if rng.random() < 0.48 else 0
    er = rng.random() < 0.70
    return {
        "ihc": ihc,
        "ish": ish,
        "age": age,
        "menopause": _or_unknown(rng, 0.03, "yes" if age + rng.normal(0, 4) > 50.5 else "no"),
        "histology": "invasive" if rng.random() < 0.93 else "others",
        "pT": "T1" if size <= 2 else "T2" if size <= 5 else "T3",
        "pN": "N0" if nodes == 0 else "N1" if nodes <= 3 else "N2" if nodes <= 9 else "N3",
        "grade": _or_unknown(rng, 0.05, str(rng.choice(["G1", "G2", "G3"], p=[0.07, 0.55, 0.38]))),
        "er": "positive" if er else "negative",
        "pr": "positive" if rng.random() < (0.82 if er else 0.06) else "negative",
        "lvi": "yes" if rng.random() < 0.3 else "no",
        "tumor_size_cm": size,
        "positive_ln": nodes,
    }


def _or_unknown(rng: np.random.Generator, share: float, value: str) -> str:
    return "NA" if rng.random() < share else value


def _draw_immunohistochemistry(rng: np.random.Generator, status: str) -> tuple[str, str]:
    """IHC and ISH of a status: the several ways that lead to each, and ISH now and then done where nobody needed it."""
    way, extra = rng.random(2)
    if status == "zero":
        return "0", "negative" if extra < 0.05 else ""
    if status == "low":
        return ("1+", "negative" if extra < 0.08 else "") if way < 0.55 else ("2+", "negative")
    return ("3+", "positive" if extra < 0.15 else "") if way < 0.8 else ("2+", "positive")


def log_hazard(clinical: Mapping[str, Any], rim: float) -> float:
    """Log hazard relative to age 52.6, 2.5 cm, no positive node, rim <= 0."""
    return (
        LOG_HAZARD_RATIOS["age"] * (clinical["age"] - 52.6)
        + LOG_HAZARD_RATIOS["tumor_size_cm"] * (clinical["tumor_size_cm"] - 2.5)
        + LOG_HAZARD_RATIOS["positive_ln"] * clinical["positive_ln"]
        + LOG_HAZARD_RATIOS["rim_high"] * (rim > 0)
    )


def draw_follow_up(rng: np.random.Generator, clinical: dict[str, Any], rim: float) -> dict[str, Any]:
    """Months and event (0 or 1) of recurrence-free and overall survival: Weibull, proportional hazards, censored at the end of follow-up.

    Death and recurrence have the same shape and the same hazard ratios, so the earlier of the two has them as well.
    """
    relative = math.exp(log_hazard(clinical, rim))
    hazard = {name: -math.log(1 - share) * relative for name, share in BASELINE_EVENTS_AT_5_YEARS.items()}
    months = {name: 60 * (rng.exponential() / rate) ** (1 / WEIBULL_SHAPE) for name, rate in hazard.items()}
    end = rng.uniform(40, 110)

    def observed(time: float) -> tuple[float, int]:
        return max(0.1, round(min(time, end), 1)), int(time <= end)

    rfs_months, rfs_event = observed(min(months.values()))
    os_months, os_event = observed(months["death"])
    return {"rfs_months": rfs_months, "rfs_event": rfs_event, "os_months": os_months, "os_event": os_event}


# RNA counts

GENE_LOG2_FOLD_CHANGES = {
    **{"ERBB2": 3.2, "GRB7": 2.8, "S100A9": 1.6, "SCUBE2": -2.0},
    **dict.fromkeys(("CTLA4", "CD4", "CD8A", "CCR7", "CD27", "GZMB", "PRF1", "IL7R", "FCGR3A", "CD69"), 1.4),
    **dict.fromkeys(("CD3D", "CD3E", "CD3G", "CD2", "CD5", "CD28", "CD40LG", "ICOS", "LCK", "ZAP70", "PDCD1", "SELL", "CD8B"), 1.2),
    **dict.fromkeys(("CCL5", "CCL19", "CXCL9", "CXCL10", "CXCR3", "CXCR6", "CCR2", "CCR5", "IFNG", "IL2RA", "IL2RB", "IL2RG"), 1.2),
    **dict.fromkeys(("HLA-DRA", "HLA-DPA1", "HLA-DPB1", "HLA-DQA1", "CD74", "CIITA", "KLRD1", "ITGAL", "IL12RB1", "IL18RAP"), 1.1),
}
"""True log2 fold changes of expression in HER2-positive tumours against the others; every other gene's is 0."""

GENE_COUNT = 2000
_UNCHANGED_FAMILIES = {
    **{"PSMA": 7, "PSMB": 7, "PSMC": 6, "PSMD": 14, "NDUFA": 13, "NDUFB": 11, "NDUFS": 8, "EXOSC": 10, "SRSF": 11, "MRPL": 24},
    **{"MAPK": 14, "TAF": 13, "FZD": 10, "CLDN": 12, "DUSP": 10, "ADCY": 9, "ITGA": 11, "ORC": 6, "RFC": 5, "PEX": 7, "ABCC": 6},
    **{"FGF": 14, "COPS": 8, "LSM": 8, "VAMP": 5, "BMP": 8, "CDK": 10, "DVL": 3, "NOTCH": 4, "JAK": 3, "SMAD": 7},
}
"""Families of real gene symbols, numbered from 1, that fill the universe of annotated genes; the rest are GENE0001 and so on."""


@lru_cache(maxsize=1)
def genes() -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Names, mean counts, dispersions and log2 fold changes (positive against the rest) of all genes; the same in every cohort."""
    changed = list(GENE_LOG2_FOLD_CHANGES)
    families = [f"{family}{number}" for family, count in _UNCHANGED_FAMILIES.items() for number in range(1, count + 1)]
    named = changed + families
    names = named + [f"GENE{number:04d}" for number in range(1, GENE_COUNT - len(named) + 1)]
    rng = np.random.default_rng(_GENE_SEED)
    means = np.exp(rng.normal(5.0, 1.4, GENE_COUNT))
    means[: len(changed)] = np.exp(rng.normal(5.5, 0.5, len(changed)))
    # The usual trend: dispersion falls with expression towards a floor, with scatter about it.
    dispersions = (0.15 + 2.0 / means) * np.exp(rng.normal(0, 0.3, GENE_COUNT))
    changes = np.array([GENE_LOG2_FOLD_CHANGES.get(name, 0.0) for name in names])
    return tuple(names), means, dispersions, changes


_GENE_SEED = 20250


def draw_counts(index: int, seed: int, protocol_name: str) -> np.ndarray:
    """RNA counts (genes,) int64 of case `index`: negative binomial, with the case's own sequencing depth."""
    status, _ = draw_hidden(index, seed, protocol_name)
    _, means, dispersions, changes = genes()
    rng = _rng(seed, index, protocol_name, "counts")
    depth = math.exp(0.25 * rng.standard_normal())
    expected = means * depth * 2.0 ** (changes * (status == "positive"))
    return rng.poisson(rng.gamma(1 / dispersions, expected * dispersions))


# Cohort

_SETTINGS = "cohort.json"
_OWN = ("images", "rois", "manifest.csv", "truth.csv", "counts.csv.gz", _SETTINGS)
_ROI_COLUMNS = {"roi_a1": "roi", "roi_a2": "roi_a2", "roi_b1": "roi_b"}
_POOL_PAYS_FROM_CASES = 12


def simulate_cohort(
    cases: int,
    seed: int,
    protocol: Protocol,
    out_dir: str | os.PathLike,
    progress: Callable[[int, int], None] | None = None,
    scale: float = 1.0,
    workers: int | None = None,
) -> Path:
    """Writes a cohort and returns its manifest's path.

    `out_dir` gets `images/CASE_phaseN.nrrd`, `rois/CASE_roi_a1.nrrd` (and `_a2`, `_b1`), `manifest.csv`, `counts.csv.gz` (genes x cases),
    `truth.csv` (status, latent variables and other true values) and `cohort.json` (what it was made with). `progress` is told (done, all)
    after each case. `scale` as in `Protocol.scaled`. `workers` is the number of processes (default: the processors, 4 at most).
    A run that was interrupted is completed by the same call. Raises `InputError` for numbers out of range, and for a folder that holds
    foreign content or a cohort made otherwise.
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
    rows = []
    for row in _in_order(partial(_write_case, folder, seed, protocol), cases, workers):
        rows.append(row)
        if progress is not None:
            progress(len(rows), cases)
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


def _in_order(work: Callable[[int], Any], cases: int, workers: int | None) -> Iterator[Any]:
    """Results of `work(0)`, `work(1)`, ..., by several processes where that pays."""
    workers = min(4, os.cpu_count() or 1) if workers is None else workers
    if workers == 1 or cases < _POOL_PAYS_FROM_CASES:
        yield from map(work, range(cases))
        return
    # Spawned, not forked: ITK's and OpenCV's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        yield from pool.map(work, range(cases), chunksize=4)


def _write_case(folder: Path, seed: int, protocol: Protocol, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes a case's images and outlines, unless they are all there, and returns its rows of manifest and truth."""
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
    """Genes as rows, cases as columns. The gzip header bears no time, so that the same cohort is the same file."""
    columns = np.stack([draw_counts(index, seed, protocol_name) for index in range(cases)], axis=1)
    lines = [",".join(["gene", *(_case_id(protocol_name, seed, index) for index in range(cases))])]
    lines += [",".join([name, *map(str, row.tolist())]) for name, row in zip(genes()[0], columns)]
    write_atomically(path, gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))


def oracle_auc(truth: Sequence[Mapping[str, Any]], task: str) -> float:
    """The AUC nobody can beat by much: logistic regression on the two latent variables, in the cases it was fitted to.

    `truth` are rows of truth.csv (`her2_status, heterogeneity, rim`), `task` a task's name ("zero-vs-rest", "low-vs-positive").
    """
    labelled = [(TASKS[task].label(HER2Status(row["her2_status"])), float(row["heterogeneity"]), float(row["rim"])) for row in truth]
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

SAMPLE_SEED, SAMPLE_INDEX = 1, 341
"""A HER2-low case (IHC 1+) with typical latent variables and a spiculated lesion; no demo model was trained on this seed."""


def write_sample(out_dir: str | os.PathLike) -> None:
    """Writes the bundled sample: one case whose true status is low, four phases and the first reader's outline; under 4 MB."""
    # Fewer grey levels than a scanner's: noise compresses badly, and the clone should stay small.
    protocol = replace(PROTOCOLS["A"].scaled(0.6), signal=120.0)
    case = simulate_case(SAMPLE_INDEX, SAMPLE_SEED, protocol)
    folder = Path(out_dir)
    for path, volume in zip(sample_phases(), case.phases):
        write_volume(volume, folder / path.name)
    write_segmentation(case.rois["roi_a1"], case.phases[0].geometry, folder / sample_roi().name)
