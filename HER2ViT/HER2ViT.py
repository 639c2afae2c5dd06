import contextlib
import importlib.util
import logging
import tempfile
import time
import unittest
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer import (
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
    vtkMRMLTableNode,
)
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# Slicer imports every module file at start-up: the libraries are imported by the functions that need them.


#
# HER2ViT
#


class HER2ViT(ScriptedLoadableModule):
    """Reads HER2 status from breast DCE-MRI: https://github.com/her2vit/SlicerHER2ViT"""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        from HER2ViTLib.messages import RESEARCH_NOTICE

        self.parent.title = _("HER2ViT")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Markups", "Segmentations", "SegmentEditor", "Sequences", "Tables"]
        self.parent.contributors = ["HER2ViT contributors"]
        self.parent.helpText = _("""
<p><b>{notice}</b></p>
<p>Reads HER2 status (zero, low, positive) from pre-treatment breast DCE-MRI with two Vision Transformers: choose the phases, outline the
lesion, choose a model for each task, and read. The attention map lies over the slice that was read.</p>
<p>The bundled demo models are trained on simulated images; they are for trying the software only.
See the <a href="https://github.com/her2vit/SlicerHER2ViT">documentation</a>.</p>
""").format(notice=RESEARCH_NOTICE)
        self.parent.acknowledgementText = _("""
Puts into practice an open-access (CC BY 4.0, 2025) multicentre study of Vision Transformers on breast DCE-MRI; see the documentation for
the citation.
""")


#
# HER2ViTParameterNode
#

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


#
# HER2ViTWidget
#


