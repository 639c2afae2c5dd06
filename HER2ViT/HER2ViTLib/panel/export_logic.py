"""The last reading, out of the scene: as a report, a row of a table, a scene file, DICOM objects."""

import importlib.util
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import qt
import slicer

# Slicer imports this file at start-up: the functions import what is heavy.


class ExportLogic:
    """What of the last reading the scene does not hold: the study with the places of its images, the
    outline's mask. `done`: whether this reading has left the scene.
    """

    def __init__(self):
        self._kept: Any = None
        self.done = False

    def forget(self):
        self._kept = None
        self.done = False

    def keep(self, reading, study, mask, grown):
        """Keeps a reading to export, of the outline `mask` (K, J, I), `grown` from a point or painted."""
        self._kept = SimpleNamespace(reading=reading, study=study, mask=mask, grown=grown)
        self.done = False

    def missing(self):
        """Why there is nothing to export, in one line; empty where there is."""
        from HER2ViTLib.workflow.export import missing_for_export

        return missing_for_export(self._kept is not None)

    def missingForArchive(self):
        """Why the reading cannot be saved as DICOM, in one line; empty where it can."""
        from HER2ViTLib.workflow.export import missing_for_archive

        kept = self._kept
        places = kept.study.phases[kept.reading.early_phase.index].stored if kept else ()
        database = getattr(slicer, "dicomDatabase", None)
        has_library = importlib.util.find_spec("highdicom") is not None
        return missing_for_archive(bool(places), bool(database and database.isOpen), has_library)

    def _reading(self, name):
        """The reading, under the name that the user gave the case."""
        return replace(self._kept.reading, case_id=name.strip() or self._kept.reading.case_id)

    def saveReport(self, path, name):
        """Writes the report as a page that stands alone (HTML). Raises InputError."""
        from HER2ViTLib.files.output import write_atomically

        write_atomically(path, self._reportPage(name))
        self.done = True

    def savePdf(self, path, name):
        """Writes the report as a PDF, printed by Qt. Raises InputError."""
        from HER2ViTLib.files.output import temporary_name

        document = qt.QTextDocument()
        document.setHtml(self._reportPage(name).decode())
        temporary = temporary_name(Path(path))
        printer = qt.QPrinter(qt.QPrinter.HighResolution)
        printer.setOutputFormat(qt.QPrinter.PdfFormat)
        printer.setPageSize(qt.QPageSize(qt.QPageSize.A4))
        printer.setOutputFileName(str(temporary))
        document.print(printer)
        temporary.replace(path)
        self.done = True

    def _reportPage(self, name):
        from HER2ViTLib.workflow.export import report_page

        return report_page(self._reading(name), self._kept.study, self._kept.mask)

    def appendRow(self, path, name, replace=False):
        """Adds the reading to a table (CSV); a row of the same case that says something else gives way only
        with `replace`. Raises CaseThereError without it, InputError where the file has other columns.
        """
        from HER2ViTLib.reading.report import reading_json
        from HER2ViTLib.workflow.export import append_row

        append_row(path, reading_json(self._kept.reading), name.strip(), replace=replace)
        self.done = True

    def saveToDicom(self):
        """Writes the objects into the DICOM database, as copies of its own. Returns how many there are.

        Raises InputError where they cannot be made.
        """
        from DICOMLib import DICOMUtils

        from HER2ViTLib.archive.folder import lesion_of, write_dicom

        kept = self._kept
        lesion = lesion_of(kept.study, kept.reading.early_phase.index, kept.mask, grown=kept.grown)
        with tempfile.TemporaryDirectory() as folder:
            written = write_dicom(kept.reading, lesion, Path(folder) / "reading")
            DICOMUtils.importDicom(folder, slicer.dicomDatabase, copyFiles=True)
        self.done = True
        return len(written)

    def saveScene(self, path):
        """Saves the whole scene. Raises InputError where Slicer cannot."""
        from HER2ViTLib.messages import InputError

        if not slicer.util.saveScene(str(path)):
            raise InputError(f"{path}: the scene could not be saved; see Slicer's error log")
        self.done = True
