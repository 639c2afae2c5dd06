"""The case in the scene: its phases as a study, what is known of it before a reading, its subtraction, and
how it makes room for the next one.
"""

import contextlib
from typing import Any

import slicer

from .slice_view import showImage

# Slicer imports this file at start-up: the functions import what is heavy.


class CaseLogic:
    """The part of the module's logic that knows the images."""

    # The module's logic brings these.
    choices: Any
    export: Any

    def __init__(self):
        self._study: Any = (None, None)
        self._choice: Any = (None, None)
        self._facts: Any = (None, None)

    # The phases

    def phaseNodes(self, parameters):
        """The chosen volumes that are still in the scene."""
        return [node for node in parameters.phases if node is not None]

    def phaseCount(self, parameters):
        return (
            parameters.sequence.GetNumberOfDataNodes()
            if parameters.sequence
            else len(self.phaseNodes(parameters))
        )

    def phaseNames(self, parameters):
        """What the phases are called."""
        if not parameters.sequence:
            return [node.GetName() for node in self.phaseNodes(parameters)]
        name = parameters.sequence.GetName()
        return [f"{name} {n}" for n in range(self.phaseCount(parameters))]

    def loadedVolumes(self, parameters):
        """The volumes in the scene that are images, not results of ours."""
        results = (
            parameters.attentionTask1,
            parameters.attentionTask2,
            parameters.subtraction,
            parameters.image if parameters.sequence else None,
        )
        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        return [
            node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode" and node not in results
        ]

    def addPhases(self, parameters, nodes):
        """Puts volumes on the list of phases and the list in time order: by the DICOM headers, else by
        numbers in the names.

        Raises InputError for a header that is broken.
        """
        from HER2ViTLib.mrml.inputs import header_times
        from HER2ViTLib.workflow.phase_order import phase_order

        unique = list(
            {node.GetID(): node for node in (*self.phaseNodes(parameters), *nodes) if node}.values()
        )
        told = header_times(unique, _fileOfInstance())
        found = phase_order([node.GetName() for node in unique], told.order if told else None)
        with slicer.util.NodeModify(parameters):
            parameters.phases = [unique[n] for n in found.order]
            parameters.phaseOrder = found.rule

    def phaseOrderText(self, parameters):
        """How the phases came into their order, in words; empty without phases, and for a sequence."""
        from HER2ViTLib.workflow.phase_order import ORDER_TEXTS

        listed = not parameters.sequence and len(self.phaseNodes(parameters)) > 1
        return ORDER_TEXTS[parameters.phaseOrder] if listed else ""

    def chooseLoadedSequence(self, parameters):
        """Chooses the DCE-MRI that came through the DICOM module where nothing is chosen and there is but
        one.
        """
        from HER2ViTLib.mrml.dce_sequence import STUDY_ATTRIBUTE

        nodes = slicer.util.getNodesByClass("vtkMRMLSequenceNode")
        loaded = [node for node in nodes if node.GetAttribute(STUDY_ATTRIBUTE)]
        if len(loaded) == 1 and not self.phaseCount(parameters):
            parameters.sequence = loaded[0]

    # The study

    def study(self, parameters):
        """The chosen phases as a study; the last one, while its nodes stay as they are. Raises InputError,
        one line, when they are none.
        """
        key = self._imagesKey(parameters)
        if self._study[0] != key:
            self._study = (key, self._newStudy(parameters))
        return self._study[1]

    def _newStudy(self, parameters):
        from HER2ViTLib.mrml.inputs import study_from_nodes, study_from_sequence
        from HER2ViTLib.workflow.phase_order import order_warning

        if parameters.sequence:
            return study_from_sequence(parameters.sequence, _fileOfInstance())
        warnings = order_warning(parameters.phaseOrder)
        return study_from_nodes(self.phaseNodes(parameters), _fileOfInstance(), warnings)

    def _imagesKey(self, parameters):
        from HER2ViTLib.mrml.inputs import fingerprint

        sequence = parameters.sequence
        if sequence:
            nodes = [sequence.GetNthDataNode(n) for n in range(sequence.GetNumberOfDataNodes())]
        else:
            nodes = self.phaseNodes(parameters)
        database = getattr(slicer, "dicomDatabase", None)
        folder = database.databaseFilename if database and database.isOpen else ""
        return (
            sequence.GetID() if sequence else parameters.phaseOrder,
            sequence.GetMTime() if sequence else 0,
            tuple(map(fingerprint, nodes)),
            folder,
        )

    def facts(self, parameters):
        """What images and outline say before any reading; the last answer, while they stay as they are."""
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.mrml.inputs import segment_fingerprint
        from HER2ViTLib.workflow.case_facts import NOTHING_KNOWN, CaseFacts

        if self.choices(parameters).missing_images():
            return NOTHING_KNOWN
        segment = segment_fingerprint(parameters.segmentation, parameters.segmentID)
        key = (self._imagesKey(parameters), parameters.earlyPhase, segment)
        if self._facts[0] != key:
            try:
                # A second or two for a large study.
                with slicer.util.WaitCursor():
                    facts = self._newFacts(parameters)
            except InputError as error:
                facts = CaseFacts(self.phaseCount(parameters), remarks=(str(error),))
            self._facts = (key, facts)
        return self._facts[1]

    def _newFacts(self, parameters):
        from HER2ViTLib.study.phases import choose_phases
        from HER2ViTLib.workflow.case_facts import case_facts

        study = self.study(parameters)
        mask = self._mask(parameters, study)
        if mask is None:
            return case_facts(study, self.choiceByEnhancement(parameters), None)
        return case_facts(
            study, choose_phases(study, mask, self.choices(parameters).early_phase_override), mask
        )

    def _mask(self, parameters, study):
        """The chosen segment on the study's grid; None without any, or with nothing in it: the reading will
        say so.
        """
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.mrml.inputs import segment_roi

        segment = self.choices(parameters).segment
        with contextlib.suppress(InputError):
            return segment_roi(parameters.segmentation, segment, study.geometry).mask if segment else None

    def choiceByEnhancement(self, parameters):
        """The phases as they are chosen before there is an outline: by what enhances most. It takes a second
        for a large study, so the last one is kept. Raises InputError as `choose_phases` does.
        """
        from HER2ViTLib.study.phases import choose_phases

        key = (self._imagesKey(parameters), parameters.earlyPhase)
        if self._choice[0] != key:
            early = self.choices(parameters).early_phase_override
            self._choice = (key, choose_phases(self.study(parameters), None, early))
        return self._choice[1]

    # Volumes to look at

    def showPhase(self, parameters, phase):
        """Shows a phase in the slice views."""
        if parameters.sequence:
            for browser in _browsers(parameters.sequence):
                browser.SetSelectedItemNumber(phase)
        else:
            showImage(self.phaseNodes(parameters)[phase])

    def paintingNode(self, parameters):
        """The volume to outline the lesion on; None when no phase is a volume in the scene."""
        from HER2ViTLib.workflow.choices import painting_phase

        nodes = self.phaseNodes(parameters)
        if parameters.sequence or not nodes:
            return parameters.image
        return nodes[painting_phase(len(nodes), parameters.earlyPhase)]

    def imageNode(self, parameters, study, phase):
        """The volume node of a phase; of a sequence, whose volumes no view can show, a copy of it."""
        from HER2ViTLib.mrml import results as scene

        if not parameters.sequence:
            return self.phaseNodes(parameters)[phase]
        former = ours(parameters.image, "HER2ViT.Copy")
        node = scene.put_volume(slicer.mrmlScene, study.phases[phase].volume, "Early phase", former)
        if former is None:
            scene.show_whole_range(node)
        node.SetAttribute("HER2ViT.Copy", "1")
        return node

    def subtract(self, parameters):
        """Early minus pre-contrast phase, as a node of its own. Raises InputError without either."""
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.mrml import results as scene
        from HER2ViTLib.study.enhancement import subtraction

        study = self.study(parameters)
        facts = self.facts(parameters)
        if facts.early is None or facts.pre is None:
            raise InputError("No phase before contrast is known to subtract; give the phases in time order.")
        early = study.phases[facts.early.index].volume
        difference = early.with_array(subtraction(study, facts.early.index, facts.pre))
        node = scene.put_volume(slicer.mrmlScene, difference, "Subtraction", parameters.subtraction)
        node.SetName(f"Subtraction: phase {facts.early.index} - phase {facts.pre}")
        beside = parameters.sequence or self.phaseNodes(parameters)[facts.early.index]
        scene.put_beside(slicer.mrmlScene, [node], beside)
        parameters.subtraction = node
        return node

    # The next case

    def unsaved(self, parameters):
        """What of this case exists in the scene only, in words, to ask before it goes."""
        segmentation = parameters.segmentation
        drawn = segmentation and (not segmentation.GetStorageNode() or segmentation.GetModifiedSinceRead())
        return [
            *(["the outline"] if drawn else []),
            *(["the reading"] if parameters.resultTable and not self.export.done else []),
        ]

    def nextCase(self, parameters):
        """Removes what belongs to this case: images, point, outline, results. The models stay."""
        nodes = self.caseNodes(parameters)
        self.clearCase(parameters)
        for node in nodes:
            slicer.mrmlScene.RemoveNode(node)

    def caseNodes(self, parameters):
        """Every node of the chosen case."""
        browsers = _browsers(parameters.sequence)
        chosen = [
            *self.phaseNodes(parameters),
            *(browser.GetProxyNode(parameters.sequence) for browser in browsers),
            *browsers,
            parameters.sequence,
            parameters.image,
            parameters.subtraction,
            parameters.segmentation,
            parameters.attentionTask1,
            parameters.attentionTask2,
            parameters.resultTable,
        ]
        return list({node.GetID(): node for node in chosen if node}.values())

    def forgetCase(self):
        """Lets go of what was kept beside the scene."""
        self.export.forget()
        self._study = (None, None)
        self._choice = (None, None)
        self._facts = (None, None)

    def clearCase(self, parameters):
        """Chooses nothing, whatever was chosen of a case; the nodes stay in the scene."""
        if parameters.seed:
            parameters.seed.RemoveAllControlPoints()
        self.forgetCase()
        with slicer.util.NodeModify(parameters):
            parameters.phases = []
            parameters.phaseOrder = "user"
            parameters.segmentID = ""
            parameters.caseName = ""
            parameters.earlyPhase = -1
            parameters.sliceIndex = -1
            for name in CASE_NODES:
                setattr(parameters, name, None)


CASE_NODES = (
    "sequence",
    "segmentation",
    "image",
    "subtraction",
    "attentionTask1",
    "attentionTask2",
    "resultTable",
)
"""The parameters that hold a node of the case."""


def ours(node, mark):
    """The node where this module has made it and marked it so, else None."""
    return node if node and node.GetAttribute(mark) else None


def _browsers(sequence):
    """What shows a sequence in the views; none for none."""
    nodes = slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode")
    return [node for node in nodes if sequence and node.IsSynchronizedSequenceNode(sequence, True)]


def _fileOfInstance():
    """The DICOM database's look-up of an image's file; a Slicer without DICOM support has none."""
    from HER2ViTLib.mrml.inputs import no_file

    database = getattr(slicer, "dicomDatabase", None)
    return database.fileForInstance if database and database.isOpen else no_file
