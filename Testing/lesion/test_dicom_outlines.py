"""Outlines in DICOM: segmentations (SEG) as other programs write them give the voxels they were made of;
contours (RTSTRUCT) give what an independent rasteriser gives; one line for each fault.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from HER2ViTLib.files.hashes import FILE, InputHash, file_sha256
from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.lesion.origin import is_grown
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.loading import load_study
from support.dicom_writer import a_group, write_slice
from support.outline_writer import (
    dcmqi,
    write_by_dcmqi,
    write_by_highdicom,
    write_contours,
    write_images,
    write_segments,
)
from support.studies import codes

AXIAL = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
SAGITTAL = (0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0)
C = np.cos(0.4)
S = np.sin(0.4)
OBLIQUE = tuple(np.column_stack([(C, S, 0), (-S * 0.8, C * 0.8, -0.6), (-S * 0.6, C * 0.6, 0.8)]).ravel())
SHAPE = (9, 14, 17)
GEOMETRIES = {
    "axial": Geometry(SHAPE, (0.75, 1.25, 2.0), (-20.0, 30.0, -40.0), AXIAL),
    "sagittal": Geometry(SHAPE, (0.9, 0.9, 3.0), (-60.0, -80.0, 50.0), SAGITTAL),
    "oblique": Geometry(SHAPE, (1.1, 0.7, 2.5), (12.34567, -45.6789, 78.9012), OBLIQUE),
}
LESION = np.s_[2:5, 3:8, 5:11]
RIM = np.s_[1:6, 2:9, 4:12]  # overlaps the lesion
SPARSE = np.s_[1:8:2, 4:6, 3:9]
needs_dcmqi = pytest.mark.skipif(not dcmqi("itkimage2segimage"), reason="dcmqi is not installed")


def a_mask(*boxes):
    mask = np.zeros(SHAPE, bool)
    for box in boxes:
        mask[box] = True
    return mask


def the_fault(*arguments):
    with pytest.raises(InputError) as caught:
        read_roi(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    return GEOMETRIES[request.param]


# Segmentations of other programs


@pytest.mark.parametrize("writer", ["highdicom binary", "highdicom label map", "dcmqi", "dcmqi label map"])
def test_segments_of_other_programs_have_the_voxels_they_were_made_of(tmp_path, geometry, writer):
    images = write_images(tmp_path / "images", geometry)
    study = load_study(tmp_path / "images")
    assert study.geometry.matches(geometry)
    masks = {"Lesion": a_mask(LESION), "Dots": a_mask(SPARSE) & ~a_mask(LESION)}
    if "label map" not in writer:
        masks["Rim"] = a_mask(RIM)
    path = tmp_path / "seg.dcm"
    if writer.startswith("highdicom"):
        pytest.importorskip("highdicom")
        stacked = np.stack(list(masks.values()))
        is_map = "label map" in writer
        array = sum(n * mask for n, mask in enumerate(stacked, 1)) if is_map else stacked
        write_by_highdicom(path, images, array, list(masks), "LABELMAP" if is_map else "BINARY")
    else:
        if not dcmqi("itkimage2segimage"):
            pytest.skip("dcmqi is not installed")
        options = ["--segmentationType", "labelmap"] if "label map" in writer else []
        write_by_dcmqi(path, images, geometry, masks.values(), list(masks), *options)
    for number, (name, mask) in enumerate(masks.items(), 1):
        for wanted in (name, str(number)):
            roi = read_roi(path, study.geometry, wanted, study.frame_of_reference)
            np.testing.assert_array_equal(roi.mask, mask)
            assert roi.warnings == ()
            assert roi.input == InputHash("roi", file_sha256(path), FILE)
    listed = ", ".join(f'"{name}" (number {n})' for n, name in enumerate(masks, 1))
    assert the_fault(path, study.geometry) == (
        f"{path}: holds {len(masks)} segments; choose one with --segment: {listed}"
    )
    assert the_fault(path, study.geometry, "4") == f"{path}: has no segment 4; it has {listed}"


@needs_dcmqi
@pytest.mark.parametrize("options", [["--skip", "0"], ["--compress", "deflate"]])
def test_dcmqi_with_empty_frames_and_deflated(tmp_path, geometry, options):
    images = write_images(tmp_path / "images", geometry)
    path = tmp_path / "seg.dcm"
    write_by_dcmqi(path, images, geometry, [a_mask(LESION)], ["Lesion"], *options)
    is_deflated = dcmread(path).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert is_deflated == ("deflate" in options)
    np.testing.assert_array_equal(read_roi(path, geometry).mask, a_mask(LESION))


def test_compressed_label_maps(tmp_path):
    pytest.importorskip("highdicom")
    geometry = GEOMETRIES["oblique"]
    images = write_images(tmp_path / "images", geometry)
    for syntax in ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"):
        path = tmp_path / f"{syntax}.dcm"
        write_by_highdicom(
            path,
            images,
            a_mask(LESION),
            ["Lesion"],
            "LABELMAP",
            transfer_syntax_uid=syntax,
            omit_empty_frames=False,
        )
        np.testing.assert_array_equal(read_roi(path, geometry).mask, a_mask(LESION))


def test_fractional_segments_are_refused(tmp_path):
    pytest.importorskip("highdicom")
    geometry = GEOMETRIES["axial"]
    images = write_images(tmp_path / "images", geometry)
    path = write_by_highdicom(tmp_path / "seg.dcm", images, a_mask(LESION), ["Lesion"], "FRACTIONAL")
    assert (
        "is a fractional segmentation, whose voxels are probabilities or shares; threshold it"
        in the_fault(path, geometry)
    )


# Segmentations by hand: what the standard allows


def frames_of(mask, number=1):
    return [(number, k, mask[k]) for k in np.flatnonzero(mask.any(axis=(1, 2)))]


def test_frames_in_any_order_shared_or_by_frame_with_sparse_slices(tmp_path, geometry):
    mask = a_mask(SPARSE)
    frames = [*frames_of(mask), *frames_of(a_mask(RIM), 2)]
    order = np.random.default_rng(0).permutation(len(frames))

    def by_frame(header):
        [shared] = header.SharedFunctionalGroupsSequence
        for group in header.PerFrameFunctionalGroupsSequence:
            group.PlaneOrientationSequence = shared.PlaneOrientationSequence
            group.PixelMeasuresSequence = shared.PixelMeasuresSequence
        del header.SharedFunctionalGroupsSequence

    def silent(header):
        [measures] = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        del measures.SpacingBetweenSlices
        del measures.SliceThickness

    for edit in (None, by_frame, silent):
        path = write_segments(tmp_path / "a.dcm", geometry, [frames[n] for n in order], ("a", "b"), edit)
        roi = read_roi(path, geometry, "a")
        np.testing.assert_array_equal(roi.mask, mask)
        assert roi.warnings == ()


def test_one_shared_segment_and_one_frame(tmp_path, geometry):
    def shared(header):
        [group] = header.PerFrameFunctionalGroupsSequence
        for name in ("SegmentIdentificationSequence", "PlanePositionSequence"):
            setattr(header.SharedFunctionalGroupsSequence[0], name, group[name].value)
            delattr(group, name)

    mask = a_mask(np.s_[4:5, 2:6, 3:9])
    path = write_segments(tmp_path / "a.dcm", geometry, frames_of(mask), edit=shared)
    np.testing.assert_array_equal(read_roi(path, geometry).mask, mask)


def test_cropped_frames_lie_where_they_were_cut(tmp_path, geometry):
    mask = a_mask(LESION)
    box = np.s_[1:6, 2:10, 4:12]
    cut = replace(geometry, shape=mask[box].shape, origin=tuple(geometry.to_lps((4, 2, 1))))
    roi = read_roi(write_segments(tmp_path / "a.dcm", cut, frames_of(mask[box])), geometry)
    np.testing.assert_array_equal(roi.mask, mask)
    assert roi.warnings == ()


def test_another_grid_is_resampled_and_said(tmp_path):
    geometry = GEOMETRIES["oblique"]
    mask = a_mask(LESION)
    fine = np.repeat(np.repeat(mask, 2, 1), 2, 2)
    spacing = (geometry.spacing[0] / 2, geometry.spacing[1] / 2, geometry.spacing[2])
    halved = Geometry(fine.shape, spacing, tuple(geometry.to_lps((-0.25, -0.25, 0))), geometry.direction)
    # sparse frames that lie on every second slice of the image stay that thin
    for box in (LESION, SPARSE):
        mask = a_mask(box)
        fine = np.repeat(np.repeat(mask, 2, 1), 2, 2)
        roi = read_roi(write_segments(tmp_path / "a.dcm", halved, frames_of(fine)), geometry)
        np.testing.assert_array_equal(roi.mask, mask)
        assert codes(roi) == ["outline_resampled"]


def test_slices_stored_downwards(tmp_path):
    geometry = GEOMETRIES["oblique"]
    mask = a_mask(LESION)
    axes = np.reshape(geometry.direction, (3, 3)) * (1, 1, -1)
    last = tuple(geometry.to_lps((0, 0, SHAPE[0] - 1)))
    downwards = replace(geometry, direction=tuple(axes.ravel()), origin=last)
    roi = read_roi(write_segments(tmp_path / "a.dcm", geometry, frames_of(mask)), downwards)
    np.testing.assert_array_equal(roi.mask, mask[::-1])


def test_another_frame_of_reference_is_said(tmp_path):
    geometry = GEOMETRIES["axial"]
    seg = write_segments(tmp_path / "a.dcm", geometry, frames_of(a_mask(LESION)))
    rtstruct = write_contours(tmp_path / "b.dcm", {"Lesion": square_contours(geometry, [3])})
    for path in (seg, rtstruct):
        assert read_roi(path, geometry, None, "1.2.826.0.1.9").warnings == ()
        assert read_roi(path, geometry, None, "").warnings == ()
        assert codes(read_roi(path, geometry, None, "1.2.3")) == ["other_frame_of_reference"]
    write_images(tmp_path / "images", geometry)
    assert load_study(tmp_path / "images").frame_of_reference == "1.2.826.0.1.9"


def test_a_folder_with_one_outline(tmp_path):
    geometry = GEOMETRIES["axial"]
    folder = tmp_path / "examination"
    write_images(folder / "images", geometry)
    assert "of its DICOM files 0 hold outlines (SEG, RTSTRUCT), not one" in the_fault(folder, geometry)
    path = write_segments(folder / "deep" / "seg", geometry, frames_of(a_mask(LESION)))
    roi = read_roi(folder, geometry)
    assert not is_grown(folder)
    np.testing.assert_array_equal(roi.mask, a_mask(LESION))
    assert roi.file_sha256 == file_sha256(path)
    write_contours(folder / "rt.dcm", {"Lesion": square_contours(geometry, [3])})
    told = the_fault(folder, geometry)
    assert "2 hold outlines (SEG, RTSTRUCT) (seg, rt.dcm), not one; give the outline's file itself" in told
    (tmp_path / "empty").mkdir()
    assert "no DICOM file in this folder" in the_fault(tmp_path / "empty", geometry)


# Contours


def inside(polygons, shape):
    """Pixels whose centres lie inside an odd number of polygons, by matplotlib."""
    rows, columns = shape
    centres = np.array(list(itertools.product(range(columns), range(rows))), float)
    hits = sum(Polygon(polygon).contains_points(centres).astype(int) for polygon in polygons)
    return (hits % 2 == 1).reshape(columns, rows).T


def star(rng, centre, radius, points=24):
    """A contour of points around a centre, in pixels; no point and no line through a pixel's centre."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    radii = radius * rng.uniform(0.5, 1.3, points)
    return np.column_stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)])


