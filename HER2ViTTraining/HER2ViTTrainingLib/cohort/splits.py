"""Splits by patient: train, validation, test or folds, stratified by HER2 status."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.files.output import json_bytes
from HER2ViTLib.her2 import TASKS, Task
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.grouping import grouped

from .columns import COUNTED_STATUSES
from .manifest import Case, Cohort

SHARED = "shared"
PER_TASK = "per-task"
SPLIT_KINDS = (SHARED, PER_TASK)
GIVEN = "given"
"""The split that a public data set brings: nothing was drawn here."""
VALIDATION_SHARE = 0.2
PER_TASK_NOTE = (
    "Each task has a split of its own, as in the study: a patient can be in one task's training and the"
    " other's validation set, so no validation set is clean for the two-step call; use --split shared for"
    " that."
)
_SPLITS_FORMAT = "her2vit-splits"
_SPLITS_VERSION = 1


@dataclass(frozen=True)
class TaskSplit:
    """Case ids, sorted, of one task: training and validation set, and the parts of a cross-validation (empty
    when not asked for), which may have names (`folds.splits_by`).
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...] = ()
    fold_names: tuple[str, ...] = ()

    def fold_name(self, number: int) -> str:
        """The name of a fold, counted from 1; without one of its own it is the number."""
        return self.fold_names[number - 1] if self.fold_names else str(number)


