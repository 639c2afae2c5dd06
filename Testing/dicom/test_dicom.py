"""Examinations in DICOM files as hospitals have them: which series are phases, which kind of image is read,
what is said of the rest.
"""

import itertools

import numpy as np
import pytest

from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.dicom.series import phase_times
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.loading import load_study
from HER2ViTLib.study.phases import choose_phases
from support.dicom_writer import private, save_bare, write_enhanced, write_phase
from support.studies import assert_phases, codes, noise_phases, starts

SHAPE = (4, 8, 6)
TIMES = ("100000", "100200", "100330", "100500")
AXIAL = (1, 0, 0, 0, 1, 0)
PHILIPS = dict(Manufacturer="Philips Medical Systems")


def some_phases(count=4, seed=0):
    return noise_phases(count, SHAPE, seed)


def write(folder, array, n=0, **tags):
    """A phase as a series of its own, number and time by `n`."""
    defaults = dict(
        SeriesInstanceUID=f"1.2.{n}",
        SeriesNumber=4 + n,
        AcquisitionTime=TIMES[n % 4],
        FrameOfReferenceUID="1.9",
    )
    taken = len(list(folder.iterdir())) if folder.exists() else 0
    write_phase(folder, array, map(str, itertools.count(taken)), **{**defaults, **tags})


def write_run(folder, arrays, **first):
    """Four phases, a series each; `first` are tags of the first one."""
    for n, array in enumerate(arrays):
        write(folder, array, n, **(first if n == 0 else {}))


def fault(path, *selection):
    with pytest.raises(InputError) as caught:
        load_study(path, *selection)
    assert len(caught.value.faults) == 1
    return str(caught.value)


# No phase is dropped in silence


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        (dict(ImageType=["ORIGINAL", "PRIMARY", "DIS2D"]), []),
        (dict(ImageType=["ORIGINAL", "PRIMARY", "NORM", "ND"]), ["mixed_normalisation"]),
        (dict(RepetitionTime=4.9), []),
        (dict(FlipAngle=10.4), []),
        (dict(StudyInstanceUID="1.77"), []),
        (dict(StudyInstanceUID="1.77", ImageType=["ORIGINAL", "PRIMARY", "DIS3D"], RepetitionTime=4.2), []),
    ],
)
def test_a_phase_that_differs_in_what_does_not_matter_is_taken_in(tmp_path, tags, told):
    arrays = some_phases()
    write_run(tmp_path, arrays, **tags)
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    assert codes(study) == told
    assert starts(study) == [0, 120, 210, 300]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (dict(ImageType=["ORIGINAL", "PRIMARY", "OTHER"]), "image type OTHER against without"),
        (dict(ImageType=["DERIVED", "PRIMARY"]), "image type DERIVED against ORIGINAL"),
        (dict(RepetitionTime=6), "repetition time 6 against 4.5"),
        (dict(FlipAngle=20), "flip angle 20 against 10"),
        (dict(EchoTime=2.4), "echo time 2.4 against 1.7"),
        (dict(ScanOptions="FS"), "scan options FS against none"),
        (dict(ReceiveCoilName="BODY"), "receive coil BODY against none"),
        (dict(ImageType=["ORIGINAL", "PRIMARY", "WATER"]), "kind water against magnitude"),
    ],
)
def test_a_series_that_may_be_a_phase_is_warned_of(tmp_path, tags, said):
    arrays = some_phases()
    write_run(tmp_path, arrays, **tags)
    study = load_study(tmp_path)
    assert_phases(study, arrays[1:])
    assert codes(study) == ["phase_left_out"]
    text = study.warnings[0].text
    assert text.startswith("series 4 (4 slices, 120 s before the first phase used)")
    assert said in text
    assert "--series 5 --series 6 --series 7 --series 4" in text
    # the cure that it names
    assert_phases(load_study(tmp_path, Selection(("5", "6", "7", "4"))), arrays)
    assert_phases(load_study(tmp_path, Selection(("1.2.0", "1.2.1", "1.2.2", "1.2.3"))), arrays)


