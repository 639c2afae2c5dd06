"""The panel's result section: the call with what must be read with it, and the attention map."""

from .plots import WIDTH, showDrawing, styleColours

# Slicer imports this file at start-up: the functions import what is heavy.


class ResultSection:
    """The result, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic
        self._overlay = None
        self.ui.jumpButton.connect("clicked(bool)", self.onJump)

    def enterScene(self):
        """Takes what a scene shows as it is: only a change from now on changes the views."""
        self._overlay = self._chosenOverlay()

    def update(self, state):
        parameters = self._panel.parameterNode
        for section in (self.ui.resultSection, self.ui.detailsSection):
            section.visible = state.session is None
        self.ui.headlineLabel.text = state.headline
        self.ui.remarksLabel.text = "<br>".join(state.remarks_html)
        self.ui.remarksLabel.visible = bool(state.remarks)
        showDrawing(self.ui.probabilitiesPlot, self._probabilities(state))
        self.ui.thresholdsLabel.text = "\n".join(state.thresholds)
        self.ui.thresholdsLabel.visible = bool(state.thresholds)
        if self.ui.resultTableView.mrmlTableNode() is not parameters.resultTable:
            self.ui.resultTableView.setMRMLTableNode(parameters.resultTable)
        if state.has_table:
            self.ui.resultTableView.resizeColumnToContents(0)
            self.ui.resultTableView.resizeRowsToContents()
        overlay = self._chosenOverlay()
        if overlay != self._overlay:
            self._overlay = overlay
            self._logic.showOverlay(parameters)

    def _chosenOverlay(self):
        parameters = self._panel.parameterNode
        return (parameters.shownTask, parameters.attentionOpacity, parameters.attentionThreshold)

    def _probabilities(self, state):
        from HER2ViTLib.workflow.drawings import probabilities_svg

        if state.reading is None:
            return ""
        reading = state.reading
        return probabilities_svg(
            reading.probabilities, reading.scores, reading.call, styleColours(), WIDTH, 92
        )

    def onJump(self, checked=False):
        self._logic.jumpToSlice(self._panel.parameterNode)
