"""The panel: binds what is shown to the parameter node and calls the logic."""

import contextlib

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from .logic import HER2ViTLogic

# Slicer imports this at start-up: heavy rooms are imported by the functions that need them.


class HER2ViTWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Binds the panel to the parameter node and calls the logic. What it shows and allows is decided by a
    `PanelState`.
    """

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
            # The path widget itself is silent when it is emptied or names no folder: the reading would take
            # the folder before.
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
        # Images and segmentation are chosen above; the editor only draws, and leaves the views' layers to the
        # user and the reading.
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
        """Binds each widget with a dynamic property "SlicerParameterName" in the .ui file to that parameter;
        returns the tag to undo it.

        The wrapper's own connectGui() does the same, but returns no tag before Slicer 5.8: a closed scene's
        node would stay bound.
        """
        bound = {
            name: widget
            for widget in self.ui.__dict__.values()
            if (name := widget.property("SlicerParameterName"))
        }
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
            state = self._state()
            self._updateActions(state)
            self._updateSession(state)
            self._updateResult(state)
        finally:
            self._updatingGui = False

    def _state(self):
        return self.logic.panelState(
            self._parameterNode, self.ui.phaseSelector.currentNode(), self.ui.phasesList.currentRow
        )

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
        state = self._state()
        self.ui.phasesList.enabled = state.can_list_phases
        self.ui.phaseSelector.enabled = state.can_list_phases
        self.ui.addPhaseButton.enabled = state.can_add_phase
        self.ui.addAllPhasesButton.enabled = state.can_add_all_phases
        self.ui.movePhaseUpButton.enabled = state.can_move_phase_up
        self.ui.removePhaseButton.enabled = state.can_remove_phase

    def _updateOutline(self):
        segmentation = self._parameterNode.segmentation
        segmentID = self._parameterNode.segmentID
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
        chosen = {
            self.ui.task1BundlePath: self._parameterNode.task1Bundle,
            self.ui.task2BundlePath: self._parameterNode.task2Bundle,
        }
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
            # Slicer watches the voxels of a loaded segment only after the segment itself has changed: without
            # this the first stroke of the brush would go unnoticed.
            for segmentID in self.logic.segmentIDs(segmentation):
                segmentation.GetSegmentation().GetSegment(segmentID).Modified()

    def _updateActions(self, state):
        self.ui.outlineButton.enabled = state.can_outline_from_seed
        self.ui.newOutlineButton.enabled = state.can_draw_outline
        self.ui.runButton.enabled = state.can_run
        self.ui.runButton.toolTip = state.run_tool_tip
        self.ui.progressLabel.text = state.missing

    def _updateSession(self, state):
        self.ui.sessionLabel.text = state.session_progress
        self.ui.sessionPath.enabled = state.can_open_session
        self.ui.sessionOpenButton.enabled = state.can_open_session
        self.ui.sessionCloseButton.enabled = state.can_close_session
        self.ui.sessionSkipButton.enabled = state.can_skip_case
        self.ui.sessionSaveButton.enabled = state.can_save_outline

    def _updateResult(self, state):
        self.ui.headlineLabel.text = state.headline
        self.ui.remarksLabel.text = "\n".join(state.remarks)
        if self.ui.resultTableView.mrmlTableNode() is not self._parameterNode.resultTable:
            self.ui.resultTableView.setMRMLTableNode(self._parameterNode.resultTable)
        if state.has_table:
            self.ui.resultTableView.resizeColumnToContents(0)
            self.ui.resultTableView.resizeRowsToContents()
        self.ui.jumpButton.enabled = state.can_jump
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
        self._setPhases(
            [node for index, node in enumerate(self.logic.phaseNodes(self._parameterNode)) if index != row]
        )

    def onMovePhaseUp(self, checked=False):
        from HER2ViTLib.workflow.phase_order import BY_USER, moved_up

        row = self.ui.phasesList.currentRow
        self._parameterNode.phaseOrder = BY_USER
        self._setPhases(moved_up(self.logic.phaseNodes(self._parameterNode), row))
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
        from HER2ViTLib.workflow.choices import chosen_segment

        existing = self.logic.segmentIDs(self._parameterNode.segmentation)
        self._parameterNode.segmentID = chosen_segment(self._parameterNode.segmentID, segmentID, existing)
        self._updateGui()

    def onOutlineEdited(self, caller, event):
        # Once is enough: an edit is told at every stroke of the brush.
        if not self.logic.readFrom(self._parameterNode).outline_edited:
            self.logic.outlineEdited(self._parameterNode)
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
        # A read needs the outline and the session's buttons, case after case, without scrolling from one to
        # the other.
        for section in (self.ui.imagesSection, self.ui.modelsSection, self.ui.resultSection):
            section.collapsed = self.logic.session is not None

    @contextlib.contextmanager
    def _sessionStep(self, failure):
        """One step of a session; gives the reason that was typed. A reason is used up by the step that
        succeeds.
        """
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
        """Runs an action under the wait cursor. Bad input is told in its one line; anything else with its
        details, as an error.
        """
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
