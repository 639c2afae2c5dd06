"""The reading: one slice choice per task, the two-step call, warnings, devices, one task alone."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import Roi, read_roi, roi_on, write_segmentation
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.attention import METHODS
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.preprocessing import StudyPreprocessing
from HER2ViTLib.reading.checks import unlike_training
from HER2ViTLib.reading.folder import write_reading
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.reading import Overrides
from HER2ViTLib.reading.report import reading_json, report_html
from HER2ViTLib.study.study import study_from_volumes
from support.models import NEEDS_GPU, a_bundle_folder

GEOMETRY = Geometry((8, 60, 64), (0.9, 0.9, 3.0), (5.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def a_lesion():
    k, j, i = np.indices(GEOMETRY.shape)
    return ((k - 4) / 2.5) ** 2 + ((j - 30) / 9) ** 2 + ((i - 32) / 8) ** 2 <= 1


def a_study(levels=(100, 220, 260, 240)):
    noise = np.random.default_rng(0)
    return study_from_volumes(
        [
            Volume(
                (noise.normal(100, 10, GEOMETRY.shape) + (level - 100) * a_lesion()).astype(np.float32),
                GEOMETRY,
            )
            for level in levels
        ]
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return [
        load_bundle(a_bundle_folder(folder / "task1", "zero-vs-rest", 1)),
        load_bundle(
            a_bundle_folder(folder / "task2", "low-vs-positive", 2, notice="trained on simulated images")
        ),
    ]


def with_settings(bundle, **changes):
    return replace(bundle, settings=replace(bundle.settings, **changes))


def read(bundles, study=None, roi=None, overrides=None, **reader_options):
    reader = Reader(bundles, **{"device": "cpu", **reader_options})
    return reader.read(study or a_study(), Roi(a_lesion() if roi is None else roi), overrides or Overrides())


def codes(reading):
    return [warning.code for warning in reading.warnings]


def test_the_whole_reading(bundles):
    reading = read(bundles)
    task1 = reading.tasks["task1"]
    task2 = reading.tasks["task2"]
    assert reading.early_phase.index == 2
    assert reading.early_phase.rule == "enhancement"
    assert (task1.slice, task1.area_mm2) == (4, pytest.approx(a_lesion()[4].sum() * 0.81))
    p = reading.probabilities
    assert p == pytest.approx(
        {
            "zero": 1 - task1.score,
            "low": task1.score * task2.score,
            "positive": task1.score * (1 - task2.score),
        }
    )
    logit = np.log(task1.score_raw / (1 - task1.score_raw))
    assert task1.score == pytest.approx(1 / (1 + np.exp(0.2 - 1.3 * logit)))
    assert codes(reading) == []
    assert "trained on simulated images" in reading.notices
    assert [file.role for file in reading.inputs] == ["phase0", "phase1", "phase2", "phase3", "roi"]


def test_what_was_hashed_is_said(bundles, tmp_path):
    voxels = a_study().phases[1].volume.array
    from_nodes = reading_json(read(bundles))["inputs"]
    assert {hashed["of"] for hashed in from_nodes} == {"voxels"}
    assert from_nodes[1] == {
        "role": "phase1",
        "sha256": hashlib.sha256(voxels.tobytes()).hexdigest(),
        "of": "voxels",
    }
    path = tmp_path / "roi.seg.nrrd"
    write_segmentation(a_lesion(), GEOMETRY, path)
    sha256 = file_sha256(path)
    roi = read_roi(path, GEOMETRY)
    path.write_bytes(b"another outline, since saved")
    reading = Reader(bundles, "cpu").read(a_study(), roi.with_slice_axis("k"), input_names={"roi": "x.nrrd"})
    assert reading_json(reading)["inputs"][-1] == {
        "role": "roi",
        "sha256": sha256,
        "of": "file",
        "name": "x.nrrd",
    }


def test_the_score_is_the_models_own(bundles):
    reading = read(bundles)
    settings = bundles[0].settings
    patch = settings.preprocessing.apply(a_study().phases[2].volume, a_lesion())
    grey = torch.from_numpy(patch.image).expand(1, 3, 64, 64)
    logit = bundles[0].model((grey - 0.5) / 0.5).item()
    assert reading.tasks["task1"].score_raw == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


def test_the_call_follows_the_thresholds_and_says_where_they_differ_from_the_largest_probability(bundles):
    first, second = read(bundles).tasks.values()
    above = 0.0
    below = 1.0

    def call(t1, t2):
        return read([with_settings(bundles[0], threshold=t1), with_settings(bundles[1], threshold=t2)])

    assert call(below, above).call == "zero"
    assert call(above, above).call == "low"
    assert call(above, below).call == "positive"
    assert call(first.score, second.score).call == "low"  # on the threshold counts as reached
    calls = {t: call(*t) for t in ((below, above), (above, above), (above, below))}
    for reading in calls.values():
        differs = max(reading.probabilities, key=reading.probabilities.get) != reading.call
        assert ("call_differs_from_most_probable" in codes(reading)) == differs
    assert sum("call_differs_from_most_probable" in codes(reading) for reading in calls.values()) == 2


def test_one_task_alone_gives_no_call(bundles):
    reading = read(bundles[1:])
    data = reading_json(reading)
    assert data["call"] is None
    assert data["probabilities"] is None
    assert list(data["tasks"]) == ["task2"]
    assert data["slice"] == 4


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    folder = a_bundle_folder(tmp_path_factory.mktemp("third") / "task3", "positive-vs-negative", 3)
    return load_bundle(folder)


def test_the_third_task_is_read_by_itself(third, tmp_path):
    reading = read([third])
    data = reading_json(reading)
    assert (data["call"], data["probabilities"], data["slice"]) == (None, None, 4)
    assert list(data["tasks"]) == ["task3"]
    assert data["tasks"]["task3"]["bundle_sha256"] == third.sha256
    write_reading(reading, a_study(), a_lesion(), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "reading.json",
        "report.html",
        "figure.png",
        "attention_task3.nrrd",
    }
    page = (tmp_path / "out" / "report.html").read_text()
    assert "No call: it needs Task 1 and Task 2" in page
    assert "Task 3: HER2-positive vs negative (zero or low)" in page


def test_the_third_task_beside_the_others_changes_nothing_of_them(bundles, third):
    alone = reading_json(read(bundles))
    beside = reading_json(read([third, *bundles]))
    assert list(beside["tasks"]) == ["task1", "task2", "task3"]
    assert beside["tasks"].pop("task3") == reading_json(read([third]))["tasks"]["task3"]
    assert beside == alone
    assert read([bundles[0], third]).call is None


def test_each_task_chooses_its_own_slice(bundles):
    roi = a_lesion()
    roi[1] = roi[4]  # a tie: the study's preset takes the first, ours the one nearest to the centroid
    study_preset = with_settings(bundles[0], preprocessing=StudyPreprocessing(size=(64, 64)))
    reading = read([study_preset, bundles[1]], roi=roi)
    assert [reading.tasks[key].slice for key in ("task1", "task2")] == [1, 4]
    assert reading_json(reading)["slice"] == 4


@pytest.mark.parametrize("method", METHODS)
def test_attention_lies_where_the_patch_lies_in_the_patient(bundles, method):
    task = read(bundles, method=method).tasks["task2"]
    volume = task.attention_volume
    assert volume.array.shape == (1, 64, 64)
    assert 0 <= volume.array.min() <= volume.array.max() <= 1
    centre = volume.geometry.to_lps((31.5, 31.5, 0))
    rows, columns = np.nonzero(a_lesion()[4])
    expected = GEOMETRY.to_lps(((columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2, 4))
    assert centre == pytest.approx(expected)
    assert task.attention.method == method


def test_warnings_of_outline_and_phases(bundles):
    two_parts = a_lesion()
    two_parts[4, 10:13, 10:13] = True
    assert codes(read(bundles, roi=two_parts)) == ["multifocal"]
    small = np.zeros(GEOMETRY.shape, bool)
    small[3, 30:33, 30:34] = True
    assert codes(read(bundles, roi=small)) == ["small_lesion", "unlike_training", "unlike_training"]
    at_border = a_lesion()
    at_border[4, 30, :] = True
    assert "lesion_at_border" in codes(read(bundles, roi=at_border))
    moved = replace(GEOMETRY, origin=(5.0, -20.0, 31.5))
    assert codes(Reader(bundles, "cpu").read(a_study(), roi_on(Volume(a_lesion(), moved), GEOMETRY))) == [
        "outline_resampled"
    ]
    assert "phase_order" in codes(read(bundles, study=a_study((240, 100, 220, 260))))
    assert "no_enhancement" in codes(read(bundles, study=a_study((100, 101, 102, 101))))
    single = read(bundles, study=a_study((240,)))
    assert single.early_phase.rule == "given"
    assert codes(single) == ["no_pre_contrast"]


def test_unlike_training_compares_scale_free_properties(bundles):
    limits = {
        "relative_enhancement": (5, 9),
        "in_plane_spacing": (0.5, 1.0),
        "slice_thickness": (0.5, 1.0),
        "lesion_to_background_contrast": (0, 9),
    }
    reading = read([with_settings(bundles[0], training_percentiles=limits)])
    texts = [warning.text for warning in reading.warnings]
    assert codes(reading) == ["unlike_training"] * 2
    assert "relative enhancement" in texts[0]
    assert "slice thickness 3 mm" in texts[1]
    scaled = study_from_volumes(
        [phase.volume.with_array(phase.volume.array * 37) for phase in a_study().phases]
    )
    assert [
        w.text for w in read([with_settings(bundles[0], training_percentiles=limits)], study=scaled).warnings
    ] == texts


def test_a_property_on_the_limit_or_unknown_is_no_reason_to_warn():
    limits = {"slice_thickness": (1.0, 3.0), "lesion_area": (10.0, 900.0), "relative_enhancement": (0.5, 2.0)}
    [warning] = unlike_training("task2", {"slice_thickness": 3.0, "lesion_area": 9.0}, limits)
    assert warning.text == (
        "task2: lesion area 9 mm2 lies outside the training set's 1st to 99th percentile (10 to 900 mm2)"
    )


def test_overrides_are_obeyed_and_checked(bundles):
    reading = read(bundles, overrides=Overrides(early_phase=1, slice_index=3))
    assert (reading.early_phase.index, reading.early_phase.rule, reading.tasks["task1"].slice) == (
        1,
        "user",
        3,
    )
    for wrong in (Overrides(early_phase=9), Overrides(pre_phase=9), Overrides(slice_index=99)):
        with pytest.raises(InputError):
            read(bundles, overrides=wrong)


def test_faults_of_bundles_devices_and_outlines(bundles):
    with pytest.raises(InputError, match="both for zero-vs-rest"):
        read([bundles[0], bundles[0]])
    with pytest.raises(InputError, match="no bundle"):
        read([])
    with pytest.raises(InputError, match="unknown"):
        read(bundles, device="gpu")
    with pytest.raises(InputError, match="empty"):
        read(bundles, roi=np.zeros(GEOMETRY.shape, bool))
    with pytest.raises(InputError, match="shape"):
        read(bundles, roi=np.ones((3, 3, 3), bool))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="cuda: is not there"):
            read(bundles, device="cuda")
        assert "device_fallback" in codes(read(bundles, device="auto"))


@NEEDS_GPU
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_reads_as_the_cpu_does(bundles, method):
    """One case, and sixteen in one forward."""
    studies = [a_study(levels=(100, 220 + 5 * n, 260, 240)) for n in range(16)]

    def read_all(device):
        reader = Reader(bundles, device, method)
        cases = [reader.prepare(study, Roi(a_lesion()), case_id="a") for study in studies]
        return [*reader.read_prepared(cases), reader.read_prepared(cases[:1])[0]]

    expected = read_all("cpu")
    found = read_all("cuda")
    assert {reading.device for reading in found} == {"cuda"}
    for ours, other in zip(found, expected):
        assert ours.call == other.call
        for key, task in ours.tasks.items():
            assert task.score == pytest.approx(other.tasks[key].score, abs=1e-3)
            assert np.abs(task.attention_map - other.tasks[key].attention_map).max() < 0.01


def test_the_same_inputs_give_the_same_bytes(bundles, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_reading(read(bundles), a_study(), a_lesion(), folder)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [
        "attention_task1.nrrd",
        "attention_task2.nrrd",
        "figure.png",
        "reading.json",
        "report.html",
    ]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_written_files_and_what_a_second_run_may_replace(bundles, tmp_path):
    out = tmp_path / "out"
    reading = read(bundles)
    write_reading(reading, a_study(), a_lesion(), out)
    saved = read_volume(out / "attention_task2.nrrd")
    assert saved.geometry.matches(reading.tasks["task2"].patch.geometry)
    assert np.array_equal(saved.array[0], reading.tasks["task2"].attention_map)
    data = json.loads((out / "reading.json").read_text())
    assert data == reading_json(reading)
    write_reading(read(bundles[:1]), a_study(), a_lesion(), out, figures=False)
    assert sorted(path.name for path in out.iterdir()) == [
        "attention_task1.nrrd",
        "reading.json",
        "report.html",
    ]
    (out / "thesis.docx").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.docx"):
        write_reading(reading, a_study(), a_lesion(), out)


def test_the_report_escapes_what_it_shows(bundles):
    reading = replace(read(bundles), case_id="<script>alert(1)</script>")
    page = report_html(reading).decode()
    assert "<script>" not in page
    assert "Research use only" in page
    assert "not causal evidence" in page


def test_calibration_scale_is_the_one_compared(bundles):
    shifted = with_settings(bundles[0], calibration=Calibration(1.0, 4.0), threshold=0.9)
    plain = read(bundles[:1]).tasks["task1"]
    task = read([shifted]).tasks["task1"]
    assert task.score_raw == plain.score_raw
    assert task.score > task.score_raw


def test_one_map_under_two_names_is_told(bundles, tmp_path):
    """Two models that differ in the last layer only have one rollout; the gradient sees the last layer."""
    twin = load_bundle(a_bundle_folder(tmp_path / "twin", "low-vs-positive", 1))
    with torch.no_grad():
        twin.model.get_classifier().weight.normal_(std=0.3)
    roi = Roi(a_lesion())

    def codes(pair, method):
        reading = Reader(pair, "cpu", method).read(a_study(), roi)
        return [warning.code for warning in reading.warnings]

    assert "same_attention" in codes([bundles[0], twin], "rollout")
    assert "same_attention" not in codes([bundles[0], twin], "gradient")
    assert "same_attention" not in codes(bundles, "rollout")
