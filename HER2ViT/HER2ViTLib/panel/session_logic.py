"""A reader's session in the panel: from the parameter node to the session, and its cases into the scene."""

from typing import Any

import slicer

from .slice_view import showImage

# Slicer imports this file at start-up: the functions import what is heavy.

SESSION = "HER2ViT.Session"
"""Marks the images of a session's case."""


class SessionLogic:
    """One session at a time. What happens when is decided by `Session`; `logic` is the module's."""

    def __init__(self, logic):
        self._logic = logic
        self._session: Any = None

    @property
    def state(self):
        """Where the session stands, as the panel's state holds it; None without one."""
        from HER2ViTLib.workflow.panel_state import SessionState

        session = self._session
        return SessionState(session.progress, session.left, session.elapsed_s) if session else None

    def open(self, parameters, path, reason=""):
        """Opens a read and shows its next case. `reason` is for opening it before its wash-out is over.
        Raises InputError.
        """
        from HER2ViTLib.session.session import Session

        session = Session(path)
        session.open(reason)
        self._session = session
        # Of the same patient, they would show the reader what was drawn before.
        for outline in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            outline.SetDisplayVisibility(False)
        self._showCase(parameters)

    def saveOutline(self, parameters):
        """Saves the chosen segment as the case's outline and shows the next case. Raises InputError."""
        from HER2ViTLib.mrml.inputs import segment_roi

        geometry = self._logic.study(parameters).geometry
        roi = segment_roi(parameters.segmentation, parameters.segmentID, geometry)
        self._session.save_outline(roi.mask, geometry)
        self._showCase(parameters)

    def skipCase(self, parameters, reason):
        """Leaves the case out and shows the next one. Raises InputError without a reason."""
        self._session.skip(reason)
        self._showCase(parameters)

    def close(self):
        """Gives the read back, if one is open."""
        if self._session:
            self._session.close()
        self._session = None

    def _showCase(self, parameters):
        """Loads the session's next case and chooses its phases, with nothing of the case before it; none when
        the read is finished.
        """
        from HER2ViTLib.mrml.results import show_whole_range

        case = self._session.next_case()
        # First: should the images not load, the former case's outline must not be saved as this one's.
        self._forgetCase(parameters)
        phases = [slicer.util.loadVolume(str(path), {"show": False}) for path in self._session.images]
        for node in phases:
            node.SetAttribute(SESSION, self._session.read.label)
        with slicer.util.NodeModify(parameters):
            parameters.phases = phases
            parameters.earlyPhase = -1 if case is None or case.early_phase is None else case.early_phase
        shown = self._logic.paintingNode(parameters)
        if shown:
            show_whole_range(shown, phases)
        showImage(shown)

    def _forgetCase(self, parameters):
        """Chooses nothing, and removes what was loaded and outlined for the session's case before. What the
        user had open before the session stays in the scene.
        """
        nodes = self._logic.caseNodes(parameters)
        is_of_session = any(node.GetAttribute(SESSION) for node in nodes)
        self._logic.clearCase(parameters)
        for node in nodes if is_of_session else ():
            if node.GetAttribute(SESSION) or node.GetAttribute("HER2ViT.Outline"):
                slicer.mrmlScene.RemoveNode(node)
