"""DICOM files: which there are in a folder, and their headers read so that a damaged one is one line."""

from __future__ import annotations

import contextlib
import io
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from HER2ViTLib.files.inputs import is_dicom_file
from HER2ViTLib.messages import InputError

from .headers import BROKEN, reason_of

_MAX_INFLATED = 1 << 31
_BLOCK = 1 << 20


def dicom_files(path: Path) -> list[Path]:
    """The file, or the DICOM files in a folder and its subfolders, DICOMDIR and hidden files left out.

    Raises `InputError` for a folder without any, and for a file that cannot be read.
    """
    if not path.is_dir():
        return [path]
    inside = [file for file in sorted(path.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    try:
        files = [file for file in inside if file.name.upper() != "DICOMDIR" and is_dicom_file(file)]
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror}); check the file") from error
    if not files:
        raise InputError(
            f"{path}: no DICOM file in this folder; give a DICOM folder, or "
            "the image files themselves in time order"
        )
    return files


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """pydicom prints header values that break a rule of DICOM: noise to the user, and perhaps a name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


@contextlib.contextmanager
def sound_header(path: object, cure: str) -> Iterator[None]:
    """Raises `InputError` for what pydicom and plain numbers make of a damaged header inside."""
    try:
        with quiet():
            yield
    except InputError:
        raise
    except BROKEN as error:
        what = f"its DICOM header is broken ({reason_of(error)})"
        raise InputError(f"{path}: {what}; {cure}") from error


def dataset_of(content: bytes) -> FileDataset:
    """The whole content of a file, pixels included; inside `sound_header`.

    Raises `ValueError` for deflated content (as dcmqi writes where it is asked to) that inflates without end.
    """
    if DeflatedExplicitVRLittleEndian.encode() in content[:_BLOCK]:
        _require_bounded(content)
    return pydicom.dcmread(io.BytesIO(content), force=True)


def _require_bounded(content: bytes) -> None:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = content[_end_of_meta(content) :]
    inflated = 0
    while rest and not stream.eof:
        inflated += len(stream.decompress(rest, _BLOCK))
        rest = stream.unconsumed_tail
        if inflated > _MAX_INFLATED:
            raise ValueError(f"deflated content of more than {_MAX_INFLATED} bytes")


def _end_of_meta(content: bytes) -> int:
    """Where the meta information (group 2, explicit and never deflated: PS3.10 7.1) of a file ends."""
    place = 132
    while content[place : place + 2] == b"\x02\x00":
        is_long = content[place + 4 : place + 6] in (b"OB", b"UN", b"UT")
        length = content[place + 8 : place + 12] if is_long else content[place + 6 : place + 8]
        place += (12 if is_long else 8) + int.from_bytes(length, "little")
    return place
