"""The panel's export section: the reading out of the scene, and on to the next case."""

import contextlib

import qt
import slicer
from slicer.i18n import tr as _

from .scrolling import scrollTo

# Slicer imports this file at start-up: the functions import what is heavy.

FOLDER_KEY = "HER2ViT/exportFolder"
"""Where the last file was exported to, among the application's settings."""


class ExportSection:
    """The ways out, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic
        self.ui.exportReportButton.connect("clicked(bool)", self.onReport)
        self.ui.exportPdfButton.connect("clicked(bool)", self.onPdf)
        self.ui.exportSceneButton.connect("clicked(bool)", self.onScene)
        self.ui.saveDicomButton.connect("clicked(bool)", self.onSaveDicom)
        self.ui.exportRowButton.connect("clicked(bool)", self.onRow)
        self.ui.exportTablePath.comboBox().connect("editTextChanged(QString)", panel.updateButtons)
        self.ui.nextCaseButton.connect("clicked(bool)", self.onNextCase)

    def update(self, state):
        self.ui.exportSection.visible = state.session is None
        if not self._logic.export.done:
            self._tell("")

    def onReport(self, checked=False):
        self.export(_("Report"), "html", self._logic.export.saveReport)

    def onPdf(self, checked=False):
        self.export(_("Report"), "pdf", self._logic.export.savePdf)

    def onScene(self, checked=False):
        self.export(_("Scene"), "mrb", lambda path, name: self._logic.export.saveScene(path))

    def export(self, what, ending, save):
        """Asks for a file and saves into it; `save` takes its path and the case's name."""
        name = self._panel.parameterNode.caseName.strip() or "her2-reading"
        path = self.askPath(what, f"{name}.{ending}")
        if path:
            with self._told(_("Saving {what} failed.").format(what=what), str(path)):
                save(path, self._panel.parameterNode.caseName)

    def askPath(self, what, name):
        """Where to save, as the user says; empty for nowhere."""
        settings = slicer.app.userSettings()
        folder = qt.QDir(settings.value(FOLDER_KEY) or qt.QDir.homePath())
        ending = name.rpartition(".")[2]
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), what, folder.filePath(name), f"{what} (*.{ending})"
        )
        if path:
            settings.setValue(FOLDER_KEY, qt.QFileInfo(path).absolutePath())
        return path

    def onRow(self, checked=False):
        from HER2ViTLib.workflow.export import CaseThereError

        path = self.ui.exportTablePath.currentPath
        name = self._panel.parameterNode.caseName
        with self._told(_("Adding the row failed."), path):
            try:
                self._logic.export.appendRow(path, name)
            except CaseThereError as error:
                if not self.confirm(_("{fault}. Replace the row?").format(fault=error)):
                    raise
                self._logic.export.appendRow(path, name, replace=True)
            self.ui.exportTablePath.addCurrentPathToHistory()

    def onSaveDicom(self, checked=False):
        with self._told(_("Saving to DICOM failed."), _("Slicer's DICOM database")):
            self._logic.export.saveToDicom()

    @contextlib.contextmanager
    def _told(self, failure, where):
        """One way out; where it led is said beside the buttons once it is through."""
        self._tell("")
        with self._panel.reporting(failure):
            yield
            self._tell(where)

    def _tell(self, where):
        """Where the last export went: its name, all of it in the tool tip; empty for none."""
        name = qt.QFileInfo(where).fileName()
        self.ui.exportLabel.text = _("Saved: {where}").format(where=name) if where else ""
        self.ui.exportLabel.toolTip = where

    def onNextCase(self, checked=False):
        unsaved = self._logic.unsaved(self._panel.parameterNode)
        text = _("Not saved yet, and removed with the case: {what}. Go on to the next case?")
        if unsaved and not self.confirm(text.format(what=_(" and ").join(unsaved))):
            return
        with self._panel.reporting(_("Clearing the case failed.")):
            self._logic.nextCase(self._panel.parameterNode)
            scrollTo(self.ui.caseSection)

    def confirm(self, question):
        """Whether the user agrees."""
        return slicer.util.confirmOkCancelDisplay(question, windowTitle=_("HER2ViT"))
