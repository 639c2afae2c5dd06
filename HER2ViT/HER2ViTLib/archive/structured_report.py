"""The reading as a DICOM structured report (SR) of template TID 1500: measurements of the outlined lesion.

Programs show its numbers first, and often nothing else. So the call follows from the numbers: scores and
thresholds are among them.
"""

from __future__ import annotations

from collections.abc import Iterator

from highdicom import sr
from highdicom.sr.enum import RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from HER2ViTLib import __version__
from HER2ViTLib.her2 import LOW_VS_POSITIVE, ZERO_VS_REST
from HER2ViTLib.reading.reading import Reading

from . import codes
from .objects import Tracking, equipment, finish, images_of, uid_of
from .source import Source

SERIES_NUMBER = 9002
_RULE = (
    f"Predicted: zero where the score of {codes.question(ZERO_VS_REST)} is below its threshold; else low"
    f" where the score of {codes.question(LOW_VS_POSITIVE)} reaches its threshold; else positive."
)
"""As `two_step_call` has it."""


def report_object(
    source: Source, reading: Reading, outline: Dataset, volume_mm3: float, tracking: Tracking
) -> Dataset:
    """The report of a reading; `outline` is the segmentation (`outline_object`) that it measures, of
    `volume_mm3`. It is made by a device and verified by nobody.
    """
    lesion = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(tracking.uid, tracking.name),
        referenced_segment=_segment(source, outline),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.LESION,
        finding_sites=[sr.FindingSite(codes.BREAST, laterality=codes.SIDES.get(source.laterality))],
        measurements=list(_measurements(reading, volume_mm3)),
        qualitative_evaluations=_evaluations(reading),
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer()),
        procedure_reported=codes.MRI,
        imaging_measurements=[lesion],
    )
    report[0].ContentSequence.append(_comments(reading))
    evidence = images_of(source)
    for image, frame in zip(evidence, source.frames):
        image.SOPClassUID = frame.sop_class
        image.SOPInstanceUID = frame.instance
    made = sr.ComprehensiveSR(
        evidence=[*evidence, outline],
        content=report,
        is_complete=True,
        coding_schemes=[codes.own_scheme()],
        **equipment(SERIES_NUMBER, "HER2ViT reading"),
    )
    return finish(made, source)


def _observer() -> sr.ObserverContext:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", __version__), name="HER2ViT", manufacturer_name="HER2ViT", model_name=__version__
    )
    return sr.ObserverContext(codes.DEVICE, device)


def _segment(source: Source, outline: Dataset) -> sr.ReferencedSegment:
    """Built here: highdicom 0.28.2 cannot take it from a segmentation of one segment."""
    return sr.ReferencedSegment(
        sop_class_uid=SegmentationStorage,
        sop_instance_uid=outline.SOPInstanceUID,
        segment_number=1,
        source_series=sr.SourceSeriesForSegmentation(source.frames[0].series),
    )


def _measurements(reading: Reading, volume_mm3: float) -> Iterator[sr.Measurement]:
    """The numbers of the reading, those first that the call follows from."""
    model = _algorithm("", codes.ARTIFICIAL_INTELLIGENCE)
    for status, value in (reading.probabilities or {}).items():
        yield sr.Measurement(codes.PROBABILITY[status], value, codes.NO_UNITS, algorithm_id=model)
    for key, task in reading.tasks.items():
        of_bundle = _algorithm(f"bundle SHA-256 {task.bundle_sha256}", codes.ARTIFICIAL_INTELLIGENCE)
        yield sr.Measurement(codes.SCORE[key], task.score, codes.NO_UNITS, algorithm_id=of_bundle)
        yield sr.Measurement(codes.THRESHOLD[key], task.threshold, codes.NO_UNITS, algorithm_id=of_bundle)
    measured = _algorithm()
    yield sr.Measurement(codes.AREA, reading.leading_task.area_mm2, codes.MM2, algorithm_id=measured)
    yield sr.Measurement(codes.VOLUME, volume_mm3, codes.MM3, algorithm_id=measured)


def _algorithm(parameter: str = "", family: Code | None = None) -> sr.AlgorithmIdentification:
    algorithm = sr.AlgorithmIdentification("HER2ViT", __version__, [parameter] if parameter else None)
    if family is not None:  # highdicom 0.27 has no parameter for it
        modifier = RelationshipTypeValues.HAS_CONCEPT_MOD
        algorithm.append(sr.CodeContentItem(codes.ALGORITHM_FAMILY, family, modifier))
    return algorithm


def _evaluations(reading: Reading) -> list[sr.QualitativeEvaluation]:
    if reading.call is None:
        return []
    left = reading.call_set.statuses if reading.call_set is not None else ()
    return [
        sr.QualitativeEvaluation(codes.PREDICTED_STATUS, codes.PREDICTED[reading.call]),
        *(sr.QualitativeEvaluation(codes.NOT_EXCLUDED, codes.PREDICTED[status]) for status in left),
    ]


def _comments(reading: Reading) -> sr.ContainerContentItem:
    """Notices, how the call follows from the numbers, and warnings: each a comment of its own."""
    texts = list(reading.notices)
    if reading.call is not None:
        texts.append(_RULE)
    if reading.call_set is not None:
        told = [f"Cannot be excluded: {reading.call_set.text}"]
        told += [f"{what.strip()}: {value}" for what, value in reading.call_set.coverage_rows()]
        texts.append("; ".join(told))
    texts += [f"{warning.code}: {warning.text}" for warning in reading.warnings]
    contains = RelationshipTypeValues.CONTAINS
    container = sr.ContainerContentItem(codes.EVALUATIONS, relationship_type=contains)
    items = [sr.TextContentItem(codes.COMMENT, text, contains) for text in texts]
    container.ContentSequence = sr.ContentSequence(items)
    return container
