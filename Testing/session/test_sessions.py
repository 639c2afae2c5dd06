"""Repeatability sessions: what a reader's folder tells, the order of steps, kills at any of them, two
processes, and bad input.
"""

import csv
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HER2ViTLib.imaging.image_files import read_volume, write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.messages import InputError
from HER2ViTLib.session.files import load_read, session_study
from HER2ViTLib.session.log import read_log
from HER2ViTLib.session.session import Session
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.repeatability.feature_table import feature_table
from HER2ViTTrainingLib.repeatability.plan import Plan, draw_cases, write_plan
from HER2ViTTrainingLib.repeatability.reads import case_reads, outlines
from support.csv_files import rows_of
from support.dicom_writer import write_phase
from support.patience import HANG_S
from support.session_process import go_through_and_die, hold

GEOMETRY = Geometry((6, 16, 18), (0.8, 0.8, 2.0), (-12.5, 33.0, 7.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
SPOKEN = (
    "Meier",
    "Doe",
    "Jane",
    "4711",
    "2020",
    "secret",
    "3+",
    "positive",
    "grade",
    "G3",
    "invasive",
    "roi_first",
)
START = datetime(2026, 3, 1, 9, tzinfo=UTC)


class Clock:
    def __init__(self, at=START):
        self.at = at

    def __call__(self):
        self.at += timedelta(seconds=3)
        return self.at

    def wait(self, **time):
        self.at += timedelta(**time)


def a_mask(radius=4.0):
    k, j, i = np.indices(GEOMETRY.shape)
    return ((k - 3) / 2) ** 2 + ((j - 8) / radius) ** 2 + ((i - 9) / radius) ** 2 <= 1


def an_image(seed, level=0):
    return np.random.default_rng(seed).normal(100 + level, 10, GEOMETRY.shape).astype(np.int16)


@pytest.fixture(scope="module")
def cohort_folder(tmp_path_factory):
    """Seven cases of six patients: phases in files with text in their headers, a 4D sequence with times, a
    DICOM folder.
    """
    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for n in range(5):
        for phase in range(3):
            path = folder / f"Meier{n}_secret_{phase}.nrrd"
            write_volume(
                Volume(an_image(10 * n + phase, 40 * phase), GEOMETRY),
                path,
                {"PatientName": "Doe^Jane", "StudyDate": "20200229"},
            )
        rows.append(
            [
                f"Meier{n}",
                ";".join(f"Meier{n}_secret_{phase}.nrrd" for phase in range(3)),
                f"P{min(n, 3)}",
                "1",
            ]
        )
    stack = sitk.JoinSeries([sitk.GetImageFromArray(an_image(90 + n)) for n in range(3)], 0.0, 80.0)
    stack.SetSpacing((0.8, 0.8, 2.0, 80.0))
    sitk.WriteImage(stack, str(folder / "Meier5_secret.nii.gz"))
    rows.append(["Meier5", "Meier5_secret.nii.gz", "P5", ""])
    names = (f"IM{n}" for n in itertools.count())
    for phase in range(3):
        times = {
            "AcquisitionTime": f"12000{phase}",
            "TemporalPositionIdentifier": phase + 1,
            "TriggerTime": 70000 * phase,
        }
        write_phase(
            folder / "dicom_secret",
            an_image(50 + phase).astype(np.uint16),
            names,
            **times,
            AcquisitionNumber=phase + 1,
        )
    rows.append(["Meier6", "dicom_secret", "P6", ""])
    write_volume(Volume(a_mask(), GEOMETRY), folder / "roi_first.nrrd")
    for row in rows:
        shutil.copy(folder / "roi_first.nrrd", folder / f"roi_first_{row[0]}.nrrd")
    with (folder / "manifest.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["case_id", "image", "patient_id", "early_phase", "roi", "ihc", "ish", "grade", "histology"]
        )
        table.writerows(
            [*row, f"roi_first_{row[0]}.nrrd", "3+", "positive", "G3", "invasive"] for row in rows
        )
    return folder


PLAN = Plan(5, ("A", "B"), 14, 3)


@pytest.fixture(scope="module")
def planned(cohort_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("plans") / "plan"
    write_plan(cohort_folder / "manifest.csv", PLAN, out)
    return out


@pytest.fixture
def plan(planned, tmp_path):
    return Path(shutil.copytree(planned, tmp_path / "plan"))


def key_of(plan):
    return {row["code"]: row["case_id"] for row in rows_of(plan / "coordinator" / "key.csv")}


def go_through(session, radius=4.0):
    with session:
        while session.next_case():
            geometry = read_volume(session.images[0]).geometry
            mask = np.zeros(geometry.shape, bool)
            mask[2:4, 5 : 5 + int(radius), 6:12] = True
            session.save_outline(mask, geometry)


# The plan


def test_a_readers_folder_tells_nothing(planned, cohort_folder):
    files = [path for path in planned.glob("reader_*/**/*") if path.is_file()]
    assert len(files) == 3 * (5 * 3 + 1)
    case_ids = [case.case_id for case in read_manifest(cohort_folder / "manifest.csv").cases]
    for path in files:
        raw = path.read_bytes()
        # the header; behind it are voxels
        said = raw.partition(b"\n\n")[0] if path.suffix == ".nrrd" else raw
        assert not [word for word in (*SPOKEN, *case_ids) if word.encode() in said or word in path.name], path
    assert {path.name for path in files if path.suffix != ".nrrd"} == {"session.json"}
    assert len({path.stat().st_mtime_ns for path in planned.rglob("*")}) == 1
    header = (
        (planned / "reader_A/read_1/images/A1-001_phase0.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    )
    fields = {line.split(":")[0] for line in header.splitlines()[1:] if not line.startswith("#")}
    assert fields == {
        "type",
        "dimension",
        "space",
        "sizes",
        "space directions",
        "kinds",
        "endian",
        "encoding",
        "space origin",
    }


def test_every_read_has_its_own_codes_and_order_of_the_same_cases(planned):
    key = key_of(planned)
    reads = [load_read(planned / name) for name in ("reader_A/read_1", "reader_A/read_2", "reader_B/read_1")]
    assert [read.label for read in reads] == ["A1", "A2", "B1"]

    def order(read):
        return [key[case.code] for case in read.cases]

    orders = [order(read) for read in reads]
    assert len(key) == 15
    assert len({frozenset(order) for order in orders}) == 1
    assert len({tuple(order) for order in orders}) == 3
    assert reads[1].cases[0].code == "A2-001"


def test_images_are_copied_to_the_voxel_with_their_times(planned, cohort_folder):
    key = key_of(planned)
    by_id = {case.case_id: case for case in read_manifest(cohort_folder / "manifest.csv").cases}
    for name in ("reader_A/read_2", "reader_B/read_1"):
        for case in load_read(planned / name).cases:
            study = session_study(case, case.images(planned / name))
            original = load_study(by_id[key[case.code]].images)
            assert len(study.phases) == len(original.phases) == 3
            for ours, theirs in zip(study.phases, original.phases):
                np.testing.assert_array_equal(ours.volume.array, theirs.volume.array)
                assert ours.volume.geometry.matches(theirs.volume.geometry)
                assert (ours.start_s, ours.duration_s) == (theirs.start_s, theirs.duration_s)
            assert case.early_phase == by_id[key[case.code]].early_phase


def test_one_case_a_patient_by_seed_whatever_the_order_of_rows(cohort_folder):
    manifest = cohort_folder / "manifest.csv"
    header, *lines = manifest.read_text().splitlines()
    turned = cohort_folder / "turned.csv"
    turned.write_text("\n".join([header, *reversed(lines)]))

    def drawn(path, plan):
        return tuple(case.case_id for case in draw_cases(read_manifest(path), plan))

    assert drawn(manifest, PLAN) == drawn(turned, PLAN)
    six = draw_cases(read_manifest(manifest), Plan(6, ("A", "B")))
    assert len({case.patient_id for case in six}) == 6
    orders = {drawn(manifest, Plan(6, ("A", "B"), seed=seed)) for seed in range(5)}
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--cases", "7"], "6 patients"),
        (["--cases", "0"], "--cases"),
        (["--readers", "A"], "two at least"),
        (["--readers", "A,a"], "same name"),
        (["--readers", "A,"], "reader ''"),
        (["--readers", "A,../B"], "'../B'"),
        (["--readers", "A,B2"], "'B2'"),
        (["--washout-days", "-1"], "wash-out of -1"),
        (["--washout-days", "nan"], "wash-out of nan"),
    ],
)
def test_a_faulty_plan_gets_one_line_and_writes_nothing(cohort_folder, tmp_path, refused, words, expected):
    assert expected in refused(
        ["session", cohort_folder / "manifest.csv", "--cases", "2", *words, "--out", tmp_path / "plan"]
    )
    assert not list(tmp_path.iterdir())


def test_a_plan_is_never_written_over_and_images_that_cannot_be_read_are_named(
    cohort_folder, plan, tmp_path, refused
):
    before = sorted(plan.rglob("*"))
    assert "never written over" in refused(
        ["session", cohort_folder / "manifest.csv", "--cases", "2", "--out", plan]
    )
    assert sorted(plan.rglob("*")) == before
    copy = Path(shutil.copytree(cohort_folder, tmp_path / "cohort"))
    (copy / "Meier5_secret.nii.gz").write_bytes(b"torn")
    assert "case Meier5" in refused(
        ["session", copy / "manifest.csv", "--cases", "6", "--out", tmp_path / "other"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cohort", "plan"]


# The session


def test_a_read_from_first_case_to_last(plan):
    clock = Clock()
    seconds = itertools.count(0, 7.5)
    session = Session(plan / "reader_A/read_1/session.json", clock, lambda: next(seconds))
    assert session.obstacle is None
    assert session.progress == "Read A1, case 1 of 5 (A1-001); 0 outlined, 0 skipped"
    session.open()
    assert session.next_case() is session.next_case() is session.current
    assert [path.name for path in session.images] == [f"A1-001_phase{n}.nrrd" for n in range(3)]
    geometry = read_volume(session.images[0]).geometry
    mask = np.zeros(geometry.shape, bool)
    with pytest.raises(InputError, match="empty"):
        session.save_outline(mask, geometry)
    mask[2:4, 4:9, 5:11] = True
    path = session.save_outline(mask, geometry)
    np.testing.assert_array_equal(read_roi(path, geometry).mask, mask)
    with pytest.raises(InputError, match="next case"):
        session.save_outline(mask, geometry)
    session.next_case()
    with pytest.raises(InputError, match="say why"):
        session.skip("  ")
    session.skip("motion,\nno lesion seen")
    assert session.progress.endswith("(A1-003); 1 outlined, 1 skipped")
    session.close()
    go_through(session)
    assert session.finished
    assert session.current is None
    assert session.images == ()
    reads = [one for one in case_reads(plan) if one.rater == "A1"]
    assert {one.status for one in reads} == {"outlined", "skipped"}
    (skipped,) = (one for one in reads if one.status == "skipped")
    assert (skipped.code, skipped.reason) == ("A1-002", "motion, no lesion seen")
    # the refused outline took time as well
    assert next(one for one in reads if one.code == "A1-001").reading_s == 15.0


def test_an_outline_on_another_geometry_is_put_onto_the_images(plan):
    with Session(plan / "reader_B/read_1") as session:
        session.next_case()
        reference = read_volume(session.images[0]).geometry
        fine = Geometry(
            (12, *reference.shape[1:]),
            (*reference.spacing[:2], reference.spacing[2] / 2),
            tuple(reference.to_lps((0, 0, -0.25))),
            reference.direction,
        )
        mask = np.zeros(fine.shape, bool)
        mask[4:8, 4:9, 5:11] = True
        kept = read_roi(session.save_outline(mask, fine), reference).mask
    assert np.argwhere(kept).tolist() == np.argwhere(mask[::2]).tolist()


def test_the_second_read_waits_for_the_washout_or_a_recorded_override(plan):
    clock = Clock()
    second = Session(plan / "reader_A/read_2", clock)
    assert "read A1 comes first: 5 of its 5 cases" in second.obstacle.text
    assert not second.obstacle.can_override
    go_through(Session(plan / "reader_A/read_1", clock))
    assert "wait 14.0 days" in second.obstacle.text
    assert second.obstacle.can_override
    with pytest.raises(InputError, match="opens 14 days after the end of A1"):
        second.open()
    assert not second.is_open
    assert not (plan / "reader_A/read_2/log.jsonl").exists()
    clock.wait(days=13)
    second.open("the reader leaves the hospital")
    second.next_case()
    second.close()
    opened, _ = read_log(plan / "reader_A/read_2")
    assert opened.values["override"] == "the reader leaves the hospital"
    assert "wait 1.0 days" in opened.values["against"]
    second.open()  # begun: no second reason is asked for
    second.close()


def test_after_the_washout_the_second_read_opens_by_itself(plan):
    clock = Clock()
    first = Session(plan / "reader_A/read_1", clock)
    go_through(first)
    clock.wait(days=13, hours=23)
    first.open()  # looking at a finished read does not begin the wash-out anew
    first.close()
    clock.wait(hours=1)
    go_through(Session(plan / "reader_A/read_2", clock))
    opened, *_ = read_log(plan / "reader_A/read_2")
    assert opened.values == {}


def test_without_the_first_reads_log_only_an_override_opens_the_second(plan):
    shutil.move(plan / "reader_A/read_1", plan / "elsewhere")
    session = Session(plan / "reader_A/read_2")
    assert "cannot be checked" in session.obstacle.text
    session.open("first read kept by the coordinator")
    session.close()


def test_the_second_read_needs_neither_images_nor_outlines_of_the_first(plan):
    clock = Clock()
    go_through(Session(plan / "reader_A/read_1", clock))
    for name in ("images", "outlines"):
        shutil.rmtree(plan / "reader_A/read_1" / name)
    clock.wait(days=15)
    go_through(Session(plan / "reader_A/read_2", clock))


def test_a_clock_behind_the_log_is_refused(plan):
    clock = Clock()
    session = Session(plan / "reader_A/read_1", clock)
    session.open()
    session.next_case()
    clock.wait(hours=-1)
    geometry = read_volume(session.images[0]).geometry
    with pytest.raises(InputError, match="behind this read's last entry"):
        session.save_outline(np.ones(geometry.shape, bool), geometry)
    assert not list((plan / "reader_A/read_1").glob("outlines/*"))
    session.close()
    assert not session.obstacle.can_override
    with pytest.raises(InputError, match="set the clock"):
        session.open("no matter")
    clock.wait(hours=1)
    go_through(session)
    clock.wait(days=-2)
    second = Session(plan / "reader_A/read_2", clock)
    assert "behind read A1's last entry" in second.obstacle.text
    assert not second.obstacle.can_override


# Kills


@pytest.fixture(scope="module")
def processes():
    if not hasattr(os, "fork"):
        pytest.skip("needs SIGKILL")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "support.session_process"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the server's imports know no other
        process = context.Process(target=int)
        process.start()
        process.join()
    return context


def run(processes, folder, kill_at, told):
    process = processes.Process(target=go_through_and_die, args=(str(folder), kill_at, str(told)))
    process.start()
    process.join(HANG_S)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode


def done_in(folder):
    return {entry.code: entry.values for entry in read_log(folder) if entry.event in ("outlined", "skipped")}


def test_a_session_killed_at_any_step_goes_on_where_it_was(cohort_folder, processes, tmp_path):
    write_plan(cohort_folder / "manifest.csv", Plan(2, ("A", "B")), tmp_path / "plan")
    kept_by = {}
    for kill_at in itertools.count(1):
        plan = Path(shutil.copytree(tmp_path / "plan/reader_B", tmp_path / f"plan{kill_at}"))
        folder = plan / "read_1"
        told = tmp_path / f"told{kill_at}"
        told.touch()
        if run(processes, folder, kill_at, told) == 0:
            break
        promised = told.read_text().split()
        kept = done_in(folder)
        kept_by[kill_at] = len(kept)
        # All that was said to be kept is there, and of what was being written at most one more.
        assert promised == list(kept)[: len(promised)]
        assert len(kept) <= len(promised) + 1
        go_through(Session(folder))
        assert {code: done_in(folder)[code] for code in kept} == kept
        assert Session(folder).finished
        assert not list(folder.rglob(".writing-*"))
    assert set(kept_by.values()) == {0, 1}
    assert len(kept_by) >= 12


def test_a_line_torn_at_any_byte_is_as_if_it_had_not_been_written(plan):
    clock = Clock()
    folder = plan / "reader_A/read_1"
    with Session(folder, clock) as session:
        session.next_case()
        session.skip("no lesion, naïve reader")
    whole = (folder / "log.jsonl").read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for cut in range(last, len(whole)):
        (folder / "log.jsonl").write_bytes(whole[:cut])
        session = Session(folder, clock)
        assert session.current.code == "A1-001"
        session.open()
        session.close()
        assert (folder / "log.jsonl").read_bytes()[:last] == whole[:last]
        assert [entry.event for entry in read_log(folder)] == ["opened", "shown", "opened"]


def test_two_processes_exclude_each_other_and_a_killed_one_leaves_no_lock(plan, processes):
    folder = plan / "reader_A/read_1"
    opened = processes.Event()
    finish = processes.Event()
    other = processes.Process(target=hold, args=(str(folder), opened, finish))
    other.start()
    assert opened.wait(HANG_S)
    ours = Session(folder)
    with pytest.raises(InputError, match="open in another window"):
        ours.open()
    os.kill(other.pid, signal.SIGKILL)
    other.join(HANG_S)
    ours.open()
    with pytest.raises(InputError, match="open in another window"):
        Session(folder).open()
    ours.close()
    Session(folder).open()


# Damage


def damaged(text):
    return text.replace('"code": "A1-002"', '"code": "A1-001"')


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:200],
        lambda text: "[]",
        damaged,
        lambda text: text.replace('"version": 1', '"version": 9'),
    ],
)
def test_a_damaged_session_file_gets_one_line(plan, change):
    path = plan / "reader_A/read_1/session.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=r"session\.json") as fault:
        Session(path)
    assert len(fault.value.faults) == 1


def test_a_damaged_log_gets_one_line(plan):
    clock = Clock()
    folder = plan / "reader_A/read_1"
    go_through(Session(folder, clock))
    lines = (folder / "log.jsonl").read_text().splitlines(keepends=True)
    for number, faulty in {
        3: [*lines[:2], "{half\n", *lines[2:]],
        6: [*lines[:5], lines[4], *lines[5:]][:6] + lines[2:3],
        2: [lines[3], lines[0]],
        4: [*lines[:3], lines[3].replace("A1-002", "A1-099")],
    }.items():
        (folder / "log.jsonl").write_text("".join(faulty))
        with pytest.raises(InputError, match=r"log\.jsonl: line") as fault:
            Session(folder)
        assert len(fault.value.faults) == 1, number
    (folder / "log.jsonl").write_text("".join(lines))
    assert Session(folder).finished


def test_missing_images_can_be_skipped(plan):
    with Session(plan / "reader_A/read_1") as session:
        session.next_case()
        session.images[0].unlink()
        with pytest.raises(InputError, match="A1-001_phase0"):
            session.save_outline(a_mask(), GEOMETRY)
        session.skip("image missing")
        assert session.current.code == "A1-002"


# What the coordinator gets


def test_outlines_come_back_under_the_true_case_ids(plan, cohort_folder, tmp_path, capsys):
    clock = Clock()
    with pytest.raises(InputError, match="no case is outlined yet"):
        outlines(plan)
    for name, radius in (("reader_A/read_1", 4), ("reader_B/read_1", 6)):
        go_through(Session(plan / name, clock), radius)
    clock.wait(days=20)
    go_through(Session(plan / "reader_A/read_2", clock), 5)
    found = outlines(plan)
    case_ids = sorted(
        case.case_id for case in draw_cases(read_manifest(cohort_folder / "manifest.csv"), PLAN)
    )
    assert [(one.case_id, one.rater) for one in found] == [
        (case, rater) for case in case_ids for rater in ("A1", "A2", "B1")
    ]
    volumes = {one["rater"]: one["shape3d_volume"] for one in feature_table(found, workers=1).rows}
    assert volumes["A1"] < volumes["A2"] < volumes["B1"]
    assert main(["features", "--session", str(plan), "--out", str(tmp_path / "features")]) == 0
    capsys.readouterr()
    assert [row["case_id"] for row in rows_of(tmp_path / "features" / "features.csv")] == [
        case for case in case_ids for _ in range(3)
    ]
    assert {row["status"] for row in rows_of(tmp_path / "features" / "reads.csv")} == {"outlined"}
    changed = found[0].roi
    write_volume(
        Volume(np.ones((2, 2, 2), np.uint8), Geometry((2, 2, 2), (1.0,) * 3, (0.0,) * 3, GEOMETRY.direction)),
        changed,
    )
    with pytest.raises(InputError, match="not the outline that was saved"):
        outlines(plan)
    changed.unlink()
    with pytest.raises(InputError, match="the outline is not there"):
        outlines(plan)


def test_a_skipped_case_is_a_row_of_empty_cells(plan, tmp_path):
    with Session(plan / "reader_B/read_1") as session:
        session.next_case()
        session.skip("motion")
    go_through(Session(plan / "reader_B/read_1"))
    assert main(["features", "--session", str(plan), "--out", str(tmp_path / "features")]) == 0
    empty = [row for row in rows_of(tmp_path / "features" / "features.csv") if not row["shape3d_volume"]]
    assert [(row["case_id"], row["rater"]) for row in empty] == [(key_of(plan)["B1-001"], "B1")]


def test_a_damaged_coordinators_folder_gets_one_line(plan):
    go_through(Session(plan / "reader_B/read_1"))
    key = plan / "coordinator" / "key.csv"
    rows = key.read_text().splitlines()
    key.write_text("\n".join(rows[:-1]))
    with pytest.raises(InputError, match="is not in the key"):
        outlines(plan)
    key.unlink()
    with pytest.raises(InputError, match=r"key\.csv: no such file"):
        outlines(plan)
    content = json.loads((plan / "coordinator" / "plan.json").read_text())
    (plan / "coordinator" / "plan.json").write_text(json.dumps({**content, "reads": 3}))
    with pytest.raises(InputError, match="damaged"):
        outlines(plan)