@dataclass(frozen=True)
class Splits:
    """Who trains and who validates. `tasks` by the task's name: one written before a task existed lacks it.
    `external` case ids by cohort, in no split.

    `cases` describes each case the splits were made for (patient, status, role, cohort): they fit no other.
    """

    kind: str
    seed: int
    tasks: Mapping[str, TaskSplit]
    external: Mapping[str, tuple[str, ...]]
    cases: Mapping[str, Mapping[str, str]]

    @property
    def sha256(self) -> str:
        """SHA-256 of the content as JSON with sorted keys, no spaces, in UTF-8: the same whatever the order
        of the manifest.
        """
        canonical = json.dumps(self._content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        """All that `splits.json` holds but its hash."""
        content = {
            "format": _SPLITS_FORMAT,
            "version": _SPLITS_VERSION,
            "split": self.kind,
            "seed": self.seed,
            "validation_share": VALIDATION_SHARE,
            "tasks": {
                name: {"training": task.training, "validation": task.validation, "folds": task.folds}
                for name, task in self.tasks.items()
            },
            "external": self.external,
            "cases": self.cases,
        }
        return {**content, "note": PER_TASK_NOTE} if self.kind == PER_TASK else content

    def to_json(self) -> bytes:
        """`splits.json`."""
        return json_bytes({"sha256": self.sha256, **self._content()})


def make_splits(cohort: Cohort, kind: str = SHARED, folds: int | None = None, seed: int = 1) -> Splits:
    """The 8:2 split of the development cases by patient, stratified, and k folds; the same for the same
    patients, seed and kind.

    `shared`: one split for all tasks, stratified by HER2 status, so that the validation set is clean for
    the two-step call. `per-task` repeats the study's: each task on its own, stratified by its label. A
    patient with cases of several classes counts for the rarest of them (the one with the fewest patients;
    a tie goes to the first of zero, low, positive, negative). Raises `InputError` for a class with a
    single patient or with fewer patients than folds; a class without any is left to training.
    """
    if kind not in SPLIT_KINDS:
        raise InputError(f"split {kind!r}: not known; use {' or '.join(SPLIT_KINDS)}")
    if folds is not None and folds < 2:
        raise InputError(f"folds {folds}: too few; use 2 or more")
    questions: dict[str, Callable[[Case], str | None]] = {
        "all": lambda case: case.her2_status.value if case.her2_status else None
    }
    if kind == PER_TASK:
        questions = {name: _task_class(task) for name, task in TASKS.items()}
    strata = {name: _strata(cohort.development, question) for name, question in questions.items()}
    _require_enough(strata, folds, cohort.path)
    divided = {name: _divide(classes, folds, seed, name) for name, classes in strata.items()}
    tasks = {}
    for name, task in TASKS.items():
        tasks[name] = _task_split(cohort, task, *divided[name if kind == PER_TASK else "all"])
    return Splits(kind, seed, tasks, _external_ids(cohort), _described(cohort))


def _sorted_ids(cases: Iterable[Case]) -> tuple[str, ...]:
    return tuple(sorted(case.case_id for case in cases))


def given_splits(cohort: Cohort, validation: Collection[str]) -> Splits:
    """The split that a data set brings, one for all tasks: `validation` are its patients; the other
    development cases train. Its seed is 0, since nothing is drawn.
    """
    patients = set(validation)
    tasks = {name: _task_split(cohort, task, patients, ()) for name, task in TASKS.items()}
    return Splits(GIVEN, 0, tasks, _external_ids(cohort), _described(cohort))


def _external_ids(cohort: Cohort) -> dict[str, tuple[str, ...]]:
    """The external cases' ids by the name of their cohort, both sorted."""
    return {name: _sorted_ids(cases) for name, cases in sorted(cohort.external.items())}


def _task_class(task: Task) -> Callable[[Case], str | None]:
    names = {0: task.other_name, 1: task.target_name, None: None}
    return lambda case: names[case.label(task)]


def _strata(cases: Iterable[Case], question: Callable[[Case], str | None]) -> dict[str, list[str]]:
    """Patients by class; each in one class only, the rarest of theirs."""
    by_patient = grouped(cases, lambda case: case.patient_id)
    classes: dict[str, set[str]] = {}
    for patient, theirs in by_patient.items():
        answers = map(question, theirs)
        classes[patient] = {answer for answer in answers if answer is not None}
    counts = Counter(answer for theirs in classes.values() for answer in theirs)
    order = [status.value for status in COUNTED_STATUSES]
    strata: dict[str, list[str]] = {}
    for patient in sorted(classes):
        if classes[patient]:
            rarest = min(
                classes[patient],
                key=lambda answer: (counts[answer], order.index(answer) if answer in order else 0, answer),
            )
            strata.setdefault(rarest, []).append(patient)
    return dict(sorted(strata.items()))


def _require_enough(strata: Mapping[str, Mapping[str, Sequence[str]]], folds: int | None, path: Path) -> None:
    faults = []
    classes = itertools.chain.from_iterable(of_question.items() for of_question in strata.values())
    for answer, patients in classes:
        if len(patients) < max(2, folds or 2):
            why = (
                f"cannot be in each of {folds} folds; use fewer folds,"
                if len(patients) > 1
                else "cannot both train and validate;"
            )
            patient = (
                "1 development patient" if len(patients) == 1 else f"{len(patients)} development patients"
            )
            faults.append(f"{path}: class {answer!r}: {patient} {why} add cases, or exclude these")
    if faults:
        # With a split per task, one class may be too small for two of them.
        raise InputError(list(dict.fromkeys(faults)))


def _divide(
    strata: Mapping[str, Sequence[str]], folds: int | None, seed: int, purpose: str
) -> tuple[set[str], list[set[str]]]:
    """Validation patients, and the patients of each fold; each stratum is divided on its own."""
    dealt: list[str] = []
    for patients in strata.values():
        dealt += in_random_order(patients, seed, f"{purpose}/folds")
    # Dealt out like cards, one stratum after the other: folds differ by one patient at most, in each stratum
    # and in all.
    parts = [set(dealt[n::folds]) for n in range(folds)] if folds else []
    return _validation_part(strata, seed, purpose), parts


def _validation_part(strata: Mapping[str, Sequence[str]], seed: int, purpose: str) -> set[str]:
    """A share of each stratum's patients, at least one; the only patient of a stratum stays in training."""
    chosen: set[str] = set()
    for patients in strata.values():
        share = max(1, round(VALIDATION_SHARE * len(patients)))
        chosen.update(in_random_order(patients, seed, purpose)[: min(share, len(patients) - 1)])
    return chosen


def inner_validation(cases: Iterable[Case], seed: int, purpose: str) -> set[str]:
    """Patients to validate on while a model is trained on the others of these cases: as many and stratified
    as in `make_splits`. `purpose` names the training, so that each draws its own.
    """
    strata = _strata(cases, lambda case: case.her2_status.value if case.her2_status else None)
    return _validation_part(strata, seed, purpose)


def in_random_order(patients: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Ordered by a hash of seed, purpose and patient: random, but the same on every machine, with any Python,
    in any order of rows.
    """
    return sorted(
        patients, key=lambda patient: hashlib.sha256(f"{seed}\0{purpose}\0{patient}".encode()).digest()
    )


def _task_split(cohort: Cohort, task: Task, validation: set[str], folds: Sequence[set[str]]) -> TaskSplit:
    asked = [case for case in cohort.development if case.label(task) is not None]

    def of(chosen: Callable[[str], bool]) -> tuple[str, ...]:
        return _sorted_ids(case for case in asked if chosen(case.patient_id))

    return TaskSplit(
        of(lambda p: p not in validation),
        of(validation.__contains__),
        tuple(of(fold.__contains__) for fold in folds),
    )


def _described(cohort: Cohort) -> dict[str, dict[str, str]]:
    """What of each included case the splits rest on, by case id."""
    return {
        case.case_id: {
            "patient_id": case.patient_id,
            "her2_status": case.her2_status.value,
            "role": case.role,
            "cohort": case.cohort,
        }
        for case in sorted(cohort.cases, key=lambda case: case.case_id)
        if case.included and case.her2_status
    }


def load_splits(path: str | os.PathLike, cohort: Cohort) -> Splits:
    """The splits in a `splits.json`, checked against their SHA-256 and against the cohort.

    Raises `InputError` (one line) for a file that is no such file, was changed, was made for other cases, or
    has a patient on two sides.
    """
    try:
        content = parse_json(read_file(path, "a splits.json"))
        if (content["format"], content["version"]) != (_SPLITS_FORMAT, _SPLITS_VERSION):
            raise ValueError(content["version"])
        stored = content["sha256"]
        splits = Splits(
            content["split"],
            content["seed"],
            {
                name: TaskSplit(_ids(t["training"]), _ids(t["validation"]), tuple(map(_ids, t["folds"])))
                for name, t in content["tasks"].items()
            },
            {name: _ids(ids) for name, ids in content["external"].items()},
            {**content["cases"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: is not a splits.json of this version; write one with: her2vit cohort"
        ) from error
    if splits.sha256 != stored:
        raise InputError(
            f"{path}: sha256 {str(stored)[:12]!r} is not that of its content: it was changed; write it again"
            " with: her2vit cohort"
        )
    _require_fit(splits, cohort, Path(path))
    return splits


def _ids(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(names)
    return tuple(names)


def _require_fit(splits: Splits, cohort: Cohort, path: Path) -> None:
    ours = _described(cohort)
    differing = sorted(
        name for name in ours.keys() | splits.cases.keys() if ours.get(name) != splits.cases.get(name)
    )
    if differing:
        shown = ", ".join(map(repr, differing[:3])) + (", ..." if len(differing) > 3 else "")
        raise InputError(
            f"{path}: made for other cases than {cohort.path}: {len(differing)} differ, there or not, or in"
            f" patient_id, her2_status, role or cohort ({shown}); write it again with: her2vit cohort"
        )
    for name in filter(splits.tasks.__contains__, TASKS):
        asked = _sorted_ids(case for case in cohort.development if case.label(TASKS[name]) is not None)
        split = splits.tasks[name]
        for sides in (split.training, split.validation), split.folds:
            whole = sorted(itertools.chain.from_iterable(sides)) == list(asked) or not sides
            patients = [_patients_of(side, splits) for side in sides]
            if not whole or sum(map(len, patients)) != len(set().union(*patients)):
                raise InputError(
                    f"{path}: {name}: a patient is on two sides or missing; write it again with: her2vit"
                    " cohort"
                )


def _patients_of(case_ids: Iterable[str], splits: Splits) -> set[str]:
    return {splits.cases[case_id]["patient_id"] for case_id in case_ids if case_id in splits.cases}
