"""Outlines from label maps and Slicer segmentations: the one segment meant, on the image's geometry; one line
for each fault.
"""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import read_roi, roi_on, write_segmentation
from HER2ViTLib.messages import InputError
from support.dicom_writer import a_header, write_slice
from support.dicom_writer import save as save_dicom

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


LESION = np.s_[3:6, 4:8, 5:9]
RIM = np.s_[2:7, 3:9, 4:10]
OTHER = np.s_[6:7, 10:11, 13:15]
CROP = np.s_[2:7, 3:11, 4:15]


def a_segmentation(path, encoding="raw"):
    """Written as Slicer does: cropped to what is outlined, overlapping segments on two layers."""
    layers = [a_mask(LESION)[CROP] + 2 * a_mask(OTHER)[CROP], a_mask(RIM)[CROP]]
    corner = GEOMETRY.to_lps((4, 3, 2))
    columns = np.reshape(TILTED, (3, 3)).T * np.array(GEOMETRY.spacing)[:, None]
    vectors = " ".join("({:.17g},{:.17g},{:.17g})".format(*column) for column in columns)
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


@pytest.mark.parametrize(
    ("segment", "box"),
    [("Lesion", LESION), ("Segment_2", RIM), ("Rim: outer", RIM), ("2", OTHER), ("Other side", OTHER)],
)
def test_segment_of_overlapping_layers_with_cropped_extent(tmp_path, segment, box):
    roi = read_roi(a_segmentation(tmp_path / "a.seg.nrrd"), GEOMETRY, segment)
    assert roi.mask.dtype == bool
    np.testing.assert_array_equal(roi.mask, a_mask(box) > 0)


def test_segments_are_chosen_not_guessed(tmp_path):
    path = a_segmentation(tmp_path / "a.seg.nrrd")
    fault = the_fault(path, GEOMETRY, None)
    assert (
        'choose one with --segment: "Lesion" (id Segment_1, label 1), "Rim: outer" (id Segment_2, label 1)'
        in fault
    )
    assert "has no segment lesion; it has" in the_fault(path, GEOMETRY, "lesion")
    assert "several segments are called 1" in the_fault(path, GEOMETRY, "1")
    assert '"Nothing" (id Segment_4, label 3): is empty' in the_fault(path, GEOMETRY, "Nothing")


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_label_maps(tmp_path, suffix, dtype):
    one = save(tmp_path / f"one.{suffix}", a_mask(LESION).astype(dtype) * 7)
    np.testing.assert_array_equal(read_roi(one, GEOMETRY).mask, a_mask(LESION) > 0)
    two = save(tmp_path / f"two.{suffix}", a_mask(LESION, OTHER).astype(dtype))
    np.testing.assert_array_equal(read_roi(two, GEOMETRY, "2").mask, a_mask(OTHER) > 0)
    assert "holds 2 segments; choose one with --segment: 1, 2" in the_fault(two, GEOMETRY, None)
    assert "has no segment 3; it has 1, 2" in the_fault(two, GEOMETRY, "3")


def test_another_geometry_is_resampled(tmp_path):
    fine = Geometry((20, 32, 40), (0.5, 0.75, 1.0), tuple(GEOMETRY.to_lps((-0.25, -0.25, -0.25))), TILTED)
    mask = a_mask(LESION).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    resampled = read_roi(save(tmp_path / "fine.nrrd", mask, fine), GEOMETRY)
    np.testing.assert_array_equal(resampled.mask, a_mask(LESION) > 0)
    assert "spacing 0.5 x 0.75 x 1 against 1 x 1.5 x 2 mm" in the_warning(resampled)
    flipped = Volume(a_mask(LESION), GEOMETRY).with_slice_axis("j")
    np.testing.assert_array_equal(roi_on(flipped, GEOMETRY).mask, a_mask(LESION) > 0)


