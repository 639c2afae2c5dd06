"""Between MRML nodes and plain arrays: the only room that knows MRML.

It runs in the 3D Slicer application and, outside it, on the PyPI package slicer-core (real MRML, no Qt, no `slicer.app`); scenes and nodes
are therefore always passed in. MRML speaks RAS and the rest of this library LPS: the sign flip happens here and nowhere else.
Input nodes are read, never changed; results go into nodes of their own, which a second run fills again instead of adding new ones.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from HER2ViTLib.files.output import TEMPORARY_PREFIX
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.imaging.series import times_in_seconds
from HER2ViTLib.imaging.volume import Geometry, Volume, ras_to_lps
from HER2ViTLib.lesion.masks import Roi, roi_on
from HER2ViTLib.messages import InputError, ReadingWarning
from HER2ViTLib.study.study import Study, study_from_volumes

try:
    import slicer
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import vtkStringArray
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkCommonMath import vtkMatrix4x4
except ModuleNotFoundError as error:
    raise InputError('scenes need slicer-core, which is not installed: pip install "her2vit[slicer]"') from error

if TYPE_CHECKING:
    from HER2ViTLib.dicom.series import PhaseTimes
    from HER2ViTLib.reading.reader import Reading

FileOfInstance = Callable[[str], str]
"""The file of a DICOM image by its SOP instance UID, empty where it is not known (`fileForInstance` of
Slicer's DICOM database).
"""
INSTANCE_UIDS = "DICOM.instanceUIDs"
"""Where Slicer keeps, on a volume node, what it was loaded from."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
RIGHT_ANGLE_TOLERANCE = 1e-3

COLORS_TAG = "HER2ViTAttention"
# Slicer's slice layers know a colour as there or not there: the first twentieth of the scale shows the image unchanged, the rest is drawn
# with the layer's opacity.
TRANSPARENT_BELOW = 0.05
COLOR_STOPS = ((0.0, 0.25, 0.05, 0.45), (0.35, 0.65, 0.12, 0.42), (0.65, 0.94, 0.38, 0.18), (0.85, 0.98, 0.70, 0.15), (1.0, 1.0, 1.0, 0.65))

LESION = "Lesion"
LESION_COLOR = (0.2, 0.9, 0.4)
VIEW = "Red"
VIEW_COLOR = (0.953, 0.290, 0.200)

# Where screen right, screen up and the viewing axis lie in Slicer's own sagittal, coronal and axial views (RAS).
STANDARD_AXES = {
    0: ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0)),
    1: ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    2: ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}


def no_file(instance_uid: str) -> str:
    """A DICOM database that has no files."""
    return ""


# --- nodes to arrays ---------------------------------------------------------------------------------------------------------------


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """The voxels (K, J, I) of a volume node and where they lie in the world (LPS, mm); a linear parent transform is applied.

    Raises `InputError` for an empty or colour volume, a transform that bends space and voxel axes that are not at right angles.
    """
    name = node.GetName()
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise InputError(f"{name}: the volume is empty; load it again")
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(f"{name}: has {components} values a voxel (a colour or vector volume); choose a scalar volume")
    shape = tuple(reversed(image.GetDimensions()))
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
    return study_from_volumes(volumes, starts, durations, told.contrast_start_s, names, warnings=doubts)