@pytest.mark.parametrize(
    "tags",
    [
        dict(EchoTime=90, RepetitionTime=4000),  # another sequence
        dict(FlipAngle=2),  # one of several flip angles, to map T1
        dict(ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"]),
        dict(RepetitionTime=6, AcquisitionTime=TIMES[1]),  # made of a phase
        dict(RepetitionTime=6, AcquisitionTime="130000"),  # hours later
        dict(RepetitionTime=6, StudyDate="20200301"),  # another day
        dict(RepetitionTime=6, FrameOfReferenceUID="1.8"),  # another position of the patient
        dict(RepetitionTime=6, origin=(0, 0, 100)),
        dict(ImageType=["DERIVED", "PRIMARY", "T1 MAP", "ND"]),
        dict(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]),
    ],
)
def test_other_series_are_noted_without_alarm(tmp_path, tags):
    arrays = some_phases()
    write_run(tmp_path, arrays, **tags)
    study = load_study(tmp_path)
    assert_phases(study, arrays[1:])
    assert codes(study) == []
    assert len(study.notes) == 1
    assert study.notes[0].startswith("series 4 (4 slices) not used: ")


def test_nothing_of_the_header_is_told_but_numbers(tmp_path):
    write_run(tmp_path, some_phases(), RepetitionTime=6, SeriesDescription="Jane Doe")
    write(tmp_path, some_phases()[0][:, ::2], 9, SeriesDescription="Jane Doe", AcquisitionTime="095500")
    study = load_study(tmp_path)
    assert codes(study) == ["phase_left_out"]
    assert len(study.notes) == 2
    assert "Doe" not in str(study.warnings) + str(study.notes)


# One kind of image


def test_magnitude_is_read_and_phase_never(tmp_path):
    arrays = some_phases(3)
    others = some_phases(3, seed=1)
    frames = [
        dict(
            array=(arrays if kind == "MAGNITUDE" else others)[n, k],
            position=(0, 0, 2.0 * k),
            phase=n + 1,
            acquired=f"2020022910{n:02d}30",
            duration_ms=58000.0,
            slope=2 if kind == "MAGNITUDE" else 3,
            intercept=0,
            component=kind,
        )
        for k, n, kind in itertools.product(range(4), range(3), ("MAGNITUDE", "PHASE"))
    ]
    write_enhanced(tmp_path / "both.dcm", frames, AXIAL)
    study = load_study(tmp_path / "both.dcm")
    assert_phases(study, arrays * np.float32(2))
    assert starts(study) == [0, 60, 120]
    write_enhanced(tmp_path / "phase.dcm", frames[1::2], AXIAL)
    assert "holds phase images only" in fault(tmp_path / "phase.dcm")
    assert "holds phase images only" in fault(tmp_path / "both.dcm", Selection((), "phase"))


@pytest.mark.parametrize(
    "words",
    [("DIXON", "WATER", "FAT", "IN_PHASE", "OPP_PHASE"), ("M", "W", "F", "IP", "OP")],
    ids=("words", "letters"),
)
@pytest.mark.parametrize("derived", ["ORIGINAL", "DERIVED"])
def test_of_dixon_images_the_water_is_read(tmp_path, words, derived):
    arrays = some_phases(2)
    others = some_phases(2, seed=1)
    first, water, *rest = words
    for number, kind in enumerate((water, *rest)):
        for n in range(2):
            tags = dict(
                ImageType=[derived if kind == water else "ORIGINAL", "PRIMARY", first, kind],
                SeriesInstanceUID=f"1.{number}",
            )
            write(tmp_path / "all", (arrays if kind == water else others)[n], n, **tags)
            if kind != water:
                write(tmp_path / "no water", others[n], n, **tags)
    study = load_study(tmp_path / "all")
    assert_phases(study, arrays)
    assert study.warnings == ()
    assert_phases(load_study(tmp_path / "all", Selection((), rest[0].lower())), others)
    told = fault(tmp_path / "no water")
    assert "no water" in told
    assert f"--image-type WORD: {', '.join(sorted(rest))}" in told
    assert "there are" in fault(tmp_path / "all", Selection((), "nonsense"))


def test_selection(tmp_path):
    arrays = some_phases(4)
    for run, n in itertools.product(range(2), range(2)):
        tags = dict(
            StudyInstanceUID=f"1.{run}",
            SeriesInstanceUID=f"1.{run}.5",
            SeriesNumber=run + 7,
            FrameOfReferenceUID=f"1.{run}",
        )
        write(tmp_path, arrays[2 * run + n], n, **tags)
    assert "choose with --series NUMBER (or its UID)" in fault(tmp_path)
    assert_phases(load_study(tmp_path, Selection(("8",))), arrays[2:])
    assert_phases(load_study(tmp_path, Selection(("1.0.5",))), arrays[:2])
    assert 'there are series 7 "dyn"; series 8 "dyn"' in fault(tmp_path, Selection(("9",)))


# Copies, and images made of the phases


