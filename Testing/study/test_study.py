"""Studies from files and DICOM: phases in time order, geometry, times; the choice of the phases; one line for
each fault.
"""

import itertools
import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1

from HER2ViTLib.files.hashes import InputHash, file_sha256
from HER2ViTLib.imaging.image_files import read_volume
from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.enhancement import subtraction
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTLib.study.loading import load_study
from HER2ViTLib.study.phases import choose_phases
from HER2ViTLib.study.study import Phase, Study, study_from_volumes
from support.dicom_writer import a_header, save, write_enhanced, write_phase, write_slice
from support.studies import assert_phases, codes, noise_phases, starts

SHAPE = (5, 8, 6)
OBLIQUE = (0.8, 0.6, 0.0, 0.36, -0.48, -0.8)
ORIGIN = (-31.5, 22.25, 8.125)
GEOMETRY = Geometry(SHAPE, (0.9, 0.7, 2.0), (1.0, 2.0, 3.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def some_phases(count, seed=0):
    return noise_phases(count, SHAPE, seed)


def misleading_names(seed=0):
    """File names in no order."""
    return (f"{number}" for number in np.random.default_rng(seed).permutation(10**4))


def the_fault(paths):
    with pytest.raises(InputError) as caught:
        load_study(paths)
    assert len(caught.value.faults) == 1
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_sitk(path, array, spacing=None, is_vector=False):
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    if spacing:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))
    return path


def write_nrrd(path, array, header):
    path.write_bytes(header.strip().encode() + b"\n\n" + array.tobytes())
    return path


# DICOM


