"""HER2 status: the reference standard, the questions models are trained for, and the two-step call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .messages import InputError


class HER2Status(StrEnum):
    """HER2 status of a tumour; indeterminate where IHC 2+ has no clear ISH result, negative where zero and
    low are not told apart.
    """

    ZERO = "zero"
    LOW = "low"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    INDETERMINATE = "indeterminate"

    def fits(self, by_ihc: HER2Status) -> bool:
        """Whether a status as given fits that by IHC and ISH: `negative` fits zero and low."""
        told_apart = (HER2Status.ZERO, HER2Status.LOW)
        return self == by_ihc or (self is HER2Status.NEGATIVE and by_ihc in told_apart)


IHC_SCORES = ("0", "1+", "2+", "3+")
ISH_RESULTS = ("positive", "negative", "equivocal", "")


def ihc_score(text: str) -> str:
    """The IHC score in its standard spelling; 1, 2 and 3 stand for 1+, 2+ and 3+. Raises `InputError` for
    anything else.
    """
    score = str(text).strip()
    if score in ("1", "2", "3"):
        score += "+"
    if score not in IHC_SCORES:
        reason = "not a score; use 0, 1+, 2+ or 3+"
        raise InputError(f"ihc {text!r}: {reason}", reason)
    return score


def ish_result(text: str | None) -> str:
    """The ISH result in its standard spelling; None and blank stand for not done. Raises `InputError` for
    anything else.
    """
    result = (text or "").strip().lower()
    if result not in ISH_RESULTS:
        reason = "not a result; use positive, negative, equivocal or leave it empty"
        raise InputError(f"ish {text!r}: {reason}", reason)
    return result


def her2_status(ihc: str, ish: str | None = None) -> HER2Status:
    """HER2 status of a surgical specimen by ASCO/CAP (Wolff et al., J Clin Oncol 2018), with HER2-low as the
    study defines it.

    Only IHC 2+ asks for ISH; without a clear ISH result it is indeterminate. Raises `InputError` for an
    unknown score or result.
    """
    score = ihc_score(ihc)
    result = ish_result(ish)
    if score == "0":
        return HER2Status.ZERO
    if score == "1+":
        return HER2Status.LOW
    if score == "3+":
        return HER2Status.POSITIVE
    return {"negative": HER2Status.LOW, "positive": HER2Status.POSITIVE}.get(result, HER2Status.INDETERMINATE)


def discordance(ihc: str, ish: str | None = None) -> str | None:
    """One line when IHC and ISH contradict each other (0 or 1+ with positive ISH, 3+ with negative ISH), else
    None.
    """
    score = ihc_score(ihc)
    result = ish_result(ish)
    if (score in ("0", "1+") and result == "positive") or (score == "3+" and result == "negative"):
        return f"IHC {score} with {result} ISH: IHC decides; check the specimen's report"
    return None


@dataclass(frozen=True)
class Task:
    """A question with two answers that a model is trained for.

    `target` are the statuses that label 1 stands for: their probability is the model's score, and they are
    the "positive class" of the metrics, which need not be HER2-positive. `other` are those that label 0
    stands for. A status in neither is not asked about.
    """

    key: str
    name: str
    title: str
    target: tuple[HER2Status, ...]
    other: tuple[HER2Status, ...]

    @property
    def target_name(self) -> str:
        """The target in words, such as "low/positive"."""
        return "/".join(self.target)

    @property
    def other_name(self) -> str:
        """The other side in words, such as "zero"."""
        return "/".join(self.other)

    def label(self, status: HER2Status) -> int | None:
        """1 for the target, 0 for the other side, None for a status the task does not ask about."""
        if status in self.target:
            return 1
        return 0 if status in self.other else None


ZERO_VS_REST = Task(
    key="task1",
    name="zero-vs-rest",
    title="Task 1: HER2-zero vs low/positive",
    target=(HER2Status.LOW, HER2Status.POSITIVE),
    other=(HER2Status.ZERO,),
)
LOW_VS_POSITIVE = Task(
    key="task2",
    name="low-vs-positive",
    title="Task 2: HER2-low vs positive",
    target=(HER2Status.LOW,),
    other=(HER2Status.POSITIVE,),
)
POSITIVE_VS_NEGATIVE = Task(
    key="task3",
    name="positive-vs-negative",
    title="Task 3: HER2-positive vs negative (zero or low)",
    target=(HER2Status.POSITIVE,),
    other=(HER2Status.ZERO, HER2Status.LOW, HER2Status.NEGATIVE),
)
"""For cohorts that do not tell zero from low."""
TASKS = {task.name: task for task in (ZERO_VS_REST, LOW_VS_POSITIVE, POSITIVE_VS_NEGATIVE)}
"""All tasks by name, in the order in which they are shown."""
TWO_STEP = (ZERO_VS_REST, LOW_VS_POSITIVE)
"""The tasks that the two-step call is made from. Any other is read by itself and changes no call."""
NO_CALL = "No call: it needs Task 1 and Task 2"
"""Said of a reading without both."""


def class_probabilities(p_not_zero: float, p_low_if_not_zero: float) -> dict[str, float]:
    """Probabilities of zero, low and positive from the two calibrated scores; they sum to 1."""
    return {
        "zero": 1 - p_not_zero,
        "low": p_not_zero * p_low_if_not_zero,
        "positive": p_not_zero * (1 - p_low_if_not_zero),
    }


def two_step_call(
    p_not_zero: float, threshold1: float, p_low_if_not_zero: float, threshold2: float
) -> HER2Status:
    """The call by the two stored thresholds: zero below the first, else low at or above the second, else
    positive.
    """
    if p_not_zero < threshold1:
        return HER2Status.ZERO
    return HER2Status.LOW if p_low_if_not_zero >= threshold2 else HER2Status.POSITIVE
