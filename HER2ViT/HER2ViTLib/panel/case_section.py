"""The panel's case section: where the images come from, their phases in time, the lesion's enhancement."""

import qt
import slicer
from slicer.i18n import tr as _

from .plots import WIDTH, showDrawing, styleColours
from .slice_view import showImage

# Slicer imports this file at start-up: the functions import what is heavy.


class CaseSection:
    """The images of the case, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic
        self.ui.phasesTable.setColumnCount(4)
        self.ui.phasesTable.setHorizontalHeaderLabels([_("Phase"), _("Name"), _("Time"), _("Use")])
        self.ui.phasesTable.verticalHeader().setDefaultSectionSize(22)
        self.ui.dicomButton.connect("clicked(bool)", self.onDicom)
        self.ui.sampleButton.connect("clicked(bool)", self.onLoadSample)
        self.ui.phaseSelector.connect("currentNodeChanged(vtkMRMLNode*)", panel.updateButtons)
        self.ui.phaseSelector.connect("nodeAdded(vtkMRMLNode*)", panel.updateButtons)
        self._looked = None
        self.ui.phasesTable.connect("itemSelectionChanged()", panel.updateButtons)
        self.ui.phasesTable.connect("cellClicked(int,int)", self.onPhaseClicked)
        self.ui.addPhaseButton.connect("clicked(bool)", self.onAddPhase)
        self.ui.addAllPhasesButton.connect("clicked(bool)", self.onAddAllPhases)
        self.ui.removePhaseButton.connect("clicked(bool)", self.onRemovePhase)
        self.ui.movePhaseUpButton.connect("clicked(bool)", self.onMovePhaseUp)
        self.ui.subtractionButton.connect("clicked(bool)", self.onSubtraction)

    # Parameter node to panel

    def update(self, state):
        self._updateTable(state)
        self._lookAtEarlyPhase(state)
        self.ui.phaseSelector.enabled = state.can_list_phases
        lines = [self._logic.phaseOrderText(self._panel.parameterNode), state.case_text]
        self.ui.phasesLabel.text = "\n".join(line for line in lines if line)
        showDrawing(self.ui.enhancementPlot, self._enhancement(state.facts))

    def _updateTable(self, state):
        table = self.ui.phasesTable
        row = table.currentRow()
        names = self._logic.phaseNames(self._panel.parameterNode)
        table.setRowCount(len(names))
        for index, name in enumerate(names):
            cells = (str(index), name, state.facts.time_text(index), state.facts.role_text(index))
            for column, text in enumerate(cells):
                table.setItem(index, column, self._cell(text, bool(cells[3])))
        table.setCurrentCell(min(row, len(names) - 1), 0)
        table.resizeColumnsToContents()

    def _lookAtEarlyPhase(self, state):
        """A sequence comes with its first phase in view, which shows no lesion: the one that is read does."""
        parameters = self._panel.parameterNode
        if state.facts.early is None or parameters.sequence is None or state.has_table:
            return
        looked = (parameters.sequence.GetID(), state.facts.early.index)
        if looked != self._looked:
            self._looked = looked
            self._logic.showPhase(parameters, state.facts.early.index)

    def _cell(self, text, is_marked):
        cell = qt.QTableWidgetItem(text)
        cell.setToolTip(text)
        if is_marked:
            font = cell.font()
            font.setBold(True)
            cell.setFont(font)
        return cell

    def _enhancement(self, facts):
        from HER2ViTLib.workflow.drawings import enhancement_svg

        if facts.lesion is None or facts.early is None or facts.phases < 2:
            return ""
        return enhancement_svg(
            facts.lesion.signals, facts.times_s, facts.early.index, facts.pre, styleColours(), WIDTH, 110
        )

    # Panel to parameter node

    def onPhaseClicked(self, row, column):
        self._logic.showPhase(self._panel.parameterNode, row)

    def onDicom(self, checked=False):
        slicer.util.selectModule("DICOM")

    def onLoadSample(self, checked=False):
        with self._panel.reporting(_("Loading the sample failed.")):
            self._logic.loadSample(self._panel.parameterNode)

    def onAddPhase(self, checked=False):
        self._addPhases([self.ui.phaseSelector.currentNode()])

    def onAddAllPhases(self, checked=False):
        self._addPhases(self._logic.loadedVolumes(self._panel.parameterNode))

    def _addPhases(self, nodes):
        with self._panel.reporting(_("The phases could not be put in order.")):
            self._logic.addPhases(self._panel.parameterNode, nodes)

    def onRemovePhase(self, checked=False):
        row = self.ui.phasesTable.currentRow()
        nodes = self._logic.phaseNodes(self._panel.parameterNode)
        self._panel.parameterNode.phases = [node for index, node in enumerate(nodes) if index != row]

    def onMovePhaseUp(self, checked=False):
        from HER2ViTLib.workflow.phase_order import BY_USER, moved_up

        parameters = self._panel.parameterNode
        row = self.ui.phasesTable.currentRow()
        with slicer.util.NodeModify(parameters):
            parameters.phaseOrder = BY_USER
            parameters.phases = moved_up(self._logic.phaseNodes(parameters), row)
        self.ui.phasesTable.setCurrentCell(max(row - 1, 0), 0)

    def onSubtraction(self, checked=False):
        with self._panel.reporting(_("Subtracting failed.")):
            showImage(self._logic.subtract(self._panel.parameterNode))
