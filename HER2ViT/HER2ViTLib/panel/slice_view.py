"""The slice views of the application, turned to what was read."""

import slicer

# Slicer imports this file at start-up: the functions import what is heavy.


def sliceWidgets():
    """The slice views by name; none without a main window."""
    manager = slicer.app.layoutManager()
    return {} if manager is None else {name: manager.sliceWidget(name) for name in manager.sliceViewNames()}


def readingSliceWidget(attention):
    """The slice view that shows an attention map in the plane it was acquired in; None without a view, and
    without a map.
    """
    from HER2ViTLib.mrml.inputs import volume_from_node
    from HER2ViTLib.mrml.views import orientation_of, plane_of
    from HER2ViTLib.workflow.shown_reading import reading_view

    if attention is None:
        return None
    widgets = sliceWidgets()
    views = {name: (view.visible, orientation_of(view.mrmlSliceNode())) for name, view in widgets.items()}
    return widgets.get(reading_view(views, plane_of(volume_from_node(attention).geometry)))


def showImage(image):
    """An image in every slice view, all of it."""
    slicer.util.setSliceViewerLayers(background=image, foreground=None, fit=True)


def showLayers(image, attention, opacity):
    """An image in every slice view; an attention map (None: no map) over it in the view of its plane."""
    from HER2ViTLib.mrml.views import show_layers

    reading = readingSliceWidget(attention)
    for widget in sliceWidgets().values() if image else ():
        over = attention if widget is reading else None
        show_layers(widget.mrmlSliceCompositeNode(), image, over, opacity)


def turnToLesion(attention):
    """Turns every slice view to the middle of an attention map (None: they stay): the view of its plane to
    the slice that was read, the others keep their orientation.
    """
    from HER2ViTLib.mrml.inputs import volume_from_node
    from HER2ViTLib.mrml.views import show_patch, show_place

    reading = readingSliceWidget(attention)
    for widget in sliceWidgets().values() if reading else ():
        show = show_patch if widget is reading else show_place
        show(widget.mrmlSliceNode(), volume_from_node(attention).geometry)


def turnToSlice(geometry, index, voxel):
    """Turns every slice view to a place in the image: slice `index` of a geometry, at the voxel (i, j)."""
    left, posterior, superior = geometry.to_lps((*voxel, index))
    for widget in sliceWidgets().values():
        widget.mrmlSliceNode().JumpSliceByCentering(-left, -posterior, superior)
