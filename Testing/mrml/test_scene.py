"""The MRML room on real MRML nodes (slicer-core), down to the picture that a slice view shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

slicer = pytest.importorskip("slicer", reason='slicer-core is not installed: pip install "her2vit[slicer]"')

from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

import HER2ViTLib
from HER2ViTLib.files.hashes import FILE, InputHash
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, ReadingWarning
from HER2ViTLib.model.attention import AttentionStatistics
from HER2ViTLib.model.preprocessing import SquarePreprocessing, StudyPreprocessing
from HER2ViTLib.mrml import results as mrml
from HER2ViTLib.mrml.geometry import oriented_image, to_array, to_matrix
from HER2ViTLib.mrml.inputs import (
    header_times,
    no_file,
    seed_lps,
    segment_names,
    segment_roi,
    study_from_nodes,
    study_from_sequence,
    volume_from_node,
)
from HER2ViTLib.mrml.scene_file import VIEWS, new_scene, save_scene, write_reading_scene
from HER2ViTLib.mrml.views import orientation_of, plane_of, show_layers, show_patch, slice_to_ras
from HER2ViTLib.reading.reading import Reading, TaskReading
from HER2ViTLib.reading.report import reading_json
from HER2ViTLib.study.loading import load_study
from HER2ViTLib.study.phases import EarlyPhase, choose_phases
from HER2ViTLib.study.study import study_from_volumes
from HER2ViTLib.workflow.phase_order import BY_NAMES, order_warning
from HER2ViTLib.workflow.shown_reading import shown_reading
from support.dicom_writer import private, write_phase

SHAPE = (8, 90, 80)
LESION_INDEX = (43.0, 38.0, 4.0)


def rotation(x_degrees: float, y_degrees: float, z_degrees: float) -> np.ndarray:
    x, y, z = np.radians((x_degrees, y_degrees, z_degrees))
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


SAGITTAL = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
DIRECTIONS = {
    "axial": np.eye(3),
    "flipped rows and slices": np.diag([1.0, -1.0, -1.0]),
    "left-handed": np.diag([-1.0, 1.0, 1.0]),
    "sagittal": SAGITTAL,
    "oblique": rotation(20, -15, 30),
    "oblique sagittal, mirrored": rotation(12, 8, -25) @ SAGITTAL @ np.diag([1.0, 1.0, -1.0]),
}


@pytest.fixture(params=DIRECTIONS, scope="module")
def geometry(request: pytest.FixtureRequest) -> Geometry:
    return Geometry(SHAPE, (0.7, 0.9, 3.5), (-31.0, 17.0, 42.0), tuple(DIRECTIONS[request.param].ravel()))


def lesion_volume(geometry: Geometry) -> Volume:
    """A smooth bright spot, its top on one voxel, in front of a gently sloping background."""
    k, j, i = np.indices(geometry.shape)
    distance2 = (
        ((i - LESION_INDEX[0]) * 0.7) ** 2
        + ((j - LESION_INDEX[1]) * 0.9) ** 2
        + ((k - LESION_INDEX[2]) * 3.5) ** 2
    )
    return Volume((200 + i + 900 * np.exp(-distance2 / 40)).astype(np.int16), geometry)


def lesion_mask(volume: Volume) -> np.ndarray:
    return volume.array > 500


def reading_of(volume: Volume, tasks: tuple[str, ...] = ("task1", "task2"), score: float = 0.6) -> Reading:
    patch = SquarePreprocessing(size=(64, 64)).apply(volume, lesion_mask(volume))
    attention = np.zeros(patch.image.shape, np.float32)
    attention[20:40, 10:50] = 0.4
    attention[30, 44] = 1.0
    statistics = AttentionStatistics(
        method="rollout", entropy=0.5, share_in_roi=0.4, foci=1, focal_area_mm2=12.0
    )
    task = TaskReading(
        score_raw=0.5,
        score=score,
        threshold=0.4,
        prevalence=0.5,
        slice=patch.slice,
        slices=(patch.slice,),
        spread=None,
        area_mm2=patch.area_mm2,
        attention=statistics,
        attention_map=attention,
        patch=patch,
        bundle_sha256="0" * 64,
    )
    return Reading(
        case_id="case-0123",
        slice_axis="k",
        call="low" if len(tasks) == 2 else None,
        probabilities={"zero": 0.4, "low": 0.36, "positive": 0.24} if len(tasks) == 2 else None,
        early_phase=EarlyPhase(0, "given", None, "the only image"),
        tasks={name: task for name in tasks},
        warnings=(),
        device="cpu",
        versions={},
        inputs=(InputHash("image", "0" * 64, FILE),),
        notices=(RESEARCH_NOTICE,),
    )


def world_lps_of_brightest(node: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Where the largest value of a volume node lies, by MRML's own matrix."""
    array = slicer.util.arrayFromVolume(node)
    k, j, i = np.unravel_index(np.argmax(array), array.shape)
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ras = np.array(matrix.MultiplyPoint((i, j, k, 1.0)))[:3]
    return ras * (-1, -1, 1)


