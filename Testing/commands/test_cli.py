"""The commands as a user runs them: what they write, what they say, how they end."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.imaging.image_files import write_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.origin import is_grown
from HER2ViTLib.model.preprocessing import MAX_SLICE_COUNT
from HER2ViTTrainingLib.commands.main import EXTRAS, main, with_joined_negatives
from support.csv_files import rows_of
from support.models import a_bundle_folder
from support.outline_writer import write_images, write_segments

GEOMETRY = Geometry((8, 60, 64), (0.9, 0.9, 3.0), (5.0, -20.0, 30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def a_lesion():
    k, j, i = np.indices(GEOMETRY.shape)
    return ((k - 4) / 2.5) ** 2 + ((j - 30) / 9) ** 2 + ((i - 32) / 8) ** 2 <= 1


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A folder with a study of three phases, its outline, two bundles, and inputs with one fault each."""
    folder = tmp_path_factory.mktemp("case")
    noise = np.random.default_rng(0)
    for name, level in (("pre", 0), ("post1", 150), ("post2", 160)):
        image = (noise.normal(100, 10, GEOMETRY.shape) + level * a_lesion()).astype(np.int16)
        write_volume(Volume(image, GEOMETRY), folder / f"{name}.nrrd")
    write_volume(Volume(a_lesion().astype(np.uint8), GEOMETRY), folder / "roi.nrrd")
    a_bundle_folder(folder / "task1", "zero-vs-rest", 1)
    a_bundle_folder(folder / "task2", "low-vs-positive", 2)
    _write_faulty(folder)
    return folder


def _write_faulty(folder):
    shape = GEOMETRY.shape
    shifted = Geometry(shape, GEOMETRY.spacing, (9.0, 9.0, 9.0), GEOMETRY.direction)
    far = Geometry(shape, GEOMETRY.spacing, (900.0, 0.0, 0.0), GEOMETRY.direction)
    labels = a_lesion().astype(np.uint8)
    write_volume(Volume(np.zeros(shape, np.uint8), GEOMETRY), folder / "empty.nrrd")
    write_volume(Volume(labels, far), folder / "elsewhere.nrrd")
    write_volume(Volume(labels + (np.indices(shape)[2] < 5), GEOMETRY), folder / "plain.nrrd")
    two = labels.copy()
    two[0, :5, :5] = 2
    write_volume(Volume(two, GEOMETRY), folder / "two.nrrd")
    write_volume(Volume(np.ones(shape, np.int16), shifted), folder / "shifted.nrrd")
    with_nan = np.ones(shape, np.float32)
    with_nan[3, 3, 3] = np.nan
    write_volume(Volume(with_nan, GEOMETRY), folder / "nan.nrrd")
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((8, 60, 64, 3), np.uint8), isVector=True), str(folder / "rgb.nrrd")
    )
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((60, 64), np.uint8)), str(folder / "flat.nrrd"))
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 8, 60, 64), np.uint8)), str(folder / "series.nii.gz"))
    (folder / "text.nrrd").write_text("not an image")
    a_bundle_folder(folder / "damaged", "zero-vs-rest", 3)
    with (folder / "damaged" / "model.safetensors").open("ab") as weights:
        weights.write(b"x")


def read_words(
    case,
    out,
    *more,
    images=("pre.nrrd", "post1.nrrd", "post2.nrrd"),
    roi="roi.nrrd",
    bundles=("task1", "task2"),
):
    named = [word for bundle in bundles for word in ("--bundle", str(case / bundle))]
    return [
        "read",
        *(str(case / image) for image in images),
        "--roi",
        str(case / roi),
        *named,
        "--out",
        str(out),
        *more,
    ]


