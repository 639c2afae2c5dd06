"""What is said of an import: who is in, who is not and why, counts, early phases: `import.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from HER2ViTLib import __version__
from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.cohort.columns import COUNTED_STATUSES
from HER2ViTTrainingLib.tables.grouping import grouped

from .data_set import PublicCase, PublicData
from .early_phases import BY_SOURCE, BY_TIME, WHEN_READ, expected_phase
from .her2_states import ISPY2

NOT_STATED = "not stated"
STATUSES = tuple(status.value for status in COUNTED_STATUSES)


def summary(source: str, data: PublicData, manifest_sha256: str) -> dict[str, Any]:
    """All that the page shows, as plain data."""
    return {
        "source": source,
        "title": data.terms.title,
        "licence": data.terms.licence,
        "url": data.terms.url,
        "citations": data.terms.citations,
        "notes": data.notes,
        "cases": len(data.cases),
        "included": sum(not case.reason for case in data.cases),
        "excluded": _excluded(data.cases),
        "her2_status": counts(data.cases),
        "by": {"cohort": _counts_by(data.cases, lambda case: case.cohort), **_by_subgroup(data.cases)},
        "her2_states": _states(data),
        "phase_times": {
            "given": sum(bool(case.phase_times_s) for case in data.cases),
            "left_empty": dict(Counter(case.no_times for case in data.cases if not case.phase_times_s)),
        },
        "early_phase": _early_phases(data.cases),
        "manifest_sha256": manifest_sha256,
        "inputs": [{"role": role, "sha256": digest} for role, digest in data.inputs],
        "versions": {"her2vit": __version__},
        "notice": RESEARCH_NOTICE,
    }


def _excluded(cases: Sequence[PublicCase]) -> list[dict[str, Any]]:
    """Why cases are out, and which; the commonest reason first."""
    groups = grouped((case for case in cases if case.reason), lambda case: case.reason)
    rows = []
    for reason, left_out in groups.items():
        ids = [case.case_id for case in left_out]
        rows.append({"reason": reason, "n": len(ids), "cases": ids})
    return sorted(rows, key=lambda row: (-row["n"], row["reason"]))


def counts(cases: Iterable[PublicCase]) -> dict[str, int]:
    """Cases of the source by HER2 status, those without one of these, and how many are in."""
    cases = list(cases)
    found = Counter(case.status.value if case.status else "" for case in cases)
    by_status = {status: found[status] for status in STATUSES}
    others = len(cases) - sum(by_status.values())
    return {**by_status, "other": others, "n": len(cases), "included": sum(not case.reason for case in cases)}


def _counts_by(cases: Sequence[PublicCase], column: Callable[[PublicCase], str]) -> dict[str, dict[str, int]]:
    groups = grouped(cases, lambda case: column(case) or NOT_STATED)
    return {name: counts(groups[name]) for name in sorted(groups)}


def _by_subgroup(cases: Sequence[PublicCase]) -> dict[str, dict[str, dict[str, int]]]:
    return {
        "site": _counts_by(cases, lambda case: case.details.get("site", "")),
        "vendor": _counts_by(cases, lambda case: case.details.get("vendor", "")),
        "field_strength": _counts_by(cases, lambda case: case.details.get("field_strength", "")),
    }


def _states(data: PublicData) -> dict[str, Any] | None:
    """What the join with the published states found in I-SPY 2; `left` says why rows stayed as they were."""
    join = data.join
    if join is None:
        return None
    return {
        "cases": join.cases,
        "joined": join.known.total(),
        **{status: join.known[status] for status in ("zero", "low", "positive")},
        "left": dict(join.left),
        "without_case": join.without_case,
        "by": _by_subgroup([case for case in data.cases if case.cohort.startswith(ISPY2)]),
    }


def _early_phases(cases: Sequence[PublicCase]) -> list[dict[str, Any]]:
    """The early phases to expect and their times, by data set and site."""
    groups = grouped(cases, lambda case: (case.cohort, case.details.get("site", "") or NOT_STATED))
    return [{"cohort": key[0], "site": key[1], **_expected(groups[key])} for key in sorted(groups)]


def _expected(cases: Sequence[PublicCase]) -> Mapping[str, Any]:
    found = [expected_phase(case) for case in cases]
    rules = Counter(one.rule for one in found)
    indices = Counter(one.index for one in found if one.index is not None)
    times = [one.time_s for one in found if one.time_s is not None]
    return {
        "n": len(cases),
        "by_time": rules[BY_TIME],
        "by_source": rules[BY_SOURCE],
        "when_read": rules[WHEN_READ],
        "phases": {str(index): indices[index] for index in sorted(indices)},
        "time_s": {"median": median(times), "lowest": min(times), "highest": max(times)} if times else None,
    }
