"""The module's self-test: whole readings in the application."""

import importlib.util
import logging
import tempfile
import unittest
from pathlib import Path

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from .logic import HER2ViTLogic
from .parameters import TASKS
from .self_test_support import check_shown, plan_session, seed_in_outline, table_rows, write_dicom
from .slice_view import readingSliceWidget

# Slicer imports this file at start-up: the functions import what is heavy.


class HER2ViTTest(ScriptedLoadableModuleTest):
    """Whole readings of the bundled sample in the application: by the logic, by the panel, and after saving
    and reloading the scene.
    """

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
        """Whether torch and the like are there. A test installs nothing: it says so and leaves the readings
        out.
        """
        from HER2ViTLib.workflow import dependencies

        missing = [
            *dependencies.missing_packages(dependencies.READING),
            *(["torch"] if dependencies.missing_torch() else []),
        ]
        if missing:
            logging.warning(f"HER2ViTTest: readings are not tested, for want of {', '.join(missing)}")
        return not missing

    def _panel(self):
        if slicer.app.layoutManager() is None:
            self.skipTest("the panel needs a main window")
        slicer.util.selectModule("HER2ViT")
        slicer.app.processEvents()
        return slicer.modules.HER2ViTWidget

    def test_outline(self):
        """A seed in the lesion gives an outline like the sample's own, in a segmentation of its own."""
        from HER2ViTLib.lesion.measures import dice
        from HER2ViTLib.mrml.inputs import segment_roi

        logic, parameters = self._sample()
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
        logic, parameters = self._sample()
        if not self._canRead():
            return
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
            check_shown(self, logic, parameters)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 4 + 1 + 2)

    def test_dicom(self):
        """Phases from the DICOM database, loaded in another order: in time order, with their times, as the
        command reads the files.
        """
        if not hasattr(slicer, "dicomDatabase"):
            raise unittest.SkipTest("this Slicer has no DICOM support")
        from DICOMLib import DICOMUtils

        from HER2ViTLib.study.loading import load_study
        from HER2ViTLib.study.phases import choose_phases

        logic = HER2ViTLogic()
        parameters = logic.getParameterNode()
        with tempfile.TemporaryDirectory() as folder:
            files = write_dicom(Path(folder, "study"))
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

    def test_panel(self):
        """What a user does: load, choose, outline, read, look at the other task, change the opacity, jump
        back.
        """
        panel = self._panel()
        parameters = panel.parameterNode
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
        parameters.seed, _mask = seed_in_outline(panel.logic, parameters)
        self.assertTrue(panel.ui.outlineButton.enabled)
        panel.ui.outlineButton.click()
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
        panel.ui.earlyPhaseSpinBox.value = 1
        self.assertEqual(parameters.earlyPhase, 1)
        if not self._canRead():
            return
        panel.ui.runButton.click()
        self.assertIn("HER2 call", panel.ui.headlineLabel.text)
        self.assertIn("simulated", panel.ui.remarksLabel.text)
        self._checkChangesAreTold(panel, parameters)
        self.assertEqual(panel.ui.resultTableView.mrmlTableNode().GetID(), parameters.resultTable.GetID())
        check_shown(self, panel.logic, parameters)
        panel.ui.shownTaskComboBox.currentIndex = 0
        panel.ui.opacitySlider.value = 0.8
        self.assertEqual(parameters.shownTask, TASKS[0])
        check_shown(self, panel.logic, parameters)
        if readingSliceWidget():
            readingSliceWidget().mrmlSliceNode().SetOrientationToCoronal()
            panel.ui.jumpButton.click()
            check_shown(self, panel.logic, parameters)
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

    def test_saved_scene(self):
        """Everything chosen and found is there again after saving, closing and reloading the scene."""
        panel = self._panel()
        panel.onLoadSample()
        panel.parameterNode.earlyPhase = 1
        panel.parameterNode.attentionMethod = "last"
        panel.parameterNode.attentionOpacity = 0.7
        if self._canRead():
            panel.logic.run(panel.parameterNode)
        rows = table_rows(panel.parameterNode.resultTable)
        shown = (panel.ui.headlineLabel.text, panel.ui.remarksLabel.text)
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            path = str(Path(folder) / "reading.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            self.assertEqual(panel.ui.phasesList.count, 0)
            slicer.util.loadScene(path)
        parameters = panel.parameterNode
        self.assertEqual(
            [node.GetName() for node in parameters.phases], [f"Sample phase {n}" for n in range(4)]
        )
        self.assertEqual(
            (parameters.earlyPhase, parameters.attentionMethod, parameters.attentionOpacity), (1, "last", 0.7)
        )
        self.assertEqual(parameters.segmentation.GetName(), "Sample outline")
        self.assertEqual(panel.ui.segmentSelector.currentSegmentID(), parameters.segmentID)
        self.assertEqual(table_rows(parameters.resultTable), rows)
        self.assertEqual((panel.ui.headlineLabel.text, panel.ui.remarksLabel.text), shown)
        self.assertTrue(panel.ui.runButton.enabled)
        if rows:
            panel.onJump()
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

    def test_session(self):
        """A read in the panel: outline a case, skip one with a reason, close, go on where it was."""
        if not importlib.util.find_spec("filelock"):
            self.skipTest("a session needs filelock")
        seed, _mask = seed_in_outline(*self._sample())
        place = list(seed.GetNthControlPointPosition(0))
        slicer.mrmlScene.Clear()
        panel = self._panel()
        parameters = panel.parameterNode
        with tempfile.TemporaryDirectory() as folder:
            panel.ui.sessionPath.currentPath = str(plan_session(Path(folder)))
            panel.ui.sessionOpenButton.click()
            self.assertIn("case 1 of 3", panel.ui.sessionLabel.text)
            self.assertEqual((panel.ui.phasesList.count, parameters.earlyPhase), (4, -1))
            self.assertFalse(panel.ui.sessionSaveButton.enabled)
            parameters.seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
            parameters.seed.AddControlPoint(place)
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
