"""What the self-test works on, made from the bundled sample (a seed point, DICOM files, a session), and what
it checks with.
"""

import logging
import unittest

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from ..logic import HER2ViTLogic
from ..slice_view import readingSliceWidget

# Slicer imports this file at start-up: the functions import what is heavy.


class ReadingTest(ScriptedLoadableModuleTest):
    """What every part of the self-test needs."""

    def sample(self):
        """The sample in the scene, chosen, without the panel."""
        logic = HER2ViTLogic()
        parameters = logic.getParameterNode()
        logic.loadSample(parameters)
        return logic, parameters

    def panel(self):
        """The module's panel, opened."""
        if slicer.app.layoutManager() is None:
            self.skipTest("the panel needs a main window")
        slicer.util.selectModule("HER2ViT")
        slicer.app.processEvents()
        return slicer.modules.HER2ViTWidget

    def canRead(self):
        """Whether torch and the like are there. A test installs nothing: it says so and leaves the readings
        out.
        """
        from HER2ViTLib.workflow import dependencies

        missing = [
            *dependencies.missing_packages(dependencies.READING),
            *(["torch"] if dependencies.missing_torch() else []),
        ]
        if missing:
            logging.warning(f"HER2ViTTest: readings are not tested, for want of {', '.join(missing)}")
        return not missing

    def needsReading(self):
        """Leaves out the rest of a test that reads, where nothing can be read."""
        if not self.canRead():
            raise unittest.SkipTest("readings are not tested: packages are missing")


def place_in_view(seed, place):
    """Places a point (RAS) as a click into a slice view does, and lets the application answer."""
    seed.AddControlPoint(place)
    slicer.app.processEvents()


def click(widget, x):
    """Releases the left mouse button over a widget, `x` pixels from its left edge."""
    at = qt.QPointF(x, widget.height / 2)
    button = qt.Qt.LeftButton
    event = qt.QMouseEvent(qt.QEvent.MouseButtonRelease, at, button, button, qt.Qt.NoModifier)
    qt.QCoreApplication.sendEvent(widget, event)


def sample_lesion_ras():
    """A place inside the sample's lesion (RAS, mm)."""
    from HER2ViTLib.imaging.image_files import read_volume
    from HER2ViTLib.lesion.masks import read_roi
    from HER2ViTLib.sample import sample_phases, sample_roi

    geometry = read_volume(sample_phases()[0]).geometry
    mask = read_roi(sample_roi(), geometry).mask
    return _ras(geometry, _middle_voxel(mask))


def _middle_voxel(mask):
    """The voxel (i, j, k) of a mask that is nearest to its middle."""
    import numpy as np

    voxels = np.argwhere(mask)
    return voxels[np.argmin(np.square(voxels - voxels.mean(axis=0)).sum(axis=1))][::-1]


def _ras(geometry, voxel):
    left, posterior, superior = geometry.to_lps(voxel)
    return [-left, -posterior, superior]


def seed_in_outline(logic, parameters):
    """A point in the middle of the sample's outline, as a user would place it."""
    from HER2ViTLib.mrml.inputs import segment_roi

    study = logic.study(parameters)
    mask = segment_roi(parameters.segmentation, parameters.segmentID, study.geometry).mask
    seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
    seed.AddControlPoint(_ras(study.geometry, _middle_voxel(mask)))
    return seed, mask


