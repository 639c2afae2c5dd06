"""From MRML nodes to what is read: volumes, studies, outlines, seed points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from HER2ViTLib.imaging.times import times_in_seconds
from HER2ViTLib.imaging.volume import Geometry, Volume, ras_to_lps
from HER2ViTLib.lesion.masks import Roi, roi_on
from HER2ViTLib.messages import InputError, ReadingWarning
from HER2ViTLib.study.study import Study, study_from_volumes

from .dce_sequence import as_stored
from .geometry import LPS_TO_RAS, to_array

if TYPE_CHECKING:
    from HER2ViTLib.dicom.series import PhaseTimes


FileOfInstance = Callable[[str], str]
"""The file of a DICOM image by its SOP instance UID, empty where it is not known (`fileForInstance` of
Slicer's DICOM database).
"""
INSTANCE_UIDS = "DICOM.instanceUIDs"
"""The attribute of a volume node in which Slicer keeps the UIDs of the images it was loaded from."""
RIGHT_ANGLE_TOLERANCE = 1e-3
"""How far the cosine of the angle between two voxel axes may be from 0."""


def no_file(instance_uid: str) -> str:
    """A DICOM database that has no files."""
    return ""


def fingerprint(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[object, ...]:
    """Tells a volume node from another one, and from itself with other voxels or in another place; cheap, and
    blind to how it is shown.
    """
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    image = node.GetImageData()
    parent = node.GetParentTransformNode()
    return (
        node.GetID(),
        node.GetName(),
        # VTK's clock ticks at every change of anything: no two images share a time.
        image.GetMTime() if image is not None else 0,
        to_array(matrix).tobytes(),
        parent.GetTransformToWorldMTime() if parent is not None else 0,
    )


def segment_fingerprint(
    segmentation: slicer.vtkMRMLSegmentationNode | None, segment_id: str
) -> tuple[object, ...]:
    """Tells a segment from another one, and from itself after an edit; empty where there is none."""
    if segmentation is None or not segment_id:
        return ()
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        return ()
    source = segment.GetRepresentation(segmentation.GetSegmentation().GetSourceRepresentationName())
    parent = segmentation.GetParentTransformNode()
    return (
        segmentation.GetID(),
        segment_id,
        segment.GetLabelValue(),
        source.GetMTime() if source is not None else 0,
        parent.GetTransformToWorldMTime() if parent is not None else 0,
    )


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The voxels (K, J, I) of a volume node and where they lie in the world (LPS, mm); a linear parent
    transform is applied.

    Raises `InputError` for an empty or colour volume, a transform that bends space and voxel axes that are
    not at right angles.
    """
    name = node.GetName()
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise InputError(f"{name}: the volume is empty; load it again")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f"{name}: has {components} values a voxel (a colour or vector volume); choose a scalar volume"
        )
    columns, rows, slices = image.GetDimensions()
    shape = (slices, rows, columns)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    ijk_to_ras = vtkMatrix4x4()
    node.GetIJKToRASMatrix(ijk_to_ras)
    return Volume(array, geometry_from_ras(_to_world(node) @ to_array(ijk_to_ras), shape, name))


def study_from_nodes(
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode],
    file_of: FileOfInstance = no_file,
    warnings: Sequence[ReadingWarning] = (),
) -> Study:
    """The study of one volume node per phase, in the order given.

    Times, and Philips' scales, come from the headers of the files that the nodes were loaded from, where
    `file_of` finds them; else the times are unknown. Raises `InputError` as `volume_from_node`,
    `study_from_volumes` and `phase_times` do.
    """
    volumes = [volume_from_node(node) for node in nodes]
    names = [node.GetName() for node in nodes]
    told = header_times(nodes, file_of)
    if told is None:
        return study_from_volumes(volumes, names=names, warnings=warnings)
    starts: list[float | None] = [None] * len(nodes)
    durations: list[float | None] = [None] * len(nodes)
    for n, start, duration, scale in zip(told.order, told.starts_s, told.durations_s, told.scales):
        starts[n] = start
        durations[n] = duration
        if scale != 1:
            volumes[n] = volumes[n].with_array(volumes[n].array / scale)
    doubts = (*told.warnings, *warnings)
    study = study_from_volumes(volumes, starts, durations, told.contrast_start_s, names, warnings=doubts)
    phases = list(study.phases)
    for n, stored in zip(told.order, told.stored):
        phases[n] = replace(phases[n], stored=stored)
    return replace(study, phases=tuple(phases))


def header_times(
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode], file_of: FileOfInstance
) -> PhaseTimes | None:
    """Order and times of volume nodes, a phase each, by the headers of the DICOM files they were loaded from.

    None where a node does not say what it was loaded from, a file is not to be found, or the headers do not
    hold the times. Raises `InputError` for a broken header.
    """
    if len(nodes) < 2:
        return None
    files = [_files_of(node, file_of) for node in nodes]
    if not all(files):
        return None
    from HER2ViTLib.dicom.series import phase_times  # pydicom takes its time to import

    return phase_times(files)