def test_oblique_series_with_temporal_positions_over_midnight(tmp_path):
    arrays = some_phases(3)
    names = misleading_names()
    for n, time in enumerate(("235850.5", "235950.5", "000050.5")):
        tags = dict(TemporalPositionIdentifier=n + 1, AcquisitionTime=time, ContrastBolusStartTime="235955")
        write_phase(
            tmp_path / "study",
            arrays[n],
            names,
            ORIGIN,
            OBLIQUE,
            RescaleSlope="0.5",
            RescaleIntercept="-7",
            **tags,
        )
    study = load_study(tmp_path / "study")
    assert_phases(study, arrays * np.float32(0.5) - 7)
    assert starts(study) == [0, 60, 120]
    assert study.contrast_start_s == 64.5
    assert [hashed.role for hashed in study.inputs] == ["image"]

    write_phase(tmp_path / "one", arrays[0], misleading_names(), ORIGIN, OBLIQUE)
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "one"))
    expected = sitk.ReadImage(files)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(expected), arrays[0])
    geometry = study.geometry
    np.testing.assert_allclose(geometry.spacing, expected.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(geometry.origin, expected.GetOrigin(), atol=1e-5)
    np.testing.assert_allclose(geometry.direction, expected.GetDirection(), atol=1e-5)


def test_series_a_phase_told_apart_by_acquisition_time_among_other_things(tmp_path):
    arrays = some_phases(4)
    names = misleading_names()
    for n, (folder, time) in enumerate(
        (("z/pre", "100000"), ("m", "100200"), ("b", "100330"), ("a", "100500"))
    ):
        write_phase(
            tmp_path / folder,
            arrays[n],
            names,
            SeriesInstanceUID=f"1.2.{n}",
            SeriesNumber=9 - n,
            AcquisitionTime=time,
        )
    difference = np.abs(arrays[1:].astype(int) - arrays[0])
    for n, array in enumerate(difference):
        tags = dict(
            SeriesInstanceUID=f"1.3.{n}", ImageType=["DERIVED", "PRIMARY"], AcquisitionTime=f"10{n + 2:02d}00"
        )
        write_phase(tmp_path / "sub", array, names, **tags)
    write_phase(tmp_path, arrays[0], names, SeriesInstanceUID="1.4", EchoTime=90, RepetitionTime=4000)
    write_phase(
        tmp_path,
        arrays[0][:, :4, :4],
        names,
        orientation=(0, 1, 0, 0, 0, -1),
        SeriesInstanceUID="1.5",
        ImageType=["ORIGINAL", "LOCALIZER"],
    )
    write_phase(
        tmp_path, arrays[0][:2, :4, :4], names, orientation=(0, 1, 0, 0, 0, -1), SeriesInstanceUID="1.6"
    )
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    assert starts(study) == [0, 120, 210, 300]
    assert study.warnings == ()
    assert [note.split(" not used: ")[1] for note in study.notes] == [
        *["derived images"] * 3,
        "repetition time 4000 against 4.5, echo time 90 against 1.7",
        "another matrix (4 x 4 against 6 x 8)",
    ]
    # copies of the same images change nothing
    copy = tmp_path / "copy" / "again"
    copy.parent.mkdir()
    copy.write_bytes(next((tmp_path / "z" / "pre").iterdir()).read_bytes())
    assert_phases(load_study(tmp_path), arrays)


def test_enhanced_file_with_interleaved_phases(tmp_path):
    arrays = some_phases(3)
    normal = np.cross(OBLIQUE[:3], OBLIQUE[3:])
    frames = [
        dict(
            array=arrays[n, k],
            position=np.array(ORIGIN) + k * 3 * normal,
            phase=n + 1,
            acquired=f"2020022910{n:02d}30.25",
            duration_ms=50000.0,
            slope=n + 1,
            intercept=-n,
        )
        for k, n in itertools.product((3, 0, 4, 1, 2), (2, 0, 1))
    ]
    write_enhanced(tmp_path / "enhanced.dcm", frames, OBLIQUE)
    study = load_study(tmp_path / "enhanced.dcm")
    assert_phases(study, [arrays[n] * np.float32(n + 1) - n for n in range(3)])
    assert starts(study) == [0, 60, 120]
    assert [phase.duration_s for phase in study.phases] == [50, 50, 50]
    np.testing.assert_allclose(study.geometry.index_to_lps[:3, 2], 3 * normal, atol=1e-6)
    np.testing.assert_allclose(study.geometry.origin, ORIGIN)
    assert_phases(load_study(tmp_path), [phase.volume.array for phase in study.phases])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([dict(TriggerTime=t, AcquisitionTime="101500") for t in (0, 70000, 140000)], [0, 70, 140]),
        (
            [dict(ContentTime=t, AcquisitionTime="101500") for t in ("101500", "101630", "101800")],
            [0, 90, 180],
        ),
        (
            [dict(AcquisitionTime=t, TemporalPositionIdentifier=1) for t in ("101500", "101630", "101800")],
            [0, 90, 180],
        ),
        ([dict(TemporalPositionIdentifier=n) for n in (1, 2, 10)], [None] * 3),
        # one series before contrast, one dynamic series whose phases share the acquisition time
        (
            [
                dict(
                    SeriesInstanceUID="1.1",
                    AcquisitionTime="101000",
                    TriggerTime=0,
                    TemporalPositionIdentifier=1,
                ),
                dict(
                    SeriesInstanceUID="1.2",
                    AcquisitionTime="101500",
                    TriggerTime=0,
                    TemporalPositionIdentifier=1,
                ),
                dict(
                    SeriesInstanceUID="1.2",
                    AcquisitionTime="101500",
                    TriggerTime=60000,
                    TemporalPositionIdentifier=2,
                ),
            ],
            [0, 300, 360],
        ),
    ],
)
def test_phases_are_told_apart_by_whatever_separates_them(tmp_path, tags, expected):
    arrays = some_phases(3)
    names = misleading_names()
    for array, phase_tags in zip(arrays, tags):
        write_phase(tmp_path, array, names, **phase_tags)
    study = load_study(tmp_path)
    assert_phases(study, arrays)
    assert starts(study) == expected


@pytest.mark.parametrize(
    ("compressor", "transfer_syntax"), [("JPEG", JPEGLosslessSV1), ("JPEG2000", JPEG2000Lossless)]
)
def test_compressed_pixels(tmp_path, compressor, transfer_syntax):
    # GDCM's encoder crashes on smaller ones
    array = np.random.default_rng(0).integers(100, 4000, (3, 64, 48)).astype(np.uint16)
    names = misleading_names()
    for k, pixels in enumerate(array):
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "compressed.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(pixels))
        tags = dict(
            RescaleSlope="2",
            RescaleIntercept="-1",
            PixelData=pydicom.dcmread(tmp_path / "compressed.dcm").PixelData,
        )
        write_slice(
            tmp_path / "study" / next(names), pixels, (0, 0, 2 * k), transfer_syntax=transfer_syntax, **tags
        )
    assert_phases(load_study(tmp_path / "study"), [array * 2.0 - 1])


