"""The codes in our DICOM objects: those of DICOM and SNOMED CT by pydicom's dictionaries, and our own, of the
scheme 99HER2VIT; all are listed in `Docs/dicom.md`.

None of them states a HER2 test or a diagnosis: what is predicted from images says so, and is for research.
"""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from HER2ViTLib.her2 import TASKS, HER2Status, Task

SCHEME = "99HER2VIT"

BREAST = codes.SCT.Breast
LESION = codes.SCT.Lesion
ABNORMAL_STRUCTURE = codes.SCT.MorphologicallyAbnormalStructure
SIDES = {"L": codes.SCT.Left, "R": codes.SCT.Right}
"""By DICOM's letter for the laterality."""

SPATIAL_RESAMPLING = codes.cid7203.SpatialResampling
ARTIFICIAL_INTELLIGENCE = codes.cid7162.ArtificialIntelligence
EDGE_DETECTION = codes.cid7162.EdgeDetection
"""What `lesion/outlining` does: the contour is kept that lies on the sharpest edge."""
ALGORITHM_FAMILY = codes.DCM.AlgorithmFamily
SEGMENTATION = codes.cid7203.SegmentationImageDerivation
SOURCE_IMAGE = codes.cid7202.SourceImageForImageProcessingOperation
SALIENCY = codes.DCM.Saliency

AREA = codes.SCT.Area
VOLUME = codes.SCT.Volume
DEVICE = codes.cid270.Device
COMMENT = codes.DCM.Comment
EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
"""The part of a measurement report (TID 1500) for words about the whole of it."""
MRI = codes.cid100.MRIUnspecifiedBodyRegion
"""The nearest of the procedures a measurement report may be of; the breast is its finding site."""
NO_UNITS = codes.UCUM.NoUnits
MM2 = codes.UCUM.SquareMillimeter
MM3 = codes.UCUM.CubicMillimeter

_STATUSES = (HER2Status.ZERO, HER2Status.LOW, HER2Status.POSITIVE)


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, f"{meaning}, research")


PREDICTED_STATUS = _own("STATUS", "Image-predicted HER2 status")
PREDICTED = {
    status.value: _own(status.upper(), f"Image-predicted HER2 status: {status}") for status in _STATUSES
}
"""The values of `PREDICTED_STATUS`, by the call."""
NOT_EXCLUDED = _own("NOT-EXCLUDED", "HER2 status not excluded from images")
"""Of each status that cannot be excluded, with the values of `PREDICTED`."""
PROBABILITY = {
    status.value: _own(f"P-{status.upper()}", f"Image-predicted probability of HER2 {status}")
    for status in _STATUSES
}


def question(task: Task) -> str:
    """What a task asks, in the words of its codes."""
    return f"{task.target_name} vs {task.other_name}"


SCORE = {
    task.key: _own(f"{task.key.upper()}-SCORE", f"Score, HER2 {question(task)}") for task in TASKS.values()
}
"""By task: the calibrated probability of the task's target."""
THRESHOLD = {
    task.key: _own(f"{task.key.upper()}-THRESHOLD", f"Threshold, HER2 {question(task)}")
    for task in TASKS.values()
}
"""By task: from which score on the target is predicted."""
OWN_CODES = (
    PREDICTED_STATUS,
    NOT_EXCLUDED,
    *PREDICTED.values(),
    *PROBABILITY.values(),
    *SCORE.values(),
    *THRESHOLD.values(),
)


def own_scheme() -> CodingSchemeIdentificationItem:
    """What our coding scheme is, for objects that use it."""
    return CodingSchemeIdentificationItem(SCHEME, name="HER2ViT", responsible_organization="HER2ViT")
