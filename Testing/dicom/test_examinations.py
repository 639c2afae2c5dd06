"""Whole examinations as scanners export them: what is listed as used is what is read, and everything else is
named with why not.
"""

import itertools
import json
from collections import defaultdict

import numpy as np
import pydicom
import pytest

from HER2ViTLib.dicom.listing import list_series, listing_text
from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.imaging.volume import Geometry
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.loading import load_study
from HER2ViTTrainingLib.commands.main import main
from support.dicom_writer import a_header, save, write_enhanced, write_phase
from support.outline_writer import write_contours, write_segments
from support.studies import assert_phases, noise_phases, starts

SHAPE = (4, 8, 6)
AXIAL = (1, 0, 0, 0, 1, 0)
SAGITTAL = (0, 1, 0, 0, 0, -1)
CORONAL = (1, 0, 0, 0, 0, -1)
TIMES = ("100000", "100200", "100330", "100500")
ORIGINAL = ["ORIGINAL", "PRIMARY", "M", "ND"]
GEOMETRY = Geometry(SHAPE, (0.9, 0.7, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
T2 = dict(RepetitionTime=4000, EchoTime=90, FlipAngle=90)
names = map(str, itertools.count())


def arrays_of(count, seed):
    return noise_phases(count, SHAPE, seed)


def write(folder, array, number, time, **tags):
    """A volume as a series of its own, or as part of the series of that number."""
    defaults = dict(
        SeriesInstanceUID=f"1.2.{number}",
        SeriesNumber=number,
        SeriesDescription="Doe Jane",
        AcquisitionTime=time,
        FrameOfReferenceUID="1.9",
        ImageType=ORIGINAL,
    )
    write_phase(folder, array, names, **{**defaults, **tags})


def write_dce(folder, number=10, **tags):
    """Four phases in one series; returns their arrays."""
    arrays = arrays_of(4, 0)
    for array, time in zip(arrays, TIMES):
        write(folder, array, number, time, **tags)
    return arrays


def by_number(listing):
    return {one.number: one for one in listing.series}


def assert_agree(folder):
    """What is listed as used, decoded by itself, is what is read; what is refused is refused with the same
    words.
    """
    listing = list_series(folder, keep_names=True)
    if listing.refused:
        with pytest.raises(InputError) as caught:
            load_study(folder)
        assert str(caught.value) == listing.refused
        assert not any(one.phases for one in listing.series)
        return listing
    study = load_study(folder)
    assert len(study.phases) == listing.phases
    assert study.warnings[: len(listing.warnings)] == listing.warnings or set(listing.warnings) <= set(
        study.warnings
    )
    slices = defaultdict(list)
    for path in folder.rglob("*"):
        header = pydicom.dcmread(path)
        if "PixelData" in header and header.get("ImagePositionPatient"):
            slices[str(header.SeriesInstanceUID)].append(header.pixel_array)
    for n, phase in enumerate(study.phases):
        used = [one for one in listing.series if n in one.phases]
        assert used
        there = [image for one in used for image in slices[one.uid]]
        for image in phase.volume.array:
            assert any(np.array_equal(image, one) for one in there)
    for one in listing.series:
        assert bool(one.phases) != bool(one.why_not)
    return listing


@pytest.fixture
def whole(tmp_path):
    """An examination with one of everything; the folder, and the phases' arrays."""
    for number in (1, 2):  # a localiser, and again
        for orientation in (AXIAL, SAGITTAL, CORONAL):
            place = dict(orientation=orientation, step=10, EchoTime=3.4, RepetitionTime=8)
            write(tmp_path, arrays_of(1, number)[0], number, f"09{number}000", **place)
    write(tmp_path, arrays_of(1, 3)[0], 3, "093000", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    for number in (4, 5):  # T2, and again
        write(tmp_path, arrays_of(1, number)[0], number, f"09{number}000", **T2)
    for n, b in enumerate((0, 50, 800)):
        tags = dict(RepetitionTime=6000, EchoTime=60, DiffusionBValue=float(b))
        write(tmp_path, arrays_of(3, 6)[n], 6, f"0955{n}0", **tags)
    adc = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
    write(tmp_path, arrays_of(1, 7)[0], 7, "095500", ImageType=adc, RepetitionTime=6000, EchoTime=60)
    write(tmp_path, arrays_of(1, 8)[0], 8, "095800", RepetitionTime=6, EchoTime=2.4, ScanOptions="FS")
    arrays = write_dce(tmp_path)
    for n in (1, 2, 3):
        made = np.clip(arrays[n].astype(int) - arrays[0], 0, None).astype(np.uint16)
        write(tmp_path, made, 11, TIMES[n], ImageType=["DERIVED", "PRIMARY", "M", "SUB"])
    for angle in range(3):
        c = np.cos(angle)
        s = np.sin(angle)
        turned = dict(orientation=(c, s, 0, -s, c, 0), slices=[0])
        write(
            tmp_path,
            arrays[1],
            12,
            TIMES[1],
            ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"],
            **turned,
        )
    for array, time in zip(arrays, TIMES):
        write(tmp_path, array, 13, time, StudyInstanceUID="1.77")  # sent again
        write(tmp_path, array + 1, 14, time, ImageType=[*ORIGINAL, "MOCO"])
    mask = np.ones(SHAPE[1:], bool)
    about = dict(SeriesInstanceUID="1.2.20", SeriesNumber=20)
    write_segments(
        tmp_path / "seg.dcm",
        GEOMETRY,
        [(1, k, mask) for k in range(4)],
        edit=lambda header: header.update(about),
    )
    write_contours(tmp_path / "rt.dcm", {"Lesion": [GEOMETRY.to_lps([(1, 1, 1), (4, 1, 1), (4, 4, 1)])]})
    report = a_header(mask, "1.2.840.10008.5.1.4.1.1.88.33", SeriesInstanceUID="1.2.21", SeriesNumber=21)
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    save(report, tmp_path / "sr.dcm")
    screen = a_header(mask, "1.2.840.10008.5.1.4.1.1.7", SeriesInstanceUID="1.2.22", SeriesNumber=22)
    save(screen, tmp_path / "screenshot.dcm")
    return tmp_path, arrays


def test_a_whole_examination(whole):
    folder, arrays = whole
    study = load_study(folder)
    assert_phases(study, arrays)
    assert starts(study) == [0, 120, 210, 300]
    listing = assert_agree(folder)
    found = by_number(listing)
    assert {number: one.what for number, one in found.items()} == {
        "": "contours (RTSTRUCT)",
        "1": "localiser",
        "2": "localiser",
        "3": "localiser",
        "4": "T2",
        "5": "T2",
        "6": "diffusion (b = 50, 800)",
        "7": "diffusion",
        "8": "T1",
        "10": "DCE-MRI, 4 phases",
        "11": "subtraction",
        "12": "projection (MIP)",
        "13": "re-sent copy of series 10",
        "14": "motion-corrected copy of series 10",
        "20": "segmentation (SEG)",
        "21": "report (SR)",
        "22": "images without a place in the patient",
    }
    assert [one.number for one in listing.series if one.phases] == ["10"]
    assert found["10"].phases == (0, 1, 2, 3)
    assert (found["10"].images, found["10"].size, found["10"].spacing_mm) == (16, (6, 8, 4), (0.9, 0.7, 2.0))
    assert (
        found["4"].why_not
        == "repetition time 4000 against 4.5, echo time 90 against 1.7, flip angle 90 against 10"
    )
    assert found["11"].why_not == "derived images"
    assert found["13"].why_not == "copies of images that are used"
    assert found["14"].why_not.endswith("of the same moment as a phase")
    assert found["6"].choose == ""
    # the flags that choose otherwise
    assert found["14"].choose == "--series 14"
    assert_phases(load_study(folder, Selection(("14",))), arrays + 1)
    assert len(load_study(folder, Selection(("4",))).phases) == 1
    with pytest.raises(InputError, match="holds diffusion images only"):
        load_study(folder, Selection(("6",)))


def test_a_phase_a_series_and_an_enhanced_file(tmp_path):
    arrays = arrays_of(4, 0)
    for n, (array, time) in enumerate(zip(arrays, TIMES)):
        write(tmp_path / "series", array, 10 + n, time)
    listing = assert_agree(tmp_path / "series")
    assert [(one.number, one.what, one.phases) for one in listing.series] == [
        (str(10 + n), "DCE-MRI", (n,)) for n in range(4)
    ]
    frames = [
        dict(array=arrays[n, k], position=(0, 0, 2.0 * k), phase=n + 1, slope=1, intercept=0)
        | dict(acquired=f"20200229{TIMES[n]}", duration_ms=50000.0)
        for n, k in itertools.product(range(4), range(4))
    ]
    write_enhanced(tmp_path / "enhanced" / "a", frames, AXIAL)
    listing = list_series(tmp_path / "enhanced" / "a")
    assert [(one.what, one.phases) for one in listing.series] == [("DCE-MRI, 4 phases", (0, 1, 2, 3))]
    assert len(load_study(tmp_path / "enhanced").phases) == listing.phases == 4


@pytest.mark.parametrize("in_one_series", [True, False])
def test_a_dixon_set(tmp_path, in_one_series):
    arrays = arrays_of(2, 0)
    for n, (k, kind) in itertools.product(range(2), enumerate(("WATER", "FAT", "IN_PHASE", "OPP_PHASE"))):
        number = 10 if in_one_series else 10 + k
        tags = dict(ImageType=["DERIVED", "PRIMARY", "DIXON", kind])
        write(tmp_path, arrays[n] // (k + 1), number, TIMES[n], **tags)
    assert_phases(load_study(tmp_path), arrays)
    listing = assert_agree(tmp_path)
    if in_one_series:
        [one] = listing.series
        assert sorted(one.what.split(" + ")) == [
            *("DCE-MRI, 2 phases", "Dixon fat", "Dixon in-phase", "Dixon opposed-phase")
        ]
        return
    assert [one.what for one in listing.series] == [
        *("DCE-MRI, 2 phases", "Dixon fat", "Dixon in-phase", "Dixon opposed-phase")
    ]
    assert [one.choose for one in listing.series[1:]] == [
        *("--image-type fat", "--image-type in-phase", "--image-type opposed-phase")
    ]
    assert_phases(load_study(tmp_path, Selection((), "opposed-phase")), arrays // 4)


def two_time_points(folder, **tags):
    """Two examinations whose series are numbered alike, the phases of one between those of the other; `tags`
    by a function of the time point.
    """
    for point, n in itertools.product(range(2), range(4)):
        defaults = dict(
            StudyInstanceUID=f"1.8.{point}",
            SeriesInstanceUID=f"1.8.{point}.{n}",
            StudyDate="",
            FrameOfReferenceUID="",
        )
        own = {name: value(point) for name, value in tags.items()}
        write(folder, arrays_of(4, point)[n], 4 + n, f"10{2 * n + point:02d}00", **{**defaults, **own})


@pytest.mark.parametrize(
    "tags",
    [
        {},  # nothing but the study tells them apart
        dict(StudyDate=lambda point: f"2020010{1 + point}"),
        dict(StudyDate=lambda point: f"2020010{1 + point}", StudyInstanceUID=lambda point: "1.8"),
        dict(FrameOfReferenceUID=lambda point: f"1.9.{point}"),
    ],
)
def test_two_time_points_are_no_study(tmp_path, tags):
    two_time_points(tmp_path, **tags)
    listing = assert_agree(tmp_path)
    assert "several series have phases" in listing.refused
    assert "they are of several examinations; give the folder of one, or its series' UIDs" in listing.refused
    with pytest.raises(InputError, match="--series 4: series of that number are in several examinations"):
        load_study(tmp_path, Selection(("4", "5", "6", "7")))
    chosen = load_study(tmp_path, Selection(tuple(f"1.8.1.{n}" for n in range(4))))
    assert_phases(chosen, arrays_of(4, 1))
    hidden = list_series(tmp_path)
    assert {one.choose for one in hidden.series} == {"--series UID (--keep-names shows it)"}


def test_a_motion_corrected_copy_that_does_not_say_so_is_refused(tmp_path):
    arrays = write_dce(tmp_path)
    for array, time in zip(arrays, TIMES):
        write(tmp_path, array + 1, 30, time, SeriesDescription="dyn_MOCO")
    listing = assert_agree(tmp_path)
    assert "some of them of the same acquisition time and yet different" in listing.refused
    found = by_number(listing)
    assert found["30"].what == "motion-corrected copy of series 10"
    assert found["10"].why_not.endswith("taken at the moments of series 30")
    assert found["10"].choose == "--series 10"
    assert_phases(load_study(tmp_path, Selection(("10",))), arrays)


def test_a_t2_acquired_twice_is_not_read_in_place_of_a_faulty_dynamic_series(tmp_path):
    arrays = arrays_of(4, 0)
    for n, (array, time) in enumerate(zip(arrays, TIMES)):
        write(tmp_path, array, 10, time, slices=[k for k in range(4) if (n, k) != (2, 1)])
    for number in (4, 5):
        write(tmp_path, arrays_of(1, number)[0], number, f"09{number}000", **T2)
    listing = assert_agree(tmp_path)
    assert "series 10" in listing.refused
    assert "3 to 4 images at a slice position" in listing.refused
    assert by_number(listing)["4"].why_not == "its echo time of 90 ms is not that of a dynamic series"


def test_nothing_usable_is_listed_all_the_same(tmp_path, capsys):
    write(tmp_path, arrays_of(1, 3)[0], 3, "093000", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_contours(tmp_path / "rt.dcm", {"Lesion": []})
    assert main(["series", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "series 3: localiser; 4 images; not used" in told
    assert "contours (RTSTRUCT)" in told
    assert "A reading refuses it: this folder: no greyscale slice with position and orientation" in told
    assert_agree(tmp_path)


def test_the_command_tells_no_names(whole, tmp_path_factory, capsys):
    folder, _ = whole
    out = tmp_path_factory.mktemp("out") / "listing"
    assert main(["series", str(folder), "--out", str(out)]) == 0
    told = capsys.readouterr().out.replace(str(out), "")
    written = (out / "series.json").read_text()
    for text in (told, written):
        for secret in ("Doe", "Jane", "4711", "2020", "1.2.10", "1.77", str(folder)):
            assert secret not in text
    assert (
        "series 10: DCE-MRI, 4 phases; 16 images, 6 x 8 x 4, 0.9 x 0.7 x 2 mm; used as phases 0 to 3\n"
        in told
    )
    about = json.loads(written)
    assert about["phases"] == 4
    assert about["refused"] is None
    used = next(one for one in about["series"] if one["phases"])
    assert used == {
        "examination": 1,
        "number": 10,
        "what": "DCE-MRI, 4 phases",
        "images": 16,
        "size": [6, 8, 4],
        "spacing_mm": [0.9, 0.7, 2.0],
        "phases": [0, 1, 2, 3],
        "why_not": None,
        "choose": None,
    }
    assert main(["series", str(folder), "--keep-names"]) == 0
    told = capsys.readouterr().out
    assert 'series 10 "Doe Jane" (1.2.10): DCE-MRI' in told
    assert "4711" not in told


def test_what_is_no_dicom_folder(tmp_path, capsys):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("no DICOM")
    for path in (tmp_path / "text", tmp_path / "text" / "a.txt", tmp_path / "nothing"):
        assert main(["series", str(path), "--out", str(tmp_path / "out")]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        assert "DICOM" in told or "no such file" in told
    assert not (tmp_path / "out").exists()


def test_a_line_for_each_series(whole):
    folder, _ = whole
    listing = list_series(folder)
    assert len(listing_text(listing).splitlines()) == len(listing.series) + len(listing.warnings) + 1
