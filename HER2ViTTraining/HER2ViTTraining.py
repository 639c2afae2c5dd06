import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# Slicer imports every module file at start-up: the libraries are imported by the functions that need them.


#
# HER2ViTTraining
#


class HER2ViTTraining(ScriptedLoadableModule):
    """Lists the commands of HER2ViT: https://github.com/her2vit/SlicerHER2ViT"""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        from HER2ViTLib.messages import RESEARCH_NOTICE

        self.parent.title = _("HER2ViT Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["HER2ViT"]
        self.parent.contributors = ["HER2ViT contributors"]
        self.parent.helpText = _("""
<p><b>{notice}</b></p>
<p>HER2ViT's commands. They run in a terminal, not in this window: <code>her2vit COMMAND</code> where the
package is installed, or
<code>Slicer --no-splash --no-main-window --python-script .../HER2ViTTrainingLib/slicer_batch.py --
COMMAND</code>.
See the <a href="https://github.com/her2vit/SlicerHER2ViT">documentation</a>.</p>
""").format(notice=RESEARCH_NOTICE)
        self.parent.acknowledgementText = ""


#
# HER2ViTTrainingWidget
#


class HER2ViTTrainingWidget(ScriptedLoadableModuleWidget):
    """Shows the commands of this version and how to run them."""

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/HER2ViTTraining.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        # The text stands in columns, 80 wide.
        font = qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont)
        font.setPointSize(8)
        self.ui.commandsText.font = font
        self.ui.commandsText.setPlainText(HER2ViTTrainingLogic().commandsHelp())

    def onReload(self):
        """Called by the button Reload, which Slicer shows to developers."""
        from HER2ViTLib.panel.reloading import forgetLibraries

        forgetLibraries()
        ScriptedLoadableModuleWidget.onReload(self)


#
# HER2ViTTrainingLogic
#


class HER2ViTTrainingLogic(ScriptedLoadableModuleLogic):
    """Knows the commands."""

    def commandsHelp(self):
        """What `her2vit help` prints."""
        from HER2ViTTrainingLib.commands.main import build_parser

        return build_parser().format_help()


#
# HER2ViTTrainingTest
#


class HER2ViTTrainingTest(ScriptedLoadableModuleTest):
    """The panel opens and lists the commands."""

    def runTest(self):
        self.setUp()
        self.test_commandsAreListed()

    def test_commandsAreListed(self):
        slicer.util.selectModule("HER2ViTTraining")
        shown = slicer.modules.HER2ViTTrainingWidget.ui.commandsText.toPlainText()
        for command in ("demo", "read", "segment", "simulate"):
            self.assertIn(command, shown)
        self.delayDisplay("Test passed")