def _files_of(node: slicer.vtkMRMLScalarVolumeNode, file_of: FileOfInstance) -> list[Path]:
    """The files that a volume node was loaded from; none where one of them is not to be found."""
    found = [file_of(uid) for uid in (node.GetAttribute(INSTANCE_UIDS) or "").split()]
    files = [Path(path) for path in found if path]
    return files if len(files) == len(found) and all(path.is_file() for path in files) else []


def study_from_sequence(sequence: slicer.vtkMRMLSequenceNode, file_of: FileOfInstance = no_file) -> Study:
    """The study of a sequence node, one phase per item: the one that `put_study` put there, else index values
    that can be times become the phases' start times (s).

    Raises `InputError` as `volume_from_node` and `study_from_volumes` do.
    """
    nodes = [sequence.GetNthDataNode(i) for i in range(sequence.GetNumberOfDataNodes())]
    if not nodes:
        raise InputError(f"{sequence.GetName()}: the sequence is empty; load it again")
    for node in nodes:
        if not isinstance(node, slicer.vtkMRMLScalarVolumeNode):
            raise InputError(
                f"{sequence.GetName()}: holds {node.GetClassName()}; choose a sequence of scalar volumes"
            )
    names = [f"{sequence.GetName()} item {n}" for n in range(len(nodes))]
    volumes = [volume_from_node(node) for node in nodes]
    known = as_stored(sequence, volumes, file_of)
    return known or study_from_volumes(volumes, _sequence_times(sequence), names=names)


def _sequence_times(sequence: slicer.vtkMRMLSequenceNode) -> list[float] | None:
    # Every sequence has the unit s from the start, also one whose index is a mere count: only plausible times
    # are taken for times.
    values = [sequence.GetNthIndexValue(i) for i in range(sequence.GetNumberOfDataNodes())]
    return times_in_seconds(" ".join(values), sequence.GetIndexUnit() or "", len(values))


def segment_roi(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str, geometry: Geometry) -> Roi:
    """One segment as the outline on `geometry`, resampled there as `roi_on` does; parent transforms are
    applied.

    Raises `InputError` when the segment is not there, and as `roi_on`.
    """
    segment = segmentation.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        raise InputError(
            f"{segmentation.GetName()}: has no segment {segment_id!r}; choose one of"
            f" {', '.join(segment_names(segmentation)) or 'none'}"
        )
    name = f"segment {segment.GetName()}"
    image = slicer.vtkOrientedImageData()
    made = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentBinaryLabelmapRepresentation(
        segmentation, segment_id, image, True
    )
    if not made or image.IsEmpty() or image.GetPointData().GetScalars() is None:
        raise InputError(f"{name}: is empty; outline the lesion first")
    labels = _volume_from_oriented_image(image, name)
    # Segments that do not overlap share one label map, and the copy holds all of them.
    return roi_on(labels.with_array(labels.array == segment.GetLabelValue()), geometry, name)


def segment_names(segmentation: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """The segments of a segmentation node: {ID: name}."""
    segments = segmentation.GetSegmentation()
    ids = [segments.GetNthSegmentID(i) for i in range(segments.GetNumberOfSegments())]
    return {segment_id: segments.GetSegment(segment_id).GetName() for segment_id in ids}


def seed_lps(markups: slicer.vtkMRMLMarkupsFiducialNode) -> tuple[float, float, float]:
    """The last placed point of a point list, in the world (LPS, mm). Raises `InputError` when it is empty."""
    count = markups.GetNumberOfDefinedControlPoints()
    if not count:
        raise InputError(f"{markups.GetName()}: has no point; place one inside the lesion")
    ras = [0.0, 0.0, 0.0]
    markups.GetNthControlPointPositionWorld(count - 1, ras)
    return ras_to_lps(ras)


def geometry_from_ras(ijk_to_ras: np.ndarray, shape: tuple[int, int, int], name: str) -> Geometry:
    """The geometry (LPS) of voxels with this 4 x 4 index-to-RAS matrix. Raises `InputError` when their axes
    are not at right angles.
    """
    matrix = LPS_TO_RAS @ ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    if not spacing.all():
        raise InputError(
            f"{name}: a voxel has no size ({spacing.tolist()} mm); check the volume's spacing and transform"
        )
    direction = matrix[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > RIGHT_ANGLE_TOLERANCE:
        raise InputError(
            f"{name}: the voxel axes are not at right angles (a sheared transform or a tilted gantry);"
            " resample the volume first"
        )
    origin = matrix[:3, 3].tolist()
    return Geometry(shape, tuple(spacing.tolist()), tuple(origin), tuple(direction.ravel().tolist()))


def _to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The 4 x 4 matrix of a node's parent transforms, all together. Raises `InputError` when one of them
    bends space.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(
            f"{node.GetName()}: is under a transform that is not linear ({parent.GetName()}); harden it or"
            " resample the volume first"
        )
    matrix = vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return to_array(matrix)


def _volume_from_oriented_image(image: slicer.vtkOrientedImageData, name: str) -> Volume:
    """The labels of a segment as a volume. A segment is stored cropped: its first voxel is seldom index 0."""
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    shape = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    first_voxel = np.eye(4)
    first_voxel[:3, 3] = (i0, j0, k0)
    labels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return Volume(labels, geometry_from_ras(to_array(matrix) @ first_voxel, shape, name))
