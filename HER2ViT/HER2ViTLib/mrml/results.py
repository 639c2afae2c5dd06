"""A reading as nodes of a scene: its table, its attention maps, its image, the lesion's outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkImageData

from HER2ViTLib.files.output import json_bytes
from HER2ViTLib.her2 import TASKS
from HER2ViTLib.imaging.volume import Geometry, Volume

from .geometry import LPS_TO_RAS, image_data_of, oriented_image, to_matrix

if TYPE_CHECKING:
    from HER2ViTLib.reading.reading import Reading


@dataclass(frozen=True)
class ReadingNodes:
    """The nodes that show a reading; None where there is none (yet)."""

    table: slicer.vtkMRMLTableNode | None = None
    task1: slicer.vtkMRMLScalarVolumeNode | None = None
    task2: slicer.vtkMRMLScalarVolumeNode | None = None
    task3: slicer.vtkMRMLScalarVolumeNode | None = None


def put_reading(
    scene: slicer.vtkMRMLScene, reading: Reading, nodes: ReadingNodes = ReadingNodes()
) -> ReadingNodes:
    """Result table and attention maps of a reading, in the given nodes where there are any, else in new ones.

    The table carries the reading as JSON, too, and both are saved with the scene. An attention map of a task
    that this reading lacks is removed, so that old and new results never stand side by side.
    """
    from HER2ViTLib.reading.report import reading_json, table_rows

    maps = {}
    for task in TASKS.values():
        former = getattr(nodes, task.key)
        if task.key in reading.tasks:
            maps[task.key] = put_attention(
                scene, reading.tasks[task.key].attention_volume, f"Attention {task.name}", former
            )
        elif former is not None:
            scene.RemoveNode(former)
    table = put_table(scene, table_rows(reading), "HER2 reading", nodes.table)
    table.SetAttribute(READING_ATTRIBUTE, json_bytes(reading_json(reading)).decode())
    return ReadingNodes(table, **maps)


READING_ATTRIBUTE = "HER2ViT.Reading"


def reading_text(table: slicer.vtkMRMLTableNode | None) -> str | None:
    """The reading that a result table shows, as the text of a `reading.json`; None without a table, and for
    one of an earlier version, which kept the rows only.
    """
    return table.GetAttribute(READING_ATTRIBUTE) if table is not None else None


def put_volume(
    scene: slicer.vtkMRMLScene, volume: Volume, name: str, node: slicer.vtkMRMLScalarVolumeNode | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """A scalar volume node that holds a copy of the volume's voxels."""
    node = node or scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(to_matrix(LPS_TO_RAS @ volume.geometry.index_to_lps))
    node.SetAndObserveImageData(image_data_of(vtkImageData(), volume.array))
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
    return node


WHOLE_RANGE = (0.5, 99.99)
"""Percentiles of an image that are shown from black to white."""


def show_whole_range(
    node: slicer.vtkMRMLScalarVolumeNode, alike: Sequence[slicer.vtkMRMLScalarVolumeNode] = ()
) -> None:
    """Shows a volume from its darkest to its brightest voxels, outliers left out, and others `alike`, in the
    same window. Slicer's own leaves out the brightest thousandth: of an early phase that is the lesion, which
    would be a white patch.
    """
    array = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    low, high = np.percentile(array[::2], WHOLE_RANGE)
    for shown in (node, *alike):
        shown.GetDisplayNode().AutoWindowLevelOff()
        shown.GetDisplayNode().SetWindowLevelMinMax(float(low), float(high))


def put_attention(
    scene: slicer.vtkMRMLScene, volume: Volume, name: str, node: slicer.vtkMRMLScalarVolumeNode | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """An attention map (1, H, W), values 0-1, as a single-slice volume node that lies on its slice of the
    image.

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


def show_attention_from(node: slicer.vtkMRMLScalarVolumeNode, threshold: float) -> None:
    """Leaves the image as it is where an attention map is below `threshold` (0-1)."""
    display = node.GetDisplayNode()
    display.AutoThresholdOff()
    display.SetThreshold(threshold, 1.0)
    display.ApplyThresholdOn()


COLORS_TAG = "HER2ViTAttention"
COLOR_STOPS = (
    (0.0, 0.25, 0.05, 0.45),
    (0.35, 0.65, 0.12, 0.42),
    (0.65, 0.94, 0.38, 0.18),
    (0.85, 0.98, 0.70, 0.15),
    (1.0, 1.0, 1.0, 0.65),
)
"""Value, red, green, blue."""
TRANSPARENT_BELOW = 0.05
"""A slice layer draws a colour fully or not at all: below this value the image shows unchanged, above it the
layer's opacity decides.
"""


def attention_colors(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """The scene's colour table for attention maps: 256 colours, violet over orange to light yellow, the
    lowest ones transparent.
    """
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
    return scene.AddNode(node)


def put_table(
    scene: slicer.vtkMRMLScene,
    rows: Sequence[tuple[str, str]],
    name: str,
    node: slicer.vtkMRMLTableNode | None = None,
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


LESION = "Lesion"
LESION_COLOR = (0.2, 0.9, 0.4)


def put_segment(
    scene: slicer.vtkMRMLScene,
    mask: np.ndarray,
    geometry: Geometry,
    name: str,
    node: slicer.vtkMRMLSegmentationNode | None = None,
    reference: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation node whose segment `Lesion` is the boolean mask (K, J, I); its other segments stay as
    they are.

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
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        oriented_image(mask, geometry), node, LESION
    )
    return node


def put_beside(
    scene: slicer.vtkMRMLScene, nodes: Sequence[slicer.vtkMRMLNode | None], neighbour: slicer.vtkMRMLNode
) -> None:
    """Files nodes in the data tree under the study (or folder) that holds `neighbour`."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    beside = tree.GetItemByDataNode(neighbour)
    if not beside:
        # Outside the application nothing files nodes in the tree.
        return
    for node in nodes:
        if node is not None:
            tree.SetItemParent(tree.GetItemByDataNode(node), tree.GetItemParent(beside))
