"""Asks before the application quits while a command runs."""

import qt
import slicer
from slicer.i18n import tr as _

# Slicer imports this file at start-up: the functions import what is heavy.


class QuitGuard(qt.QObject):
    """Watches the main window. File > Exit closes it, as its own button does, and Slicer quits once it is
    closed; the window's own questions (unsaved data) come after ours. `question` is called for the text to
    ask, empty for none.
    """

    def __init__(self, question):
        qt.QObject.__init__(self)
        self._question = question
        self._window = slicer.util.mainWindow()
        if self._window:
            self._window.installEventFilter(self)

    def leave(self):
        """Watches no longer."""
        if self._window:
            self._window.removeEventFilter(self)
            self._window = None

    def eventFilter(self, watched, event):
        if event.type() != qt.QEvent.Close:
            return False
        question = self._question()
        if not question or self.ask(question):
            return False
        event.ignore()
        return True

    def ask(self, question):
        """Whether the user agrees."""
        return slicer.util.confirmOkCancelDisplay(question, windowTitle=_("HER2ViT Training"))