def resample(volume: Volume, geometry: Geometry) -> np.ndarray:
    """The volume's voxels at the places of another geometry's."""
    indices = np.stack(np.indices(geometry.shape)[::-1], axis=-1)
    i, j, k = np.moveaxis(np.rint(volume.geometry.to_index(geometry.to_lps(indices))).astype(int), -1, 0)
    return volume.array[k, j, i]


@pytest.fixture
def scene() -> slicer.vtkMRMLScene:
    return new_scene()


# Geometry


def test_volume_node_and_array_agree_on_where_every_voxel_lies(scene, geometry):
    volume = lesion_volume(geometry)
    node = mrml.put_volume(scene, volume, "phase")
    back = study_from_nodes([node]).phases[0].volume
    assert back.geometry.matches(geometry)
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_allclose(world_lps_of_brightest(node), geometry.to_lps(LESION_INDEX), atol=1e-3)


@pytest.mark.parametrize(
    "preprocessing", [SquarePreprocessing(), StudyPreprocessing()], ids=["square", "study"]
)
def test_marked_patch_pixel_comes_back_at_its_patient_position(scene, geometry, preprocessing):
    """Nodes in, patch, nodes out: the spot's place in the patient comes back through MRML within half a patch
    pixel.
    """
    study = study_from_nodes([mrml.put_volume(scene, lesion_volume(geometry), "phase")])
    volume = study.phases[0].volume
    patch = preprocessing.apply(volume, lesion_mask(volume))
    spot_x, spot_y = np.linalg.solve(patch.pixel_to_index, (LESION_INDEX[0], LESION_INDEX[1], 1.0))[:2]
    marked = np.zeros((1, *patch.image.shape), np.float32)
    marked[0, round(spot_y), round(spot_x)] = 1.0
    node = mrml.put_attention(scene, Volume(marked, patch.geometry), "attention")
    off = patch.geometry.to_index(geometry.to_lps(LESION_INDEX)) - patch.geometry.to_index(
        world_lps_of_brightest(node)
    )
    assert np.abs(off).max() <= 0.5 + 1e-3
    # The patch shows the spot at the very pixel that says where it is (grey values of the other preset are
    # not smooth).
    if isinstance(preprocessing, SquarePreprocessing):
        shown_y, shown_x = np.unravel_index(
            np.argmax(patch.image + 1e-3 * (marked[0] > 0)), patch.image.shape
        )
        assert patch.image[round(spot_y), round(spot_x)] == patch.image[shown_y, shown_x]