def test_what_was_sent_again_counts_once(tmp_path):
    arrays = some_phases()
    arrays[:, 0] = 0  # a slice beside the patient
    write_run(tmp_path, arrays)
    for n, array in enumerate(arrays):
        write(
            tmp_path / "again",
            array,
            n,
            SeriesInstanceUID=f"1.3.{n}",
            StudyInstanceUID="1.77",
            ContentTime=f"1106{n}0",
        )
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    assert codes(study) == []
    assert {note.partition(": ")[2] for note in study.notes} == {"copies of images that are used"}
    assert len(study.notes) == 4


def test_images_of_the_same_acquisition_are_no_phases(tmp_path):
    arrays = some_phases()
    for n, array in enumerate(arrays):
        write(tmp_path, array, n, ContentTime=f"10052{n}")
    for n in (1, 2, 3):  # subtractions whose image type an anonymiser blanked
        made = np.clip(arrays[n].astype(int) - arrays[0], 0, None).astype(np.uint16)
        write(tmp_path, made, n, SeriesInstanceUID=f"1.3.{n}", SeriesNumber=14 + n, ContentTime=f"10062{n}")
    told = fault(tmp_path)
    assert "7 images at each position, some of them of the same acquisition time and yet different" in told
    assert "--series NUMBER" in told
    study = load_study(tmp_path, Selection(("4", "5", "6", "7")))
    assert_phases(study, arrays)
    assert study.notes == tuple(f"series {number} (4 slices) not used: not chosen" for number in (15, 16, 17))


@pytest.mark.parametrize(
    "tags",
    [
        [dict(SeriesTime=time) for time in TIMES],
        [dict(ContentTime=t, SeriesInstanceUID="1.5") for t in TIMES],
    ],
)
def test_slices_beside_the_patient_are_alike_and_no_copies(tmp_path, tags):
    arrays = some_phases()
    arrays[:, 0] = 0
    for n, array in enumerate(arrays):
        write(tmp_path, array, n, **{"AcquisitionTime": "100000", **tags[n]})
    assert_phases(load_study(tmp_path), arrays)


def test_one_uid_for_several_images_drops_none(tmp_path):
    def numbered(header):
        header.SOPInstanceUID = f"1.5.{float(header.ImagePositionPatient[2]):g}"

    arrays = some_phases()
    for n, array in enumerate(arrays):
        write(tmp_path / "same", array, n, edit=numbered)
        write(tmp_path / "none", array, n, SOPInstanceUID=None)
    assert_phases(load_study(tmp_path / "same"), arrays)
    assert_phases(load_study(tmp_path / "none"), arrays)


def test_an_image_without_acquisition_time_does_not_let_content_time_decide(tmp_path):
    arrays = some_phases(7)
    for n, array in enumerate(arrays):
        times = dict(AcquisitionTime=TIMES[n]) if n < 4 else dict(AcquisitionTime=None)
        write(tmp_path, array, n, **times, ContentTime=f"10{n:02d}00")
    assert "or without one" in fault(tmp_path)


def test_two_examinations_of_one_study_are_two(tmp_path):
    arrays = some_phases(8)
    for n, array in enumerate(arrays):
        write(tmp_path, array, n, AcquisitionTime=f"{10 + 2 * (n // 4)}{2 * (n % 4):02d}00")
    assert "several series have phases" in fault(tmp_path)
    assert_phases(load_study(tmp_path, Selection(("4", "5", "6", "7"))), arrays[:4])


def test_derived_images_alone_are_said_to_be(tmp_path):
    write_run(tmp_path, some_phases(), ImageType=["DERIVED", "PRIMARY"])
    for n, array in enumerate(some_phases(3, seed=3)):
        write(tmp_path / "sub", array, n, ImageType=["DERIVED", "PRIMARY", "SUB"])
    assert codes(load_study(tmp_path / "sub")) == ["derived_phases"]


def test_the_names_of_files_decide_nothing(tmp_path):
    arrays = some_phases()
    found = set()
    for trial in range(4):
        folder = tmp_path / str(trial)
        for n in np.random.default_rng(trial).permutation(4):
            write(folder, arrays[n], int(n), RepetitionTime=4.5 + 0.24 * int(n))
        study = load_study(folder)
        found.add((len(study.phases), tuple(codes(study)), study.phases[0].volume.array.tobytes()))
    assert [(count, told) for count, told, _ in found] == [(3, ("phase_left_out",))]


# A folder a phase


