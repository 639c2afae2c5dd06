"""Drawings (SVG) in labels of the panel, in the colours of the application's style."""

import qt
import slicer

# Slicer imports this file at start-up: the functions import what is heavy.

WIDTH = 360
"""Of a drawing, in pixels: it fits a panel of the narrowest usual width."""


def styleColours():
    """The drawings' colours for Slicer's light or dark style."""
    from HER2ViTLib.workflow.drawings import DARK, LIGHT

    background = slicer.app.palette().color(qt.QPalette.Window)
    return DARK if background.lightness() < 128 else LIGHT


def showDrawing(label, svg):
    """Shows a drawing in a label; hides the label for an empty one."""
    label.visible = bool(svg)
    pixmap = qt.QPixmap()
    if svg:
        pixmap.loadFromData(qt.QByteArray(svg.encode()), "SVG")
    # A layout that is short of room would cut the drawing.
    label.minimumHeight = pixmap.height()
    label.setPixmap(pixmap)


class ClickFilter(qt.QObject):
    """Tells where a label's drawing was clicked: calls `clicked` with the distance from its left edge in
    pixels. A filter lives as long as somebody holds it.
    """

    def __init__(self, label, clicked):
        qt.QObject.__init__(self)
        self._clicked = clicked
        label.installEventFilter(self)

    def eventFilter(self, watched, event):
        if event.type() == qt.QEvent.MouseButtonRelease:
            self._clicked(event.pos().x())
            return True
        return False
