"""The lesion's outline in the scene: grown from a point, or begun empty, to draw in."""

from typing import Any

import slicer

from .case_logic import ours

# Slicer imports this file at start-up: the functions import what is heavy.


class OutlineLogic:
    """The part of the module's logic that makes outlines."""

    # The module's logic brings these.
    choiceByEnhancement: Any
    imageNode: Any
    moduleName: str
    study: Any

    def segmentEditorNode(self):
        """The embedded Segment Editor's own parameter node, apart from that of the Segment Editor module."""
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        return node

    def segmentIDs(self, segmentation):
        from HER2ViTLib.mrml.inputs import segment_names

        return list(segment_names(segmentation)) if segmentation else []

    def seedNode(self, parameters):
        """The list of the point to grow from: the chosen one, else a new one, which is chosen then."""
        if parameters.seed is None:
            parameters.seed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion seed")
        return parameters.seed

    def outlineFromSeed(self, parameters, breathe=lambda: None):
        """Outlines the lesion around the seed into our own segmentation and chooses it. Raises InputError.

        `breathe` is called every tenth of a second or so.
        """
        from HER2ViTLib.lesion import outlining as lesion
        from HER2ViTLib.mrml.inputs import seed_lps

        study = self.study(parameters)
        chosen = self.choiceByEnhancement(parameters)
        early = chosen.early.index
        volumes = (chosen.early_volume(study), chosen.pre_volume(study))
        mask = lesion.outline(*volumes, seed_lps(parameters.seed), breathe=breathe)
        # A segmentation of the user's own stays as it is.
        own = ours(parameters.segmentation, "HER2ViT.Outline")
        self._chooseOutline(parameters, mask, study, early, own)
        _markGrown(parameters.segmentation, parameters.segmentID)

    def newOutline(self, parameters):
        """Makes an empty segment on the study's voxel grid and chooses it, to draw in. Raises InputError."""
        import numpy as np

        from HER2ViTLib.workflow.choices import painting_phase

        study = self.study(parameters)
        early = painting_phase(len(study.phases), parameters.earlyPhase)
        self._chooseOutline(parameters, np.zeros(study.geometry.shape, bool), study, early, None)

    def _chooseOutline(self, parameters, mask, study, early, segmentation):
        from HER2ViTLib.mrml import results as scene

        image = self.imageNode(parameters, study, early)
        if parameters.segmentation and parameters.segmentation is not segmentation:
            # Two outlines of one lesion look alike: only the one that will be read is shown.
            parameters.segmentation.SetDisplayVisibility(False)
        with slicer.util.NodeModify(parameters):
            segmentation = scene.put_segment(
                slicer.mrmlScene, mask, study.geometry, "Lesion outline", segmentation, reference=image
            )
            segmentation.SetAttribute("HER2ViT.Outline", "1")
            scene.put_beside(slicer.mrmlScene, [segmentation], image)
            parameters.image = image
            parameters.segmentation = segmentation
            parameters.segmentID = scene.LESION
            parameters.outlineShown = True
            # A slice picked on the former outline need not be on this one.
            parameters.sliceIndex = -1

    def showOutline(self, parameters):
        """Shows the outline in the views or hides it, as chosen."""
        segmentation = parameters.segmentation
        if segmentation and bool(segmentation.GetDisplayVisibility()) != parameters.outlineShown:
            segmentation.SetDisplayVisibility(parameters.outlineShown)

    def isGrown(self, parameters):
        """Whether the chosen segment was grown from a point."""
        from HER2ViTLib.lesion.origin import GROWN

        segment = parameters.segmentation.GetSegmentation().GetSegment(parameters.segmentID)
        return segment.HasTag(GROWN.split(":")[0])


def _markGrown(segmentation, segmentID):
    """Notes at a segment that it was grown from a point. Slicer keeps that, also when it is corrected."""
    from HER2ViTLib.lesion.origin import GROWN

    tag, value = GROWN.split(":")
    segmentation.GetSegmentation().GetSegment(segmentID).SetTag(tag, value)