def test_folders_a_phase_share_clock_scaling_and_checks(tmp_path):
    arrays = some_phases()
    times = ("235850", "235950", "000050", "000150")
    for n, array in enumerate(arrays):
        tags = dict(
            RescaleSlope=str(1 + n), RescaleIntercept="0", edit=private(0x10, 0.25 * (1 + n % 2)), **PHILIPS
        )
        norm = ["ORIGINAL", "PRIMARY", *(["NORM"] if n else [])]
        write(
            tmp_path / str(n),
            array,
            n,
            ImageType=norm,
            **{**tags, "AcquisitionTime": times[n], "ContrastBolusStartTime": "000000"},
        )
    study = load_study([tmp_path / str(n) for n in range(4)])
    whole = load_study(tmp_path)
    assert codes(study) == codes(whole) == ["mixed_normalisation"]
    assert study.notes == whole.notes
    assert len(study.notes) == 1
    assert starts(study) == starts(whole) == [0, 60, 120, 180]
    assert study.contrast_start_s == whole.contrast_start_s == 70
    for phase, other in zip(study.phases, whole.phases):
        np.testing.assert_array_equal(phase.volume.array, other.volume.array)
    reverse = load_study([tmp_path / str(n) for n in (3, 2, 1, 0)])
    assert starts(reverse) == [180, 120, 60, 0]
    chosen = load_study([tmp_path / str(n) for n in range(4)], Selection(("4", "5", "6", "7")))
    assert len(chosen.phases) == 4
    with pytest.raises(InputError, match="--series 9: not there"):
        load_study([tmp_path / str(n) for n in range(4)], Selection(("4", "9")))


def test_folders_a_phase_of_one_run_time_keep_their_trigger_times(tmp_path):
    for n, array in enumerate(some_phases()):
        write(tmp_path / str(n), array, n, AcquisitionTime="100000", TriggerTime=60000 * n)
    assert starts(load_study([tmp_path / str(n) for n in range(4)])) == [0, 60, 120, 180]


# Order without times


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ([dict(SeriesInstanceUID="1.5", AcquisitionNumber=n) for n in (1, 2, 3, 10)], "acquisition number"),
        ([dict(SeriesTime=time, ContentTime="120000") for time in TIMES], "time of the series"),
        ([dict(SeriesTime=time, AcquisitionTime="120000") for time in TIMES], "time of the series"),
        ([dict(AcquisitionNumber=n) for n in range(4)], "acquisition number"),
        (
            [dict(SeriesInstanceUID="1.5", TemporalPositionIdentifier=n) for n in range(4)],
            "temporal position",
        ),
        ([dict(SeriesInstanceUID="1.5", ContentTime=f"12000{n}") for n in range(4)], "content time"),
    ],
)
def test_order_known_and_times_not(tmp_path, tags, word):
    arrays = some_phases()
    for n in (2, 0, 3, 1):
        write(tmp_path, arrays[n], n, **{"AcquisitionTime": None, **tags[n]})
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    assert starts(study) == [None] * 4
    assert codes(study) == ["order_without_times"]
    assert word in study.warnings[0].text
    assert "one folder per phase, in time order" in study.warnings[0].text


def test_order_by_instance_number(tmp_path):
    arrays = some_phases()
    for n, k in itertools.product((2, 0, 3, 1), range(4)):
        tags = dict(SeriesInstanceUID="1.5", InstanceNumber=10 * n + k)
        write_phase(tmp_path, arrays[n], iter([f"{n}{k}"]), slices=[k], **tags)
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    assert codes(study) == ["order_without_times"]


def test_nothing_brings_the_phases_into_order(tmp_path):
    for n, array in enumerate(some_phases()):
        write(tmp_path, array, n, AcquisitionTime=None)
    assert "give one folder per phase, in time order" in fault(tmp_path)


# Philips


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("place", [0x10, 0x15])
def test_philips_scales_each_phase_by_itself(tmp_path, enhanced, place):
    signal = some_phases(3).astype(float)
    scale_slopes = (0.5, 0.25, 0.2)
    slopes = (1.2, 2.1, 2.7)
    intercepts = (0.0, -3.0, 4.0)
    frames = []
    for n, (scale, slope, intercept) in enumerate(zip(scale_slopes, slopes, intercepts)):
        stored = np.rint(signal[n] * scale - intercept / slope).astype(np.uint16)
        when = dict(phase=n + 1, acquired=f"2020022910{n:02d}30", duration_ms=58000.0)
        scaling = dict(slope=slope, intercept=intercept, scale_slope=(place, scale))
        frames += [dict(array=stored[k], position=(0, 0, 2.0 * k), **when, **scaling) for k in range(4)]
        if not enhanced:
            tags = dict(
                RescaleSlope=str(slope),
                RescaleIntercept=str(intercept),
                edit=private(place, scale),
                **PHILIPS,
            )
            write(tmp_path / "in", stored, n, **tags)
    if enhanced:
        write_enhanced(tmp_path / "in" / "file", frames, AXIAL)
    study = load_study(tmp_path / "in")
    for phase, expected, scale in zip(study.phases, signal, scale_slopes):
        assert (
            np.abs(phase.volume.array - expected).max() <= 0.5 / scale + 1e-3
        )  # to the rounding of what is stored
    assert "Philips scaled the phases differently" in study.notes[-1]
    assert codes(study) == []