def test_folders_a_phase_in_the_order_given(tmp_path):
    arrays = some_phases(2)
    names = misleading_names()
    for n, folder in enumerate(("pre", "post")):
        write_phase(
            tmp_path / folder, arrays[n], names, SeriesInstanceUID=f"1.2.{n}", AcquisitionTime=f"10{n}000"
        )
    study = load_study([tmp_path / "pre", tmp_path / "post"])
    assert_phases(study, arrays)
    assert starts(study) == [0, 600]
    assert [hashed.role for hashed in study.inputs] == ["phase0", "phase1"]


def test_faults_of_dicom_folders(tmp_path):
    arrays = some_phases(3)
    names = misleading_names()

    def write(folder, n=0, **tags):
        write_phase(tmp_path / folder, arrays[n], names, **tags)

    (tmp_path / "empty").mkdir()
    assert "no DICOM file" in the_fault(tmp_path / "empty")
    for n in (1, 2):
        write("missing", n, TemporalPositionIdentifier=n)
    write("missing", TemporalPositionIdentifier=3, slices=(0, 1, 3, 4))
    write("missing", SeriesInstanceUID="1.9", orientation=(0, 1, 0, 0, 0, -1), EchoTime=5)
    assert re.search(
        r'series 4 "dyn": 2 to 3 images at a slice position: slices are missing',
        the_fault(tmp_path / "missing"),
    )
    write("uneven", slices=(0, 1, 2, 4))
    assert "missing or uneven (2 to 4 mm apart)" in the_fault(tmp_path / "uneven")
    for n in range(2):
        write("same", n, AcquisitionTime="100000", SeriesInstanceUID=f"1.{n}")
    assert "tells them apart" in the_fault(tmp_path / "same")
    for echo_time in (1.7, 90):
        write("two", EchoTime=echo_time, SeriesInstanceUID=f"1.{echo_time}", SeriesNumber=int(echo_time))
    assert re.search(r'series 1 "dyn" \(1 x 5 slices\); series 90 "dyn"', the_fault(tmp_path / "two"))
    for study, n in itertools.product((0, 1), range(2)):
        write(
            "twice",
            n + study,
            StudyInstanceUID=f"1.{study}",
            SeriesInstanceUID=f"1.{study}.5",
            TemporalPositionIdentifier=n,
        )
    assert re.search("several series have phases: .*of several examinations", the_fault(tmp_path / "twice"))
    write("slice", slices=[0])
    assert "one slice" in the_fault(tmp_path / "slice")
    write("moved", AcquisitionTime="100000")
    write("moved", 1, AcquisitionTime="100100", origin=(0.05, 0, 0), SeriesInstanceUID="1.8")
    assert "phase 1: lies elsewhere than" in the_fault(tmp_path / "moved")
    header = a_header(arrays[0, 0], SamplesPerPixel=3)
    save(header, tmp_path / "colour" / "a")
    assert "no greyscale slice" in the_fault(tmp_path / "colour")
    write("broken")
    victim = sorted((tmp_path / "broken").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:-20])
    assert f"{victim}: its pixels cannot be decoded" in the_fault(tmp_path / "broken")


# Files


SECONDS = 8
MILLISECONDS = 16
NO_UNIT = 0


@pytest.mark.parametrize(
    ("step", "unit", "expected"),
    [
        (75, SECONDS, [0, 75, 150]),
        (75000, MILLISECONDS, [0, 75, 150]),
        (75, NO_UNIT, None),
        (1, SECONDS, None),
        (4.5, MILLISECONDS, None),
    ],
)
def test_4d_nifti_with_plausible_times_only(tmp_path, step, unit, expected):
    arrays = some_phases(3)
    path = write_sitk(tmp_path / "4d.nii", arrays, (*GEOMETRY.spacing, 1.0))
    content = bytearray(path.read_bytes())
    content[123] = 2 | unit  # xyzt_units: mm, and the unit of time
    content[92:96] = np.float32(step).tobytes()  # pixdim[4]
    path.write_bytes(content)
    study = load_study(path)
    assert_phases(study, arrays)
    assert starts(study) == (expected or [None] * 3)
    np.testing.assert_allclose(study.geometry.spacing, GEOMETRY.spacing, atol=1e-6)
    assert study.inputs == (InputHash("image", file_sha256(path), "file"),)


