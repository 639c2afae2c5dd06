"""Self-test of a reader's session in the panel."""

import importlib.util
import tempfile
from pathlib import Path

import slicer

from .support import ReadingTest, place_in_view, plan_session, sample_lesion_ras

# Slicer imports this file at start-up: the functions import what is heavy.


class SessionTests(ReadingTest):
    """A session through the widgets."""

    def test_session(self):
        """A read in the panel: outline a case, skip one with a reason, close, go on where it was."""
        if not importlib.util.find_spec("filelock"):
            self.skipTest("a session needs filelock")
        panel = self.panel()
        ui = panel.ui
        parameters = panel.parameterNode
        with tempfile.TemporaryDirectory() as folder:
            ui.sessionPath.currentPath = str(plan_session(Path(folder)))
            ui.sessionOpenButton.click()
            self.assertIn("case 1 of 3", ui.sessionLabel.text)
            self.assertEqual((ui.phasesTable.rowCount, parameters.earlyPhase), (4, -1))
            self.assertFalse(ui.sessionSaveButton.enabled)
            for hidden in (
                ui.readSection,
                ui.runButton,
                ui.resultSection,
                ui.exportSection,
                ui.detailsSection,
            ):
                self.assertFalse(hidden.visible)
            self.assertIn("A session is open", ui.sampleButton.toolTip)
            self.assertIn("3 left. This case: 0:0", ui.sessionLabel.text)
            ui.growButton.click()
            place_in_view(parameters.seed, sample_lesion_ras())
            ui.sessionSaveButton.click()
            self.assertIn("case 2 of 3 (A1-002); 1 outlined", ui.sessionLabel.text)
            self.assertEqual(parameters.segmentID, "")
            self.assertIsNone(slicer.mrmlScene.GetFirstNodeByName("Lesion outline"))
            self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 4)
            ui.sessionReasonEdit.text = "motion"
            ui.sessionSkipButton.click()
            self.assertIn("1 outlined, 1 skipped", ui.sessionLabel.text)
            self.assertEqual(ui.sessionReasonEdit.text, "")
            ui.sessionCloseButton.click()
            ui.sessionOpenButton.click()
            self.assertIn("case 3 of 3", ui.sessionLabel.text)
            ui.sessionReasonEdit.text = "motion"
            ui.sessionSkipButton.click()
            self.assertIn("finished", ui.sessionLabel.text)
            self.assertEqual(ui.phasesTable.rowCount, 0)
            ui.sessionCloseButton.click()
            self.assertTrue(ui.readSection.visible)
