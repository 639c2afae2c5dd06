"""The panel: binds what is shown to the parameter node and calls the logic."""

import contextlib
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from .lesion_section import LesionSection
from .logic import HER2ViTLogic
from .packages import ensureReadingPackages
from .reloading import forgetLibraries
from .session_section import SessionSection

# Slicer imports this file at start-up: the functions import what is heavy.


class HER2ViTWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Binds the panel to the parameter node and calls the logic. A `PanelState` decides what it shows and
    allows.
    """

    def __init__(self, parent=None):
        # The base class calls setup() when it has no parent, so these come first.
        self.logic: Any = None
        self.ui: Any = None
        self.lesionSection: Any = None
        self.sessionSection: Any = None
        self.parameterNode: Any = None
        self._parameterNodeGuiTag = None
        self._updatingGui = False
        self._shownOverlay = None
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
        self.lesionSection = LesionSection(self)
        self.sessionSection = SessionSection(self)
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
        for path in (self.ui.task1BundlePath, self.ui.task2BundlePath):
            # The path widget itself is silent when it is emptied or names no folder: the reading would take
            # the folder before.
            path.comboBox().connect("editTextChanged(QString)", self.onBundlesChanged)
        self.ui.demoModelsButton.connect("clicked(bool)", self.onDemoModels)
        self.ui.runButton.connect("clicked(bool)", self.onRun)
        self.ui.jumpButton.connect("clicked(bool)", self.onJump)
        self.ui.saveDicomButton.connect("clicked(bool)", self.onSaveDicom)
        self.initializeParameterNode()

    # Life of the panel

    def cleanup(self):
        """Called when the application closes and the module widget is destroyed."""
        self.logic.session.close()
        self.setParameterNode(None)
        self.removeObservers()
        self.lesionSection.cleanup()

    def onReload(self):
        """Called by the button Reload, which Slicer shows to developers."""
        forgetLibraries()
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self):
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.lesionSection.enter()

    def exit(self):
        """Called each time the user opens a different module."""
        self.lesionSection.exit()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """Called just before the scene is closed."""
        self.logic.session.close()
        self.lesionSection.leaveScene()
        self.logic.archive.forget()
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
        self.lesionSection.enterScene()
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode):
        """Binds the panel to a parameter node, or to none."""
        if self.parameterNode:
            self.parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateGui)
        self.parameterNode = parameterNode
        if self.parameterNode:
            self._shownOverlay = (self.parameterNode.shownTask, self.parameterNode.attentionOpacity)
            self._parameterNodeGuiTag = self._connectGui()
            self.addObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateGui)
        else:
            self.lesionSection.watch(None)
        self.updateGui()

    def _connectGui(self):
        """Binds each widget with a dynamic property "SlicerParameterName" in the .ui file to that parameter;
        returns the tag to undo it.

        connectGui() does the same in Slicer 5.12. That of 5.6 returns no tag, so that a closed scene's node
        would stay bound; this runs in both.
        """
        bound = {
            name: widget
            for widget in self.ui.__dict__.values()
            if (name := widget.property("SlicerParameterName"))
        }
        return self.parameterNode.connectParametersToGui(bound)

    # Parameter node to panel

    def isChosenByUser(self):
        """Whether a change in the panel is the user's choice: not while the panel is being updated itself."""
        return not self._updatingGui and self.parameterNode is not None

    def updateGui(self, caller=None, event=None):
        if not self.isChosenByUser():
            return
        self._updatingGui = True
        try:
            self._updatePhases()
            self.lesionSection.update()
            self._updateBundles()
            state = self._state()
            self._updateActions(state)
            self.sessionSection.update(state)
            self._updateResult(state)
        finally:
            self._updatingGui = False

    def _state(self):
        return self.logic.panelState(
            self.parameterNode, self.ui.phaseSelector.currentNode(), self.ui.phasesList.currentRow
        )

    def _updatePhases(self):
        row = self.ui.phasesList.currentRow
        self.ui.phasesList.clear()
        for index, node in enumerate(self.logic.phaseNodes(self.parameterNode)):
            self.ui.phasesList.addItem(f"{index}: {node.GetName()}")
        self.ui.phasesList.currentRow = min(row, self.ui.phasesList.count - 1)
        self.ui.phaseOrderLabel.text = self.logic.phaseOrderText(self.parameterNode)
        self._updatePhaseButtons()

    def _updatePhaseButtons(self, changed=None):
        if not self.parameterNode:
            return
        state = self._state()
        self.ui.phasesList.enabled = state.can_list_phases
        self.ui.phaseSelector.enabled = state.can_list_phases
        self.ui.addPhaseButton.enabled = state.can_add_phase
        self.ui.addAllPhasesButton.enabled = state.can_add_all_phases
        self.ui.movePhaseUpButton.enabled = state.can_move_phase_up
        self.ui.removePhaseButton.enabled = state.can_remove_phase

    def _updateBundles(self):
        chosen = {
            self.ui.task1BundlePath: self.parameterNode.task1Bundle,
            self.ui.task2BundlePath: self.parameterNode.task2Bundle,
        }
        for path, folder in chosen.items():
            # Setting the same text again would move the cursor of somebody who types.
            if path.currentPath != folder:
                path.currentPath = folder

    def _updateActions(self, state):
        self.ui.outlineButton.enabled = state.can_outline_from_seed
        self.ui.newOutlineButton.enabled = state.can_draw_outline
        self.ui.runButton.enabled = state.can_run
        self.ui.runButton.toolTip = state.run_tool_tip
        self.ui.progressLabel.text = state.missing

    def _updateResult(self, state):
        self.ui.headlineLabel.text = state.headline
        self.ui.remarksLabel.text = "\n".join(state.remarks)
        if self.ui.resultTableView.mrmlTableNode() is not self.parameterNode.resultTable:
            self.ui.resultTableView.setMRMLTableNode(self.parameterNode.resultTable)
        if state.has_table:
            self.ui.resultTableView.resizeColumnToContents(0)
            self.ui.resultTableView.resizeRowsToContents()
        self.ui.jumpButton.enabled = state.can_jump
        self.ui.saveDicomButton.enabled = not state.missing_to_save
        self.ui.saveDicomButton.toolTip = state.save_tool_tip
        overlay = (self.parameterNode.shownTask, self.parameterNode.attentionOpacity)
        if overlay != self._shownOverlay:
            self._shownOverlay = overlay
            self.logic.showOverlay(self.parameterNode)

    # Panel to parameter node

    def onLoadSample(self, checked=False):
        with self.reporting(_("Loading the sample failed.")):
            self.logic.loadSample(self.parameterNode)

    def onAddPhase(self, checked=False):
        self._addPhases([self.ui.phaseSelector.currentNode()])

    def onAddAllPhases(self, checked=False):
        self._addPhases(self.logic.loadedVolumes(self.parameterNode))

    def _addPhases(self, nodes):
        with self.reporting(_("The phases could not be put in order.")):
            self.logic.addPhases(self.parameterNode, nodes)

    def onRemovePhase(self, checked=False):
        row = self.ui.phasesList.currentRow
        nodes = self.logic.phaseNodes(self.parameterNode)
        self.parameterNode.phases = [node for index, node in enumerate(nodes) if index != row]

    def onMovePhaseUp(self, checked=False):
        from HER2ViTLib.workflow.phase_order import BY_USER, moved_up

        row = self.ui.phasesList.currentRow
        self.parameterNode.phaseOrder = BY_USER
        self.parameterNode.phases = moved_up(self.logic.phaseNodes(self.parameterNode), row)
        self.ui.phasesList.currentRow = max(row - 1, 0)

    def onBundlesChanged(self, path):
        if not self.isChosenByUser():
            return
        with slicer.util.NodeModify(self.parameterNode):
            self.parameterNode.task1Bundle = self.ui.task1BundlePath.currentPath
            self.parameterNode.task2Bundle = self.ui.task2BundlePath.currentPath

    def onDemoModels(self, checked=False):
        self.logic.chooseDemoModels(self.parameterNode)

    # Actions

    def onRun(self, checked=False):
        if not ensureReadingPackages():
            return
        with self.reporting(_("Reading failed.")):
            self.logic.run(self.parameterNode, self._showProgress)
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
        self.logic.jumpToSlice(self.parameterNode)

    def onSaveDicom(self, checked=False):
        with self.reporting(_("Saving to DICOM failed.")):
            count = self.logic.archive.save()
            self._showProgress(_("{count} objects saved to the DICOM database.").format(count=count))

    def _showProgress(self, text):
        # Repainted at once, without running the event loop: nobody can press a button while a reading runs.
        self.ui.progressLabel.text = text
        self.ui.progressLabel.repaint()

    @contextlib.contextmanager
    def reporting(self, failure):
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