def header_times(
    nodes: Sequence[slicer.vtkMRMLScalarVolumeNode], file_of: FileOfInstance
) -> PhaseTimes | None:
    """Order and times of volume nodes that were loaded from DICOM, a phase each, by the headers of their
    files.

    None where a node does not say what it was loaded from, a file is not to be found, or the headers do not
    tell. Raises `InputError` for a header that is broken.
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


def study_from_sequence(sequence: slicer.vtkMRMLSequenceNode) -> Study:
    """The study of a sequence node, one phase per item; index values that can be times become the phases' start times (s).

    Raises `InputError` as `volume_from_node` and `study_from_volumes` do.
    """
    nodes = [sequence.GetNthDataNode(i) for i in range(sequence.GetNumberOfDataNodes())]
    if not nodes:
        raise InputError(f"{sequence.GetName()}: the sequence is empty; load it again")
    for node in nodes:
        if not isinstance(node, slicer.vtkMRMLScalarVolumeNode):
            raise InputError(f"{sequence.GetName()}: holds {node.GetClassName()}; choose a sequence of scalar volumes")
    names = [f"{sequence.GetName()} item {n}" for n in range(len(nodes))]
    return study_from_volumes([volume_from_node(node) for node in nodes], _sequence_times(sequence), names=names)


def _sequence_times(sequence: slicer.vtkMRMLSequenceNode) -> list[float] | None:
    # Every sequence has the unit s from the start, also one whose index is a mere count: only plausible times are taken for times.
    values = [sequence.GetNthIndexValue(i) for i in range(sequence.GetNumberOfDataNodes())]
    return times_in_seconds(" ".join(values), sequence.GetIndexUnit() or "", len(values))


def segment_roi(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str, geometry: Geometry) -> Roi:
    """One segment as the outline on `geometry`, resampled there as `roi_on` does; parent transforms are
    applied.

    Raises `InputError` when the segment is not there, and as `roi_on`.
    """
    segment = segmentation.GetSegmentation().GetSegment(segment_id) if segment_id else None
    if segment is None:
        raise InputError(f"{segmentation.GetName()}: has no segment {segment_id!r}; choose one of {', '.join(segment_names(segmentation)) or 'none'}")
    name = f"segment {segment.GetName()}"
    image = slicer.vtkOrientedImageData()
    made = slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentBinaryLabelmapRepresentation(segmentation, segment_id, image, True)
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
    """The last placed point of a point list in the world (LPS, mm). Raises `InputError` when there is none."""
    count = markups.GetNumberOfDefinedControlPoints()
    if not count:
        raise InputError(f"{markups.GetName()}: has no point; place one inside the lesion")
    ras = [0.0, 0.0, 0.0]
    markups.GetNthControlPointPositionWorld(count - 1, ras)
    return ras_to_lps(ras)


# --- arrays to nodes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReadingNodes:
    """The nodes that show a reading; None where there is none (yet)."""

    table: slicer.vtkMRMLTableNode | None = None
    task1: slicer.vtkMRMLScalarVolumeNode | None = None
    task2: slicer.vtkMRMLScalarVolumeNode | None = None


def put_reading(scene: slicer.vtkMRMLScene, reading: Reading, nodes: ReadingNodes = ReadingNodes()) -> ReadingNodes:
    """Result table and attention maps of a reading, in the given nodes where there are any, else in new ones.

    An attention map left over from a task that this reading has not is removed, so that old and new results never stand side by side.
    """
    from HER2ViTLib.reading.report import table_rows

    maps = {}
    for task in TASKS.values():
        former = getattr(nodes, task.key)
        if task.key in reading.tasks:
            maps[task.key] = put_attention(scene, reading.tasks[task.key].attention_volume, f"Attention {task.name}", former)
        elif former is not None:
            scene.RemoveNode(former)
    return ReadingNodes(put_table(scene, table_rows(reading), "HER2 reading", nodes.table), **maps)


def put_volume(
    scene: slicer.vtkMRMLScene, volume: Volume, name: str, node: slicer.vtkMRMLScalarVolumeNode | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """A scalar volume node that holds a copy of the volume's voxels."""
    node = node or scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(to_matrix(LPS_TO_RAS @ volume.geometry.index_to_lps))
    node.SetAndObserveImageData(_image_data(vtkImageData(), volume.array))
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    return node


