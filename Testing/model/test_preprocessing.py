"""Slice choice, the two presets, and the way back from patch pixels to the patient."""

import json

import cv2
import numpy as np
import pytest

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.preprocessing import SquarePreprocessing, StudyPreprocessing, preprocessing_from_json

OBLIQUE = tuple(np.linalg.qr(np.array([[0.9, 0.3, -0.2], [-0.25, 0.9, 0.3], [0.3, -0.2, 0.9]]))[0].ravel())
FLIPPED = (-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0)
SAGITTAL = (0, 0, 1.0, 1.0, 0, 0, 0, -1.0, 0)
GEOMETRIES = [(OBLIQUE, (0.7, 0.7, 2.0)), (FLIPPED, (0.5, 0.9, 3.0)), (SAGITTAL, (1.2, 0.8, 1.0))]


def a_volume(array, direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), spacing=(0.8, 0.8, 3.0)):
    return Volume(array, Geometry(array.shape, spacing, (12.0, -34.0, 56.0), direction))


def a_lesion(shape=(9, 80, 90), centre=(4, 40, 45), radii=(3.0, 14.0, 11.0)):
    k, j, i = np.indices(shape)
    return ((k - centre[0]) / radii[0]) ** 2 + ((j - centre[1]) / radii[1]) ** 2 + (
        (i - centre[2]) / radii[2]
    ) ** 2 <= 1


