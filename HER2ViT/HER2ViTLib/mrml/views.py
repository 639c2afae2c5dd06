"""Slice views turned to what was read: its plane, its place, its layers."""

from __future__ import annotations

import numpy as np
import slicer

from HER2ViTLib.imaging.volume import Geometry

from .geometry import LPS_TO_RAS, to_matrix

STANDARD_AXES = (
    ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0)),
    ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)),
    ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
)
"""Screen right, screen up and the viewing axis of Slicer's own sagittal, coronal and axial views, in RAS."""
PLANES = ("Sagittal", "Coronal", "Axial")
"""What Slicer calls the orientations of those views."""
PATCHES_ACROSS = 3.0
"""How many patches wide a view is that shows what was read."""


def plane_of(geometry: Geometry) -> str:
    """The standard plane nearest to the one that was acquired, as Slicer names it."""
    normal = np.reshape(geometry.direction, (3, 3))[:, 2]
    return PLANES[int(np.argmax(np.abs(normal)))]


def orientation_of(slice_node: slicer.vtkMRMLSliceNode) -> str:
    """The standard plane that a slice view shows; one that was turned away from them counts as what its
    layout made it.
    """
    now = slice_node.GetOrientation()
    return now if now in PLANES else slice_node.GetDefaultOrientation()


def show_place(slice_node: slicer.vtkMRMLSliceNode, geometry: Geometry) -> None:
    """Moves a slice view through the middle of a one-slice geometry, which comes into its middle; its
    orientation stays.
    """
    slice_node.JumpSliceByCentering(*_middle(geometry))
    _zoom(slice_node, geometry)


def show_patch(slice_node: slicer.vtkMRMLSliceNode, geometry: Geometry) -> None:
    """Turns a slice view to the acquired plane of a one-slice geometry, the patch in the middle.

    The plane is the one that was acquired, oblique or not; of its four turns and two sides the view takes
    those closest to the radiological convention of the nearest standard plane.
    """
    slice_node.GetSliceToRAS().DeepCopy(to_matrix(slice_to_ras(geometry)))
    slice_node.UpdateMatrices()
    _zoom(slice_node, geometry)


def _zoom(slice_node: slicer.vtkMRMLSliceNode, geometry: Geometry) -> None:
    patch = max(geometry.shape[2] * geometry.spacing[0], geometry.shape[1] * geometry.spacing[1])
    across = PATCHES_ACROSS * patch
    width, height, _ = slice_node.GetDimensions()
    shorter = max(min(width, height), 1)
    slice_node.SetFieldOfView(
        across * width / shorter, across * height / shorter, slice_node.GetFieldOfView()[2]
    )
    slice_node.SetXYZOrigin(0.0, 0.0, 0.0)


def slice_to_ras(geometry: Geometry) -> np.ndarray:
    """The 4 x 4 matrix of a slice view (right, up, viewing axis; RAS, mm) centred on a one-slice geometry and
    in its plane.
    """
    i, j, k = (LPS_TO_RAS[:3, :3] @ np.reshape(geometry.direction, (3, 3))).T
    standard = STANDARD_AXES[int(np.argmax(np.abs(k)))]
    along_i = abs(i @ standard[0]) >= abs(j @ standard[0])
    axes = (i, j, k) if along_i else (j, i, k)
    turned = [axis if axis @ wanted >= 0 else -axis for axis, wanted in zip(axes, standard)]
    matrix = np.eye(4)
    matrix[:3, :3] = np.transpose(turned)
    matrix[:3, 3] = _middle(geometry)
    return matrix


def _middle(geometry: Geometry) -> np.ndarray:
    """The middle of a one-slice geometry, RAS."""
    centre = geometry.to_lps(((geometry.shape[2] - 1) / 2, (geometry.shape[1] - 1) / 2, 0.0))
    return LPS_TO_RAS[:3, :3] @ centre


def show_layers(
    composite: slicer.vtkMRMLSliceCompositeNode,
    background: slicer.vtkMRMLScalarVolumeNode,
    attention: slicer.vtkMRMLScalarVolumeNode | None,
    opacity: float,
) -> None:
    """The image with an attention map over it (None takes the map away) in the slice view of a composite
    node.
    """
    composite.SetBackgroundVolumeID(background.GetID())
    composite.SetForegroundVolumeID(attention.GetID() if attention is not None else None)
    composite.SetForegroundOpacity(opacity)