class HER2ViTWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Binds the panel to the parameter node and calls the logic. What it shows and allows is decided in HER2ViTLib/workflow.py."""

    def __init__(self, parent=None):
        # The base class calls setup() when it has no parent, so these come first.
        self.logic = None
        self.ui = None
        self.segmentEditor = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None
        self._updatingGui = False
        self._shownOverlay = None
        self._watchedOutline = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from HER2ViTLib.messages import RESEARCH_NOTICE

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HER2ViT.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.ui.noticeLabel.text = RESEARCH_NOTICE
        self.logic = HER2ViTLogic()
        self._setupSegmentEditor()
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)

        self.ui.sampleButton.connect("clicked(bool)", self.onLoadSample)
        self.ui.phaseSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._updatePhaseButtons)
        self.ui.phaseSelector.connect("nodeAdded(vtkMRMLNode*)", self._updatePhaseButtons)
        self.ui.phasesList.connect("currentRowChanged(int)", self._updatePhaseButtons)
        self.ui.addPhaseButton.connect("clicked(bool)", self.onAddPhase)
        self.ui.addAllPhasesButton.connect("clicked(bool)", self.onAddAllPhases)
        self.ui.removePhaseButton.connect("clicked(bool)", self.onRemovePhase)
        self.ui.movePhaseUpButton.connect("clicked(bool)", self.onMovePhaseUp)
        self.ui.outlineButton.connect("clicked(bool)", self.onOutlineFromSeed)
        self.ui.newOutlineButton.connect("clicked(bool)", self.onNewOutline)
        self.ui.segmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onSegmentationChanged)
        self.ui.segmentSelector.connect("currentSegmentChanged(QString)", self.onSegmentChanged)
        for path in (self.ui.task1BundlePath, self.ui.task2BundlePath):
            # The path widget itself is silent when it is emptied or names no folder: the reading would take the folder before.
            path.comboBox().connect("editTextChanged(QString)", self.onBundlesChanged)
        self.ui.demoModelsButton.connect("clicked(bool)", self.onDemoModels)
        self.ui.runButton.connect("clicked(bool)", self.onRun)
        self.ui.jumpButton.connect("clicked(bool)", self.onJump)
        self.ui.sessionOpenButton.connect("clicked(bool)", self.onSessionOpen)
        self.ui.sessionSaveButton.connect("clicked(bool)", self.onSessionSave)
        self.ui.sessionSkipButton.connect("clicked(bool)", self.onSessionSkip)
        self.ui.sessionCloseButton.connect("clicked(bool)", self.onSessionClose)

        self.initializeParameterNode()

    def _setupSegmentEditor(self):
        import qSlicerSegmentationsModuleWidgetsPythonQt

        self.segmentEditor = qSlicerSegmentationsModuleWidgetsPythonQt.qMRMLSegmentEditorWidget()
        self.segmentEditor.setMaximumNumberOfUndoStates(10)
        self.segmentEditor.setUndoEnabled(True)
        # Images and segmentation are chosen above; the editor only draws, and leaves the views' layers to the user and the reading.
        self.segmentEditor.setSegmentationNodeSelectorVisible(False)
        self.segmentEditor.setSourceVolumeNodeSelectorVisible(False)
        self.segmentEditor.setSwitchToSegmentationsButtonVisible(False)
        self.segmentEditor.setAutoShowSourceVolumeNode(False)
        self.segmentEditor.setMRMLSegmentEditorNode(self.logic.segmentEditorNode())
        self.segmentEditor.setMRMLScene(slicer.mrmlScene)
        self.ui.segmentEditorSection.layout().addWidget(self.segmentEditor)

    # Life of the panel

    def cleanup(self):
        """Called when the application closes and the module widget is destroyed."""
        self.logic.closeSession()
        self.setParameterNode(None)
        self.removeObservers()
        if self.segmentEditor:
            # An editor that outlives the panel crashes the application on its way out.
            self._releaseSegmentEditor()
            self.segmentEditor.deleteLater()
            self.segmentEditor = None

    def enter(self):
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.segmentEditor.installKeyboardShortcuts()

    def exit(self):
        """Called each time the user opens a different module."""
        self._releaseSegmentEditor()
        self.setParameterNode(None)

    def _releaseSegmentEditor(self):
        self.segmentEditor.setActiveEffect(None)
        self.segmentEditor.uninstallKeyboardShortcuts()
        self.segmentEditor.removeViewObservations()

    def onSceneStartClose(self, caller, event):
        """Called just before the scene is closed."""
        self.logic.closeSession()
        self.segmentEditor.setActiveEffect(None)
        self.segmentEditor.setSegmentationNode(None)
        self.segmentEditor.removeViewObservations()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Called just after the scene is closed."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller, event):
        """Called just after a scene was loaded, perhaps with choices of its own."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Makes sure that there is a parameter node and that it is observed."""
        self.segmentEditor.setMRMLSegmentEditorNode(self.logic.segmentEditorNode())
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        """Binds the panel to a parameter node, or to none."""
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateGui)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._shownOverlay = (self._parameterNode.shownTask, self._parameterNode.attentionOpacity)
            self._parameterNodeGuiTag = self._connectGui()
            self.addObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._updateGui)
        else:
            self._watchOutline(None)
        self._updateGui()

    def _connectGui(self):
        """Binds each widget with a dynamic property "SlicerParameterName" in the .ui file to that parameter; returns the tag to undo it.

        The wrapper's own connectGui() does the same, but returns no tag before Slicer 5.8: a closed scene's node would stay bound.
        """
        bound = {name: widget for widget in self.ui.__dict__.values() if (name := widget.property("SlicerParameterName"))}
        return self._parameterNode.connectParametersToGui(bound)

    # Parameter node to panel

    def _updateGui(self, caller=None, event=None):
        if self._updatingGui or not self._parameterNode:
            return
        self._updatingGui = True
        try:
            self._updatePhases()
            self._updateOutline()
            self._updateBundles()
            self._updateActions()
            self._updateSession()
            self._updateResult()
        finally:
            self._updatingGui = False

    def _updatePhases(self):
        row = self.ui.phasesList.currentRow
        self.ui.phasesList.clear()
        for index, node in enumerate(self.logic.phaseNodes(self._parameterNode)):
            self.ui.phasesList.addItem(f"{index}: {node.GetName()}")
        self.ui.phasesList.currentRow = min(row, self.ui.phasesList.count - 1)
        self.ui.phaseOrderLabel.text = self.logic.phaseOrderText(self._parameterNode)
        self._updatePhaseButtons()

    def _updatePhaseButtons(self, changed=None):
        if not self._parameterNode:
            return
        phases, loaded = self.logic.phaseNodes(self._parameterNode), self.logic.loadedVolumes(self._parameterNode)
        volume, row = self.ui.phaseSelector.currentNode(), self.ui.phasesList.currentRow
        possible = {
            self.ui.phasesList: True,
            self.ui.phaseSelector: True,
            self.ui.addPhaseButton: volume is not None and volume not in phases,
            self.ui.addAllPhasesButton: any(node not in phases for node in loaded),
            self.ui.movePhaseUpButton: row > 0,
            self.ui.removePhaseButton: row >= 0,
        }
        for widget, enabled in possible.items():
            widget.enabled = enabled and self._parameterNode.sequence is None

    def _updateOutline(self):
        segmentation, segmentID = self._parameterNode.segmentation, self._parameterNode.segmentID
        if self.ui.segmentSelector.currentNode() is not segmentation:
            self.ui.segmentSelector.setCurrentNode(segmentation)
        if self.ui.segmentSelector.currentSegmentID() != segmentID:
            self.ui.segmentSelector.setCurrentSegmentID(segmentID)
        if self.segmentEditor.segmentationNode() is not segmentation:
            self.segmentEditor.setSegmentationNode(segmentation)
        self._watchOutline(segmentation)
        paintingNode = self.logic.paintingNode(self._parameterNode)
        # Without a segmentation the editor refuses a volume, and complains in the log.
        if segmentation and self.segmentEditor.sourceVolumeNode() is not paintingNode:
            self.segmentEditor.setSourceVolumeNode(paintingNode)
        if segmentID and self.segmentEditor.currentSegmentID() != segmentID:
            self.segmentEditor.setCurrentSegmentID(segmentID)

    def _updateBundles(self):
        chosen = {self.ui.task1BundlePath: self._parameterNode.task1Bundle, self.ui.task2BundlePath: self._parameterNode.task2Bundle}
        for path, folder in chosen.items():
            # Setting the same text again would move the cursor of somebody who types.
            if path.currentPath != folder:
                path.currentPath = folder

    def _watchOutline(self, segmentation):
        edited = slicer.vtkSegmentation.SourceRepresentationModified
        if segmentation is self._watchedOutline:
            return
        if self._watchedOutline:
            self.removeObserver(self._watchedOutline, edited, self.onOutlineEdited)
        self._watchedOutline = segmentation
        if segmentation:
            self.addObserver(segmentation, edited, self.onOutlineEdited)

    def _updateActions(self):
        choices = self.logic.choices(self._parameterNode)
        self.ui.outlineButton.enabled = not choices.missing_images() and self._parameterNode.seed is not None
        self.ui.newOutlineButton.enabled = not choices.missing_images()
        self.ui.runButton.enabled = not choices.missing()
        self.ui.runButton.toolTip = choices.missing() or _("Read HER2 status of the outlined lesion.")
        self.ui.progressLabel.text = choices.missing()

    def _updateSession(self):
        session = self.logic.session
        self.ui.sessionLabel.text = session.progress if session else ""
        self.ui.sessionPath.enabled = self.ui.sessionOpenButton.enabled = session is None
        self.ui.sessionCloseButton.enabled = session is not None
        working = session is not None and not session.finished
        self.ui.sessionSkipButton.enabled = working
        self.ui.sessionSaveButton.enabled = working and bool(self._parameterNode.segmentID)

    def _updateResult(self):
        from HER2ViTLib.workflow import decisions as workflow

        rows = self.logic.resultRows(self._parameterNode)
        self.ui.headlineLabel.text = workflow.headline(rows) or _("No reading yet.")
        remarks = workflow.remarks(rows)
        if rows and self.logic.outdated(self._parameterNode):
            remarks.insert(0, _("Outline, images or models have changed since this reading: read again."))
        self.ui.remarksLabel.text = "\n".join(remarks)
        if self.ui.resultTableView.mrmlTableNode() is not self._parameterNode.resultTable:
            self.ui.resultTableView.setMRMLTableNode(self._parameterNode.resultTable)
        if rows:
            self.ui.resultTableView.resizeColumnToContents(0)
            self.ui.resultTableView.resizeRowsToContents()
        self.ui.jumpButton.enabled = self.logic.attentionNode(self._parameterNode) is not None
        overlay = (self._parameterNode.shownTask, self._parameterNode.attentionOpacity)
        if overlay != self._shownOverlay:
            self._shownOverlay = overlay
            self.logic.showOverlay(self._parameterNode)

    # Panel to parameter node

    def onLoadSample(self, checked=False):
        with self._reporting(_("Loading the sample failed.")):
            self.logic.loadSample(self._parameterNode)

    def onAddPhase(self, checked=False):
        self._addPhases([self.ui.phaseSelector.currentNode()])

    def onAddAllPhases(self, checked=False):
        self._addPhases(self.logic.loadedVolumes(self._parameterNode))

    def _addPhases(self, nodes):
        with self._reporting(_("The phases could not be put in order.")):
            self.logic.addPhases(self._parameterNode, nodes)

    def onRemovePhase(self, checked=False):
        row = self.ui.phasesList.currentRow
        self._setPhases([node for index, node in enumerate(self.logic.phaseNodes(self._parameterNode)) if index != row])

    def onMovePhaseUp(self, checked=False):
        from HER2ViTLib.workflow import decisions as workflow

        row = self.ui.phasesList.currentRow
        self._parameterNode.phaseOrder = workflow.BY_USER
        self._setPhases(workflow.moved_up(self.logic.phaseNodes(self._parameterNode), row))
        self.ui.phasesList.currentRow = max(row - 1, 0)

    def _setPhases(self, nodes):
        unique = list({node.GetID(): node for node in nodes if node}.values())
        self._parameterNode.phases = unique

    def onSegmentationChanged(self, node):
        if self._updatingGui or not self._parameterNode:
            return
        # The selector picks a segment of a newly chosen segmentation by itself; the user is to do that.
        with slicer.util.NodeModify(self._parameterNode):
            self._parameterNode.segmentation = node
            self._parameterNode.segmentID = ""

    def onSegmentChanged(self, segmentID):
        if self._updatingGui or not self._parameterNode:
            return
        from HER2ViTLib.workflow import decisions as workflow

        existing = self.logic.segmentIDs(self._parameterNode.segmentation)
        self._parameterNode.segmentID = workflow.chosen_segment(self._parameterNode.segmentID, segmentID, existing)
        self._updateGui()

    def onOutlineEdited(self, caller, event):
        if not self.logic.outdated(self._parameterNode):
            self.logic.outlineEdited()
            self._updateGui()

    def onBundlesChanged(self, path):
        if self._updatingGui or not self._parameterNode:
            return
        with slicer.util.NodeModify(self._parameterNode):
            self._parameterNode.task1Bundle = self.ui.task1BundlePath.currentPath
            self._parameterNode.task2Bundle = self.ui.task2BundlePath.currentPath

    def onDemoModels(self, checked=False):
        self.logic.chooseDemoModels(self._parameterNode)

    # Actions

    def onOutlineFromSeed(self, checked=False):
        # Corrections by hand to the former outline are not lost: the editor's undo brings them back.
        if self._parameterNode.segmentation:
            self.segmentEditor.saveStateForUndo()
        with self._reporting(_("Outlining failed.")):
            self.logic.outlineFromSeed(self._parameterNode)

    def onNewOutline(self, checked=False):
        with self._reporting(_("Making an outline failed.")):
            self.logic.newOutline(self._parameterNode)
            self.ui.segmentEditorSection.collapsed = False

    def onRun(self, checked=False):
        if not self.logic.ensureDependencies():
            return
        with self._reporting(_("Reading failed.")):
            self.logic.run(self._parameterNode, self._showProgress)
            self._scrollTo(self.ui.resultSection)

    def _scrollTo(self, section):
        area = section
        while area and not isinstance(area, qt.QScrollArea):
            area = area.parent()
        if area:
            # The section's new height counts only once the layout is done.
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
            area.ensureWidgetVisible(section)

    def onJump(self, checked=False):
        self.logic.jumpToSlice(self._parameterNode)

    def onSessionOpen(self, checked=False):
        if not self.logic.ensureSessionPackages():
            return
        with self._sessionStep(_("Opening the session failed.")) as reason:
            self.logic.openSession(self._parameterNode, self.ui.sessionPath.currentPath, reason)
        self._makeRoomForSession()

    def onSessionSave(self, checked=False):
        with self._sessionStep(_("Saving the outline failed.")):
            self.logic.saveSessionOutline(self._parameterNode)

    def onSessionSkip(self, checked=False):
        with self._sessionStep(_("Skipping the case failed.")) as reason:
            self.logic.skipSessionCase(self._parameterNode, reason)

    def onSessionClose(self, checked=False):
        self.logic.closeSession()
        self._makeRoomForSession()
        self._updateGui()

    def _makeRoomForSession(self):
        # A read needs the outline and the session's buttons, case after case, without scrolling from one to the other.
        for section in (self.ui.imagesSection, self.ui.modelsSection, self.ui.resultSection):
            section.collapsed = self.logic.session is not None

    @contextlib.contextmanager
    def _sessionStep(self, failure):
        """One step of a session; gives the reason that was typed. A reason is used up by the step that succeeds."""
        with self._reporting(failure):
            yield self.ui.sessionReasonEdit.text
            self.ui.sessionReasonEdit.clear()
        self._updateGui()

    def _showProgress(self, text):
        # Repainted at once, without running the event loop: nobody can press a button while a reading runs.
        self.ui.progressLabel.text = text
        self.ui.progressLabel.repaint()

    @contextlib.contextmanager
    def _reporting(self, failure):
        """Runs an action under the wait cursor. Bad input is told in its one line; anything else with its details, as an error."""
        from HER2ViTLib.messages import InputError

        fault = ""
        with slicer.util.tryWithErrorDisplay(failure, waitCursor=True):
            try:
                yield
            except InputError as error:
                fault = str(error)
        if fault:
            self.ui.progressLabel.text = fault
            slicer.util.warningDisplay(fault, windowTitle=failure)


