"""A panel scrolled to one of its sections, once its layout is done."""

import qt
import slicer

# Slicer imports this file at start-up: the functions import what is heavy.


def scrollArea(section):
    """What a section's panel scrolls in; None where it stands alone."""
    area = section
    while area and not isinstance(area, qt.QScrollArea):
        area = area.parent()
    return area


def scrollTo(section):
    """Brings a section to the top of its panel."""
    area = scrollArea(section)
    if area:
        # The sections' new heights count once the labels have theirs and the layout is done.
        for _round in range(2):
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)
        top = section.mapTo(area.widget(), qt.QPoint(0, 0)).y()
        area.verticalScrollBar().setValue(top)
