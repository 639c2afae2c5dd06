"""The bundled sample among Slicer's sample data."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

# Slicer imports this file at start-up: the functions import what is heavy.

CATEGORY = "HER2ViT"


def registerSample():
    """Offers the bundled sample in the Sample Data module. To be called once Slicer has started: Sample Data
    may load after this module.
    """
    from HER2ViTLib.sample import sample_phases, sample_roi

    files = [*sample_phases(), sample_roi()]
    registerSource(
        sampleName="HER2ViTSample",
        thumbnailFileName=str(icon("HER2ViT")),
        uris=[path.as_uri() for path in files],
        fileNames=[path.name for path in files],
        nodeNames=[*(f"Sample phase {n}" for n in range(len(files) - 1)), _("Sample outline")],
        loadFileTypes=[*["VolumeFile"] * (len(files) - 1), "SegmentationFile"],
        customDownloader=loadSample,
    )


def registerSource(**source):
    """Registers sample data under our category, described as Slicer's Sample Data takes it."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(category=CATEGORY, **source)


def icon(module):
    """The icon of one of our modules."""
    return Path(slicer.util.modulePath(module)).parent / "Resources" / "Icons" / f"{module}.png"


def loadSample(source=None):
    """Opens the module with the sample chosen, as its own button does."""
    from .logic import HER2ViTLogic

    slicer.util.selectModule("HER2ViT")
    logic = HER2ViTLogic()
    logic.loadSample(logic.getParameterNode())
