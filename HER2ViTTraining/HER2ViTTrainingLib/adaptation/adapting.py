"""The ways to adapt: from labelled local cases, to a prevalence given or estimated, to a coverage."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import Bundle
from HER2ViTLib.model.config import Settings
from HER2ViTTrainingLib.evaluation.judging import SetResult, judge
from HER2ViTTrainingLib.evaluation.predictions import PredictionSet
from HER2ViTTrainingLib.stats.recalibration import NOTHING
from HER2ViTTrainingLib.stats.resampling import Resampling

from . import sections
from .adapted import Adaptation, AdaptedBundle, Section, with_record
from .coverage import conformal_parts
from .local_cases import LocalCases, cases_of_predictions, cases_of_readings, read_readings
from .prevalence import estimate_shares, require_answerable, shifted
from .recalibrating import Adapted, HeldOut, adapt, cross_validate, require_enough


@dataclass(frozen=True)
class Parents:
    """The bundles to adapt with their folders, in the order of the tasks."""

    folders: tuple[Path, ...]
    bundles: tuple[Bundle, ...]

    def require_two_step(self, option: str) -> None:
        """Raises `InputError` unless both bundles of the two-step call are there."""
        if tuple(bundle.task for bundle in self.bundles) != TWO_STEP:
            raise InputError(f"{option}: needs the bundles of {TWO_STEP[0].name} and {TWO_STEP[1].name}")


@dataclass(frozen=True)
class Labelled:
    """Where labelled cases are: predictions (of set `name`), or readings with the manifest `truth`."""

    path: Path
    truth: Path | None = None
    name: str | None = None

    def cases(self, bundles: Sequence[Bundle]) -> list[LocalCases]:
        """The cases of each bundle's task. Raises `InputError`."""
        if self.truth is None:
            if len(bundles) > 1:
                raise InputError(
                    f"{self.path}: predictions are of one task; give one bundle, or readings with --truth"
                )
            return [cases_of_predictions(self.path, self.name, bundles[0])]
        read = cases_of_readings(self.path, self.truth, bundles)
        return [read.of_task(bundle) for bundle in bundles]


# Labelled cases


def recalibrate(
    parents: Parents, labelled: Labelled, sensitivity: float | None, plan: Resampling
) -> Adaptation:
    """Recalibrates each bundle on its task's labelled cases, as far as the closed test asks for it.

    Raises `InputError` for too few cases, with the number that would do, and where nothing can be estimated.
    """
    all_cases = labelled.cases(parents.bundles)
    for bundle, cases in zip(parents.bundles, all_cases):
        names = (bundle.task.other_name, bundle.task.target_name)
        require_enough(cases, labelled.path, names, sensitivity)
    bundles = []
    shown: list[Section] = []
    details: dict[str, Any] = {}
    for folder, bundle, cases in zip(parents.folders, parents.bundles, all_cases):
        made = _adapted(bundle, cases, labelled.path, sensitivity)
        held_out = cross_validate(cases, bundle.settings.threshold, sensitivity, plan.seed)
        before, after = _judged(bundle.settings, cases, held_out, plan)
        settings = _recalibrated(bundle, cases, made)
        bundles.append(AdaptedBundle(bundle, folder, settings))
        shown += sections.of_recalibration(bundle, settings, cases, made)
        shown.append(sections.of_figures(bundle, cases, held_out, before, after))
        details[bundle.task.key] = _recalibration_json(cases, made, held_out, before, after)
    inputs = all_cases[0].inputs
    return Adaptation(tuple(bundles), inputs, tuple(shown), details, _dropped_conformal(bundles))


def _adapted(bundle: Bundle, cases: LocalCases, path: Path, sensitivity: float | None) -> Adapted:
    try:
        return adapt(cases.labels, cases.logits, bundle.settings.threshold, sensitivity)
    except ValueError as error:
        raise InputError(
            f"{path}: {bundle.task.name}: {error}; the bundle cannot be adapted from these"
            f" {len(cases.labels)} cases"
        ) from error


def _recalibrated(bundle: Bundle, cases: LocalCases, made: Adapted) -> Settings:
    settings = bundle.settings
    choice = made.recalibration.choice
    if choice != NOTHING:
        settings = replace(
            settings,
            calibration=made.calibration(settings.calibration),
            threshold=made.threshold.value.value,
            prevalence=float(cases.labels.mean()),
            # Both were of the former threshold.
            operating_points=(),
            conformal=None,
        )
    about = {"cases_sha256": cases.sha256, "n": _counts(bundle, cases)}
    return with_record(bundle, settings, f"recalibration ({choice})", about)


def _counts(bundle: Bundle, cases: LocalCases) -> dict[str, int]:
    positive = int(cases.labels.sum())
    return {bundle.task.other_name: len(cases.labels) - positive, bundle.task.target_name: positive}


def _judged(
    settings: Settings, cases: LocalCases, held_out: HeldOut, plan: Resampling
) -> tuple[SetResult, SetResult]:
    """The local cases as the parent scores them, and as bundles adapted without them do."""

    def result(name: str, scores: Any, threshold: Any) -> SetResult:
        patients = cases.patients
        known = PredictionSet(
            name=name,
            case_ids=cases.case_ids,
            labels=cases.labels,
            scores=scores,
            calibrated=cases.labels | True,
            patients=patients,
            others={},
            subgroups={},
        )
        return judge(known, threshold, name, plan)

    before = result("before", cases.scores, settings.threshold)
    return before, result("after", held_out.scores, held_out.thresholds)


