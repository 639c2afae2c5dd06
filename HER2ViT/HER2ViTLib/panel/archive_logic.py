"""The last reading, saved as DICOM objects into Slicer's DICOM database."""

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import slicer

# Slicer imports this file at start-up: the functions import what is heavy.


class ArchiveLogic:
    """What of the last reading the scene does not hold: the study with the places of its images, the
    outline's mask.
    """

    def __init__(self):
        self._kept: Any = None

    def forget(self):
        self._kept = None

    def keep(self, reading, study, mask, grown):
        """Keeps a reading to save, of the outline `mask` (K, J, I), `grown` from a point or painted."""
        self._kept = SimpleNamespace(reading=reading, study=study, mask=mask, grown=grown)

    def missing(self):
        """Why there is nothing that could be saved, in one line; empty where there is."""
        from HER2ViTLib.workflow.archiving import missing_for_archive

        kept = self._kept
        places = kept.study.phases[kept.reading.early_phase.index].stored if kept else ()
        database = getattr(slicer, "dicomDatabase", None)
        is_open = bool(database and database.isOpen)
        return missing_for_archive(kept is not None, bool(places), is_open)

    def save(self):
        """Writes the objects into the DICOM database, as copies of its own. Returns how many there are.

        Raises InputError where they cannot be made.
        """
        from DICOMLib import DICOMUtils

        from HER2ViTLib.archive.folder import lesion_of, write_dicom

        kept = self._kept
        lesion = lesion_of(kept.study, kept.reading.early_phase.index, kept.mask, grown=kept.grown)
        with tempfile.TemporaryDirectory() as folder:
            written = write_dicom(kept.reading, lesion, Path(folder) / "reading")
            DICOMUtils.importDicom(folder, slicer.dicomDatabase, copyFiles=True)
        return len(written)


def markGrown(segmentation, segmentID):
    """Notes at a segment that it was grown from a point. Slicer keeps that, also when it is corrected."""
    from HER2ViTLib.lesion.origin import GROWN

    tag, value = GROWN.split(":")
    segmentation.GetSegmentation().GetSegment(segmentID).SetTag(tag, value)


def isGrown(segmentation, segmentID):
    """Whether a segment was grown from a point."""
    from HER2ViTLib.lesion.origin import GROWN

    return segmentation.GetSegmentation().GetSegment(segmentID).HasTag(GROWN.split(":")[0])