SEQUENCE = """NRRD0004
type: unsigned short
dimension: 4
space: left-posterior-superior
sizes: 6 8 5 3
space directions: (0.9,0,0) (0,0.7,0) (0,0,2) none
kinds: domain domain domain list
labels: "" "" "" "time"
units: "" "" "" "s"
endian: little
encoding: raw
space origin: (1,2,3)
axis 3 index type:=numeric
axis 3 index values:=0 90.5 180
"""


def test_slicer_sequence_and_multi_volume(tmp_path):
    arrays = some_phases(3)
    study = load_study(write_nrrd(tmp_path / "a.seq.nrrd", arrays, SEQUENCE))
    assert_phases(study, arrays)
    assert study.geometry.matches(GEOMETRY)
    assert starts(study) == [0, 90.5, 180]

    first_axis = SEQUENCE.replace("sizes: 6 8 5 3", "sizes: 3 6 8 5").replace(
        "(0.9,0,0) (0,0.7,0) (0,0,2) none", "none (0.9,0,0) (0,0.7,0) (0,0,2)"
    )
    first_axis = first_axis.replace("domain domain domain list", "list domain domain domain").replace(
        '"" "" "" "time"', '"time" "" "" ""'
    )
    multi_volume = (
        first_axis.split("units:")[0] + first_axis[first_axis.index("endian") : first_axis.index("axis 3")]
    )
    multi_volume += "MultiVolume.FrameLabels:=0,60000,120000\nMultiVolume.FrameIdentifyingDICOMTagUnits:=ms\n"
    study = load_study(write_nrrd(tmp_path / "b.nrrd", np.moveaxis(arrays, 0, -1), multi_volume))
    assert_phases(study, arrays)
    assert starts(study) == [0, 60, 120]

    # a mere count; no unit
    for header in (SEQUENCE.replace("0 90.5 180", "0 1 2"), SEQUENCE.replace('"s"', '""')):
        assert starts(load_study(write_nrrd(tmp_path / "a.seq.nrrd", arrays, header))) == [None] * 3
    colour = multi_volume.replace("kinds: list", "kinds: RGB-color")
    assert "3 values a voxel" in the_fault(
        write_nrrd(tmp_path / "b.nrrd", np.moveaxis(arrays, 0, -1), colour)
    )


def test_a_file_a_phase_keeps_the_order_given(tmp_path):
    arrays = some_phases(2)
    paths = [
        write_sitk(tmp_path / name, array, GEOMETRY.spacing)
        for name, array in zip(("z.nrrd", "a.mha"), arrays)
    ]
    study = load_study(paths)
    assert_phases(study, arrays)
    assert study.inputs == (
        InputHash("phase0", file_sha256(paths[0]), "file"),
        InputHash("phase1", file_sha256(paths[1]), "file"),
    )
    assert_phases(load_study(paths[:1]), arrays[:1])
    turned = study.with_slice_axis("i")
    np.testing.assert_array_equal(turned.phases[1].volume.array, arrays[1].transpose(2, 0, 1))


