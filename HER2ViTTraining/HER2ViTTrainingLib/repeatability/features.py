"""Features of an outlined lesion, for the agreement of readers: shape, intensity, enhancement, the models' embeddings and scores.

Names begin with their group: `shape3d_`, `shape2d_`, `firstorder_`, `enhancement_`, `vit1_`, `vit2_` (embeddings of Task 1 and 2), `score_`.
`FEATURES` gives unit and meaning of each. Shape is ITK's (`LabelShapeStatisticsImageFilter`; surface and perimeter by Crofton's formula,
Lehmann & Legland, Insight Journal 2012); 2D shape is that of the largest slice, the first one of several. Intensity is the early phase's,
in all voxels of the outline, unchanged: a session compares readers on the same images, so nothing is normalised. What an outline or a study
does not have (skewness of one grey value, enhancement without a pre-contrast phase) is an empty cell.

Texture matrices are left out. Of the packages that follow the Image Biomarker Standardisation Initiative (IBSI), none does here: pyradiomics
3.1 has no wheel from Python 3.11 on, pictologics 0.9 none before 3.12, MIRP 2.7 is copyleft, and nyxus 0.11 (90 MB) gives a co-occurrence
contrast of 0 for the IBSI's digital phantom, where 5.28 is right. Features from any of them, as `case_id, rater, FEATURE...`, go to
`her2vit agreement` like these.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import SimpleITK as sitk

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.imaging.series import image_sha256
from HER2ViTLib.imaging.volume import Geometry, bounding_box
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.lesion.outlining import areas_mm2
from HER2ViTLib.messages import RESEARCH_NOTICE, faults_of
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTLib.session.log import SKIPPED
from HER2ViTLib.study.phases import choose_phases
from HER2ViTLib.study.study import Study
from HER2ViTTrainingLib.parallel.processes import Progress, in_order

from .outlines import Outline
from .reads import CaseRead, reads_csv

if TYPE_CHECKING:
    from HER2ViTLib.model.bundle import Bundle

FEATURES_FILE, ABOUT_FILE, READS_FILE = "features.csv", "features.json", "reads.csv"
RESULT_FILES = (FEATURES_FILE, ABOUT_FILE, READS_FILE)
ENTROPY_BINS = 32
_BATCH = 32
_PAIRS_AT_ONCE = 512
_DIGITS = 9

FEATURES: dict[str, tuple[str, str]] = {
    "shape3d_volume": ("mm3", "voxels of the outline x voxel volume"),
    "shape3d_surface": ("mm2", "surface area"),
    "shape3d_sphericity": ("1", "surface of the ball of equal volume / surface"),
    "shape3d_maximum_diameter": ("mm", "largest distance between two voxels' centres (Feret)"),
    "shape3d_elongation": ("1", "longest / middle principal axis"),
    "shape3d_flatness": ("1", "middle / shortest principal axis"),
    "shape3d_major_axis": ("mm", "longest diameter of the ellipsoid with the same moments and volume"),
    "shape3d_middle_axis": ("mm", "middle diameter of that ellipsoid"),
    "shape3d_minor_axis": ("mm", "shortest diameter of that ellipsoid"),
    "shape2d_area": ("mm2", "area on the largest slice"),
    "shape2d_perimeter": ("mm", "perimeter there"),
    "shape2d_roundness": ("1", "circumference of the circle of equal area / perimeter"),
    "shape2d_maximum_diameter": ("mm", "largest distance between two pixels' centres there (Feret)"),
    "shape2d_elongation": ("1", "longer / shorter principal axis"),
    "shape2d_major_axis": ("mm", "longer diameter of the ellipse with the same moments and area"),
    "shape2d_minor_axis": ("mm", "shorter diameter of that ellipse"),
    "firstorder_mean": ("signal", "mean"),
    "firstorder_sd": ("signal", "standard deviation (population)"),
    "firstorder_minimum": ("signal", "minimum"),
    "firstorder_p10": ("signal", "10th percentile"),
    "firstorder_median": ("signal", "median"),
    "firstorder_p90": ("signal", "90th percentile"),
    "firstorder_maximum": ("signal", "maximum"),
    "firstorder_interquartile_range": ("signal", "75th minus 25th percentile"),
    "firstorder_skewness": ("1", "third standardised moment"),
    "firstorder_kurtosis": ("1", "fourth standardised moment, minus 3"),
    "firstorder_energy": ("signal2", "sum of squares"),
    "firstorder_entropy": ("bit", f"Shannon entropy over {ENTROPY_BINS} bins of equal width from minimum to maximum"),
    "firstorder_uniformity": ("1", "sum of squared shares of those bins"),
    "enhancement_relative": ("1", "(mean early - mean pre) / mean pre"),
    "enhancement_relative_p10": ("1", "10th percentile over voxels of (early - pre) / mean pre"),
    "enhancement_relative_p90": ("1", "90th percentile of the same"),
    "enhancement_relative_sd": ("1", "standard deviation of the same"),
    "enhancement_washout": ("1", "(mean early - mean last) / mean early; below 0 where the signal goes on rising"),
    "enhancement_ratio": ("1", "signal enhancement ratio, (mean early - mean pre) / (mean last - mean pre) (Hylton, J Clin Oncol 2006)"),
    "enhancement_washout_share": ("1", "share of voxels whose signal falls by more than 10 % from the early to the last phase"),
}
"""Unit ("signal": as stored in the image; "1": none) and meaning of each feature that needs no model."""


# Features of one outline


def shape_features(mask: np.ndarray, geometry: Geometry) -> dict[str, float]:
    """3D and 2D shape of a boolean mask (K, J, I) that is not empty."""
    largest = int(np.argmax(areas_mm2(mask, geometry)))
    volume = _shape(_with_border(mask), geometry.spacing)
    plane = _shape(_with_border(mask[largest]), geometry.spacing[:2])
    solid = ("volume", "surface", "sphericity", "maximum_diameter", "elongation", "flatness", "minor_axis", "middle_axis", "major_axis")
    flat = ("area", "perimeter", "roundness", "maximum_diameter", "elongation", None, "minor_axis", "major_axis")
    found = {f"shape3d_{name}": value for name, value in zip(solid, volume)}
    return {**found, **{f"shape2d_{name}": value for name, value in zip(flat, plane) if name}}


def _with_border(mask: np.ndarray) -> np.ndarray:
    """The mask cut to its bounding box and one voxel around, so that all of its surface lies inside."""
    return np.pad(mask[bounding_box(mask)], 1)


def _shape(mask: np.ndarray, spacing: Sequence[float]) -> list[float]:
    """Size, surface, roundness, largest diameter, elongation, flatness, and the equivalent ellipsoid's diameters from the shortest on."""
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing)
    measure = sitk.LabelShapeStatisticsImageFilter()
    measure.Execute(image)
    values = [
        measure.GetPhysicalSize(1),
        measure.GetPerimeter(1),
        measure.GetRoundness(1),
        largest_diameter(mask, spacing),
        # ITK gives 0 for the axis ratios of an outline that is one voxel thick.
        measure.GetElongation(1) or math.nan,
        measure.GetFlatness(1) or math.nan,
        *measure.GetEquivalentEllipsoidDiameter(1),
    ]
    return [float(value) for value in values]