def check_shown(test, logic, parameters):
    """The slice view shows the image, the attention map of the shown task over it, and its slice."""
    attention = logic.attentionNode(parameters)
    widget = readingSliceWidget(attention)
    if widget is None:
        return
    layers = widget.mrmlSliceCompositeNode()
    test.assertEqual(layers.GetBackgroundVolumeID(), parameters.image.GetID())
    test.assertEqual(layers.GetForegroundVolumeID(), attention.GetID())
    test.assertAlmostEqual(layers.GetForegroundOpacity(), parameters.attentionOpacity)
    ijkToRAS = vtk.vtkMatrix4x4()
    attention.GetIJKToRASMatrix(ijkToRAS)
    columns, rows, _slices = attention.GetImageData().GetDimensions()
    centre = ijkToRAS.MultiplyPoint([(columns - 1) / 2, (rows - 1) / 2, 0, 1])
    rasToXY = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(widget.mrmlSliceNode().GetXYToRAS(), rasToXY)
    x, y, depth, _one = rasToXY.MultiplyPoint(centre)
    width, height, _depth = widget.mrmlSliceNode().GetDimensions()
    test.assertAlmostEqual(x, width / 2, delta=1)
    test.assertAlmostEqual(y, height / 2, delta=1)
    test.assertAlmostEqual(depth, 0, delta=0.01)


def table_rows(table):
    """The rows of a result table, without indents (a saved scene loses them); none for no table."""
    rows = range(table.GetNumberOfRows()) if table else ()
    return [(table.GetCellText(row, 0).strip(), table.GetCellText(row, 1)) for row in rows]


def plan_session(folder):
    """The session file of a first read of three cases, all of them the sample."""
    from HER2ViTLib.files.output import json_bytes
    from HER2ViTLib.imaging.image_files import read_volume, write_volume
    from HER2ViTLib.sample import sample_phases
    from HER2ViTLib.session.files import IMAGES, SESSION_FILE, Read, SessionCase

    unknown = (None,) * len(sample_phases())
    cases = tuple(SessionCase(f"A1-00{n}", None, unknown, unknown, None) for n in (1, 2, 3))
    (folder / IMAGES).mkdir()
    for case in cases:
        for source, copy in zip(sample_phases(), case.images(folder)):
            write_volume(read_volume(source), copy)
    read = Read("A1", "A", 1, 0.0, cases)
    (folder / SESSION_FILE).write_bytes(json_bytes(read.to_json()))
    return folder / SESSION_FILE


def write_dicom(folder):
    """The sample as one DICOM series of four phases; the paths of its files."""
    from pydicom.uid import generate_uid

    from HER2ViTLib.imaging.image_files import read_volume
    from HER2ViTLib.sample import sample_phases

    folder.mkdir()
    uids = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    shared = {name: generate_uid() for name in uids}
    paths = []
    for n, (path, acquired) in enumerate(zip(sample_phases(), ("100000", "100200", "100330", "100500"))):
        volume = read_volume(path)
        for k in range(len(volume.array)):
            counts = {"AcquisitionNumber": n + 1, "InstanceNumber": n * len(volume.array) + k + 1}
            paths.append(str(folder / f"{n}-{k:03d}.dcm"))
            _write_slice(paths[-1], volume, k, {**shared, **counts, "AcquisitionTime": acquired})
    return paths


def _write_slice(path, volume, k, tags):
    """One slice of a volume as classic MR, with further tags."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    geometry = volume.geometry
    pixels = volume.array[k].clip(0).astype("<u2")
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.FileMetaInformationGroupLength = 0  # pydicom puts the right one there
    image = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    described = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": "Sample",
        "PatientID": "sample",
        "Modality": "MR",
        "SeriesNumber": 5,
        "SeriesDescription": "dyn",
        "BodyPartExamined": "BREAST",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "PixelSpacing": [geometry.spacing[1], geometry.spacing[0]],
        "SliceThickness": geometry.spacing[2],
        "ImagePositionPatient": [f"{value:.9g}" for value in geometry.to_lps((0, 0, k))],
        "ImageOrientationPatient": [f"{geometry.direction[i]:.9g}" for i in (0, 3, 6, 1, 4, 7)],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    }
    for name, value in {**described, **tags}.items():
        setattr(image, name, value)
    # pydicom 3 takes both from the transfer syntax; 2.4 needs them.
    image.is_little_endian = True
    image.is_implicit_VR = False
    image.save_as(path)
