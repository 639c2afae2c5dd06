"""The statuses that readings cannot exclude, against the reference standard: does each status keep its
coverage, and how much is told?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from HER2ViTLib.model.conformal import STATUSES
from HER2ViTLib.reading.readings_table import NONE_LEFT
from HER2ViTTrainingLib.pages.texts import estimate_text
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import Resampling, bootstrap, estimates
from HER2ViTTrainingLib.tables.cells import Row, as_number
from HER2ViTTrainingLib.tables.faults import Faults

_NAMES = (*(f"coverage_{status}" for status in STATUSES), "mean_size", "told")


@dataclass(frozen=True)
class CallSets:
    """Which of zero, low and positive each reading leaves (n, 3) bool, and at which coverage it was made."""

    left: np.ndarray
    level: float

    def part(self, chosen: np.ndarray) -> CallSets:
        """Of the chosen readings (n,) bool."""
        return CallSets(self.left[chosen], self.level)

    @property
    def told(self) -> np.ndarray:
        """Which readings leave one status (n,) bool."""
        return self.left.sum(axis=1) == 1


def read_call_sets(rows: Sequence[Row], faults: Faults) -> CallSets | None:
    """From columns `call_set` and `coverage` of a readings file; None where no row has them. What is no set
    of statuses, or no level, or another one than in the first row goes to `faults`.
    """
    if not any(row["call_set"] for row in rows):
        return None
    left = np.zeros((len(rows), len(STATUSES)), bool)
    level = as_number(rows[0]["coverage"])
    for n, row in enumerate(rows):
        names = [] if row["call_set"] == NONE_LEFT else row["call_set"].split(";")
        if set(names) - set(STATUSES):
            what = "is neither none nor statuses joined by ; give the readings of a batch as they are"
            faults.note(row, "call_set", what)
            continue
        if as_number(row["coverage"]) != level or not 0 < level < 1:
            what = "is not one level for all readings; give the readings of one pair of bundles"
            faults.note(row, "coverage", what)
        left[n] = [status in names for status in STATUSES]
    return CallSets(left, level)


@dataclass(frozen=True)
class CallSetResult:
    """The share of each status whose readings keep it; the mean number of statuses left; the share of
    readings that leave one (`told`): each with its interval. `sizes` counts the readings by the number of
    statuses left, 0 to 3.
    """

    level: float
    n: Mapping[str, int]
    coverage: Mapping[str, Estimate]
    mean_size: Estimate
    told: Estimate
    sizes: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "classes": {
                status: {"n": self.n[status], "coverage": asdict(of)} for status, of in self.coverage.items()
            },
            "mean_size": asdict(self.mean_size),
            "told": asdict(self.told),
            "sizes": {str(size): count for size, count in enumerate(self.sizes)},
        }

    def lines(self) -> list[str]:
        """In plain lines, for the screen."""
        lines = [
            f"coverage of {status} {estimate_text(of)}, of {self.n[status]}; wanted {self.level:g}"
            for status, of in self.coverage.items()
        ]
        none, one, two, three = self.sizes
        lines.append(
            f"statuses left: {estimate_text(self.mean_size)} on average; one in {one} readings, two in {two},"
            f" three in {three}, none in {none}"
        )
        return lines


def judge_call_sets(
    truth: np.ndarray, sets: CallSets, plan: Resampling, patients: np.ndarray | None = None
) -> CallSetResult:
    """Of readings with truths (n,) as index into STATUSES. Percentile bootstrap intervals; NaN for the
    coverage of a status that no case has.
    """
    of_status = np.eye(len(STATUSES))[truth]
    kept = of_status * sets.left
    size = sets.left.sum(axis=1)
    columns = np.column_stack([kept, of_status, size, size == 1]).astype(float)

    def statistic(weights: np.ndarray) -> np.ndarray:
        totals = weights @ columns
        with np.errstate(divide="ignore", invalid="ignore"):
            coverage = totals[:, :3] / totals[:, 3:6]
        return np.column_stack([coverage, totals[:, 6:] / weights.sum(axis=1, keepdims=True)])

    resampled, redrawn = bootstrap(statistic, truth, plan, patients)
    sample = statistic(np.ones((1, len(truth))))[0]
    found = estimates(_NAMES, sample, resampled, redrawn).estimates
    return CallSetResult(
        level=sets.level,
        n=dict(zip(STATUSES, of_status.sum(axis=0).astype(int).tolist())),
        coverage={status: found[f"coverage_{status}"] for status in STATUSES},
        mean_size=found["mean_size"],
        told=found["told"],
        sizes=tuple(np.bincount(size, minlength=4).tolist()),
    )
