"""What Slicer's DICOM module is offered of a study: its DCE-MRI, with its times, as one thing to load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from HER2ViTLib.messages import InputError

MIN_PHASES = 2
BREAST_WORDS = ("breast", "mamm", "brust", "mama", "sein", "senolog")
"""What headers call the breast, in the languages that scanners speak."""
SURE = 0.9
"""More than Slicer's own reader of volumes claims (0.5), so that the sequence is what is ticked."""
DOUBTFUL = 0.2
"""Of an examination that does not say that it is of the breast: offered, not ticked."""


@dataclass(frozen=True)
class DicomOffer:
    """A DCE-MRI to load: its files, what it is called, what is said of it beside the name and as a warning,
    and how likely it is what the user wants (0-1).
    """

    files: tuple[Path, ...]
    name: str
    tool_tip: str
    warning: str
    confidence: float


def dicom_offer(files: Sequence[Path], description: str) -> DicomOffer | None:
    """The DCE-MRI among the MR files of one study, None where there is none of at least `MIN_PHASES` phases.
    `description`: what the headers call body part, study and series.
    """
    from HER2ViTLib.dicom.series import dce_in_files  # pydicom takes its time to import

    try:
        found = dce_in_files(files)
    except InputError:
        return None  # the commands say why; here it is one of many kinds of study
    if len(found.starts_s) < MIN_PHASES:
        return None
    is_breast = any(word in description.lower() for word in BREAST_WORDS)
    return DicomOffer(
        files=found.files,
        name=f"DCE-MRI, {len(found.starts_s)} phases",
        tool_tip=_times_text(found.starts_s, found.contrast_start_s),
        warning="; ".join(warning.text for warning in found.warnings),
        confidence=SURE if is_breast else DOUBTFUL,
    )


def _times_text(starts_s: Sequence[float | None], contrast_start_s: float | None) -> str:
    known = [start for start in starts_s if start is not None]
    if len(known) < len(starts_s):
        return "times of the phases unknown"
    zero = known[0] if contrast_start_s is None else contrast_start_s
    since = "the first phase" if contrast_start_s is None else "contrast"
    listed = ", ".join(f"{start - zero:.0f}" for start in known)
    return f"phases start {listed} s after {since}; one sequence with these times, as her2vit reads them"