def test_slice_view_turns_to_the_acquired_plane_with_the_patch_in_the_middle(scene, geometry):
    reading = reading_of(lesion_volume(geometry))
    patch = reading.leading_task.patch.geometry
    view = slicer.vtkMRMLSliceNode()
    view.SetLayoutName("Red")
    scene.AddNode(view)
    view.SetDimensions(400, 300, 1)
    show_patch(view, patch)
    xy_to_ras = to_array(view.GetXYToRAS())
    corners = np.array([[x, y, 0.0, 1.0] for x in (0, 400) for y in (0, 300)])
    on_patch = patch.to_index((corners @ xy_to_ras.T)[:, :3] * (-1, -1, 1))
    np.testing.assert_allclose(on_patch[:, 2], 0.0, atol=1e-3)
    np.testing.assert_allclose(on_patch.mean(axis=0)[:2], (31.5, 31.5), atol=0.5)
    up_in_lps = xy_to_ras[:3, 1] * (-1, -1, 1)
    assert up_in_lps @ (0, -1, 1) > 0, "screen up is anterior or superior"


@pytest.mark.parametrize("normal, right, up", [("axial", "L", "A"), ("sagittal", "P", "S")])
def test_standard_planes_look_as_slicer_shows_them(normal, right, up):
    geometry = Geometry((1, 10, 10), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0), tuple(DIRECTIONS[normal].ravel()))
    lps = {"L": (1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1)}
    axes = slice_to_ras(geometry)[:3, :3] * np.array([[-1], [-1], [1]])
    np.testing.assert_allclose(axes[:, 0], lps[right], atol=1e-9)
    np.testing.assert_allclose(axes[:, 1], lps[up], atol=1e-9)


# Studies and segments from nodes