def put_attention(
    scene: slicer.vtkMRMLScene, volume: Volume, name: str, node: slicer.vtkMRMLScalarVolumeNode | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """An attention map (1, H, W), values 0-1, as a single-slice volume node that lies on its slice of the image.

    A new node is shown on the scale 0-1 in our colours; later changes of its display by the user are kept.
    """
    fresh = node is None
    node = put_volume(scene, volume, name, node)
    if fresh:
        display = node.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(0.0, 1.0)
        display.SetAndObserveColorNodeID(attention_colors(scene).GetID())
        display.SetInterpolate(True)
    return node


def attention_colors(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The scene's colour table for attention maps: 256 colours, violet over orange to light yellow, the lowest ones transparent."""
    node = scene.GetSingletonNode(COLORS_TAG, "vtkMRMLColorTableNode")
    if node is not None:
        return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetSingletonTag(COLORS_TAG)
    node.SetName("HER2ViT attention")
    node.SetTypeToUser()
    node.SetNumberOfColors(256)
    node.GetLookupTable().SetTableRange(0, 255)
    position, *channels = zip(*COLOR_STOPS)
    for entry in range(256):
        value = entry / 255
        rgb = (float(np.interp(value, position, channel)) for channel in channels)
        node.SetColor(entry, f"{value:.3f}", *rgb, float(value >= TRANSPARENT_BELOW))
    node.SetHideFromEditors(False)
    node = scene.AddNode(node)
    node.AddDefaultStorageNode()
    # Newer versions write colour tables as CSV, which Slicer before 5.10 cannot read.
    node.GetStorageNode().SetDefaultWriteFileExtension("ctbl")
    return node


def put_table(
    scene: slicer.vtkMRMLScene, rows: Sequence[tuple[str, str]], name: str, node: slicer.vtkMRMLTableNode | None = None
) -> slicer.vtkMRMLTableNode:
    """A read-only table node with the columns Measure and Value."""
    node = node or scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetLocked(False)
    node.RemoveAllColumns()
    for title, values in zip(("Measure", "Value"), zip(*rows)):
        column = vtkStringArray()
        column.SetName(title)
        for value in values:
            column.InsertNextValue(value)
        node.AddColumn(column)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    return node


def rows_from_table(node: slicer.vtkMRMLTableNode | None) -> list[tuple[str, str]]:
    """The rows that `put_table` wrote, without indents (a saved scene loses them); none for no node."""
    rows = range(node.GetNumberOfRows()) if node is not None else ()
    return [(node.GetCellText(row, 0).strip(), node.GetCellText(row, 1)) for row in rows]


def put_segment(
    scene: slicer.vtkMRMLScene,
    mask: np.ndarray,
    geometry: Geometry,
    name: str,
    node: slicer.vtkMRMLSegmentationNode | None = None,
    reference: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation node whose segment `Lesion` is the boolean mask (K, J, I); its other segments stay as they are.

    `reference`, a volume node, gives later painting its voxel grid.
    """
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        # A filled segment would hide the image and the attention map below it.
        node.GetDisplayNode().SetVisibility2DFill(False)
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    segments = node.GetSegmentation()
    if segments.GetSegment(LESION) is None:
        segments.AddEmptySegment(LESION, LESION, LESION_COLOR)
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(oriented_image(mask, geometry), node, LESION)
    return node


def put_beside(scene: slicer.vtkMRMLScene, nodes: Sequence[slicer.vtkMRMLNode | None], neighbour: slicer.vtkMRMLNode) -> None:
    """Files nodes in the data tree under the study (or folder) that holds `neighbour`."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    beside = tree.GetItemByDataNode(neighbour)
    if not beside:
        # Outside the application nothing files nodes in the tree.
        return
    for node in nodes:
        if node is not None:
            tree.SetItemParent(tree.GetItemByDataNode(node), tree.GetItemParent(beside))


# --- the slice view ----------------------------------------------------------------------------------------------------------------


def show_patch(slice_node: slicer.vtkMRMLSliceNode, geometry: Geometry, widths: float = 3.0) -> None:
    """Turns a slice view to the acquired plane of a one-slice geometry, the patch in the middle, `widths` patches across.

    The plane is the one that was acquired, oblique or not; of its four turns and two sides the view takes those closest to the
    radiological convention of the nearest standard plane.
    """
    slice_node.GetSliceToRAS().DeepCopy(to_matrix(slice_to_ras(geometry)))
    slice_node.UpdateMatrices()
    across = widths * max(geometry.shape[2] * geometry.spacing[0], geometry.shape[1] * geometry.spacing[1])
    width, height, _ = slice_node.GetDimensions()
    shorter = max(min(width, height), 1)
    slice_node.SetFieldOfView(across * width / shorter, across * height / shorter, slice_node.GetFieldOfView()[2])
    slice_node.SetXYZOrigin(0.0, 0.0, 0.0)


def slice_to_ras(geometry: Geometry) -> np.ndarray:
    """The 4 x 4 matrix of a slice view (right, up, viewing axis; RAS, mm) centred on a one-slice geometry and in its plane."""
    i, j, k = (LPS_TO_RAS[:3, :3] @ np.reshape(geometry.direction, (3, 3))).T
    standard = STANDARD_AXES[int(np.argmax(np.abs(k)))]
    along_i = abs(i @ standard[0]) >= abs(j @ standard[0])
    axes = (i, j, k) if along_i else (j, i, k)
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose([axis if axis @ wanted >= 0 else -axis for axis, wanted in zip(axes, standard)])
    centre = geometry.to_lps(((geometry.shape[2] - 1) / 2, (geometry.shape[1] - 1) / 2, 0.0))
    matrix[:3, 3] = LPS_TO_RAS[:3, :3] @ centre
    return matrix


def show_layers(
    composite: slicer.vtkMRMLSliceCompositeNode,
    background: slicer.vtkMRMLScalarVolumeNode,
    attention: slicer.vtkMRMLScalarVolumeNode | None,
    opacity: float,
) -> None:
    """The image with an attention map over it (None takes the map away) in the slice view of a composite node."""
    composite.SetBackgroundVolumeID(background.GetID())
    composite.SetForegroundVolumeID(attention.GetID() if attention is not None else None)
    composite.SetForegroundOpacity(opacity)


# --- scene files -------------------------------------------------------------------------------------------------------------------


def new_scene() -> slicer.vtkMRMLScene:
    """An empty scene that can hold segmentations."""
    scene = slicer.vtkMRMLScene()
    # The oldest application that reads our files; slicer-core's own name makes Slicer warn that the scene may not load.
    scene.SetVersion("Slicer 5.6.0 0")
    # Outside the application nothing has told MRML yet how segments are converted.
    slicer.vtkSlicerSegmentationsModuleLogic().SetMRMLScene(scene)
    return scene


def write_reading_scene(reading: Reading, study: Study, roi: np.ndarray, path: str | os.PathLike) -> None:
    """A scene file (.mrb) of a reading that 3D Slicer opens on its slice.

    Holds the early phase, the outline `roi` (boolean, K J I, on the study's geometry), the attention maps and the result table; nodes
    are named by role.
    """
    scene = new_scene()
    image = put_volume(scene, study.phases[reading.early_phase.index].volume, "Early phase")
    put_segment(scene, roi, study.geometry, "Outline", reference=image)
    nodes = put_reading(scene, reading)
    _add_view(scene, image, nodes.task2 or nodes.task1, reading.leading_task.patch.geometry)
    save_scene(scene, path)


def _add_view(scene: slicer.vtkMRMLScene, image: slicer.vtkMRMLNode, attention: slicer.vtkMRMLNode, geometry: Geometry) -> None:
    """Slicer's first slice view, set to the slice: views carry a layout name, by which Slicer finds them when it opens the scene."""
    # A view in a file brings its label, colour and standard orientations along, else Slicer's own are lost when it opens the scene.
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    view, layers = scene.CreateNodeByClass("vtkMRMLSliceNode"), scene.CreateNodeByClass("vtkMRMLSliceCompositeNode")
    for node in (view, layers):
        node.UnRegister(None)
        node.SetSingletonTag(VIEW)
        node.SetLayoutName(VIEW)
        scene.AddNode(node)
    view.SetLayoutLabel(VIEW[0])
    view.SetLayoutColor(*VIEW_COLOR)
    view.SetDefaultOrientation("Axial")
    view.SetOrientation("Axial")
    show_patch(view, geometry)
    show_layers(layers, image, attention, opacity=0.5)


def save_scene(scene: slicer.vtkMRMLScene, path: str | os.PathLike) -> None:
    """Writes a scene as .mrb, under a temporary name in the same folder first. Raises `OSError` when it cannot be written."""
    path = Path(path).resolve()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY_PREFIX) as folder:
        unpacked = Path(folder) / path.stem
        unpacked.mkdir()
        if not scene.SaveSceneToSlicerDataBundleDirectory(str(unpacked)):
            raise OSError(f"{path}: the scene could not be written; check the free space and the folder's permissions")
        # Zipped here rather than by WriteToMRB, which reports every file on standard output.
        Path(shutil.make_archive(str(unpacked), "zip", folder, unpacked.name)).replace(path)


# --- matrices and images -----------------------------------------------------------------------------------------------------------


def to_matrix(array: np.ndarray) -> vtkMatrix4x4:
    """A 4 x 4 array as a VTK matrix."""
    matrix = vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, float).ravel())
    return matrix


