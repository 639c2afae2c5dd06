"""Semi-automatic outlines: they hold to the lesion and to the box, on any geometry; overlap and surface
distances.
"""

import numpy as np
import pytest

from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.measures import areas_mm2, dice, surface_distances
from HER2ViTLib.lesion.outlining import outline
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.simulation.case_key import CaseKey
from HER2ViTTrainingLib.simulation.images import simulate_case
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS

SHAPE = (30, 72, 76)
STRAIGHT = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
TILTED = tuple(np.linalg.qr(np.array([[0.9, 0.3, -0.2], [-0.25, 0.9, 0.3], [0.3, -0.2, 0.9]]))[0].ravel())
CENTRE = (15, 34, 36)


def a_geometry(direction=STRAIGHT, spacing=(1.0, 1.0, 2.0), shape=SHAPE):
    return Geometry(shape, spacing, (20.0, -30.0, 40.0), direction)


def ball(geometry, centre, radius_mm):
    k, j, i = (np.arange(n) for n in geometry.shape)
    x, y, z = ((axis - at) * step for axis, at, step in zip((i, j, k), centre[::-1], geometry.spacing))
    return z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius_mm**2


def phases(geometry, *parts, noise=8.0):
    """Pre-contrast and early phase: noise on 100, and on top of it (mask, enhancement) parts, later ones over
    earlier ones.
    """
    rng = np.random.default_rng(0)
    added = np.zeros(geometry.shape)
    for mask, enhancement in parts:
        added[mask] = enhancement
    pre = rng.normal(100, noise, geometry.shape)
    early = rng.normal(100, noise, geometry.shape) + added
    return Volume(early.astype(np.float32), geometry), Volume(pre.astype(np.float32), geometry)


def seed_at(geometry, kji=CENTRE):
    return geometry.to_lps(kji[::-1])


@pytest.mark.parametrize(
    ("direction", "spacing"),
    [
        (STRAIGHT, (1.0, 1.0, 2.0)),
        (TILTED, (0.8, 1.1, 2.4)),
        ((-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0), (1.0, 1.0, 1.0)),
    ],
)
def test_a_plain_lesion_on_any_geometry(direction, spacing):
    geometry = a_geometry(direction, spacing)
    lesion = ball(geometry, CENTRE, 10)
    early, pre = phases(geometry, (lesion, 300))
    found = outline(early, pre, seed_at(geometry, (16, 36, 34)))
    assert dice(found, lesion) > 0.93
    assert np.array_equal(found, outline(early, pre, seed_at(geometry, (16, 36, 34))))


def test_no_leak_into_vessel_skin_and_chest_wall():
    geometry = a_geometry()
    lesion = ball(geometry, CENTRE, 9)
    k, j, i = np.indices(geometry.shape)
    vessel = ((j == 34) | (j == 35)) & (k == 15) & (i > 36)  # 2 mm wide, as bright as the lesion
    skin = j < 4
    chest_wall = j > 62
    early, pre = phases(geometry, (chest_wall, 160), (skin, 200), (vessel, 300), (lesion, 300))
    found = outline(early, pre, seed_at(geometry))
    assert dice(found, lesion) > 0.88
    assert not (found & (skin | chest_wall)).any()
    assert np.count_nonzero(found & vessel & ~lesion) <= 8


def test_a_seed_in_a_dark_core_finds_the_rim_and_fills_it():
    geometry = a_geometry(spacing=(1.0, 1.0, 1.5))
    lesion = ball(geometry, CENTRE, 12)
    core = ball(geometry, CENTRE, 6)
    early, pre = phases(geometry, (lesion, 300), (core, 10))
    found = outline(early, pre, seed_at(geometry))
    assert dice(found, lesion) > 0.9
    assert (found & core).sum() > 0.9 * core.sum()


