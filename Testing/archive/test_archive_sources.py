"""What the images must have to be referred to, and what they may lack or hold that is odd."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

pytest.importorskip("highdicom")

from HER2ViTLib.archive.folder import lesion_of
from HER2ViTLib.archive.source import require_dicom
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.loading import load_study
from support import judges
from support.archived import FILES, a_reader, archived
from support.examinations import OBLIQUE, a_lesion, write_classic


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return a_reader(tmp_path_factory.mktemp("bundles"))


def elsewhere(study, **changes):
    """The study with another geometry, of the same files."""
    return replace(study, phases=tuple(with_geometry(phase, **changes) for phase in study.phases))


def with_geometry(phase, **changes):
    geometry = replace(phase.volume.geometry, **changes)
    return replace(phase, volume=Volume(phase.volume.array, geometry))


def test_elsewhere_slices_in_the_other_order_lies_on_the_same_places(tmp_path):
    study = load_study(write_classic(tmp_path / "images", OBLIQUE))
    first = study.geometry
    axes = np.reshape(first.direction, (3, 3)) * (1, 1, -1)
    last = tuple(first.to_lps((0, 0, first.shape[0] - 1)).tolist())
    turned = elsewhere(study, origin=last, direction=tuple(axes.ravel().tolist()))
    lesion = lesion_of(turned, 1, a_lesion()[::-1])
    np.testing.assert_array_equal(lesion.mask, a_lesion())


@pytest.mark.parametrize("shift", [(0.45, 0, 0), (0, 0, 1), (0, 0, 20)])
def test_an_outline_beside_the_voxels_of_the_images_is_refused(tmp_path, shift):
    study = load_study(write_classic(tmp_path / "images"))
    moved = elsewhere(study, origin=tuple(np.add(study.geometry.origin, shift).tolist()))
    with pytest.raises(InputError, match="does not lie on the slices of the DICOM images"):
        lesion_of(moved, 1, a_lesion())


# Sources that lack something


def test_a_case_id_of_any_script_is_kept(reader, tmp_path):
    archived(reader, write_classic(tmp_path / "images"), tmp_path / "out", case_id="症例7")
    assert dcmread(tmp_path / "out" / "seg.dcm").SegmentSequence[0].TrackingID == "症例7"
    assert str(dcmread(tmp_path / "out" / "sr.dcm").PatientName) == "Döe^Jane"


def test_without_any_date_the_objects_bear_the_placeholder(reader, tmp_path):
    tags = dict.fromkeys(("SeriesDate", "SeriesTime", "StudyDate", "StudyTime", "PatientBirthDate"), "")
    archived(reader, write_classic(tmp_path / "images", **tags), tmp_path / "out")
    for name in FILES:
        found = dcmread(tmp_path / "out" / name)
        assert (found.ContentDate, found.ContentTime) == ("19000101", "000000")
        assert found.StudyDate == ""
        assert judges.complaints_of_dciodvfy(tmp_path / "out" / name) == []


@pytest.mark.parametrize(
    "tags",
    [
        dict(PatientBirthDate="1970", PatientSex="W", PatientAge="50"),
        dict(StudyDate="2020.02.29", StudyTime="9:55", SeriesDate="2020-02", SeriesTime="now"),
        dict(PatientName="D" * 200, PatientID="4" * 100, AccessionNumber="A" * 40, StudyID="1" * 40),
        dict(PatientName="=ヤマダ^タロウ", SpecificCharacterSet=["ISO_IR 100", "ISO 2022 IR 87"]),
        dict(Laterality="X", SliceThickness="", PatientWeight=""),
        dict(NumberOfFrames=1, PositionReferenceIndicator="chest"),
    ],
)
def test_odd_headers_do_no_harm(reader, tmp_path, tags):
    images = write_classic(tmp_path / "images", **tags)
    archived(reader, images, tmp_path / "out")
    source = dcmread(next(images.iterdir()))
    for name in FILES:
        found = dcmread(tmp_path / "out" / name)
        assert str(found.PatientName) == str(source.PatientName)
        assert found.PatientBirthDate == source.PatientBirthDate
    path, _ = judges.segment_by_dcmqi(tmp_path / "out" / "seg.dcm", tmp_path)
    np.testing.assert_array_equal(read_roi(path, load_study(images).geometry).mask, a_lesion())


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (dict(FrameOfReferenceUID=""), "has no FrameOfReferenceUID"),
        (dict(SOPInstanceUID="1.7"), "several slices have one SOPInstanceUID"),
    ],
)
def test_images_that_cannot_be_referred_to_are_refused(tmp_path, tags, said):
    study = load_study(write_classic(tmp_path / "images", **tags))
    with pytest.raises(InputError, match=said):
        lesion_of(study, 1, a_lesion())


def test_images_that_are_no_dicom_are_refused(tmp_path):
    (tmp_path / "image.nrrd").write_bytes(b"NRRD0004\n")
    with pytest.raises(InputError, match="leave out --dicom-out"):
        require_dicom([tmp_path, tmp_path / "image.nrrd"])


def test_a_folder_with_anything_else_is_refused(reader, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"mine\.txt"):
        archived(reader, write_classic(tmp_path / "images"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