def test_linear_transforms_move_the_study_and_others_are_refused(scene):
    geometry = Geometry(SHAPE, (0.7, 0.9, 3.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    node = mrml.put_volume(scene, lesion_volume(geometry), "moved")
    segmentation = mrml.put_segment(scene, lesion_mask(lesion_volume(geometry)), geometry, "outline")
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(10, -20, 75)
    matrix[:3, 3] = (5.0, 6.0, 7.0)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "turn")
    transform.SetMatrixTransformToParent(to_matrix(matrix))
    for moved in (node, segmentation):
        moved.SetAndObserveTransformNodeID(transform.GetID())
    study = study_from_nodes([node])
    expected = (matrix @ (*(geometry.to_lps(LESION_INDEX) * (-1, -1, 1)), 1.0))[:3] * (-1, -1, 1)
    np.testing.assert_allclose(study.geometry.to_lps(LESION_INDEX), expected, atol=1e-4)
    roi = segment_roi(segmentation, mrml.LESION, study.geometry)
    np.testing.assert_array_equal(roi.mask, lesion_mask(study.phases[0].volume))
    assert roi.warnings == ()
    segmentation.SetAndObserveTransformNodeID(None)
    matrix[:3, :3] = np.eye(3)
    transform.SetMatrixTransformToParent(to_matrix(matrix))
    apart = segment_roi(segmentation, mrml.LESION, study_from_nodes([node]).geometry)
    assert [warning.code for warning in apart.warnings] == ["outline_resampled"]

    matrix[:3, :3] = [[1.0, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    transform.SetMatrixTransformToParent(to_matrix(matrix))
    with pytest.raises(InputError, match="moved: the voxel axes are not at right angles"):
        study_from_nodes([node])

    bent = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bend")
    bent.SetAndObserveTransformToParent(slicer.vtkOrientedBSplineTransform())
    node.SetAndObserveTransformNodeID(bent.GetID())
    with pytest.raises(InputError, match=r"moved: is under a transform that is not linear \(bend\)"):
        study_from_nodes([node])


def nodes_from_dicom(scene, folder, order=(2, 0, 3, 1), **tags):
    """Four phases in DICOM files, as Slicer loads them: a volume node each, in any order, with the UIDs of
    its images.
    """
    rng = np.random.default_rng(4)
    lesion = np.zeros((5, 24, 20), bool)
    lesion[1:4, 8:15, 6:12] = True
    for n, (level, time) in enumerate(zip((0, 300, 420, 400), ("100000", "100200", "100330", "100500"))):
        array = (rng.integers(100, 140, lesion.shape) + level * lesion).astype(np.uint16)
        scaling = (
            dict(RescaleSlope=str(n + 1.5), RescaleIntercept="-7", edit=private(0x10, 0.25 * (n + 1)), **tags)
            if tags
            else {}
        )
        write_phase(
            folder / str(n),
            array,
            map(str, range(5)),
            AcquisitionTime=time,
            SeriesInstanceUID=f"1.2.{n}",
            **scaling,
        )
    files: dict[str, str] = {}
    nodes = []
    for n in order:
        [volume] = [
            phase.volume for phase in load_study(folder / str(n)).phases
        ]  # Slicer applies the rescaling, and no scale slope
        node = mrml.put_volume(scene, volume, f"5: dyn - acquisitionNumber {n}")
        of_phase = {
            str(pydicom.dcmread(path).SOPInstanceUID): str(path)
            for path in sorted((folder / str(n)).iterdir())
        }
        node.SetAttribute("DICOM.instanceUIDs", " ".join(of_phase))
        files.update(of_phase)
        nodes.append(node)
    return nodes, lambda uid: files.get(uid, "")


@pytest.mark.parametrize("tags", [{}, {"Manufacturer": "Philips"}], ids=["plain", "philips"])
def test_volumes_from_dicom_are_read_as_the_command_reads_their_files(scene, tmp_path, tags):
    nodes, file_of = nodes_from_dicom(scene, tmp_path, **tags)
    told = header_times(nodes, file_of)
    assert told.order == (1, 3, 0, 2)
    study = study_from_nodes([nodes[n] for n in told.order], file_of)
    expected = load_study(tmp_path)
    chosen = choose_phases(study)
    assert chosen == choose_phases(expected)
    assert (chosen.early.rule, chosen.early.time_s) == ("time", 75)
    for phase, other in zip(study.phases, expected.phases):
        np.testing.assert_allclose(phase.volume.array, other.volume.array, rtol=1e-6)
        assert phase.volume.geometry.matches(other.volume.geometry)
        assert phase.start_s == other.start_s


def test_volumes_whose_files_are_not_known_have_no_times(scene, tmp_path):
    nodes, file_of = nodes_from_dicom(scene, tmp_path)
    assert header_times(nodes, no_file) is None
    assert header_times(nodes[:1], file_of) is None
    study = study_from_nodes(nodes, no_file, order_warning(BY_NAMES))
    assert [phase.start_s for phase in study.phases] == [None] * 4
    assert [warning.code for warning in study.warnings] == ["order_without_times"]
    nodes[1].SetAttribute("DICOM.instanceUIDs", None)
    assert header_times(nodes, file_of) is None


def test_sequence_gives_phases_and_times(scene):
    geometry = Geometry((3, 4, 5), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "DCE")
    with pytest.raises(InputError, match="DCE: the sequence is empty"):
        study_from_sequence(sequence)
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("ms")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)
    for number, start in enumerate((0, 90_000, 180_000)):
        node = mrml.put_volume(
            scene, Volume(np.full(geometry.shape, number, np.int16), geometry), f"item{number}"
        )
        sequence.SetDataNodeAtValue(node, str(start))
    study = study_from_sequence(sequence)
    assert [phase.start_s for phase in study.phases] == [0.0, 90.0, 180.0]
    assert [int(phase.volume.array.max()) for phase in study.phases] == [0, 1, 2]
    sequence.SetIndexUnit("")
    assert study_from_sequence(sequence).phases[1].start_s is None
    counted = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "counted")
    for number in range(3):
        counted.SetDataNodeAtValue(sequence.GetNthDataNode(number), str(number))
    assert counted.GetIndexUnit() == "s"
    assert study_from_sequence(counted).phases[1].start_s is None, "a count is no time"


def test_colour_and_empty_volumes_are_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(InputError, match="nothing: the volume is empty"):
        volume_from_node(node)
    image = mrml.vtkImageData()
    image.SetDimensions(2, 2, 2)
    image.AllocateScalars(3, 3)  # unsigned char, three components
    node.SetAndObserveImageData(image)
    with pytest.raises(InputError, match="has 3 values a voxel"):
        volume_from_node(node)


def test_segment_comes_back_on_the_image_and_neighbours_stay_apart(scene, geometry):
    volume = lesion_volume(geometry)
    mask = lesion_mask(volume)
    image = mrml.put_volume(scene, volume, "phase")
    segmentation = mrml.put_segment(scene, mask, geometry, "outline", reference=image)
    other = segmentation.GetSegmentation().AddEmptySegment("other", "Cyst")
    neighbour = segmentation.GetSegmentation().AddEmptySegment("neighbour", "Vessel")
    beside = np.zeros_like(mask)
    beside[2, 5:9, 5:9] = True
    slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(
        oriented_image(beside, geometry),
        segmentation,
        neighbour,
        slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE,
    )
    segmentation.GetSegmentation().CollapseBinaryLabelmaps()
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1, "both segments live in one label map"
    np.testing.assert_array_equal(segment_roi(segmentation, neighbour, geometry).mask, beside)
    outside = Volume(
        np.ones((2, 3, 3), np.uint8),
        Geometry((2, 3, 3), (1.0, 1.0, 1.0), (500.0, 500.0, 500.0), tuple(np.eye(3).ravel())),
    )
    roi = segment_roi(segmentation, mrml.LESION, geometry)
    np.testing.assert_array_equal(roi.mask, mask)
    assert roi.warnings == ()
    with pytest.raises(InputError, match="segment Cyst: is empty"):
        segment_roi(segmentation, other, geometry)
    far = mrml.put_segment(scene, outside.array > 0, outside.geometry, "elsewhere")
    with pytest.raises(InputError, match="outside the image"):
        segment_roi(far, mrml.LESION, geometry)
    with pytest.raises(InputError, match="has no segment 'Tumour'; choose one of Lesion"):
        segment_roi(far, "Tumour", geometry)
    assert segment_names(segmentation) == {"Lesion": "Lesion", "other": "Cyst", "neighbour": "Vessel"}


def test_outline_is_replaced_in_the_same_node(scene, geometry):
    mask = lesion_mask(lesion_volume(geometry))
    node = mrml.put_segment(scene, mask, geometry, "outline")
    smaller = mask.copy()
    smaller[:, : int(LESION_INDEX[1])] = False
    assert mrml.put_segment(scene, smaller, geometry, "outline", node) is node
    np.testing.assert_array_equal(segment_roi(node, mrml.LESION, geometry).mask, smaller)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


def test_seed_is_the_last_point_in_patient_coordinates(scene):
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "seed")
    with pytest.raises(InputError, match="seed: has no point"):
        seed_lps(points)
    points.AddControlPoint(1.0, 2.0, 3.0)
    points.AddControlPoint(10.0, -20.0, 30.0)
    assert seed_lps(points) == (-10.0, 20.0, 30.0)


