"""What two bundles can tell together: the conformal part, from calibration cases into readings and their
judgement.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.conformal import Conformal, StatusCutoff, conformal_from_json
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.report import reading_json, report_html, table_rows
from HER2ViTLib.study.study import study_from_volumes
from HER2ViTTrainingLib.adaptation.coverage import conformal_cutoffs
from HER2ViTTrainingLib.batch.results import set_sizes
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.stats.order_statistics import rank_of_cutoff, reached_share
from support import judges
from support.archived import archived
from support.csv_files import rows_of, write_csv
from support.examinations import write_classic
from support.models import a_bundle_folder

GEOMETRY = Geometry((6, 40, 44), (1.2, 1.2, 3.0), (5.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
STATUSES = ("zero", "low", "positive")


def image_and_lesion(seed):
    k, j, i = np.indices(GEOMETRY.shape)
    lesion = ((k - 3) / 2) ** 2 + ((j - 20) / (4 + seed % 6)) ** 2 + ((i - 22) / 7) ** 2 <= 1
    noise = np.random.default_rng(seed).normal(100, 10, GEOMETRY.shape)
    return noise + (60 + 10 * (seed % 12)) * lesion, lesion


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Twenty-eight cases with a status each, two bundles, and the readings of all cases."""
    folder = tmp_path_factory.mktemp("archive")
    rows = []
    for n in range(28):
        image, lesion = image_and_lesion(n)
        write_volume(Volume(image.astype(np.int16), GEOMETRY), folder / f"c{n}.nrrd")
        write_volume(Volume(lesion.astype(np.uint8), GEOMETRY), folder / f"c{n}_roi.nrrd")
        status = "positive" if n % 4 == 3 else STATUSES[n % 2]
        rows.append(
            {"case_id": f"c{n}", "image": f"c{n}.nrrd", "roi": f"c{n}_roi.nrrd", "her2_status": status}
        )
    write_csv(folder / "manifest.csv", rows)
    a_bundle_folder(folder / "task1", "zero-vs-rest", 1)
    a_bundle_folder(folder / "task2", "low-vs-positive", 2)
    batch(folder, folder / "task1", folder / "task2", folder / "read")
    return folder


def batch(archive, first, second, out):
    words = ["batch", archive / "manifest.csv", "--bundle", first, "--bundle", second]
    assert main([str(word) for word in [*words, "--device", "cpu", "--workers", 1, "--out", out]]) == 0
    return rows_of(out / "readings.csv")


def cover(archive, out, level=0.9):
    words = ["adapt", archive / "task1", archive / "task2", "--local", archive / "read" / "readings.csv"]
    words += ["--truth", archive / "manifest.csv", "--coverage", level, "--out", out]
    assert main([str(word) for word in words]) == 0
    return out / "zero-vs-rest", out / "low-vs-positive"


@pytest.fixture(scope="module")
def covered(archive, tmp_path_factory):
    """The folders of both bundles with their conformal part."""
    return cover(archive, tmp_path_factory.mktemp("covered") / "out")


# The part in the bundles


def test_both_bundles_carry_it_with_each_others_hash(archive, covered):
    first, second = map(load_bundle, covered)
    assert first.settings.conformal.partner == second.scores_sha256
    assert second.settings.conformal.partner == first.scores_sha256
    assert first.settings.conformal.statuses == second.settings.conformal.statuses
    statuses = first.settings.conformal.statuses
    assert {name: of.n for name, of in statuses.items()} == {"zero": 14, "low": 7, "positive": 7}
    assert statuses["zero"].cutoff > 0
    assert statuses["low"].cutoff == statuses["positive"].cutoff == 0
    for parent, bundle in zip(("task1", "task2"), (first, second)):
        old = load_bundle(archive / parent).settings
        assert (bundle.settings.threshold, bundle.settings.calibration) == (old.threshold, old.calibration)


