"""Self-test with the application's DICOM database: from the scanner's files to a reading, and back."""

import tempfile
import unittest
from pathlib import Path

import slicer

from .support import ReadingTest, check_shown, place_in_view, sample_lesion_ras, write_dicom

# Slicer imports this file at start-up: the functions import what is heavy.


class DicomTests(ReadingTest):
    """DICOM in and out."""

    def needsDicom(self):
        if not hasattr(slicer, "dicomDatabase"):
            raise unittest.SkipTest("this Slicer has no DICOM support")

    def test_dicom(self):
        """Phases from the DICOM database, loaded in another order: in time order, with their times, as the
        command reads the files.
        """
        self.needsDicom()
        from DICOMLib import DICOMUtils

        from HER2ViTLib.study.loading import load_study
        from HER2ViTLib.study.phases import choose_phases

        from ..logic import HER2ViTLogic

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

    def test_dicom_round_trip(self):
        """Import, load what the DICOM module offers, outline, read, save into the database, load from there:
        the outline's voxels, the scores and the map are the same.
        """
        self.needsDicom()
        from DICOMLib import DICOMUtils

        panel = self.panel()
        slicer.util.selectModule("Data")
        with tempfile.TemporaryDirectory() as folder:
            write_dicom(Path(folder, "study"))
            with DICOMUtils.TemporaryDICOMDatabase(str(Path(folder, "database"))) as database:
                DICOMUtils.importDicom(str(Path(folder, "study")), database)
                self._loadAll(database, DICOMUtils)
                self.panel()
                self.assertIsNotNone(panel.parameterNode.sequence)
                self._readAndSave(panel)
                self._checkLoadedAgain(panel, database, DICOMUtils)
        slicer.mrmlScene.Clear()

    def _loadAll(self, database, DICOMUtils):
        for patient in database.patients():
            DICOMUtils.loadPatientByUID(patient)

    def _readAndSave(self, panel):
        ui = panel.ui
        times = [ui.phasesTable.item(row, 2).text() for row in range(4)]
        self.assertEqual(times[0], "before contrast")
        self.assertTrue(all("s after contrast" in time for time in times[1:]), times)
        self.assertIn("nearest to 90 s after contrast", ui.phasesLabel.text)
        self.needsReading()
        ui.growButton.click()
        place_in_view(panel.parameterNode.seed, sample_lesion_ras())
        ui.demoModelsButton.click()
        ui.runButton.click()
        self.assertIn("HER2 call", ui.headlineLabel.text)
        check_shown(self, panel.logic, panel.parameterNode)
        if "lacks the Python package" in ui.saveDicomButton.toolTip:
            raise unittest.SkipTest(ui.saveDicomButton.toolTip)
        self.assertTrue(ui.saveDicomButton.enabled, ui.saveDicomButton.toolTip)
        ui.saveDicomButton.click()
        self.assertIn("DICOM database", ui.exportLabel.text)

    def _checkLoadedAgain(self, panel, database, DICOMUtils):
        """The database holds the objects beside the images, and Slicer loads the outline again."""
        from HER2ViTLib.mrml.inputs import segment_names, segment_roi

        parameters = panel.parameterNode
        geometry = panel.logic.study(parameters).geometry
        outlined = segment_roi(parameters.segmentation, parameters.segmentID, geometry).mask
        (patient,) = database.patients()
        (study,) = database.studiesForPatient(patient)
        kinds = {
            database.fileValue(database.filesForSeries(series)[0], "0008,0060")
            for series in database.seriesForStudy(study)
        }
        self.assertLessEqual({"MR", "SEG", "SR"}, kinds)
        if "DICOMSegmentationPlugin" not in slicer.modules.dicomPlugins:
            return
        slicer.mrmlScene.Clear()
        self._loadAll(database, DICOMUtils)
        segmentations = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        self.assertTrue(segmentations)
        segmentation = segmentations[0]
        loaded = segment_roi(segmentation, next(iter(segment_names(segmentation))), geometry).mask
        self.assertTrue((loaded == outlined).all())
