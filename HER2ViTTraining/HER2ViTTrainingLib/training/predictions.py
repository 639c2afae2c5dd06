"""What a training predicts of each case, and what several trainings predict together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from HER2ViTLib.files.output import csv_bytes
from HER2ViTLib.model.operating_point import EXTERNAL, OUT_OF_FOLD, VALIDATION, OperatingPoint, Rate
from HER2ViTTrainingLib.cohort.columns import SET_NAMES


@dataclass(frozen=True)
class Prediction:
    """One case as a model scores it: a row of `predictions.csv`.

    `label` 0 or 1; `score` the calibrated probability, `score_raw` the one before calibration. Of a model
    that could not be calibrated (`calibrated` 0) both are the raw one. `threshold` is the model's own, on the
    scale of `score`; `fold` names the fold that was held out from it, empty where none was. `subgroups` are
    the manifest's columns about site and scanner.
    """

    case_id: str
    set: str
    label: int
    score: float
    score_raw: float
    patient_id: str
    fold: str
    seed: int
    calibrated: int
    threshold: float
    subgroups: Mapping[str, str] = field(default_factory=dict)


def predictions_csv(predictions: Sequence[Prediction]) -> bytes:
    """The predictions of one training, or of a cross-validation, a row a case and model, as
    `predictions.csv`. Without folds there is no column `fold`.
    """
    rows = [_row(prediction) for prediction in predictions]
    columns = list(rows[0])
    if not any(prediction.fold for prediction in predictions):
        columns.remove("fold")
        for row in rows:
            del row["fold"]
    return csv_bytes(columns, rows)


def operating_points(predictions: Sequence[Prediction]) -> tuple[OperatingPoint, ...]:
    """What the model's threshold gives on each set it was not trained on, counted by case."""
    training, _ = SET_NAMES
    by_set: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_set.setdefault(prediction.set, []).append(prediction)
    return tuple(_operating_point(name, of_set) for name, of_set in by_set.items() if name != training)


def _operating_point(name: str, predictions: Sequence[Prediction]) -> OperatingPoint:
    target = [one.score >= one.threshold for one in predictions if one.label == 1]
    other = [one.score < one.threshold for one in predictions if one.label == 0]
    kind = name if name in (VALIDATION, OUT_OF_FOLD) else EXTERNAL
    return OperatingPoint(name, kind, Rate(sum(target), len(target)), Rate(sum(other), len(other)))


def _row(prediction: Prediction) -> dict[str, Any]:
    row = asdict(prediction)
    subgroups = row.pop("subgroups")
    return {**row, **subgroups}


def seeds_csv(predictions: Mapping[int, Sequence[Prediction]]) -> bytes:
    """The predictions of the same cases, in the same order, by seed, as `predictions.csv`: the mean score,
    and each seed's own (`score_seed5` for seed 5).

    The mean counts as calibrated where every seed's score is. It has no threshold that was fixed in training.
    """
    shared = ("case_id", "set", "label", "score", "patient_id", "calibrated")
    rows = []
    for of_case in zip(*predictions.values(), strict=True):
        scores = [prediction.score for prediction in of_case]
        row = {name: getattr(of_case[0], name) for name in shared}
        row.update(of_case[0].subgroups)
        row["score"] = float(np.mean(scores))
        row["calibrated"] = min(prediction.calibrated for prediction in of_case)
        row.update((_seed_column(seed), score) for seed, score in zip(predictions, scores))
        rows.append(row)
    return csv_bytes(list(rows[0]), rows)


def _seed_column(seed: int) -> str:
    return f"score_seed{seed}"