def spatial(image):
    """The SimpleITK image on the place of `GEOMETRY`, whatever its further axes."""
    more = image.GetDimension() - 3
    direction = np.eye(3 + more)
    direction[:3, :3] = np.reshape(TILTED, (3, 3))
    image.SetDirection(direction.ravel())
    image.SetSpacing((*GEOMETRY.spacing, *[1] * more))
    image.SetOrigin((*GEOMETRY.origin, *[0] * more))
    return image


def test_one_volume_of_four_axes_is_a_label_map(tmp_path):
    image = spatial(sitk.GetImageFromArray(a_mask(LESION)[None], isVector=False))
    for suffix in ("nrrd", "nii.gz", "mha"):
        sitk.WriteImage(image, str(tmp_path / f"roi.{suffix}"))
        roi = read_roi(tmp_path / f"roi.{suffix}", GEOMETRY)
        assert roi.warnings == ()
        np.testing.assert_array_equal(roi.mask, a_mask(LESION) > 0)


def a_layered(path, layers, kind, more=""):
    """A NRRD file of label maps on one more axis, its first, as programs other than Slicer write them."""
    header = a_segmentation(path).read_bytes().split(b"Segment0_ID")[0].decode() + more
    header = header.replace("sizes: 2 11 8 5", f"sizes: {len(layers)} 11 8 5").replace(
        "kinds: list domain domain domain\n", kind
    )
    path.write_bytes(header.encode() + b"\n" + np.stack(layers, -1).tobytes())
    return path


def test_a_list_of_one_label_map_is_that_label_map(tmp_path):
    for kind in ("list", "vector"):
        roi = read_roi(
            a_layered(tmp_path / "a.nrrd", [a_mask(LESION)[CROP]], f"kinds: {kind} domain domain domain\n"),
            GEOMETRY,
        )
        np.testing.assert_array_equal(roi.mask, a_mask(LESION) > 0)


def test_layers_of_other_programs_are_told_what_to_export(tmp_path):
    layers = [a_mask(LESION)[CROP], 2 * a_mask(OTHER)[CROP]]
    groups = "multilabel.segmentation.labelgroups:=[{}]\n"
    of_groups = the_fault(
        a_layered(tmp_path / "a.nrrd", layers, "kinds: vector domain domain domain\n", groups), GEOMETRY
    )
    assert "has 2 values a voxel: label groups or layers of another program" in of_groups
    listed = the_fault(a_layered(tmp_path / "a.nrrd", layers, "kinds: list domain domain domain\n"), GEOMETRY)
    assert "has a layer for each label (2 volumes)" in listed
    assert "export the lesion alone as one 3D label map" in of_groups
    assert "export the lesion alone as one 3D label map" in listed
    of_no_kind = the_fault(a_layered(tmp_path / "a.nrrd", layers, ""), GEOMETRY)
    assert (
        "axis 0 of 4 has no direction in space, and its kind is not given; export one 3D volume" in of_no_kind
    )


@pytest.mark.parametrize("label", [np.float32(0.9999999), 1.0000001, 254.9995, np.uint8(255)])
def test_labels_a_rounding_away_from_a_whole_number(tmp_path, label):
    lesion = a_mask(LESION)
    array = lesion * label
    array[3, 4, 5] = np.rint(label)  # one voxel is whole: still one label
    np.testing.assert_array_equal(read_roi(save(tmp_path / "roi.nii", array), GEOMETRY).mask, lesion > 0)


def test_a_scaled_label_map(tmp_path):
    path = save(tmp_path / "roi.nii", a_mask(LESION).astype(np.int16) * 255)
    content = bytearray(path.read_bytes())
    content[112:116] = np.float32(1 / 255).tobytes()  # scl_slope
    path.write_bytes(content)
    np.testing.assert_array_equal(read_roi(path, GEOMETRY, "1").mask, a_mask(LESION) > 0)


