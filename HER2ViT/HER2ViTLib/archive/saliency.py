"""A task's attention map as a DICOM parametric map: one slice of float32 values in patient space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.enum import CoordinateSystemNames
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom.dataset import Dataset

from HER2ViTLib.dicom.frames import Frame
from HER2ViTLib.her2 import Task
from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.reading.reading import TaskReading

from . import codes
from .objects import breast_item, equipment, finish, images_of, refer_to
from .source import Source

FIRST_SERIES_NUMBER = 9003


def saliency_object(source: Source, task: Task, reading: TaskReading) -> Dataset:
    """The parametric map of a task's attention, on the pixels of the patch: nothing is resampled.

    Its values are those of `attention_TASK.nrrd`: without unit, 1 at the strongest.
    """
    volume = reading.attention_volume
    values = volume.array.astype(np.float32)
    mapping = RealWorldValueMapping(
        lut_label="SALIENCY",
        lut_explanation=f"Attention map, {task.key}",
        unit=codes.NO_UNITS,
        value_range=(float(values.min()), float(values.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.SALIENCY,
    )
    geometry = volume.geometry
    axes = np.reshape(geometry.direction, (3, 3))
    patient = CoordinateSystemNames.PATIENT
    made = ParametricMap(
        source_images=images_of(source),
        pixel_array=values,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=0.5,
        window_width=1.0,
        pixel_measures=PixelMeasuresSequence(
            (geometry.spacing[1], geometry.spacing[0]), geometry.spacing[2], geometry.spacing[2]
        ),
        plane_orientation=PlaneOrientationSequence(patient, [*axes[:, 0], *axes[:, 1]]),
        plane_positions=[PlanePositionSequence(patient, geometry.origin)],
        content_label="SALIENCY",
        content_description=f"Where the model of {task.key} looked; research use only",
        **equipment(FIRST_SERIES_NUMBER + _number(task), f"HER2ViT attention {task.key}"),
    )
    refer_to(made, source, [_slices_under(geometry, source)], codes.SPATIAL_RESAMPLING, same=False)
    made.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [_anatomy(source)]
    return finish(made, source)


def _number(task: Task) -> int:
    return list(codes.SCORE).index(task.key)


def _anatomy(source: Source) -> Dataset:
    """The breast and its side, "U" where that is not known."""
    item = Dataset()
    item.AnatomicRegionSequence = [breast_item(source)]
    item.FrameLaterality = source.laterality or "U"
    return item


def _slices_under(map_geometry: Geometry, source: Source) -> Sequence[Frame]:
    """The slices of the source that the map was made of: the one it lies in, all where it cuts across."""
    _, rows, columns = map_geometry.shape
    corners = np.array([(0, 0, 0), (columns, 0, 0), (0, rows, 0)])
    k = source.geometry.to_index(map_geometry.to_lps(corners))[:, 2]
    if np.ptp(k) > 0.5:
        return source.frames
    return [source.frames[round(float(k[0]))]]
