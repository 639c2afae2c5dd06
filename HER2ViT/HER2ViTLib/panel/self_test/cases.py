"""Self-test of the panel: what a user does with a case, and what the user sees of it."""

import tempfile
from pathlib import Path

import qt
import slicer

from ..parameters import TASKS
from ..scrolling import scrollArea, scrollTo
from ..slice_view import readingSliceWidget, sliceWidgets
from .support import ReadingTest, check_shown, click, place_in_view, seed_in_outline, table_rows

# Slicer imports this file at start-up: the functions import what is heavy.


class CaseTests(ReadingTest):
    """Cases through the widgets."""

    def test_panel(self):
        """What a user does: load, choose, outline, read, look at the other task, change the opacity, jump
        back.
        """
        panel = self.panel()
        ui = panel.ui
        parameters = panel.parameterNode
        for button in (ui.runButton, ui.growButton, ui.subtractionButton):
            self.assertFalse(button.enabled)
            self.assertIn("phases", button.toolTip)
        ui.sampleButton.click()
        self.assertEqual(ui.phasesTable.rowCount, 4)
        self.assertTrue(ui.runButton.enabled)
        self.assertEqual(ui.segmentSelector.currentSegmentID(), parameters.segmentID)
        self._checkPhasesAreOrdered(ui, parameters)
        self._checkSegmentIsNeverGuessed(panel, parameters)
        self._checkModelsAreThoseShown(panel, parameters)
        parameters.seed, _mask = seed_in_outline(panel.logic, parameters)
        self.assertTrue(ui.growAgainButton.enabled)
        ui.growAgainButton.click()
        self.assertEqual(
            (parameters.segmentation.GetName(), parameters.segmentID), ("Lesion outline", "Lesion")
        )
        shown = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
            if node.GetDisplayVisibility()
        ]
        self.assertNotIn("Sample outline", [node.GetName() for node in shown])
        self.assertEqual(panel.lesionSection.editor.segmentationNodeID(), parameters.segmentation.GetID())
        ui.outlineShownCheckBox.click()
        self.assertFalse(parameters.segmentation.GetDisplayVisibility())
        ui.outlineShownCheckBox.click()
        self.assertTrue(parameters.segmentation.GetDisplayVisibility())
        ui.earlyPhaseSpinBox.value = 1
        self.assertEqual(parameters.earlyPhase, 1)
        self.assertIn("chosen by the user", ui.phasesLabel.text)
        self.needsReading()
        ui.runButton.click()
        self.assertIn("HER2 call", ui.headlineLabel.text)
        self.assertIn("simulated", ui.remarksLabel.text)
        self._checkChangesAreTold(panel, parameters)
        self.assertEqual(ui.resultTableView.mrmlTableNode().GetID(), parameters.resultTable.GetID())
        check_shown(self, panel.logic, parameters)
        ui.shownTaskComboBox.currentIndex = 0
        ui.opacitySlider.value = 0.8
        self.assertEqual(parameters.shownTask, TASKS[0])
        check_shown(self, panel.logic, parameters)
        readingSliceWidget(parameters.attentionTask1).mrmlSliceNode().SetSliceOffset(0)
        ui.jumpButton.click()
        check_shown(self, panel.logic, parameters)
        slicer.util.selectModule("Data")
        self.panel()

    def _checkPhasesAreOrdered(self, ui, parameters):
        ui.phasesTable.setCurrentCell(3, 0)
        ui.movePhaseUpButton.click()
        ui.movePhaseUpButton.click()
        self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["0", "3", "1", "2"])
        ui.removePhaseButton.click()
        self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["0", "1", "2"])
        ui.addAllPhasesButton.click()
        self.assertFalse(ui.addAllPhasesButton.enabled)
        self.assertIn("phase already", ui.addAllPhasesButton.toolTip)
        self.assertEqual([node.GetName()[-1] for node in parameters.phases], ["0", "1", "2", "3"])
        uses = [ui.phasesTable.item(row, 3).text() for row in range(4)]
        self.assertEqual([bool(use) for use in uses].count(True), 2)
        self.assertIn("is read: no phase times", ui.phasesLabel.text)

    def _checkChangesAreTold(self, panel, parameters):
        for name, changed in (("earlyPhase", 2), ("sliceCount", 3)):
            former = getattr(parameters, name)
            self.assertNotIn("read again", panel.ui.remarksLabel.text)
            setattr(parameters, name, changed)
            self.assertIn("read again", panel.ui.remarksLabel.text)
            self.assertFalse(panel.ui.exportReportButton.enabled)
            setattr(parameters, name, former)
        self.assertNotIn("read again", panel.ui.remarksLabel.text)
        panel.ui.growAgainButton.click()
        self.assertIn("read again", panel.ui.remarksLabel.text)
        panel.ui.runButton.click()
        self.assertNotIn("read again", panel.ui.remarksLabel.text)

    def _checkModelsAreThoseShown(self, panel, parameters):
        demo = parameters.task1Bundle
        for text in ("/no/such/folder", "", demo):
            panel.ui.task1BundlePath.currentPath = text
            self.assertEqual(parameters.task1Bundle, text)
        self.assertIn("simulated", panel.ui.task1CardLabel.text)

    def _checkSegmentIsNeverGuessed(self, panel, parameters):
        chosen = parameters.segmentation
        segmentID = parameters.segmentID
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

    def test_workflow(self):
        """From the patient to the next one: load, grow with one click, read, another slice, next case; the
        models stay.
        """
        panel = self.panel()
        ui = panel.ui
        parameters = panel.parameterNode
        ui.sampleButton.click()
        seed, _mask = seed_in_outline(panel.logic, parameters)
        place = seed.GetNthControlPointPosition(0)
        slicer.mrmlScene.RemoveNode(seed)
        ui.growButton.click()
        self.assertTrue(ui.seedPlaceWidget.placeModeEnabled)
        place_in_view(parameters.seed, place)
        self.assertFalse(ui.growButton.checked)
        self.assertEqual(parameters.segmentation.GetName(), "Lesion outline")
        self.assertTrue(panel.logic.isGrown(parameters))
        self.assertFalse(ui.enhancementPlot.pixmap.isNull())
        largest = panel.logic.facts(parameters).lesion.largest
        self.assertIn(f"largest slice is read: {largest}", ui.sliceLabel.text)
        ui.subtractionButton.click()
        self.assertIn("Subtraction: phase", parameters.subtraction.GetName())
        self.needsReading()
        ui.runButton.click()
        self.assertIn(("slice, area", str(largest)), self._slices(parameters))
        self._pickSlice(ui, panel, largest + 1)
        self.assertEqual(parameters.sliceIndex, largest + 1)
        self.assertIn(f"Slice {largest + 1} is read", ui.sliceLabel.text)
        self.assertIn("read again", ui.remarksLabel.text)
        ui.runButton.click()
        self.assertIn(("slice, area", str(largest + 1)), self._slices(parameters))
        ui.largestSliceButton.click()
        self.assertEqual(parameters.sliceIndex, -1)
        models = (parameters.task1Bundle, parameters.task2Bundle)
        self._nextCase(panel)
        self.assertEqual((parameters.task1Bundle, parameters.task2Bundle), models)
        self.assertEqual(ui.headlineLabel.text, "No reading yet.")
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"), [])
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLTableNode"), [])
        self.assertFalse(ui.nextCaseButton.enabled)

    def _slices(self, parameters):
        return [(name, value.partition(",")[0]) for name, value in table_rows(parameters.resultTable)]

    def _pickSlice(self, ui, panel, index):
        """Clicks the middle of a slice's column in the plot of areas."""
        from HER2ViTLib.workflow.drawings import slice_at

        areas = panel.logic.facts(panel.parameterNode).lesion.areas_mm2
        columns = [x for x in range(ui.areasPlot.pixmap.width()) if slice_at(x, areas) == index]
        click(ui.areasPlot, columns[len(columns) // 2])

    def _nextCase(self, panel):
        """Presses *Next case*; what is not saved is asked about, and let go."""
        section = panel.exportSection
        asked = []

        def agree(question):
            asked.append(question)
            return True

        section.confirm = agree
        try:
            panel.ui.nextCaseButton.click()
        finally:
            del section.confirm
        self.assertIn("the outline and the reading", asked[0])

    def test_export(self):
        """The reading leaves as a page, a PDF, rows of a table and a scene."""
        panel = self.panel()
        ui = panel.ui
        ui.sampleButton.click()
        self.assertFalse(ui.exportReportButton.enabled)
        self.assertIn("Read the case first", ui.exportReportButton.toolTip)
        self.needsReading()
        ui.runButton.click()
        self.assertFalse(ui.saveDicomButton.enabled)
        self.assertIn("did not come from Slicer's DICOM database", ui.saveDicomButton.toolTip)
        ui.caseNameEdit.text = "case 7"
        with tempfile.TemporaryDirectory() as folder:
            section = panel.exportSection
            section.askPath = lambda what, name: str(Path(folder) / name)
            try:
                for button in (ui.exportReportButton, ui.exportPdfButton, ui.exportSceneButton):
                    button.click()
            finally:
                del section.askPath
            page = Path(folder, "case 7.html").read_text()
            self.assertIn("case 7", page)
            self.assertIn("Research use only", page)
            self.assertEqual(Path(folder, "case 7.pdf").read_bytes()[:5], b"%PDF-")
            self.assertTrue(Path(folder, "case 7.mrb").is_file())
            self._checkRows(panel, Path(folder, "readings.csv"))

    def _checkRows(self, panel, path):
        import csv

        ui = panel.ui
        ui.exportTablePath.currentPath = ""
        self.assertFalse(ui.exportRowButton.enabled)
        ui.exportTablePath.currentPath = str(path)
        self.assertTrue(ui.exportRowButton.enabled)
        ui.exportRowButton.click()
        ui.caseNameEdit.text = "case 8"
        ui.exportRowButton.click()
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["case_id"] for row in rows], ["case 7", "case 8"])
        self.assertIn(rows[0]["call"], ui.headlineLabel.text)
        self.assertIn(path.name, ui.exportLabel.text)

    def test_views(self):
        """After a reading every slice view shows the lesion, in its own orientation; outside the crop and
        below the threshold the image stays as it is.
        """
        panel = self.panel()
        ui = panel.ui
        parameters = panel.parameterNode
        ui.sampleButton.click()
        self.needsReading()
        before = {name: widget.mrmlSliceNode().GetOrientation() for name, widget in sliceWidgets().items()}
        ui.runButton.click()
        check_shown(self, panel.logic, parameters)
        lesion = [0.0] * 6
        parameters.segmentation.GetRASBounds(lesion)
        reading = readingSliceWidget(panel.logic.attentionNode(parameters))
        for name, widget in sliceWidgets().items():
            node = widget.mrmlSliceNode()
            if widget is not reading:
                self.assertEqual(node.GetOrientation(), before[name])
            place = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
            for axis, value in enumerate(place):
                self.assertGreaterEqual(value, lesion[2 * axis] - 5)
                self.assertLessEqual(value, lesion[2 * axis + 1] + 5)
        display = panel.logic.attentionNode(parameters).GetDisplayNode()
        ui.attentionThresholdSlider.value = 0.3
        self.assertTrue(display.GetApplyThreshold())
        self.assertAlmostEqual(display.GetLowerThreshold(), 0.3)
        self.assertTrue(ui.detailsSection.collapsed)

    def test_result_fits(self):
        """On a window of 1280 x 800 the way from *Read* to the result needs no searching: from the call to
        the export everything is in sight.
        """
        panel = self.panel()
        ui = panel.ui
        ui.sampleButton.click()
        self.needsReading()
        window = slicer.util.mainWindow()
        former = window.size
        window.resize(1280, 800)
        slicer.app.processEvents()
        ui.runButton.click()
        for _attempt in range(5):
            slicer.app.processEvents()
        scrollTo(ui.resultSection)
        area = scrollArea(ui.resultSection)
        for widget in (ui.headlineLabel, ui.remarksLabel, ui.probabilitiesPlot, ui.nextCaseButton):
            upper = widget.mapTo(area.viewport(), qt.QPoint(0, 0)).y()
            self.assertGreaterEqual(upper, 0, widget.name)
            self.assertLessEqual(upper + widget.height, area.viewport().height, widget.name)
        window.resize(former)