def test_card_and_page_say_what_is_never_excluded(covered):
    card = (covered[0] / "README.md").read_text()
    assert "| low | 7 | 1.00 to 1.00 | never: too few cases |" in card
    page = (covered[0].parent / "adaptation.html").read_text()
    assert "Low is never excluded: 7 calibration cases, where 9 are needed." in page


def test_cutoffs_are_the_ranks_of_theory():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet((1, 1, 1), 60)
    statuses = np.repeat(STATUSES, 20)
    found = conformal_cutoffs(probabilities, statuses, 0.9)
    for k, status in enumerate(STATUSES):
        own = probabilities[statuses == status, k]
        assert found[status].cutoff == pytest.approx(
            np.sort(own)[1], abs=2e-6
        )  # the second of twenty: floor(21 x 0.1)
        assert (own >= found[status].cutoff).mean() == 0.95


def test_coverage_is_realised_as_theory_says():
    """200 draws of 20 calibration cases a status: the mean and the 5th percentile of the coverage."""
    rng = np.random.default_rng(4)

    def probabilities(status, n):
        logits = rng.normal(np.eye(3)[status] * 1.5 + np.array([0.5, 0, -0.5]), 1, (n, 3))
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    fresh = [probabilities(status, 4000) for status in range(3)]
    realised = []
    for _ in range(200):
        drawn = np.concatenate([probabilities(status, 20) for status in range(3)])
        found = conformal_cutoffs(drawn, np.repeat(STATUSES, 20), 0.9)
        realised.append(
            [(fresh[k][:, k] >= found[status].cutoff).mean() for k, status in enumerate(STATUSES)]
        )
    theory = reached_share(20, rank_of_cutoff(20, 0.9), 0.9)
    assert np.mean(realised, axis=0) == pytest.approx(theory.value, abs=0.02)
    assert np.quantile(realised, 0.05) == pytest.approx(theory.low, abs=0.03)
    assert np.quantile(realised, 0.95) == pytest.approx(theory.high, abs=0.03)


@pytest.mark.parametrize(
    "change",
    [
        {"level": 2},
        {"partner": "x"},
        {"statuses": {}},
        {"cases_sha256": None},
        {"statuses": {name: {"cutoff": "a", "n": 1, "coverage": [0, 1]} for name in STATUSES}},
        {"statuses": {name: {"cutoff": 0.1, "n": True, "coverage": [0, 1]} for name in STATUSES}},
        {"statuses": {name: {"cutoff": 0.1, "n": 1, "coverage": [0]} for name in STATUSES}},
    ],
)
def test_a_damaged_part_is_refused(change):
    sound = a_part().to_json()
    assert conformal_from_json(sound) == a_part()
    with pytest.raises(InputError, match="get the bundle anew"):
        conformal_from_json({**sound, **change})


def a_part(partner="a" * 64, cutoffs=(0.3, 0.2, 0.1)):
    statuses = {name: StatusCutoff(at, 20, 0.8, 0.98) for name, at in zip(STATUSES, cutoffs)}
    return Conformal(0.9, statuses, partner, "b" * 64)


def test_cases_a_bundle_was_recalibrated_on_are_refused(archive, covered, tmp_path, refused):
    """With enough of them: what is refused is the second use."""
    readings = archive / "read" / "readings.csv"
    words = ["adapt", archive / "task1", "--local", readings, "--truth", archive / "manifest.csv"]
    assert main([str(word) for word in [*words, "--out", tmp_path / "recalibrated"]]) == 0
    read = tmp_path / "read"
    batch(archive, tmp_path / "recalibrated", archive / "task2", read)
    again = ["adapt", tmp_path / "recalibrated", archive / "task2", "--local", read / "readings.csv"]
    again += ["--truth", archive / "manifest.csv", "--coverage", "0.9", "--out", tmp_path / "out"]
    assert "was recalibrated on these very cases" in refused(again)


def test_too_few_cases_of_every_status_are_refused(archive, tmp_path, refused):
    words = ["adapt", archive / "task1", archive / "task2", "--local", archive / "read" / "readings.csv"]
    words += ["--truth", archive / "manifest.csv", "--coverage", "0.95", "--out", tmp_path / "out"]
    assert "14 zero, 7 low, 7 positive cases, where a status needs 19" in refused(words)