def test_philips_without_scale_slope_or_with_one_scale(tmp_path):
    arrays = some_phases()
    for n, array in enumerate(arrays):
        write(tmp_path / "differ", array, n, RescaleSlope=str(1 + n), RescaleIntercept="0", **PHILIPS)
        write(
            tmp_path / "one",
            array,
            n,
            RescaleSlope="2",
            RescaleIntercept="0",
            edit=private(0x10, 0.5),
            **PHILIPS,
        )
    assert codes(load_study(tmp_path / "differ")) == ["scaling_unknown"]
    study = load_study(tmp_path / "one")
    assert_phases(study, arrays * np.float32(2))
    assert (study.warnings, study.notes) == ((), ())


# Geometry


def test_rounded_positions_are_the_same_place(tmp_path):
    def rounded(header):
        header.ImagePositionPatient = [f"{float(value):.2f}" for value in header.ImagePositionPatient]
        header.ImageOrientationPatient = [f"{float(value):.4f}" for value in header.ImageOrientationPatient]

    arrays = some_phases()
    c = np.cos(0.31)
    s = np.sin(0.31)
    for n, array in enumerate(arrays):
        place = dict(orientation=(c, s, 0, -s * 0.8, c * 0.8, 0.6), origin=(-31.5123, 22.2517, 8.1259))
        write(tmp_path, array, n, **place, edit=rounded if n == 0 else None)
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    np.testing.assert_allclose(study.geometry.origin, (-31.5123, 22.2517, 8.1259), atol=1e-6)
    np.testing.assert_allclose(study.geometry.spacing[2], 2, atol=1e-4)


def test_both_breasts_in_one_series(tmp_path):
    for n, array in enumerate(some_phases()):
        for x in (0, 80):
            write(
                tmp_path,
                array,
                n,
                origin=(0, 0, x),
                SeriesInstanceUID="1.5",
                TemporalPositionIdentifier=n + 1,
            )
    assert "2 stacks of 4 and 4 slices, 74 mm apart" in fault(tmp_path)


@pytest.mark.parametrize("is_implicit", [False, True])
def test_files_without_preamble(tmp_path, is_implicit):
    arrays = some_phases()
    write_run(tmp_path / "part10", arrays)
    for path in (tmp_path / "part10").iterdir():
        save_bare(path, tmp_path / "bare" / path.name, is_implicit)
    (tmp_path / "bare" / "text").write_bytes(b"\x08\x00\x05\x00 is no DICOM")
    assert_phases(load_study(tmp_path / "bare"), arrays)


# Phases that came in one by one


def test_order_and_times_of_phases_known_by_their_files(tmp_path):
    arrays = some_phases()
    for n, array in enumerate(arrays):
        write(tmp_path / str(n), array, n)
    files = [sorted((tmp_path / str(n)).iterdir()) for n in (2, 0, 3, 1)]
    found = phase_times(files)
    assert found.order == (1, 3, 0, 2)
    study = load_study([tmp_path / str(n) for n in range(4)])
    apart = np.subtract(found.starts_s, found.starts_s[0]).tolist()
    assert apart == starts(study) == [0, 120, 210, 300]
    assert phase_times([*files, files[0]]) is None  # one of them twice


def test_the_same_examination_gives_the_same_study_however_it_lies(tmp_path):
    rng = np.random.default_rng(5)
    arrays = some_phases()
    for folder in ("a", "b"):
        for n in rng.permutation(4):
            write(
                tmp_path / folder / str(rng.integers(1e6)),
                arrays[n],
                int(n),
                **(dict(RepetitionTime=6) if n == 3 else {}),
            )
        write(
            tmp_path / folder / str(rng.integers(1e6)),
            arrays[0][:, ::2],
            4,
            SeriesNumber=1,
            AcquisitionTime="095500",
        )
    first, second = (load_study(tmp_path / folder) for folder in ("a", "b"))
    assert (first.warnings, first.notes) == (second.warnings, second.notes)
    assert choose_phases(first).early == choose_phases(second).early
