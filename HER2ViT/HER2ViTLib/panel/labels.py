"""Labels that wrap their text, at the height that the text needs."""

import qt

# Slicer imports this file at start-up: the functions import what is heavy.


class WrappedLabels(qt.QObject):
    """Keeps every label of a panel that wraps as high as its text at the panel's width.

    Qt's scroll areas give such labels room for fewer lines than they have, and draw one over the other.
    """

    def __init__(self, widget):
        qt.QObject.__init__(self)
        self._labels = [label for label in widget.findChildren("QLabel") if label.wordWrap]
        widget.installEventFilter(self)

    def fitSoon(self):
        """Once the layout is done: until then a label that was hidden has the width of none."""
        qt.QTimer.singleShot(0, self._fit)

    def _fit(self):
        for label in self._labels:
            height = label.heightForWidth(label.width) if label.text else 0
            if label.minimumHeight != height:
                label.minimumHeight = height

    def eventFilter(self, watched, event):
        if event.type() == qt.QEvent.Resize:
            self.fitSoon()
        return False
