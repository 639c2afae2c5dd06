"""Outlines from label maps and Slicer segmentations: the one segment meant, on the image's geometry; one line for each fault."""

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_writer import write_slice
from HER2ViTLib.messages import InputError
from HER2ViTLib.roi import read_roi, roi_on, write_segmentation
from HER2ViTLib.volume import Geometry, Volume, write_volume

TILTED = (0.8, 0.0, 0.6, 0.0, 1.0, 0.0, -0.6, 0.0, 0.8)
GEOMETRY = Geometry((10, 16, 20), (1.0, 1.5, 2.0), (-5.0, -6.0, 7.0), TILTED)


def a_mask(*boxes):
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    for label, box in enumerate(boxes, 1):
        mask[box] = label
    return mask


def save(path, array, geometry=GEOMETRY):
    write_volume(Volume(array, geometry), path)
    return path


def the_fault(*arguments):
    with pytest.raises(InputError) as caught:
        read_roi(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


LESION, RIM, OTHER = np.s_[3:6, 4:8, 5:9], np.s_[2:7, 3:9, 4:10], np.s_[6:7, 10:11, 13:15]
CROP = np.s_[2:7, 3:11, 4:15]


def a_segmentation(path, encoding="raw"):
    """Written as Slicer does: cropped to what is outlined, overlapping segments on two layers."""
    layers = [a_mask(LESION)[CROP] + 2 * a_mask(OTHER)[CROP], a_mask(RIM)[CROP]]
    corner = GEOMETRY.to_lps((4, 3, 2))
    columns = np.reshape(TILTED, (3, 3)).T * np.array(GEOMETRY.spacing)[:, None]
    vectors = " ".join("(" + ",".join(f"{value:.17g}" for value in column) + ")" for column in columns)
    header = f"""NRRD0004
# Complete NRRD file format specification at:
type: unsigned char
dimension: 4
space: left-posterior-superior
sizes: 2 11 8 5
space directions: none {vectors}
kinds: list domain domain domain
encoding: {encoding}
space origin: ({",".join(f"{value:.17g}" for value in corner)})
Segment0_ID:=Segment_1
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment0_Name:=Lesion
Segment1_ID:=Segment_2
Segment1_LabelValue:=1
Segment1_Layer:=1
Segment1_Name:=Rim: outer
Segment2_ID:=Segment_3
Segment2_LabelValue:=2
Segment2_Layer:=0
Segment2_Name:=Other side
Segment3_ID:=Segment_4
Segment3_LabelValue:=3
Segment3_Layer:=0
Segment3_Name:=Nothing
Segmentation_ReferenceImageExtentOffset:=4 3 2
"""
    path.write_bytes(header.encode() + b"\n" + np.stack(layers, -1).tobytes())
    return path


@pytest.mark.parametrize(("segment", "box"), [("Lesion", LESION), ("Segment_2", RIM), ("Rim: outer", RIM), ("2", OTHER), ("Other side", OTHER)])
def test_segment_of_overlapping_layers_with_cropped_extent(tmp_path, segment, box):
    roi = read_roi(a_segmentation(tmp_path / "a.seg.nrrd"), GEOMETRY, segment)
    assert roi.dtype == bool
    np.testing.assert_array_equal(roi, a_mask(box) > 0)


def test_segments_are_chosen_not_guessed(tmp_path):
    path = a_segmentation(tmp_path / "a.seg.nrrd")
    fault = the_fault(path, GEOMETRY, None)
    assert 'choose one with --segment: "Lesion" (id Segment_1, label 1), "Rim: outer" (id Segment_2, label 1)' in fault
    assert "has no segment lesion; it has" in the_fault(path, GEOMETRY, "lesion")
    assert "several segments are called 1" in the_fault(path, GEOMETRY, "1")
    assert '"Nothing" (id Segment_4, label 3): is empty' in the_fault(path, GEOMETRY, "Nothing")


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_label_maps(tmp_path, suffix, dtype):
    one = save(tmp_path / f"one.{suffix}", a_mask(LESION).astype(dtype) * 7)
    np.testing.assert_array_equal(read_roi(one, GEOMETRY), a_mask(LESION) > 0)
    two = save(tmp_path / f"two.{suffix}", a_mask(LESION, OTHER).astype(dtype))
    np.testing.assert_array_equal(read_roi(two, GEOMETRY, "2"), a_mask(OTHER) > 0)
    assert "holds 2 segments; choose one with --segment: 1, 2" in the_fault(two, GEOMETRY, None)
    assert "has no segment 3; it has 1, 2" in the_fault(two, GEOMETRY, "3")


def test_another_geometry_is_resampled(tmp_path):
    fine = Geometry((20, 32, 40), (0.5, 0.75, 1.0), tuple(GEOMETRY.to_lps((-0.25, -0.25, -0.25))), TILTED)
    mask = a_mask(LESION).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(read_roi(save(tmp_path / "fine.nrrd", mask, fine), GEOMETRY), a_mask(LESION) > 0)
    flipped = Volume(a_mask(LESION), GEOMETRY).with_slice_axis("j")
    np.testing.assert_array_equal(roi_on(flipped, GEOMETRY), a_mask(LESION) > 0)


def test_faults(tmp_path):
    lesion = a_mask(LESION)
    assert "no such file" in the_fault(tmp_path / "nowhere.nii", GEOMETRY)
    assert "is empty" in the_fault(save(tmp_path / "empty.nrrd", a_mask()), GEOMETRY)
    assert "is empty" in the_fault(save(tmp_path / "negative.nrrd", -lesion.astype(np.int16)), GEOMETRY)
    elsewhere = Geometry(GEOMETRY.shape, GEOMETRY.spacing, (500.0, 0.0, 0.0), TILTED)
    assert "outside the image" in the_fault(save(tmp_path / "elsewhere.nrrd", lesion, elsewhere), GEOMETRY)
    assert "fractional values such as 0.25" in the_fault(save(tmp_path / "fraction.nrrd", lesion * np.float32(0.25)), GEOMETRY)
    for suffix in ("nrrd", "nii"):
        assert "NaN" in the_fault(save(tmp_path / f"nan.{suffix}", np.where(lesion, np.float32(np.nan), 0)), GEOMETRY)
    image = np.arange(lesion.size, dtype=np.int16).reshape(GEOMETRY.shape)
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 3187 more" in the_fault(save(tmp_path / "image.nrrd", image), GEOMETRY)

    def save_sitk(name, array, is_vector):
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=is_vector), str(tmp_path / name))
        return tmp_path / name

    assert "colour" in the_fault(save_sitk("rgb.nrrd", np.stack([lesion] * 3, -1), True), GEOMETRY)
    assert "is 2D" in the_fault(save_sitk("2d.nrrd", lesion[4], False), GEOMETRY)
    assert "is a 4D series" in the_fault(save_sitk("4d.nii.gz", np.stack([lesion] * 3), False), GEOMETRY)
    sequence = a_segmentation(tmp_path / "sequence.seq.nrrd")
    lines = [line for line in sequence.read_bytes().split(b"\n") if not line.startswith(b"Segment")]
    sequence.write_bytes(b"\n".join(lines))
    assert "is a 4D series" in the_fault(sequence, GEOMETRY)
    write_slice(tmp_path / "seg.dcm", lesion[4], (0, 0, 0))
    assert "is a DICOM object" in the_fault(tmp_path / "seg.dcm", GEOMETRY)


def test_a_written_outline_comes_back_and_names_its_segment(tmp_path):
    mask = a_mask(LESION) > 0
    path = tmp_path / "outline.seg.nrrd"
    write_segmentation(mask, GEOMETRY, path, "Lesion")
    assert np.array_equal(read_roi(path, GEOMETRY), mask)
    assert np.array_equal(read_roi(path, GEOMETRY, "Lesion"), mask)
    assert b"Segment0_Name:=Lesion" in path.read_bytes()[:3000]
    assert [entry.name for entry in tmp_path.iterdir()] == ["outline.seg.nrrd"]