def test_faults_of_files(tmp_path):
    array = some_phases(1)[0]
    first = write_sitk(tmp_path / "first.nrrd", array, GEOMETRY.spacing)
    assert "no image given" in the_fault([])
    assert "no such file" in the_fault(tmp_path / "nowhere.nii")
    (tmp_path / "text.nii").write_text("no image")
    assert "cannot be read as an image" in the_fault(tmp_path / "text.nii")
    assert "3 values a voxel" in the_fault(
        write_sitk(tmp_path / "rgb.nii.gz", array.reshape(5, 8, 2, 3).astype(np.uint8), is_vector=True)
    )
    assert "is 2D" in the_fault(write_sitk(tmp_path / "2d.nrrd", array[0].astype(np.uint8)))
    with_nan = array.astype(np.float32)
    with_nan[2, 3, 4] = np.nan
    assert "1 voxels are NaN" in the_fault(write_sitk(tmp_path / "nan.nrrd", with_nan))
    assert "1 voxels are NaN" in the_fault(write_sitk(tmp_path / "nan4d.nii", np.stack([with_nan, array])))
    assert "same image" in the_fault([first, first])
    (tmp_path / "copy.nrrd").write_bytes(first.read_bytes())
    assert "same image" in the_fault([first, tmp_path / "copy.nrrd"])
    series = write_sitk(tmp_path / "4d.nii.gz", some_phases(3))
    assert "holds 3 phases" in the_fault([first, series])
    for other, difference in (
        (write_sitk(tmp_path / "size.nrrd", array[:4], GEOMETRY.spacing), "size 6 x 8 x 4 against 6 x 8 x 5"),
        (
            write_sitk(tmp_path / "spacing.nrrd", array + 1, (0.9, 0.7, 2.1)),
            "spacing 0.9 x 0.7 x 2.1 against 0.9 x 0.7 x 2",
        ),
    ):
        fault = the_fault([first, other])
        assert str(first) in fault
        assert str(other) in fault
        assert difference in fault


def test_given_times_count_instead_of_those_in_the_files(tmp_path):
    volumes = noise_phases(3, (4, 6, 5))
    for n, volume in enumerate(volumes):
        names = (f"{k}.dcm" for k in itertools.count(1))
        write_phase(
            tmp_path / "dicom" / str(n),
            volume,
            names,
            SeriesInstanceUID=f"1.2.{n}",
            AcquisitionTime=f"100{n}00",
        )
    folders = [tmp_path / "dicom" / str(n) for n in range(3)]
    assert starts(load_study(folders)) == [0, 60, 120]
    study = load_study(folders, times=GivenTimes((30.0, 100.0, 230.0), 95.0))
    assert_phases(study, volumes)
    assert (starts(study), study.contrast_start_s) == ([0, 70, 200], 65.0)
    assert [phase.duration_s for phase in study.phases] == [None] * 3
    assert "those in the images differ by up to 80 s" in study.notes[-1]
    assert not any(
        "differ by" in note for note in load_study(folders, times=GivenTimes((5, 65, 125.5))).notes
    )
    with pytest.raises(InputError, match="the study has 3 phases, phase_times_s gives 2 starts"):
        load_study(folders, times=GivenTimes((0.0, 60.0)))


