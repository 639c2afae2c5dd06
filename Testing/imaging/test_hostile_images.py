"""Hostile and odd images: NRRD, NIfTI, MetaImage, DICOM and outlines. Each is read right or refused with a
line (see INPUTS.md).
"""

import gzip
import itertools
import os
import struct
import tracemalloc
import zlib

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from HER2ViTLib.imaging import nifti as nifti_checks
from HER2ViTLib.imaging.volume import PLAUSIBLE_SPACING_MM
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.study.loading import load_study
from HER2ViTLib.study.phases import choose_phases
from support.dicom_writer import a_header, save, write_slice
from support.hostile import NUMBERS, damaged, faults_of, outcome, quick

pytestmark = pytest.mark.usefixtures("no_network")

SHAPE = (4, 6, 8)
ARRAY = np.arange(np.prod(SHAPE), dtype="<i2").reshape(SHAPE)
VOXELS = ARRAY.tobytes()
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "8 6 4",
    "space directions": "(0.8,0,0) (0,0.8,0) (0,0,2)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(0,0,0)",
}


def nrrd(path, data=VOXELS, more=(), **changes):
    """A NRRD file of the fields, changed as said (None: left out; _ stands for a blank), and further header
    lines.
    """
    fields = {**FIELDS, **{name.replace("_", " "): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    path.write_bytes(
        "\n".join(["NRRD0005", *lines, *more]).encode("utf-8", "surrogateescape") + b"\n\n" + data
    )
    return path


def require_sound(study):
    """What must hold of every study that is taken: real, finite, three-dimensional, in a space that a scanner
    can have.
    """
    for phase in study.phases:
        array = phase.volume.array
        geometry = phase.volume.geometry
        assert array.shape == geometry.shape
        assert array.ndim == 3
        assert np.isrealobj(array)
        assert np.isfinite(array).all()
        assert all(PLAUSIBLE_SPACING_MM[0] <= step <= PLAUSIBLE_SPACING_MM[1] for step in geometry.spacing)
        axes = np.reshape(geometry.direction, (3, 3))
        assert np.allclose(axes.T @ axes, np.eye(3), atol=0.02)
        assert np.isfinite(geometry.origin).all()
    assert 0 <= choose_phases(study).early.index < len(study.phases)


def taken_or_refused(path):
    study, faults = outcome(load_study, path)
    if faults is None:
        require_sound(study)
    return study, faults


# NRRD


def test_the_plain_file_is_right(tmp_path):
    study = load_study(nrrd(tmp_path / "plain.nrrd"))
    np.testing.assert_array_equal(study.phases[0].volume.array, ARRAY)
    big_endian = load_study(nrrd(tmp_path / "big.nrrd", ARRAY.astype(">i2").tobytes(), endian="big"))
    np.testing.assert_array_equal(big_endian.phases[0].volume.array, ARRAY)


REFUSED_NRRD = {
    "spacing zero": dict(space_directions="(0,0,0) (0,0.8,0) (0,0,2)"),
    "spacing tiny": dict(space_directions="(1e-9,0,0) (0,0.8,0) (0,0,2)"),
    "spacing huge": dict(space_directions="(1e9,0,0) (0,0.8,0) (0,0,2)"),
    "directions singular": dict(space_directions="(0.8,0,0) (0.8,0,0) (0,0,2)"),
    "directions skewed": dict(space_directions="(0.8,0,0) (0.4,0.8,0) (0,0,2)"),
    "directions NaN": dict(space_directions="(nan,0,0) (0,0.8,0) (0,0,2)"),
    "directions infinite": dict(space_directions="(inf,0,0) (0,0.8,0) (0,0,2)"),
    "directions too few": dict(space_directions="(0.8,0,0) (0,0.8,0)"),
    "origin far": dict(space_origin="(1e30,0,0)"),
    "origin NaN": dict(space_origin="(nan,0,0)"),
    "origin no vector": dict(space_origin="here"),
    "a dimension of size 0": dict(sizes="8 0 4"),
    "a negative size": dict(sizes="8 -6 4"),
    "sizes beyond the data": dict(sizes="8 6 5"),
    "a huge dimension": dict(sizes="2000000000 6 4"),
    "sizes whose product overflows": dict(sizes="4294967296 4294967296 4"),
    "sizes of many digits": dict(sizes="99999999999999999999999 6 4"),
    "more voxels than can be compressed into it": dict(sizes="4000 4000 4", encoding="gzip"),
    "sizes of another dimension": dict(sizes="8 6"),
    "dimension 0": dict(dimension="0"),
    "dimension 99": dict(dimension="99"),
    "2D": dict(
        dimension="2",
        sizes="8 24",
        space="left-posterior",
        space_directions="(1,0) (0,1)",
        space_origin="(0,0)",
        kinds="domain domain",
    ),
    "unknown type": dict(type="quaternion"),
    "block type": dict(type="block", more=["block size: 2"]),
    "unknown encoding": dict(encoding="rot13"),
    "bzip2 that is none": dict(encoding="bzip2"),
    "hexadecimal that is none": dict(encoding="hex"),
    "text that is none": dict(encoding="text"),
    "no sizes": dict(sizes=None),
    "no type": dict(type=None),
    "no encoding": dict(encoding=None),
    "colour": dict(
        dimension="4",
        sizes="3 8 2 4",
        kinds="RGB-color domain domain domain",
        space_directions="none (1,0,0) (0,1,0) (0,0,1)",
    ),
    "vectors": dict(
        dimension="4",
        sizes="3 8 2 4",
        kinds="vector domain domain domain",
        space_directions="none (1,0,0) (0,1,0) (0,0,1)",
    ),
    "complex numbers": dict(
        dimension="4",
        sizes="2 8 6 2",
        kinds="complex domain domain domain",
        space_directions="none (1,0,0) (0,1,0) (0,0,1)",
    ),
    "a field twice": dict(more=["sizes: 8 6 4"]),
    "data file elsewhere": dict(more=["data file: ../secret.raw"]),
    "data file elsewhere, other spelling": dict(more=["DataFile: ../secret.raw"]),
    "data file anywhere": dict(more=["data file: /etc/passwd"]),
    "data file of Windows": dict(more=[r"data file: C:\secret.raw"]),
    "data files by pattern": dict(more=["data file: ../secret%d.raw 1 4 1 2"]),
    "data files by list": dict(more=["data file: LIST", "../secret.raw"]),
    "data file not there": dict(more=["data file: nothing.raw"]),
    "data file hidden by a key": dict(more=["data file: ../secret.raw", "data file:=LOCAL"]),
}


@pytest.mark.parametrize("fault", REFUSED_NRRD)
def test_nrrd_headers_that_are_refused(tmp_path, fault):
    (tmp_path / "secret.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "in").mkdir()
    faults = faults_of(load_study, nrrd(tmp_path / "in" / "image.nrrd", **REFUSED_NRRD[fault]))
    assert "image.nrrd" in faults


TAKEN_NRRD = {
    "a very long comment": dict(more=["# " + "x" * 500_000]),
    "a very long value": dict(more=["remark:=" + "x" * 500_000]),
    "other alphabets": dict(more=["name:=\N{SNOWMAN} \N{GRINNING FACE} <script>"]),
    "bytes that are no text": dict(more=["name:=\udcff\udcfe"]),
    "another unit": dict(more=['space units: "mm" "mm" "mm"']),
    "an axis mirrored": dict(space_directions="(-0.8,0,0) (0,0.8,0) (0,0,2)"),
    "kinds as a key too": dict(more=["kinds:=list domain domain"]),
    "gzip that is none": dict(encoding="gzip"),
    "times of nothing": dict(more=["axis 0 index values:=1 2 nan", "MultiVolume.FrameLabels:=inf,-inf"]),
    "data behind the voxels": dict(data=ARRAY.tobytes() + b"\0" * 5000),
}


@pytest.mark.parametrize("oddity", TAKEN_NRRD)
def test_odd_nrrd_headers_that_are_read_right(tmp_path, oddity):
    study, faults = taken_or_refused(nrrd(tmp_path / "image.nrrd", **TAKEN_NRRD[oddity]))
    assert faults is None, faults
    np.testing.assert_array_equal(study.phases[0].volume.array, ARRAY)


@pytest.mark.parametrize("kind", ["float", "double"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers(tmp_path, kind, value):
    voxels = ARRAY.astype("<f4" if kind == "float" else "<f8")
    voxels[1, 2, 3] = value
    assert "1 voxels are NaN or infinite" in faults_of(
        load_study, nrrd(tmp_path / "image.nrrd", voxels.tobytes(), type=kind)
    )
    image = sitk.GetImageFromArray(voxels)
    for name in ("image.nii", "image.nii.gz", "image.mha"):
        sitk.WriteImage(image, str(tmp_path / name))
        assert "1 voxels are NaN or infinite" in faults_of(load_study, tmp_path / name)


def test_a_detached_header_reads_files_of_its_own_folder_only(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "in" / "voxels.raw").write_bytes(ARRAY.tobytes())
    (tmp_path / "in" / "link.raw").symlink_to(tmp_path / "secret.raw")
    beside = nrrd(tmp_path / "in" / "beside.nhdr", b"", ["data file: voxels.raw"])
    np.testing.assert_array_equal(load_study(beside).phases[0].volume.array, ARRAY)
    pieces = [f"{n}.raw" for n in range(4)]
    for name, piece in zip(pieces, ARRAY):
        (tmp_path / "in" / name).write_bytes(piece.tobytes())
    for lines in (["data file: %d.raw 0 3 1 2"], ["data file: LIST 2", *pieces]):
        header = nrrd(tmp_path / "in" / "pieces.nhdr", b"", lines)
        header.write_bytes(header.read_bytes().rstrip(b"\n") + b"\n")
        np.testing.assert_array_equal(load_study(header).phases[0].volume.array, ARRAY)
    assert "outside its folder" in faults_of(
        load_study, nrrd(tmp_path / "in" / "link.nhdr", b"", ["data file: link.raw"])
    )
    meta = (
        "ObjectType = Image\nNDims = 3\nDimSize = 8 6 4\nElementSpacing = 1 1 1\nElementType ="
        " MET_SHORT\nElementDataFile = "
    )
    for target, is_fine in (
        ("voxels.raw", True),
        ("../secret.raw", False),
        (str(tmp_path / "secret.raw"), False),
        ("LIST\n../secret.raw", False),
    ):
        (tmp_path / "in" / "image.mhd").write_text(meta + target + "\n")
        _, faults = taken_or_refused(tmp_path / "in" / "image.mhd")
        assert (faults is None) == is_fine
        assert is_fine or "outside its folder" in faults[0]
    name = "ElementDataFile"
    for spelling in (
        f"{name}: ",
        f"{name.lower()}=",
        f"\r{name} = ",
        f"\x0b{name} = ",
        f"Comment = {name} = x\n{name}:",
    ):
        (tmp_path / "in" / "image.mhd").write_text(meta.rpartition("Elem")[0] + spelling + "../secret.raw\n")
        assert "outside its folder" in faults_of(load_study, tmp_path / "in" / "image.mhd")


def test_formats_that_open_further_files_are_not_read(tmp_path):
    flat = sitk.GetImageFromArray(ARRAY[0].astype(np.uint8))
    volume = sitk.GetImageFromArray(ARRAY)
    for name in ("a.png", "a.jpg", "a.bmp", "a.tif", "a.vtk", "a.gipl", "a.hdf5"):
        sitk.WriteImage(flat if name in ("a.png", "a.jpg", "a.bmp") else volume, str(tmp_path / name))
        assert "give a NIfTI, NRRD, MetaImage or DICOM file" in faults_of(load_study, tmp_path / name)


def test_bombs_are_not_inflated(tmp_path):
    """A hundred megabytes in a hundred kilobytes, behind or instead of the voxels."""
    zeros = zlib.compressobj(9, wbits=31)
    bomb = (
        zeros.compress(ARRAY.tobytes())
        + b"".join(zeros.compress(bytes(1 << 20)) for _ in range(100))
        + zeros.flush()
    )
    np.testing.assert_array_equal(
        load_study(nrrd(tmp_path / "a.nrrd", bomb, encoding="gzip")).phases[0].volume.array, ARRAY
    )
    header = nifti_header(datatype=FLOAT32)
    (tmp_path / "a.nii.gz").write_bytes(
        gzip.compress(header + ARRAY.astype("<f4").tobytes() + bytes(100 << 20), 9)
    )
    tracemalloc.start()
    study = load_study(tmp_path / "a.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(study.phases[0].volume.array, ARRAY)
    assert peak < 5e6


WORDS = (
    "none",
    "(0,0,0)",
    "(nan,nan,nan)",
    "list",
    "LIST",
    "../x",
    "%d",
    "8 6 4",
    "8 6 4 1 1 1 1",
    "short",
    "double",
    "\x00",
    "\r",
)
TOKENS = st.sampled_from([*NUMBERS, *WORDS])


@quick(150)
@given(st.lists(st.tuples(st.sampled_from(list(FIELDS)), TOKENS, st.integers(0, 8)), min_size=1, max_size=2))
def test_any_word_of_a_nrrd_header_may_be_anything(tmp_path_factory, changes):
    fields = dict(FIELDS)
    for name, token, place in changes:
        words = fields[name].split() or [""]
        words[place % len(words)] = token
        fields[name] = " ".join(words)
    folder = tmp_path_factory.getbasetemp()
    taken_or_refused(
        nrrd(folder / "fuzz.nrrd", **{name.replace(" ", "_"): value for name, value in fields.items()})
    )


# NIfTI

INT16 = 4
FLOAT32 = 16
FLOAT64 = 64
OFFSET = {
    **{
        "dim": ("<8h", 40),
        "datatype": ("<h", 70),
        "bitpix": ("<h", 72),
        "pixdim": ("<8f", 76),
        "vox_offset": ("<f", 108),
    },
    **{
        "scl_slope": ("<f", 112),
        "scl_inter": ("<f", 116),
        "xyzt_units": ("<b", 123),
        "qform_code": ("<h", 252),
        "sform_code": ("<h", 254),
    },
    **{"quaternion": ("<3f", 256), "qoffset": ("<3f", 268), "srow": ("<12f", 280)},
}
SAMPLE = {
    "dim": (3, 8, 6, 4, 1, 1, 1, 1),
    "datatype": INT16,
    "pixdim": (1, 0.8, 0.8, 2, 0, 0, 0, 0),
    "vox_offset": 352,
    "scl_slope": 1,
    "xyzt_units": 2,
    "sform_code": 1,
    "srow": (-0.8, 0, 0, 0, 0, -0.8, 0, 0, 0, 0, 2, 0),
}


def nifti_header(extension=bytes(4), **changes):
    fields = {**SAMPLE, **changes}
    fields.setdefault("bitpix", {INT16: 16, FLOAT32: 32, FLOAT64: 64}.get(fields["datatype"], 16))
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    header[344:348] = b"n+1\0"
    for name, value in fields.items():
        layout, offset = OFFSET[name]
        struct.pack_into(layout, header, offset, *(value if isinstance(value, tuple) else (value,)))
    return bytes(header) + extension


def nifti(path, data=VOXELS, **changes):
    path.write_bytes(nifti_header(**changes) + data)
    return path


NAN = float("nan")
INF = float("inf")
REFUSED_NIFTI = {
    "7 dimensions": dict(dim=(7, 8, 6, 4, 2, 2, 2, 2)),
    "5D": dict(dim=(5, 8, 6, 2, 1, 2, 1, 1)),
    "5D vectors": dict(dim=(5, 8, 6, 1, 1, 4, 1, 1)),
    "2D": dict(dim=(2, 8, 24, 1, 1, 1, 1, 1), pixdim=(1, 1, 1, 1, 0, 0, 0, 0)),
    "no dimension": dict(dim=(0, 8, 6, 4, 1, 1, 1, 1)),
    "99 dimensions": dict(dim=(99, 8, 6, 4, 1, 1, 1, 1)),
    "negative dimensions": dict(dim=(-3, 8, 6, 4, 1, 1, 1, 1)),
    "a dimension of size 0": dict(dim=(3, 8, 0, 4, 1, 1, 1, 1)),
    "a negative size": dict(dim=(3, 8, -6, 4, 1, 1, 1, 1)),
    "sizes beyond the data": dict(dim=(3, 8, 6, 40, 1, 1, 1, 1)),
    "huge sizes": dict(dim=(3, 32767, 32767, 32767, 1, 1, 1, 1)),
    "unknown type": dict(datatype=999),
    "colour": dict(datatype=128, bitpix=24, dim=(3, 8, 2, 4, 1, 1, 1, 1)),
    "complex numbers": dict(datatype=32, bitpix=64, dim=(3, 8, 3, 2, 1, 1, 1, 1)),
    "spacing infinite": dict(
        pixdim=(1, INF, 0.8, 2, 0, 0, 0, 0), srow=(INF, 0, 0, 0, 0, -0.8, 0, 0, 0, 0, 2, 0)
    ),
    "spacing NaN": dict(pixdim=(1, NAN, 0.8, 2, 0, 0, 0, 0), srow=(NAN, 0, 0, 0, 0, -0.8, 0, 0, 0, 0, 2, 0)),
    "axes skewed": dict(srow=(-0.8, 0.4, 0, 0, 0, -0.8, 0, 0, 0, 0, 2, 0)),
    "axes singular": dict(srow=(-0.8, 0, 0, 0, -0.8, 0, 0, 0, 0, 0, 2, 0)),
    "origin NaN": dict(srow=(-0.8, 0, 0, NAN, 0, -0.8, 0, 0, 0, 0, 2, 0)),
    "data offset beyond the file": dict(vox_offset=1e6),
}


@pytest.mark.parametrize("fault", REFUSED_NIFTI)
def test_nifti_headers_that_are_refused(tmp_path, fault):
    assert "image.nii" in faults_of(load_study, nifti(tmp_path / "image.nii", **REFUSED_NIFTI[fault]))


ODD_NIFTI = {
    "spacing zero": dict(pixdim=(1, 0, 0.8, 2, 0, 0, 0, 0)),
    "spacing negative": dict(pixdim=(1, -0.8, 0.8, 2, 0, 0, 0, 0)),
    "no sform, no qform": dict(sform_code=0),
    "qform of nothing": dict(sform_code=0, qform_code=1, quaternion=(NAN, NAN, NAN)),
    "qform that is no rotation": dict(sform_code=0, qform_code=1, quaternion=(5.0, 5.0, 5.0)),
    "sform of zeros": dict(srow=(0.0,) * 12),
    "data offset NaN": dict(vox_offset=NAN, datatype=FLOAT32, dim=(3, 8, 6, 2, 1, 1, 1, 1)),
    "data offset infinite": dict(vox_offset=INF, datatype=FLOAT32, dim=(3, 8, 6, 2, 1, 1, 1, 1)),
    "data offset negative": dict(vox_offset=-5.0, datatype=FLOAT32, dim=(3, 8, 6, 2, 1, 1, 1, 1)),
    "data offset zero": dict(vox_offset=0, datatype=FLOAT32, dim=(3, 8, 6, 2, 1, 1, 1, 1)),
    "wrong bits a voxel": dict(bitpix=8),
    "time steps of nonsense": dict(
        dim=(4, 8, 6, 2, 2, 1, 1, 1), pixdim=(1, 0.8, 0.8, 2, NAN, 0, 0, 0), xyzt_units=10
    ),
    "an extension that never ends": dict(
        extension=b"\1\0\0\0" + struct.pack("<ii", 2**31 - 16, 6), vox_offset=352
    ),
    "an extension of no size": dict(extension=b"\1\0\0\0" + struct.pack("<ii", 0, 6), vox_offset=360),
}


@pytest.mark.parametrize("oddity", ODD_NIFTI)
def test_odd_nifti_headers(tmp_path, oddity):
    taken_or_refused(nifti(tmp_path / "image.nii", **ODD_NIFTI[oddity]))


SCALED = [
    (0, 0, ARRAY),
    (NAN, 0, ARRAY),
    (INF, 0, ARRAY),
    (1, 0, ARRAY),
    (2, -3, ARRAY * 2.0 - 3),
    (-1, 0, -1.0 * ARRAY),
]


@pytest.mark.parametrize(("slope", "intercept", "expected"), SCALED)
def test_scaling_of_nifti_voxels(tmp_path, slope, intercept, expected):
    """A slope of zero means "not scaled", by the standard; so does one that is no number."""
    study = load_study(nifti(tmp_path / "image.nii", scl_slope=slope, scl_inter=intercept))
    np.testing.assert_array_equal(study.phases[0].volume.array, expected)


def test_where_sform_and_qform_disagree_the_sform_counts(tmp_path):
    """The standard's method 3 goes before its method 2: both readers of a case must see one and the same
    place.
    """
    shifted = nifti(
        tmp_path / "image.nii", qform_code=1, quaternion=(0.0, 0.0, 1.0), qoffset=(50.0, 0.0, 0.0)
    )
    geometry = load_study(shifted).geometry
    assert geometry.origin == pytest.approx((0, 0, 0))
    assert np.diag(np.reshape(geometry.direction, (3, 3))) == pytest.approx((1, 1, 1))


def test_gzip_by_content_not_by_name(tmp_path):
    plain = nifti(tmp_path / "plain.nii", ARRAY.astype("<f4").tobytes(), datatype=FLOAT32).read_bytes()
    (tmp_path / "named.nii.gz").write_bytes(plain)
    (tmp_path / "unnamed.nii").write_bytes(gzip.compress(plain))
    for name in ("named.nii.gz", "unnamed.nii"):
        study, faults = taken_or_refused(tmp_path / name)
        if faults is None:
            np.testing.assert_array_equal(study.phases[0].volume.array, ARRAY)


def test_files_cut_off_anywhere_are_refused(tmp_path):
    """SimpleITK itself gives a cut NIfTI file's missing voxels as zeros, without a word."""
    for name, kind in itertools.product(("a.nrrd", "a.nii", "a.nii.gz", "a.mha"), (np.int16, np.float32)):
        sitk.WriteImage(
            sitk.GetImageFromArray(ARRAY.astype(kind)), str(tmp_path / name), useCompression=name == "a.nrrd"
        )
        whole = (tmp_path / name).read_bytes()
        for length in [*np.linspace(0, len(whole) - 9, 20).astype(int), len(whole) - 3]:
            (tmp_path / name).write_bytes(whole[:length])
            study, faults = taken_or_refused(tmp_path / name)
            # only a check sum was cut off
            assert faults is not None or np.array_equal(study.phases[0].volume.array, ARRAY)


def test_damage_inside_a_compressed_nifti_file_is_seen(tmp_path):
    whole = gzip.compress(nifti(tmp_path / "a.nii").read_bytes())
    for at in range(100, len(whole) - 8, 7):
        (tmp_path / "a.nii.gz").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        study, faults = taken_or_refused(tmp_path / "a.nii.gz")
        assert faults is not None or np.array_equal(study.phases[0].volume.array, ARRAY)


def test_a_compressed_nifti_file_is_inflated_once_where_its_check_sum_tells_enough(tmp_path, monkeypatch):
    """What the check sum of the file cannot vouch for (scaled voxels, bytes behind them) is looked at byte by
    byte.
    """
    looked_at = []
    stored = nifti_checks._stored
    monkeypatch.setattr(
        nifti_checks, "_stored", lambda path, *where: looked_at.append(path.name) or stored(path, *where)
    )
    for name, header, more in (
        ("plain", {}, b""),
        ("scaled", dict(scl_slope=0.5), b""),
        ("longer", {}, b"more"),
    ):
        path = tmp_path / f"{name}.nii.gz"
        path.write_bytes(gzip.compress(nifti_header(**header) + VOXELS + more))
        np.testing.assert_array_equal(
            load_study(path).phases[0].volume.array, ARRAY * header.get("scl_slope", 1)
        )
    assert looked_at == ["scaled.nii.gz", "longer.nii.gz"]


@quick(150)
@given(st.sampled_from(("a.nrrd", "a.nii", "a.nii.gz", "a.mha", "a.seg.nrrd")), st.integers(0, 10**6))
def test_files_damaged_anywhere(tmp_path_factory, name, seed):
    folder = tmp_path_factory.getbasetemp()
    path = folder / name
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY.astype(np.float32)), str(path))
    path.write_bytes(damaged(path.read_bytes(), seed))
    taken_or_refused(path)


# Outlines

REFERENCE = dict(space_directions="(0.8,0,0) (0,0.8,0) (0,0,2)")
LABELS = np.zeros(SHAPE, "<i2")
LABELS[1:3, 2:4, 2:5] = 1


@pytest.mark.parametrize("value", [*NUMBERS, "1 2", "-7", "1.5"])
@pytest.mark.parametrize("key", ["Segment0_LabelValue", "Segment0_Layer"])
def test_numbers_of_a_segmentation_may_be_anything(tmp_path, key, value):
    image = load_study(nrrd(tmp_path / "image.nrrd"))
    path = nrrd(
        tmp_path / "roi.seg.nrrd",
        LABELS.tobytes(),
        ["Segment0_ID:=Segment_1", "Segment0_Name:=Lesion", f"{key}:={value}"],
    )
    found, faults = outcome(read_roi, path, image.geometry)
    assert faults is not None or np.array_equal(found.mask, LABELS > 0)
    assert faults is None or "roi.seg.nrrd" in faults[0]


@quick(60)
@given(st.integers(0, 10**6))
def test_segmentations_damaged_anywhere(tmp_path_factory, seed):
    folder = tmp_path_factory.getbasetemp()
    image = load_study(nrrd(folder / "image.nrrd"))
    path = nrrd(
        folder / "roi.seg.nrrd",
        LABELS.tobytes(),
        ["Segment0_ID:=a", "Segment0_Name:=b", "Segment0_LabelValue:=1", "Segment0_Layer:=0"],
    )
    path.write_bytes(damaged(path.read_bytes(), seed))
    found, faults = outcome(read_roi, path, image.geometry)
    assert faults is not None or (found.mask.shape == SHAPE and found.mask.any())


# What is no file


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.nrrd")
    (tmp_path / "circle.nrrd").symlink_to("circle.nrrd")
    (tmp_path / "folder.nrrd").mkdir()
    image = nrrd(tmp_path / "image.nrrd")
    names = [
        tmp_path / "pipe.nrrd",
        tmp_path / "circle.nrrd",
        tmp_path / "folder.nrrd",
        "/dev/zero",
        tmp_path / ("x" * 300),
        tmp_path / "a\0b",
        "",
    ]
    for name in names:
        faults_of(load_study, name)
        faults_of(load_study, [image, name])
        faults_of(read_roi, name, load_study(image).geometry)


def test_names_that_are_no_text_are_read(tmp_path):
    image = load_study(nrrd(tmp_path / "plain.nrrd"))
    for name in (
        "\N{SNOWMAN} \N{GRINNING FACE}.nrrd",
        os.fsdecode(b"\xff\xfe.nrrd"),
        "x" * 250 + ".nrrd",
        "-rf.nrrd",
        "a\nb.nrrd",
    ):
        study, faults = taken_or_refused(nrrd(tmp_path / name))
        assert faults is not None or study.inputs == image.inputs


# DICOM


def a_series(folder, slices=4, **tags):
    """A series of slices of one phase; returns its files."""
    for k in range(slices):
        write_slice(folder / f"{k}.dcm", ARRAY[k % 4], (0, 0, 2.0 * k), **tags)
    return sorted(folder.iterdir())


def rewrite(path, change):
    header = pydicom.dcmread(path)
    change(header)
    header.save_as(path)


REQUIRED = (
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "BitsAllocated",
    "PixelRepresentation",
    "PixelData",
)


@pytest.mark.parametrize("tag", REQUIRED)
def test_dicom_slices_without_what_a_slice_needs(tmp_path, tag):
    for path in a_series(tmp_path / "in"):
        rewrite(path, lambda header: delattr(header, tag))
    faults_of(load_study, tmp_path / "in")


ODD_TAGS = {
    "PixelSpacing": ([0, 0], [-1, 1], ["nan", "1"], ["1e9", "1"], [1], [1, 1, 1]),
    "ImagePositionPatient": (["nan", "0", "0"], ["inf", "0", "0"], [0, 0], ["1e30", "0", "0"]),
    "ImageOrientationPatient": (
        *([0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 2, 0], [1, 0, 0, 0.5, 0.5, 0], [1, 0, 0]),
        ["nan", "0", "0", "0", "1", "0"],
    ),
    "RescaleSlope": ("nan", "inf", "1e308"),
    "Rows": (0, 65535),
    "Columns": (0, 65535),
    "SamplesPerPixel": (0, 3),
    "BitsAllocated": (0, 1, 7, 64),
    "PixelRepresentation": (7,),
    "NumberOfFrames": (0, 5, 2**31 - 1, -1),
    "AcquisitionTime": ("", "999999", "abc", "-1"),
    "TemporalPositionIdentifier": (-5, 2**31 - 1),
    "SeriesDescription": ("<script>\x1b[2J", "x" * 5000),
    "SpecificCharacterSet": ("ISO 2022 IR 999", "nonsense"),
    "ImageType": ("LOCALIZER", "", ["DERIVED"]),
}


@pytest.mark.parametrize(
    ("tag", "value"), [(tag, value) for tag, values in ODD_TAGS.items() for value in values]
)
@pytest.mark.filterwarnings("ignore")
def test_dicom_tags_may_be_anything(tmp_path, tag, value, recwarn):
    files = a_series(tmp_path / "in")
    with pydicom.config.disable_value_validation():
        for path in files:
            rewrite(
                path,
                lambda header: header.__setitem__(
                    tag, pydicom.DataElement(tag, pydicom.datadict.dictionary_VR(tag), value)
                ),
            )
    taken_or_refused(tmp_path / "in")


def test_odd_dicom_folders(tmp_path):
    files = a_series(tmp_path / "duplicates")
    for path in files:
        path.with_name("copy of " + path.name).write_bytes(path.read_bytes())
    np.testing.assert_array_equal(load_study(tmp_path / "duplicates").phases[0].volume.array, ARRAY)
    mixed = tmp_path / "mixed"
    a_series(mixed)
    (mixed / "notes.txt").write_text("not DICOM")
    (mixed / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (mixed / "image.nrrd").write_bytes(b"NRRD")
    (mixed / ".hidden").write_bytes(bytes(128) + b"DICM")
    (mixed / "empty.dcm").touch()
    os.mkfifo(mixed / "pipe")
    (mixed / "circle").symlink_to("circle")
    (mixed / "above").symlink_to(tmp_path)
    np.testing.assert_array_equal(load_study(mixed).phases[0].volume.array, ARRAY)
    once = load_study(tmp_path)  # one volume, sent twice
    np.testing.assert_array_equal(once.phases[0].volume.array, ARRAY)
    blank = next(tmp_path.glob("duplicates/0*"))
    rewrite(blank, lambda header: setattr(header, "PixelData", bytes(len(header.PixelData))))
    faults_of(load_study, tmp_path)  # two volumes
    (tmp_path / "only text").mkdir()
    (tmp_path / "only text" / "a.dcm").write_text("not DICOM")
    assert "no DICOM file" in faults_of(load_study, tmp_path / "only text")


def test_dicom_syntaxes(tmp_path):
    big = tmp_path / "big"
    for k in range(4):
        header = a_header(
            ARRAY[k],
            ImagePositionPatient=[0, 0, 2 * k],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            PixelSpacing=[1, 1],
        )
        header.PixelData = ARRAY[k].astype(">u2").tobytes()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        big.mkdir(exist_ok=True)
        pydicom.dcmwrite(
            big / f"{k}.dcm", header, implicit_vr=False, little_endian=False, enforce_file_format=True
        )
    np.testing.assert_array_equal(load_study(big).phases[0].volume.array, ARRAY)
    a_series(tmp_path / "wrong", transfer_syntax=JPEG2000, PixelData=encapsulate([b"not a picture!"]))
    assert "cannot be decoded" in faults_of(load_study, tmp_path / "wrong")
    save(a_header(ARRAY[0]), tmp_path / "deflated" / "a.dcm", DeflatedExplicitVRLittleEndian)
    assert "deflated" in faults_of(load_study, tmp_path / "deflated")
    save(a_header(ARRAY[0]), tmp_path / "unknown" / "a.dcm", "1.2.3.4.5")
    faults_of(load_study, tmp_path / "unknown")


def test_huge_dicom_slices_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("HER2ViTLib.dicom.series.read_pixels", None)
    for path in a_series(tmp_path / "in"):
        rewrite(path, lambda header: (setattr(header, "Rows", 65535), setattr(header, "Columns", 65535)))
    assert "more than any examination has" in faults_of(load_study, tmp_path / "in")


@pytest.mark.filterwarnings("ignore")
@quick(100)
@given(st.integers(0, 10**6))
def test_dicom_files_damaged_anywhere(tmp_path_factory, seed):
    folder = tmp_path_factory.getbasetemp() / "damaged DICOM"
    files = sorted(folder.iterdir()) if folder.exists() else a_series(folder)
    victim = files[seed % 4]
    whole = victim.read_bytes()
    victim.write_bytes(damaged(whole, seed))
    taken_or_refused(folder)
    victim.write_bytes(whole)


@pytest.mark.filterwarnings("ignore")
def test_dicom_files_cut_off_anywhere(tmp_path):
    victim = a_series(tmp_path / "in")[1]
    whole = victim.read_bytes()
    for length in itertools.chain(range(132, len(whole) - 2, 60), [len(whole) - 2]):
        victim.write_bytes(whole[:length])
        faults_of(load_study, tmp_path / "in")


# The command


@pytest.mark.parametrize("kind", ["nrrd", "nifti", "dicom", "pipe", "long name"])
def test_the_command_says_it_in_one_line(tmp_path, refused, kind):
    (tmp_path / "in").mkdir()
    given = {
        "nrrd": lambda path: nrrd(path, space_directions="(0,0,0) (0,0.8,0) (0,0,2)"),
        "nifti": lambda path: nifti(path.with_suffix(".nii"), vox_offset=1e6),
        "dicom": lambda path: (
            path.with_suffix(".dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50),
            path.with_suffix(".dcm"),
        )[1],
        "pipe": lambda path: (os.mkfifo(path), path)[1],
        "long name": lambda path: path.with_name("x" * 300),
    }[kind](tmp_path / "in" / "image.nrrd")
    assert "internal error" not in refused(
        ["read", given, "--roi", given, "--bundle", tmp_path, "--out", tmp_path / "out"]
    )
    assert not (tmp_path / "out").exists()