def largest_diameter(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """Largest distance (mm) between the centres of two voxels of a boolean mask (K, J, I) or (J, I) that is
    not empty; `spacing` i first.

    ITK's Feret diameter, but of the corners alone: it compares all pairs on the surface, with a cost that
    grows with its square.
    """
    places = _corners(mask) * np.asarray(spacing)
    places -= places.mean(axis=0)
    squares = (places**2).sum(axis=1)
    largest = 0.0
    for start in range(0, len(places), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        apart = squares[some, None] + squares - 2 * places[some] @ places.T
        one, other = np.unravel_index(apart.argmax(), apart.shape)
        # Found by the quick formula, which rounds; measured by the exact one.
        largest = max(largest, float(np.linalg.norm(places[start + one] - places[other])))
    return largest


def _corners(mask: np.ndarray) -> np.ndarray:
    """Indices (N, 2 or 3), i first, of voxels among which are all corners of the mask's convex hull: no
    others can lie farthest apart.

    A corner of the hull is the end of a row, and a corner of the hull of each slice that it lies on,
    whichever way the slices are cut.
    """
    solid = mask.reshape((1,) * (3 - mask.ndim) + mask.shape)
    rows = np.argwhere(solid.any(axis=2))
    lines = solid[tuple(rows.T)]
    ends = (lines.argmax(axis=1), lines.shape[1] - 1 - lines[:, ::-1].argmax(axis=1))
    found = np.concatenate([np.column_stack([rows, end]) for end in ends]).astype(np.int32)
    for axis in range(3):
        found = found[np.argsort(found[:, axis], kind="stable")]
        starts = np.flatnonzero(np.diff(found[:, axis], prepend=-1))
        slices = np.split(np.delete(found, axis, axis=1), starts[1:])
        hulls = [cv2.convexHull(points, returnPoints=False).ravel() for points in slices]
        found = found[np.concatenate([start + hull for start, hull in zip(starts, hulls)])]
    return found[:, ::-1][:, : mask.ndim]


def firstorder_features(values: np.ndarray) -> dict[str, float]:
    """First-order statistics of the voxels' values (N,), N >= 1."""
    values = np.asarray(values, np.float64)
    low, p10, p25, median, p75, p90, high = np.percentile(values, (0, 10, 25, 50, 75, 90, 100))
    mean, sd = values.mean(), values.std()
    z = (values - mean) / sd if high > low else np.full_like(values, np.nan)
    shares = np.histogram(values, ENTROPY_BINS, (low, high))[0] / values.size if high > low else np.ones(1)
    shares = shares[shares > 0]
    return {
        "firstorder_mean": mean,
        "firstorder_sd": sd,
        "firstorder_minimum": low,
        "firstorder_p10": p10,
        "firstorder_median": median,
        "firstorder_p90": p90,
        "firstorder_maximum": high,
        "firstorder_interquartile_range": p75 - p25,
        "firstorder_skewness": (z**3).mean(),
        "firstorder_kurtosis": (z**4).mean() - 3,
        "firstorder_energy": (values**2).sum(),
        "firstorder_entropy": abs((shares * np.log2(shares)).sum()),
        "firstorder_uniformity": (shares**2).sum(),
    }


def enhancement_features(pre: np.ndarray | None, early: np.ndarray, last: np.ndarray | None) -> dict[str, float]:
    """Enhancement and wash-out of the same voxels (N,) in the pre-contrast, the early and the last phase; None = there is no such phase.

    The voxels' relative enhancement is taken to the *mean* pre-contrast signal: single dark voxels would rule a ratio.
    """
    early = np.asarray(early, np.float64)
    found: dict[str, float] = {}
    if pre is not None and pre.mean() > 0:
        relative = (early - pre) / pre.mean()
        p10, p90 = np.percentile(relative, (10, 90))
        found = {"relative": relative.mean(), "relative_p10": p10, "relative_p90": p90, "relative_sd": relative.std()}
    if last is not None and early.mean() > 0:
        last = np.asarray(last, np.float64)
        found["washout"] = 1 - last.mean() / early.mean()
        found["washout_share"] = float(np.mean(last < 0.9 * early))
        if pre is not None and last.mean() > pre.mean():
            found["ratio"] = (early.mean() - pre.mean()) / (last.mean() - pre.mean())
    return {f"enhancement_{name}": float(value) for name, value in found.items()}


@dataclass(frozen=True)
class _Measured:
    """What one process brings back of one outline; `patches` (H, W) float32 are the models' inputs by task key."""

    row: dict[str, Any]
    about: dict[str, Any]
    patches: Mapping[str, np.ndarray]


def _measure(job: tuple[Outline, Mapping[str, Preprocessing]]) -> _Measured:
    outline, preprocessings = job
    with faults_of(f"case {outline.case_id}, rater {outline.rater}"):
        study = outline.study()
        roi = read_roi(outline.roi, study.geometry, outline.segment or None)
        mask = roi.mask
        chosen = choose_phases(study, mask, outline.early_phase)
        early = chosen.early_volume(study)
        patches = {
            key: preprocessing.apply(early, mask).image for key, preprocessing in preprocessings.items()
        }
    keys = {"case_id": outline.case_id, "rater": outline.rater}
    hashes = [*study.image_sha256, ("roi", image_sha256(outline.roi))]
    inputs = [{"role": role, "sha256": digest} for role, digest in hashes]
    about = {
        **keys,
        "inputs": inputs,
        "warnings": [asdict(warning) for warning in (*study.warnings, *roi.warnings, *chosen.warnings)],
    }
    return _Measured({**keys, **_voxel_features(study, mask, chosen.pre, chosen.early.index)}, about, patches)


def _voxel_features(study: Study, roi: np.ndarray, pre: int | None, early: int) -> dict[str, float]:
    last = len(study.phases) - 1

    def values(phase: int | None) -> np.ndarray | None:
        return None if phase is None else study.phases[phase].volume.array[roi].astype(np.float64)

    before, after = None if pre == early else pre, None if last in (early, pre) else last
    return {
        **shape_features(roi, study.geometry),
        **firstorder_features(values(early)),
        **enhancement_features(values(before), values(early), values(after)),
    }


# All outlines


@dataclass(frozen=True)
class FeatureTable:
    """The features of outlines: `rows` with case_id, rater and the features by name, in the order of
    `columns`; and, in `cases`, what each comes from and what was doubtful about it.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    cases: tuple[Mapping[str, Any], ...]
    bundles: tuple[Bundle, ...]


def feature_table(
    outlines: Sequence[Outline],
    bundles: Sequence[str | os.PathLike] = (),
    device: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> FeatureTable:
    """The features of each outline, with those of the models in the folders `bundles` (one per task) where given.

    Raises `InputError` with a line per outline that cannot be measured, and as `load_bundle` and `Reader` do.
    """
    models = _Models(bundles, device) if bundles else None
    jobs = [(outline, models.preprocessings if models else {}) for outline in outlines]
    measured = in_order(_measure, jobs, workers, progress)
    rows = [one.row for one in measured]
    columns = list(FEATURES)
    if models is not None:
        model_rows = models.features([one.patches for one in measured])
        columns += model_rows[0]
        rows = [{**row, **more} for row, more in zip(rows, model_rows)]
    cases = [one.about for one in measured]
    rows = [{name: _rounded(value) for name, value in row.items()} for row in rows]
    return FeatureTable(
        ("case_id", "rater", *columns), tuple(rows), tuple(cases), models.bundles if models else ()
    )


def feature_rows(outlines: Sequence[Outline], bundles: Sequence[str | os.PathLike] = (), device: str = "auto") -> list[Mapping[str, Any]]:
    """The rows of `feature_table`: case_id, rater and the features by name."""
    return list(feature_table(outlines, bundles, device).rows)


def _rounded(value: Any) -> Any:
    """Numbers to nine digits: the last ones of a double differ between machines."""
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


class _Models:
    """The bundles' networks: embedding and calibrated score of patches."""

    def __init__(self, folders: Sequence[str | os.PathLike], device: str) -> None:
        # Here, not above: neither a run without models nor the processes that measure should wait for torch.
        from HER2ViTLib.model.bundle import load_bundle
        from HER2ViTLib.reading.reader import Reader

        reader = Reader([load_bundle(folder) for folder in folders], device)
        self.bundles = tuple(reader.bundles.values())
        self.device = reader.device

    @property
    def preprocessings(self) -> dict[str, Preprocessing]:
        return {bundle.task.key: bundle.settings.preprocessing for bundle in self.bundles}

    def features(self, patches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, float]]:
        """Per case and model the embedding that its last layer gets, `vit1_embedding_000` on, and the calibrated score, `score_task1`."""
        import torch

        from HER2ViTLib.model.bundle import model_input

        rows: list[dict[str, float]] = [{} for _ in patches]
        for bundle in self.bundles:
            key, settings = bundle.task.key, bundle.settings
            for start in range(0, len(patches), _BATCH):
                images = torch.from_numpy(np.stack([one[key] for one in patches[start : start + _BATCH]])).to(self.device)
                with torch.inference_mode():
                    features = bundle.model.forward_features(model_input(images, settings.preprocessing))
                    embeddings = bundle.model.forward_head(features, pre_logits=True)
                    logits = bundle.model.get_classifier()(embeddings)[:, 0]
                for row, embedding, logit in zip(rows[start:], embeddings.cpu().double().tolist(), logits.cpu().double().tolist()):
                    row.update({f"vit{key[-1]}_embedding_{n:03d}": value for n, value in enumerate(embedding)})
                    row[f"score_{key}"] = settings.calibration.score(logit)
        return rows


# Files


def write_features(table: FeatureTable, out: str | os.PathLike, reads: Sequence[CaseRead] = ()) -> list[str]:
    """Writes `features.csv` and `features.json`, of a session (its `reads`) also `reads.csv`; returns the files' names.

    A case that a read has skipped is a row of empty cells: a missing rating.
    """
    skipped = [{"case_id": one.case_id, "rater": one.rater} for one in reads if one.status == SKIPPED]
    files = {FEATURES_FILE: csv_bytes(table.columns, [*table.rows, *skipped]), ABOUT_FILE: json_bytes(_about(table))}
    if reads:
        files[READS_FILE] = reads_csv(reads)
    return write_results(out, RESULT_FILES, files)


def _about(table: FeatureTable) -> dict[str, Any]:
    meanings = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in FEATURES.items()}
    for bundle in table.bundles:
        key = bundle.task.key
        meanings[f"vit{key[-1]}_embedding_NNN"] = {"unit": "1", "meaning": f"{bundle.task.name}: what the model's last layer gets"}
        meanings[f"score_{key}"] = {"unit": "1", "meaning": f"{bundle.task.name}: calibrated probability of {bundle.task.positive_label}"}
    return {
        "features": meanings,
        "cases": table.cases,
        "bundles": [{"task": bundle.task.name, "sha256": bundle.sha256, "notice": bundle.notice} for bundle in table.bundles],
        "versions": {"her2vit": __version__, "numpy": np.__version__, "SimpleITK": sitk.Version.VersionString()},
        "notice": RESEARCH_NOTICE,
    }
