"""Slicer's DICOM module finds a breast DCE-MRI among the series of a study, and loads it as one sequence
through the same room as the commands.
"""

from pathlib import Path

import slicer
from DICOMLib import DICOMLoadable, DICOMPlugin
from slicer.i18n import tr as _

DESCRIBING_TAGS = ("0018,0015", "0018,1030", "0008,1030", "0008,103E")
"""Body part, protocol, study and series description."""
MODALITY = "0008,0060"
STUDY = "0020,000D"
SERIES = "0020,000E"


class DCEPlugin(DICOMPlugin):
    """Offers the DCE-MRI of each study, and loads it."""

    def __init__(self):
        DICOMPlugin.__init__(self)
        self.loadType = _("Breast DCE-MRI (HER2ViT)")

    def examineForImport(self, fileLists):
        """A loadable for each study among the files (a list of files for each series) that holds a DCE-MRI:
        its phases may be series of their own.
        """
        from HER2ViTLib.workflow.dicom_offer import dicom_offer

        loadables = []
        for files in self._studies(fileLists).values():
            first = [self._value(file, tag) for tag in DESCRIBING_TAGS for file in files[:1]]
            offer = dicom_offer([Path(file) for file in files], " ".join(first))
            if offer:
                loadables += self._loadables(offer)
        return loadables

    def _studies(self, fileLists):
        """The MR files by study."""
        studies: dict[str, list[str]] = {}
        for files in fileLists:
            if files and self._value(files[0], MODALITY) == "MR":
                studies.setdefault(self._value(files[0], STUDY), []).extend(files)
        return studies

    def _value(self, file, tag):
        return slicer.dicomDatabase.fileValue(file, tag)

    def _loadables(self, offer):
        """The offer, once for each of its series, which comes first among the files then: Slicer ticks the
        likeliest thing to load of each series by itself, and would load the other ones' volumes, too. They
        share what was loaded, so that all of them together load it once.
        """
        files = [str(file) for file in offer.files]
        first_of = {self._value(file, SERIES): file for file in reversed(files)}
        shared = {"name": offer.name}
        loadables = []
        for n, first in enumerate(sorted(first_of.values(), key=files.index)):
            loadable = DICOMLoadable()
            loadable.files = [first, *(file for file in files if file != first)]
            loadable.name = offer.name if n == 0 else _("part of {name}").format(name=offer.name)
            loadable.tooltip = offer.tool_tip
            loadable.warning = offer.warning
            loadable.confidence = offer.confidence
            loadable.selected = offer.confidence > 0.5
            loadable.shared = shared
            loadables.append(loadable)
        return loadables

    def load(self, loadable):
        """The sequence node, shown in the slice views; the module's panel takes it as its images."""
        loaded = slicer.mrmlScene.GetNodeByID(loadable.shared.get("node", ""))
        return loaded or self._loaded(loadable)

    def _loaded(self, loadable):
        from HER2ViTLib.mrml.dce_sequence import put_study
        from HER2ViTLib.study.loading import study_of_dicom_files

        database = slicer.dicomDatabase
        study = study_of_dicom_files([Path(file) for file in loadable.files])
        sequence = put_study(
            slicer.mrmlScene, study, loadable.shared["name"], lambda file: database.instanceForFile(str(file))
        )
        loadable.shared["node"] = sequence.GetID()
        self._show(sequence)
        self.addSeriesInSubjectHierarchy(loadable, sequence)
        return sequence

    def _show(self, sequence):
        browser = slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLSequenceBrowserNode", f"{sequence.GetName()} browser"
        )
        browser.AddSynchronizedSequenceNode(sequence)
        slicer.modules.sequences.logic().UpdateAllProxyNodes()
        proxy = browser.GetProxyNode(sequence)
        if slicer.app.layoutManager():
            slicer.util.setSliceViewerLayers(background=proxy, fit=True)
            slicer.modules.sequences.showSequenceBrowser(browser)