def test_read_writes_what_it_says(case, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(read_words(case, out, "--device", "cpu")) == 0
    said = capsys.readouterr().out
    files = sorted(path.name for path in out.iterdir())
    assert files == [
        "attention_task1.nrrd",
        "attention_task2.nrrd",
        "figure.png",
        "reading.json",
        "report.html",
    ]
    assert all(str(out / name) in said for name in files)
    assert "Research use only" in said
    data = json.loads((out / "reading.json").read_text())
    assert data["early_phase"]["index"] == 1
    assert data["call"] in ("zero", "low", "positive")
    assert data["slice"] == 4
    assert data["warnings"] == []
    for key in ("task1", "task2"):
        assert set(data["tasks"][key]) >= {
            "score_raw",
            "score",
            "threshold",
            "slice",
            "area_mm2",
            "attention",
            "bundle_sha256",
        }


def test_an_outline_in_dicom_gives_the_same_reading(case, tmp_path):
    images = write_images(tmp_path / "images", GEOMETRY)
    mask = a_lesion() > 0
    frames = [(1, k, mask[k]) for k in range(len(mask)) if mask[k].any()]
    seg = write_segments(tmp_path / "seg" / "seg.dcm", GEOMETRY, frames, ("Lesion", "Nothing"))
    found = []
    for roi in (case / "roi.nrrd", seg, seg.parent):
        out = tmp_path / "out" / roi.name
        words = read_words(case, out, "--device", "cpu", "--no-figures", images=(images[0].parent,), roi=roi)
        segment = () if roi.suffix == ".nrrd" else ("--segment", "Lesion")
        assert main([*words, *segment]) == 0
        reading = json.loads((out / "reading.json").read_text())
        hashes = {one["role"]: one["sha256"] for one in reading.pop("inputs")}
        assert hashes["roi"] == file_sha256(roi if roi.is_file() else seg)
        assert "1.2.826" not in (out / "reading.json").read_text()
        found.append(reading)
    assert found[0] == found[1] == found[2]


def test_nothing_names_the_inputs_unless_asked(case, tmp_path):
    main(read_words(case, tmp_path / "silent", "--no-figures"))
    main(read_words(case, tmp_path / "named", "--no-figures", "--keep-names"))
    silent, named = ((tmp_path / name / "reading.json").read_text() for name in ("silent", "named"))
    assert "post1" not in silent
    assert str(case) not in silent + named
    assert json.loads(silent)["case_id"].startswith("case-")
    assert "post1.nrrd" in named


def test_scene_without_slicer_core_is_refused_before_anything_is_written(case, tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "slicer", None)
    for name in [name for name in sys.modules if name.startswith("HER2ViTLib.mrml")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(read_words(case, tmp_path / "out", "--scene")) == 2
    assert "her2vit[slicer]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_slice_axis_and_slice_number(case, tmp_path):
    assert main(read_words(case, tmp_path / "a", "--no-figures", "--slice-axis", "i", "--slice", "30")) == 0
    data = json.loads((tmp_path / "a" / "reading.json").read_text())
    assert (data["slice_axis"], data["slice"]) == ("i", 30)
    expected = np.count_nonzero(a_lesion()[:, :, 30]) * 0.9 * 3.0
    assert data["tasks"]["task1"]["area_mm2"] == pytest.approx(expected)
    saved = sitk.ReadImage(str(tmp_path / "a" / "attention_task1.nrrd"))
    centre = saved.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in saved.GetSize()])
    assert centre[0] == pytest.approx(5.0 + 30 * 0.9, abs=1e-3)


def test_slice_count_reads_the_slices_nearest_the_largest_or_given_one(case, tmp_path, capsys):
    def tasks(*more):
        assert main(read_words(case, tmp_path / "out", "--no-figures", *more)) == 0
        return json.loads((tmp_path / "out" / "reading.json").read_text())["tasks"].values()

    assert all("slices" not in task and "spread" not in task for task in tasks())
    assert "spread" not in capsys.readouterr().out
    assert [task["slices"] for task in tasks("--slice-count", "3")] == [[3, 4, 5]] * 2
    assert "(SD of the logits; no confidence)" in capsys.readouterr().out
    of_given = tasks("--slice-count", "2", "--slice", "6")
    assert [(task["slice"], task["slices"]) for task in of_given] == [(6, [5, 6])] * 2
    assert [task["slices"] for task in tasks("--slice-count", str(MAX_SLICE_COUNT))] == [[2, 3, 4, 5, 6]] * 2