#
# HER2ViTLogic
#


class HER2ViTLogic(ScriptedLoadableModuleLogic):
    """From the parameter node to the libraries and back; usable without the panel."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from HER2ViTLib.workflow.decisions import LoadedModels

        self._models = LoadedModels()
        self._readFrom = None
        self.session = None

    def getParameterNode(self):
        return HER2ViTParameterNode(super().getParameterNode())

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
        results = (parameters.attentionTask1, parameters.attentionTask2, parameters.image if parameters.sequence else None)
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and node not in results]

    def addPhases(self, parameters, nodes):
        """Puts volumes on the list of phases and the list in time order: by the DICOM headers, else by
        numbers in the names.

        Raises InputError for a header that is broken.
        """
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.workflow import decisions as workflow

        unique = list(
            {node.GetID(): node for node in (*self.phaseNodes(parameters), *nodes) if node}.values()
        )
        told = scene.header_times(unique, self._fileOfInstance())
        found = workflow.phase_order([node.GetName() for node in unique], told.order if told else None)
        with slicer.util.NodeModify(parameters):
            parameters.phases = [unique[n] for n in found.order]
            parameters.phaseOrder = found.rule

    def phaseOrderText(self, parameters):
        """How the phases came into their order, in words; empty without phases."""
        from HER2ViTLib.workflow import decisions as workflow

        return workflow.ORDER_TEXTS[parameters.phaseOrder] if len(self.phaseNodes(parameters)) > 1 else ""

    def _fileOfInstance(self):
        """The DICOM database's look-up of an image's file; a Slicer without DICOM support has none."""
        from HER2ViTLib.mrml import results as scene

        database = getattr(slicer, "dicomDatabase", None)
        return database.fileForInstance if database and database.isOpen else scene.no_file

    def phaseCount(self, parameters):
        return parameters.sequence.GetNumberOfDataNodes() if parameters.sequence else len(self.phaseNodes(parameters))

    def segmentIDs(self, segmentation):
        from HER2ViTLib.mrml import results as scene

        return list(scene.segment_names(segmentation)) if segmentation else []

    def choices(self, parameters):
        from HER2ViTLib.workflow.decisions import Choices

        return Choices(
            phases=self.phaseCount(parameters),
            early_phase=parameters.earlyPhase,
            segment=parameters.segmentID if parameters.segmentID in self.segmentIDs(parameters.segmentation) else "",
            bundles=(parameters.task1Bundle, parameters.task2Bundle),
            device=parameters.device,
            method=parameters.attentionMethod,
        )

    def outdated(self, parameters):
        """Whether something has changed since the last reading; a reading that came with its scene counts as up to date."""
        return self._readFrom not in (None, self._inputs(parameters))

    def outlineEdited(self):
        """Makes the last reading, if there is one, one of a former outline."""
        if self._readFrom:
            self._readFrom = "a former outline"

    def _inputs(self, parameters):
        nodes = [*self.phaseNodes(parameters), parameters.sequence, parameters.segmentation]
        return self.choices(parameters), tuple(node.GetID() for node in nodes if node)

    def study(self, parameters):
        """The chosen phases as a study. Raises InputError, one line, when they are none."""
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.workflow import decisions as workflow

        if parameters.sequence:
            return scene.study_from_sequence(parameters.sequence)
        warnings = workflow.order_warning(parameters.phaseOrder)
        return scene.study_from_nodes(self.phaseNodes(parameters), self._fileOfInstance(), warnings)

    def paintingNode(self, parameters):
        """The volume to outline the lesion on; None when no phase is a volume in the scene."""
        from HER2ViTLib.workflow import decisions as workflow

        nodes = self.phaseNodes(parameters)
        if parameters.sequence or not nodes:
            return parameters.image
        return nodes[workflow.painting_phase(len(nodes), parameters.earlyPhase)]

    # Sample and demo models

    def loadSample(self, parameters):
        """Loads the bundled simulated case with its outline and chooses it, with the demo models."""
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.sample import sample_phases, sample_roi

        phases = [slicer.util.loadVolume(str(path), {"name": f"Sample phase {n}", "show": n == 1}) for n, path in enumerate(sample_phases())]
        segmentation = slicer.util.loadSegmentation(str(sample_roi()))
        segmentation.SetName("Sample outline")
        for node in phases:
            # One window for all phases, to compare them, and as wide as the lesion, which the automatic one shows as a white patch.
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
            parameters.segmentID = next(iter(scene.segment_names(segmentation)))
            self.chooseDemoModels(parameters)

    def chooseDemoModels(self, parameters):
        from HER2ViTLib.sample import demo_bundles

        parameters.task1Bundle, parameters.task2Bundle = (str(folder) for folder in demo_bundles())

    # Outlining

    def outlineFromSeed(self, parameters):
        """Outlines the lesion around the seed into our own segmentation and chooses it. Raises InputError."""
        from HER2ViTLib.lesion import outlining as lesion
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.study.phases import choose_phases

        study = self.study(parameters)
        chosen = choose_phases(study, None, self.choices(parameters).early_phase_override)
        early = chosen.early.index
        mask = lesion.outline(
            chosen.early_volume(study), chosen.pre_volume(study), scene.seed_lps(parameters.seed)
        )
        # Only an outline that this module made is filled again; a segmentation of the user's own stays as it is.
        own = parameters.segmentation if parameters.segmentation and parameters.segmentation.GetAttribute("HER2ViT.Outline") else None
        self._chooseOutline(parameters, mask, study, early, own)

    def newOutline(self, parameters):
        """Makes a new, empty segment on the study's voxel grid and chooses it, to draw in. Raises InputError."""
        import numpy as np

        from HER2ViTLib.workflow import decisions as workflow

        study = self.study(parameters)
        early = workflow.painting_phase(len(study.phases), parameters.earlyPhase)
        self._chooseOutline(parameters, np.zeros(study.geometry.shape, bool), study, early, None)

    def _chooseOutline(self, parameters, mask, study, early, segmentation):
        from HER2ViTLib.mrml import results as scene

        image = self._imageNode(parameters, study, early)
        if parameters.segmentation and parameters.segmentation is not segmentation:
            # Two outlines of one lesion look alike: only the one that will be read is shown.
            parameters.segmentation.SetDisplayVisibility(False)
        with slicer.util.NodeModify(parameters):
            segmentation = scene.put_segment(slicer.mrmlScene, mask, study.geometry, "Lesion outline", segmentation, reference=image)
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
        former = parameters.image if parameters.image and parameters.image.GetAttribute("HER2ViT.Copy") else None
        node = scene.put_volume(slicer.mrmlScene, study.phases[phase].volume, "Early phase", former)
        node.SetAttribute("HER2ViT.Copy", "1")
        return node

    # Repeatability session: what happens when is decided in HER2ViTTrainingLib/session.py

    def ensureSessionPackages(self):
        """Whether the package that locks a session is there (torch brings it along); asks, then installs it if not."""
        if importlib.util.find_spec("filelock"):
            return True
        question = _("A session needs a small Python package that is not installed yet: filelock. Download and install it now?")
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install packages")):
            return False
        with slicer.util.tryWithErrorDisplay(_("Installing packages failed."), waitCursor=True):
            self._installPackages(["filelock>=3.12"])
        return importlib.util.find_spec("filelock") is not None

    def openSession(self, parameters, path, reason=""):
        """Opens a read and shows its next case. `reason` is for opening it before its wash-out is over. Raises InputError."""
        from HER2ViTLib.session.session import Session

        session = Session(path)
        session.open(reason)
        self.session = session
        self.showSessionCase(parameters)

    def showSessionCase(self, parameters):
        """Loads the session's next case and chooses its phases, with nothing of the case before it; none when the read is finished."""
        case = self.session.next_case()
        # First: should the images not load, the former case's outline must not be saved as this one's.
        self._forgetSessionCase(parameters)
        phases = [slicer.util.loadVolume(str(path), {"show": False}) for path in self.session.images]
        for node in phases:
            node.SetAttribute("HER2ViT.Session", self.session.read.label)
        with slicer.util.NodeModify(parameters):
            parameters.phases = phases
            parameters.earlyPhase = -1 if case is None or case.early_phase is None else case.early_phase
        if phases:
            slicer.util.setSliceViewerLayers(background=self.paintingNode(parameters), fit=True)

    def _forgetSessionCase(self, parameters):
        """Chooses nothing, and removes what was loaded and outlined for the session's case before."""
        former = [node for node in self.phaseNodes(parameters) if node.GetAttribute("HER2ViT.Session")]
        if parameters.segmentation and parameters.segmentation.GetAttribute("HER2ViT.Outline"):
            former.append(parameters.segmentation)
        if parameters.seed:
            parameters.seed.RemoveAllControlPoints()
        with slicer.util.NodeModify(parameters):
            parameters.phases = []
            parameters.sequence = None
            parameters.segmentation = None
            parameters.segmentID = ""
        for node in former:
            slicer.mrmlScene.RemoveNode(node)

    def saveSessionOutline(self, parameters):
        """Keeps the chosen segment as the case's outline and shows the next case. Raises InputError."""
        from HER2ViTLib.mrml import results as scene

        geometry = self.study(parameters).geometry
        self.session.save_outline(
            scene.segment_roi(parameters.segmentation, parameters.segmentID, geometry).mask, geometry
        )
        self.showSessionCase(parameters)

    def skipSessionCase(self, parameters, reason):
        """Leaves the case out and shows the next one. Raises InputError without a reason."""
        self.session.skip(reason)
        self.showSessionCase(parameters)

    def closeSession(self):
        if self.session:
            self.session.close()
        self.session = None

    # Reading

    def ensureDependencies(self):
        """Whether everything a reading needs is there; asks once, then installs what is not. Never touches Slicer's own packages."""
        from HER2ViTLib.workflow import dependencies

        packages, torch = dependencies.missing_packages(), dependencies.missing_torch()
        if not (packages or torch):
            return True
        wanted = ", ".join([*(["torch, torchvision"] if torch else []), *packages])
        question = _("Reading needs Python packages that are not installed yet: {packages}. Download and install them now?").format(packages=wanted)
        if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Install packages")):
            return False
        with slicer.util.tryWithErrorDisplay(_("Installing packages failed."), waitCursor=True):
            if torch and not self._installTorch():
                return False
            self._installPackages(packages)
        return True

    def _installTorch(self):
        try:
            import PyTorchUtils
        except ModuleNotFoundError:
            slicer.util.errorDisplay(_("torch comes through the PyTorch extension: install it with the Extensions Manager and restart Slicer."))
            return False
        return PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False) is not None

    def _installPackages(self, packages):
        from HER2ViTLib.workflow import dependencies

        if not packages:
            return
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text(dependencies.protecting_constraints())
            slicer.util.pip_install(["--constraint", str(constraints), *packages])
        importlib.invalidate_caches()

    def run(self, parameters, progress=logging.info):
        """One reading of what is chosen: result table, attention maps, the slice in view. Raises InputError; then nothing has changed."""
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.mrml import results as scene

        started = time.monotonic()
        choices = self.choices(parameters)
        if choices.missing():
            raise InputError(choices.missing())
        progress(_("Fetching the images..."))
        study = self.study(parameters)
        roi = scene.segment_roi(parameters.segmentation, parameters.segmentID, study.geometry)
        reader = self._models.reader(choices, progress)
        from HER2ViTLib.reading.reader import Overrides  # torch: only now

        progress(_("Reading..."))
        reading = reader.read(study, roi, Overrides(early_phase=choices.early_phase_override))
        self._readFrom = self._inputs(parameters)
        self._show(parameters, reading, study)
        progress(_("Read in {seconds:.1f} s.").format(seconds=time.monotonic() - started))
        return reading

    def _show(self, parameters, reading, study):
        from HER2ViTLib.mrml import results as scene

        former = scene.ReadingNodes(parameters.resultTable, parameters.attentionTask1, parameters.attentionTask2)
        nodes = scene.put_reading(slicer.mrmlScene, reading, former)
        image = self._imageNode(parameters, study, reading.early_phase.index)
        neighbour = image if not parameters.sequence else parameters.sequence
        scene.put_beside(slicer.mrmlScene, [nodes.table, nodes.task1, nodes.task2], neighbour)
        with slicer.util.NodeModify(parameters):
            parameters.image = image
            parameters.resultTable, parameters.attentionTask1, parameters.attentionTask2 = nodes.table, nodes.task1, nodes.task2
            if self.attentionNode(parameters) is None:
                parameters.shownTask = TASKS[0] if nodes.task1 else TASKS[1]
            # Results may have changed inside nodes that stayed the same.
            parameters.Modified()
        self.showOverlay(parameters)
        self.jumpToSlice(parameters)

    # Showing

    def resultRows(self, parameters):
        from HER2ViTLib.mrml import results as scene

        return scene.rows_from_table(parameters.resultTable)

    def attentionNode(self, parameters):
        """The attention map of the task that is shown; None where there is none."""
        return parameters.attentionTask1 if parameters.shownTask == TASKS[0] else parameters.attentionTask2

    def sliceWidget(self):
        """The slice view that shows readings; None without a main window."""
        from HER2ViTLib.workflow import decisions as workflow

        layoutManager = slicer.app.layoutManager()
        widgets = {name: layoutManager.sliceWidget(name) for name in layoutManager.sliceViewNames()} if layoutManager else {}
        return widgets.get(workflow.reading_view({name: widget.visible for name, widget in widgets.items()}))

    def showOverlay(self, parameters):
        """The image of the last reading with the attention map over it, in a slice view."""
        from HER2ViTLib.mrml import results as scene

        widget = self.sliceWidget()
        if widget and parameters.image:
            scene.show_layers(widget.mrmlSliceCompositeNode(), parameters.image, self.attentionNode(parameters), parameters.attentionOpacity)

    def jumpToSlice(self, parameters):
        """Turns the slice view to the slice that was read, the lesion in the middle."""
        from HER2ViTLib.mrml import results as scene

        widget, attention = self.sliceWidget(), self.attentionNode(parameters)
        if widget and attention:
            scene.show_patch(widget.mrmlSliceNode(), scene.volume_from_node(attention).geometry)