# Results


def test_a_second_reading_fills_the_nodes_of_the_first(scene, geometry):
    volume = lesion_volume(geometry)
    mrml.put_volume(scene, volume, "phase")
    first = mrml.put_reading(scene, reading_of(volume))
    count = scene.GetNumberOfNodes()
    first.task1.GetDisplayNode().SetWindowLevelMinMax(0.2, 0.8)
    second = mrml.put_reading(scene, reading_of(volume, score=0.9), first)
    assert scene.GetNumberOfNodes() == count
    assert second == first
    assert first.task1.GetDisplayNode().GetWindowLevelMin() == pytest.approx(0.2), (
        "the user's display settings are kept"
    )
    assert any("0.900" in second.table.GetCellText(row, 1) for row in range(second.table.GetNumberOfRows()))
    only_task1 = mrml.put_reading(scene, reading_of(volume, ("task1",)), second)
    assert only_task1.task2 is None
    assert scene.GetFirstNodeByName("Attention low-vs-positive") is None
    only_task3 = mrml.put_reading(scene, reading_of(volume, ("task3",)), only_task1)
    assert only_task3.task1 is None
    assert scene.GetFirstNodeByName("Attention positive-vs-negative") is only_task3.task3


def test_the_reading_itself_is_saved_with_its_table(scene, tmp_path):
    """Down to the characters that XML and MRML's own attributes give a meaning to."""
    awkward = 'an "odd" <text>; 50 % & more: %3B, naïve\nnext'
    plain = reading_of(
        lesion_volume(Geometry(SHAPE, (0.7, 0.9, 3.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel())))
    )
    reading = replace(plain, warnings=(ReadingWarning("multifocal", awkward),))
    table = mrml.put_reading(scene, reading).table
    path = tmp_path / "scene.mrb"
    save_scene(scene, path)
    with zipfile.ZipFile(path) as bundle:
        bundle.extractall(tmp_path)
    reloaded = new_scene()
    reloaded.SetURL(str(tmp_path / "scene" / "scene.mrml"))
    assert reloaded.Import(None)
    text = mrml.reading_text(reloaded.GetFirstNodeByName("HER2 reading"))
    assert json.loads(text) == reading_json(reading)
    shown = shown_reading(text)
    assert shown == shown_reading(mrml.reading_text(table))
    assert (shown.call, shown.remarks) == ("low", (awkward, RESEARCH_NOTICE))


