"""A site's own cases as a bundle scored them: labelled ones from predictions, or from readings with the
reference standard beside them; unlabelled ones from readings.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import Bundle
from HER2ViTTrainingLib.cohort.columns import SET_NAMES
from HER2ViTTrainingLib.cohort.reference_standard import STATUS_MISSING, reference_standard
from HER2ViTTrainingLib.evaluation.predictions import PredictionSet, predictions_of
from HER2ViTTrainingLib.evaluation.three_class import read_truth, rows_by_case
from HER2ViTTrainingLib.stats.calibration import logit
from HER2ViTTrainingLib.tables.cells import Row, as_number
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

SAME_SCORE = 0.02
"""How far a score may lie from what the bundle makes of the raw one: both may be rounded to six decimals."""


@dataclass(frozen=True)
class LocalCases:
    """Labelled cases that a bundle's task asks about: their ids, patients, labels, and calibrated scores as
    the bundle gives them, each (n,). `left_out` counts cases by why they do not count; `inputs` are (role,
    SHA-256).
    """

    case_ids: np.ndarray
    patients: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    left_out: Mapping[str, int]
    inputs: tuple[tuple[str, str], ...]

    @property
    def logits(self) -> np.ndarray:
        """The scores' logits (n,), kept finite."""
        return logit(self.scores)

    @property
    def sha256(self) -> str:
        """Names the cases and their labels, in whatever file and order they were."""
        return cases_sha256(self.case_ids, self.labels)


def cases_sha256(case_ids: Sequence[str] | np.ndarray, labels: Sequence | np.ndarray) -> str:
    """The hash of `case_id,label` lines in alphabetical order; a label 0, 1 or a status."""
    lines = sorted(f"{case_id},{label}" for case_id, label in zip(case_ids, _plain(labels)))
    return hashlib.sha256("\n".join(lines).encode(errors="backslashreplace")).hexdigest()


def _plain(labels: Sequence | np.ndarray) -> list:
    return [int(label) if isinstance(label, (bool, np.bool_)) else label for label in labels]


# Predictions


def cases_of_predictions(path: str | os.PathLike, name: str | None, bundle: Bundle) -> LocalCases:
    """The cases of a predictions file: of its only set, or of set `name`.

    Raises `InputError` as `predictions_of`; for several sets without a name; for sets the bundle was made on
    and those of several models; for scores that are not the bundle's: no probabilities, not calibrated, or
    other ones than it makes of column `score_raw`.
    """
    table = read_table(path)
    raw = ["score_raw"] if "score_raw" in table.columns else []
    predictions = predictions_of(table, raw)
    cases = _chosen_set(table, predictions.sets, name)
    if cases.name in SET_NAMES:
        raise InputError(
            f"{path}: set {cases.name!r}: a bundle was made on it; name a set of other patients with --set"
        )
    if cases.models is not None:
        raise InputError(
            f"{path}: set {cases.name!r} is scored by a model a fold, not by one bundle; give its predictions"
        )
    if not cases.are_probabilities:
        raise InputError(
            f"{path}: set {cases.name!r}: its scores are no calibrated probabilities; give the bundle's own"
        )
    _require_scores_of(table, cases, bundle)
    patients = cases.case_ids if cases.patients is None else cases.patients
    return LocalCases(cases.case_ids, patients, cases.labels, cases.scores, {}, (("local", table.sha256),))


def _chosen_set(table: Table, sets: Sequence[PredictionSet], name: str | None) -> PredictionSet:
    by_name = {cases.name: cases for cases in sets}
    there = ", ".join(map(repr, by_name))
    if name is None and len(sets) > 1:
        raise InputError(f"{table.path}: has the sets {there}; name the local one with --set")
    if name is not None and name not in by_name:
        raise InputError(f"{table.path}: --set {name!r}: no such set; the sets are {there}")
    return sets[0] if name is None else by_name[name]


def _require_scores_of(table: Table, cases: PredictionSet, bundle: Bundle) -> None:
    if "score_raw" not in cases.others:
        return
    raw = cases.others["score_raw"]
    calibration = bundle.settings.calibration
    expected = np.array([calibration.score(value) for value in logit(raw).tolist()])
    apart = np.abs(expected - cases.scores)
    worst = int(apart.argmax())
    if apart[worst] > SAME_SCORE:
        raise InputError(
            f"{table.path}: case {cases.case_ids[worst]!r}: score {cases.scores[worst]:.4g} with score_raw"
            f" {raw[worst]:.4g}, of which this bundle makes {expected[worst]:.4g}; give this bundle's"
            " predictions"
        )


# Readings


@dataclass(frozen=True)
class ReadCases:
    """Cases of a batch that both or one of the bundles read: ids (n,), the scores (n,) and the logits of the
    raw scores (n,) by task key, how many readings warn that the case is unlike the training set, the file's
    SHA-256.
    """

    case_ids: np.ndarray
    scores: Mapping[str, np.ndarray]
    raw_logits: Mapping[str, np.ndarray]
    unlike: int
    sha256: str


