"""Many cases: the tables, resuming after an interruption, and what may not happen to the others when one case
is bad.
"""

import contextlib
import csv
import errno
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from filelock import FileLock

from conftest import REPOSITORY
from HER2ViTLib.imaging.image_files import image_sha256, read_volume, write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.batch import batch
from HER2ViTTrainingLib.batch import jobs as batch_jobs
from HER2ViTTrainingLib.batch import worker as batch_worker
from HER2ViTTrainingLib.batch.jobs import job_of
from HER2ViTTrainingLib.cohort.manifest import read_cases
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.training.inputs import FileHashes
from support.models import a_bundle_folder
from support.patience import HANG_S, wait_until

GEOMETRY = Geometry((6, 40, 44), (1.2, 1.2, 3.0), (5.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
CASES = 24
MANY = [f"c{n:02}" for n in range(CASES)]


def write_image(path, seed):
    k, j, i = np.indices(GEOMETRY.shape)
    lesion = ((k - 3) / 2) ** 2 + ((j - 20) / (5 + seed % 4)) ** 2 + ((i - 22) / 7) ** 2 <= 1
    noise = np.random.default_rng(seed)
    write_volume(
        Volume((noise.normal(100, 10, GEOMETRY.shape) + 150 * lesion).astype(np.int16), GEOMETRY), path
    )
    return lesion


def write_manifest(path, rows, columns=("case_id", "image", "roi", "exclude")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A folder with images, outlines, two bundles, and a manifest of sound cases."""
    folder = tmp_path_factory.mktemp("archive")
    for n, name in enumerate(MANY):
        lesion = write_image(folder / f"{name}.nrrd", n)
        write_volume(Volume(lesion.astype(np.uint8), GEOMETRY), folder / f"{name}_roi.nrrd")
    (folder / "text.nrrd").write_text("not an image")
    a_bundle_folder(folder / "task1", "zero-vs-rest", 1)
    a_bundle_folder(folder / "task2", "low-vs-positive", 2)
    write_manifest(folder / "manifest.csv", [rows_of(name) for name in MANY])
    return folder


def rows_of(name, **changes):
    return tuple(
        {
            "case_id": name,
            "image": f"{name}.nrrd",
            "roi": f"{name}_roi.nrrd",
            "exclude": "",
            **changes,
        }.values()
    )


def words(archive, out, *more, manifest="manifest.csv"):
    bundles = ["--bundle", str(archive / "task1"), "--bundle", str(archive / "task2")]
    return ["batch", str(archive / manifest), *bundles, "--device", "cpu", "--out", str(out), *more]


@pytest.fixture
def in_this_process(monkeypatch):
    """No processes: a thread reads, which is all the same to `batch`."""

    @contextlib.contextmanager
    def executor(workers, scheduler):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(batch, "executor", executor)


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory):
    """`readings.csv` of a run in one go, in worker processes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert main(words(archive, out, "--workers", "2")) == 0
    return (out / "readings.csv").read_bytes()


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(out):
    """When each case's reading was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("cases/*/reading.json")}


def test_the_third_task_adds_its_columns_and_changes_no_other(
    archive, undisturbed, tmp_path, in_this_process
):
    third = a_bundle_folder(tmp_path / "task3", "positive-vs-negative", 3)
    assert b"task3" not in undisturbed
    assert main(words(archive, tmp_path / "out", "--bundle", str(third))) == 0
    rows = table(tmp_path / "out" / "readings.csv")
    before = list(csv.DictReader(undisturbed.decode().splitlines()))
    added = [name for name in rows[0] if name not in before[0]]
    assert added[0] == "task3_score"
    assert all(name.startswith("task3_") for name in added)
    assert all(row["task3_score"] for row in rows)
    for row, row_before in zip(rows, before, strict=True):
        assert row.items() >= row_before.items()
    by_itself = ["batch", str(archive / "manifest.csv"), "--bundle", str(third), "--device", "cpu"]
    assert main([*by_itself, "--out", str(tmp_path / "alone")]) == 0
    alone = table(tmp_path / "alone" / "readings.csv")
    assert [row["task3_score"] for row in alone] == [row["task3_score"] for row in rows]
    assert {row["call"] + row["p_zero"] + row["task1_score"] for row in alone} == {""}


def test_several_slices_are_read_as_read_reads_them(archive, tmp_path, in_this_process):
    outline = read_volume(archive / "c00_roi.nrrd")
    outline.array[np.arange(len(outline.array)) != 3] = 0
    write_volume(outline, archive / "one_slice.nrrd")
    single = rows_of("one slice", image="c00.nrrd", roi="one_slice.nrrd")
    write_manifest(archive / "slices.csv", [rows_of("c01"), single])
    in_batch = words(archive, tmp_path / "batch", "--slice-count", "3", manifest="slices.csv")
    assert main(in_batch) == 0
    several, one = table(tmp_path / "batch" / "readings.csv")
    columns = list(several)
    after = columns.index("task1_bundle_sha256") + 1
    assert columns[after : after + 2] == ["task1_slices", "task1_spread"]
    assert (several["task1_slice"], several["task1_slices"]) == ("3", "2;3;4")
    assert (one["task1_slices"], one["task1_spread"]) == ("", "")
    assert "slice_count" in several["warnings"].split()

    case = [str(archive / "c01.nrrd"), "--roi", str(archive / "c01_roi.nrrd"), "--no-figures"]
    assert main(["read", *case, *words(archive, tmp_path / "read", "--slice-count", "3")[2:]]) == 0
    by_itself = json.loads((tmp_path / "read" / "reading.json").read_text())["tasks"]
    for key in ("task1", "task2"):
        for column in ("score", "score_raw", "spread"):
            assert float(several[f"{key}_{column}"]) == pytest.approx(by_itself[key][column], abs=2e-6)


def test_with_another_number_of_slices_all_is_read_again(archive, undisturbed, tmp_path, in_this_process):
    write_manifest(archive / "one.csv", [rows_of("c01")])
    out = tmp_path / "out"
    of_three = words(archive, out, "--slice-count", "3", manifest="one.csv")
    assert main(of_three) == 0
    before = written(out)
    assert main(of_three) == 0
    assert written(out) == before
    assert main(words(archive, out, manifest="one.csv")) == 0
    rows = list(csv.DictReader(undisturbed.decode().splitlines()))
    assert table(out / "readings.csv") == [row for row in rows if row["case_id"] == "c01"]


def test_readings_and_failures_in_the_manifests_order(archive, tmp_path, capsys, in_this_process):
    rows = [
        rows_of("c03"),
        rows_of("gone", image="gone.nrrd"),
        rows_of("c01"),
        rows_of("broken", image="text.nrrd", roi="c02_roi.nrrd"),
        rows_of("flat", image="c02.nrrd", roi="text.nrrd"),
        rows_of("left out", exclude="motion"),
        rows_of("c00"),
    ]
    write_manifest(archive / "mixed.csv", rows)
    assert main(words(archive, tmp_path / "out", manifest="mixed.csv")) == 3
    assert "6 cases: 3 read, 3 failed" in capsys.readouterr().out
    readings = table(tmp_path / "out" / "readings.csv")
    failures = table(tmp_path / "out" / "failures.csv")
    assert [row["case_id"] for row in readings] == ["c03", "c01", "c00"]
    assert [(row["case_id"], row["stage"]) for row in failures] == [
        ("gone", "image"),
        ("broken", "image"),
        ("flat", "outline"),
    ]
    assert failures[0]["reason"].startswith("gone.nrrd: no such file")
    texts = [
        path.read_text()
        for path in (tmp_path / "out").rglob("*")
        if path.suffix in (".csv", ".json", ".html")
    ]
    assert len(texts) == 3 + 3 * 3 + 3
    assert all(str(archive) not in text for text in texts)
    names = {path.name for path in (tmp_path / "out" / "cases" / "c03").iterdir()}
    assert names == {
        "reading.json",
        "report.html",
        "attention_task1.nrrd",
        "attention_task2.nrrd",
        "record.json",
    }
    alone = [
        "read",
        str(archive / "c03.nrrd"),
        "--roi",
        str(archive / "c03_roi.nrrd"),
        "--out",
        str(tmp_path / "alone"),
        "--case-id",
        "c03",
    ]
    assert main([*alone, *words(archive, "")[2:6], "--device", "cpu", "--no-figures"]) == 0
    one = json.loads((tmp_path / "alone" / "reading.json").read_text())
    assert one == json.loads((tmp_path / "out" / "cases" / "c03" / "reading.json").read_text())
    assert readings[0]["task2_score"] == f"{one['tasks']['task2']['score']:.6f}"
    assert (readings[0]["call"], readings[0]["task1_foci"]) == (
        one["call"],
        str(one["tasks"]["task1"]["attention"]["foci"]),
    )


def test_a_resampled_outline_is_said_to_be_by_every_command(archive, tmp_path, in_this_process):
    moved = replace(GEOMETRY, origin=(5.0, -20.0, 31.0))
    write_volume(Volume(write_image(tmp_path / "a.nrrd", 1).astype(np.uint8), moved), tmp_path / "moved.nrrd")
    columns = ("case_id", "image", "roi", "her2_status")
    manifest = write_manifest(tmp_path / "manifest.csv", [("a", "a.nrrd", "moved.nrrd", "low")], columns)
    assert main(words(archive, tmp_path / "batch", manifest=manifest)) == 0
    assert "outline_resampled" in table(tmp_path / "batch" / "readings.csv")[0]["warnings"].split()
    alone = [
        "read",
        str(tmp_path / "a.nrrd"),
        "--roi",
        str(tmp_path / "moved.nrrd"),
        "--out",
        str(tmp_path / "read"),
        "--no-figures",
    ]
    assert main([*alone, *words(archive, "")[2:6], "--device", "cpu"]) == 0
    assert main(["features", str(manifest), "--out", str(tmp_path / "features")]) == 0
    reading = json.loads((tmp_path / "read" / "reading.json").read_text())
    measured = json.loads((tmp_path / "features" / "features.json").read_text())["cases"][0]
    for warnings in (reading["warnings"], measured["warnings"]):
        (text,) = (warning["text"] for warning in warnings if warning["code"] == "outline_resampled")
        assert "origin 5 x -20 x 31 against 5 x -20 x 30 mm" in text


def test_figures_when_asked_for(archive, tmp_path, in_this_process):
    write_manifest(archive / "one.csv", [rows_of("c00")])
    assert main(words(archive, tmp_path / "out", "--figures", manifest="one.csv")) == 0
    assert (tmp_path / "out" / "cases" / "c00" / "figure.png").exists()


def test_only_what_changed_is_read_again(archive, tmp_path, in_this_process):
    here = tmp_path / "archive"
    shutil.copytree(archive, here)
    write_manifest(
        here / "manifest.csv", [*(rows_of(name) for name in MANY[:4]), rows_of("bad", image="bad.nrrd")]
    )
    out = tmp_path / "out"

    def read_again(*more):
        before = written(out)
        status = main(words(here, out, *more))
        return status, {name for name, when in written(out).items() if before.get(name) != when}

    assert read_again() == (3, set(MANY[:4]))
    table_before = (out / "readings.csv").read_bytes()
    assert read_again() == (3, set())
    assert (out / "readings.csv").read_bytes() == table_before
    write_image(here / "c02.nrrd", 99)
    assert read_again() == (3, {"c02"})
    write_manifest(
        here / "manifest.csv",
        [rows_of("c03"), rows_of("c00", roi="c01_roi.nrrd"), rows_of("bad", image="bad.nrrd")],
    )
    assert read_again() == (3, {"c00"})
    assert [row["case_id"] for row in table(out / "readings.csv")] == ["c03", "c00"]
    write_image(here / "bad.nrrd", 3)
    write_volume(Volume(write_image(here / "bad.nrrd", 3).astype(np.uint8), GEOMETRY), here / "bad_roi.nrrd")
    assert read_again() == (0, {"bad"})
    assert table(out / "failures.csv") == []
    a_bundle_folder(here / "task2", "low-vs-positive", 7)
    assert read_again() == (0, {"c03", "c00", "bad"})


@pytest.mark.parametrize("header", ["image.nhdr", "image.mhd", "image.nrrd", "image.hdr", "image.img"])
def test_voxels_beside_their_header_count_as_the_image(tmp_path, header):
    """A resumed run, and a cache of inputs, must see that only the voxel file has changed."""
    sitk.WriteImage(
        sitk.GetImageFromArray(np.ones(GEOMETRY.shape, np.uint8)),
        str(tmp_path / header.replace(".nrrd", ".nhdr")),
    )
    if header == "image.nrrd":  # what is a header tells its content
        (tmp_path / "image.nhdr").rename(tmp_path / header)
    (tmp_path / "roi.nrrd").touch()
    write_manifest(tmp_path / "manifest.csv", [("a", header, "roi.nrrd", "")])
    (case,) = read_cases(tmp_path / "manifest.csv")
    settings = batch_jobs.Settings(tmp_path, (), (), "cpu", "rollout", False)

    def known_as():
        return (
            job_of(case, settings, tmp_path / "a").key,
            image_sha256(case.images[0]),
            FileHashes(tmp_path / "index.json").of(case.images[0]),
        )

    before = known_as()
    voxels = next(
        path for path in tmp_path.iterdir() if path.suffix in (".raw", ".img", ".hdr") and path.name != header
    )
    voxels.write_bytes(voxels.read_bytes()[:-1] + b"\x07")
    assert not set(before) & set(known_as())


def test_what_is_no_file_keeps_no_batch_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.nrrd")
    (tmp_path / "circle.nrrd").symlink_to("circle.nrrd")
    (tmp_path / "folder.nrrd").mkdir()
    names = ["pipe.nrrd", "circle.nrrd", "folder.nrrd", "x" * 300 + ".nrrd", "/dev/zero"]
    write_manifest(
        tmp_path / "manifest.csv", [(f"case {n}", name, name + ".mhd", "") for n, name in enumerate(names)]
    )
    settings = batch_jobs.Settings(tmp_path, (), (), "cpu", "rollout", False)
    assert len(
        {job_of(case, settings, tmp_path).key for case in read_cases(tmp_path / "manifest.csv")}
    ) == len(names)


def test_a_worker_of_another_version_reads_nothing(tmp_path):
    settings = batch_jobs.Settings(tmp_path, (), (), "cpu", "rollout", False, her2vit="0.0.0")
    with pytest.raises(InputError, match="install the same version everywhere"):
        batch_worker.read_jobs(settings, ())


def test_failed_cases_are_tried_again_when_asked(archive, tmp_path, monkeypatch, in_this_process):
    write_manifest(archive / "two.csv", [rows_of("c00"), rows_of("c01")])

    def out_of_order(job):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(batch_worker, "load_case_study", out_of_order)
        assert main(words(archive, tmp_path / "out", manifest="two.csv")) == 3
    assert main(words(archive, tmp_path / "out", manifest="two.csv")) == 3
    assert [row["stage"] for row in table(tmp_path / "out" / "failures.csv")] == ["image", "image"]
    assert main(words(archive, tmp_path / "out", "--retry-failed", manifest="two.csv")) == 0
    assert len(table(tmp_path / "out" / "readings.csv")) == 2


FAULTS = {
    "no roi column": (("case_id", "image"), [("a", "c00.nrrd")], "column roi is missing"),
    "one id twice": (
        ("case_id", "image", "roi"),
        [("a", "c00.nrrd", "c00_roi.nrrd"), ("A", "c01.nrrd", "c01_roi.nrrd")],
        "row 2 already",
    ),
    "out of the folder": (
        ("case_id", "image", "roi"),
        [("../evil", "c00.nrrd", "c00_roi.nrrd")],
        "cannot be the name of a folder",
    ),
    "a device": (
        ("case_id", "image", "roi"),
        [("con.x", "c00.nrrd", "c00_roi.nrrd")],
        "cannot be the name of a folder",
    ),
    "nothing to read": (("case_id", "image", "roi", "exclude"), [("a", "", "", "no MRI")], "no case to read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_manifest_stops_all_before_anything(archive, tmp_path, capsys, fault):
    columns, rows, expected = FAULTS[fault]
    write_manifest(archive / "faulty.csv", rows, columns)
    assert main(words(archive, tmp_path / "out", manifest="faulty.csv")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert expected in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--device", "cuda:99"], "cuda:99"),
        (["--bundle", "nothing"], "nothing"),
        (["--workers", "2", "--scheduler", "tcp://x:1"], "--scheduler"),
    ],
)
def test_what_concerns_all_cases_is_one_line_and_leaves_nothing(
    archive, tmp_path, capsys, in_this_process, more, expected
):
    assert main(words(archive, tmp_path / "out", *more)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert expected in lines[0]
    assert not (tmp_path / "out").exists()


def test_two_runs_on_one_folder_exclude_each_other(archive, tmp_path, capsys, in_this_process):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / batch.LOCK_FILE):
        assert main(words(archive, tmp_path / "out")) == 2
    assert "another run" in capsys.readouterr().err
    assert not (tmp_path / "out" / "readings.csv").exists()


def test_a_full_disk_ends_the_run_and_loses_nothing(
    archive, tmp_path, capsys, monkeypatch, in_this_process, undisturbed
):
    write = batch_worker.write_reading
    calls = []

    def until_full(reading, study, roi, folder, **more):
        calls.append(folder)
        (folder / "reading.json").write_bytes(b"half")
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(reading, study, roi, folder, **more)

    with monkeypatch.context() as patch:
        patch.setattr(batch_worker, "write_reading", until_full)
        assert main(words(archive, tmp_path / "out")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert "No space left on device" in lines[0]
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 5
    assert main(words(archive, tmp_path / "out")) == 0
    assert (tmp_path / "out" / "readings.csv").read_bytes() == undisturbed


def test_a_disk_that_is_full_for_the_last_bytes_of_an_image_only(tmp_path):
    """SimpleITK does not see that: the image must not take its name."""
    resource = pytest.importorskip("resource")
    volume = Volume(np.random.default_rng(0).normal(size=GEOMETRY.shape), GEOMETRY)
    write_volume(volume, tmp_path / "whole.nrrd")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "whole.nrrd").stat().st_size - 100, before[1]))
    try:
        with pytest.raises(OSError, match="not written whole"):
            write_volume(volume, tmp_path / "cut.nrrd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.nrrd"]


def test_results_that_are_gone_or_damaged_are_named(archive, tmp_path, capsys, monkeypatch, in_this_process):
    """Workers of a cluster that write elsewhere; a reading that something has happened to since."""
    write_manifest(archive / "two.csv", [rows_of("c00"), rows_of("c01")])
    with monkeypatch.context() as patch:
        patch.setattr(batch, "_read_jobs", lambda settings, jobs: None)
        assert main(words(archive, tmp_path / "out", manifest="two.csv")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert ["c00" in lines[0] and "under the same path" in lines[0], "c01" in lines[1], len(lines)] == [
        True,
        True,
        2,
    ]
    assert main(words(archive, tmp_path / "out", manifest="two.csv")) == 0
    whole = (tmp_path / "out" / "readings.csv").read_bytes()
    for damage in (b"", b"\0" * 100, b"{}", b"[" * 5000, b'{"tasks": []}'):
        (tmp_path / "out" / "cases" / "c01" / "reading.json").write_bytes(damage)
        capsys.readouterr()
        assert main(words(archive, tmp_path / "out", manifest="two.csv")) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "remove the folder c01" in line
    shutil.rmtree(tmp_path / "out" / "cases" / "c01")
    assert main(words(archive, tmp_path / "out", manifest="two.csv")) == 0
    assert (tmp_path / "out" / "readings.csv").read_bytes() == whole


def test_several_cases_in_one_forward_and_one_of_them_faulty(
    archive, tmp_path, monkeypatch, in_this_process, undisturbed
):
    read_task = batch_worker.Reader._read_task

    def faulty(self, bundle, patches):
        found = read_task(self, bundle, patches)
        if any(abs(task.area_mm2 - bad_area) < 1e-6 for task in found):
            raise FloatingPointError("no finite score")
        return found

    expected = list(csv.DictReader(undisturbed.decode().splitlines()))
    bad_area = float(expected[0]["task1_area_mm2"])
    monkeypatch.setattr(batch_worker, "cases_per_forward", lambda reader: 5)
    monkeypatch.setattr(batch_worker.Reader, "_read_task", faulty)
    assert main(words(archive, tmp_path / "out")) == 3
    failed = {row["case_id"]: row["stage"] for row in table(tmp_path / "out" / "failures.csv")}
    assert failed == {
        row["case_id"]: "reading" for row in expected if abs(float(row["task1_area_mm2"]) - bad_area) < 1e-5
    }
    for row, other in zip(
        table(tmp_path / "out" / "readings.csv"), (row for row in expected if row["case_id"] not in failed)
    ):
        assert float(row["task1_score"]) == pytest.approx(float(other["task1_score"]), abs=2e-6)


# Processes


def start(archive, out, manifest):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-m",
        "HER2ViTTrainingLib.commands.main",
        *words(archive, out, "--workers", "1", manifest=manifest),
    ]
    # Tests that run in a shell's background inherit that Ctrl-C is ignored; a user's command does not.
    listens = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listens,
    )


def finished(out):
    return len(list(out.glob("cases/*/record.json")))


def test_killed_five_times_at_random_and_gone_on_with(archive, tmp_path):
    """Four SIGKILL and a Ctrl-C: no process stays, nothing is lost, the tables are those of an undisturbed
    run.
    """
    psutil = pytest.importorskip("psutil")
    # The same images many times over, that no run comes to its end before it is killed.
    names = [f"{name}-{n}" for name in MANY for n in range(6)]
    write_manifest(archive / "many.csv", [(name, *rows_of(name[:3])[1:]) for name in names])
    assert main(words(archive, tmp_path / "undisturbed", "--workers", "2", manifest="many.csv")) == 0
    out = tmp_path / "out"
    chance = random.Random(1)
    ends = [signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGKILL, signal.SIGKILL]
    for number, end in enumerate(ends, start=1):
        with start(archive, out, "many.csv") as process:
            share = len(names) * number // 8
            wait_until(lambda: finished(out) >= share or process.poll() is not None)  # noqa: B023
            time.sleep(chance.uniform(0, 0.05))
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(end)
            said = process.stderr.read() if end == signal.SIGINT else ""
            status = process.wait()
        assert psutil.wait_procs(children, timeout=HANG_S)[1] == []
        assert status == (130 if end == signal.SIGINT else -end)
        assert "Traceback" not in said
        for record in out.glob("cases/c*/record.json"):
            assert {"reading.json", "report.html"} <= {path.name for path in record.parent.iterdir()}
    before = written(out)
    assert main(words(archive, out, "--workers", "1", manifest="many.csv")) == 0
    # by two workers
    assert (out / "readings.csv").read_bytes() == (tmp_path / "undisturbed" / "readings.csv").read_bytes()
    assert {name: written(out)[name] for name in before} == before
    assert sorted(path.name for path in (out / "cases").iterdir()) == names


def deadly(settings, jobs):
    """Reads as `batch` does, but a case named poison kills the process that reads it."""
    for job in jobs:
        if job.case_id == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        batch_worker.read_jobs(settings, [job])


def test_a_case_that_kills_its_worker_fails_alone(archive, tmp_path, monkeypatch, undisturbed):
    monkeypatch.setattr(batch, "_read_jobs", deadly)
    rows = [rows_of(name) for name in MANY]
    write_manifest(
        archive / "poisoned.csv",
        [*rows[:7], rows_of("poison", image="c00.nrrd", roi="c00_roi.nrrd"), *rows[7:]],
    )
    assert main(words(archive, tmp_path / "out", "--workers", "1", manifest="poisoned.csv")) == 3
    assert [(row["case_id"], row["stage"]) for row in table(tmp_path / "out" / "failures.csv")] == [
        ("poison", "worker")
    ]
    assert (tmp_path / "out" / "readings.csv").read_bytes() == undisturbed


def test_a_cluster_reads_the_same(archive, tmp_path, undisturbed):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        assert main(words(archive, tmp_path / "out", "--scheduler", cluster.scheduler_address)) == 0
    assert (tmp_path / "out" / "readings.csv").read_bytes() == undisturbed


def test_the_script_for_slicer_does_the_same_under_plain_python(tmp_path):
    script = REPOSITORY / "HER2ViTTraining" / "HER2ViTTrainingLib" / "slicer_batch.py"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words):
        return subprocess.run(
            [sys.executable, str(script), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    assert "batch" in run("--", "help").stdout
    assert run("help").returncode == 0
    assert (run("--", "help", "fly").returncode, run("batch", "--nonsense").returncode) == (2, 2)