def test_given_times_choose_another_phase_than_enhancement(tmp_path):
    paths = [tmp_path / f"{n}.nii.gz" for n in range(4)]
    for path, volume, level in zip(paths, noise_phases(4, (4, 6, 5)) // 100, (0, 300, 400, 500)):
        write_sitk(path, volume + np.uint16(level))
    roi = np.ones((4, 6, 5), bool)
    by_enhancement = choose_phases(load_study(paths), roi).early
    assert (by_enhancement.rule, by_enhancement.index) == ("enhancement", 3)
    times = GivenTimes((0.0, 90.0, 180.0, 270.0))
    by_time = choose_phases(load_study(paths, times=times), roi).early
    # contrast starts with the end of phase 0, at 90 s: phase 1 lies at 45 s, phase 2 at 135 s; tie: earlier
    assert (by_time.rule, by_time.index, by_time.time_s) == ("time", 1, 45.0)


def test_4d_file_of_one_volume_is_one_phase(tmp_path):
    study = load_study(write_sitk(tmp_path / "one.nii.gz", some_phases(1), (*GEOMETRY.spacing, 60.0)))
    assert len(study.phases) == 1
    assert choose_phases(study).pre is None
    assert choose_phases(study).early.rule == "given"


@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz", "mha"])
@pytest.mark.parametrize("order", [(1, 2, 3, 0), (1, 2, 0, 3)], ids=["time first", "time second"])
def test_4d_images_whose_axes_are_in_another_order_are_refused(tmp_path, suffix, order):
    """Nothing in these files says which axis is time: read as they are they would be slices 4 pixels wide."""
    phases = np.zeros((4, 10, 64, 80), np.uint16)
    write_sitk(tmp_path / f"right.{suffix}", phases)
    assert len(load_study(tmp_path / f"right.{suffix}").phases) == 4
    fault = the_fault(write_sitk(tmp_path / f"odd.{suffix}", phases.transpose(order)))
    assert re.search(
        r"its axes are (4 x 80|80 x 4) x 64 x 10, 10 phases of .* pixels; "
        r"save it as columns, rows, slices, phases",
        fault,
    )


def test_more_phases_than_pixels_across_are_refused_few_pixels_are_not(tmp_path):
    assert "120 phases of 40 x 60" in the_fault(
        write_sitk(tmp_path / "odd.nii", np.zeros((120, 2, 60, 40), np.uint8))
    )
    for name, shape in (
        ("a cropped lesion", (25, 6, 22, 20)),
        ("one slice", (60, 1, 128, 96)),
        ("two phases", (2, 3, 10, 8)),
    ):
        assert (
            len(load_study(write_sitk(tmp_path / f"{name}.nii", np.zeros(shape, np.uint8))).phases)
            == shape[0]
        )


@pytest.mark.parametrize(
    ("kinds", "axis"),
    [("", 0), ("kinds: time domain domain domain\n", 0), ("kinds: domain domain domain ???\n", 3)],
)
def test_an_axis_without_a_kind_is_told_in_words(tmp_path, kinds, axis):
    header = re.sub(
        "kinds:.*\n",
        kinds,
        SEQUENCE.partition("labels:")[0] + SEQUENCE[SEQUENCE.index("endian") : SEQUENCE.index("axis 3")],
    )
    if axis == 0:
        header = header.replace("6 8 5 3", "3 6 8 5").replace(
            "(0.9,0,0) (0,0.7,0) (0,0,2) none", "none (0.9,0,0) (0,0.7,0) (0,0,2)"
        )
    fault = the_fault(write_nrrd(tmp_path / "a.nrrd", some_phases(3), header))
    assert f"axis {axis} of 4 has no direction in space, and its kind is" in fault
    assert "write `list` for that axis" in fault


# The choice of phases


def a_study(levels, times=None, durations=None, contrast_start=None):
    """Phases whose ROI has the given mean signals over a background of noise."""
    noise = np.random.default_rng(1).normal(100, 3, (len(levels), 6, 40, 40))
    noise[:, a_roi()] += np.subtract(levels, 100)[:, None]
    geometry = Geometry((6, 40, 40), (1.0, 1.0, 2.0), (0.0, 0, 0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    return study_from_volumes(
        [Volume(array.astype(np.int16), geometry) for array in noise], times, durations, contrast_start
    )


def a_roi():
    roi = np.zeros((6, 40, 40), bool)
    roi[2:5, 15:26, 14:27] = True
    return roi


@pytest.mark.parametrize(
    ("times", "durations", "contrast_start", "index", "seconds", "said"),
    [
        # without durations a phase lasts as long as the regular step: middles 45 and 135 s after contrast are
        # as near, the earlier wins
        ([0, 90, 180, 270], None, None, 1, 45, "estimated end of phase 0 to the middle"),
        (
            [0, 120, 210, 300],
            None,
            None,
            1,
            75,
            "estimated end of phase 0 to the middle",
        ),  # idle seconds before the injection
        ([0, 60, 120, 180], [50] * 4, None, 2, 95, "the end of phase 0 to the middle"),
        ([0, 200, 260, 320], None, 150, 1, 80, "contrast start of the header to the middle"),
        (
            [0, 60, 120, 180],
            None,
            9999,
            2,
            90,
            "estimated end of phase 0",
        ),  # contrast after the last phase: not plausible
        ([0, 60, 120, 180], None, -5000, 2, 90, "estimated end of phase 0"),
    ],
)
def test_early_phase_by_time(times, durations, contrast_start, index, seconds, said):
    early = choose_phases(a_study([100, 200, 200, 200], times, durations, contrast_start), a_roi()).early
    assert (early.index, early.rule, early.time_s) == (index, "time", seconds)
    assert said in early.detail


def test_contrast_start_before_phases_all_after_contrast():
    early = choose_phases(a_study([200] * 3, [0, 60, 120], None, -30), a_roi(), pre="none").early
    assert (early.index, early.time_s, early.baseline) == (0, 60, ())


def test_pre_phase_is_the_last_one_before_contrast():
    def pre(override=None, times=None, durations=None, contrast_start=None):
        return choose_phases(a_study([100] * 4, times, durations, contrast_start), a_roi(), pre=override).pre

    assert pre() == 0
    assert pre(None, [0, 60, 120, 180], None, 91) == 1
    assert pre(None, [0, 60, 120, 180], None, 70) == 0  # the middle of phase 1 comes later
    assert pre(None, [0, 60, 120, 180], [50] * 4, 70) == 0
    assert pre(None, [0, 60, 120, 180], None, -30) == 0
    assert pre("none") is None
    assert pre(3) == 3
    for wrong in (4, -1, "x"):
        with pytest.raises(InputError, match=r"pre-contrast phase .*give 0-3"):
            pre(wrong)


@pytest.mark.parametrize("roi", [a_roi(), None])
@pytest.mark.parametrize(
    ("levels", "baseline"),
    [
        ([100, 240, 290, 300], [0]),
        ([100, 101, 99, 290, 300], [0, 1, 2]),
        (
            [100] * 9 + [100 + 20 * n for n in range(3, 12)],
            list(range(9)),
        ),  # many baselines, as ultrafast series have
        ([100, 101, 99, 102], [0]),  # nothing rises: nothing is known
        ([300, 100, 310], [0]),  # another order of phases is warned of, not guessed
    ],
)
def test_baseline_is_all_before_the_signal_rises(roi, levels, baseline):
    chosen = choose_phases(a_study(levels), roi)
    assert (chosen.pre, list(chosen.early.baseline)) == (baseline[-1], baseline)
    assert chosen.early.index not in baseline


def test_baseline_in_time_where_phases_do_not_come_in_time_order():
    chosen = choose_phases(a_study([200, 100, 100, 210], [200, 0, 100, 300]), a_roi())
    assert (chosen.pre, chosen.early.index, chosen.early.baseline) == (2, 0, (1, 2))


@pytest.mark.parametrize("roi", [a_roi(), None])
@pytest.mark.parametrize(
    ("levels", "index"), [([100, 240, 290, 300], 2), ([100, 295, 300, 290], 1), ([100, 110, 150, 300], 3)]
)
def test_early_phase_by_enhancement(roi, levels, index):
    early = choose_phases(a_study(levels), roi).early
    assert (early.index, early.rule, early.time_s) == (index, "enhancement", None)


def test_a_phase_that_hardly_enhances_is_not_the_early_one_while_another_is_there():
    times = [0, 60, 120, 180]
    early = choose_phases(a_study([100, 105, 200, 300], times), a_roi(), pre=0).early
    assert (early.index, early.time_s) == (2, 90)
    early = choose_phases(a_study([100, 180, 120, 300], times), a_roi(), pre=0).early
    assert (early.index, early.rule, early.time_s) == (1, "time", 30)
    assert "phase 2 is nearer, but enhances by less than 20%" in early.detail


@pytest.mark.parametrize(
    ("times", "levels", "index"),
    [
        ([0, 1371, 1493, 1615], [100, 300, 290, 280], 1),  # as in the public Duke study
        ([0, 1371, 1493, 1615], [100, 200, 310, 300], 2),
        (
            [0, 1371, 1433, 1493, 1555, 1617, 1900],
            [100, 200, 210, 220, 250, 400, 500],
            2,
        ),  # more than 180 s later is never the early one
        ([0, 60, 1431, 1493, 1555], [100, 101, 300, 290, 280], 2),  # two baselines
        ([0, 1400, 1500, 2700], [100, 240, 245, 310], 1),  # few phases, and a delayed one
    ],
)
def test_after_a_pause_the_time_after_contrast_is_unknown(times, levels, index):
    chosen = choose_phases(a_study(levels, times), a_roi())
    assert (chosen.early.index, chosen.early.rule, chosen.early.time_s) == (index, "enhancement", None)
    assert codes(chosen) == ["pause_before_series"]


def test_what_is_no_pause():
    for times in (
        [0, 120, 180, 240],
        [0, 90, 180, 1000],
        [0, 250, 380, 510],
    ):  # idle seconds; a late phase; not twice the step
        assert codes(choose_phases(a_study([100, 300, 290, 280], times), a_roi())) == []
    said_when = choose_phases(a_study([100, 300, 290, 280], [0, 1371, 1493, 1615], None, 1360), a_roi())
    assert (said_when.early.rule, codes(said_when)) == ("time", [])
    early = choose_phases(a_study([100, 300, 290, 280], [0, 1320, 1410, 1500], [60] * 4, 3), a_roi())
    assert (early.early.time_s, codes(early)) == (
        None,
        ["times_not_believed"],
    )  # the header's time lies in the baseline itself


@pytest.mark.parametrize(
    ("times", "is_believed"),
    [
        (np.arange(6) * 5.2, False),  # a repetition time taken for a step
        (np.arange(4) * 10, False),
        (np.arange(12) * 4, True),  # ultrafast: 48 s in all
        (np.arange(8) * 5, False),  # 40 s in all
        (np.arange(4) * 700, False),  # the first phase after contrast would come 350 s after it
        (np.arange(4) * 500, True),
    ],
)
def test_clocks_that_cannot_be_are_not_believed(times, is_believed):
    levels = [100, 240, 290, 300, *[295] * 8][: len(times)]
    chosen = choose_phases(a_study(levels, list(times)), a_roi())
    assert codes(chosen) == ([] if is_believed else ["times_not_believed"])
    assert chosen.early.rule == ("time" if is_believed else "enhancement")
    assert is_believed or (chosen.early.time_s is None and chosen.early.index == 2)


def test_early_phase_without_pre_phase_or_enhancement_and_by_the_user():
    study = a_study([240, 280, 300])
    assert choose_phases(study, a_roi(), pre="none").early.index == 1
    assert choose_phases(a_study([300, 200, 250]), a_roi()).early.index == 2
    assert choose_phases(study, a_roi(), 2).early.rule == "user"
    assert choose_phases(a_study([100, 200], [0, 100]), a_roi(), 1).early.time_s == 50
    with pytest.raises(InputError, match="early phase 3: not there; give 0-2"):
        choose_phases(study, a_roi(), 3)
    with pytest.raises(InputError, match="only one image is given"):
        choose_phases(a_study([100]), a_roi(), pre=0)
    with pytest.raises(InputError, match="is the pre-contrast phase"):
        choose_phases(study, a_roi(), 0)


@pytest.mark.parametrize("roi", [a_roi(), None])
def test_warnings_about_phases(roi):
    def found(levels, pre=0, early=1):
        return codes(choose_phases(a_study(levels), roi, early, pre))

    assert found([100, 200, 220]) == []
    assert found([100, 99, 220], early=2) == []  # a second baseline
    assert found([200, 220, 100])[0] == "phase_order"
    assert found([100, 200], pre="none") == ["no_pre_contrast"]
    if roi is not None:
        assert found([100, 104]) == ["no_enhancement"]


def test_reformatted_volumes_are_named():
    geometry = Geometry((6, 40, 40), (1.0, 2.0, 0.8), (0.0, 0, 0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    study = Study((Phase(Volume(np.zeros(geometry.shape, np.int16), geometry)),))
    assert codes(choose_phases(study)) == ["maybe_reformatted", "no_pre_contrast"]
    assert codes(choose_phases(study.with_slice_axis("j"))) == ["no_pre_contrast"]


def test_subtraction_of_unsigned_integers_goes_below_zero():
    volumes = [Volume(np.full(SHAPE, value, np.uint16), GEOMETRY) for value in (7, 5)]
    difference = subtraction(study_from_volumes(volumes), early=1, pre=0)
    assert difference.dtype == np.float32
    assert (difference == -2).all()


def test_real_case(shared_data):
    files = [
        shared_data / "breast_dce" / f"{name}.nii.gz"
        for name in ("pre", "post1", "post2", "post3", "post4", "post5")
    ]
    roi = read_volume(shared_data / "breast_dce" / "tumor_pseudo_mask.nii.gz").array > 0
    study = load_study(files)
    for where in (roi, None):
        chosen = choose_phases(study, where)
        assert (chosen.pre, chosen.early.index, chosen.early.rule) == (0, 1, "enhancement")
        assert chosen.warnings == ()
    alphabetical = load_study(sorted(files))
    for where in (roi, None):
        assert "phase_order" in codes(choose_phases(alphabetical, where))