def on_slice(geometry, polygon, k):
    """The points of a polygon (i, j) on slice k, in LPS."""
    return geometry.to_lps(np.column_stack([polygon, np.full(len(polygon), k)]))


SQUARE = np.array([(3.5, 2.5), (9.5, 2.5), (9.5, 7.5), (3.5, 7.5)])


def square_contours(geometry, slices):
    return [on_slice(geometry, SQUARE, k) for k in slices]


def test_contours_are_filled_as_another_rasteriser_fills_them(tmp_path, geometry):
    rng = np.random.default_rng(11)
    expected = np.zeros(SHAPE, bool)
    contours = []
    for k in range(2, 7):
        polygons = [star(rng, rng.uniform(5, 10, 2), rng.uniform(2, 6)) for _ in range(1 + k % 3)]
        expected[k] = inside(polygons, SHAPE[1:])
        contours += [on_slice(geometry, polygon, k) for polygon in polygons]
    rng.shuffle(contours)
    path = write_contours(tmp_path / "rt.dcm", {"Breast": square_contours(geometry, [0]), "Lesion": contours})
    for wanted in ("Lesion", "2"):
        roi = read_roi(path, geometry, wanted)
        np.testing.assert_array_equal(roi.mask, expected)
        assert roi.warnings == ()
    assert 'choose one with --segment: "Breast" (number 1), "Lesion" (number 2)' in the_fault(path, geometry)


