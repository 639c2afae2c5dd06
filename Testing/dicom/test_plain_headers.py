"""Headers of plain files are read without pydicom: every value is pydicom's, everything odd is left to it."""

import random
from dataclasses import fields

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from HER2ViTLib.dicom import pixels
from HER2ViTLib.dicom.contents import content_of, read_frames
from HER2ViTLib.dicom.headers import BROKEN, HEADER_TAGS
from HER2ViTLib.dicom.plain import plain_header
from support.dicom_writer import a_group, private, write_enhanced, write_slice

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ARRAY = np.random.default_rng(0).integers(0, 4096, (5, 7), np.uint16)
EVERYTHING = dict(
    SpecificCharacterSet="ISO_IR 100",
    FrameOfReferenceUID="1.9",
    SeriesTime="100000",
    AcquisitionDate="20200229",
    AcquisitionTime="100000.5",
    ContentTime="100001",
    Manufacturer="A vendor",
    ScanOptions=["FS", "PFP"],
    ReceiveCoilName="BREAST",
    InstanceNumber=3,
    AcquisitionNumber=2,
    TemporalPositionIdentifier=1,
    TriggerTime=12.5,
    RescaleSlope=2.5,
    RescaleIntercept=-3,
    ContrastBolusStartTime="095900",
    DiffusionBValue=50.0,
)


def of_ge(header):
    header.add_new(0x00430010, "LO", "GEMS_PARM_01")
    header.add_new(0x0043102F, "SS", 1)


def open_sequences(header):
    """Sequences and items of undefined length, one inside the other."""
    agent = Dataset()
    agent.ContrastAdministrationProfileSequence = a_group(ContrastBolusStartTime="095800")
    agent.is_undefined_length_sequence_item = True
    header.ContrastBolusAgentSequence = Sequence([agent])
    header.ReferencedImageSequence = a_group(ReferencedSOPInstanceUID="1.2")
    for name in ("ContrastBolusAgentSequence", "ReferencedImageSequence"):
        header[name].is_undefined_length = True


def long_header(header):
    """Longer than what is read at first."""
    header.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"\1" * 300_000)


EDITS = {
    "usual": None,
    "philips": private(0x12, 0.01),
    "ge": of_ge,
    "sequences": open_sequences,
    "long": long_header,
}


def classic(path, edit, is_implicit, **tags):
    write_slice(path, ARRAY, (1, 2, 3.5), **{**EVERYTHING, **tags}, edit=edit)
    return as_implicit(path) if is_implicit else path


def enhanced(path, is_implicit=False):
    frames = [
        dict(
            array=ARRAY + n,
            position=(0, 0, n % 2),
            phase=1 + n // 2,
            acquired=f"2020022910{n // 2}000",
            duration_ms=100.0,
            slope=1.0 + n,
            intercept=0,
            component="MAGNITUDE",
            scale_slope=(0x11, 0.5 + n),
        )
        for n in range(4)
    ]
    write_enhanced(path, frames, (1, 0, 0, 0, 1, 0))
    return as_implicit(path) if is_implicit else path


def as_implicit(path):
    file = pydicom.dcmread(path)
    file.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    file.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=True)
    return path


def by_pydicom(path):
    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=HEADER_TAGS, force=True)
    return content_of(header, path)


def without_pydicom(path):
    """None where the file is left to pydicom."""
    try:
        header = plain_header(path)
        return None if header is None else content_of(header, path)
    except BROKEN:
        return None


def told(content):
    """All that was read but where the pixels lie, with its types."""
    frames = []
    for frame in content.frames:
        values = [getattr(frame, field.name) for field in fields(frame) if field.name != "pixels"]
        frames.append([value.tolist() if isinstance(value, np.ndarray) else value for value in values])
    return repr((content.uid, content.other, frames))


def require_same_pixels(path, frames):
    stored = pixels.stored_pixels(path.read_bytes(), "file", len(frames))
    read = {}
    native = frames[0].pixels
    pixels._read_native(path, native, frames, lambda frame, image: read.update({frame.number: image.copy()}))
    for number, image in read.items():
        assert image.dtype == stored.dtype
        np.testing.assert_array_equal(image, stored[number])


def require_pydicoms(path):
    """What is read without pydicom is what it reads; returns whether anything was."""
    ours = without_pydicom(path)
    if ours is None:
        return False
    assert told(ours) == told(by_pydicom(path))
    if ours.frames and ours.frames[0].pixels is not None:
        require_same_pixels(path, ours.frames)
    return True


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_classic_files_are_read_as_pydicom_reads_them(tmp_path, edit, is_implicit):
    path = classic(tmp_path / "a.dcm", edit, is_implicit)
    assert require_pydicoms(path)
    assert without_pydicom(path).frames[0].pixels is not None


