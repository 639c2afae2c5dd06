"""The panel: binds what is shown to the parameter node and calls the logic."""

import contextlib
from typing import Any

import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from .case_section import CaseSection
from .export_section import ExportSection
from .labels import WrappedLabels
from .lesion_section import LesionSection
from .logic import HER2ViTLogic
from .read_section import ReadSection
from .reloading import forgetLibraries
from .result_section import ResultSection
from .session_section import SessionSection
from .slice_section import SliceSection

# Slicer imports this file at start-up: the functions import what is heavy.

AFTER_EDIT_MS = 300
"""How long after an edit of the outline its curve and areas are drawn anew: not at every stroke."""


class HER2ViTWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Binds the panel to the parameter node and calls the logic. A `PanelState` decides what it shows and
    allows; each section of the panel is a class of its own.
    """

    def __init__(self, parent=None):
        # The base class calls setup() when it has no parent, so these come first.
        self.logic: Any = None
        self.ui: Any = None
        self.lesionSection: Any = None
        self.resultSection: Any = None
        self.exportSection: Any = None
        self.sessionSection: Any = None
        self.sections: Any = ()
        self.parameterNode: Any = None
        self._parameterNodeGuiTag = None
        self._updatingGui = False
        self._toolTips: dict[str, str] = {}
        self._editTimer: Any = None
        self._labels: Any = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from HER2ViTLib.messages import RESEARCH_NOTICE

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HER2ViT.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.ui.noticeLabel.text = RESEARCH_NOTICE
        self._labels = WrappedLabels(uiWidget)
        self.logic = HER2ViTLogic()
        self._editTimer = qt.QTimer()
        self._editTimer.setSingleShot(True)
        self._editTimer.setInterval(AFTER_EDIT_MS)
        self._editTimer.connect("timeout()", self.updateGui)
        self.lesionSection = LesionSection(self)
        self.resultSection = ResultSection(self)
        self.sessionSection = SessionSection(self)
        self.exportSection = ExportSection(self)
        self.sections = (
            CaseSection(self),
            self.lesionSection,
            SliceSection(self),
            ReadSection(self),
            self.resultSection,
            self.exportSection,
            self.sessionSection,
        )
        uiWidget.setMRMLScene(slicer.mrmlScene)

        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()

    # Life of the panel

    def cleanup(self):
        """Called when the application closes and the module widget is destroyed."""
        self.logic.session.close()
        self.setParameterNode(None)
        self.removeObservers()
        self._editTimer.stop()
        self.lesionSection.cleanup()
        self.sessionSection.cleanup()

    def onReload(self):
        """Called by the button Reload, which Slicer shows to developers."""
        forgetLibraries()
        ScriptedLoadableModuleWidget.onReload(self)

    def enter(self):
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.logic.chooseLoadedSequence(self.parameterNode)
        self.lesionSection.enter()

    def exit(self):
        """Called each time the user opens a different module."""
        self.lesionSection.exit()
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        """Called just before the scene is closed."""
        self.logic.session.close()
        self.lesionSection.leaveScene()
        self.logic.forgetCase()
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
            self.resultSection.enterScene()
            self._parameterNodeGuiTag = self._connectGui()
            self.addObserver(self.parameterNode, vtk.vtkCommand.ModifiedEvent, self.updateGui)
        else:
            self.lesionSection.unwatch()
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
            state = self._state()
            for section in self.sections:
                section.update(state)
            self._updateButtons(state)
            self._labels.fitSoon()
        finally:
            self._updatingGui = False

    def updateSoon(self):
        """Updates the panel once edits of the outline pause."""
        self._editTimer.start()

    def updateButtons(self, *changed):
        """Says anew which buttons can be pressed: after choices that no parameter holds. Takes whatever a
        signal or event comes with.
        """
        if self.isChosenByUser():
            self._updateButtons(self._state())

    def _updateButtons(self, state):
        """Every button that cannot be pressed says in its tool tip why."""
        for name, obstacle in state.obstacles.items():
            button = getattr(self.ui, name)
            tip = self._toolTips.setdefault(name, button.toolTip)
            button.enabled = not obstacle
            button.toolTip = obstacle or tip

    def _state(self):
        return self.logic.panelState(
            self.parameterNode,
            self.ui.phaseSelector.currentNode(),
            self.ui.phasesTable.currentRow(),
            self.ui.exportTablePath.currentPath,
        )

    # For the sections

    def showProgress(self, text):
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