def test_nested_contours_are_holes_and_islands(tmp_path, geometry):
    def ring(half):
        return np.array(
            [(8 - half, 7 - half), (8 + half, 7 - half), (8 + half, 7 + half), (8 - half, 7 + half)]
        )

    rings = [ring(5.5), ring(3.5)[::-1], ring(1.5)]
    path = write_contours(tmp_path / "rt.dcm", {"Rim": [on_slice(geometry, one, 4) for one in rings]})
    i, j = np.meshgrid(np.arange(17), np.arange(14))
    away = np.maximum(abs(i - 8), abs(j - 7))
    expected = np.zeros(SHAPE, bool)
    expected[4] = ((away < 5.5) & (away > 3.5)) | (away < 1.5)
    np.testing.assert_array_equal(read_roi(path, geometry).mask, expected)


def test_a_keyhole_is_a_hole(tmp_path):
    geometry = GEOMETRIES["axial"]
    keyhole = [(2.5, 2.5), (12.5, 2.5), (12.5, 10.5), (2.5, 10.5), (2.5, 6.2)]
    keyhole += [(5.5, 6.2), (5.5, 8.5), (9.5, 8.5), (9.5, 4.5), (5.5, 4.5), (5.5, 6.2), (2.5, 6.2)]
    path = write_contours(tmp_path / "rt.dcm", {"Rim": [on_slice(geometry, np.array(keyhole), 4)]})
    expected = np.zeros(SHAPE, bool)
    expected[4, 3:11, 3:13] = True
    expected[4, 5:9, 6:10] = False
    np.testing.assert_array_equal(read_roi(path, geometry).mask, expected)


