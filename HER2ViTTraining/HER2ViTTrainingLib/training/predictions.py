"""What a training predicts of each case, and what the trainings with several seeds predict together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from HER2ViTLib.files.output import csv_bytes


@dataclass(frozen=True)
class Prediction:
    """One case as a model scores it: a row of `predictions.csv`.

    `label` 0 or 1; `score` the calibrated probability, `score_raw` the one before calibration.
    """

    case_id: str
    set: str
    label: int
    score: float
    score_raw: float
    patient_id: str


def predictions_csv(predictions: Sequence[Prediction]) -> bytes:
    """The predictions of one training as `predictions.csv`."""
    columns = [field.name for field in fields(Prediction)]
    return csv_bytes(columns, [asdict(prediction) for prediction in predictions])


def seeds_csv(predictions: Mapping[int, Sequence[Prediction]]) -> bytes:
    """The predictions of the same cases, in the same order, by seed, as `predictions.csv`: the mean score,
    and each seed's own (`score_seed5` for seed 5). With one seed its predictions as they are.
    """
    if len(predictions) == 1:
        [only] = predictions.values()
        return predictions_csv(only)
    shared = ("case_id", "set", "label", "score", "patient_id")
    rows = []
    for of_case in zip(*predictions.values(), strict=True):
        scores = [prediction.score for prediction in of_case]
        row = {name: getattr(of_case[0], name) for name in shared}
        row["score"] = float(np.mean(scores))
        row.update((_seed_column(seed), score) for seed, score in zip(predictions, scores))
        rows.append(row)
    return csv_bytes([*shared, *map(_seed_column, predictions)], rows)


def _seed_column(seed: int) -> str:
    return f"score_seed{seed}"
