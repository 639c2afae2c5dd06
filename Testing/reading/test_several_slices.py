"""A reading of several slices: the mean of their logits, their spread, whose map is shown, what is said."""

import math
from dataclasses import replace

import numpy as np
import pytest

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.attention import METHODS
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.preprocessing import SquarePreprocessing, StudyPreprocessing
from HER2ViTLib.reading.folder import write_reading
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.reading import Overrides
from HER2ViTLib.reading.report import reading_json, report_html, table_text
from HER2ViTLib.study.study import study_from_volumes
from support.models import a_bundle_folder
from support.studies import codes

GEOMETRY = Geometry((9, 48, 52), (0.9, 0.9, 3.0), (5.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
LARGEST = 4


def a_lesion(*slices):
    """An outline on slices 2 to 6, or on those given; largest on slice 4."""
    k, j, i = np.indices(GEOMETRY.shape)
    mask = ((k - LARGEST) / 2.5) ** 2 + ((j - 24) / 11) ** 2 + ((i - 26) / 9) ** 2 <= 1
    if slices:
        mask[[k for k in range(len(mask)) if k not in slices]] = False
    return mask


def a_study(seed=0):
    noise = np.random.default_rng(seed)
    return study_from_volumes(
        [
            Volume((noise.gamma(4, 25, GEOMETRY.shape) + level * a_lesion()).astype(np.float32), GEOMETRY)
            for level in (0, 120)
        ]
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [
        load_bundle(a_bundle_folder(folder / "task1", "zero-vs-rest", 1, training_percentiles={})),
        load_bundle(a_bundle_folder(folder / "task2", "low-vs-positive", 2, training_percentiles={})),
    ]


def with_settings(bundle, **changes):
    return replace(bundle, settings=replace(bundle.settings, **changes))


def reading_slices(bundle, count):
    preprocessing = replace(bundle.settings.preprocessing, slice_count=count)
    return with_settings(bundle, preprocessing=preprocessing)


def read(bundles, mask=None, slice_index=None, **reader_options):
    reader = Reader(bundles, "cpu", **reader_options)
    return reader.read(
        a_study(), Roi(a_lesion() if mask is None else mask), Overrides(slice_index=slice_index)
    )


def logit_of(task):
    return math.log(task.score_raw / (1 - task.score_raw))


@pytest.mark.parametrize("preset", [SquarePreprocessing, StudyPreprocessing])
@pytest.mark.parametrize(("given", "slices"), [(None, (3, 4, 5)), (5, (4, 5, 6)), (6, (4, 5, 6))])
def test_score_and_spread_are_those_of_the_slices_read_one_by_one(bundles, preset, given, slices):
    bundles = [with_settings(bundle, preprocessing=preset(size=(64, 64))) for bundle in bundles]
    together = read([reading_slices(bundle, 3) for bundle in bundles], slice_index=given)
    alone = [read(bundles, slice_index=index) for index in slices]
    for key, bundle in zip(("task1", "task2"), bundles):
        task = together.tasks[key]
        logits = [logit_of(one.tasks[key]) for one in alone]
        assert np.ptp(logits) > 0.01
        assert task.slices == slices
        assert task.slice == (given or LARGEST)
        assert logit_of(task) == pytest.approx(np.mean(logits), abs=1e-5)
        assert task.score == pytest.approx(bundle.settings.calibration.score(np.mean(logits)), abs=1e-6)
        assert task.spread == pytest.approx(np.std(logits, ddof=1), abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_map_is_that_of_the_leading_slice(bundles, method):
    alone = read(bundles[:1], slice_index=5, method=method).tasks["task1"]
    task = read([reading_slices(bundles[0], 4)], slice_index=5, method=method).tasks["task1"]
    sides = {logit_of(one) >= cutoff_of(bundles[0]) for one in (alone, task)}
    assert len(sides) == 1  # else "gradient" would rightly explain another one
    assert (task.slice, task.area_mm2, task.slices) == (5, alone.area_mm2, (3, 4, 5, 6))
    assert np.array_equal(task.patch.image, alone.patch.image)
    assert np.abs(task.attention_map - alone.attention_map).max() < 1e-4
    assert task.attention.entropy == pytest.approx(alone.attention.entropy, abs=1e-5)


def cutoff_of(bundle):
    return bundle.settings.calibration.logit_of(bundle.settings.threshold)


def test_gradient_explains_the_side_of_the_case_not_of_the_slice(bundles):
    plain = with_settings(bundles[0], calibration=Calibration())

    def map_of(count, logit_of_threshold):
        threshold = 1 / (1 + math.exp(-logit_of_threshold))
        bundle = with_settings(reading_slices(plain, count), threshold=threshold)
        return read([bundle], method="gradient").tasks["task1"].attention_map

    leading = logit_of(read([plain]).tasks["task1"])
    mean = logit_of(read([reading_slices(plain, 5)]).tasks["task1"])
    assert abs(leading - mean) > 0.01
    reached = map_of(1, leading - 1)
    missed = map_of(1, leading + 1)
    assert np.abs(reached - missed).max() > 0.1
    between = (leading + mean) / 2  # the slice alone and the case fall on different sides of it
    of_slice, of_case = (reached, missed) if leading >= between else (missed, reached)
    assert np.abs(map_of(1, between) - of_slice).max() < 1e-5
    assert np.abs(map_of(5, between) - of_case).max() < 1e-4


def test_without_the_option_each_bundle_reads_its_own_number(bundles):
    reading = read([bundles[0], reading_slices(bundles[1], 3)])
    assert codes(reading) == []
    assert reading.tasks["task1"].slices == (LARGEST,)
    assert reading.tasks["task1"].spread is None
    assert reading.tasks["task2"].slices == (3, 4, 5)
    assert reading_json(reading)["tasks"]["task1"] == reading_json(read(bundles))["tasks"]["task1"]


def test_another_number_than_the_bundles_is_warned_of(bundles):
    reading = read([bundles[0], reading_slices(bundles[1], 3)], slice_count=3)
    (warning,) = reading.warnings
    assert warning.code == "slice_count"
    assert warning.text == (
        "task1: up to 3 slices were read, the bundle was made for 1; calibration and threshold are the"
        " bundle's own, for 1"
    )
    assert {task.slices for task in reading.tasks.values()} == {(3, 4, 5)}
    back = read([reading_slices(bundle, 3) for bundle in bundles], slice_count=1)
    assert codes(back) == ["slice_count"] * 2
    assert reading_json(back)["tasks"] == reading_json(read(bundles))["tasks"]


def test_a_lesion_of_fewer_slices_is_read_on_those(bundles):
    task = read(bundles, a_lesion(4, 5), slice_count=5).tasks["task1"]
    assert task.slices == (4, 5)
    assert task.spread > 0
    one = read(bundles, a_lesion(4), slice_count=5)
    assert (one.tasks["task1"].slices, one.tasks["task1"].spread) == ((4,), None)
    assert "spread" not in str(reading_json(one)["tasks"]) + table_text(one)


def test_cases_of_different_numbers_of_slices_keep_their_own(bundles):
    reader = Reader([reading_slices(bundle, 5) for bundle in bundles], "cpu", "gradient")
    outlines = [a_lesion(4), a_lesion(), a_lesion(2, 5, 6), a_lesion(3)]
    cases = [reader.prepare(a_study(seed), Roi(mask)) for seed, mask in enumerate(outlines)]
    together = reader.read_prepared(cases)
    for case, reading in zip(cases, together, strict=True):
        (alone,) = reader.read_prepared([case])
        for key, task in alone.tasks.items():
            found = reading.tasks[key]
            assert (found.slice, found.slices) == (task.slice, task.slices)
            assert found.score == pytest.approx(task.score, abs=1e-5)
            assert found.spread == pytest.approx(task.spread, abs=1e-5)
            assert np.abs(found.attention_map - task.attention_map).max() < 1e-4


@pytest.mark.parametrize("count", [0, 65])
def test_a_number_out_of_range_is_refused(bundles, count):
    with pytest.raises(InputError) as error:
        Reader(bundles, "cpu", slice_count=count)
    assert error.value.faults == (f"slice_count is {count}; it must be a whole number from 1 to 64",)


def test_what_is_written_names_slices_and_spread_in_words(bundles, tmp_path):
    reading = read([reading_slices(bundle, 3) for bundle in bundles])
    task = reading.tasks["task2"]
    stored = reading_json(reading)["tasks"]["task2"]
    assert (stored["slice"], stored["slices"], stored["spread"]) == (4, [3, 4, 5], task.spread)
    page = report_html(reading).decode()
    for text in (page, table_text(reading)):
        assert "spread over slices" in text
        assert f"{task.spread:.3f} (SD of the logits; no confidence)" in text
        assert "3, 4, 5; scored by the mean of their logits, attention is of slice 4" in text
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_reading(reading, a_study(), a_lesion(), folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