def test_contours_through_pixel_centres_share_no_pixel(tmp_path, geometry):
    def box(left, right):
        return np.array([(left, 3), (right, 3), (right, 8), (left, 8)], float)

    rois = {"left": [on_slice(geometry, box(2, 6), 4)], "right": [on_slice(geometry, box(6, 11), 4)]}
    path = write_contours(tmp_path / "rt.dcm", rois)
    left = read_roi(path, geometry, "left").mask
    right = read_roi(path, geometry, "right").mask
    expected = np.zeros(SHAPE, bool)
    expected[4, 3:8, 2:6] = True
    np.testing.assert_array_equal(left, expected)
    assert not (left & right).any()
    assert np.array_equal((left | right)[4, 3:8, 2:11], np.ones((5, 9), bool))


def test_contours_beyond_the_edge_of_the_image(tmp_path, geometry):
    over = np.array([(-3.5, 2.5), (9.5, 2.5), (9.5, 7.5), (-3.5, 7.5)])
    expected = np.zeros(SHAPE, bool)
    expected[0:2, 3:8, 0:10] = True
    contours = [on_slice(geometry, over, k) for k in (-1, 0, 1)]
    path = write_contours(tmp_path / "rt.dcm", {"Lesion": contours})
    np.testing.assert_array_equal(read_roi(path, geometry).mask, expected)
    beside = write_contours(tmp_path / "b.dcm", {"Lesion": square_contours(geometry, [20, 21])})
    assert "lies outside the image" in the_fault(beside, geometry)
    far = write_contours(tmp_path / "c.dcm", {"Lesion": [1e6 * np.array([(0, 0, 1), (1, 0, 1), (1, 1, 1)])]})
    assert "her2vit" not in the_fault(far, geometry)


