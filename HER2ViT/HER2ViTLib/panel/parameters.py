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
    caseName - What exports call the case; empty leaves it to the images' hash.
    subtraction - Early minus pre-contrast phase, where it was asked for.
    seed - A point inside the lesion, to outline it from.
    segmentation, segmentID, outlineShown - The lesion's outline, and whether the views show it.
    sliceIndex, sliceCount - The slice that is read (-1: the largest), and how many (0: as the models say).
    task1Bundle, task2Bundle - Model folders; empty leaves the task out.
    device, attentionMethod - How the models run.
    shownTask, attentionOpacity, attentionThreshold - Which attention map is shown, how strongly, from which
    value on.
    image - The early phase of the last reading, under the attention map.
    attentionTask1, attentionTask2, resultTable - The last reading.
    """

    phases: list[vtkMRMLScalarVolumeNode]
    phaseOrder: Annotated[str, Choice(["headers", "names", "user"])] = "user"
    sequence: vtkMRMLSequenceNode
    earlyPhase: Annotated[int, WithinRange(-1, 999)] = -1
    caseName: str
    subtraction: vtkMRMLScalarVolumeNode
    seed: vtkMRMLMarkupsFiducialNode
    segmentation: vtkMRMLSegmentationNode
    segmentID: str
    outlineShown: bool = True
    sliceIndex: Annotated[int, WithinRange(-1, 99999)] = -1
    sliceCount: Annotated[int, WithinRange(0, 99)] = 0
    task1Bundle: str
    task2Bundle: str
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    attentionMethod: Annotated[str, Choice(["rollout", "last", "gradient"])] = "rollout"
    shownTask: Annotated[str, Choice(TASKS)] = TASKS[1]
    attentionOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    attentionThreshold: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    image: vtkMRMLScalarVolumeNode
    attentionTask1: vtkMRMLScalarVolumeNode
    attentionTask2: vtkMRMLScalarVolumeNode
    resultTable: vtkMRMLTableNode
