"""The simulation: repeatable, learnable by its two latent variables, and by nothing else."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from HER2ViTLib.her2 import TASKS, TWO_STEP, HER2Status, her2_status
from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.sample import sample_phases, sample_roi
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.simulation.case_key import CaseKey
from HER2ViTTrainingLib.simulation.clinical import LOG_HAZARD_RATIOS, WEIBULL_SHAPE
from HER2ViTTrainingLib.simulation.cohorts import SAMPLE_KEY, simulate_cohort, write_sample
from HER2ViTTrainingLib.simulation.genes import GENE_LOG2_FOLD_CHANGES, draw_counts, genes
from HER2ViTTrainingLib.simulation.hidden import draw_hidden
from HER2ViTTrainingLib.simulation.images import image_patient, simulate_case
from HER2ViTTrainingLib.simulation.kinetics import (
    T1_MS,
    TISSUES,
    Uptake,
    parker_arterial_input,
    spoiled_gradient_echo,
    tissue_concentration,
)
from HER2ViTTrainingLib.simulation.oracle import oracle_auc
from HER2ViTTrainingLib.simulation.patients import draw_patient
from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS
from support.csv_files import rows_of

SMALL = {name: protocol.scaled(0.35) for name, protocol in PROTOCOLS.items()}


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


# Repeatable


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_case_is_the_same_whatever_was_made_before_it_and_whichever_phases_are_asked_for(name):
    whole = simulate_case(CaseKey(name, 3, 5), SMALL[name])
    simulate_case(CaseKey(name, 3, 2), SMALL[name])
    again = simulate_case(CaseKey(name, 3, 5), SMALL[name], phases=[2, 0])
    assert np.array_equal(again.phases[0].array, whole.phases[2].array)
    assert np.array_equal(again.phases[1].array, whole.phases[0].array)
    assert all(np.array_equal(again.rois[roi], whole.rois[roi]) for roi in whole.rois)
    assert again.clinical == whole.clinical
    assert not np.array_equal(
        simulate_case(CaseKey(name, 4, 5), SMALL[name], phases=[0]).phases[0].array, whole.phases[0].array
    )


def test_a_cohort_is_the_same_to_the_byte_in_any_number_of_processes_and_a_smaller_one_is_its_beginning(
    tmp_path,
):
    simulate_cohort(16, 8, PROTOCOLS["A"], tmp_path / "two", scale=0.2, workers=2)
    simulate_cohort(16, 8, PROTOCOLS["A"], tmp_path / "one", scale=0.2, workers=1)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    simulate_cohort(2, 8, PROTOCOLS["A"], tmp_path / "few", scale=0.2)
    assert rows_of(tmp_path / "few" / "manifest.csv") == rows_of(tmp_path / "one" / "manifest.csv")[:2]
    assert all(
        files_of(tmp_path / "one")[name] == data
        for name, data in files_of(tmp_path / "few").items()
        if name.startswith(("images", "rois"))
    )


def test_an_interrupted_cohort_is_completed_and_what_is_there_is_kept(tmp_path):
    manifest = simulate_cohort(3, 8, PROTOCOLS["B"], tmp_path, scale=0.2)
    whole = files_of(tmp_path)
    kept = tmp_path / "images" / "B8-00000_phase0.nrrd"
    written = kept.stat().st_mtime_ns
    manifest.unlink()
    (tmp_path / "rois" / "B8-00001_roi_b1.nrrd").unlink()
    (tmp_path / "images" / ".writing-B8-00001_phase0.nrrd").write_bytes(b"half")
    seen = []
    simulate_cohort(
        3, 8, PROTOCOLS["B"], tmp_path, scale=0.2, progress=lambda done, cases: seen.append((done, cases))
    )
    assert {name: data for name, data in files_of(tmp_path).items() if ".writing-" not in name} == whole
    assert kept.stat().st_mtime_ns == written
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_bad_requests_are_refused_in_one_line(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for request, reason in (
        ({"cases": 0}, "at least 1"),
        ({"seed": -1}, "negative"),
        ({"scale": 3.0}, "between 0.2 and 1"),
        ({}, "thesis.txt"),
    ):
        with pytest.raises(InputError, match=reason):
            simulate_cohort(
                **{
                    "cases": 1,
                    "seed": 1,
                    "protocol": PROTOCOLS["A"],
                    "out_dir": tmp_path,
                    "scale": 0.2,
                    **request,
                }
            )
    simulate_cohort(1, 1, PROTOCOLS["A"], tmp_path / "cohort", scale=0.2)
    with pytest.raises(InputError, match="another seed"):
        simulate_cohort(1, 2, PROTOCOLS["A"], tmp_path / "cohort", scale=0.2)


# What tells the classes apart, and what must not


def hidden_rows(cases, seed, protocol_name):
    drawn = (draw_hidden(CaseKey(protocol_name, seed, index)) for index in range(cases))
    return [
        {"her2_status": status, "heterogeneity": latents.heterogeneity, "rim": latents.rim}
        for status, latents in drawn
    ]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_oracle_tells_each_tasks_classes_apart_as_well_as_promised(name):
    rows = hidden_rows(6000, 11, name)
    for task in TWO_STEP:
        assert 0.88 <= oracle_auc(rows, task.name) <= 0.95
    share = np.mean([row["her2_status"] == "low" for row in rows])
    assert share == pytest.approx(344 / 708, abs=0.03)


def test_the_oracle_equals_a_library_s_logistic_regression():
    rows = hidden_rows(400, 12, "A")
    latents = np.array([[row["heterogeneity"], row["rim"]] for row in rows])
    labels = np.array([row["her2_status"] != "zero" for row in rows])
    scores = LogisticRegression(C=1e6).fit(latents, labels).decision_function(latents)
    assert oracle_auc(rows, "zero-vs-rest") == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)


def test_the_oracle_of_classes_that_a_line_parts_is_perfect_and_of_one_class_is_refused():
    rows = [
        {"her2_status": status, "heterogeneity": value, "rim": value % 0.7}
        for status, value in (("zero", -2.0), ("zero", -1.0), ("low", 1.0), ("positive", 2.5))
    ]
    assert oracle_auc(rows, "zero-vs-rest") == 1
    with pytest.raises(InputError, match="all of one class"):
        oracle_auc(rows[:2], "zero-vs-rest")


def radial_features(case):
    """Of the outlined slice of largest area, early phase: blobs beyond a radial trend, and rim against core;
    both of the enhancement.
    """
    pre, early = (phase.array.astype(float) for phase in case.phases)
    roi = case.rois["roi_a1"]
    chosen = int(roi.sum(axis=(1, 2)).argmax())
    outline = roi[chosen]
    image = (early - pre)[chosen]
    rows, columns = np.nonzero(outline)
    depth = inner_distance(outline)[outline]
    depth /= depth.max()
    values = image[rows, columns]
    trend = np.stack([np.ones_like(depth), depth, depth**2], axis=1)
    residual = values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]
    core = depth >= np.quantile(depth, 0.7)
    inner = depth >= np.quantile(depth, 0.4)
    return np.log(residual[inner].std() / values.mean()), values[depth < 0.5].mean() / values[core].mean()


def inner_distance(mask):
    return -sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(sitk.GetImageFromArray(mask.astype(np.uint8)), squaredDistance=False)
    )


@pytest.fixture(scope="module")
def measured():
    """120 small cases of each status: status, latent variables, two features of the image, and all that must
    not tell the classes apart.
    """
    statuses = [draw_hidden(CaseKey("A", 21, index))[0] for index in range(1200)]
    chosen = []
    for status in ("zero", "low", "positive"):
        chosen += np.flatnonzero(np.array(statuses) == status)[:120].tolist()
    protocol = PROTOCOLS["A"].scaled(0.5)
    rows = []
    for index in chosen:
        case = simulate_case(CaseKey("A", 21, index), protocol, phases=[0, protocol.early_phase])
        pre, early = (phase.array for phase in case.phases)
        roi = case.rois["roi_a1"]
        geometry = case.phases[0].geometry
        centre = geometry.to_lps(np.argwhere(roi).mean(axis=0)[::-1])
        blobs, rim = radial_features(case)
        areas = roi.sum(axis=(1, 2))
        nuisance = {
            "volume": roi.sum() * geometry.voxel_mm3,
            "area": areas.max() * geometry.pixel_mm2,
            "slice": areas.argmax(),
            **dict(zip(("to the side", "back", "up"), (abs(centre[0]), centre[1], centre[2]))),
            "mean before": pre[roi].mean(),
            "mean early": early[roi].mean(),
            "relative enhancement": early[roi].mean() / pre[roi].mean(),
            "mean of the largest slice": early[areas.argmax()][roi[areas.argmax()]].mean(),
            "mean of the image": early.mean(),
            "noise": early[:, :4, :4].std(),
            "spacing": geometry.spacing[0],
            **{f"origin {axis}": value for axis, value in zip("xyz", geometry.origin)},
            "reader": dice(roi, case.rois["roi_b1"]),
            **{name: case.clinical[name] for name in ("age", "tumor_size_cm", "positive_ln", "os_months")},
        }
        rows.append((case.her2_status, case.latents, {"heterogeneity": blobs, "rim": rim}, nuisance))
    return rows


def labels_of(measured, task):
    labels = [TASKS[task].label(HER2Status(status)) for status, *_ in measured]
    asked = [n for n, label in enumerate(labels) if label is not None]
    return asked, [labels[n] for n in asked]


@pytest.mark.parametrize("task", TASKS)
def test_size_position_intensity_noise_spacing_order_and_header_tell_nothing_of_the_class(measured, task):
    asked, labels = labels_of(measured, task)
    telling = {}
    for name in measured[0][3]:
        area = roc_auc_score(labels, [measured[n][3][name] for n in asked])
        if not 0.40 <= area <= 0.60:
            telling[name] = area
    telling.pop("os_months", None)  # the rim acts on survival, as it should
    assert telling == {}


def test_the_order_of_the_cases_tells_nothing_of_the_class():
    statuses = np.array([draw_hidden(CaseKey("A", 11, index))[0] for index in range(6000)])
    for status in ("zero", "low", "positive"):
        assert roc_auc_score(statuses == status, np.arange(6000)) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("task", TASKS)
def test_two_plain_features_of_the_largest_slice_come_close_to_the_oracle(measured, task):
    status = [{"her2_status": row[0]} for row in measured]
    oracle = oracle_auc([{**s, **row[1]} for s, row in zip(status, measured)], task)
    seen = oracle_auc([{**s, **row[2]} for s, row in zip(status, measured)], task)
    assert seen >= oracle - 0.06


def test_the_mean_enhancement_does_not_depend_on_the_latent_variables():
    patient = draw_patient(CaseKey("A", 1, 3))
    means = []
    for heterogeneity, rim in ((-2, -2), (2, -2), (-2, 2), (2, 2)):
        case = image_patient(
            replace(patient, latents=replace(patient.latents, heterogeneity=heterogeneity, rim=rim)),
            PROTOCOLS["A"],
            [1],
        )
        means.append(case.phases[0].array[case.true_mask].mean())
    assert np.ptp(means) < 0.03 * np.mean(means)


# Images


@pytest.mark.parametrize(
    ("name", "axes"), [("A", ((0, 1, 0), (0, 0, -1), (-1, 0, 0))), ("B", ((1, 0, 0), (0, 1, 0), (0, 0, 1)))]
)
def test_images_have_the_protocols_type_directions_and_field_of_view(name, axes):
    protocol = PROTOCOLS[name]
    small = SMALL[name]
    sides = set()
    for index in range(6):
        case = simulate_case(CaseKey(name, 2, index), small, phases=[0, 1])
        image = case.phases[0]
        assert image.array.dtype == np.int16
        assert image.array.min() >= 0
        assert tuple(map(tuple, np.reshape(image.geometry.direction, (3, 3)).T)) == axes
        assert case.times_s[0] < 0 < case.times_s[1]
        lesion = image.geometry.to_lps(np.argwhere(case.true_mask).mean(axis=0)[::-1])
        sides.add(np.sign(lesion[0]))
    assert sides == {-1, 1}
    assert np.multiply(small.spacing, small.shape[::-1]) == pytest.approx(
        np.multiply(protocol.spacing, protocol.shape[::-1])
    )
    assert protocol.early_phase == 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_lesion_peaks_early_and_washes_out_while_the_other_tissues_do_as_they_do_in_patients(name):
    rng = np.random.default_rng(0)
    signals = np.array([Uptake.draw(rng).signals(PROTOCOLS[name]) for _ in range(200)])
    enhancement = dict(zip(TISSUES, np.moveaxis(signals / signals[:, :1] - 1, 2, 0)))
    lesion, gland, fat, blood = (enhancement[tissue][:, 1:] for tissue in ("lesion", "gland", "fat", "blood"))
    assert np.all((lesion.max(axis=1) > 0.5) & (lesion.max(axis=1) < 2.5))
    # Most wash out, some reach a plateau or go on rising; all have reached 90 % of their peak signal early.
    assert 0.7 < np.mean(lesion[:, 2] < lesion[:, 0]) < 1
    assert np.all(1 + lesion[:, 0] >= 0.9 * (1 + lesion.max(axis=1)))
    assert np.all(np.diff(gland) > 0)
    assert np.all(gland[:, 0] < lesion[:, 0])
    assert np.all(np.abs(fat) < 0.05)
    assert np.all(np.diff(blood) < 0)
    assert np.all(blood[:, 0] > lesion[:, 0])


def test_the_rendered_lesion_enhances_as_the_model_says():
    protocol = PROTOCOLS["A"].scaled(0.6)
    case = simulate_case(CaseKey("A", 6, 4), protocol)
    means = np.array([phase.array[case.true_mask].mean() for phase in case.phases])
    lesion = draw_patient(CaseKey("A", 6, 4)).uptake.signals(protocol)[:, -1]
    assert means / means[0] == pytest.approx(lesion / lesion[0], rel=0.08)


def test_uptake_and_signal_equal_their_closed_forms():
    # Parker et al. 2006: two Gaussians of area 0.809 and 0.330 mM min on a decaying tail; the peak is about 6
    # mM after ten seconds.
    minutes = np.linspace(0, 10, 100001)
    blood = parker_arterial_input(minutes)
    assert blood.max() == pytest.approx(6.0, abs=0.2)
    assert minutes[blood.argmax()] * 60 == pytest.approx(10.2, abs=0.3)
    assert blood[-1] == pytest.approx(1.050 * np.exp(-1.685), rel=1e-6)
    # With no return to blood (kep 0), tissue holds ktrans times the area under the plasma curve.
    area = blood[minutes <= 4].sum() * minutes[1] / 0.58
    assert tissue_concentration([240.0], 0.0, 0.2, 0.0, 0.0)[0] == pytest.approx(0.2 * area, rel=0.01)
    # At the Ernst angle the signal is largest; at 90 degrees it is plain saturation recovery.
    angle = np.degrees(np.arccos(np.exp(-6 / 1266)))
    assert all(
        spoiled_gradient_echo(1266, 6, angle) >= spoiled_gradient_echo(1266, 6, angle + d) for d in (-1, 1)
    )
    assert spoiled_gradient_echo(T1_MS[1.5]["fat"], 300, 90) == pytest.approx(1 - np.exp(-300 / 296))


def test_readers_agree_more_with_themselves_than_with_each_other():
    intra = []
    inter = []
    for index in range(60):
        case = simulate_case(CaseKey("A", 31, index), SMALL["A"], phases=[0])
        a1, a2, b1 = (case.rois[name] for name in ("roi_a1", "roi_a2", "roi_b1"))
        assert a1.any()
        assert a2.any()
        assert b1.any()
        intra.append(dice(a1, a2))
        inter.append(dice(a1, b1))
    assert np.median(intra) > np.median(inter) + 0.03
    assert np.median(inter) > 0.8
    assert min(inter) > 0.65


# Tables


def test_the_manifest_is_consistent_and_its_files_are_there(tmp_path):
    manifest = simulate_cohort(6, 5, PROTOCOLS["A"], tmp_path, scale=0.2)
    truth = {row["case_id"]: row for row in rows_of(tmp_path / "truth.csv")}
    for row in rows_of(manifest):
        known = truth[row["case_id"]]
        assert her2_status(row["ihc"], row["ish"]).value == known["her2_status"]
        study = load_study([tmp_path / path for path in row["image"].split(";")])
        assert len(study.phases) == 4
        for column in ("roi", "roi_a2", "roi_b"):
            assert read_roi(tmp_path / row[column], study.geometry, None).mask.any()
        roi = read_volume(tmp_path / row["roi"])
        centre = roi.geometry.to_lps(np.argwhere(roi.array).mean(axis=0)[::-1])
        assert centre == pytest.approx([float(known[f"lesion_centre_{axis}"]) for axis in "lps"], abs=6)
        assert np.count_nonzero(roi.array) * roi.geometry.voxel_mm3 == pytest.approx(
            float(known["lesion_volume_mm3"]), rel=0.5
        )
    with gzip.open(tmp_path / "counts.csv.gz", "rt") as file:
        header, *counts = file.read().splitlines()
    assert header.split(",") == ["gene", *truth]
    assert [line.split(",")[0] for line in counts] == list(genes()[0])


@pytest.fixture(scope="module")
def patients():
    return [draw_patient(CaseKey("A", 13, index)) for index in range(2500)]


def test_stage_and_follow_up_are_consistent(patients):
    for clinical in (patient.clinical for patient in patients):
        size = clinical["tumor_size_cm"]
        nodes = clinical["positive_ln"]
        assert clinical["pT"] == ("T1" if size <= 2 else "T2" if size <= 5 else "T3")
        assert clinical["pN"] == (
            "N0" if nodes == 0 else "N1" if nodes <= 3 else "N2" if nodes <= 9 else "N3"
        )
        assert 0 < clinical["rfs_months"] <= clinical["os_months"]
        assert clinical["rfs_event"] >= clinical["os_event"]


@pytest.mark.parametrize("endpoint", ["os", "rfs"])
def test_survival_follows_the_hazard_ratios_it_was_made_with(patients, endpoint):
    rows = []
    for patient in patients:
        clinical = patient.clinical
        rows.append(
            [
                clinical["age"] - 52.6,
                clinical["tumor_size_cm"] - 2.5,
                clinical["positive_ln"],
                patient.latents.rim > 0,
            ]
        )
    covariates = np.array(rows, float)
    events = np.array([p.clinical[f"{endpoint}_event"] for p in patients], float)
    exposure = np.array([p.clinical[f"{endpoint}_months"] for p in patients]) ** WEIBULL_SHAPE
    # A Weibull model of known shape is a Poisson regression of the events on transformed time.
    design = np.column_stack([np.ones(len(patients)), covariates])
    weights = np.array([np.log(events.sum() / exposure.sum()), 0, 0, 0, 0])
    for _ in range(30):
        expected = exposure * np.exp(design @ weights)
        information = (design.T * expected) @ design
        weights += np.linalg.solve(information, design.T @ (events - expected))
    errors = np.sqrt(np.diag(np.linalg.inv(information)))[1:]
    truth = np.array(
        [LOG_HAZARD_RATIOS[name] for name in ("age", "tumor_size_cm", "positive_ln", "rim_high")]
    )
    assert np.abs((weights[1:] - truth) / errors).max() < 3.3
    assert 0.05 < events.mean() < 0.4


def test_counts_carry_the_fold_changes_they_were_made_with():
    names, _, _, changes = genes()
    assert len(set(names)) == len(names)
    counts = np.stack([draw_counts(CaseKey("A", 17, index)) for index in range(400)])
    positive = np.array([draw_hidden(CaseKey("A", 17, index))[0] == "positive" for index in range(400)])
    # The median of the unchanged genes is each case's depth.
    depth = np.median(counts[:, changes == 0] / counts[:, changes == 0].mean(axis=0), axis=1)
    per_depth = counts / depth[:, None]
    found = np.log2(per_depth[positive].mean(axis=0) / per_depth[~positive].mean(axis=0))
    named = [names.index(gene) for gene in GENE_LOG2_FOLD_CHANGES]
    assert found[named] == pytest.approx(changes[named], abs=0.35)
    assert abs(np.median(found[changes == 0])) < 0.05


# The bundled sample


def test_the_sample_is_a_small_her2_low_case(tmp_path):
    write_sample(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.name for path in (*sample_phases(), sample_roi())
    )
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4_000_000
    study = load_study([tmp_path / path.name for path in sample_phases()])
    assert len(study.phases) == 4
    assert study.phases[0].volume.array.dtype == np.int16
    assert read_roi(tmp_path / sample_roi().name, study.geometry, None).mask.sum() > 100
    assert draw_hidden(SAMPLE_KEY)[0] == "low"