def test_slices_without_contour_are_warned_of_and_not_filled(tmp_path, geometry):
    path = write_contours(tmp_path / "rt.dcm", {"Lesion": square_contours(geometry, [1, 3, 5])})
    roi = read_roi(path, geometry)
    assert np.flatnonzero(roi.mask.any(axis=(1, 2))).tolist() == [1, 3, 5]
    assert codes(roi) == ["contour_gaps"]
    assert "2 of the 3 slices between the first and the last contour have no contour" in roi.warnings[0].text


def test_contours_off_the_slices_are_refused(tmp_path, geometry):
    half = square_contours(geometry, [2, 3, 3.5])
    told = the_fault(write_contours(tmp_path / "rt.dcm", {"Lesion": half}), geometry)
    assert "ROI 1: 1 of 3 contours do not lie on the image's slices (up to 0.5 slice spacings off)" in told
    assert "give the series that they were drawn on" in told
    across = geometry.to_lps([(3, 5, 2), (9, 5, 2), (9, 5, 6), (3, 5, 6)])
    path = write_contours(tmp_path / "b.dcm", {"Lesion": [across]})
    assert "do not lie on the image's slices" in the_fault(path, geometry)
    near = square_contours(geometry, [2.02, 2.97])
    roi = read_roi(write_contours(tmp_path / "c.dcm", {"Lesion": near}), geometry)
    assert np.flatnonzero(roi.mask.any(axis=(1, 2))).tolist() == [2, 3]


def test_what_is_no_closed_contour(tmp_path):
    geometry = GEOMETRIES["axial"]
    point = ("POINT", geometry.to_lps([(3, 3, 3)]))
    line = ("OPEN_PLANAR", on_slice(geometry, SQUARE, 3))
    rois = {"Marker": [point], "Nothing": [], "Lesion": square_contours(geometry, [3])}
    path = write_contours(tmp_path / "a.dcm", rois)
    assert read_roi(path, geometry).mask.sum() == 30  # the only one drawn
    assert 'has no segment Marker; it has "Lesion" (number 3)' in the_fault(path, geometry, "Marker")
    path = write_contours(tmp_path / "b.dcm", {"Lesion": [*square_contours(geometry, [3]), line]})
    assert "holds contours of type OPEN_PLANAR, which enclose nothing" in the_fault(path, geometry)
    path = write_contours(tmp_path / "c.dcm", {"Marker": [point]})
    assert "holds no closed planar contour" in the_fault(path, geometry)
    tiny = np.array([(3.2, 3.2), (3.6, 3.2), (3.6, 3.6)])
    path = write_contours(tmp_path / "d.dcm", {"Lesion": [on_slice(geometry, tiny, 3)]})
    assert "encloses no voxel's centre" in the_fault(path, geometry)


# Damaged, or made to do harm


def of_frames(change):
    def edit(header):
        for group in header.PerFrameFunctionalGroupsSequence:
            change(group)

    return edit


def of_shared(change):
    return lambda header: change(header.SharedFunctionalGroupsSequence[0])


def without(*names):
    def edit(item):
        for name in names:
            delattr(item, name)

    return edit


def having(**tags):
    def edit(item):
        for name, value in tags.items():
            setattr(item, name, value)

    return edit


def position(k, values):
    return lambda header: setattr(
        header.PerFrameFunctionalGroupsSequence[k],
        "PlanePositionSequence",
        a_group(ImagePositionPatient=values),
    )


