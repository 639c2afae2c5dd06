"""The features of many outlines, a row each, and the files they are written into (`her2vit features`)."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from HER2ViTLib import __version__
from HER2ViTLib.files.hashes import InputHash
from HER2ViTLib.files.output import csv_bytes, json_bytes, write_results
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.messages import RESEARCH_NOTICE, ReadingWarning, faults_of
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTLib.session.log import SKIPPED
from HER2ViTLib.study.phases import choose_phases
from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress

from .features import FEATURES, voxel_features
from .model_features import ModelFeatures, model_feature_meanings
from .outlines import Outline
from .reads import CaseRead, reads_csv

if TYPE_CHECKING:  # needs torch
    from HER2ViTLib.model.bundle import Bundle


FEATURES_FILE = "features.csv"
ABOUT_FILE = "features.json"
READS_FILE = "reads.csv"
RESULT_FILES = (FEATURES_FILE, ABOUT_FILE, READS_FILE)
_DIGITS = 9


@dataclass(frozen=True)
class MeasuredCase:
    """What the features of one outline come from: role and SHA-256 of the files, the outline's role being
    "roi"; and what was doubtful about them.
    """

    case_id: str
    rater: str
    inputs: tuple[InputHash, ...]
    warnings: tuple[ReadingWarning, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "case_id": self.case_id,
            "rater": self.rater,
            "inputs": [one.to_json() for one in self.inputs],
            "warnings": [asdict(warning) for warning in self.warnings],
        }


@dataclass(frozen=True)
class FeatureTable:
    """The features of outlines: `rows` with case_id, rater and the features by name, in the order of
    `columns`; and, in `cases`, what each row comes from.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]
    cases: tuple[MeasuredCase, ...]
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

    `workers`, `progress`: as `in_order`. Raises `InputError` with a line per outline that cannot be measured,
    and as `ModelFeatures`.
    """
    models = ModelFeatures(bundles, device) if bundles else None
    preprocessings = models.preprocessings if models else {}
    measure = functools.partial(_measure, preprocessings=preprocessings)
    measured = in_order(measure, outlines, workers, progress)
    features: list[dict[str, float]] = [one.features for one in measured]
    columns = list(FEATURES)
    if models:
        of_models = models.features([one.patches for one in measured])
        columns += of_models[0]
        features = [{**one, **more} for one, more in zip(features, of_models)]
    rows = [_row(one.case, values) for one, values in zip(measured, features)]
    return FeatureTable(
        ("case_id", "rater", *columns),
        tuple(rows),
        tuple(one.case for one in measured),
        models.bundles if models else (),
    )


def feature_rows(
    outlines: Sequence[Outline], bundles: Sequence[str | os.PathLike] = (), device: str = "auto"
) -> list[Mapping[str, Any]]:
    """The rows of `feature_table`: case_id, rater and the features by name."""
    return list(feature_table(outlines, bundles, device).rows)


def _row(case: MeasuredCase, features: Mapping[str, float]) -> dict[str, Any]:
    """Numbers to nine digits: the last ones of a double differ between machines."""
    rounded = {name: float(f"{value:.{_DIGITS}g}") for name, value in features.items()}
    return {"case_id": case.case_id, "rater": case.rater, **rounded}


@dataclass(frozen=True)
class _Measured:
    """What one process brings back of one outline; `patches` (slices, H, W) float32 are the models' inputs
    by task key.
    """

    case: MeasuredCase
    features: dict[str, float]
    patches: Mapping[str, np.ndarray]


def _measure(outline: Outline, preprocessings: Mapping[str, Preprocessing]) -> _Measured:
    with faults_of(f"case {outline.case_id}, rater {outline.rater}"):
        study = outline.study()
        roi = outline.read(study)
        chosen = choose_phases(study, roi.mask, outline.early_phase)
        early = chosen.early_volume(study)
        patches = {key: _images(one, early, roi.mask) for key, one in preprocessings.items()}
    case = MeasuredCase(
        outline.case_id,
        outline.rater,
        (*study.inputs, roi.input),
        (*study.warnings, *roi.warnings, *chosen.warnings),
    )
    return _Measured(case, voxel_features(study, roi.mask, chosen.pre, chosen.early.index), patches)


def _images(preprocessing: Preprocessing, early: Volume, mask: np.ndarray) -> np.ndarray:
    return np.stack([patch.image for patch in preprocessing.patches(early, mask)])


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
    """`features.json`: what the columns mean, and what each row comes from."""
    features = dict(FEATURES)
    for bundle in table.bundles:
        features |= model_feature_meanings(bundle)
    return {
        "features": {name: asdict(feature) for name, feature in features.items()},
        "cases": [case.to_json() for case in table.cases],
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