def to_array(matrix: vtkMatrix4x4) -> np.ndarray:
    """A VTK matrix as a 4 x 4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def geometry_from_ras(ijk_to_ras: np.ndarray, shape: tuple[int, ...], name: str) -> Geometry:
    """The geometry (LPS) of voxels with this 4 x 4 index-to-RAS matrix. Raises `InputError` when their axes are not at right angles."""
    matrix = LPS_TO_RAS @ ijk_to_ras
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    if not spacing.all():
        raise InputError(f"{name}: a voxel has no size ({spacing.tolist()} mm); check the volume's spacing and transform")
    direction = matrix[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > RIGHT_ANGLE_TOLERANCE:
        raise InputError(f"{name}: the voxel axes are not at right angles (a sheared transform or a tilted gantry); resample the volume first")
    return Geometry(shape, tuple(spacing.tolist()), tuple(matrix[:3, 3].tolist()), tuple(direction.ravel().tolist()))


def oriented_image(mask: np.ndarray, geometry: Geometry) -> slicer.vtkOrientedImageData:
    """A boolean mask (K, J, I) as the kind of image that segments are made of."""
    image = _image_data(slicer.vtkOrientedImageData(), mask.astype(np.uint8))
    image.SetImageToWorldMatrix(to_matrix(LPS_TO_RAS @ geometry.index_to_lps))
    return image


def _to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """The 4 x 4 matrix of a node's parent transforms, all together. Raises `InputError` when one of them bends space."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise InputError(f"{node.GetName()}: is under a transform that is not linear ({parent.GetName()}); harden it or resample the volume first")
    matrix = vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(matrix)
    return to_array(matrix)


def _image_data(image: Any, array: np.ndarray) -> Any:
    """Fills a vtkImageData (or a class derived from it) with a copy of the voxels (K, J, I)."""
    image.SetDimensions(*reversed(array.shape))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image


def _volume_from_oriented_image(image: slicer.vtkOrientedImageData, name: str) -> Volume:
    """Labels of a segment; a segment is stored cropped, so its first voxel is seldom index 0."""
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    shape = (k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    first_voxel = np.eye(4)
    first_voxel[:3, 3] = (i0, j0, k0)
    labels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return Volume(labels, geometry_from_ras(to_array(matrix) @ first_voxel, shape, name))
