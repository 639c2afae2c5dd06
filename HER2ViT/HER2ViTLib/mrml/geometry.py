"""Matrices and images of VTK, from arrays and back; the sign flip between our LPS and MRML's RAS."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from HER2ViTLib.imaging.volume import Geometry

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""


def to_matrix(array: np.ndarray) -> vtkMatrix4x4:
    """A 4 x 4 array as a VTK matrix."""
    matrix = vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, float).ravel().tolist())
    return matrix


def to_array(matrix: vtkMatrix4x4) -> np.ndarray:
    """A VTK matrix as a 4 x 4 array."""
    array = np.empty((4, 4))
    for row, column in np.ndindex(4, 4):
        array[row, column] = matrix.GetElement(row, column)
    return array


def oriented_image(mask: np.ndarray, geometry: Geometry) -> slicer.vtkOrientedImageData:
    """A boolean mask (K, J, I) as the kind of image that a segment holds, in the world (RAS, mm)."""
    image = image_data_of(slicer.vtkOrientedImageData(), mask.astype(np.uint8))
    image.SetImageToWorldMatrix(to_matrix(LPS_TO_RAS @ geometry.index_to_lps))
    return image


def image_data_of(image: Any, array: np.ndarray) -> Any:
    """The vtkImageData (or an object of a class derived from it), filled with a copy of the voxels
    (K, J, I).
    """
    image.SetDimensions(*reversed(array.shape))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).ravel(), deep=True))
    return image