def test_a_table_of_an_earlier_version_carries_no_reading(scene):
    table = mrml.put_table(scene, [("HER2 call", "low")], "HER2 reading")
    assert mrml.reading_text(table) is None
    assert mrml.reading_text(None) is None


def test_a_small_bright_lesion_is_no_white_patch(scene):
    array = np.random.default_rng(0).normal(100, 10, (40, 60, 60)).astype(np.float32)
    array[20, 30:36, 30:36] = np.linspace(300, 500, 36).reshape(6, 6)
    node = mrml.put_volume(
        scene, Volume(array, Geometry(array.shape, (1, 1, 1), (0, 0, 0), tuple(np.eye(3).ravel()))), "Image"
    )
    mrml.show_whole_range(node)
    display = node.GetDisplayNode()
    assert 60 < display.GetWindowLevelMin() < 90
    assert 400 < display.GetWindowLevelMax() <= 500


def test_an_attention_map_leaves_the_image_alone_below_its_threshold(scene, geometry):
    node = mrml.put_attention(scene, lesion_volume(geometry), "Attention")
    mrml.show_attention_from(node, 0.4)
    display = node.GetDisplayNode()
    assert display.GetApplyThreshold()
    assert (display.GetLowerThreshold(), display.GetUpperThreshold()) == (pytest.approx(0.4), 1)


def test_attention_colours_leave_zero_transparent(scene, geometry):
    nodes = mrml.put_reading(scene, reading_of(lesion_volume(geometry)))
    display = nodes.task2.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
    colors = display.GetColorNode()
    assert colors is nodes.task1.GetDisplayNode().GetColorNode()
    assert rgba_of(colors, 0)[3] == 0.0
    assert rgba_of(colors, 255)[3] == 1.0


def rgba_of(colors, entry):
    rgba = np.zeros(4)
    colors.GetColor(entry, rgba)
    return rgba