SEGMENT_FAULTS = {
    "no groups": (without("PerFrameFunctionalGroupsSequence"), "header is broken"),
    "no position": (of_frames(without("PlanePositionSequence")), "has no position"),
    "no orientation": (of_shared(without("PlaneOrientationSequence")), "has no position, orientation"),
    "no spacing": (of_shared(without("PixelMeasuresSequence")), "has no position, orientation or spacing"),
    "no segment of a frame": (of_frames(without("SegmentIdentificationSequence")), "header is broken"),
    "no segments": (without("SegmentSequence"), "header is broken"),
    "no type": (without("SegmentationType"), "header is broken"),
    "no pixels": (without("PixelData"), "pixels cannot be decoded"),
    "pixels cut off": (
        lambda header: setattr(header, "PixelData", header.PixelData[:20]),
        "cannot be decoded",
    ),
    "frames that are not there": (having(NumberOfFrames=50), "header is broken"),
    "too few frames": (having(NumberOfFrames=1), "header is broken"),
    "huge": (having(Rows=65535, Columns=65535), "header is broken"),
    "large": (having(Rows=20000, Columns=20000), "cannot be decoded"),
    "no rows": (having(Rows=0), "header is broken"),
    "far apart": (position(0, ["0", "0", "1e7"]), ""),
    "nowhere": (position(0, ["nan", "0", "0"]), ""),
    "two numbers": (position(0, ["0", "0"]), ""),
    "twice": (position(0, ["-20", "30", "-34"]), "several frames of a segment at one place"),
    "uneven": (position(0, ["-20", "30", "-36.7"]), "uneven"),
    "shifted": (position(0, ["-19", "30", "-36"]), "shifted"),
    "no length": (
        of_shared(having(PlaneOrientationSequence=a_group(ImageOrientationPatient=[0, 0, 0, 0, 0, 0]))),
        "",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SEGMENT_FAULTS)
def test_damaged_segmentations(tmp_path, name):
    geometry = GEOMETRIES["axial"]
    edit, said = SEGMENT_FAULTS[name]
    path = write_segments(tmp_path / "a.dcm", geometry, frames_of(a_mask(LESION)), edit=edit)
    assert said in the_fault(path, geometry)


def test_a_segment_without_frames_is_empty(tmp_path):
    geometry = GEOMETRIES["axial"]
    path = write_segments(tmp_path / "a.dcm", geometry, frames_of(a_mask(LESION)), ("Lesion", "Not drawn"))
    assert "segment 2 is empty" in the_fault(path, geometry, "Not drawn")


CONTOUR_FAULTS = {
    "not in threes": lambda contour: setattr(contour, "ContourData", contour.ContourData[:-1]),
    "no points": lambda contour: setattr(contour, "ContourData", []),
    "no type": lambda contour: delattr(contour, "ContourGeometricType"),
    "no data": lambda contour: delattr(contour, "ContourData"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CONTOUR_FAULTS)
def test_damaged_contours(tmp_path, name):
    geometry = GEOMETRIES["axial"]

    def edit(header):
        CONTOUR_FAULTS[name](header.ROIContourSequence[0].ContourSequence[1])

    path = write_contours(tmp_path / "a.dcm", {"Lesion": square_contours(geometry, [2, 3, 4])}, edit=edit)
    assert "header is broken" in the_fault(path, geometry)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_outlines_cut_off_or_damaged_anywhere(tmp_path, kind):
    geometry = GEOMETRIES["axial"]
    path = tmp_path / "a.dcm"
    if kind == "seg":
        write_segments(path, geometry, frames_of(a_mask(LESION)))
    else:
        write_contours(path, {"Lesion": square_contours(geometry, [2, 3, 4])})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(120):
        content = bytearray(whole)
        if trial % 2:
            content = content[: rng.integers(132, len(whole) - 2)]
        else:
            for place in rng.integers(132, len(whole), 4):
                content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            assert read_roi(path, geometry).mask.shape == SHAPE
        except InputError as fault:
            assert len(fault.faults) == 1
            refused += 1
    assert refused >= 30


@pytest.mark.filterwarnings("ignore")
def test_deflated_outlines_that_inflate_without_end(tmp_path, monkeypatch):
    geometry = GEOMETRIES["axial"]
    path = write_segments(tmp_path / "a.dcm", geometry, frames_of(a_mask(LESION)))
    header = dcmread(path)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(path)
    assert read_roi(path, geometry).mask.sum() == a_mask(LESION).sum()
    monkeypatch.setattr("HER2ViTLib.dicom.files._MAX_INFLATED", 500)
    assert "deflated content of more than 500 bytes" in the_fault(path, geometry)
    path.write_bytes(path.read_bytes()[:-400])
    monkeypatch.undo()
    assert "header is broken" in the_fault(path, geometry)


def test_an_image_is_no_outline(tmp_path):
    write_slice(tmp_path / "a.dcm", np.ones((8, 6)), (0, 0, 0))
    assert "holds no outline" in the_fault(tmp_path / "a.dcm", GEOMETRIES["axial"])
