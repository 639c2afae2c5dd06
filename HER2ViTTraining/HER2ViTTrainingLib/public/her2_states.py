"""The HER2 states of I-SPY 2 patients as published, joined to a data set that knows positive and negative
only.

Source: the I-SPY 2 consortium's biomarkers, Wolf DM et al., Redefining breast cancer subtypes to guide
treatment prioritization and maximize response: predictive biomarkers across 10 cancer therapies, Cancer Cell
2022;40(6):609-623.e6, doi:10.1016/j.ccell.2022.05.005; GEO GSE194040. Layout: CSV, one row a patient;
`patientid`, the number at the end of the image data's ids; the state in `HER2 3-state (3)`, which R writes as
`HER2.3.state..3.`: `HER2=0`, `HER2low`, `HER2+`, or `NA` for a HER2-negative tumour that is not told apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from HER2ViTLib.her2 import HER2Status
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import Table, read_table

from .workbooks import require_published

CITATION = (
    "Wolf DM, Yau C, Wulfkuhle J, et al. Redefining breast cancer subtypes to guide treatment prioritization"
    " and maximize response: Predictive biomarkers across 10 cancer therapies. Cancer Cell"
    " 2022;40(6):609-623.e6. doi:10.1016/j.ccell.2022.05.005 (HER2 states; GEO GSE194040)"
)
ISPY2 = "ISPY2"
"""How the cohorts of I-SPY 2 begin in our manifests."""
STATES = {
    "her2=0": HER2Status.ZERO,
    "her2low": HER2Status.LOW,
    "her2+": HER2Status.POSITIVE,
    "": None,
}
NOT_KNOWN = "state not known (NA)"
NOT_LISTED = "patient not in the table of states"


@dataclass
class Join:
    """What the join found among the rows of I-SPY 2: how many states are `known`, by status; how many rows
    were `left` as they were, by reason; how many patients of the table are `without_case`.
    """

    known: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    without_case: int = 0

    @property
    def cases(self) -> int:
        """The rows of I-SPY 2."""
        return self.known.total() + self.left.total()


class HER2States:
    """The table of states, by patient number. Raises `InputError` for missing columns, a state that is none,
    a patient twice.
    """

    def __init__(self, path: Path) -> None:
        self.table = read_table(path)
        self.join = Join()
        self._column = _state_column(self.table)
        self._rows = self._by_number()
        self.join.without_case = len(self._rows)

    def _by_number(self) -> Mapping[str, Row]:
        faults = Faults(self.table.path)
        rows: dict[str, Row] = {}
        for row in self.table.rows:
            number = patient_number(row["patientid"])
            if row[self._column].lower() not in STATES:
                what = "is no state; use HER2=0, HER2low, HER2+ or NA"
                faults.note(row, self._column, what)
            if not number:
                what = "has no number at its end; give the patient's number"
                faults.note(row, "patientid", what)
            elif number in rows:
                what = f"is the patient of row {rows[number].number} already; keep one row a patient"
                faults.note(row, "patientid", what)
            else:
                rows[number] = row
        faults.raise_any()
        return rows

    def status(
        self, row: Row, id_column: str, her2_column: str, binary: HER2Status | None, faults: Faults
    ) -> HER2Status | None:
        """The status of a patient of I-SPY 2: the state where it is known, else the binary one as it was. A
        contradiction of the two goes to `faults`, naming both rows.
        """
        number = patient_number(row[id_column])
        ours = self._rows.get(number)
        if ours is None:
            self.join.left[_still(NOT_LISTED, binary)] += 1
            return binary
        self.join.without_case -= 1
        state = STATES[ours[self._column].lower()]
        if state is None:
            self.join.left[_still(NOT_KNOWN, binary)] += 1
            return binary
        if binary is not None and not binary.fits(state):
            what = (
                f"contradicts {ours[self._column]!r} in row {ours.number} of {self.table.path.name}; correct"
                f" one of them (patient {number})"
            )
            faults.note(row, her2_column, what)
            return binary
        self.join.known[state.value] += 1
        return state


def _still(reason: str, binary: HER2Status | None) -> str:
    return f"{reason}: stays {binary.value}" if binary else f"{reason}: HER2 status missing"


def _state_column(table: Table) -> str:
    require_published(table, "patientid")
    fitting = [name for name in table.columns if re.sub("[^a-z0-9]", "", name.lower()) == "her23state3"]
    if len(fitting) != 1:
        raise InputError(
            f"{table.path}: column 'HER2.3.state..3.' is missing; give the consortium's table as it is"
            " published"
        )
    return fitting[0]


def patient_number(patient: str) -> str:
    """The number at the end of an id: `100899` of ISPY2_100899 and ACRIN-6698-100899."""
    found = re.search(r"\d+$", patient)
    return found[0] if found else ""
