"""A DCE-MRI as one sequence node, and back: with its times, its doubts and what it was read from.

A sequence by itself keeps a number a volume. So what the files told of the study goes along as an attribute,
and a reading of the sequence is the reading of the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import slicer

from HER2ViTLib.files.hashes import InputHash, array_sha256
from HER2ViTLib.imaging.series import StoredSlice
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.messages import ReadingWarning
from HER2ViTLib.study.study import Phase, Study

from .results import put_volume

STUDY_ATTRIBUTE = "HER2ViT.Study"
InstanceOfFile = Callable[[Path], str]
"""The SOP instance UID of a DICOM image by its file (`instanceForFile` of Slicer's DICOM database)."""


def put_study(
    scene: slicer.vtkMRMLScene, study: Study, name: str, instance_of: InstanceOfFile
) -> slicer.vtkMRMLSequenceNode:
    """A new sequence node with a volume a phase, its index the phase's start (s), else its number.
    `study` is cut across the axis that it is stored by.
    """
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    starts = study.starts_s
    sequence.SetIndexName("time" if starts else "phase")
    sequence.SetIndexUnit("s" if starts else "")
    for n, phase in enumerate(study.phases):
        volume = put_volume(scene, phase.volume, f"{name} phase {n}")
        sequence.SetDataNodeAtValue(volume, f"{starts[n]:g}" if starts else str(n))
        # The sequence holds a copy.
        scene.RemoveNode(volume)
    sequence.SetAttribute(STUDY_ATTRIBUTE, json.dumps(_told(study, instance_of)))
    return sequence


def as_stored(
    sequence: slicer.vtkMRMLSequenceNode, volumes: Sequence[Volume], file_of: Callable[[str], str]
) -> Study | None:
    """The study that `put_study` put into the sequence; None for any other sequence, and where its volumes
    have been changed since.

    `file_of` finds the file of an image by its SOP instance UID, empty where there is none.
    """
    text = sequence.GetAttribute(STUDY_ATTRIBUTE)
    if not text:
        return None
    told = json.loads(text)
    if [array_sha256(volume.array) for volume in volumes] != told["voxels"]:
        return None
    phases = []
    for volume, phase in zip(volumes, told["phases"]):
        stored = _stored(phase["slices"], file_of)
        phases.append(Phase(volume, phase["start_s"], phase["duration_s"], stored))
    return Study(
        phases=tuple(phases),
        contrast_start_s=told["contrast_start_s"],
        inputs=tuple(InputHash(**one) for one in told["inputs"]),
        warnings=tuple(ReadingWarning(**one) for one in told["warnings"]),
        notes=tuple(told["notes"]),
    )


def _told(study: Study, instance_of: InstanceOfFile) -> Mapping[str, Any]:
    """What a sequence node cannot keep otherwise."""
    phases = []
    for phase in study.phases:
        slices = [[instance_of(one.path), one.number] for one in phase.stored]
        phases.append({"start_s": phase.start_s, "duration_s": phase.duration_s, "slices": slices})
    return {
        "phases": phases,
        "voxels": [array_sha256(phase.volume.array) for phase in study.phases],
        "contrast_start_s": study.contrast_start_s,
        "inputs": [asdict(replace(hashed, name=None)) for hashed in study.inputs],
        "warnings": [asdict(warning) for warning in study.warnings],
        "notes": list(study.notes),
    }


def _stored(slices: Sequence[Sequence[Any]], file_of: Callable[[str], str]) -> tuple[StoredSlice, ...]:
    """Where the slices are stored now; nothing where the file of one is not to be found."""
    found = [(file_of(instance), number) for instance, number in slices]
    if not all(path for path, _ in found):
        return ()
    return tuple(StoredSlice(Path(path), number) for path, number in found)
