"""A reading as DICOM objects: judged and read by programs of others, the same whenever it is made, with the
source's patient and nothing else of the source.
"""

from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread

pytest.importorskip("highdicom")

from conftest import REPOSITORY
from HER2ViTLib.archive.codes import OWN_CODES, SCHEME
from HER2ViTLib.her2 import two_step_call
from HER2ViTLib.imaging.volume import to_sitk
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.study.loading import load_study
from support import judges
from support.archived import FILES, a_reader, archived
from support.examinations import OBLIQUE, SAGITTAL, a_lesion, write_classic, write_multi_frame

SOURCES = {
    "axial": write_classic,
    "sagittal": lambda folder: write_classic(folder, SAGITTAL, Laterality="L"),
    "oblique": lambda folder: write_classic(folder, OBLIQUE),
    "bilateral": lambda folder: write_classic(folder, ImageLaterality="B"),
    "enhanced": lambda folder: write_multi_frame(folder, SAGITTAL, "R"),
}
SIDES = {"sagittal": "L", "enhanced": "R"}
SIDE_CODES = {"L": "7771000", "R": "24028007"}


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return a_reader(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module", params=SOURCES)
def made(request, reader, tmp_path_factory):
    """Name of the source, folder of the objects, reading, study."""
    folder = tmp_path_factory.mktemp(request.param)
    images = SOURCES[request.param](folder / "images")
    return request.param, folder / "out", *archived(reader, images, folder / "out")


def elements(dataset):
    """Every element of a dataset, those of its sequences included."""
    return list(dataset.iterall())


# Judged, and read by others


def test_dicom3tools_finds_nothing_wrong(made):
    assert [judges.complaints_of_dciodvfy(made[1] / name) for name in FILES] == [[], [], [], []]


def test_pixelmed_finds_nothing_wrong_with_the_report(reader, tmp_path):
    images = SOURCES["sagittal"](tmp_path / "images")
    archived(reader, images, tmp_path / "out")
    assert judges.complaints_of_pixelmed(tmp_path / "out" / "sr.dcm") == []


def test_the_outline_has_the_same_voxels(made, tmp_path):
    name, folder, _, study = made
    path, attributes = judges.segment_by_dcmqi(folder / "seg.dcm", tmp_path)
    np.testing.assert_array_equal(read_roi(path, study.geometry).mask, a_lesion())
    assert attributes["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "52988006"
    assert attributes["AnatomicRegionSequence"]["CodeValue"] == "76752008"
    side = attributes.get("AnatomicRegionModifierSequence", {}).get("CodeValue")
    assert side == SIDE_CODES.get(SIDES.get(name))
    assert dcmread(folder / "seg.dcm").NumberOfFrames == 3
    for outline in (folder / "seg.dcm", folder):  # and by ourselves
        roi = read_roi(outline, study.geometry, "Lesion", study.frame_of_reference)
        np.testing.assert_array_equal(roi.mask, a_lesion())
        assert roi.warnings == ()


@pytest.mark.parametrize("axis", "ij")
def test_an_outline_cut_across_another_axis_lies_on_the_same_slices(reader, tmp_path, axis):
    images = write_classic(tmp_path / "images", OBLIQUE)
    _, study = archived(reader, images, tmp_path / "out", axis)
    path, _ = judges.segment_by_dcmqi(tmp_path / "out" / "seg.dcm", tmp_path)
    as_read = load_study(images)
    np.testing.assert_array_equal(read_roi(path, as_read.geometry).mask, a_lesion())
    assert judges.complaints_of_dciodvfy(tmp_path / "out" / "saliency_task1.dcm") == []
    assert study.geometry != as_read.geometry


def test_the_call_follows_from_the_numbers_that_a_table_shows(made, tmp_path):
    name, folder, reading, study = made
    report = judges.report_by_dcmqi(folder / "sr.dcm", tmp_path)
    assert report["VerificationFlag"] == "UNVERIFIED"
    assert report["observerContext"]["ObserverType"] == "DEVICE"
    [group] = report["Measurements"]
    values = {item["quantity"]["CodeValue"]: float(item["value"]) for item in group["measurementItems"]}
    expected = {f"P-{status.upper()}": value for status, value in reading.probabilities.items()}
    for key, task in reading.tasks.items():
        expected |= {f"{key.upper()}-SCORE": task.score, f"{key.upper()}-THRESHOLD": task.threshold}
    millimetres3 = a_lesion().sum() * study.geometry.voxel_mm3
    expected |= {"42798000": reading.leading_task.area_mm2, "118565006": millimetres3}
    assert values == pytest.approx(expected, rel=1e-9)
    call = two_step_call(
        *(values[f"TASK1-{what}"] for what in ("SCORE", "THRESHOLD")),
        *(values[f"TASK2-{what}"] for what in ("SCORE", "THRESHOLD")),
    )
    [told] = [
        one["conceptValue"]
        for one in group["qualitativeEvaluations"]
        if one["conceptCode"]["CodingSchemeDesignator"] == SCHEME
    ]
    assert (told["CodingSchemeDesignator"], told["CodeValue"]) == (SCHEME, call.upper())
    assert call == reading.call
    outline = dcmread(folder / "seg.dcm")
    assert group["segmentationSOPInstanceUID"] == outline.SOPInstanceUID
    assert group["SourceSeriesForImageSegmentation"] == outline.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert (group["TrackingIdentifier"], group["Finding"]["CodeValue"]) == ("C7", "52988006")
    assert group["TrackingUniqueIdentifier"] == outline.SegmentSequence[0].TrackingUID
    assert group.get("Laterality", {}).get("CodeValue") == SIDE_CODES.get(SIDES.get(name))


def test_one_task_alone_makes_no_call(reader, tmp_path):
    alone = Reader([reader.bundles["task2"]], "cpu")
    archived(alone, write_classic(tmp_path / "images"), tmp_path / "out")
    assert judges.complaints_of_dciodvfy(tmp_path / "out" / "sr.dcm") == []
    report = judges.report_by_dcmqi(tmp_path / "out" / "sr.dcm", tmp_path)
    [group] = report["Measurements"]
    quantities = [item["quantity"]["CodeValue"] for item in group["measurementItems"]]
    assert quantities == ["TASK2-SCORE", "TASK2-THRESHOLD", "42798000", "118565006"]
    assert SCHEME not in str(group.get("qualitativeEvaluations"))


@pytest.mark.parametrize("key", ["task1", "task2"])
def test_the_map_has_the_same_values_in_the_same_place(made, tmp_path, key):
    name, folder, reading, _ = made
    image, meta = judges.map_by_dcmqi(folder / f"saliency_{key}.dcm", tmp_path)
    expected = reading.tasks[key].attention_volume
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected.array)
    places = judges.corners_of(image)
    np.testing.assert_allclose(places, judges.corners_of(to_sitk(expected)), atol=1e-4)
    assert (meta["QuantityValueCode"]["CodeValue"], meta["MeasurementUnitsCode"]["CodeValue"]) == (
        "130404",
        "1",
    )
    assert meta["FrameLaterality"] == SIDES.get(name, "U")


# What is in the objects


def test_objects_refer_to_the_early_phase_alone(made):
    name, folder, reading, study = made
    stored = study.phases[reading.early_phase.index].stored
    headers = [dcmread(one.path) for one in stored]
    outline = dcmread(folder / "seg.dcm")
    instances = {header.SOPInstanceUID for header in headers}
    [series] = outline.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == headers[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == instances
    for group in outline.PerFrameFunctionalGroupsSequence:
        [item] = group.DerivationImageSequence[0].SourceImageSequence
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient)
        k = round(np.linalg.norm(place - study.geometry.origin) / 2)
        assert item.ReferencedSOPInstanceUID == headers[k].SOPInstanceUID
        assert item.get("ReferencedFrameNumber") == (stored[k].number + 1 if name == "enhanced" else None)
    for key, task in reading.tasks.items():
        [group] = dcmread(folder / f"saliency_{key}.dcm").PerFrameFunctionalGroupsSequence
        [item] = group.DerivationImageSequence[0].SourceImageSequence
        assert item.ReferencedSOPInstanceUID == headers[task.slice].SOPInstanceUID


def test_patient_and_study_are_the_sources_and_nothing_else_is(made):
    name, folder, _, study = made
    source = dcmread(study.phases[0].stored[0].path)
    for file in FILES:
        found = dcmread(folder / file)
        found.decode()
        source.decode()
        for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate"):
            assert found[keyword].value == source[keyword].value
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyTime"):
            assert (found[keyword].value or "") == source.get(keyword, "")
        assert found.get("PatientAge") == source.get("PatientAge")
        assert found.SeriesInstanceUID != source.SeriesInstanceUID
        assert "InstitutionName" not in found
        assert not any(element.tag.is_private for element in elements(found))
        assert "private" not in str(found)
        assert "hidden" not in str(found)
        assert "research use only" in found.SeriesDescription
        assert found.ContentDate == "20200229"
        assert name == "enhanced" or found.ContentTime == "100500"


def test_no_code_of_others_states_a_status(made):
    report = dcmread(made[1] / "sr.dcm")
    codes = filter(None, map(code_of, items(report)))
    for scheme, value, meaning in codes:
        assert ("HER2" in meaning) == (scheme == SCHEME)
        if scheme == SCHEME:
            assert meaning.endswith(", research")
            assert (value, meaning) in {(code.value, code.meaning) for code in OWN_CODES}
    texts = [element.value for element in elements(report) if element.keyword == "TextValue"]
    assert any("Research use only" in text for text in texts)
    for warning in made[2].warnings:
        assert f"{warning.code}: {warning.text}" in texts


def items(dataset):
    """Every item of every sequence in a dataset."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from items(item)


def code_of(item):
    return (item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning) if "CodeValue" in item else None


def test_own_codes_fit_their_elements_and_are_all_different():
    assert max(Counter(code.value for code in OWN_CODES).values()) == 1
    assert all(len(code.value) <= 16 and len(code.meaning) <= 64 for code in OWN_CODES)


def test_own_codes_are_listed_for_the_reader():
    listed = (REPOSITORY / "Docs" / "dicom.md").read_text(encoding="utf-8")
    assert all(f"| `{code.value}` | {code.meaning} |" in listed for code in OWN_CODES)


# The same images, the same objects


def test_the_same_reading_gives_the_same_bytes(reader, tmp_path):
    images = write_classic(tmp_path / "images")
    archived(reader, images, tmp_path / "first")
    archived(reader, images, tmp_path / "again")
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_other_content_has_other_uids(reader, tmp_path):
    images = write_classic(tmp_path / "images")
    smaller = a_lesion()
    smaller[2, 18, 18] = False
    archived(reader, images, tmp_path / "first")
    archived(reader, images, tmp_path / "other", mask=smaller)
    seen = [uid_values(dcmread(tmp_path / run / name)) for run in ("first", "other") for name in FILES]
    own = [set(filter(is_own, uids)) for uids in seen]
    assert all(len(uids) >= 2 for uids in own)
    assert not set.union(*own[:4]) & set.union(*own[4:]) - shared_device(tmp_path)


def is_own(uid):
    return uid.startswith("2.25.")


def uid_values(dataset):
    return {str(element.value) for element in elements(dataset) if element.VR == "UI"}


def shared_device(folder):
    """The UID of the program, which is in every report."""
    report = dcmread(folder / "first" / "sr.dcm")
    items = [item for item in report.ContentSequence if item.get("UID")]
    return {str(item.UID) for item in items}


# How the outline came about


@pytest.mark.parametrize(("grown", "kind"), [(True, "SEMIAUTOMATIC"), (False, "MANUAL")])
def test_the_segment_says_how_it_came_about(reader, tmp_path, grown, kind):
    archived(reader, write_classic(tmp_path / "images"), tmp_path / "out", grown=grown)
    [segment] = dcmread(tmp_path / "out" / "seg.dcm").SegmentSequence
    assert segment.SegmentAlgorithmType == kind
    assert ("SegmentationAlgorithmIdentificationSequence" in segment) == grown
    if grown:
        [algorithm] = segment.SegmentationAlgorithmIdentificationSequence
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123103"
    assert judges.complaints_of_dciodvfy(tmp_path / "out" / "seg.dcm") == []


def test_the_side_that_is_given_counts_before_that_of_the_headers(reader, tmp_path):
    images = write_classic(tmp_path / "images", Laterality="L")
    archived(reader, images, tmp_path / "out", laterality="right")
    region = dcmread(tmp_path / "out" / "seg.dcm").SegmentSequence[0].AnatomicRegionSequence[0]
    assert region.AnatomicRegionModifierSequence[0].CodeValue == SIDE_CODES["R"]
