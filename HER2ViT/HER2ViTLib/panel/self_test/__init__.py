"""The module's self-test: whole readings in the application, by the logic and through the panel's widgets."""

import tempfile
import unittest
from pathlib import Path

import slicer

from .cases import CaseTests
from .dicom import DicomTests
from .session import SessionTests
from .support import (
    ReadingTest,
    check_shown,
    seed_in_outline,
    table_rows,
)

# Slicer imports this file at start-up: the functions import what is heavy.


class HER2ViTTest(CaseTests, DicomTests, SessionTests, ReadingTest):
    """Whole readings of the bundled sample in the application: by the logic, through the panel, after saving
    and reloading the scene, out to files and back, from and to DICOM.
    """

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        tests = (
            self.test_outline,
            self.test_reading,
            self.test_sequence,
            self.test_dicom,
            self.test_dicom_round_trip,
            self.test_panel,
            self.test_workflow,
            self.test_export,
            self.test_views,
            self.test_result_fits,
            self.test_saved_scene,
            self.test_session,
        )
        for test in tests:
            self.setUp()
            try:
                test()
                self.delayDisplay(f"{test.__name__} passed")
            except unittest.SkipTest as reason:
                self.delayDisplay(f"{test.__name__} skipped: {reason}")

    def test_outline(self):
        """A seed in the lesion gives an outline like the sample's own, in a segmentation of its own."""
        from HER2ViTLib.lesion.measures import dice
        from HER2ViTLib.mrml.inputs import segment_roi

        logic, parameters = self.sample()
        given = parameters.segmentation
        parameters.seed, expected = seed_in_outline(logic, parameters)
        logic.outlineFromSeed(parameters)
        self.assertNotEqual(parameters.segmentation.GetID(), given.GetID())
        outline = segment_roi(
            parameters.segmentation, parameters.segmentID, logic.study(parameters).geometry
        ).mask
        self.assertGreater(dice(outline, expected), 0.6)
        count = slicer.mrmlScene.GetNumberOfNodes()
        logic.outlineFromSeed(parameters)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), count)

    def test_reading(self):
        """The logic reads the sample; a second reading fills the same nodes; the inputs stay as they are."""
        logic, parameters = self.sample()
        self.needsReading()
        before = [slicer.util.arrayFromVolume(node).copy() for node in parameters.phases]
        reading = logic.run(parameters)
        self.assertIn(reading.call, ("zero", "low", "positive"))
        self.assertAlmostEqual(sum(reading.probabilities.values()), 1)
        self.assertIn(("HER2 call", reading.call), table_rows(parameters.resultTable))
        check_shown(self, logic, parameters)
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
        logic, parameters = self.sample()
        self.needsReading()
        scores = {key: task.score for key, task in logic.run(parameters).tasks.items()}
        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
        for index, node in enumerate(parameters.phases):
            sequence.SetDataNodeAtValue(node, str(index))
        parameters.sequence = sequence
        for _attempt in range(2):
            self.assertEqual({key: task.score for key, task in logic.run(parameters).tasks.items()}, scores)
            self.assertEqual(parameters.image.GetName(), "Early phase")
            check_shown(self, logic, parameters)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 4 + 1 + 2)

    def test_saved_scene(self):
        """Everything chosen and found is there again after saving, closing and reloading the scene."""
        panel = self.panel()
        panel.ui.sampleButton.click()
        chosen = {
            "earlyPhase": 1,
            "attentionMethod": "last",
            "attentionOpacity": 0.7,
            "attentionThreshold": 0.25,
            "caseName": "case 7",
            "sliceIndex": 17,
            "sliceCount": 2,
            "outlineShown": False,
        }
        for name, value in chosen.items():
            setattr(panel.parameterNode, name, value)
        if self.canRead():
            panel.logic.run(panel.parameterNode)
        rows = table_rows(panel.parameterNode.resultTable)
        ui = panel.ui
        shown = (ui.headlineLabel.text, ui.remarksLabel.text, ui.thresholdsLabel.text, ui.sliceLabel.text)
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            path = str(Path(folder) / "reading.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            self.assertEqual(ui.phasesTable.rowCount, 0)
            slicer.util.loadScene(path)
        parameters = panel.parameterNode
        self.assertEqual(
            [node.GetName() for node in parameters.phases], [f"Sample phase {n}" for n in range(4)]
        )
        self.assertEqual({name: getattr(parameters, name) for name in chosen}, chosen)
        self.assertEqual(parameters.segmentation.GetName(), "Sample outline")
        self.assertEqual(ui.segmentSelector.currentSegmentID(), parameters.segmentID)
        self.assertEqual(table_rows(parameters.resultTable), rows)
        self.assertEqual(
            (ui.headlineLabel.text, ui.remarksLabel.text, ui.thresholdsLabel.text, ui.sliceLabel.text), shown
        )
        self.assertTrue(ui.runButton.enabled)
        if rows:
            # A reading that came with the scene is shown; it is not kept whole, and says so.
            self.assertFalse(ui.exportReportButton.enabled)
            self.assertIn("came with the scene", ui.exportReportButton.toolTip)
            ui.jumpButton.click()
            panel.logic.showOverlay(parameters)
            check_shown(self, panel.logic, parameters)
            self._checkEditOfLoadedOutlineIsTold(panel, parameters)
            self._checkEarlierVersionIsShown(panel, parameters)

    def _checkEditOfLoadedOutlineIsTold(self, panel, parameters):
        outline = (parameters.segmentation, parameters.segmentID, parameters.image)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(*outline)
        self.assertNotIn("read again", panel.ui.remarksLabel.text)
        mask[:] = 0
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, *outline)
        self.assertIn("read again", panel.ui.remarksLabel.text)

    def _checkEarlierVersionIsShown(self, panel, parameters):
        """The result tables of earlier versions had rows only."""
        from HER2ViTLib.mrml.results import READING_ATTRIBUTE

        parameters.resultTable.RemoveAttribute(READING_ATTRIBUTE)
        parameters.Modified()
        self.assertIn("earlier version", panel.ui.headlineLabel.text)
        self.assertTrue(table_rows(panel.ui.resultTableView.mrmlTableNode()))
