"""What every source hands over: its cases as rows of a manifest, its licence, and what it says of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from HER2ViTLib.her2 import HER2Status
from HER2ViTTrainingLib.cohort.columns import DEVELOPMENT

from .her2_states import Join

MANIFEST_COLUMNS = (
    *("case_id", "image", "roi", "her2_status", "cohort", "role", "exclude"),
    *("laterality", "early_phase", "phase_times_s", "site", "vendor", "field_strength"),
    *("age", "menopause", "histology", "grade", "er", "pr"),
    *("rfs_months", "rfs_event", "os_months", "os_event"),
)
ISPY1_IMAGES = (
    "Newitt D, Hylton N. Multi-center breast DCE-MRI data and segmentations from patients in the I-SPY"
    " 1/ACRIN 6657 trials. The Cancer Imaging Archive 2016. doi:10.7937/K9/TCIA.2016.HdHpgJLK"
)
ISPY2_IMAGES = (
    "Li W, Newitt DC, Gibbs J, et al. I-SPY 2 Breast Dynamic Contrast Enhanced MRI Trial (ISPY2). The Cancer"
    " Imaging Archive 2022. doi:10.7937/TCIA.D8Z0-9T85"
)
DUKE_IMAGES = (
    "Saha A, Harowicz MR, Grimm LJ, et al. Dynamic contrast-enhanced magnetic resonance images of breast"
    " cancer patients with tumor locations. The Cancer Imaging Archive 2021. doi:10.7937/TCIA.e3sv-re93"
)
STATUS_MISSING = "HER2 status missing"
INDETERMINATE = "HER2 indeterminate"


@dataclass(frozen=True)
class Terms:
    """Under what terms a data set may be used, and how it is cited."""

    title: str
    licence: str
    url: str
    citations: tuple[str, ...]


@dataclass(frozen=True)
class PublicCase:
    """One patient of a source.

    `image`: the phases in time order, or one DICOM folder; empty where they are not there. `exclude` says
    what of the files is missing. `phase_times_s`: the phases' starts; where there are none, `no_times` says
    why. `details` are further columns of the manifest. `validates` where the source's own split says so.
    """

    case_id: str
    cohort: str
    status: HER2Status | None
    image: tuple[Path, ...] = ()
    roi: Path | None = None
    exclude: str = ""
    role: str = DEVELOPMENT
    early_phase: int | None = None
    phase_times_s: tuple[float, ...] = ()
    no_times: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    validates: bool = False

    @property
    def reason(self) -> str:
        """Why the case is out; empty for one that is in."""
        if self.exclude:
            return self.exclude
        if self.status is None:
            return STATUS_MISSING
        return INDETERMINATE if self.status is HER2Status.INDETERMINATE else ""

    def manifest_row(self, base: Path) -> dict[str, str]:
        """The case's row in a manifest that lies in folder `base`."""
        return {
            "case_id": self.case_id,
            "image": ";".join(_relative(phase, base) for phase in self.image),
            "roi": _relative(self.roi, base) if self.roi else "",
            "her2_status": self.status.value if self.status else "",
            "cohort": self.cohort,
            "role": self.role,
            "exclude": self.exclude,
            "early_phase": "" if self.early_phase is None else str(self.early_phase),
            "phase_times_s": ";".join(f"{start:.10g}" for start in self.phase_times_s),
            **self.details,
        }


@dataclass(frozen=True)
class PublicData:
    """A source as it was read. `inputs`: role and SHA-256 of each table. `has_split`: it brings a split of
    its own. `notes`: what a user should know of it.
    """

    terms: Terms
    cases: tuple[PublicCase, ...]
    inputs: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    join: Join | None = None
    has_split: bool = False


def _relative(path: Path, base: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), base.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
