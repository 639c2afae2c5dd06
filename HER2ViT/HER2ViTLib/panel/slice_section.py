"""The panel's slice section: the outline's area on each slice, and which slice is read."""

from slicer.i18n import tr as _

from .plots import WIDTH, ClickFilter, showDrawing, styleColours

# Slicer imports this file at start-up: the functions import what is heavy.


class SliceSection:
    """The choice of the slice, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic
        self._areas = ()
        self._clicks = ClickFilter(self.ui.areasPlot, self.onClicked)
        self.ui.largestSliceButton.connect("clicked(bool)", self.onLargest)

    def update(self, state):
        self._areas = () if state.facts.lesion is None else state.facts.lesion.areas_mm2
        self.ui.sliceLabel.text = state.slice_text
        showDrawing(self.ui.areasPlot, self._drawing(state))

    def _drawing(self, state):
        from HER2ViTLib.workflow.drawings import areas_svg

        lesion = state.facts.lesion
        if lesion is None:
            return ""
        chosen = state.choices.slice_override
        shown = lesion.largest if chosen is None else chosen
        return areas_svg(lesion.areas_mm2, lesion.largest, shown, styleColours(), WIDTH, 110)

    def onClicked(self, x):
        from HER2ViTLib.workflow.drawings import slice_at

        picked = slice_at(x, self._areas, WIDTH)
        if picked is not None:
            self._pick(picked)

    def onLargest(self, checked=False):
        self._pick(-1)

    def _pick(self, index):
        with self._panel.reporting(_("The slice could not be chosen.")):
            self._logic.pickSlice(self._panel.parameterNode, index)
