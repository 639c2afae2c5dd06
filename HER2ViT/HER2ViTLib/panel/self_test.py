"""The module's self-test: whole readings in the application."""

import importlib.util
import logging
import tempfile
import unittest
from pathlib import Path

import slicer
import vtk
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModuleTest,
)

from .logic import HER2ViTLogic
from .parameters import TASKS

# Slicer imports this at start-up: heavy rooms are imported by the functions that need them.


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

        missing = [*dependencies.missing_packages(), *(["torch"] if dependencies.missing_torch() else [])]
        if missing:
            logging.warning(f"HER2ViTTest: readings are not tested, for want of {', '.join(missing)}")
        return not missing

    def _seed(self, logic, parameters):
        """A point in the middle of the sample's outline, as a user would place it."""
        import numpy as np

        from HER2ViTLib.mrml.inputs import segment_roi

        study = logic.study(parameters)
        mask = segment_roi(parameters.segmentation, parameters.segmentID, study.geometry).mask
        voxels = np.argwhere(mask)
        middle = voxels[np.argmin(np.square(voxels - voxels.mean(axis=0)).sum(axis=1))][::-1]
        left, posterior, superior = study.geometry.to_lps(middle)
        seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
        seed.AddControlPoint(-left, -posterior, superior)
        return seed, mask

    def _panel(self):
        if slicer.app.layoutManager() is None:
            self.skipTest("the panel needs a main window")
        slicer.util.selectModule("HER2ViT")
        slicer.app.processEvents()
        return slicer.modules.HER2ViTWidget

    def _checkShown(self, logic, parameters):
        """The slice view shows the image, the attention map of the shown task over it, and its slice."""
        widget = logic.sliceWidget()
        if widget is None:
            return
        layers = widget.mrmlSliceCompositeNode()
        attention = logic.attentionNode(parameters)
        self.assertEqual(layers.GetBackgroundVolumeID(), parameters.image.GetID())
        self.assertEqual(layers.GetForegroundVolumeID(), attention.GetID())
        self.assertAlmostEqual(layers.GetForegroundOpacity(), parameters.attentionOpacity)
        ijkToRAS = vtk.vtkMatrix4x4()
        attention.GetIJKToRASMatrix(ijkToRAS)
        columns, rows, _slices = attention.GetImageData().GetDimensions()
        centre = ijkToRAS.MultiplyPoint([(columns - 1) / 2, (rows - 1) / 2, 0, 1])
        rasToXY = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(widget.mrmlSliceNode().GetXYToRAS(), rasToXY)
        x, y, depth, _one = rasToXY.MultiplyPoint(centre)
        width, height, _depth = widget.mrmlSliceNode().GetDimensions()
        self.assertAlmostEqual(x, width / 2, delta=1)
        self.assertAlmostEqual(y, height / 2, delta=1)
        self.assertAlmostEqual(depth, 0, delta=0.01)

    def test_outline(self):
        """A seed in the lesion gives an outline like the sample's own, in a segmentation of its own."""
        from HER2ViTLib.lesion.measures import dice
        from HER2ViTLib.mrml.inputs import segment_roi

        logic, parameters = self._sample()
        given = parameters.segmentation
        parameters.seed, expected = self._seed(logic, parameters)
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
        self.assertIn(("HER2 call", reading.call), self._rows(parameters.resultTable))
        self._checkShown(logic, parameters)
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
            self._checkShown(logic, parameters)
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
            files = self._writeDicom(Path(folder, "study"))
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

    def _writeDicom(self, folder):
        """The sample as one DICOM series of four phases; the paths of its files."""
        from pydicom.uid import generate_uid

        from HER2ViTLib.imaging.image_files import read_volume
        from HER2ViTLib.sample import sample_phases

        folder.mkdir()
        uids = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
        shared = {name: generate_uid() for name in uids}
        paths = []
        for n, (path, acquired) in enumerate(zip(sample_phases(), ("100000", "100200", "100330", "100500"))):
            volume = read_volume(path)
            for k in range(len(volume.array)):
                counts = {"AcquisitionNumber": n + 1, "InstanceNumber": n * len(volume.array) + k + 1}
                paths.append(str(folder / f"{n}-{k:03d}.dcm"))
                self._writeSlice(paths[-1], volume, k, {**shared, **counts, "AcquisitionTime": acquired})
        return paths

    def _writeSlice(self, path, volume, k, tags):
        """One slice of a volume as classic MR, with further tags."""
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

        geometry = volume.geometry
        pixels = volume.array[k].clip(0).astype("<u2")
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.FileMetaInformationGroupLength = 0  # pydicom puts the right one there
        image = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
        described = {
            "SOPClassUID": MRImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "PatientName": "Sample",
            "PatientID": "sample",
            "Modality": "MR",
            "SeriesNumber": 5,
            "SeriesDescription": "dyn",
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "Rows": pixels.shape[0],
            "Columns": pixels.shape[1],
            "PixelSpacing": [geometry.spacing[1], geometry.spacing[0]],
            "SliceThickness": geometry.spacing[2],
            "ImagePositionPatient": [f"{value:.9g}" for value in geometry.to_lps((0, 0, k))],
            "ImageOrientationPatient": [f"{geometry.direction[i]:.9g}" for i in (0, 3, 6, 1, 4, 7)],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "PixelData": pixels.tobytes(),
        }
        for name, value in {**described, **tags}.items():
            setattr(image, name, value)
        image.is_little_endian = True
        image.is_implicit_VR = False
        image.save_as(path)

    def test_panel(self):
        """What a user does: load, choose, outline, read, look at the other task, change the opacity, jump
        back.
        """
        panel = self._panel()
        parameters = panel._parameterNode
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
        parameters.seed, _mask = self._seed(panel.logic, parameters)
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
        self.assertEqual(panel.segmentEditor.segmentationNodeID(), parameters.segmentation.GetID())
        panel.ui.earlyPhaseSpinBox.value = 1
        self.assertEqual(parameters.earlyPhase, 1)
        if not self._canRead():
            return
        panel.ui.runButton.click()
        self.assertIn("HER2 call", panel.ui.headlineLabel.text)
        self.assertIn("simulated", panel.ui.remarksLabel.text)
        self._checkChangesAreTold(panel, parameters)
        self.assertEqual(panel.ui.resultTableView.mrmlTableNode().GetID(), parameters.resultTable.GetID())
        self._checkShown(panel.logic, parameters)
        panel.ui.shownTaskComboBox.currentIndex = 0
        panel.ui.opacitySlider.value = 0.8
        self.assertEqual(parameters.shownTask, TASKS[0])
        self._checkShown(panel.logic, parameters)
        if panel.logic.sliceWidget():
            panel.logic.sliceWidget().mrmlSliceNode().SetOrientationToCoronal()
            panel.ui.jumpButton.click()
            self._checkShown(panel.logic, parameters)
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
        chosen, segmentID = parameters.segmentation, parameters.segmentID
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
        panel._parameterNode.earlyPhase = 1
        panel._parameterNode.attentionMethod = "last"
        panel._parameterNode.attentionOpacity = 0.7
        if self._canRead():
            panel.logic.run(panel._parameterNode)
        rows = self._rows(panel._parameterNode.resultTable)
        shown = (panel.ui.headlineLabel.text, panel.ui.remarksLabel.text)
        with tempfile.TemporaryDirectory(dir=slicer.app.temporaryPath) as folder:
            path = str(Path(folder) / "reading.mrb")
            self.assertTrue(slicer.util.saveScene(path))
            slicer.mrmlScene.Clear()
            self.assertEqual(panel.ui.phasesList.count, 0)
            slicer.util.loadScene(path)
        parameters = panel._parameterNode
        self.assertEqual(
            [node.GetName() for node in parameters.phases], [f"Sample phase {n}" for n in range(4)]
        )
        self.assertEqual(
            (parameters.earlyPhase, parameters.attentionMethod, parameters.attentionOpacity), (1, "last", 0.7)
        )
        self.assertEqual(parameters.segmentation.GetName(), "Sample outline")
        self.assertEqual(panel.ui.segmentSelector.currentSegmentID(), parameters.segmentID)
        self.assertEqual(self._rows(parameters.resultTable), rows)
        self.assertEqual((panel.ui.headlineLabel.text, panel.ui.remarksLabel.text), shown)
        self.assertTrue(panel.ui.runButton.enabled)
        if rows:
            panel.onJump()
            panel.logic.showOverlay(parameters)
            self._checkShown(panel.logic, parameters)
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
        self.assertTrue(self._rows(panel.ui.resultTableView.mrmlTableNode()))

    def _rows(self, table):
        """The rows of a result table, without indents (a saved scene loses them); none for no table."""
        rows = range(table.GetNumberOfRows()) if table else ()
        return [(table.GetCellText(row, 0).strip(), table.GetCellText(row, 1)) for row in rows]

    def test_session(self):
        """A read in the panel: outline a case, skip one with a reason, close, go on where it was."""
        if not importlib.util.find_spec("filelock"):
            self.skipTest("a session needs filelock")
        panel = self._panel()
        parameters = panel._parameterNode
        with tempfile.TemporaryDirectory() as folder:
            panel.ui.sessionPath.currentPath = str(self._planSession(Path(folder)))
            panel.ui.sessionOpenButton.click()
            self.assertIn("case 1 of 3", panel.ui.sessionLabel.text)
            self.assertEqual((panel.ui.phasesList.count, parameters.earlyPhase), (4, -1))
            self.assertFalse(panel.ui.sessionSaveButton.enabled)
            parameters.seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Seed")
            parameters.seed.AddControlPoint(self._sampleSeed)
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

    def _planSession(self, folder):
        """The first read of three cases, all of them the sample; notes the sample's seed point."""
        from HER2ViTLib.files.output import json_bytes
        from HER2ViTLib.imaging.image_files import read_volume, write_volume
        from HER2ViTLib.sample import sample_phases
        from HER2ViTLib.session.files import IMAGES, SESSION_FILE, Read, SessionCase

        logic, parameters = self._sample()
        seed, _mask = self._seed(logic, parameters)
        self._sampleSeed = list(seed.GetNthControlPointPosition(0))
        slicer.mrmlScene.Clear()
        unknown = (None,) * len(sample_phases())
        cases = tuple(SessionCase(f"A1-00{n}", None, unknown, unknown, None) for n in (1, 2, 3))
        (folder / IMAGES).mkdir()
        for case in cases:
            for source, copy in zip(sample_phases(), case.images(folder)):
                write_volume(read_volume(source), copy)
        read = Read("A1", "A", 1, 0.0, cases)
        (folder / SESSION_FILE).write_bytes(json_bytes(read.to_json()))
        return folder / SESSION_FILE