def _recalibration_json(
    cases: LocalCases, made: Adapted, held_out: HeldOut, before: SetResult, after: SetResult
) -> dict[str, Any]:
    line = made.recalibration
    return {
        "choice": line.choice,
        "slope": asdict(line.slope),
        "intercept": asdict(line.intercept),
        "against_original": asdict(line.against_original),
        "against_intercept": line.against_intercept and asdict(line.against_intercept),
        "threshold": asdict(made.threshold),
        "left_out": dict(cases.left_out),
        "cross_validation": {
            "folds": held_out.folds,
            "kept_the_bundle": held_out.kept,
            "could_not_adapt": held_out.refused,
        },
        "figures": {"before": _figures_json(before), "after": _figures_json(after)},
    }


def _figures_json(result: SetResult) -> dict[str, Any]:
    return {
        **result.counts,
        "metrics": {name: asdict(value) for name, value in result.metrics.estimates.items()},
        "calibration": result.calibration and asdict(result.calibration),
        "mean_predicted": float(result.cases.scores.mean()),
        "observed": float(result.cases.labels.mean()),
    }


def _dropped_conformal(bundles: Sequence[AdaptedBundle]) -> tuple[str, ...]:
    """Says so where a conformal part went, since it was made for other probabilities."""
    return tuple(
        f"{one.settings.task.name}: the conformal part is gone, it was made for the old probabilities; make"
        " it anew with --coverage"
        for one in bundles
        if one.parent.settings.conformal is not None and one.settings.conformal is None
    )


# Prevalence


def move_prevalence(parents: Parents, prevalence: float) -> Adaptation:
    """Shifts a bundle to a given share of its label 1 among the cases its task asks about. Raises
    `InputError` for more than one bundle.
    """
    if len(parents.bundles) > 1:
        raise InputError("--prevalence: is of one task; give its bundle alone")
    (bundle,) = parents.bundles
    adapted = _moved(parents.folders[0], bundle, prevalence, "a given prevalence", {})
    shown = (sections.of_prevalence(adapted), sections.of_assumption(both=False))
    return Adaptation((adapted,), (), shown, {"prevalence": prevalence}, _dropped_conformal([adapted]))


def _moved(
    folder: Path, bundle: Bundle, prevalence: float, method: str, about: Mapping[str, Any]
) -> AdaptedBundle:
    settings = shifted(bundle.settings, prevalence)
    return AdaptedBundle(
        bundle, folder, with_record(bundle, replace(settings, conformal=None), method, about)
    )


def estimate_prevalence(parents: Parents, readings: str | os.PathLike, plan: Resampling) -> Adaptation:
    """Estimates the statuses' shares from unlabelled readings, and shifts the bundles to them where the test
    says that they have changed. Raises `InputError` as `require_answerable` and `estimate_shares`.
    """
    require_answerable(parents.bundles)
    if len(parents.bundles) > 1:
        parents.require_two_step("--estimate-prevalence with two bundles")
    read = read_readings(readings, parents.bundles)
    found = estimate_shares(parents.bundles, read, readings, plan)
    about = {"n": {"unlabelled": found.n}}
    method = f"an estimated prevalence ({'changed' if found.has_changed else 'nothing'})"
    bundles = []
    for folder, bundle in zip(parents.folders, parents.bundles):
        if found.has_changed:
            bundles.append(_moved(folder, bundle, found.prevalence_of(bundle), method, about))
        else:
            kept = with_record(bundle, bundle.settings, method, about)
            bundles.append(AdaptedBundle(bundle, folder, kept))
    shown = [sections.of_shares(found), sections.of_check(found)]
    shown += [sections.of_prevalence(one) for one in bundles]
    shown.append(sections.of_assumption(both=len(bundles) > 1))
    details = {"estimate": asdict(found), "has_changed": found.has_changed}
    inputs = (("readings", read.sha256),)
    return Adaptation(tuple(bundles), inputs, tuple(shown), details, _dropped_conformal(bundles))


# Coverage


def add_coverage(parents: Parents, labelled: Labelled, level: float) -> Adaptation:
    """Adds a conformal part to both bundles of the two-step call, from labelled readings; calibration and
    thresholds stay. Raises `InputError` as `conformal_parts`.
    """
    parents.require_two_step("--coverage")
    if labelled.truth is None:
        raise InputError(
            f"{labelled.path}: --coverage needs all three statuses; give the readings of a batch and --truth"
        )
    cases = cases_of_readings(labelled.path, labelled.truth, parents.bundles)
    by_key = {bundle.task.key: bundle for bundle in parents.bundles}
    parts = conformal_parts(by_key, cases, level, labelled.path)
    bundles = []
    for folder, bundle in zip(parents.folders, parents.bundles):
        part = parts[bundle.task.key]
        about = {
            "cases_sha256": part.cases_sha256,
            "n": {status: of.n for status, of in part.statuses.items()},
        }
        settings = with_record(bundle, replace(bundle.settings, conformal=part), "a conformal part", about)
        bundles.append(AdaptedBundle(bundle, folder, settings))
    part = parts[TWO_STEP[0].key]
    details = {"conformal": part.to_json(), "left_out": dict(cases.left_out)}
    return Adaptation(tuple(bundles), cases.inputs, (sections.of_coverage(part, cases),), details)