@pytest.mark.parametrize("is_implicit", [False, True])
def test_enhanced_files_are_read_as_pydicom_reads_them(tmp_path, is_implicit):
    path = enhanced(tmp_path / "a.dcm", is_implicit)
    assert require_pydicoms(path)
    assert [frame.scale_slope for frame in without_pydicom(path).frames] == [0.5, 1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    "tags",
    [
        dict(BitsStored=12, HighBit=11, PixelData=(ARRAY | 0xF000).tobytes()),
        dict(BitsStored=12, HighBit=11, PixelRepresentation=1, PixelData=(ARRAY | 0x800).tobytes()),
        dict(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=ARRAY.astype("u1").tobytes() + b"\0"),
        dict(BitsAllocated=32, BitsStored=32, HighBit=31, PixelData=ARRAY.astype("<u4").tobytes()),
    ],
    ids=["unused bits", "signed", "8 bit, padded", "32 bit"],
)
def test_stored_values_are_pydicoms(tmp_path, tags):
    path = classic(tmp_path / "a.dcm", None, False, **tags)
    assert require_pydicoms(path)
    assert without_pydicom(path).frames[0].pixels is not None


@pytest.mark.parametrize(
    "tags",
    [
        dict(SpecificCharacterSet="ISO_IR 101"),
        dict(SeriesDescription="Brüste"),
        dict(SeriesDescription="a\nb"),
        dict(SeriesDescription="a\\b"),
    ],
    ids=["character set", "not ASCII", "line break", "two values"],
)
def test_text_that_is_not_plain_is_left_to_pydicom(tmp_path, tags):
    path = classic(tmp_path / "a.dcm", None, False, **tags)
    assert without_pydicom(path) is None
    (frame,) = read_frames([path])
    assert frame.description == by_pydicom(path).frames[0].description


def test_pixels_that_are_not_plain_are_left_to_pydicom(tmp_path):
    excess = classic(tmp_path / "excess.dcm", None, False, PixelData=ARRAY.tobytes() + b"\0\0")
    colour = classic(tmp_path / "palette.dcm", None, False, PhotometricInterpretation="PALETTE COLOR")
    compressed = tmp_path / "compressed.dcm"
    file = pydicom.dcmread(classic(tmp_path / "plain.dcm", None, False))
    file.compress(RLELossless)
    file.save_as(compressed)
    for path in (excess, colour, compressed):
        assert require_pydicoms(path)
        assert without_pydicom(path).frames[0].pixels is None


def test_files_replaced_after_their_header_was_read_are_read_anew(tmp_path):
    path = classic(tmp_path / "a.dcm", None, False)
    (frame,) = read_frames([path])
    classic(path, long_header, False, PixelData=(ARRAY + 1).tobytes())
    ((signals,), _) = pixels.read_pixels([[frame]], own_scales=False)
    np.testing.assert_allclose(signals[0], (ARRAY + 1) * 2.5 - 3)


def test_files_without_preamble_are_left_to_pydicom(tmp_path):
    path = classic(tmp_path / "a.dcm", None, False)
    path.write_bytes(path.read_bytes()[132:])
    assert plain_header(path) is None
    assert len(read_frames([path])) == 1


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_changes_no_value(tmp_path, seed):
    """What a damaged file is read as without pydicom is what pydicom makes of it."""
    chance = random.Random(seed)
    is_implicit = bool(seed % 2)
    made = [enhanced(tmp_path / "enhanced.dcm", is_implicit)]
    for name in ("philips", "ge", "sequences"):
        made.append(classic(tmp_path / f"{name}.dcm", EDITS[name], is_implicit))
    whole = [path.read_bytes() for path in made]
    path = tmp_path / "damaged.dcm"
    read = 0
    for _ in range(150):
        path.write_bytes(_damaged(chance.choice(whole), chance))
        read += require_pydicoms(path)
    assert read > 10


_ODD = [b"\0", b" ", b"\\", b"-", b"_", b".", b"e", b"9", b"\n", b"\xa0", b"UN", b"SQ", b"\xff" * 4]


def _damaged(content, chance):
    damaged = bytearray(content)
    place = chance.randrange(132, len(damaged))
    kind = chance.randrange(5)
    if kind == 0:
        damaged[place] = chance.randrange(256)
    elif kind == 1:
        odd = chance.choice(_ODD)
        damaged[place : place + len(odd)] = odd
    elif kind == 2:
        digits = [n for n in range(132, len(damaged)) if damaged[n : n + 1].isdigit()]
        damaged[chance.choice(digits)] = chance.choice(_ODD)[0]
    elif kind == 3:
        del damaged[place : place + chance.choice([1, 2, 8])]
    else:
        begin = chance.randrange(132, len(damaged))
        damaged[place:place] = damaged[begin : begin + 12]
    return bytes(damaged)