def test_recalibrating_takes_the_part_away(covered, tmp_path, capsys):
    assert main(["adapt", str(covered[0]), "--prevalence", "0.4", "--out", str(tmp_path / "out")]) == 0
    assert "the conformal part is gone" in capsys.readouterr().out
    assert load_bundle(tmp_path / "out").settings.conformal is None


# Readings


def paired(folder, cutoffs):
    """Two bundles with a conformal part for each other."""
    found = [
        load_bundle(a_bundle_folder(folder / task, task, seed))
        for seed, task in enumerate(("zero-vs-rest", "low-vs-positive"), start=1)
    ]
    first, second = found
    return [
        replace(one, settings=replace(one.settings, conformal=a_part(other.scores_sha256, cutoffs)))
        for one, other in ((first, second), (second, first))
    ]


def a_reading(bundles, **options):
    image, lesion = image_and_lesion(3)
    phases = [Volume((image * level).astype(np.float32), GEOMETRY) for level in (0.5, 1.0)]
    return Reader(bundles, "cpu", **options).read(study_from_volumes(phases), Roi(lesion))


@pytest.mark.parametrize(
    "cutoffs, left, told",
    [
        ((0, 0, 0), STATUSES, "zero, low, positive: cannot tell"),
        ((1, 0, 1), ("low",), "low"),
        ((1, 1, 1), (), "none: unlike the calibration cases of every status"),
    ],
)
def test_a_reading_says_what_it_cannot_exclude(tmp_path, cutoffs, left, told):
    reading = a_reading(paired(tmp_path, cutoffs))
    assert reading.call_set.statuses == left
    data = reading_json(reading)
    assert data["call_set"] == list(left)
    assert data["coverage"]["level"] == 0.9
    assert data["coverage"]["n"] == dict.fromkeys(STATUSES, 20)
    assert data["coverage"]["percentiles"]["zero"] == [0.8, 0.98]
    assert data["coverage"]["never_excluded"] == [s for s, at in zip(STATUSES, cutoffs) if at == 0]
    assert ("Cannot be excluded", told) in table_rows(reading)
    assert f"<strong>{told}</strong>" in report_html(reading).decode()
    excluded = reading.call not in left
    assert ("call_excluded" in [warning.code for warning in reading.warnings]) == excluded


def test_another_partner_or_number_of_slices_tells_nothing(tmp_path):
    first, second = paired(tmp_path, (0.1, 0.1, 0.1))
    stranger = load_bundle(a_bundle_folder(tmp_path / "other", "low-vs-positive", 9))
    for reading in (
        a_reading([first, stranger]),
        a_reading([first, replace(stranger, settings=second.settings)]),
        a_reading([first, second], slice_count=2),
    ):
        assert reading.call_set is None
        assert "call_set" not in reading_json(reading)
        assert "call_set_not_calibrated" in [warning.code for warning in reading.warnings]


def test_bundles_without_it_read_as_before(tmp_path):
    pair = paired(tmp_path, (0, 0, 0))
    bundles = [replace(one, settings=replace(one.settings, conformal=None)) for one in pair]
    reading = a_reading(bundles)
    assert reading.call_set is None
    assert not {"call_set", "coverage"} & reading_json(reading).keys()
    assert reading.warnings == a_reading(bundles).warnings


def test_the_dicom_report_names_each_status_that_is_not_excluded(tmp_path):
    pytest.importorskip("highdicom")
    reader = Reader(paired(tmp_path / "bundles", (0, 0, 1)), "cpu")
    reading, _ = archived(reader, write_classic(tmp_path / "images"), tmp_path / "out")
    assert reading.call_set.statuses == ("zero", "low")
    assert judges.complaints_of_dciodvfy(tmp_path / "out" / "sr.dcm") == []
    report = judges.report_by_dcmqi(tmp_path / "out" / "sr.dcm", tmp_path)
    [group] = report["Measurements"]
    told = [
        one["conceptValue"]["CodeValue"]
        for one in group["qualitativeEvaluations"]
        if one["conceptCode"]["CodeValue"] == "NOT-EXCLUDED"
    ]
    assert told == ["ZERO", "LOW"]


