"""The HER2 status of a manifest's row: by IHC and ISH, else as it is given."""

from __future__ import annotations

from dataclasses import dataclass

from HER2ViTLib.her2 import HER2Status, discordance, her2_status, ihc_score, ish_result
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults

from .columns import one_of

STATUS_MISSING = "HER2 status missing"
INDETERMINATE = "HER2 indeterminate"
_given_status = one_of(*(status.value for status in HER2Status))


@dataclass(frozen=True)
class ReferenceStandard:
    """The status, None where nothing is known; why a case with it cannot be used, empty where it can; how IHC
    and ISH contradict each other, empty where they do not.
    """

    status: HER2Status | None
    reason: str = ""
    doubt: str = ""


def reference_standard(row: Row, faults: Faults) -> ReferenceStandard:
    """What columns `ihc` and `ish`, or `her2_status`, say of a row.

    What is no score, result or status goes to `faults`, and so does a status that contradicts IHC and ISH.
    """
    ihc = faults.checked(row, "ihc", ihc_score, default="")
    ish = faults.checked(row, "ish", ish_result, default="")
    given = faults.checked(row, "her2_status", _given_status, default="")
    parsed = {"ihc": ihc, "ish": ish, "her2_status": given}
    if any(row[column] and not value for column, value in parsed.items()):
        return ReferenceStandard(None)  # a fault by itself; what follows from it would only be noise
    if not ihc:
        status = HER2Status(given) if given else None
        return ReferenceStandard(status, _why_unusable(status))
    status = her2_status(ihc, ish)
    if given and not HER2Status(given).fits(status):
        what = (
            f"contradicts ihc {row['ihc']!r} with ish {row['ish']!r} ({status.value}); correct one of them,"
            " or leave her2_status empty"
        )
        faults.note(row, "her2_status", what)
    reason = _why_unusable(status)
    if status is HER2Status.INDETERMINATE:
        reason = f"{INDETERMINATE}: IHC 2+ without a clear ISH result"
    return ReferenceStandard(status, reason, discordance(ihc, ish) or "")


def _why_unusable(status: HER2Status | None) -> str:
    if status is None:
        return STATUS_MISSING
    return INDETERMINATE if status is HER2Status.INDETERMINATE else ""
