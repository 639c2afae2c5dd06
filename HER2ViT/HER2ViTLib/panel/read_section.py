"""The panel's read section: the models with what they say of themselves, and the reading."""

import slicer
from slicer.i18n import tr as _

from .packages import ensureReadingPackages
from .scrolling import scrollTo

# Slicer imports this file at start-up: the functions import what is heavy.


class ReadSection:
    """Models and reading, in the panel whose widgets are `panel.ui`."""

    def __init__(self, panel):
        self._panel = panel
        self.ui = panel.ui
        self._logic = panel.logic
        for path in (self.ui.task1BundlePath, self.ui.task2BundlePath):
            # The path widget itself is silent when it is emptied or names no folder: the reading would take
            # the folder before.
            path.comboBox().connect("editTextChanged(QString)", self.onBundlesChanged)
        self.ui.demoModelsButton.connect("clicked(bool)", self.onDemoModels)
        self.ui.runButton.connect("clicked(bool)", self.onRun)

    def update(self, state):
        parameters = self._panel.parameterNode
        chosen = (
            (self.ui.task1BundlePath, self.ui.task1CardLabel, parameters.task1Bundle),
            (self.ui.task2BundlePath, self.ui.task2CardLabel, parameters.task2Bundle),
        )
        for path, card, folder in chosen:
            # Setting the same text again would move the cursor of somebody who types.
            if path.currentPath != folder:
                path.currentPath = folder
            card.text = self._card(folder)
            card.visible = bool(card.text)
        for widget in (self.ui.readSection, self.ui.runButton, self.ui.progressLabel):
            widget.visible = state.session is None
        self.ui.progressLabel.text = state.missing

    def _card(self, folder):
        from HER2ViTLib.messages import InputError
        from HER2ViTLib.model.card import model_card_lines

        try:
            return "\n".join(model_card_lines(folder)[1:]) if folder.strip() else ""
        except InputError as error:
            return str(error)

    def onBundlesChanged(self, path):
        if not self._panel.isChosenByUser():
            return
        with slicer.util.NodeModify(self._panel.parameterNode):
            self._panel.parameterNode.task1Bundle = self.ui.task1BundlePath.currentPath
            self._panel.parameterNode.task2Bundle = self.ui.task2BundlePath.currentPath

    def onDemoModels(self, checked=False):
        self._logic.chooseDemoModels(self._panel.parameterNode)

    def onRun(self, checked=False):
        if not ensureReadingPackages(self._panel.showProgress):
            return
        with self._panel.reporting(_("Reading failed.")):
            self._logic.run(self._panel.parameterNode, self._panel.showProgress)
            scrollTo(self.ui.resultSection)