def reference_patch(image, mask):
    """The study's steps written out plainly, with OpenCV's arithmetic."""
    k = mask.sum(axis=(1, 2)).argmax()
    rows, columns = np.where(mask[k])
    r0 = max(rows.min() - 10, 0)
    r1 = min(rows.max() + 10, image.shape[1])
    c0 = max(columns.min() - 10, 0)
    c1 = min(columns.max() + 10, image.shape[2])
    crop = image[k, r0:r1, c0:c1].astype(np.float64)
    roi = mask[k, r0:r1, c0:c1].astype(np.uint8)
    grey = cv2.normalize(crop, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    grey = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    grey = (0.3 * grey + 0.7 * grey * roi).astype(np.uint8)
    z = (grey - np.mean(grey)) / np.std(grey)
    return k, cv2.resize(z, (224, 224), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("centre", [(4, 40, 45), (2, 6, 85)])
def test_preset_study_repeats_the_published_steps(centre):
    image = np.random.default_rng(1).gamma(2, 300, (9, 80, 90)).astype(np.int16)
    mask = a_lesion(centre=centre)
    patch = StudyPreprocessing().apply(a_volume(image), mask)
    chosen, expected = reference_patch(image, mask)
    assert patch.slice == chosen
    assert patch.image.dtype == np.float32
    assert np.abs(patch.image - expected).max() < 1e-4


def test_preset_study_on_the_real_case(shared_data):
    from HER2ViTLib.imaging.image_files import read_volume

    image = read_volume(shared_data / "breast_dce" / "post1.nii.gz")
    mask = read_volume(shared_data / "breast_dce" / "tumor_pseudo_mask.nii.gz").array > 0
    patch = StudyPreprocessing().apply(image, mask)
    chosen, expected = reference_patch(image.array, mask)
    assert patch.slice == chosen
    assert np.abs(patch.image - expected).max() < 1e-4


def test_largest_slice_and_its_ties():
    mask = np.zeros((7, 30, 30), bool)
    mask[[1, 4], 10:14, 10:14] = True
    mask[5, 10:12, 10:12] = True
    volume = a_volume(np.random.default_rng(0).random(mask.shape))
    assert StudyPreprocessing().apply(volume, mask).slice == 1
    assert SquarePreprocessing().apply(volume, mask).slice == 4
    mask[5] = False  # centroid halfway between the two: the lower index
    assert SquarePreprocessing().apply(volume, mask).slice == 1
    assert SquarePreprocessing().apply(volume, mask).area_mm2 == pytest.approx(16 * 0.64)


def on_slices(*indices):
    """An outline on these of 12 slices, largest on slice 6."""
    mask = np.zeros((12, 40, 40), bool)
    mask[list(indices), 12:22, 12:24] = True
    mask[6, 10:26, 10:28] = True
    return mask


# the outline's slices; how many are read; the one given; those that are read, in their order
NEAREST = [
    ((3, 4, 5, 6, 7, 8), 3, None, [6, 5, 7]),
    ((3, 4, 5, 6, 7, 8), 4, None, [6, 5, 7, 4]),
    ((3, 4, 5, 6, 7, 8), 3, 8, [8, 7, 6]),
    ((3, 4, 5, 6, 7, 8), 1, 4, [4]),
    ((1, 6, 9, 11), 3, None, [6, 9, 1]),  # the outline has holes: the others count by their distance
    ((6, 7), 5, None, [6, 7]),
    ((6,), 64, None, [6]),
]


@pytest.mark.parametrize("preset", [StudyPreprocessing, SquarePreprocessing])
@pytest.mark.parametrize(("outlined", "count", "given", "expected"), NEAREST)
def test_the_slices_nearest_the_largest_or_given_one(preset, outlined, count, given, expected):
    mask = on_slices(*outlined)
    volume = a_volume(np.random.default_rng(5).random(mask.shape))
    patches = preset(slice_count=count).patches(volume, mask, given)
    assert [patch.slice for patch in patches] == expected
    for patch in patches:
        alone = preset().apply(volume, mask, patch.slice)
        assert np.array_equal(patch.image, alone.image)
        assert np.array_equal(patch.mask, alone.mask)
        assert patch.area_mm2 == alone.area_mm2


def test_a_further_slice_that_cannot_be_read_is_named():
    mask = on_slices(5, 6, 7)
    image = np.random.default_rng(5).random(mask.shape)
    image[7] = 0
    assert len(SquarePreprocessing(slice_count=2).patches(a_volume(image), mask)) == 2
    with pytest.raises(InputError, match="slice 7: the image is constant"):
        SquarePreprocessing(slice_count=3).patches(a_volume(image), mask)


def test_settings_without_a_number_of_slices_mean_one():
    for made in (SquarePreprocessing(), StudyPreprocessing()):
        stored = made.to_json()
        assert stored.pop("slice_count") == 1
        assert preprocessing_from_json(stored) == made


@pytest.mark.parametrize("preset", [StudyPreprocessing, SquarePreprocessing])
@pytest.mark.parametrize(("direction", "spacing"), GEOMETRIES)
def test_a_marked_pixel_comes_back_at_its_patient_position(preset, direction, spacing):
    mask = a_lesion()
    image = np.random.default_rng(2).normal(100, 1, mask.shape)
    image[4, 35:38, 49:52] = 3000
    volume = a_volume(image, direction, spacing)
    patch = preset().apply(volume, mask, slice_index=4)
    y, x = np.unravel_index(cv2.GaussianBlur(patch.image, (0, 0), 3).argmax(), patch.image.shape)
    expected = volume.geometry.to_lps((50, 36, 4))
    found = patch.geometry.to_lps((x, y, 0))
    within_volume_pixels = np.abs(volume.geometry.to_index(found) - (50, 36, 4))
    assert within_volume_pixels.max() <= 0.5, (found, expected)


def test_square_keeps_the_aspect_ratio_and_repeats_the_edge():
    mask = a_lesion(centre=(4, 5, 84))
    volume = a_volume(np.random.default_rng(3).random(mask.shape).cumsum(axis=2), spacing=(0.5, 1.0, 3.0))
    patch = SquarePreprocessing(size=(96, 96), mean=(0.0,), std=(1.0,)).apply(volume, mask)
    spacing = patch.geometry.spacing
    assert spacing[0] == pytest.approx(spacing[1])
    assert patch.image.min() == 0
    assert patch.image.max() == 1
    assert np.ptp(patch.image[:, -5:], axis=1).max() < 1e-5  # beyond the image's right edge
    assert patch.mask.sum() * patch.geometry.pixel_mm2 == pytest.approx(patch.area_mm2, rel=0.05)


def test_faults_of_outline_and_image():
    mask = a_lesion()
    image = np.ones((9, 80, 90))
    for preset in (StudyPreprocessing(), SquarePreprocessing()):
        with pytest.raises(InputError, match="constant"):
            preset.apply(a_volume(image), mask)
        with pytest.raises(InputError, match="empty"):
            preset.apply(a_volume(image), np.zeros_like(mask))
        with pytest.raises(InputError, match="slices 0 to 8"):
            preset.apply(a_volume(image), mask, slice_index=9)
        with pytest.raises(InputError, match="it lies on slices 1 to 7"):
            preset.apply(a_volume(image), mask, slice_index=0)


OUT_OF_RANGE = [
    ("square", "size", [8, 224], "[8, 224]; it must be two whole numbers from 16 to 1024"),
    ("square", "slice_count", 0, "0; it must be a whole number from 1 to 64"),
    ("study", "slice_count", 65, "65; it must be a whole number from 1 to 64"),
    ("study", "slice_count", 3.0, "3.0; it must be a whole number from 1 to 64"),
    ("square", "margin_mm", -1, "-1; it must be a number from 0 to 1000"),
    ("square", "percentiles", [99, 1], "[99, 1]; it must be two numbers from 0 to 100, the lower one first"),
    ("square", "mean", [0.5, 0.5], "[0.5, 0.5]; it must be one or three numbers from -1000 to 1000"),
    ("square", "std", [1, 1, 0], "[1, 1, 0]; it must be as many numbers as the mean has, from 0.001 to 1000"),
    ("study", "size", 224, "224; it must be two whole numbers from 16 to 1024"),
    ("study", "margin_px", 0, "0; it must be a whole number above 0"),
    ("study", "clip_limit", float("inf"), "inf; it must be a number above 0"),
    ("study", "tiles", True, "True; it must be a whole number from 1 to 64"),
    ("study", "background", "0.3", "'0.3'; it must be a number from 0 to 1"),
]


@pytest.mark.parametrize(("preset", "name", "value", "expected"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_named_with_what_it_may_be(preset, name, value, expected):
    with pytest.raises(InputError) as error:
        preprocessing_from_json({"preset": preset, name: value})
    assert error.value.faults == (f"preprocessing {preset}: {name} is {expected}",)


def test_each_value_out_of_range_is_a_fault_of_its_own():
    assert len(SquarePreprocessing(size=(8, 8), margin_mm=-1.0, std=(0.0,)).faults()) == 3
    assert StudyPreprocessing().faults() == SquarePreprocessing().faults() == []


def test_settings_survive_json_and_bad_ones_are_refused():
    for made in (SquarePreprocessing(size=(96, 128), margin_mm=5.0), StudyPreprocessing(slice_count=3)):
        assert preprocessing_from_json(json.loads(json.dumps(made.to_json()))) == made
    good = SquarePreprocessing().to_json()
    bad = [
        {"preset": "round"},
        {"preset": ["square"]},
        {"size": [224]},
        {"size": [10**9, 10**9]},
        {"size": "ab"},
        {"std": [0, 0, 0]},
    ]
    for change in [*bad, {"percentiles": [99, 1]}, {"margin": 3}, {"margin_mm": "x"}, {"mean": 0.5}]:
        with pytest.raises(InputError):
            preprocessing_from_json({**good, **change})