# Batch and its judgement


def test_batch_counts_and_evaluate3_judges(archive, covered, tmp_path, capsys):
    rows = batch(archive, *covered, tmp_path / "read")
    assert "several, cannot tell, in" in capsys.readouterr().out
    assert {row["coverage"] for row in rows} == {"0.900000"}
    cutoff = load_bundle(covered[0]).settings.conformal.statuses["zero"].cutoff
    for row in rows:
        left = row["call_set"].split(";")
        assert ("zero" in left) == (float(row["p_zero"]) >= cutoff)
        assert {"low", "positive"} <= set(left)
    words = ["evaluate3", tmp_path / "read" / "readings.csv", "--truth", archive / "manifest.csv"]
    assert main([str(word) for word in [*words, "--resamples", 50, "--out", tmp_path / "out"]]) == 0
    found = json.loads((tmp_path / "out" / "three_class.json").read_text())["call_set"]
    assert found["classes"]["zero"]["n"] == 14
    assert found["classes"]["zero"]["coverage"]["value"] == 1
    assert found["classes"]["low"]["coverage"]["value"] == 1
    assert sum(found["sizes"].values()) == 28
    assert found["call_among_told"] is None


def test_evaluate3_equals_a_count_by_hand(tmp_path):
    truth = ["zero", "zero", "low", "low", "positive", "positive"]
    sets = ["zero", "low;positive", "low", "zero;low;positive", "none", "positive"]
    calls = ["zero", "low", "low", "low", "positive", "low"]
    readings = [
        {"case_id": f"c{n}", "call": call, "call_set": left, "coverage": 0.9}
        for n, (call, left) in enumerate(zip(calls, sets))
    ]
    manifest = [{"case_id": f"c{n}", "her2_status": status} for n, status in enumerate(truth)]
    words = ["evaluate3", write_csv(tmp_path / "r.csv", readings)]
    words += [
        "--truth",
        write_csv(tmp_path / "m.csv", manifest),
        "--resamples",
        50,
        "--out",
        tmp_path / "out",
    ]
    assert main([str(word) for word in words]) == 0
    found = json.loads((tmp_path / "out" / "three_class.json").read_text())["call_set"]
    assert [found["classes"][s]["coverage"]["value"] for s in STATUSES] == [0.5, 1, 0.5]
    assert found["mean_size"]["value"] == pytest.approx(8 / 6)
    assert found["told"]["value"] == 0.5
    assert found["sizes"] == {"0": 1, "1": 3, "2": 1, "3": 1}
    assert found["call_among_told"]["n"] == 3
    assert found["call_among_told"]["accuracy"]["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "change, told",
    [({"call_set": "high"}, "call_set"), ({"coverage": "0.8"}, "coverage"), ({"coverage": ""}, "coverage")],
)
def test_call_sets_that_are_none_are_refused(tmp_path, refused, change, told):
    rows = [{"case_id": f"c{n}", "call": "low", "call_set": "low", "coverage": "0.9"} for n in range(3)]
    rows[1] |= change
    manifest = [{"case_id": f"c{n}", "her2_status": "low"} for n in range(3)]
    words = ["evaluate3", write_csv(tmp_path / "r.csv", rows)]
    words += ["--truth", write_csv(tmp_path / "m.csv", manifest), "--out", tmp_path / "out"]
    line = refused(words)
    assert f"row 3, column {told}" in line


def test_sizes_of_a_batch():
    rows = [{"call_set": left} for left in ("zero", "low", "zero;low", "none")]
    sizes = set_sizes(rows)
    assert (sizes.told, sizes.cannot_tell, sizes.none_left) == (2, 1, 1)
    assert set_sizes([{"case_id": "c"}]) is None