def test_the_outline_stays_in_the_box():
    geometry = a_geometry(TILTED)
    lesion = ball(geometry, CENTRE, 12)
    early, pre = phases(geometry, (lesion, 300))
    seed = np.array(seed_at(geometry))
    corners = seed - 6, seed + 6
    k, j, i = np.nonzero(outline(early, pre, seed, corners))
    points = geometry.to_lps(np.stack([i, j, k], axis=1))
    assert len(points) > 100
    assert np.abs(points - seed).max() <= 6
    with pytest.raises(InputError, match="outside the box"):
        outline(early, pre, seed + 20, corners)


def test_without_a_pre_contrast_phase_and_with_one_slice():
    geometry = a_geometry()
    lesion = ball(geometry, CENTRE, 9)
    early, _ = phases(geometry, (lesion, 400))
    assert dice(outline(early, None, seed_at(geometry)), lesion) > 0.9
    flat = a_geometry(shape=(1, 72, 76))
    disc = ball(flat, (0, 34, 36), 9)
    early, pre = phases(flat, (disc, 300))
    assert dice(outline(early, pre, seed_at(flat, (0, 34, 36))), disc) > 0.9


def test_seeds_that_hit_nothing_are_told():
    geometry = a_geometry()
    early, pre = phases(geometry, (ball(geometry, CENTRE, 6), 300))
    with pytest.raises(InputError, match="outside the image"):
        outline(early, pre, (500.0, 0.0, 0.0))
    with pytest.raises(InputError, match="nothing enhances there"):
        outline(early, pre, seed_at(geometry, (4, 66, 70)))
    with pytest.raises(InputError, match="nothing enhances there"):
        outline(early, early, seed_at(geometry))


def test_the_real_lesion_from_seeds_all_over_it(shared_data):
    folder = shared_data / "breast_dce"
    pre, early, given = (
        read_volume(folder / f"{name}.nii.gz") for name in ("pre", "post1", "tumor_pseudo_mask")
    )
    lesion = given.array > 0
    voxels = np.argwhere(lesion)
    for voxel in np.random.default_rng(1).choice(voxels, 4):
        found = outline(early, pre, early.geometry.to_lps(voxel[::-1]))
        assert dice(found, lesion) >= 0.85
        assert np.count_nonzero(found) < 1.3 * np.count_nonzero(lesion)  # no leak


def test_simulated_lesions_from_random_seeds():
    """Cases at full size, the protocols in turn."""
    found = []
    for index in range(20):
        protocol = PROTOCOLS["AB"[index % 2]]
        case = simulate_case(CaseKey(protocol.name, 77, index), protocol, phases=(0, protocol.early_phase))
        pre, early = case.phases
        voxels = np.argwhere(case.true_mask)
        seed = voxels[np.random.default_rng(index).integers(len(voxels))][::-1]
        found.append(dice(outline(early, pre, early.geometry.to_lps(seed)), case.true_mask))
    assert np.median(found) >= 0.85
    assert min(found) >= 0.6


def test_areas_overlap_and_surface_distances_by_hand():
    geometry = a_geometry(spacing=(0.5, 1.0, 2.0), shape=(12, 20, 20))
    a, b = np.zeros((2, 12, 20, 20), bool)
    a[2:6, 5:10, 4:14] = True
    b[4:8, 5:10, 4:14] = True  # two slices further: 4 mm
    assert areas_mm2(a, geometry).tolist() == [0, 0, 25, 25, 25, 25, 0, 0, 0, 0, 0, 0]
    assert dice(a, b) == pytest.approx(0.5)
    assert dice(a, a) == 1
    same = surface_distances(a, a, geometry)
    assert (same.mean, same.hausdorff95) == (0, 0)
    apart = surface_distances(a, b, geometry)
    assert apart.hausdorff95 == pytest.approx(4)
    assert 0 < apart.mean < 4
    empty = np.zeros_like(a)
    assert dice(empty, empty) == 1
    assert surface_distances(empty, empty, geometry).mean == 0
    assert surface_distances(a, empty, geometry).hausdorff95 == np.inf
