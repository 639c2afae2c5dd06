import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.panel.sample_data import registerCohort
from HER2ViTTrainingLib.panel.self_test import HER2ViTTrainingTest
from HER2ViTTrainingLib.panel.widget import HER2ViTTrainingWidget

# Slicer looks for these names in this file.
__all__ = ["HER2ViTTraining", "HER2ViTTrainingTest", "HER2ViTTrainingWidget"]


class HER2ViTTraining(ScriptedLoadableModule):
    """Cohorts, training, evaluation and statistics: https://github.com/her2vit/SlicerHER2ViT"""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("HER2ViT Training")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["HER2ViT"]
        self.parent.contributors = ["HER2ViT contributors"]
        self.parent.helpText = _("""
<p><b>{notice}</b></p>
<p>Works on many cases: checks a cohort, trains models on it, judges them, reads archives, and gives the
study's tables. Choose a command, fill in its form, and run it; reading cases goes on beside it. Results are
shown below as tables and pictures, reports in the browser.</p>
<p><i>Sample Data</i> has a small simulated cohort to try it on. The same commands run in a terminal as
<code>her2vit COMMAND</code>. See the
<a href="https://github.com/her2vit/SlicerHER2ViT#the-module-her2vit-training">documentation</a>.</p>
""").format(notice=RESEARCH_NOTICE)
        self.parent.acknowledgementText = _("""
Puts into practice an open-access (CC BY 4.0, 2025) multicentre study of Vision Transformers on breast
DCE-MRI; see the documentation for the citation.
""")
        slicer.app.connect("startupCompleted()", registerCohort)
