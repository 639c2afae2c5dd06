"""Examinations read and written as DICOM objects."""

from HER2ViTLib.archive.folder import lesion_of, write_dicom
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.study.loading import load_study
from support.examinations import a_lesion
from support.models import a_bundle_folder

FILES = ["seg.dcm", "sr.dcm", "saliency_task1.dcm", "saliency_task2.dcm"]


def a_reader(folder):
    """A reader of two tiny models, which are written into the folder."""
    task1 = a_bundle_folder(folder / "task1", "zero-vs-rest", 1)
    task2 = a_bundle_folder(folder / "task2", "low-vs-positive", 2)
    return Reader([load_bundle(task1), load_bundle(task2)], "cpu")


def archived(reader, images, folder, axis="k", mask=None, case_id="C7", **options):
    """Reads the images and writes the objects; returns the reading and its study."""
    study = load_study(images).with_slice_axis(axis)
    roi = Roi(a_lesion() if mask is None else mask).with_slice_axis(axis)
    reading = reader.read(study, roi, case_id=case_id)
    lesion = lesion_of(study, reading.early_phase.index, roi.mask, **options)
    maps = [f"saliency_{key}.dcm" for key in reading.tasks]
    assert write_dicom(reading, lesion, folder) == ["seg.dcm", "sr.dcm", *maps]
    return reading, study
