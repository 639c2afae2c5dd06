"""What the site tells of the label, and what score and embedding tell of the site (or vendor, or whatever the
audited column holds).

Both are asked of a cross-validated ridge classifier (`stats.ridge`). It is drawn into folds several times, so
that no figure hangs on one partition; its logits are ranked within a fold only. Intervals come from a
bootstrap over patients; the classifiers are not trained anew in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTTrainingLib.parallel.processes import in_order
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import Resampling, auc_of_weights, bootstrap, estimates
from HER2ViTTrainingLib.stats.ridge import cross_validated_logits

from .inputs import AuditedSet

PARTITIONS = 5
"""How often the cases are divided into folds anew."""
MIN_PATIENTS = 10
"""In a level and outside it, or of a class: of fewer no classifier is asked."""
SCORE = "score"
ONE_LEVEL = "one level only: nothing to tell apart"
_Area = Callable[[np.ndarray], np.ndarray]
"""From weights (b, m) of a set's cases to AUC (b,)."""

# Questions


@dataclass(frozen=True)
class Probe:
    """Do the features (k, f) tell which cases are `positive` (k,) bool? `rows` (k,) are their places among
    the cases of the set, `patients` (k,) their patients.
    """

    rows: np.ndarray
    positive: np.ndarray
    features: np.ndarray
    patients: np.ndarray

    @property
    def has_enough_patients(self) -> bool:
        """Whether there are `MIN_PATIENTS` on both sides."""
        sides = (self.patients[self.positive], self.patients[~self.positive])
        return min(len(np.unique(side)) for side in sides) >= MIN_PATIENTS


@dataclass(frozen=True)
class SourceQuestion:
    """Whether a source, the score or an embedding, tells the levels of a column: a probe for each level
    against the others, by status, among the cases of that status.

    `n` are the cases by status; `too_few` levels have too few patients; `left_out` cases have no level or no
    embedding. `why_not` says why nothing is asked, empty where something is.
    """

    source: str
    probes: Mapping[str, Mapping[str, Probe]]
    n: Mapping[str, int]
    too_few: Mapping[str, tuple[str, ...]]
    left_out: int
    why_not: str


@dataclass(frozen=True)
class SiteQuestion:
    """Of one column in one set: whether the levels `alone` tell the label, or `why_not`; whether each source
    tells the levels. `patients` (m,) are those of the set's cases.
    """

    patients: np.ndarray
    labels: np.ndarray
    alone: Probe | None
    why_not: str
    sources: tuple[SourceQuestion, ...]

    @property
    def all_probes(self) -> Iterator[Probe]:
        """Every probe, in the order in which `_result` takes their answers."""
        if self.alone:
            yield self.alone
        for source in self.sources:
            for by_level in source.probes.values():
                yield from by_level.values()


def site_question(audited: AuditedSet, column: str) -> SiteQuestion:
    """What is asked of a column in a set, a row a case."""
    first = audited.first
    levels = audited.cases.subgroups[column][first]
    labels = audited.cases.labels[first]
    patients = audited.patients[first]
    rows = np.flatnonzero(levels != "")
    names = audited.levels(column)
    one_hot = (levels[rows, None] == np.array(names)).astype(float)
    alone = Probe(rows, labels[rows], one_hot, patients[rows])
    why_not = ""
    if len(names) < 2:
        why_not = ONE_LEVEL
    elif not alone.has_enough_patients:
        why_not = f"fewer than {MIN_PATIENTS} patients of a class"
    features = {SCORE: audited.comparable_scores[:, None]}
    features |= {name: values[first] for name, values in audited.embeddings.items()}
    reasons = dict.fromkeys(features, ONE_LEVEL if len(names) < 2 else "")
    if not reasons[SCORE] and _each_model_has_one_level(audited, column):
        reasons[SCORE] = "each level was scored by models of its own, on scales of their own"
    statuses = _statuses(audited)
    sources = [
        _source_question(source, values, levels, statuses, patients, reasons[source])
        for source, values in features.items()
    ]
    return SiteQuestion(patients, labels, None if why_not else alone, why_not, tuple(sources))


def _statuses(audited: AuditedSet) -> np.ndarray:
    """What cases (m,) are compared within, so that prevalence does not answer: HER2 status, else label."""
    if audited.statuses is not None:
        return audited.statuses[audited.first]
    return np.where(audited.cases.labels[audited.first], "label 1", "label 0")


def _each_model_has_one_level(audited: AuditedSet, column: str) -> bool:
    """Leave-one-site-out: what tells the models' scores apart is the models."""
    models = audited.cases.models
    if models is None:
        return False
    levels = audited.cases.subgroups[column]
    found = [set(levels[models == model].tolist()) - {""} for model in np.unique(models)]
    return all(len(its) <= 1 for its in found)