FAULTS = {
    "missing file": (dict(images=("nothing.nrrd",)), "nothing.nrrd: no such file"),
    "not an image": (dict(images=("text.nrrd",)), "text.nrrd: cannot be read"),
    "empty ROI": (dict(roi="empty.nrrd"), "empty.nrrd"),
    "ROI elsewhere": (dict(roi="elsewhere.nrrd"), "elsewhere.nrrd"),
    "several labels": (dict(roi="two.nrrd"), "1, 2"),
    "RGB": (dict(images=("rgb.nrrd",)), "rgb.nrrd"),
    "2D": (dict(images=("flat.nrrd",)), "2D"),
    "NaN": (dict(images=("nan.nrrd",)), "NaN"),
    "4D ROI": (dict(roi="series.nii.gz"), "series.nii.gz"),
    "phases of different geometry": (dict(images=("pre.nrrd", "shifted.nrrd")), "shifted.nrrd"),
    "same phase twice": (dict(images=("pre.nrrd", "pre.nrrd")), "pre.nrrd"),
    "wrong hash": (dict(bundles=("damaged",)), "SHA-256"),
    "no bundle there": (dict(bundles=("nothing",)), "not a bundle folder"),
    "two bundles of one task": (dict(bundles=("task1", "task1")), "both for zero-vs-rest"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_gets_one_line_and_status_2(case, tmp_path, refused, fault):
    changes, expected = FAULTS[fault]
    assert expected in refused(read_words(case, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "tpu"], "tpu"),
        (["--early-phase", "7"], "0-2"),
        (["--slice", "99"], "slices 0 to 7"),
        (["--slice-count", "0"], "'0' is not a whole number from 1 to 64"),
        (["--slice-count", str(MAX_SLICE_COUNT + 1)], "'65' is not a whole number from 1 to 64"),
        (["--segment", "5"], "5"),
        (["--attention", "magic"], "magic"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_options_get_one_line_and_status_2(case, tmp_path, refused, more, expected):
    assert expected in refused(read_words(case, tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


def test_foreign_content_is_neither_lost_nor_mixed_with(case, tmp_path, refused):
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt" in refused(read_words(case, tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_debug_shows_the_traceback(case, tmp_path):
    from HER2ViTLib.messages import InputError

    with pytest.raises(InputError):
        main(read_words(case, tmp_path / "out", "--debug", roi="empty.nrrd"))


def test_help_works_both_ways(capsys):
    assert main(["help"]) == 0
    everything = capsys.readouterr().out
    assert all(command in everything for command in ("demo", "read", "segment", "simulate"))
    assert main(["help", "read"]) == 0
    explained = capsys.readouterr().out
    assert main(["read", "--help"]) == 0
    assert capsys.readouterr().out == explained
    assert "Research use only" in " ".join(explained.split())
    assert main(["help", "fly"]) == 2
    assert main([]) == 2


def test_numbers_below_zero_after_an_option():
    assert with_joined_negatives(["--seed-point", "-30,12,5", "--out", "x"]) == [
        "--seed-point=-30,12,5",
        "--out",
        "x",
    ]
    assert with_joined_negatives(["--a", "-.5", "-h", "--b=1", "-2"]) == ["--a=-.5", "-h", "--b=1", "-2"]


def test_segment_takes_a_point_as_slicer_shows_it(case, tmp_path, refused):
    x, y, z = GEOMETRY.to_lps((32, 30, 4))
    images = [str(case / name) for name in ("pre.nrrd", "post1.nrrd", "post2.nrrd")]
    out = tmp_path / "outline.seg.nrrd"
    assert main(["segment", *images, "--seed-point", f"{-x},{-y},{z}", "--out", str(out)]) == 0
    found = sitk.GetArrayFromImage(sitk.ReadImage(str(out))) > 0
    overlap = 2 * np.count_nonzero(found & a_lesion()) / (found.sum() + a_lesion().sum())
    assert overlap > 0.9
    assert is_grown(out)
    refused(["segment", *images, "--seed-point", "-900,0,0", "--out", out])
    refused(["segment", *images, "--seed-point", f"{-x},{-y},{z}", "--out", tmp_path / "outline.png"])


def test_simulate_then_read_a_case_of_it(tmp_path, capsys):
    assert (
        main(["simulate", "--cases", "2", "--scale", "0.5", "--out", str(tmp_path / "cohort"), "--seed", "3"])
        == 0
    )
    row = rows_of(tmp_path / "cohort" / "manifest.csv")[0]
    images = [str(tmp_path / "cohort" / name) for name in row["image"].split(";")]
    bundle = a_bundle_folder(tmp_path / "bundle")
    roi = str(tmp_path / "cohort" / row["roi"])
    assert (
        main(
            [
                "read",
                *images,
                "--roi",
                roi,
                "--bundle",
                str(bundle),
                "--out",
                str(tmp_path / "out"),
                "--no-figures",
            ]
        )
        == 0
    )
    assert json.loads((tmp_path / "out" / "reading.json").read_text())["early_phase"]["index"] == 1


def test_demo_reads_the_bundled_sample(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "trained on simulated images" in said
    data = json.loads((tmp_path / "demo" / "reading.json").read_text())
    assert set(data["tasks"]) == {"task1", "task2"}
    assert "trained on simulated images" in data["notice"]


def test_output_that_nobody_reads_ends_silently():
    """`her2vit help | head -1`"""
    code = "import sys; from HER2ViTTrainingLib.commands.main import main; sys.exit(main(['help']))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


def test_a_package_that_is_not_there_names_the_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.delitem(sys.modules, "HER2ViTTrainingLib.simulation.cohorts", raising=False)
    monkeypatch.setitem(sys.modules, "HER2ViTTrainingLib.simulation.patients", None)
    monkeypatch.setitem(EXTRAS, "HER2ViTTrainingLib", "statistics")
    assert main(["simulate", "--cases", "1", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'her2vit[statistics]'" in capsys.readouterr().err
