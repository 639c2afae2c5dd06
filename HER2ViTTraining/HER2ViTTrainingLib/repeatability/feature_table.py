"""The features of many outlines, one row each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from HER2ViTLib import __version__
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import RESEARCH_NOTICE, faults_of
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTLib.session.log import SKIPPED
from HER2ViTLib.study.phases import choose_phases
from HER2ViTTrainingLib.parallel.processes import Progress, in_order

from .features import ENTROPY_BINS, voxel_features
from .outlines import Outline
from .reads import CaseRead, reads_csv

if TYPE_CHECKING:
    from HER2ViTLib.model.bundle import Bundle


FEATURES_FILE = "features.csv"
ABOUT_FILE = "features.json"
READS_FILE = "reads.csv"
RESULT_FILES = (FEATURES_FILE, ABOUT_FILE, READS_FILE)
_BATCH = 32
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
    "firstorder_entropy": (
        "bit",
        f"Shannon entropy over {ENTROPY_BINS} bins of equal width from minimum to maximum",
    ),
    "firstorder_uniformity": ("1", "sum of squared shares of those bins"),
    "enhancement_relative": ("1", "(mean early - mean pre) / mean pre"),
    "enhancement_relative_p10": ("1", "10th percentile over voxels of (early - pre) / mean pre"),
    "enhancement_relative_p90": ("1", "90th percentile of the same"),
    "enhancement_relative_sd": ("1", "standard deviation of the same"),
    "enhancement_washout": (
        "1",
        "(mean early - mean last) / mean early; below 0 where the signal goes on rising",
    ),
    "enhancement_ratio": (
        "1",
        (
            "signal enhancement ratio, (mean early - mean pre) / (mean last - mean pre) (Hylton, J Clin Oncol"
            " 2006)"
        ),
    ),
    "enhancement_washout_share": (
        "1",
        "share of voxels whose signal falls by more than 10 % from the early to the last phase",
    ),
}
"""Unit ("signal": as stored in the image; "1": none) and meaning of each feature that needs no model."""


@dataclass(frozen=True)
class _Measured:
    """What one process brings back of one outline; `patches` (H, W) float32 are the models' inputs by task
    key.
    """

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
    inputs = [hashed.to_json() for hashed in (*study.inputs, roi.input)]
    about = {
        **keys,
        "inputs": inputs,
        "warnings": [asdict(warning) for warning in (*study.warnings, *roi.warnings, *chosen.warnings)],
    }
    return _Measured({**keys, **voxel_features(study, mask, chosen.pre, chosen.early.index)}, about, patches)


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
    """The features of each outline, with those of the models in the folders `bundles` (one per task) where
    given.

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


def feature_rows(
    outlines: Sequence[Outline], bundles: Sequence[str | os.PathLike] = (), device: str = "auto"
) -> list[Mapping[str, Any]]:
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
        """Per case and model the embedding that its last layer gets, `vit1_embedding_000` on, and the
        calibrated score, `score_task1`.
        """
        import torch

        from HER2ViTLib.model.bundle import model_input

        rows: list[dict[str, float]] = [{} for _ in patches]
        for bundle in self.bundles:
            key, settings = bundle.task.key, bundle.settings
            for start in range(0, len(patches), _BATCH):
                images = torch.from_numpy(np.stack([one[key] for one in patches[start : start + _BATCH]])).to(
                    self.device
                )
                with torch.inference_mode():
                    features = bundle.model.forward_features(model_input(images, settings.preprocessing))
                    embeddings = bundle.model.forward_head(features, pre_logits=True)
                    logits = bundle.model.get_classifier()(embeddings)[:, 0]
                for row, embedding, logit in zip(
                    rows[start:], embeddings.cpu().double().tolist(), logits.cpu().double().tolist()
                ):
                    row.update(
                        {f"vit{key[-1]}_embedding_{n:03d}": value for n, value in enumerate(embedding)}
                    )
                    row[f"score_{key}"] = settings.calibration.score(logit)
        return rows


# Files


def write_features(table: FeatureTable, out: str | os.PathLike, reads: Sequence[CaseRead] = ()) -> list[str]:
    """Writes `features.csv` and `features.json`, of a session (its `reads`) also `reads.csv`; returns the
    files' names.

    A case that a read has skipped is a row of empty cells: a missing rating.
    """
    skipped = [{"case_id": one.case_id, "rater": one.rater} for one in reads if one.status == SKIPPED]
    files = {
        FEATURES_FILE: csv_bytes(table.columns, [*table.rows, *skipped]),
        ABOUT_FILE: json_bytes(_about(table)),
    }
    if reads:
        files[READS_FILE] = reads_csv(reads)
    return write_results(out, RESULT_FILES, files)


def _about(table: FeatureTable) -> dict[str, Any]:
    meanings = {name: {"unit": unit, "meaning": meaning} for name, (unit, meaning) in FEATURES.items()}
    for bundle in table.bundles:
        key = bundle.task.key
        meanings[f"vit{key[-1]}_embedding_NNN"] = {
            "unit": "1",
            "meaning": f"{bundle.task.name}: what the model's last layer gets",
        }
        meanings[f"score_{key}"] = {
            "unit": "1",
            "meaning": f"{bundle.task.name}: calibrated probability of {bundle.task.target_name}",
        }
    return {
        "features": meanings,
        "cases": table.cases,
        "bundles": [
            {"task": bundle.task.name, "sha256": bundle.sha256, "notice": bundle.notice}
            for bundle in table.bundles
        ],
        "versions": {
            "her2vit": __version__,
            "numpy": np.__version__,
            "SimpleITK": sitk.Version.VersionString(),
        },
        "notice": RESEARCH_NOTICE,
    }
