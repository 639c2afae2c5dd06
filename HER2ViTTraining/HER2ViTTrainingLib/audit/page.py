"""The page of an audit: its tables, put together with what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from HER2ViTTrainingLib.cohort.folds import MIN_FOLD_CASES
from HER2ViTTrainingLib.evaluation.judging import OPTIMISM_NOTICE
from HER2ViTTrainingLib.pages.html import html_page
from HER2ViTTrainingLib.pages.texts import estimate_text, p_text, with_decimals

from . import sentences
from .auditing import Audit, SetAudit
from .measures import SIZES
from .sites import MIN_PATIENTS, PARTITIONS, Told
from .subgroups import MIN_CLASS_PATIENTS, LevelResult

NO_SIZE = "not there in cases of both classes"
_SIZE_COLUMNS = (
    "size",
    "cases",
    "AUC as it is",
    "direction here",
    "AUC in that direction",
    "AUC of the score",
    "score minus size",
    "p",
    "by",
)


def audit_html(audit: Audit, pictures: Mapping[str, bytes], versions: Mapping[str, str]) -> bytes:
    """The self-contained page, with pictures (name to PNG). All texts are escaped."""
    return html_page(
        "audit.html",
        pictures,
        audit=audit,
        sets=[_set(one) for one in audit.sets],
        sentences=sentences,
        exploratory=sentences.exploratory(audit),
        optimism=OPTIMISM_NOTICE,
        versions=versions,
        partitions=PARTITIONS,
        min_patients=MIN_PATIENTS,
        min_class_patients=MIN_CLASS_PATIENTS,
        min_cases=MIN_FOLD_CASES,
    )


def _set(one: SetAudit) -> dict[str, Any]:
    audited = one.audited
    return {
        "name": audited.cases.name,
        "n": len(audited.first),
        "positive": int(audited.cases.labels[audited.first].sum()),
        "patients": len(set(audited.patients.tolist())),
        "auc": estimate_text(one.overall.metrics.estimates["auc"]),
        "optimistic": sentences.optimistic(one),
        "size": _size_rows(one),
        "alone": _alone_rows(one),
        "told": _told_rows(one),
        "levels": _level_rows(one),
        "heterogeneity": _heterogeneity_rows(one),
        "trained_on": [sentences.trained_on(one, column) for column in one.columns],
        "left_out": _left_out(one),
        "notes": one.overall.notes,
    }


def _size_rows(one: SetAudit) -> list[dict[str, str]]:
    rows = []
    for name, size in one.sizes.items():
        if size is None:
            rows.append({**dict.fromkeys(_SIZE_COLUMNS, ""), "size": f"{SIZES[name]}: {NO_SIZE}"})
            continue
        test = size.comparison
        left_out = f" ({size.left_out} without)" if size.left_out else ""
        rows.append(
            {
                "size": SIZES[name],
                "cases": f"{size.n}{left_out}",
                "AUC as it is": estimate_text(size.auc),
                "direction here": size.direction,
                "AUC in that direction": with_decimals(test.other_auc, 2),
                "AUC of the score": with_decimals(test.auc, 2),
                "score minus size": estimate_text(test.difference),
                "p": p_text(test.p) or "no test",
                "by": size.method,
            }
        )
    return rows


def _alone_rows(one: SetAudit) -> list[dict[str, str]]:
    auc = estimate_text(one.overall.metrics.estimates["auc"])
    rows = []
    for name, column in one.columns.items():
        alone = column.site.why_not or estimate_text(column.site.alone)
        rows.append(
            {"column": name, "levels": str(len(column.subgroups.levels)), "AUC of it alone": alone}
            | {"AUC of the score": auc}
        )
    return rows


def _told_rows(one: SetAudit) -> list[dict[str, str]]:
    rows = []
    for name, column in one.columns.items():
        for told in column.site.told:
            asked = told.question
            within = ", ".join(f"{status} ({n})" for status, n in asked.n.items())
            rows.append(
                {"told": name, "by": asked.source, "AUC": asked.why_not or estimate_text(told.auc)}
                | {"within (cases)": within, "each level": _levels_text(told), "too few patients": _few(told)}
            )
    return rows


def _levels_text(told: Told) -> str:
    parts = []
    for status, levels in told.levels.items():
        listed = ", ".join(f"{level} {auc:.2f}" for level, auc in levels.items())
        parts.append(f"{status}: {listed}")
    return "; ".join(parts)


def _few(told: Told) -> str:
    parts = [f"{status}: {', '.join(levels)}" for status, levels in told.question.too_few.items() if levels]
    return "; ".join(parts)


def _level_rows(one: SetAudit) -> list[dict[str, str]]:
    calibrated = one.audited.cases.are_probabilities
    rows = []
    for name, column in one.columns.items():
        for level in column.subgroups.levels:
            rows.append(_level_row(name, level, calibrated))
    return rows


def _level_row(column: str, level: LevelResult, calibrated: bool) -> dict[str, str]:
    metrics = level.result.metrics.estimates
    row = {
        "column": column,
        "level": level.level,
        "n (positive)": f"{level.n} ({level.positive})",
        "AUC": estimate_text(metrics["auc"]),
        "sensitivity": estimate_text(metrics["sensitivity"]),
        "specificity": estimate_text(metrics["specificity"]),
    }
    if calibrated:
        row["predicted"] = with_decimals(level.predicted, 2)
    row["observed"] = estimate_text(level.prevalence)
    if calibrated:
        row["intercept"] = estimate_text(level.line.intercept) if level.line else ""
        row["slope"] = estimate_text(level.line.slope) if level.line else ""
    return row


def _heterogeneity_rows(one: SetAudit) -> list[dict[str, str]]:
    rows = []
    for name, column in one.columns.items():
        test = column.subgroups.heterogeneity
        left_out = [f"{level} ({why})" for level, why in column.subgroups.left_out.items()]
        rows.append(
            {
                "column": name,
                "Q": f"{test.q:.2f}" if test else "fewer than two levels to compare",
                "df": str(test.df) if test else "",
                "p": p_text(test.p) if test else "",
                "I2": f"{test.i2:.0%}" if test else "",
                "left out": ", ".join(left_out),
            }
        )
    return rows


def _left_out(one: SetAudit) -> list[str]:
    """What the levels leave out, and which values they put together."""
    lines = []
    for name, column in one.columns.items():
        if column.missing:
            lines.append(f"{name}: {column.missing} cases have none and are left out of its tables")
        if column.pooled:
            few = f"which have fewer than {MIN_FOLD_CASES} cases each"
            lines.append(f"{name}: pooled are {', '.join(column.pooled)}, {few}")
    return lines
