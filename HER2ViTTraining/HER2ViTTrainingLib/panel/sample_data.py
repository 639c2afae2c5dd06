"""A small simulated cohort among Slicer's sample data, made on demand."""

from pathlib import Path

import slicer

from HER2ViTLib.panel.sample_data import icon, registerSource

# Slicer imports this file at start-up: the functions import what is heavy.

COHORT = {"cases": "60", "scale": "0.25", "seed": "1"}
"""The form of `simulate` for a cohort that a training can be tried on: half a minute, 30 MB."""


def registerCohort():
    """Offers the cohort in the Sample Data module; see `registerSample`."""
    registerSource(
        sampleName="HER2ViTSimulatedCohort",
        thumbnailFileName=str(icon("HER2ViTTraining")),
        # Nothing is downloaded; Sample Data wants a word for each.
        uris="",
        fileNames="manifest.csv",
        nodeNames="HER2ViT simulated cohort",
        customDownloader=makeCohort,
    )


def cohortFolder():
    """Where the cohort is made: in Slicer's cache, which the user can empty."""
    return Path(slicer.app.cachePath) / "HER2ViT-simulated-cohort"


def makeCohort(source=None):
    """Opens the training module, where the cohort is simulated beside everything else; the forms that take a
    manifest name it from then on.
    """
    slicer.util.selectModule("HER2ViTTraining")
    panel = slicer.modules.HER2ViTTrainingWidget
    panel.chooseCommand("simulate")
    panel.form.fill({**COHORT, "out": str(cohortFolder())})
    panel.offerManifest(cohortFolder() / "manifest.csv")
    panel.onRun()
