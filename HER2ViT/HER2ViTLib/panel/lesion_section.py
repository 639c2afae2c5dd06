"""The panel's lesion section: the segment that is read, and the Segment Editor to draw it with."""

import qt
import slicer
from slicer.i18n import tr as _

PLACE_POINT_KEY = "Shift+L"


class LesionSection:
    """Outlining, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic
        self._watched = None
        self._seed = None
        self._shortcut = self._newShortcut()
        self.editor = self._newEditor()
        self.ui.segmentEditorSection.layout().addWidget(self.editor)
        self.ui.segmentEditorSection.connect("contentsCollapsed(bool)", panel.updateGui)
        self.ui.growButton.connect("toggled(bool)", self.onPlaceAndGrow)
        self.ui.seedPlaceWidget.connect("activeMarkupsPlaceModeChanged(bool)", self.onPlaceMode)
        self.ui.growAgainButton.connect("clicked(bool)", self.onOutlineFromSeed)
        self.ui.newOutlineButton.connect("clicked(bool)", self.onNewOutline)
        self.ui.segmentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onSegmentationChanged)
        self.ui.segmentSelector.connect("currentSegmentChanged(QString)", self.onSegmentChanged)

    def _newShortcut(self):
        """A key for *place a point and grow*, while this panel is open."""
        shortcut = qt.QShortcut(qt.QKeySequence(PLACE_POINT_KEY), slicer.util.mainWindow())
        shortcut.connect("activated()", self.ui.growButton.click)
        shortcut.setEnabled(False)
        return shortcut

    def _newEditor(self):
        import qSlicerSegmentationsModuleWidgetsPythonQt

        editor = qSlicerSegmentationsModuleWidgetsPythonQt.qMRMLSegmentEditorWidget()
        editor.setMaximumNumberOfUndoStates(10)
        editor.setUndoEnabled(True)
        # Images and segmentation are chosen above; the editor only draws, and leaves the views' layers to the
        # user and the reading.
        editor.setSegmentationNodeSelectorVisible(False)
        editor.setSourceVolumeNodeSelectorVisible(False)
        editor.setSwitchToSegmentationsButtonVisible(False)
        editor.setAutoShowSourceVolumeNode(False)
        editor.setMRMLSegmentEditorNode(self._logic.segmentEditorNode())
        editor.setMRMLScene(slicer.mrmlScene)
        return editor

    # Life of the section

    def enter(self):
        self._shortcut.setEnabled(True)
        self.editor.installKeyboardShortcuts()

    def exit(self):
        self._shortcut.setEnabled(False)
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()

    def leaveScene(self):
        """Lets go of a scene that is about to be closed."""
        self.editor.setActiveEffect(None)
        self.editor.setSegmentationNode(None)
        self.editor.removeViewObservations()

    def enterScene(self):
        self.editor.setMRMLSegmentEditorNode(self._logic.segmentEditorNode())

    def cleanup(self):
        if self.editor:
            # An editor that outlives the panel crashes the application on its way out.
            self.exit()
            self._shortcut.deleteLater()
            self.editor.deleteLater()
            self.editor = None

    # Parameter node to panel

    def update(self, state):
        parameters = self._panel.parameterNode
        self._logic.showOutline(parameters)
        if parameters.seed is not self._seed:
            self._watchSeed(parameters.seed)
        segmentation = parameters.segmentation
        segmentID = parameters.segmentID
        if self.ui.segmentSelector.currentNode() is not segmentation:
            self.ui.segmentSelector.setCurrentNode(segmentation)
        if self.ui.segmentSelector.currentSegmentID() != segmentID:
            self.ui.segmentSelector.setCurrentSegmentID(segmentID)
        if self.editor.segmentationNode() is not segmentation:
            self.editor.setSegmentationNode(segmentation)
        self.watch(segmentation)
        paintingNode = self._logic.paintingNode(parameters)
        # Without a segmentation the editor refuses a volume, and complains in the log. While it is closed it
        # gets none: it would look for the range of a large one's values, for a second or two.
        is_open = not self.ui.segmentEditorSection.collapsed
        if is_open and segmentation and self.editor.sourceVolumeNode() is not paintingNode:
            self.editor.setSourceVolumeNode(paintingNode)
        if segmentID and self.editor.currentSegmentID() != segmentID:
            self.editor.setCurrentSegmentID(segmentID)

    def _watchSeed(self, seed):
        """Hears of points placed in this list, and taken off it, from now on."""
        markups = slicer.vtkMRMLMarkupsNode
        heard = {
            markups.PointPositionDefinedEvent: self.onPointPlaced,
            markups.PointRemovedEvent: self._panel.updateButtons,
        }
        for event, method in heard.items():
            if self._seed:
                self._panel.removeObserver(self._seed, event, method)
            if seed:
                self._panel.addObserver(seed, event, method)
        self._seed = seed

    def unwatch(self):
        """Hears of nothing any more."""
        self.watch(None)
        self._watchSeed(None)

    def watch(self, segmentation):
        """Hears of edits of this segmentation from now on; of none for None."""
        edited = slicer.vtkSegmentation.SourceRepresentationModified
        if segmentation is self._watched:
            return
        if self._watched:
            self._panel.removeObserver(self._watched, edited, self.onEdited)
        self._watched = segmentation
        if segmentation:
            self._panel.addObserver(segmentation, edited, self.onEdited)
            # Slicer watches the voxels of a loaded segment only after the segment itself has changed: without
            # this the first stroke of the brush would go unnoticed.
            for segmentID in self._logic.segmentIDs(segmentation):
                segmentation.GetSegmentation().GetSegment(segmentID).Modified()

    # Panel to parameter node

    def onEdited(self, caller, event):
        self._panel.updateSoon()
        # Once is enough: an edit is told at every stroke of the brush.
        if not self._logic.readFrom(self._panel.parameterNode).outline_edited:
            self._logic.outlineEdited(self._panel.parameterNode)
            self._panel.updateGui()

    def onSegmentationChanged(self, node):
        if not self._panel.isChosenByUser():
            return
        # The selector picks a segment of a newly chosen segmentation by itself; the user is to do that.
        with slicer.util.NodeModify(self._panel.parameterNode):
            self._panel.parameterNode.segmentation = node
            self._panel.parameterNode.segmentID = ""

    def onSegmentChanged(self, segmentID):
        if not self._panel.isChosenByUser():
            return
        from HER2ViTLib.workflow.choices import chosen_segment

        parameters = self._panel.parameterNode
        existing = self._logic.segmentIDs(parameters.segmentation)
        parameters.segmentID = chosen_segment(parameters.segmentID, segmentID, existing)
        self._panel.updateGui()

    def onPlaceAndGrow(self, checked):
        """Waits for a point; the lesion is grown from it as soon as it is placed."""
        if checked:
            self.ui.seedPlaceWidget.setCurrentNode(self._logic.seedNode(self._panel.parameterNode))
        if checked != self.ui.seedPlaceWidget.placeModeEnabled:
            self.ui.seedPlaceWidget.setPlaceModeEnabled(checked)

    def onPlaceMode(self, enabled):
        """Placing has ended, be it by a point or because the user took something else in hand."""
        if not enabled:
            self.ui.growButton.checked = False

    def onPointPlaced(self, caller, event):
        self._panel.updateButtons()
        if self.ui.growButton.checked:
            self.ui.growButton.checked = False
            # Once the views are done with the click that placed the point.
            qt.QTimer.singleShot(0, self.onOutlineFromSeed)

    def onOutlineFromSeed(self, checked=False):
        # Corrections by hand to the former outline are not lost: the editor's undo brings them back.
        if self._panel.parameterNode.segmentation:
            self.editor.saveStateForUndo()
        with self._panel.reporting(_("Outlining failed.")):
            self._panel.showProgress(_("Outlining the lesion..."))
            self._logic.outlineFromSeed(self._panel.parameterNode, _keepAlive)

    def onNewOutline(self, checked=False):
        with self._panel.reporting(_("Making an outline failed.")):
            self._logic.newOutline(self._panel.parameterNode)
            self.ui.segmentEditorSection.collapsed = False


def _keepAlive():
    """Lets the application draw while the lesion is outlined; what the user does waits."""
    slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