#
# HER2ViTTest
#


class HER2ViTTest(ScriptedLoadableModuleTest):
    """Whole readings of the bundled sample in the application: by the logic, by the panel, and after saving and reloading the scene."""

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        tests = (
            self.test_outline,
            self.test_reading,
            self.test_sequence,
            self.test_dicom,
            self.test_panel,
            self.test_saved_scene,
        )
        for test in (*tests, self.test_session):
            self.setUp()
            try:
                test()
                self.delayDisplay(f"{test.__name__} passed")
            except unittest.SkipTest as reason:
                self.delayDisplay(f"{test.__name__} skipped: {reason}")

    def _sample(self):
        logic = HER2ViTLogic()
        parameters = logic.getParameterNode()
        logic.loadSample(parameters)
        return logic, parameters

    def _canRead(self):
        """Whether torch and the like are there. A test installs nothing: it says so and leaves the readings out."""
        from HER2ViTLib.workflow import dependencies

        missing = [*dependencies.missing_packages(), *(["torch"] if dependencies.missing_torch() else [])]
        if missing:
            logging.warning(f"HER2ViTTest: readings are not tested, for want of {', '.join(missing)}")
        return not missing

    def _seed(self, logic, parameters):
        """A point in the middle of the sample's outline, as a user would place it."""
        import numpy as np

        from HER2ViTLib.mrml import results as scene

        study = logic.study(parameters)
        mask = scene.segment_roi(parameters.segmentation, parameters.segmentID, study.geometry).mask
        voxels = np.argwhere(mask)
        middle = voxels[np.argmin(np.square(voxels - voxels.mean(axis=0)).sum(axis=1))][::-1]
        left, posterior, superior = study.geometry.to_lps(middle)
        seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
        seed.AddControlPoint(-left, -posterior, superior)
        return seed, mask

    def _panel(self):
        if slicer.app.layoutManager() is None:
            self.skipTest("the panel needs a main window")
        slicer.util.selectModule("HER2ViT")
        slicer.app.processEvents()
        return slicer.modules.HER2ViTWidget

    def _checkShown(self, logic, parameters):
        """The slice view shows the image, the attention map of the shown task over it, and its slice."""
        widget = logic.sliceWidget()
        if widget is None:
            return
        layers = widget.mrmlSliceCompositeNode()
        attention = logic.attentionNode(parameters)
        self.assertEqual(layers.GetBackgroundVolumeID(), parameters.image.GetID())
        self.assertEqual(layers.GetForegroundVolumeID(), attention.GetID())
        self.assertAlmostEqual(layers.GetForegroundOpacity(), parameters.attentionOpacity)
        ijkToRAS = vtk.vtkMatrix4x4()
        attention.GetIJKToRASMatrix(ijkToRAS)
        columns, rows, _slices = attention.GetImageData().GetDimensions()
        centre = ijkToRAS.MultiplyPoint([(columns - 1) / 2, (rows - 1) / 2, 0, 1])
        rasToXY = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(widget.mrmlSliceNode().GetXYToRAS(), rasToXY)
        x, y, depth, _one = rasToXY.MultiplyPoint(centre)
        width, height, _depth = widget.mrmlSliceNode().GetDimensions()
        self.assertAlmostEqual(x, width / 2, delta=1)
        self.assertAlmostEqual(y, height / 2, delta=1)
        self.assertAlmostEqual(depth, 0, delta=0.01)

    def test_outline(self):
        """A seed in the lesion gives an outline like the sample's own, in a segmentation of its own."""
        from HER2ViTLib.lesion import outlining as lesion
        from HER2ViTLib.mrml import results as scene

        logic, parameters = self._sample()
        given = parameters.segmentation
        parameters.seed, expected = self._seed(logic, parameters)
        logic.outlineFromSeed(parameters)
        self.assertNotEqual(parameters.segmentation.GetID(), given.GetID())
        outline = scene.segment_roi(
            parameters.segmentation, parameters.segmentID, logic.study(parameters).geometry
        ).mask
        self.assertGreater(lesion.dice(outline, expected), 0.6)
        count = slicer.mrmlScene.GetNumberOfNodes()
        logic.outlineFromSeed(parameters)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)

    def test_reading(self):
        """The logic reads the sample; a second reading fills the same nodes; the inputs stay as they are."""
        logic, parameters = self._sample()
        if not self._canRead():
            return
        before = [slicer.util.arrayFromVolume(node).copy() for node in parameters.phases]
        reading = logic.run(parameters)
        self.assertIn(reading.call, ("zero", "low", "positive"))
        self.assertAlmostEqual(sum(reading.probabilities.values()), 1)
        self.assertIn(("HER2 call", reading.call), logic.resultRows(parameters))
        self._checkShown(logic, parameters)
        count = slicer.mrmlScene.GetNumberOfNodes()
        parameters.attentionMethod = "last"
        self.assertEqual(logic.run(parameters).call, reading.call)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)
        for node, array in zip(parameters.phases, before):
            self.assertTrue((slicer.util.arrayFromVolume(node) == array).all())
        parameters.task2Bundle = ""
        self.assertIsNone(logic.run(parameters).call)
        self.assertIsNone(parameters.attentionTask2)

    def test_sequence(self):
        """The same phases as a sequence give the same reading."""
        logic, parameters = self._sample()
        if not self._canRead():
            return
        scores = {key: task.score for key, task in logic.run(parameters).tasks.items()}
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
        for index, node in enumerate(parameters.phases):
            sequence.SetDataNodeAtValue(node, str(index))
        parameters.sequence = sequence
        for _attempt in range(2):
            self.assertEqual({key: task.score for key, task in logic.run(parameters).tasks.items()}, scores)
            self.assertEqual(parameters.image.GetName(), "Early phase")
            self._checkShown(logic, parameters)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 4 + 1 + 2)

    def test_dicom(self):
        """Phases from the DICOM database, loaded in another order: in time order, with their times, as the
        command reads the files.
        """
        if not hasattr(slicer, "dicomDatabase"):
            raise unittest.SkipTest("this Slicer has no DICOM support")
        from DICOMLib import DICOMUtils

        from HER2ViTLib.study.phases import choose_phases
        from HER2ViTLib.study.study import load_study

        logic = HER2ViTLogic()
        parameters = logic.getParameterNode()
        with tempfile.TemporaryDirectory() as folder:
            files = self._writeDicom(Path(folder, "study"))
            with DICOMUtils.TemporaryDICOMDatabase(str(Path(folder, "database"))):
                DICOMUtils.importDicom(str(Path(folder, "study")))
                plugin = slicer.modules.dicomPlugins["DICOMScalarVolumePlugin"]()
                loadables = [
                    one for one in plugin.examineForImport([files]) if "acquisitionNumber" in one.name
                ]
                self.assertEqual(len(loadables), 4)
                nodes = [plugin.load(loadables[n]) for n in (2, 0, 3, 1)]
                logic.addPhases(parameters, nodes)
                self.assertEqual(parameters.phaseOrder, "headers")
                self.assertIn("DICOM", logic.phaseOrderText(parameters))
                study = logic.study(parameters)
                expected = load_study(Path(folder, "study"))
                self.assertEqual([phase.start_s for phase in study.phases], [0, 120, 210, 300])
                self.assertEqual(choose_phases(study), choose_phases(expected))
                for phase, other in zip(study.phases, expected.phases):
                    self.assertTrue((phase.volume.array == other.volume.array).all())
                    self.assertTrue(phase.volume.geometry.matches(other.volume.geometry))
            # without the database the numbers in the names tell the order, and that it is a guess is said
            logic.addPhases(parameters, nodes)
            self.assertEqual(parameters.phaseOrder, "names")
            self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["1", "2", "3", "4"])
            self.assertIn(
                "order_without_times", [warning.code for warning in logic.study(parameters).warnings]
            )

    def _writeDicom(self, folder):
        """The sample as one DICOM series of four phases; the paths of its files."""
        from pydicom.uid import generate_uid

        from HER2ViTLib.imaging.volume import read_volume
        from HER2ViTLib.sample import sample_phases

        folder.mkdir()
        uids = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
        shared = {name: generate_uid() for name in uids}
        paths = []
        for n, (path, acquired) in enumerate(zip(sample_phases(), ("100000", "100200", "100330", "100500"))):
            volume = read_volume(path)
            for k in range(len(volume.array)):
                counts = {"AcquisitionNumber": n + 1, "InstanceNumber": n * len(volume.array) + k + 1}
                paths.append(str(folder / f"{n}-{k:03d}.dcm"))
                self._writeSlice(paths[-1], volume, k, {**shared, **counts, "AcquisitionTime": acquired})
        return paths

    def _writeSlice(self, path, volume, k, tags):
        """One slice of a volume as classic MR, with further tags."""
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

        geometry = volume.geometry
        pixels = volume.array[k].clip(0).astype("<u2")
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.FileMetaInformationGroupLength = 0  # pydicom puts the right one there
        image = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
        described = {
            "SOPClassUID": MRImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "PatientName": "Sample",
            "PatientID": "sample",
            "Modality": "MR",
            "SeriesNumber": 5,
            "SeriesDescription": "dyn",
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "PixelSpacing": [geometry.spacing[1], geometry.spacing[0]],
            "SliceThickness": geometry.spacing[2],
            "ImagePositionPatient": [f"{value:.9g}" for value in geometry.to_lps((0, 0, k))],
            "ImageOrientationPatient": [f"{geometry.direction[i]:.9g}" for i in (0, 3, 6, 1, 4, 7)],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "PixelData": pixels.tobytes(),
        }
        for name, value in {**described, **tags}.items():
            setattr(image, name, value)
        image.is_little_endian = True
        image.is_implicit_VR = False
        image.save_as(path)

    def test_panel(self):
        """What a user does: load, choose, outline, read, look at the other task, change the opacity, jump back."""
        panel = self._panel()
        parameters = panel._parameterNode
        self.assertFalse(panel.ui.runButton.enabled)
        self.assertIn("phases", panel.ui.runButton.toolTip)
        panel.onLoadSample()
        self.assertEqual(panel.ui.phasesList.count, 4)
        self.assertTrue(panel.ui.runButton.enabled)
        self.assertEqual(panel.ui.segmentSelector.currentSegmentID(), parameters.segmentID)
        panel.ui.phasesList.currentRow = 3
        panel.onMovePhaseUp()
        panel.onMovePhaseUp()
        self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["0", "3", "1", "2"])
        panel.ui.removePhaseButton.click()
        self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["0", "1", "2"])
        panel.ui.addAllPhasesButton.click()
        self.assertFalse(panel.ui.addAllPhasesButton.enabled)
        self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["0", "1", "2", "3"])
        self._checkSegmentIsNeverGuessed(panel, parameters)
        self._checkModelsAreThoseShown(panel, parameters)
        parameters.seed, _mask = self._seed(panel.logic, parameters)
        self.assertTrue(panel.ui.outlineButton.enabled)
        panel.ui.outlineButton.click()
        self.assertEqual((parameters.segmentation.GetName(), parameters.segmentID), ("Lesion outline", "Lesion"))
        shown = [node for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if node.GetDisplayVisibility()]
        self.assertNotIn("Sample outline", [node.GetName() for node in shown])
        self.assertEqual(panel.segmentEditor.segmentationNodeID(), parameters.segmentation.GetID())
        panel.ui.earlyPhaseSpinBox.value = 1
        self.assertEqual(parameters.earlyPhase, 1)
        if not self._canRead():
            return
        panel.ui.runButton.click()
        self.assertIn("HER2 call", panel.ui.headlineLabel.text)
        self.assertIn("simulated", panel.ui.remarksLabel.text)
        self._checkChangesAreTold(panel, parameters)
        self.assertEqual(panel.ui.resultTableView.mrmlTableNode().GetID(), parameters.resultTable.GetID())
        self._checkShown(panel.logic, parameters)
        panel.ui.shownTaskComboBox.currentIndex = 0
        panel.ui.opacitySlider.value = 0.8
        self.assertEqual(parameters.shownTask, TASKS[0])
        self._checkShown(panel.logic, parameters)
        if panel.logic.sliceWidget():
            panel.logic.sliceWidget().mrmlSliceNode().SetOrientationToCoronal()
            panel.ui.jumpButton.click()
            self._checkShown(panel.logic, parameters)
        slicer.util.selectModule("Data")
        self._panel()

    def _checkChangesAreTold(self, panel, parameters):
        self.assertNotIn("read again", panel.ui.remarksLabel.text)
        parameters.earlyPhase = 2
        self.assertIn("read again", panel.ui.remarksLabel.text)
        parameters.earlyPhase = 1
        self.assertNotIn("read again", panel.ui.remarksLabel.text)
        panel.ui.outlineButton.click()
        self.assertIn("read again", panel.ui.remarksLabel.text)
        panel.ui.runButton.click()
        self.assertNotIn("read again", panel.ui.remarksLabel.text)

    def _checkModelsAreThoseShown(self, panel, parameters):
        demo = parameters.task1Bundle
        for text in ("/no/such/folder", "", demo):
            panel.ui.task1BundlePath.currentPath = text
            self.assertEqual(parameters.task1Bundle, text)

    def _checkSegmentIsNeverGuessed(self, panel, parameters):
        chosen, segmentID = parameters.segmentation, parameters.segmentID
        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Other")
        other.CreateDefaultDisplayNodes()
        for name in ("A", "B"):
            other.GetSegmentation().AddEmptySegment(name, name)
        panel.ui.segmentSelector.setCurrentNode(other)
        self.assertEqual((parameters.segmentation.GetID(), parameters.segmentID), (other.GetID(), ""))
        self.assertFalse(panel.ui.runButton.enabled)
        panel.ui.segmentSelector.setCurrentSegmentID("A")
        self.assertEqual(parameters.segmentID, "A")
        other.GetSegmentation().RemoveSegment("A")
        self.assertEqual(parameters.segmentID, "")
        panel.ui.segmentSelector.setCurrentNode(chosen)
        panel.ui.segmentSelector.setCurrentSegmentID(segmentID)
        self.assertEqual((parameters.segmentation.GetID(), parameters.segmentID), (chosen.GetID(), segmentID))

    def test_saved_scene(self):
        """Everything chosen and found is there again after saving, closing and reloading the scene."""
        panel = self._panel()
        panel.onLoadSample()
        panel._parameterNode.earlyPhase = 1
        panel._parameterNode.attentionMethod = "last"
        panel._parameterNode.attentionOpacity = 0.7
        if self._canRead():
            panel.logic.run(panel._parameterNode)
        rows = panel.logic.resultRows(panel._parameterNode)
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            path = str(Path(folder) / "reading.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            self.assertEqual(panel.ui.phasesList.count, 0)
            slicer.util.loadScene(path)
        parameters = panel._parameterNode
        self.assertEqual([node.GetName() for node in parameters.phases], [f"Sample phase {n}" for n in range(4)])
        self.assertEqual((parameters.earlyPhase, parameters.attentionMethod, parameters.attentionOpacity), (1, "last", 0.7))
        self.assertEqual(parameters.segmentation.GetName(), "Sample outline")
        self.assertEqual(panel.ui.segmentSelector.currentSegmentID(), parameters.segmentID)
        self.assertEqual(panel.logic.resultRows(parameters), rows)
        self.assertTrue(panel.ui.runButton.enabled)
        if rows:
            panel.onJump()
            panel.logic.showOverlay(parameters)
            self._checkShown(panel.logic, parameters)

    def test_session(self):
        """A read in the panel: outline a case, skip one with a reason, close, go on where it was."""
        if not importlib.util.find_spec("filelock"):
            self.skipTest("a session needs filelock")
        panel = self._panel()
        parameters = panel._parameterNode
        with tempfile.TemporaryDirectory() as folder:
            panel.ui.sessionPath.currentPath = str(self._planSession(Path(folder)))
            panel.ui.sessionOpenButton.click()
            self.assertIn("case 1 of 3", panel.ui.sessionLabel.text)
            self.assertEqual((panel.ui.phasesList.count, parameters.earlyPhase), (4, -1))
            self.assertFalse(panel.ui.sessionSaveButton.enabled)
            parameters.seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
            parameters.seed.AddControlPoint(self._sampleSeed)
            panel.ui.outlineButton.click()
            panel.ui.sessionSaveButton.click()
            self.assertIn("case 2 of 3 (A1-002); 1 outlined", panel.ui.sessionLabel.text)
            self.assertEqual(parameters.segmentID, "")
            self.assertIsNone(slicer.mrmlScene.GetFirstNodeByName("Lesion outline"))
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 4)
            panel.ui.sessionReasonEdit.text = "motion"
            panel.ui.sessionSkipButton.click()
            self.assertIn("1 outlined, 1 skipped", panel.ui.sessionLabel.text)
            self.assertEqual(panel.ui.sessionReasonEdit.text, "")
            panel.ui.sessionCloseButton.click()
            panel.ui.sessionOpenButton.click()
            self.assertIn("case 3 of 3", panel.ui.sessionLabel.text)
            panel.ui.sessionReasonEdit.text = "motion"
            panel.ui.sessionSkipButton.click()
            self.assertIn("finished", panel.ui.sessionLabel.text)
            self.assertEqual(panel.ui.phasesList.count, 0)
            panel.ui.sessionCloseButton.click()

    def _planSession(self, folder):
        """The first read of a plan of three cases, all of them the sample; notes the sample's seed point."""
        import shutil

        from HER2ViTLib.sample import sample_phases, sample_roi
        from HER2ViTTrainingLib.repeatability.plan import Plan, write_plan

        logic, parameters = self._sample()
        seed, _mask = self._seed(logic, parameters)
        self._sampleSeed = list(seed.GetNthControlPointPosition(0))
        slicer.mrmlScene.Clear()
        rows = ["case_id,image,roi,her2_status"]
        for case in range(3):
            for source in (*sample_phases(), sample_roi()):
                shutil.copyfile(source, folder / f"{case}_{source.name}")
            images = ";".join(f"{case}_{path.name}" for path in sample_phases())
            rows.append(f"case{case},{images},{case}_{sample_roi().name},low")
        (folder / "manifest.csv").write_text("\n".join(rows))
        write_plan(folder / "manifest.csv", Plan(3, ("A", "B")), folder / "plan")
        return folder / "plan" / "reader_A" / "read_1" / "session.json"
