"""The panel of the commands: choose one, fill its form, run it beside the reading, look at what it wrote."""

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

from HER2ViTLib.panel.packages import ensurePackages
from HER2ViTLib.panel.reloading import forgetLibraries
from HER2ViTLib.panel.scrolling import scrollTo

from .form_section import SETTINGS, FormSection
from .quitting import QuitGuard
from .results_section import ResultsSection
from .runs_section import RunsSection

# Slicer imports this file at start-up: the functions import what is heavy.


class HER2ViTTrainingWidget(ScriptedLoadableModuleWidget):
    """Binds the commands' parsers to a form, and the form to the queue of runs."""

    def __init__(self, parent=None):
        # The base class calls setup() when it has no parent, so these come first.
        self.ui: Any = None
        self.form: Any = None
        self.runs: Any = None
        self.results: Any = None
        self._parser: Any = None
        self._commands: Any = None
        self.quitGuard: Any = None
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        from HER2ViTLib.messages import RESEARCH_NOTICE
        from HER2ViTTrainingLib.commands.main import build_parser, commands_of

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HER2ViTTraining.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.ui.noticeLabel.text = RESEARCH_NOTICE
        self._parser = build_parser()
        self._commands = commands_of(self._parser)
        del self._commands["help"]  # the form tells it
        self.results = ResultsSection(self.ui)
        self.runs = RunsSection(self.ui, self.results.show)
        self.form = FormSection(self.ui, self._updateActions)
        self.quitGuard = QuitGuard(self.runs.queue.quit_question)
        self.ui.commandSelector.addItems(list(self._commands))
        self.ui.commandSelector.connect("currentIndexChanged(int)", self._showCommand)
        self.ui.runButton.connect("clicked()", self.onRun)
        self.ui.copyButton.connect("clicked()", self.onCopy)
        last = self.ui.commandSelector.findText(qt.QSettings().value(f"{SETTINGS}/command") or "simulate")
        self.ui.commandSelector.currentIndex = max(last, 0)
        self._showCommand()

    def cleanup(self):
        """Called when the application closes and the module widget is destroyed."""
        self.quitGuard.leave()
        self.runs.runner.stop()

    def onReload(self):
        """Called by the button Reload, which Slicer shows to developers."""
        forgetLibraries()
        ScriptedLoadableModuleWidget.onReload(self)

    # The form

    def chooseCommand(self, command):
        """Shows the form of a command."""
        self.ui.commandSelector.currentIndex = self.ui.commandSelector.findText(command)

    def words(self):
        """The command line that the form gives."""
        from HER2ViTTrainingLib.workflow.command_line import words_of

        return words_of(self.form.command, self.form.fields, self.form.values())

    def _showCommand(self, index=0):
        from HER2ViTLib.messages import RESEARCH_NOTICE
        from HER2ViTTrainingLib.workflow.fields import fields_of

        name = self.ui.commandSelector.currentText
        command = self._commands[name]
        self.ui.summaryLabel.text = command.description.removesuffix(RESEARCH_NOTICE).strip()
        self.ui.guideText.setMarkdown(command.epilog)
        self.form.show(name, fields_of(command))

    def _updateActions(self):
        from HER2ViTTrainingLib.workflow.command_line import fault_of

        fault = fault_of(self._parser, self.words())
        self.ui.faultLabel.text = fault
        self.ui.runButton.enabled = not fault
        self.ui.runButton.toolTip = fault or _("Run in a process of its own; several runs queue.")

    def offerManifest(self, path):
        """Fills a manifest into the forms that take one and have none yet."""
        from HER2ViTTrainingLib.workflow.fields import fields_of

        for command, parser in self._commands.items():
            if any(field.required and field.name == "manifest" for field in fields_of(parser)):
                self.form.offer(command, "manifest", str(path))

    # Actions

    def onRun(self):
        from HER2ViTTrainingLib.workflow.packages import needs_torch, packages_for

        words = tuple(self.words())
        self.form.keep()
        qt.QSettings().setValue(f"{SETTINGS}/command", self.form.command)
        if ensurePackages(packages_for(words), needs_torch(words), _("HER2ViT Training"), self._tell):
            self._tell("")
            self.runs.add(words)
            scrollTo(self.ui.runsSection)

    def onCopy(self):
        from HER2ViTTrainingLib.workflow.command_line import shell_line

        qt.QApplication.clipboard().setText(shell_line(self.words()))

    def _tell(self, text):
        self.ui.faultLabel.text = text
