"""The panel's session section: its buttons and what it shows."""

import contextlib

import qt
from slicer.i18n import tr as _

from .packages import ensureSessionPackages


class SessionSection:
    """The buttons of a reader's session, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic.session
        self._clock = qt.QTimer()
        self._clock.setInterval(1000)
        self._clock.connect("timeout()", self.onSecond)
        self.ui.sessionOpenButton.connect("clicked(bool)", self.onOpen)
        self.ui.sessionSaveButton.connect("clicked(bool)", self.onSave)
        self.ui.sessionSkipButton.connect("clicked(bool)", self.onSkip)
        self.ui.sessionCloseButton.connect("clicked(bool)", self.onClose)

    def update(self, state):
        self.ui.sessionLabel.text = state.session_progress
        self.ui.sessionPath.enabled = state.session is None
        if state.session is None or state.session.finished:
            self._clock.stop()
        elif not self._clock.isActive():
            self._clock.start()

    def cleanup(self):
        self._clock.stop()

    def onSecond(self):
        """Shows how long the case has been open."""
        state = self._logic.state
        if state:
            self.ui.sessionLabel.text = state.text

    def onOpen(self, checked=False):
        if not ensureSessionPackages(self._panel.showProgress):
            return
        with self._step(_("Opening the session failed.")) as reason:
            self._logic.open(self._panel.parameterNode, self.ui.sessionPath.currentPath, reason)
        self._makeRoom()

    def onSave(self, checked=False):
        with self._step(_("Saving the outline failed.")):
            self._logic.saveOutline(self._panel.parameterNode)

    def onSkip(self, checked=False):
        with self._step(_("Skipping the case failed.")) as reason:
            self._logic.skipCase(self._panel.parameterNode, reason)

    def onClose(self, checked=False):
        self._logic.close()
        self._makeRoom()
        self._panel.updateGui()

    @contextlib.contextmanager
    def _step(self, failure):
        """One step of a session; gives the reason that was typed. A reason is used up by the step that
        succeeds.
        """
        with self._panel.reporting(failure):
            yield self.ui.sessionReasonEdit.text
            self.ui.sessionReasonEdit.clear()
        self._panel.updateGui()

    def _makeRoom(self):
        # A read needs the outline and the session's buttons, case after case, without scrolling from one to
        # the other. Reading, result and export are hidden then: no outline is drawn by what a model says.
        for section in (self.ui.caseSection, self.ui.sliceSection):
            section.collapsed = self._logic.state is not None
