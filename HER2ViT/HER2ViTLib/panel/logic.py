"""From the parameter node to the libraries and back; usable without the panel."""

import logging
import time

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from .case_logic import CaseLogic
from .export_logic import ExportLogic
from .outline_logic import OutlineLogic
from .parameters import TASKS, HER2ViTParameterNode
from .session_logic import SessionLogic
from .slice_view import showLayers, turnToLesion, turnToSlice

# Slicer imports this file at start-up: the functions import what is heavy.


class HER2ViTLogic(CaseLogic, OutlineLogic, ScriptedLoadableModuleLogic):
    """From the parameter node to the libraries and back; usable without the panel."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        CaseLogic.__init__(self)
        from HER2ViTLib.workflow.loaded_models import LoadedModels
        from HER2ViTLib.workflow.shown_reading import CAME_WITH_SCENE

        self._models = LoadedModels()
        self._readTable = None
        self._readFrom = CAME_WITH_SCENE
        self.session = SessionLogic(self)
        self.export = ExportLogic()

    def getParameterNode(self):
        # The decorator, unknown to the type checker, gives the class its constructor.
        return HER2ViTParameterNode(super().getParameterNode())  # type: ignore[call-arg]

    # What is chosen

    def choices(self, parameters):
        from HER2ViTLib.workflow.choices import Choices

        return Choices(
            phases=self.phaseCount(parameters),
            early_phase=parameters.earlyPhase,
            segment=(
                parameters.segmentID
                if parameters.segmentID in self.segmentIDs(parameters.segmentation)
                else ""
            ),
            bundles=(parameters.task1Bundle, parameters.task2Bundle),
            device=parameters.device,
            method=parameters.attentionMethod,
            slice_index=parameters.sliceIndex,
            slice_count=parameters.sliceCount,
        )

    def inputs(self, parameters):
        """What a reading would be made from now."""
        from HER2ViTLib.workflow.shown_reading import Inputs

        nodes = [*self.phaseNodes(parameters), parameters.sequence, parameters.segmentation]
        return Inputs(self.choices(parameters), tuple(node.GetID() for node in nodes if node))

    def readFrom(self, parameters):
        """What the shown reading was made from."""
        from HER2ViTLib.workflow.shown_reading import CAME_WITH_SCENE

        if parameters.resultTable is not self._readTable:
            # No run of ours filled this table.
            self._readTable = parameters.resultTable
            self._readFrom = CAME_WITH_SCENE
            self.export.forget()
        return self._readFrom

    def outlineEdited(self, parameters):
        """Makes the shown reading one of a former outline."""
        self._readFrom = self.readFrom(parameters).with_outline_edited()

    def panelState(self, parameters, offered=None, row=-1, table=""):
        """All that the panel's looks depend on. `offered` is the volume in the selector beside the list of
        phases, `row` the selected line of that list, `table` the CSV to append to.
        """
        from HER2ViTLib.mrml.results import reading_text
        from HER2ViTLib.workflow.panel_state import PanelState
        from HER2ViTLib.workflow.shown_reading import shown_reading

        read_from = self.readFrom(parameters)
        return PanelState(
            inputs=self.inputs(parameters),
            facts=self.facts(parameters),
            listed=tuple(node.GetID() for node in self.phaseNodes(parameters)),
            loaded=tuple(node.GetID() for node in self.loadedVolumes(parameters)),
            offered=offered.GetID() if offered else "",
            row=row,
            has_sequence=parameters.sequence is not None,
            has_seed=bool(parameters.seed and parameters.seed.GetNumberOfDefinedControlPoints()),
            has_table=parameters.resultTable is not None,
            has_map=self.attentionNode(parameters) is not None,
            reading=shown_reading(reading_text(parameters.resultTable)),
            read_from=read_from,
            missing_for_export=self.export.missing(),
            missing_for_archive=self.export.missingForArchive(),
            table=table,
            session=self.session.state,
        )

    # Sample and demo models

    def loadSample(self, parameters):
        """Loads the bundled simulated case with its outline and chooses it, with the demo models."""
        from HER2ViTLib.mrml.inputs import segment_names
        from HER2ViTLib.sample import sample_phases, sample_roi

        phases = [
            slicer.util.loadVolume(str(path), {"name": f"Sample phase {n}", "show": n == 1})
            for n, path in enumerate(sample_phases())
        ]
        segmentation = slicer.util.loadSegmentation(str(sample_roi()))
        segmentation.SetName("Sample outline")
        for node in phases:
            # One window for all phases, to compare them, and as wide as the lesion, which the automatic one
            # shows as a white patch.
            node.GetDisplayNode().AutoWindowLevelOff()
            node.GetDisplayNode().SetWindowLevelMinMax(0, 400)
        # A filled outline would hide the attention map.
        segmentation.GetDisplayNode().SetVisibility2DFill(False)
        with slicer.util.NodeModify(parameters):
            self.clearCase(parameters)
            parameters.phases = phases
            parameters.segmentation = segmentation
            # The sample's outline is one segment: there is nothing to guess.
            parameters.segmentID = next(iter(segment_names(segmentation)))
            self.chooseDemoModels(parameters)

    def chooseDemoModels(self, parameters):
        from HER2ViTLib.sample import demo_bundles

        task1, task2 = demo_bundles()
        parameters.task1Bundle = str(task1)
        parameters.task2Bundle = str(task2)

    # Reading

    def run(self, parameters, progress=logging.info):
        """One reading of what is chosen: result table, attention maps, the slice in view. Raises InputError;
        then nothing has changed.
        """
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.mrml.inputs import segment_roi

        started = time.monotonic()
        choices = self.choices(parameters)
        if choices.missing():
            raise InputError(choices.missing())
        progress(_("Fetching the images..."))
        study = self.study(parameters)
        roi = segment_roi(parameters.segmentation, parameters.segmentID, study.geometry)
        reader = self._models.reader(choices, progress)
        from HER2ViTLib.reading.reading import Overrides  # torch: only now

        progress(_("Reading..."))
        overrides = Overrides(choices.early_phase_override, slice_index=choices.slice_override)
        reading = reader.read(study, roi, overrides, case_id=parameters.caseName.strip() or None)
        self._show(parameters, reading, study)
        self.export.keep(reading, study, roi.mask, self.isGrown(parameters))
        # Results may have changed inside nodes that stayed the same.
        parameters.Modified()
        progress(_("Read in {seconds:.1f} s.").format(seconds=time.monotonic() - started))
        return reading

    def _show(self, parameters, reading, study):
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.workflow.shown_reading import ReadFrom

        former = scene.ReadingNodes(
            parameters.resultTable, parameters.attentionTask1, parameters.attentionTask2
        )
        nodes = scene.put_reading(slicer.mrmlScene, reading, former)
        image = self.imageNode(parameters, study, reading.early_phase.index)
        neighbour = image if not parameters.sequence else parameters.sequence
        scene.put_beside(slicer.mrmlScene, [nodes.table, nodes.task1, nodes.task2], neighbour)
        self._readTable = nodes.table
        self._readFrom = ReadFrom(self.inputs(parameters))
        with slicer.util.NodeModify(parameters):
            parameters.image = image
            parameters.resultTable = nodes.table
            parameters.attentionTask1 = nodes.task1
            parameters.attentionTask2 = nodes.task2
            if self.attentionNode(parameters) is None:
                parameters.shownTask = TASKS[0] if nodes.task1 else TASKS[1]
        self.showOverlay(parameters)
        self.jumpToSlice(parameters)

    # Showing

    def attentionNode(self, parameters):
        """The attention map of the task that is shown; None where there is none."""
        return parameters.attentionTask1 if parameters.shownTask == TASKS[0] else parameters.attentionTask2

    def showOverlay(self, parameters):
        """The image of the last reading with the attention map over it, from the chosen threshold on."""
        from HER2ViTLib.mrml.results import show_attention_from

        attention = self.attentionNode(parameters)
        if attention:
            show_attention_from(attention, parameters.attentionThreshold)
        showLayers(parameters.image, attention, parameters.attentionOpacity)

    def jumpToSlice(self, parameters):
        """Turns the slice views to the slice that was read, the lesion in the middle."""
        turnToLesion(self.attentionNode(parameters))

    def pickSlice(self, parameters, index):
        """Chooses the slice to read (-1: the largest) and shows it. Raises InputError as `study` does."""
        import numpy as np

        from HER2ViTLib.mrml.inputs import segment_roi

        parameters.sliceIndex = index
        lesion = self.facts(parameters).lesion
        if lesion is None:
            return
        shown = lesion.largest if index < 0 else index
        geometry = self.study(parameters).geometry
        mask = segment_roi(parameters.segmentation, parameters.segmentID, geometry).mask[shown]
        if mask.any():
            j, i = np.argwhere(mask).mean(axis=0)
            turnToSlice(geometry, shown, (i, j))