def read_readings(path: str | os.PathLike, bundles: Sequence[Bundle]) -> ReadCases:
    """The readings of a batch, made with these bundles. Raises `InputError` for missing columns, a case
    twice, a score that is none, and for readings of another bundle.
    """
    table = read_table(path)
    keys = [bundle.task.key for bundle in bundles]
    columns = [f"{key}_{name}" for key in keys for name in ("score", "score_raw", "bundle_sha256")]
    table.require(("case_id", *columns))
    if not table.rows:
        raise InputError(f"{path}: holds no reading; read some cases first")
    rows = list(rows_by_case(table).values())
    faults = Faults(table.path)
    for row in rows:
        for bundle in bundles:
            _check_reading(row, bundle, faults)
    faults.raise_any()

    def numbers(column: str) -> np.ndarray:
        return np.array([as_number(row[column]) for row in rows])

    return ReadCases(
        case_ids=np.array([row["case_id"] for row in rows]),
        scores={key: numbers(f"{key}_score") for key in keys},
        raw_logits={key: logit(numbers(f"{key}_score_raw")) for key in keys},
        unlike=sum("unlike_training" in row["warnings"].split() for row in rows),
        sha256=table.sha256,
    )


def _check_reading(row: Row, bundle: Bundle, faults: Faults) -> None:
    key = bundle.task.key
    for column in (f"{key}_score", f"{key}_score_raw"):
        if not 0 <= as_number(row[column]) <= 1:
            faults.note(row, column, "is no probability; give the readings of a batch as they are")
    column = f"{key}_bundle_sha256"
    if row[column] != bundle.sha256:
        what = f"is another bundle than {bundle.name} ({bundle.sha256[:12]}...); read the cases with this one"
        faults.note(row, column, what)


@dataclass(frozen=True)
class StatusCases:
    """Read cases with their HER2 status (n,) and patients (n,) as a manifest has them; why others are left
    out, by number; `inputs` are (role, SHA-256).
    """

    read: ReadCases
    chosen: np.ndarray
    statuses: np.ndarray
    patients: np.ndarray
    left_out: Mapping[str, int]
    inputs: tuple[tuple[str, str], ...]

    def of_task(self, bundle: Bundle) -> LocalCases:
        """Those the bundle's task asks about, labelled."""
        labels = [bundle.task.label(HER2Status(status)) for status in self.statuses]
        asked = np.array([label is not None for label in labels], bool)
        left_out = Counter(self.left_out)
        for status in self.statuses[~asked].tolist():
            left_out[f"HER2 {status}: not asked by {bundle.task.name}"] += 1
        return LocalCases(
            case_ids=self.case_ids[asked],
            patients=self.patients[asked],
            labels=np.array([label == 1 for label in labels], bool)[asked],
            scores=self.scores(bundle.task.key)[asked],
            left_out=left_out,
            inputs=self.inputs,
        )

    @property
    def case_ids(self) -> np.ndarray:
        return self.read.case_ids[self.chosen]

    def scores(self, key: str) -> np.ndarray:
        """The scores (n,) of the task with that key."""
        return self.read.scores[key][self.chosen]


def cases_of_readings(
    readings: str | os.PathLike, manifest: str | os.PathLike, bundles: Sequence[Bundle]
) -> StatusCases:
    """The readings of a batch with the statuses of a manifest; its images need not be there.

    Raises `InputError` as `read_readings`, for faults of the manifest, and for a reading that is not in it.
    """
    read = read_readings(readings, bundles)
    truth = read_truth(manifest)
    rows = rows_by_case(truth)
    strangers = [case_id for case_id in read.case_ids.tolist() if case_id not in rows]
    if strangers:
        raise InputError(
            f"{readings}: case {strangers[0]!r}, one of {len(strangers)}, is not in {manifest}; name the"
            " manifest that was read"
        )
    faults = Faults(truth.path)
    found = {case_id: _status(rows[case_id], faults) for case_id in read.case_ids.tolist()}
    faults.raise_any()
    chosen = np.array([status in _STATUSES for status in found.values()], bool)
    return StatusCases(
        read=read,
        chosen=chosen,
        statuses=np.array(list(found.values()))[chosen],
        patients=np.array([rows[case_id]["patient_id"] or case_id for case_id in found])[chosen],
        left_out=Counter(status for status in found.values() if status not in _STATUSES),
        inputs=(("local", read.sha256), ("truth", truth.sha256)),
    )


_STATUSES = tuple(status.value for status in HER2Status if status is not HER2Status.INDETERMINATE)


def _status(row: Row, faults: Faults) -> str:
    """A case's status, else why it has none."""
    if row["exclude"]:
        return f"excluded: {row['exclude']}"
    found = reference_standard(row, faults)
    return found.reason or (found.status.value if found.status else STATUS_MISSING)