def test_scene_file_holds_the_reading_and_tells_nothing_else(geometry, tmp_path):
    volume = lesion_volume(geometry)
    reading = reading_of(volume)
    study = study_from_volumes([volume])
    path = tmp_path / "scene.mrb"
    write_reading_scene(reading, study, lesion_mask(volume), path)
    assert [file.name for file in tmp_path.iterdir()] == ["scene.mrb"], "no temporary file is left"
    with zipfile.ZipFile(path) as bundle:
        written = bundle.read("scene/scene.mrml").decode()
        assert str(tmp_path) not in written
        assert '<MRML version="Slicer 5.12.0 0"' in written, "another application's name makes Slicer warn"
        bundle.extractall(tmp_path / "unpacked")
    scene = new_scene()
    scene.SetURL(str(tmp_path / "unpacked" / "scene" / "scene.mrml"))
    assert scene.Import(None)
    image = scene.GetFirstNodeByName("Early phase")
    attention = scene.GetFirstNodeByName("Attention low-vs-positive")
    back = study_from_nodes([image])
    # Slicer may store the slices of a mirrored volume the other way round; in the patient everything lies
    # where it was.
    np.testing.assert_array_equal(resample(back.phases[0].volume, geometry), volume.array)
    np.testing.assert_array_equal(
        segment_roi(scene.GetFirstNodeByName("Outline"), mrml.LESION, geometry).mask, lesion_mask(volume)
    )
    map_volume = reading.tasks["task2"].attention_volume
    np.testing.assert_array_equal(
        resample(volume_from_node(attention), map_volume.geometry), map_volume.array
    )
    colors = attention.GetDisplayNode().GetColorNode()
    assert colors.GetNumberOfColors() == 256
    for entry in (0, 12, 13, 255):
        np.testing.assert_allclose(rgba_of(colors, entry), rgba_of(mrml.attention_colors(new_scene()), entry))
    assert scene.GetFirstNodeByName("HER2 reading").GetCellText(0, 1) == "case-0123"
    patch = reading.leading_task.patch.geometry
    middle = slice_to_ras(patch)[:3, 3]
    for name, orientation in VIEWS.items():
        view = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
        told = (view.GetLayoutName(), view.GetLayoutLabel(), view.GetDefaultOrientation())
        assert told == (name, name[0], orientation)
        layers = scene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")
        assert layers.GetBackgroundVolumeID() == image.GetID()
        if orientation == plane_of(patch):
            np.testing.assert_allclose(to_array(view.GetSliceToRAS()), slice_to_ras(patch), atol=1e-3)
            assert layers.GetForegroundVolumeID() == attention.GetID()
        else:
            assert (view.GetOrientation(), orientation_of(view)) == (orientation, orientation)
            np.testing.assert_allclose(to_array(view.GetSliceToRAS())[:3, 3], middle, atol=1e-3)
            assert not layers.GetForegroundVolumeID()


def test_without_slicer_core_one_line_says_what_to_install(tmp_path):
    blocked = tmp_path / "slicer"
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise ModuleNotFoundError('slicer')\n")
    library = Path(HER2ViTLib.__file__).parent.parent
    program = (
        "import HER2ViTLib.messages as m\ntry:\n    import HER2ViTLib.mrml.results\nexcept m.InputError as"
        " fault:\n    raise SystemExit(str(fault))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{library}"},
        capture_output=True,
        text=True,
    )
    assert (
        done.stderr.strip()
        == 'scenes need slicer-core, which is not installed: pip install "her2vit[slicer]"'
    )


# The picture


