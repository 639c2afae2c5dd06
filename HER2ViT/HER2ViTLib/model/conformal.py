"""Which statuses a reading cannot exclude: class-conditional conformal prediction (Vovk, JMLR 2012) on the
three probabilities of two bundles together; without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError

STATUSES = (HER2Status.ZERO.value, HER2Status.LOW.value, HER2Status.POSITIVE.value)
MAX_CALIBRATION_CASES = 10_000_000
_CURE = "get the bundle anew"


@dataclass(frozen=True)
class StatusCutoff:
    """One status: it is excluded where its probability is below `cutoff`, which is 0 where the `n`
    calibration cases of the status were too few to ever exclude it.

    `coverage_low` and `coverage_high`: the 5th and 95th percentile of the share of cases of the status that
    keep it, over calibration sets of that size.
    """

    cutoff: float
    n: int
    coverage_low: float
    coverage_high: float


@dataclass(frozen=True)
class Conformal:
    """What a bundle knows, together with its partner, of what it can tell: per status a cut-off that cases of
    the status reach with probability `level` or more.

    `partner` names the scores of the other bundle (`Bundle.scores_sha256`): with any other the cut-offs mean
    nothing. `cases_sha256` names the calibration cases.
    """

    level: float
    statuses: Mapping[str, StatusCutoff]
    partner: str
    cases_sha256: str

    def call_set(self, probabilities: Mapping[str, float]) -> tuple[str, ...]:
        """The statuses that cannot be excluded, zero first; none for a case unlike all calibration cases."""
        return tuple(status for status, of in self.statuses.items() if probabilities[status] >= of.cutoff)

    def to_json(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "statuses": {
                status: {
                    "cutoff": of.cutoff,
                    "n": of.n,
                    "coverage": [of.coverage_low, of.coverage_high],
                }
                for status, of in self.statuses.items()
            },
            "partner": self.partner,
            "cases_sha256": self.cases_sha256,
        }


def conformal_from_json(data: Any) -> Conformal | None:
    """The conformal part of a config, None without one. Raises `InputError` for what is none."""
    if data is None:
        return None
    try:
        statuses = {status: _status(data["statuses"][status]) for status in STATUSES}
        level = _share(data["level"])
        partner = _hash(data["partner"])
        cases = _hash(data["cases_sha256"])
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"config.json: the conformal part is damaged ({error}); {_CURE}") from error
    return Conformal(level, statuses, partner, cases)


def _status(data: Any) -> StatusCutoff:
    low, high = data["coverage"]
    n = data["n"]
    if type(n) is not int or not 0 <= n <= MAX_CALIBRATION_CASES:
        raise ValueError("n is no number of cases")
    return StatusCutoff(_share(data["cutoff"]), n, _share(low), _share(high))


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError("a share is outside 0-1")
    return float(value)


def _hash(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError("a hash is none")
    return value
