"""The slice view of the application that shows readings."""

import slicer


def readingSliceWidget():
    """The slice view that shows readings; None without a main window."""
    from HER2ViTLib.workflow.shown_reading import reading_view

    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return None
    widgets = {name: layoutManager.sliceWidget(name) for name in layoutManager.sliceViewNames()}
    return widgets.get(reading_view({name: widget.visible for name, widget in widgets.items()}))


def showLayers(image, attention, opacity):
    """An image with an attention map over it (None: no map), where there is a view to show them in."""
    from HER2ViTLib.mrml.views import show_layers

    widget = readingSliceWidget()
    if widget and image:
        show_layers(widget.mrmlSliceCompositeNode(), image, attention, opacity)


def turnToSlice(attention):
    """Turns the view to the slice of an attention map (None: stays), the lesion in the middle."""
    from HER2ViTLib.mrml.inputs import volume_from_node
    from HER2ViTLib.mrml.views import show_patch

    widget = readingSliceWidget()
    if widget and attention:
        show_patch(widget.mrmlSliceNode(), volume_from_node(attention).geometry)