def offscreen_drawing_works() -> bool:
    """Tried in a process of its own: half a set of OpenGL libraries makes VTK crash."""
    program = (
        "import vtkmodules.vtkRenderingOpenGL2\n"
        "from vtkmodules.vtkRenderingCore import vtkRenderWindow\n"
        "window = vtkRenderWindow()\nwindow.SetOffScreenRendering(1)\nwindow.Render()\n"
        "raise SystemExit('OpenGL' not in window.ReportCapabilities())"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def slice_view() -> SimpleNamespace:
    """A real slice view that draws offscreen (EGL or OSMesa)."""
    pytest.importorskip(
        "trame_slicer", reason='trame-slicer is not installed: pip install "trame-slicer[standalone]"'
    )
    if not offscreen_drawing_works():
        pytest.skip("no offscreen OpenGL here; on Debian: apt-get install libegl1 libgl1-mesa-dri")
    from trame_slicer.core.slicer_app import SlicerApp
    from trame_slicer.views.slice_view import SliceView

    app = SlicerApp()
    view = SliceView(app.scene, app.app_logic, "Red")
    window = view.render_window()
    window.SetSize(500, 400)
    view.render()
    logic = next(
        logic for logic in app.app_logic.GetSliceLogics() if logic.GetSliceNode().GetLayoutName() == "Red"
    )
    logic.ResizeSliceNode(500, 400)
    return SimpleNamespace(
        app=app, scene=app.scene, view=view, node=logic.GetSliceNode(), layers=logic.GetSliceCompositeNode()
    )


def picture(slice_view: SimpleNamespace, path: Path) -> np.ndarray:
    """The view as (row, column, RGB) with row 0 at the bottom, as view coordinates run; written to `path` for
    people to look at.
    """
    from vtkmodules.vtkIOImage import vtkPNGWriter
    from vtkmodules.vtkRenderingCore import vtkWindowToImageFilter

    slice_view.view.render()
    grab = vtkWindowToImageFilter()
    grab.SetInput(slice_view.view.render_window())
    grab.ReadFrontBufferOff()
    grab.Update()
    writer = vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(grab.GetOutputPort())
    writer.Write()
    width, height, _ = grab.GetOutput().GetDimensions()
    return (
        vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
        .reshape(height, width, -1)[..., :3]
        .astype(int)
    )


def test_slice_view_draws_the_attention_where_it_lies_in_the_patient(slice_view, geometry, tmp_path):
    scene = slice_view.scene
    volume = lesion_volume(geometry)
    reading = reading_of(volume)
    image = mrml.put_volume(scene, volume, "Early phase")
    outline = mrml.put_segment(scene, lesion_mask(volume), geometry, "Outline", reference=image)
    nodes = mrml.put_reading(scene, reading)
    patch = reading.leading_task.patch
    try:
        show_patch(slice_view.node, patch.geometry)
        show_layers(slice_view.layers, image, None, 0.0)
        outline.GetDisplayNode().SetVisibility(False)
        plain = picture(slice_view, tmp_path / "plain.png")
        show_layers(slice_view.layers, image, nodes.task2, 1.0)
        overlay = picture(slice_view, tmp_path / "overlay.png")
        show_layers(slice_view.layers, image, nodes.task2, 0.5)
        outline.GetDisplayNode().SetVisibility(True)
        picture(slice_view, tmp_path / "reading.png")
    finally:
        for node in (image, outline, nodes.table, nodes.task1, nodes.task2):
            scene.RemoveNode(node)

    ras_to_xy = np.linalg.inv(to_array(slice_view.node.GetXYToRAS()))

    def on_screen(lps: np.ndarray) -> np.ndarray:
        return (ras_to_xy @ (*(lps * (-1, -1, 1)), 1.0))[:2]

    pixels_per_patch_pixel = 400 / 3 / 64
    hottest_y, hottest_x = np.unravel_index(np.argmax(overlay @ (1, 1, 0)), overlay.shape[:2])
    marked = on_screen(patch.geometry.to_lps((44.0, 30.0, 0.0)))
    assert np.hypot(*(marked - (hottest_x, hottest_y))) <= pixels_per_patch_pixel
    spot_y, spot_x = np.array(np.nonzero(plain.sum(axis=2) == plain.sum(axis=2).max())).mean(axis=1)
    assert np.hypot(*(on_screen(geometry.to_lps(LESION_INDEX)) - (spot_x, spot_y))) <= pixels_per_patch_pixel
    changed = np.abs(overlay - plain).sum(axis=2) > 0
    rows, columns = np.nonzero(changed)
    corners = np.array(
        [on_screen(patch.geometry.to_lps((x, y, 0.0))) for x in (9.5, 49.5) for y in (19.5, 39.5)]
    )
    found = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
    np.testing.assert_allclose(
        found, [corners.min(axis=0), corners.max(axis=0)], atol=1.5 * pixels_per_patch_pixel
    )
    assert not changed[tuple(np.array(on_screen(patch.geometry.to_lps((3.0, 3.0, 0.0))), int)[::-1])], (
        "zero attention is transparent"
    )
