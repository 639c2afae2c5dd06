"""Features of an outline: shape and statistics against known answers, the models' features against the
reading.
"""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import stats

from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.preprocessing import SquarePreprocessing
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.reading import Overrides
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.repeatability.feature_table import FEATURES, feature_rows, feature_table
from HER2ViTTrainingLib.repeatability.features import (
    enhancement_features,
    firstorder_features,
    largest_diameter,
    shape_features,
)
from HER2ViTTrainingLib.repeatability.outlines import manifest_outlines
from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from support.csv_files import rows_of
from support.models import a_bundle_folder

ANISOTROPIC = Geometry((40, 90, 90), (0.5, 0.5, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return read_manifest(simulate_cohort(3, 5, PROTOCOLS["A"], tmp_path_factory.mktemp("cohort"), scale=0.25))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [
        a_bundle_folder(folder / "1", "zero-vs-rest", 1),
        a_bundle_folder(folder / "2", "low-vs-positive", 2),
    ]


def an_ellipsoid(geometry, radii_mm):
    """`radii_mm` in the order (i, j, k)."""
    centre = (np.array(geometry.shape) - 1) / 2
    at = [(n - c) * s for n, c, s in zip(np.indices(geometry.shape), centre, geometry.spacing[::-1])]
    return sum((x / r) ** 2 for x, r in zip(at, radii_mm[::-1])) <= 1


def test_shape_of_a_ball_and_an_ellipsoid():
    ball = shape_features(an_ellipsoid(ANISOTROPIC, (12, 12, 12)), ANISOTROPIC)
    assert ball["shape3d_volume"] == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.01)
    assert ball["shape3d_surface"] == pytest.approx(4 * np.pi * 12**2, rel=0.02)
    assert ball["shape3d_sphericity"] == pytest.approx(1, abs=0.02)
    assert ball["shape2d_area"] == pytest.approx(np.pi * 12**2, rel=0.01)
    assert ball["shape2d_perimeter"] == pytest.approx(2 * np.pi * 12, rel=0.03)
    assert ball["shape2d_roundness"] == pytest.approx(1, abs=0.03)
    long = shape_features(an_ellipsoid(ANISOTROPIC, (20, 10, 5)), ANISOTROPIC)
    assert long["shape3d_major_axis"] == pytest.approx(40, rel=0.03)
    assert long["shape3d_middle_axis"] == pytest.approx(20, rel=0.03)
    assert long["shape3d_minor_axis"] == pytest.approx(10, rel=0.05)
    assert (long["shape3d_elongation"], long["shape3d_flatness"]) == (
        pytest.approx(2, rel=0.03),
        pytest.approx(2, rel=0.05),
    )
    assert long["shape3d_maximum_diameter"] == pytest.approx(40, abs=0.6)
    assert long["shape2d_elongation"] == pytest.approx(2, rel=0.03)
    assert (long["shape2d_major_axis"], long["shape2d_minor_axis"]) == (
        pytest.approx(40, rel=0.03),
        pytest.approx(20, rel=0.03),
    )


def test_shape_does_not_depend_on_where_the_lesion_lies():
    mask = an_ellipsoid(ANISOTROPIC, (8, 5, 6))
    first = shape_features(mask, ANISOTROPIC)
    box = np.argwhere(mask).min(axis=0)
    assert shape_features(np.roll(mask, -box, axis=(0, 1, 2)), ANISOTROPIC) == pytest.approx(first)


def test_a_flat_outline_has_no_thickness_to_speak_of():
    mask = np.zeros(ANISOTROPIC.shape, bool)
    mask[7, 10:20, 30:50] = True
    found = shape_features(mask, ANISOTROPIC)
    assert found["shape3d_volume"] == pytest.approx(found["shape2d_area"])
    assert np.isnan(found["shape3d_flatness"])


def feret_diameter(mask, spacing):
    """ITK's, which compares all pairs of voxels on the surface."""
    image = sitk.GetImageFromArray(np.pad(mask, 1).astype(np.uint8))
    image.SetSpacing(spacing)
    measure = sitk.LabelShapeStatisticsImageFilter()
    measure.ComputeFeretDiameterOn()
    measure.Execute(image)
    return measure.GetFeretDiameter(1)


def a_mask(shape, *voxels):
    mask = np.zeros(shape, bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


DEGENERATE = {
    "one voxel": a_mask((1, 1, 1), (0, 0, 0)),
    "two voxels": a_mask((4, 5, 6), (0, 4, 1), (3, 0, 5)),
    "a row": a_mask((3, 4, 9), np.s_[1, 2, 1:8]),
    "a column of slices": a_mask((9, 4, 3), np.s_[2:8, 3, 0]),
    "a diagonal": a_mask((7, 7, 7), (range(7), range(7), range(7))),
    "one slice": a_mask((3, 9, 9), np.s_[1, 2:7, 1:9]),
    "a slanting plane": np.indices((8, 9, 10)).sum(axis=0) == 9,
    "a flat image": a_mask((6, 8), np.s_[2:5, 1:7]),
    "a row of a flat image": a_mask((6, 8), np.s_[2, 1:7]),
    "two parts": a_mask((9, 20, 20), np.s_[1:3, 2:5, 2:6], np.s_[6:8, 15:19, 14:17]),
}


@pytest.mark.parametrize("shape", DEGENERATE)
def test_largest_diameter_of_few_voxels_is_that_of_all_pairs(shape):
    mask = DEGENERATE[shape]
    spacing = (0.6, 0.7, 3.0)[: mask.ndim]
    assert largest_diameter(mask, spacing) == pytest.approx(feret_diameter(mask, spacing), abs=1e-9)


def test_largest_diameter_of_any_shape_is_that_of_all_pairs():
    random = np.random.default_rng(0)
    for density in np.tile([0.03, 0.3, 0.9], 60):
        mask = random.random(random.integers(1, 12, random.choice([2, 3]))) < density
        spacing = random.uniform(0.3, 4, mask.ndim).tolist()
        if mask.any():
            assert largest_diameter(mask, spacing) == pytest.approx(feret_diameter(mask, spacing), abs=1e-9)
    lesion = an_ellipsoid(ANISOTROPIC, (9, 6, 8)) & (random.random(ANISOTROPIC.shape) < 0.7)
    assert largest_diameter(lesion, ANISOTROPIC.spacing) == pytest.approx(
        feret_diameter(lesion, ANISOTROPIC.spacing), abs=1e-9
    )


def test_first_order_statistics_against_scipy():
    values = np.random.default_rng(0).gamma(2.0, 100.0, 5000)
    found = firstorder_features(values)
    assert found["firstorder_skewness"] == pytest.approx(stats.skew(values))
    assert found["firstorder_kurtosis"] == pytest.approx(stats.kurtosis(values))
    counts = np.histogram(values, 32)[0]
    assert found["firstorder_entropy"] == pytest.approx(stats.entropy(counts, base=2))
    assert found["firstorder_interquartile_range"] == pytest.approx(stats.iqr(values))
    even = firstorder_features(np.repeat(np.arange(32.0), 10))
    assert (even["firstorder_entropy"], even["firstorder_uniformity"]) == (
        pytest.approx(5),
        pytest.approx(1 / 32),
    )
    constant = firstorder_features(np.full(10, 7))
    assert np.isnan(constant["firstorder_skewness"])
    assert (constant["firstorder_entropy"], constant["firstorder_uniformity"]) == (0, 1)


def test_enhancement_by_hand():
    pre = np.array([100.0, 100.0])
    early = np.array([200.0, 300.0])
    last = np.array([210.0, 240.0])
    found = enhancement_features(pre, early, last)
    assert found["enhancement_relative"] == pytest.approx(1.5)
    assert found["enhancement_washout"] == pytest.approx(0.1)
    assert found["enhancement_ratio"] == pytest.approx(150 / 125)
    assert found["enhancement_washout_share"] == 0.5
    assert enhancement_features(None, early, None) == {}
    assert set(enhancement_features(None, early, last)) == {
        "enhancement_washout",
        "enhancement_washout_share",
    }


def test_embedding_and_scores_are_those_of_the_reading(cohort, bundles):
    case = cohort.cases[1]
    row = feature_rows(manifest_outlines(cohort), bundles, "cpu")[1]
    study = load_study(case.images)
    reading = Reader([load_bundle(folder) for folder in bundles], "cpu").read(
        study, read_roi(case.roi, study.geometry), Overrides(early_phase=case.early_phase)
    )
    for key in ("task1", "task2"):
        assert row[f"score_{key}"] == pytest.approx(reading.tasks[key].score, abs=1e-5)
    assert {name for name in row if name.startswith("vit1_")} == {
        f"vit1_embedding_{n:03d}" for n in range(48)
    }
    assert set(FEATURES) < set(row)


def test_of_a_model_of_several_slices_the_mean_embedding_and_the_readings_score(cohort, tmp_path):
    preprocessing = SquarePreprocessing(size=(64, 64), slice_count=3)
    bundle = load_bundle(a_bundle_folder(tmp_path / "bundle", preprocessing=preprocessing))
    outline = manifest_outlines(cohort)[1]
    (row,) = feature_rows([outline], [tmp_path / "bundle"], "cpu")
    study = outline.study()
    reader = Reader([bundle], "cpu")
    case = reader.prepare(study, outline.read(study), Overrides(early_phase=outline.early_phase))
    (reading,) = reader.read_prepared([case])
    assert len(reading.tasks["task1"].slices) == 3
    assert row["score_task1"] == pytest.approx(reading.tasks["task1"].score, abs=1e-5)
    images = np.stack([patch.image for patch in case.patches["task1"]])
    tokens = bundle.model.forward_features(
        (torch.from_numpy(images)[:, None].expand(3, 3, 64, 64) - 0.5) / 0.5
    )
    expected = bundle.model.forward_head(tokens, pre_logits=True).detach().numpy().mean(axis=0)
    assert [row[f"vit1_embedding_{n:03d}"] for n in range(48)] == pytest.approx(expected.tolist(), abs=1e-4)


def test_processes_change_nothing(cohort):
    outlines = [
        one
        for rater, column in (("A1", "roi"), ("A2", "roi_a2"), ("B1", "roi_b"))
        for one in manifest_outlines(cohort, column, rater)
    ]
    assert feature_table(outlines, workers=2) == feature_table(outlines, workers=1)


def test_the_command_writes_ratings_and_their_meaning(cohort, bundles, tmp_path, capsys):
    words = [
        "features",
        str(cohort.path),
        "--roi-column",
        "roi_b",
        "--rater",
        "B1",
        "--bundle",
        str(bundles[0]),
        "--device",
        "cpu",
    ]
    assert main([*words, "--out", str(tmp_path)]) == 0
    rows = rows_of(tmp_path / "features.csv")
    assert [(row["case_id"], row["rater"]) for row in rows] == [(case.case_id, "B1") for case in cohort.cases]
    about = json.loads((tmp_path / "features.json").read_text())
    described = set(about["features"])
    assert {
        name for name in rows[0] if name not in ("case_id", "rater") and "embedding" not in name
    } <= described
    assert about["features"]["shape3d_volume"]["unit"] == "mm3"
    assert "Research use only" in about["notice"]
    assert str(cohort.path.parent) not in (tmp_path / "features.json").read_text()


def test_bad_input_gets_one_line(cohort, tmp_path, capsys):
    assert main(["features", str(cohort.path), "--roi-column", "age", "--out", str(tmp_path / "a")]) == 2
    assert "use roi, roi_a2, roi_b" in capsys.readouterr().err
    assert main(["features", str(tmp_path), "--out", str(tmp_path / "a")]) == 2
    assert main(["features", "--session", str(tmp_path), "--out", str(tmp_path / "a")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    with pytest.raises(InputError, match="'roi_c' is empty"):
        header, *lines = cohort.path.read_text().splitlines()
        other = cohort.path.with_name("other.csv")
        other.write_text("\n".join([f"{header},roi_c", *(f"{line}," for line in lines)]))
        manifest_outlines(read_manifest(other), "roi_c")
    assert not (tmp_path / "a").exists()