def _source_question(
    source: str,
    values: np.ndarray,
    levels: np.ndarray,
    statuses: np.ndarray,
    patients: np.ndarray,
    why_not: str,
) -> SourceQuestion:
    usable = (levels != "") & ~np.isnan(values).any(axis=1)
    probes: dict[str, dict[str, Probe]] = {}
    n = {}
    too_few = {}
    for status in sorted(set(statuses.tolist())) if not why_not else ():
        rows = np.flatnonzero(usable & (statuses == status))
        asked: dict[str, Probe] = {}
        left = []
        present = sorted(set(levels[rows].tolist()))
        for level in present:
            probe = Probe(rows, levels[rows] == level, values[rows], patients[rows])
            if not probe.has_enough_patients:
                left.append(level)
            elif len(present) > 2 or not asked:  # the second of two is the same question
                asked[level] = probe
        too_few[status] = tuple(left)
        if asked:
            probes[status] = asked
            n[status] = len(rows)
    if not probes and not why_not:
        why_not = f"no level has {MIN_PATIENTS} patients in it and outside it within a status"
    return SourceQuestion(source, probes, n, too_few, int((~usable).sum()), why_not)


# Answers


@dataclass(frozen=True)
class Told:
    """How well a source tells the levels of a column: the macro one-against-rest AUC, the mean over the
    levels within a status, then over the statuses by their number of cases; each AUC by status and level. NaN
    where nothing was asked.
    """

    question: SourceQuestion
    auc: Estimate
    levels: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class SiteResult:
    """Of one column in one set: the AUC of the levels alone for the label, NaN where `why_not` says why; and
    what each source tells of the levels.
    """

    alone: Estimate
    why_not: str
    told: tuple[Told, ...]


def ask(
    questions: Sequence[SiteQuestion], plan: Resampling, progress: Progress | None = None
) -> list[SiteResult]:
    """The answers in the questions' order. All classifiers are trained together, by several processes;
    `progress` is told of each.
    """
    probes = [probe for question in questions for probe in question.all_probes]
    jobs = [(probe, plan.seed + n) for probe in probes for n in range(PARTITIONS)]
    found = iter(in_order(_cross_validated, jobs, progress=progress))
    results = []
    for question in questions:
        areas = map(_area_of, question.all_probes, zip(*[found] * PARTITIONS))
        results.append(_result(question, areas, plan))
    return results


def _cross_validated(job: tuple[Probe, int]) -> tuple[np.ndarray, np.ndarray]:
    """Logits (k,) of a probe's cases and their folds, named by the seed too."""
    probe, seed = job
    logits, folds = cross_validated_logits(probe.features, probe.positive, probe.patients, seed % 2**32)
    return logits, np.array([f"{seed}/{fold}" for fold in folds])


def _area_of(probe: Probe, found: Sequence[tuple[np.ndarray, np.ndarray]]) -> _Area:
    logits = np.concatenate([logits for logits, _ in found])
    folds = np.concatenate([folds for _, folds in found])
    area = auc_of_weights(np.tile(probe.positive, len(found)), logits, folds)
    return lambda weights: area(np.tile(weights[:, probe.rows], len(found)))


def _result(question: SiteQuestion, areas: Iterator[_Area], plan: Resampling) -> SiteResult:
    alone = Estimate(math.nan)
    if question.alone:
        alone = _estimate(next(areas), question.labels, question.patients, plan)
    told = []
    for source in question.sources:
        by_status: dict[str, dict[str, _Area]] = {}
        for status, probes in source.probes.items():
            by_status[status] = {level: next(areas) for level in probes}
        told.append(_told(source, by_status, question.patients, plan))
    return SiteResult(alone, question.why_not, tuple(told))


def _told(
    source: SourceQuestion,
    areas: Mapping[str, Mapping[str, _Area]],
    patients: np.ndarray,
    plan: Resampling,
) -> Told:
    if not areas:
        return Told(source, Estimate(math.nan), {})
    shares = np.array([source.n[status] for status in areas], float)

    def macro(weights: np.ndarray) -> np.ndarray:
        of_statuses = []
        for by_level in areas.values():
            of_levels = np.column_stack([area(weights) for area in by_level.values()])
            of_statuses.append(_mean_defined(of_levels))
        return _mean_defined(np.column_stack(of_statuses), shares)

    once = np.ones((1, len(patients)))
    levels: dict[str, dict[str, float]] = {}
    for status, by_level in areas.items():
        levels[status] = {level: float(area(once)[0]) for level, area in by_level.items()}
    # Of no class: a resample without a level still tells of the others.
    return Told(source, _estimate(macro, np.zeros(len(patients)), patients, plan), levels)


def _mean_defined(values: np.ndarray, shares: np.ndarray | None = None) -> np.ndarray:
    """The means (b,) of the columns that are defined in values (b, k), each with its share (k,)."""
    weights = ~np.isnan(values) * (1 if shares is None else shares)
    with np.errstate(invalid="ignore"):
        return (np.nan_to_num(values) * weights).sum(axis=1) / weights.sum(axis=1)


def _estimate(statistic: _Area, classes: np.ndarray, patients: np.ndarray, plan: Resampling) -> Estimate:
    def column(weights: np.ndarray) -> np.ndarray:
        return statistic(weights)[:, None]

    resampled, redrawn = bootstrap(column, classes, plan, patients)
    sample = column(np.ones((1, len(classes))))[0]
    return estimates(("auc",), sample, resampled, redrawn).estimates["auc"]
