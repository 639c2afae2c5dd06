"""The module's self-test: a small study from the panel, in the application."""

import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path

import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from .form_section import SETTINGS

# Slicer imports this file at start-up: the functions import what is heavy.

PATIENCE_S = 300
CASES = 32
EPOCHS = 60
"""Enough for a case to be read meanwhile, also on a busy machine."""


class HER2ViTTrainingTest(ScriptedLoadableModuleTest):
    """Every command's form; a small cohort simulated, a training watched, cancelled and resumed while a case
    is read, its evaluation; the question before Slicer quits.
    """

    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        for test in (self.test_forms, self.test_study, self.test_sampleData):
            self.setUp()
            test()
            self.delayDisplay(f"{test.__name__} passed")

    # Tests

    def test_forms(self):
        """Each command has a form; what is missing is told, and nothing runs before it is filled in."""
        with self._panel() as panel:
            selector = panel.ui.commandSelector
            for row in range(selector.count):
                panel.chooseCommand(selector.itemText(row))
                panel.form.fill({})
                slicer.app.processEvents()
                self.assertEqual(panel.form.command, selector.itemText(row))
                self.assertTrue(panel.ui.guideText.toPlainText())
                self.assertTrue(all(field.help for field in panel.form.fields))
                required = any(field.required for field in panel.form.fields)
                self.assertEqual(panel.ui.runButton.enabled, not panel.ui.faultLabel.text)
                self.assertFalse(required and panel.ui.runButton.enabled)

    def test_study(self):
        """From a simulated cohort to the evaluation of a model trained on it."""
        with self._panel() as panel, tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            manifest = str(work / "cohort" / "manifest.csv")
            cohort = {"cases": str(CASES), "scale": "0.2", "out": str(work / "cohort")}
            if not self._started(panel, "simulate", cohort):
                return
            self._waitFor(panel, "done")
            self._checkTable(panel, "manifest.csv", CASES)
            training = {
                "manifest": manifest,
                "task": "zero-vs-rest",
                "arch": "test_vit",
                "img_size": "32",
                "pretrained": "none",
                "epochs": str(EPOCHS),
                # A single training that learnt nothing, as so small a one may, is refused in the end.
                "folds": "2",
                "device": "cpu",
                "out": str(work / "model"),
            }
            if not self._started(panel, "train", training):
                return
            self._checkCancelled(panel, {"manifest": manifest, "out": str(work / "checked")})
            self._checkResumed(panel)
            evaluation = {
                "predictions": str(work / "model" / "predictions.csv"),
                "resamples": "50",
                "out": str(work / "figures"),
            }
            self.assertTrue(self._started(panel, "evaluate", evaluation))
            self._waitFor(panel, "done")
            self._checkResults(panel)

    def test_sampleData(self):
        """The cohort is offered in Sample Data, and its form is filled in."""
        import SampleData

        from .sample_data import COHORT

        sources = SampleData.SampleDataLogic.sampleDataSourcesByCategory("HER2ViT")
        (source,) = (one for one in sources if one.sampleName == "HER2ViTSimulatedCohort")
        with self._panel() as panel, _replaced(panel, "onRun", lambda: None):
            source.customDownloader(source)
            self.assertEqual(panel.form.values()["cases"], COHORT["cases"])
            self.assertEqual(panel.ui.faultLabel.text, "")
            panel.chooseCommand("train")
            self.assertTrue(panel.form.values()["manifest"].endswith("manifest.csv"))

    # Steps

    def _checkCancelled(self, panel, cohort):
        """The training is cancelled after a few epochs, with all its processes; what waited is then run. A
        case is read meanwhile.
        """
        from HER2ViTTrainingLib.workflow.runs import State

        run = panel.runs.chosen
        self._waitUntil(lambda: run.progress and run.progress.total == EPOCHS and run.progress.done >= 2)
        self.assertTrue(panel.ui.progressBar.visible)
        self.assertEqual(panel.ui.progressBar.maximum, EPOCHS)
        self._readSample()
        self.assertIs(run.state, State.RUNNING)
        self._checkQuitQuestion(panel)
        waiting = self._started(panel, "cohort", cohort)
        self.assertIs(waiting.state, State.WAITING)
        panel.ui.runsList.currentRow = panel.runs.queue.runs.index(run)
        pid = panel.runs.runner.pid
        panel.runs.onCancel()
        self._waitUntil(lambda: run.state is State.CANCELLED)
        self._waitUntil(lambda: not _alive(pid))
        self._waitUntil(lambda: waiting.state is State.DONE)

    def _checkResumed(self, panel):
        """The same training again goes on where it was, and ends."""
        done = panel.runs.chosen.progress.done
        self.assertLess(done, EPOCHS)
        panel.runs.onAgain()
        run = panel.runs.chosen
        self._waitUntil(lambda: run.progress and run.progress.total == EPOCHS)
        self.assertGreaterEqual(run.progress.done, done)
        self._waitFor(panel, "done")
        self._checkTable(panel, "predictions.csv")

    def _checkQuitQuestion(self, panel):
        asked: list[str] = []
        with _replaced(panel.quitGuard, "ask", asked.append):
            slicer.util.mainWindow().close()
            slicer.app.processEvents()
        self.assertEqual(len(asked), 1)
        self.assertTrue(slicer.util.mainWindow().visible)

    def _checkResults(self, panel):
        """A report in the browser, a picture and a table in the panel."""
        opened: list[Path] = []
        with _replaced(panel.results, "open", opened.append):
            self._choose(panel, "table2.html")
            panel.ui.openButton.click()
        self.assertEqual([path.name for path in opened], ["table2.html"])
        self._choose(panel, "roc.png")
        self.assertTrue(panel.ui.pictureLabel.visible)
        self._checkTable(panel, "metrics.csv")

    def _checkTable(self, panel, name, rows=None):
        self._choose(panel, name)
        self.assertTrue(panel.ui.resultTable.visible)
        self.assertGreater(panel.ui.resultTable.columnCount, 1)
        if rows is not None:
            self.assertEqual(panel.ui.resultTable.rowCount, rows)

    def _readSample(self):
        """The other module reads its sample, beside the training."""
        from HER2ViTLib.panel.logic import HER2ViTLogic

        logic = HER2ViTLogic()
        parameters = logic.getParameterNode()
        logic.loadSample(parameters)
        self.assertIn(logic.run(parameters).call, ("zero", "low", "positive"))

    # Support

    @contextlib.contextmanager
    def _panel(self):
        """The panel; what the user had filled in last is put back afterwards."""
        if slicer.app.layoutManager() is None:
            self.skipTest("the panel needs a main window")
        slicer.util.selectModule("HER2ViTTraining")
        slicer.app.processEvents()
        settings = qt.QSettings()
        kept = {key: settings.value(key) for key in settings.allKeys() if key.startswith(f"{SETTINGS}/")}
        panel = slicer.modules.HER2ViTTrainingWidget
        try:
            yield panel
        finally:
            panel.runs.runner.stop()
            settings.remove(SETTINGS)
            for key, value in kept.items():
                settings.setValue(key, value)

    def _started(self, panel, command, values):
        """The run of a command with these values; None where packages are missing, which a test does not
        install.
        """
        panel.chooseCommand(command)
        panel.form.fill(values)
        self.assertEqual(panel.ui.faultLabel.text, "")
        count = len(panel.runs.queue.runs)
        panel.ui.runButton.click()
        if len(panel.runs.queue.runs) == count:
            logging.warning(f"HER2ViTTrainingTest: {command} is not tested: {panel.ui.faultLabel.text}")
            return None
        return panel.runs.chosen

    def _choose(self, panel, name):
        files = panel.ui.filesList
        names = [files.item(row).text() for row in range(files.count)]
        self.assertIn(name, names)
        files.currentRow = names.index(name)
        slicer.app.processEvents()

    def _waitFor(self, panel, state):
        run = panel.runs.chosen
        self._waitUntil(lambda: run not in panel.runs.queue.unfinished)
        self.assertEqual(run.state.value, state, "\n".join(run.lines))

    def _waitUntil(self, reached):
        end = time.monotonic() + PATIENCE_S
        while not reached():
            self.assertLess(time.monotonic(), end, "waited too long")
            slicer.app.processEvents()
            time.sleep(0.02)


@contextlib.contextmanager
def _replaced(owner, name, stand_in):
    former = getattr(owner, name)
    setattr(owner, name, stand_in)
    try:
        yield
    finally:
        setattr(owner, name, former)


def _alive(group):
    """Whether a process of the group is left."""
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
