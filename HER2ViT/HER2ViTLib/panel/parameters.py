"""Everything the user chose in the panel, saved and reloaded with the scene."""

from typing import Annotated

from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
    vtkMRMLTableNode,
)
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

TASKS = ["Task 1: HER2-zero vs low/positive", "Task 2: HER2-low vs positive"]


@parameterNodeWrapper
class HER2ViTParameterNode:
    """
    Everything the user chose and the nodes of the last reading; saved and reloaded with the scene.

    phases, phaseOrder - The DCE phases, in time order, and how they came into it.
    sequence - The phases as a sequence; used instead of `phases`.
    earlyPhase - Index of the phase that is read; -1 leaves it to the rule.
    seed - A point inside the lesion, to outline it from.
    segmentation, segmentID - The lesion's outline.
    task1Bundle, task2Bundle - Model folders; empty leaves the task out.
    device, attentionMethod - How the models run.
    shownTask, attentionOpacity - Which attention map is shown, and how strongly.
    image - The early phase of the last reading, under the attention map.
    attentionTask1, attentionTask2, resultTable - The last reading.
    """

    phases: list[vtkMRMLScalarVolumeNode]
    phaseOrder: Annotated[str, Choice(["headers", "names", "user"])] = "user"
    sequence: vtkMRMLSequenceNode
    earlyPhase: Annotated[int, WithinRange(-1, 999)] = -1
    seed: vtkMRMLMarkupsFiducialNode
    segmentation: vtkMRMLSegmentationNode
    segmentID: str
    task1Bundle: str
    task2Bundle: str
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    attentionMethod: Annotated[str, Choice(["rollout", "last", "gradient"])] = "rollout"
    shownTask: Annotated[str, Choice(TASKS)] = TASKS[1]
    attentionOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    image: vtkMRMLScalarVolumeNode
    attentionTask1: vtkMRMLScalarVolumeNode
    attentionTask2: vtkMRMLScalarVolumeNode
    resultTable: vtkMRMLTableNode
