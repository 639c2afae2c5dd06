"""`read --dicom-out`: what it writes, and what it refuses before anything is read."""

import sys

import numpy as np
import pytest

pytest.importorskip("highdicom")

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.lesion.origin import GROWN, is_grown
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.commands.main import main
from support.examinations import a_lesion, write_classic
from support.models import a_bundle_folder


def header_of(path):
    """What a DICOM file holds."""
    from pydicom import dcmread

    return dcmread(path)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A folder with an examination, its outline as a label map and as a segmentation that says it was grown,
    and two bundles.
    """
    folder = tmp_path_factory.mktemp("case")
    geometry = load_study(write_classic(folder / "images")).geometry
    outline = Volume(a_lesion().astype(np.uint8), geometry)
    write_volume(outline, folder / "roi.nrrd")
    tags = {"Segment0_Tags": f"Segmentation.Status:inprogress|{GROWN}|"}
    named = {"Segment0_ID": "S1", "Segment0_Name": "Lesion", "Segment0_LabelValue": "1"}
    write_volume(outline, folder / "grown.seg.nrrd", {**named, **tags})
    write_volume(outline, folder / "painted.seg.nrrd", named)
    a_bundle_folder(folder / "task1", "zero-vs-rest", 1)
    a_bundle_folder(folder / "task2", "low-vs-positive", 2)
    return folder


def words(case, out, dicom_out, image="images", roi="roi.nrrd"):
    bundles = ["--bundle", case / "task1", "--bundle", case / "task2", "--device", "cpu"]
    inputs = ["read", case / image, "--roi", case / roi, *bundles, "--no-figures"]
    return [str(word) for word in (*inputs, "--out", out, "--dicom-out", dicom_out)]


def test_the_objects_are_written_and_the_rest_stays_free_of_names(case, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(case, out, tmp_path / "dicom")) == 0
    names = ["saliency_task1.dcm", "saliency_task2.dcm", "seg.dcm", "sr.dcm"]
    assert sorted(path.name for path in (tmp_path / "dicom").iterdir()) == names
    said = capsys.readouterr().out
    assert all(f"wrote {tmp_path / 'dicom' / name}" in said for name in names)
    assert "Döe" in str(header_of(tmp_path / "dicom" / "sr.dcm").PatientName)
    for path in out.iterdir():
        found = path.read_bytes()
        assert not any(word in found for word in (b"Doe", "Döe".encode(), b"4711", b"20200229", b"19700101"))
    assert main(words(case, out, tmp_path / "dicom")) == 0


@pytest.mark.parametrize(
    ("roi", "kind"),
    [("roi.nrrd", "MANUAL"), ("painted.seg.nrrd", "MANUAL"), ("grown.seg.nrrd", "SEMIAUTOMATIC")],
)
def test_an_outline_is_manual_unless_its_file_says_that_it_was_grown(case, tmp_path, roi, kind):
    assert is_grown(case / roi) == (kind == "SEMIAUTOMATIC")
    assert main(words(case, tmp_path / "out", tmp_path / "dicom", roi=roi)) == 0
    [segment] = header_of(tmp_path / "dicom" / "seg.dcm").SegmentSequence
    assert segment.SegmentAlgorithmType == kind


def test_images_that_are_no_dicom_are_refused(case, tmp_path, refused):
    line = refused(words(case, tmp_path / "out", tmp_path / "dicom", image="roi.nrrd"))
    assert "roi.nrrd: is no DICOM" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dicom_out", ["out", "out/dicom", "."])
def test_the_two_folders_lie_apart(case, tmp_path, refused, dicom_out):
    assert "part them" in refused(words(case, tmp_path / "out", tmp_path / dicom_out))
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_cannot_be_referred_to_leaves_nothing_behind(case, tmp_path, refused):
    images = write_classic(tmp_path / "images", FrameOfReferenceUID="")
    line = refused(words(case, tmp_path / "out", tmp_path / "dicom", image=images))
    assert "FrameOfReferenceUID" in line
    assert [path.name for path in tmp_path.iterdir()] == ["images"]


def test_without_highdicom_the_extra_is_named(case, tmp_path, refused, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("highdicom", "HER2ViTLib.archive"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    line = refused(words(case, tmp_path / "out", tmp_path / "dicom"))
    assert "pip install 'her2vit[dicom]'" in line
    assert list(tmp_path.iterdir()) == []
