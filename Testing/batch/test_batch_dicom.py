"""A batch with `--dicom-out`: the objects are written with the case's folder, and a case without them is read
again.
"""

import contextlib
import csv
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydicom import dcmread

pytest.importorskip("highdicom")

from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.batch import batch
from HER2ViTTrainingLib.commands.main import main
from support.examinations import a_lesion, write_classic
from support.models import a_bundle_folder

FILES = ["saliency_task1.dcm", "saliency_task2.dcm", "seg.dcm", "sr.dcm"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    task1 = a_bundle_folder(folder / "task1", "zero-vs-rest", 1)
    task2 = a_bundle_folder(folder / "task2", "low-vs-positive", 2)
    return ["--bundle", str(task1), "--bundle", str(task2), "--device", "cpu"]


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder with two cases of one examination, and a manifest. No processes: a thread reads."""

    @contextlib.contextmanager
    def executor(workers, scheduler):
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr(batch, "executor", executor)
    geometry = load_study(write_classic(tmp_path / "images")).geometry
    smaller = a_lesion()
    smaller[:, :18] = False
    write_volume(Volume(a_lesion().astype(np.uint8), geometry), tmp_path / "a.nrrd")
    write_volume(Volume(smaller.astype(np.uint8), geometry), tmp_path / "b.nrrd")
    write_manifest(tmp_path, [("A", "images", "a.nrrd", "left"), ("B", "images", "b.nrrd", "")])
    return tmp_path


def write_manifest(folder, rows):
    columns = ("case_id", "image", "roi", "laterality", "patient_id")
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *[(*row, "p") for row in rows]])


def words(folder, bundles, *more):
    return ["batch", str(folder / "manifest.csv"), *bundles, "--out", str(folder / "out"), *map(str, more)]


def run(folder, bundles, capsys, status=0):
    """How many cases a run attempted."""
    capsys.readouterr()
    assert main(words(folder, bundles, "--dicom-out", folder / "dicom")) == status
    return int(capsys.readouterr().out.split(" of them in this run")[0].split()[-1])


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.dcm")}


def test_every_case_gets_its_objects_and_its_side(archive, bundles, capsys):
    assert run(archive, bundles, capsys) == 2
    assert sorted(contents(archive / "dicom")) == [f"{case}/{name}" for case in "AB" for name in FILES]
    left = dcmread(archive / "dicom" / "A" / "seg.dcm").SegmentSequence[0].AnatomicRegionSequence[0]
    unknown = dcmread(archive / "dicom" / "B" / "seg.dcm").SegmentSequence[0].AnatomicRegionSequence[0]
    assert left.AnatomicRegionModifierSequence[0].CodeValue == "7771000"
    assert "AnatomicRegionModifierSequence" not in unknown
    for path in (archive / "out").rglob("*.*"):
        assert not any(word in path.read_bytes() for word in ("Döe".encode(), b"Doe", b"4711", b"20200229"))


@pytest.mark.parametrize("damage", ["folder", "file", "content"])
def test_a_case_without_its_objects_is_read_again(archive, bundles, capsys, damage):
    run(archive, bundles, capsys)
    before = contents(archive / "dicom")
    assert run(archive, bundles, capsys) == 0
    folder = archive / "dicom" / "B"
    if damage == "folder":
        shutil.rmtree(folder)
    elif damage == "file":
        (folder / "sr.dcm").unlink()
    else:
        (folder / "sr.dcm").write_bytes(before["A/sr.dcm"])
    assert run(archive, bundles, capsys) == 1
    assert contents(archive / "dicom") == before


def test_a_run_without_objects_stands_and_one_with_them_reads_anew(archive, bundles, capsys):
    assert main(words(archive, bundles)) == 0
    table = (archive / "out" / "readings.csv").read_bytes()
    assert run(archive, bundles, capsys) == 2
    assert (archive / "out" / "readings.csv").read_bytes() == table


def test_a_case_that_fails_has_no_objects(archive, bundles, capsys):
    run(archive, bundles, capsys)
    geometry = load_study(archive / "images").geometry
    write_volume(Volume(np.zeros(geometry.shape, np.uint8), geometry), archive / "b.nrrd")
    assert run(archive, bundles, capsys, status=3) == 1
    assert sorted(path.name for path in (archive / "dicom").iterdir()) == ["A"]


def test_images_that_cannot_be_referred_to_are_the_cases_failure(archive, bundles, capsys):
    shutil.rmtree(archive / "images")
    write_classic(archive / "images", FrameOfReferenceUID="")
    assert run(archive, bundles, capsys, status=3) == 2
    with (archive / "out" / "failures.csv").open(newline="") as file:
        failures = list(csv.DictReader(file))
    assert [failure["stage"] for failure in failures] == ["dicom", "dicom"]
    assert all("has no FrameOfReferenceUID" in failure["reason"] for failure in failures)


def test_a_batch_of_no_dicom_is_refused_before_anything_is_read(archive, bundles, refused):
    shutil.copy(archive / "a.nrrd", archive / "image.nrrd")
    write_manifest(archive, [("A", "images", "a.nrrd", ""), ("C", "image.nrrd", "b.nrrd", "")])
    line = refused(words(archive, bundles, "--dicom-out", archive / "dicom"))
    assert "case C" in line
    assert "leave out --dicom-out" in line
    assert not (archive / "out").exists()
    assert not (archive / "dicom").exists()


def test_a_folder_with_anything_else_is_refused(archive, bundles, refused):
    (archive / "dicom").mkdir()
    (archive / "dicom" / "mine.txt").write_text("mine")
    assert "mine.txt" in refused(words(archive, bundles, "--dicom-out", archive / "dicom"))
    assert "part them" in refused(words(archive, bundles, "--dicom-out", archive / "out" / "dicom"))
    assert not (archive / "out").exists()
