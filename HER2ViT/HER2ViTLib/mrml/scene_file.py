"""A reading as a scene file for 3D Slicer, written without the application."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer

from HER2ViTLib.files.output import TEMPORARY_PREFIX
from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.study.study import Study

from .results import put_reading, put_segment, put_volume
from .views import plane_of, show_layers, show_patch, show_place

if TYPE_CHECKING:
    from HER2ViTLib.reading.reading import Reading

VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
"""Slicer's slice views, and the planes they show."""


def new_scene() -> slicer.vtkMRMLScene:
    """An empty scene that can hold segmentations."""
    scene = slicer.vtkMRMLScene()
    # The oldest application that we promise to read our files: slicer-core's own name, and a newer version,
    # make Slicer warn that the scene may not load.
    scene.SetVersion("Slicer 5.12.0 0")
    # Outside the application nothing has told MRML yet how segments are converted.
    slicer.vtkSlicerSegmentationsModuleLogic().SetMRMLScene(scene)
    return scene


def write_reading_scene(reading: Reading, study: Study, roi: np.ndarray, path: str | os.PathLike) -> None:
    """A scene file (.mrb) of a reading that 3D Slicer opens on its slice.

    Holds the early phase, the outline `roi` (boolean, K J I, on the study's geometry), the attention maps and
    the result table; nodes are named by role.
    """
    scene = new_scene()
    image = put_volume(scene, study.phases[reading.early_phase.index].volume, "Early phase")
    put_segment(scene, roi, study.geometry, "Outline", reference=image)
    nodes = put_reading(scene, reading)
    # A view in a file brings its label, colour and standard orientations along, else Slicer's own are lost
    # when it opens the scene.
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    attention = nodes.task2 or nodes.task1 or nodes.task3
    for name in VIEWS:
        _add_view(scene, name, image, attention, reading.leading_task.patch.geometry)
    save_scene(scene, path)


def _add_view(
    scene: slicer.vtkMRMLScene,
    name: str,
    image: slicer.vtkMRMLNode,
    attention: slicer.vtkMRMLNode,
    geometry: Geometry,
) -> None:
    """One of Slicer's slice views, at the lesion; the one of the slice's plane shows it with its attention
    map. Views carry a layout name, by which Slicer finds them when it opens the scene.
    """
    view = scene.CreateNodeByClass("vtkMRMLSliceNode")
    layers = scene.CreateNodeByClass("vtkMRMLSliceCompositeNode")
    for node in (view, layers):
        node.UnRegister(None)
        node.SetSingletonTag(name)
        node.SetLayoutName(name)
        scene.AddNode(node)
    view.SetLayoutLabel(name[0])
    view.SetLayoutColor(getattr(slicer.vtkMRMLAbstractViewNode, f"Get{name}Color")())
    view.SetDefaultOrientation(VIEWS[name])
    view.SetOrientation(VIEWS[name])
    is_of_the_slice = VIEWS[name] == plane_of(geometry)
    (show_patch if is_of_the_slice else show_place)(view, geometry)
    show_layers(layers, image, attention if is_of_the_slice else None, opacity=0.5)


def save_scene(scene: slicer.vtkMRMLScene, path: str | os.PathLike) -> None:
    """Writes a scene as .mrb, under a temporary name in the same folder first. Raises `OSError` when it
    cannot be written.
    """
    path = Path(path).resolve()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY_PREFIX) as folder:
        unpacked = Path(folder) / path.stem
        unpacked.mkdir()
        if not scene.SaveSceneToSlicerDataBundleDirectory(str(unpacked)):
            raise OSError(
                f"{path}: the scene could not be written; check the free space and the folder's permissions"
            )
        # Zipped here rather than by WriteToMRB, which reports every file on standard output.
        Path(shutil.make_archive(str(unpacked), "zip", folder, unpacked.name)).replace(path)
