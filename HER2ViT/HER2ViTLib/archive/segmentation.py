"""The outline as a DICOM segmentation (SEG, BINARY) on the slices that were read."""

from __future__ import annotations

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset

from HER2ViTLib import __version__

from . import codes
from .objects import Tracking, breast_item, equipment, finish, frames_at, images_of, refer_to
from .source import Source

SERIES_NUMBER = 9001
GROWN_BY = "her2vit segment"


def outline_object(source: Source, mask: np.ndarray, grown: bool, tracking: Tracking) -> Dataset:
    """The segmentation of a boolean mask (K, J, I) on the source's slices; only those with outline are in it.

    `grown`: from a seed point, as `her2vit segment` does it; else it counts as painted by hand.
    """
    kind = SegmentAlgorithmTypeValues.SEMIAUTOMATIC if grown else SegmentAlgorithmTypeValues.MANUAL
    algorithm = (
        AlgorithmIdentificationSequence(GROWN_BY, codes.EDGE_DETECTION, __version__) if grown else None
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.LESION,
        algorithm_type=kind,
        algorithm_identification=algorithm,
        tracking_uid=tracking.uid,
        tracking_id=tracking.name,
    )
    segment.AnatomicRegionSequence = [breast_item(source)]
    made = Segmentation(
        source_images=images_of(source),
        pixel_array=mask.astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        content_label="LESION",
        content_description="Outline of a breast lesion; research use only",
        **equipment(SERIES_NUMBER, "HER2ViT outline"),
    )
    refer_to(made, source, frames_at(made, source), codes.SEGMENTATION, same=True)
    return finish(made, source)
