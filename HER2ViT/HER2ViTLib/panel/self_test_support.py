"""What the self-test works on, made from the bundled sample (a seed point, DICOM files, a session), and what
it checks with.
"""

import slicer
import vtk

from .slice_view import readingSliceWidget

# Slicer imports this file at start-up: the functions import what is heavy.


def seed_in_outline(logic, parameters):
    """A point in the middle of the sample's outline, as a user would place it."""
    import numpy as np

    from HER2ViTLib.mrml.inputs import segment_roi

    study = logic.study(parameters)
    mask = segment_roi(parameters.segmentation, parameters.segmentID, study.geometry).mask
    voxels = np.argwhere(mask)
    middle = voxels[np.argmin(np.square(voxels - voxels.mean(axis=0)).sum(axis=1))][::-1]
    left, posterior, superior = study.geometry.to_lps(middle)
    seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
    seed.AddControlPoint(-left, -posterior, superior)
    return seed, mask


def check_shown(test, logic, parameters):
    """The slice view shows the image, the attention map of the shown task over it, and its slice."""
    widget = readingSliceWidget()
    if widget is None:
        return
    layers = widget.mrmlSliceCompositeNode()
    attention = logic.attentionNode(parameters)
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
