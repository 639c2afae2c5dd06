"""Whether a reading can leave the scene, as a report, a row or DICOM objects, and if not, why."""

from __future__ import annotations


def missing_for_export(has_reading: bool) -> str:
    """Why a reading cannot be exported, in one line; empty where it can. `has_reading`: one was made since
    the scene was opened.
    """
    if not has_reading:
        return "Read the case first: a reading that came with the scene is shown, but not kept whole."
    return ""


def missing_for_archive(has_places: bool, has_database: bool) -> str:
    """Why a reading cannot be saved as DICOM, in one line; empty where it can.

    `has_places`: it is known where its images are stored, which the objects refer to.
    """
    if not has_database:
        return "Slicer's DICOM database is not open: open the module DICOM once."
    if not has_places:
        return (
            "The images did not come from Slicer's DICOM database, or have changed since, so no archive could"
            " tie the reading to them: load them there, as 'Breast DCE-MRI (HER2ViT)'."
        )
    return ""
