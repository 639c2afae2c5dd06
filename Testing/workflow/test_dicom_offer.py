"""What Slicer's DICOM module is offered of a study."""

from HER2ViTLib.workflow.dicom_offer import DOUBTFUL, SURE, dicom_offer
from support.examinations import write_classic, write_multi_frame


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_phases_that_are_series_of_their_own_are_one_offer_with_their_times(tmp_path):
    files = files_of(write_classic(tmp_path / "dicom"))
    offer = dicom_offer(files, "BREAST MR")
    assert set(offer.files) == set(files)
    assert (offer.name, offer.confidence) == ("DCE-MRI, 3 phases", SURE)
    assert "phases start 0, 120, 210 s after the first phase" in offer.tool_tip


def test_what_does_not_say_that_it_is_a_breast_is_offered_and_not_ticked(tmp_path):
    offer = dicom_offer(files_of(write_multi_frame(tmp_path / "dicom")), "HEART")
    assert (offer.confidence, offer.warning) == (DOUBTFUL, "")


def test_a_single_volume_and_no_images_are_no_dce(tmp_path):
    files = files_of(write_classic(tmp_path / "dicom"))
    assert dicom_offer([path for path in files if int(path.name) < 6], "BREAST") is None
    broken = tmp_path / "broken"
    broken.write_bytes(b"nothing")
    assert dicom_offer([broken], "BREAST") is None