STORAGE = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("storage", "words"),
    [("66.5", "a DICOM surface segmentation"), ("4", "a DICOM object that holds no outline")],
)
@pytest.mark.parametrize("has_preamble", [True, False])
def test_dicom_that_is_no_outline_is_named_with_what_to_do(tmp_path, storage, words, has_preamble):
    path = tmp_path / "outline.dcm"
    save_dicom(a_header(a_mask()[0], STORAGE + storage), path)
    if not has_preamble:
        path.write_bytes(path.read_bytes()[132:])
    fault = the_fault(path, GEOMETRY)
    assert words in fault
    assert "export the outline again, as a segmentation (SEG), contours (RTSTRUCT) or .seg.nrrd" in fault


UNIT = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
UNIT_NIFTI = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
LOST = {
    "a unit matrix": (
        "nii.gz",
        dict(spacing=(1, 1, 1), origin=(0, 0, 0), direction=UNIT_NIFTI),
        "its header has lost its place (spacing",
    ),
    "no header": (
        "nrrd",
        dict(spacing=(1, 1, 1), origin=(0, 0, 0), direction=UNIT),
        "its header has lost its place (spacing 1 x 1 x 1 against",
    ),
    "no origin": (
        "nrrd",
        dict(origin=(0, 0, 0)),
        "its header has lost its place (origin 0 x 0 x 0 against -5 x -6 x 7 mm)",
    ),
    "no spacing": (
        "nrrd",
        dict(spacing=(1, 1, 1)),
        "its header has lost its place (spacing 1 x 1 x 1 against 1 x 1.5 x 2 mm)",
    ),
    "no direction": ("nrrd", dict(direction=UNIT), "its header has lost its place (direction"),
    "an axis flipped": (
        "nrrd",
        dict(direction=(-0.8, 0, 0.6, 0, 1, 0, 0.6, 0, 0.8)),
        "lies outside the image (direction",
    ),
    "a sign lost": (
        "nrrd",
        dict(origin=(5, 6, 7)),
        "lies outside the image (origin 5 x 6 x 7 against -5 x -6 x 7 mm)",
    ),
}


@pytest.mark.parametrize(("suffix", "changes", "fault"), LOST.values(), ids=LOST)
def test_an_outline_of_the_images_size_whose_place_is_lost_is_refused_with_the_cure(
    tmp_path, suffix, changes, fault
):
    found = the_fault(
        save(tmp_path / f"roi.{suffix}", a_mask(np.s_[3:6, 9:13, 11:15]), replace(GEOMETRY, **changes)),
        GEOMETRY,
    )
    assert fault in found
    assert "copy the image's spacing, direction and origin into its header" in found


def test_a_header_that_knows_nothing_is_refused_whatever_its_size_and_whosever(tmp_path):
    nowhere = Geometry((10, 14, 18), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), UNIT)
    cropped = a_mask(LESION)[:, 1:-1, 1:-1]
    assert "its header has lost its place" in the_fault(
        save(tmp_path / "roi.nrrd", cropped, nowhere), GEOMETRY
    )
    placed = save(tmp_path / "placed.nrrd", a_mask(LESION))
    assert "the image, whose header has lost its place" in the_fault(
        placed, replace(nowhere, shape=GEOMETRY.shape)
    )


def test_a_grid_of_the_images_size_beside_the_image_is_refused(tmp_path):
    beside = replace(GEOMETRY, origin=tuple(GEOMETRY.to_lps((12, 0, 0))))
    assert "has the image's size but lies beside it" in the_fault(
        save(tmp_path / "roi.nrrd", a_mask(np.s_[3:6, 4:8, 1:5]), beside), GEOMETRY
    )


def the_warning(roi):
    (warning,) = roi.warnings
    assert warning.code == "outline_resampled"
    return warning.text


