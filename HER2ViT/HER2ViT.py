import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTLib.panel.logic import HER2ViTLogic
from HER2ViTLib.panel.parameters import HER2ViTParameterNode
from HER2ViTLib.panel.sample_data import registerSample
from HER2ViTLib.panel.self_test import HER2ViTTest
from HER2ViTLib.panel.widget import HER2ViTWidget

# Slicer looks for these names in this file.
__all__ = ["HER2ViT", "HER2ViTLogic", "HER2ViTParameterNode", "HER2ViTTest", "HER2ViTWidget"]


class HER2ViT(ScriptedLoadableModule):
    """Reads HER2 status from breast DCE-MRI: https://github.com/her2vit/SlicerHER2ViT"""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("HER2ViT")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        self.parent.dependencies = ["Markups", "Segmentations", "SegmentEditor", "Sequences", "Tables"]
        self.parent.contributors = ["HER2ViT contributors"]
        self.parent.helpText = _("""
<p><b>{notice}</b></p>
<p>Reads HER2 status (zero, low, positive) from pre-treatment breast DCE-MRI with two Vision Transformers:
choose the phases, outline the lesion, choose a model for each task, and read. The attention map lies over the
slice that was read.</p>
<p>The bundled demo models are trained on simulated images; they are for trying the software only.
See the <a href="https://github.com/her2vit/SlicerHER2ViT">documentation</a>.</p>
""").format(notice=RESEARCH_NOTICE)
        self.parent.acknowledgementText = _("""
Puts into practice an open-access (CC BY 4.0, 2025) multicentre study of Vision Transformers on breast
DCE-MRI; see the documentation for the citation.
""")
        # Slicer's DICOM module looks here, and may come after this one.
        if not hasattr(slicer.modules, "dicomPlugins"):
            slicer.modules.dicomPlugins = {}
        slicer.modules.dicomPlugins["HER2ViTDCEPlugin"] = dcePlugin
        # Sample Data may load after this module, too.
        slicer.app.connect("startupCompleted()", registerSample)


def dcePlugin():
    """The plugin that loads a breast DCE-MRI, made when the DICOM module asks for it."""
    from HER2ViTLib.panel.dicom_plugin import DCEPlugin

    return DCEPlugin()
