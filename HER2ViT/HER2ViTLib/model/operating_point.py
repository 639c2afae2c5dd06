"""What a threshold means: how many cases of a set it called rightly, and on which cases that was counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from HER2ViTLib.her2 import Task
from HER2ViTLib.messages import InputError

from .config_file import CONFIG_FILE, number_of

EXTERNAL = "external"
OUT_OF_FOLD = "out-of-fold"
VALIDATION = "validation"
KINDS = (EXTERNAL, OUT_OF_FOLD, VALIDATION)
"""Which cases were counted, the most telling first: of another cohort; held out from this model; those that
the threshold was chosen on, which makes it look better than it is.
"""
_Z_95 = NormalDist().inv_cdf(0.975)
_MAX_CASES = 10**9
_MAX_NAME = 100


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share, `successes` of `n` > 0 (Wilson, J Am Stat Assoc 1927;22:209)."""
    share = successes / n
    scale = 1 + _Z_95**2 / n
    centre = (share + _Z_95**2 / (2 * n)) / scale
    reach = _Z_95 / scale * math.sqrt(share * (1 - share) / n + _Z_95**2 / (4 * n**2))
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class Rate:
    """A sensitivity or specificity: `right` of `n` cases of the class."""

    right: int
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "no such case"
        low, high = wilson_interval(self.right, self.n)
        return f"{self.right / self.n:.0%} ({self.right} of {self.n}; 95 % interval {low:.0%} to {high:.0%})"

    def to_json(self) -> dict[str, Any]:
        if not self.n:
            return {"right": 0, "n": 0, "value": None, "low": None, "high": None}
        low, high = wilson_interval(self.right, self.n)
        return {"right": self.right, "n": self.n, "value": self.right / self.n, "low": low, "high": high}


@dataclass(frozen=True)
class OperatingPoint:
    """What a model's threshold gave on a set of cases that it was not trained on: its sensitivity for the
    task's target, its specificity. `kind` is one of `KINDS`.
    """

    set_name: str
    kind: str
    sensitivity: Rate
    specificity: Rate

    @property
    def optimistic(self) -> bool:
        """Whether the threshold was chosen on these very cases."""
        return self.kind == VALIDATION

    @property
    def n(self) -> int:
        return self.sensitivity.n + self.specificity.n

    def to_json(self) -> dict[str, Any]:
        """As a bundle and a reading's JSON hold it; value and interval are for who reads the file."""
        return {
            "cases": self.kind,
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
        }


def operating_point_of(set_name: str, content: Any) -> OperatingPoint:
    """An operating point as `to_json` wrote it. Raises `InputError` for anything else."""
    kind = content.get("cases") if isinstance(content, dict) else None
    if kind not in KINDS or not set_name.isprintable() or len(set_name) > _MAX_NAME:
        raise InputError(
            f"{CONFIG_FILE}: operating point {set_name[:60]!r} of cases {kind!r}; they must be"
            f" {', '.join(KINDS)}: get the bundle anew"
        )
    return OperatingPoint(
        set_name,
        kind,
        sensitivity=_rate(content.get("sensitivity"), f"sensitivity of {set_name}"),
        specificity=_rate(content.get("specificity"), f"specificity of {set_name}"),
    )


def _rate(content: Any, what: str) -> Rate:
    counts = content if isinstance(content, dict) else {}
    n = number_of({what: counts.get("n")}, what, 0, _MAX_CASES)
    right = number_of({what: counts.get("right")}, what, 0, n)
    if n != int(n) or right != int(right):
        raise InputError(f"{CONFIG_FILE}: {what} must be whole numbers of cases; get the bundle anew")
    return Rate(int(right), int(n))


def most_telling(points: Sequence[OperatingPoint]) -> OperatingPoint | None:
    """Of several operating points of one model that of cases furthest from its making, and of these the one
    with most cases; None of none.
    """
    return min(points, key=lambda point: (KINDS.index(point.kind), -point.n), default=None)


def threshold_meaning(task: Task, point: OperatingPoint | None) -> str:
    """In words how often a task's threshold is right, and on which cases that was counted."""
    if point is None:
        return "unknown how often it is right: the model does not say"
    cases = {
        EXTERNAL: f"on external cases ({point.set_name})",
        OUT_OF_FOLD: "on cases held out from this model",
        VALIDATION: "optimistic, since counted on the cases that it was chosen on",
    }[point.kind]
    return f"sensitivity for {task.target_name} {point.sensitivity}, specificity {point.specificity}; {cases}"
