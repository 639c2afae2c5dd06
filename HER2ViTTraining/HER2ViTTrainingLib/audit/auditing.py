"""The audit as a whole: every part of it, for each set with both classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from HER2ViTTrainingLib.evaluation.judging import SetResult, evaluate
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.stats.resampling import Resampling

from .inputs import AuditedSet, AuditInput
from .sites import SiteResult, ask, site_question
from .sizes import SizeResult, size_alone
from .subgroups import SubgroupResult, subgroup_result


@dataclass(frozen=True)
class ColumnAudit:
    """One column in one set: which values were pooled, how many cases have none, site and subgroups."""

    pooled: tuple[str, ...]
    missing: int
    site: SiteResult
    subgroups: SubgroupResult


@dataclass(frozen=True)
class SetAudit:
    """One set: judged as a whole, its sizes by column (None: not in cases of both classes), its columns."""

    audited: AuditedSet
    overall: SetResult
    sizes: Mapping[str, SizeResult | None]
    columns: Mapping[str, ColumnAudit]


@dataclass(frozen=True)
class Audit:
    """All sets, what they were audited by, and how."""

    about: AuditInput
    sets: tuple[SetAudit, ...]
    notes: tuple[str, ...]
    plan: Resampling


def audit(about: AuditInput, plan: Resampling, progress: Progress | None = None) -> Audit:
    """Audits every set; `progress` is told of each classifier that is trained."""
    evaluation = evaluate(about.predictions, plan)
    judged: dict[tuple[str, str, str], SetResult] = {}
    for column, level, result in evaluation.subgroups:
        judged[result.cases.name, column, level] = result
    asked = [(one, column) for one in about.sets for column in about.columns]
    answers = iter(ask([site_question(one, column) for one, column in asked], plan, progress))
    sets = []
    for one, overall in zip(about.sets, evaluation.sets):
        columns = {}
        for column in about.columns:
            levels = {level: judged[one.cases.name, column, level] for level in one.levels(column)}
            columns[column] = ColumnAudit(
                tuple(one.pooled(column)),
                one.missing(column),
                next(answers),
                subgroup_result(one, column, levels, about.sets, plan),
            )
        sizes = {size: size_alone(one, size, plan) for size in one.sizes}
        sets.append(SetAudit(one, overall, sizes, columns))
    return Audit(about, tuple(sets), evaluation.notes, plan)