def test_what_was_resampled_is_said_to_be_with_what_differed(tmp_path):
    shifted = replace(GEOMETRY, origin=tuple(GEOMETRY.to_lps((0, 2, 0))))
    moved = read_roi(save(tmp_path / "shifted.nii", a_mask(LESION), shifted), GEOMETRY)
    np.testing.assert_array_equal(moved.mask, np.roll(a_mask(LESION), 2, axis=1) > 0)
    assert "origin -5 x -3 x 7 against -5 x -6 x 7 mm; check" in the_warning(moved)
    reordered = roi_on(Volume(a_mask(LESION), GEOMETRY).with_slice_axis("j"), GEOMETRY)
    assert (
        "size 20 x 10 x 16 against 20 x 16 x 10, spacing 1 x 2 x 1.5 against 1 x 1.5 x 2 mm, direction"
        in the_warning(reordered)
    )
    half_out = replace(GEOMETRY, origin=tuple(GEOMETRY.to_lps((0, 0, -5))))
    assert "67% of it lies outside" in the_fault(
        save(tmp_path / "half.nrrd", a_mask(LESION), half_out), GEOMETRY
    )
    cut = replace(GEOMETRY, origin=tuple(GEOMETRY.to_lps((0, 0, -4))))
    assert "mm; 33% of it lies outside the image" in the_warning(
        read_roi(save(tmp_path / "cut.nrrd", a_mask(LESION), cut), GEOMETRY)
    )
    assert "nothing is left of it" in the_fault(save(tmp_path / "speck.nrrd", *a_speck()), GEOMETRY)


def a_speck():
    """One voxel of a fine grid, between the middles of the image's voxels."""
    fine = Geometry((9, 9, 9), (0.1, 0.1, 0.1), tuple(GEOMETRY.to_lps((5.2, 5.2, 5.2))), TILTED)
    mask = np.zeros(fine.shape, np.uint8)
    mask[1, 1, 1] = 1
    return mask, fine


def test_what_lies_on_the_images_own_voxels_is_not_said_to_be_resampled(tmp_path):
    rounded = replace(GEOMETRY, origin=tuple(np.array(GEOMETRY.origin) + 5e-4))
    cropped = replace(GEOMETRY, shape=(5, 8, 11), origin=tuple(GEOMETRY.to_lps((4, 3, 2))))
    for array, geometry in (
        (a_mask(LESION), GEOMETRY),
        (a_mask(LESION), rounded),
        (a_mask(LESION)[CROP], cropped),
    ):
        roi = read_roi(save(tmp_path / "roi.nrrd", array, geometry), GEOMETRY)
        assert roi.warnings == ()
        np.testing.assert_array_equal(roi.mask, a_mask(LESION) > 0)
    assert read_roi(a_segmentation(tmp_path / "a.seg.nrrd"), GEOMETRY, "Lesion").warnings == ()


def test_faults(tmp_path):
    lesion = a_mask(LESION)
    assert "no such file" in the_fault(tmp_path / "nowhere.nii", GEOMETRY)
    assert "is empty" in the_fault(save(tmp_path / "empty.nrrd", a_mask()), GEOMETRY)
    assert "is empty above 0, its label is -1;" in the_fault(
        save(tmp_path / "negative.nrrd", -lesion.astype(np.int16)), GEOMETRY
    )
    elsewhere = Geometry(GEOMETRY.shape, GEOMETRY.spacing, (500.0, 0.0, 0.0), TILTED)
    assert "outside the image" in the_fault(save(tmp_path / "elsewhere.nrrd", lesion, elsewhere), GEOMETRY)
    assert "fractional values such as 0.25" in the_fault(
        save(tmp_path / "fraction.nrrd", lesion * np.float32(0.25)), GEOMETRY
    )
    for suffix in ("nrrd", "nii"):
        assert "NaN" in the_fault(
            save(tmp_path / f"nan.{suffix}", np.where(lesion, np.float32(np.nan), 0)), GEOMETRY
        )
    image = np.arange(lesion.size, dtype=np.int16).reshape(GEOMETRY.shape)
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 3187 more" in the_fault(
        save(tmp_path / "image.nrrd", image), GEOMETRY
    )

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
    assert np.array_equal(read_roi(path, GEOMETRY).mask, mask)
    assert np.array_equal(read_roi(path, GEOMETRY, "Lesion").mask, mask)
    assert b"Segment0_Name:=Lesion" in path.read_bytes()[:3000]
    assert [entry.name for entry in tmp_path.iterdir()] == ["outline.seg.nrrd"]
