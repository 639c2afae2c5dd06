"""A slice view turned to what was read: its plane, its layers."""

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


def show_patch(slice_node: slicer.vtkMRMLSliceNode, geometry: Geometry, widths: float = 3.0) -> None:
    """Turns a slice view to the acquired plane of a one-slice geometry, the patch in the middle, `widths`
    patches across.

    The plane is the one that was acquired, oblique or not; of its four turns and two sides the view takes
    those closest to the radiological convention of the nearest standard plane.
    """
    slice_node.GetSliceToRAS().DeepCopy(to_matrix(slice_to_ras(geometry)))
    slice_node.UpdateMatrices()
    across = widths * max(geometry.shape[2] * geometry.spacing[0], geometry.shape[1] * geometry.spacing[1])
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
    centre = geometry.to_lps(((geometry.shape[2] - 1) / 2, (geometry.shape[1] - 1) / 2, 0.0))
    matrix[:3, 3] = LPS_TO_RAS[:3, :3] @ centre
    return matrix


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
