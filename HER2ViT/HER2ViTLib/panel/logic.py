"""From the parameter node to the libraries and back; usable without the panel."""

import logging
import time

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from .archive_logic import ArchiveLogic, isGrown, markGrown
from .parameters import TASKS, HER2ViTParameterNode
from .session_logic import SessionLogic
from .slice_view import showLayers, turnToSlice

# Slicer imports this file at start-up: the functions import what is heavy.


class HER2ViTLogic(ScriptedLoadableModuleLogic):
    """From the parameter node to the libraries and back; usable without the panel."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from HER2ViTLib.workflow.loaded_models import LoadedModels
        from HER2ViTLib.workflow.shown_reading import CAME_WITH_SCENE

        self._models = LoadedModels()
        self._readTable = None
        self._readFrom = CAME_WITH_SCENE
        self.session = SessionLogic(self)
        self.archive = ArchiveLogic()

    def getParameterNode(self):
        # The decorator, unknown to the type checker, gives the class its constructor.
        return HER2ViTParameterNode(super().getParameterNode())  # type: ignore[call-arg]

    def segmentEditorNode(self):
        """The embedded Segment Editor's own parameter node, apart from that of the Segment Editor module."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node

    # What is chosen

    def phaseNodes(self, parameters):
        """The chosen volumes that are still in the scene."""
        return [node for node in parameters.phases if node is not None]

    def loadedVolumes(self, parameters):
        """The volumes in the scene that are images, not results of ours."""
        results = (
            parameters.attentionTask1,
            parameters.attentionTask2,
            parameters.image if parameters.sequence else None,
        )
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [
            node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and node not in results
        ]

    def addPhases(self, parameters, nodes):
        """Puts volumes on the list of phases and the list in time order: by the DICOM headers, else by
        numbers in the names.

        Raises InputError for a header that is broken.
        """
        from HER2ViTLib.mrml.inputs import header_times
        from HER2ViTLib.workflow.phase_order import phase_order

        unique = list(
            {node.GetID(): node for node in (*self.phaseNodes(parameters), *nodes) if node}.values()
        )
        told = header_times(unique, self._fileOfInstance())
        found = phase_order([node.GetName() for node in unique], told.order if told else None)
        with slicer.util.NodeModify(parameters):
            parameters.phases = [unique[n] for n in found.order]
            parameters.phaseOrder = found.rule

    def phaseOrderText(self, parameters):
        """How the phases came into their order, in words; empty without phases."""
        from HER2ViTLib.workflow.phase_order import ORDER_TEXTS

        return ORDER_TEXTS[parameters.phaseOrder] if len(self.phaseNodes(parameters)) > 1 else ""

    def _fileOfInstance(self):
        """The DICOM database's look-up of an image's file; a Slicer without DICOM support has none."""
        from HER2ViTLib.mrml.inputs import no_file

        database = getattr(slicer, "dicomDatabase", None)
        return database.fileForInstance if database and database.isOpen else no_file

    def phaseCount(self, parameters):
        return (
            parameters.sequence.GetNumberOfDataNodes()
            if parameters.sequence
            else len(self.phaseNodes(parameters))
        )

    def segmentIDs(self, segmentation):
        from HER2ViTLib.mrml.inputs import segment_names

        return list(segment_names(segmentation)) if segmentation else []

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
        return self._readFrom

    def outlineEdited(self, parameters):
        """Makes the shown reading one of a former outline."""
        self._readFrom = self.readFrom(parameters).with_outline_edited()

    def panelState(self, parameters, offered=None, row=-1):
        """All that the panel's looks depend on. `offered` is the volume in the selector beside the list of
        phases, `row` the selected line of that list.
        """
        from HER2ViTLib.mrml.results import reading_text
        from HER2ViTLib.workflow.panel_state import PanelState
        from HER2ViTLib.workflow.shown_reading import shown_reading

        return PanelState(
            inputs=self.inputs(parameters),
            listed=tuple(node.GetID() for node in self.phaseNodes(parameters)),
            loaded=tuple(node.GetID() for node in self.loadedVolumes(parameters)),
            offered=offered.GetID() if offered else "",
            row=row,
            has_sequence=parameters.sequence is not None,
            has_seed=parameters.seed is not None,
            has_table=parameters.resultTable is not None,
            has_map=self.attentionNode(parameters) is not None,
            reading=shown_reading(reading_text(parameters.resultTable)),
            read_from=self.readFrom(parameters),
            missing_for_archive=self.archive.missing(),
            session=self.session.state,
        )

    def study(self, parameters):
        """The chosen phases as a study. Raises InputError, one line, when they are none."""
        from HER2ViTLib.mrml.inputs import study_from_nodes, study_from_sequence
        from HER2ViTLib.workflow.phase_order import order_warning

        if parameters.sequence:
            return study_from_sequence(parameters.sequence, self._fileOfInstance())
        warnings = order_warning(parameters.phaseOrder)
        return study_from_nodes(self.phaseNodes(parameters), self._fileOfInstance(), warnings)

    def paintingNode(self, parameters):
        """The volume to outline the lesion on; None when no phase is a volume in the scene."""
        from HER2ViTLib.workflow.choices import painting_phase

        nodes = self.phaseNodes(parameters)
        if parameters.sequence or not nodes:
            return parameters.image
        return nodes[painting_phase(len(nodes), parameters.earlyPhase)]

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
            parameters.phases = phases
            parameters.phaseOrder = "user"
            parameters.sequence = None
            parameters.earlyPhase = -1
            parameters.segmentation = segmentation
            # The sample's outline is one segment: there is nothing to guess.
            parameters.segmentID = next(iter(segment_names(segmentation)))
            self.chooseDemoModels(parameters)

    def chooseDemoModels(self, parameters):
        from HER2ViTLib.sample import demo_bundles

        task1, task2 = demo_bundles()
        parameters.task1Bundle = str(task1)
        parameters.task2Bundle = str(task2)

    # Outlining

    def outlineFromSeed(self, parameters):
        """Outlines the lesion around the seed into our own segmentation and chooses it. Raises InputError."""
        from HER2ViTLib.lesion import outlining as lesion
        from HER2ViTLib.mrml.inputs import seed_lps
        from HER2ViTLib.study.phases import choose_phases

        study = self.study(parameters)
        chosen = choose_phases(study, None, self.choices(parameters).early_phase_override)
        early = chosen.early.index
        mask = lesion.outline(chosen.early_volume(study), chosen.pre_volume(study), seed_lps(parameters.seed))
        # A segmentation of the user's own stays as it is.
        own = _ours(parameters.segmentation, "HER2ViT.Outline")
        self._chooseOutline(parameters, mask, study, early, own)
        markGrown(parameters.segmentation, parameters.segmentID)

    def newOutline(self, parameters):
        """Makes an empty segment on the study's voxel grid and chooses it, to draw in. Raises InputError."""
        import numpy as np

        from HER2ViTLib.workflow.choices import painting_phase

        study = self.study(parameters)
        early = painting_phase(len(study.phases), parameters.earlyPhase)
        self._chooseOutline(parameters, np.zeros(study.geometry.shape, bool), study, early, None)

    def _chooseOutline(self, parameters, mask, study, early, segmentation):
        from HER2ViTLib.mrml import results as scene

        image = self._imageNode(parameters, study, early)
        if parameters.segmentation and parameters.segmentation is not segmentation:
            # Two outlines of one lesion look alike: only the one that will be read is shown.
            parameters.segmentation.SetDisplayVisibility(False)
        with slicer.util.NodeModify(parameters):
            segmentation = scene.put_segment(
                slicer.mrmlScene, mask, study.geometry, "Lesion outline", segmentation, reference=image
            )
            segmentation.SetAttribute("HER2ViT.Outline", "1")
            scene.put_beside(slicer.mrmlScene, [segmentation], image)
            parameters.image = image
            parameters.segmentation = segmentation
            parameters.segmentID = scene.LESION

    def _imageNode(self, parameters, study, phase):
        """The volume node of a phase; of a sequence, whose volumes no view can show, a copy of it."""
        from HER2ViTLib.mrml import results as scene

        if not parameters.sequence:
            return self.phaseNodes(parameters)[phase]
        former = _ours(parameters.image, "HER2ViT.Copy")
        node = scene.put_volume(slicer.mrmlScene, study.phases[phase].volume, "Early phase", former)
        node.SetAttribute("HER2ViT.Copy", "1")
        return node

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
        reading = reader.read(study, roi, Overrides(early_phase=choices.early_phase_override))
        grown = isGrown(parameters.segmentation, parameters.segmentID)
        self.archive.keep(reading, study, roi.mask, grown)
        self._show(parameters, reading, study)
        progress(_("Read in {seconds:.1f} s.").format(seconds=time.monotonic() - started))
        return reading

    def _show(self, parameters, reading, study):
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.workflow.shown_reading import ReadFrom

        former = scene.ReadingNodes(
            parameters.resultTable, parameters.attentionTask1, parameters.attentionTask2
        )
        nodes = scene.put_reading(slicer.mrmlScene, reading, former)
        image = self._imageNode(parameters, study, reading.early_phase.index)
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
            # Results may have changed inside nodes that stayed the same.
            parameters.Modified()
        self.showOverlay(parameters)
        self.jumpToSlice(parameters)

    # Showing

    def attentionNode(self, parameters):
        """The attention map of the task that is shown; None where there is none."""
        return parameters.attentionTask1 if parameters.shownTask == TASKS[0] else parameters.attentionTask2

    def showOverlay(self, parameters):
        """The image of the last reading with the attention map over it, in a slice view."""
        showLayers(parameters.image, self.attentionNode(parameters), parameters.attentionOpacity)

    def jumpToSlice(self, parameters):
        """Turns the slice view to the slice that was read, the lesion in the middle."""
        turnToSlice(self.attentionNode(parameters))


def _ours(node, mark):
    """The node where this module has made it and marked it so, else None."""
    return node if node and node.GetAttribute(mark) else None
