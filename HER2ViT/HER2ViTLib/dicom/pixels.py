"""The pixels of DICOM slices as signals that can be compared over the phases."""

from __future__ import annotations

import hashlib
import io
import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
    generate_uid,
)

from HER2ViTLib.files.hashes import array_sha256
from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.imaging.volume import require_finite
from HER2ViTLib.messages import InputError, ReadingWarning

from .frames import Frame
from .headers import BROKEN, reason_of
from .plain import NativePixels

_PIXEL_MODULE = [
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
]
PHILIPS_NOTE = (
    "Philips scaled the phases differently: signals are (stored x rescale "
    "slope + intercept) / (rescale slope x scale slope)"
)


def read_pixels(phases: Sequence[Sequence[Frame]], own_scales: bool) -> tuple[list[np.ndarray], str]:
    """The signals of each phase (slice, row, column), and the SHA-256 over the sorted SHA-256s of the files.

    The signal is the stored value rescaled by the header; with `own_scales` as `has_own_scales` says.
    Raises `InputError` for pixels that cannot be decoded or are not finite.
    """
    every = [frame for phase in phases for frame in phase]
    is_plain = not own_scales and all(frame.slope == 1 and frame.intercept == 0 for frame in every)
    places = {
        (frame.path, frame.number): (n, k) for n, phase in enumerate(phases) for k, frame in enumerate(phase)
    }
    signals: dict[int, np.ndarray] = {}

    def keep(frame: Frame, stored: np.ndarray) -> None:
        image = stored if is_plain else _rescaled(stored, frame, own_scales)
        require_finite(image, str(frame.path))
        n, k = places[frame.path, frame.number]
        if n not in signals:
            signals[n] = np.empty((len(phases[n]), *image.shape), image.dtype.newbyteorder("="))
        elif not np.can_cast(image.dtype, signals[n].dtype):
            signals[n] = signals[n].astype(np.promote_types(image.dtype, signals[n].dtype))
        signals[n][k] = image

    digests = sorted(_read_file(path, members, keep) for path, members in _by_file(every).items())
    return [signals[n] for n in range(len(phases))], hashlib.sha256("".join(digests).encode()).hexdigest()


def _rescaled(stored: np.ndarray, frame: Frame, own_scales: bool) -> np.ndarray:
    scale = frame.own_scale if own_scales else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        image = stored.astype(np.float32) * np.float32(frame.slope / scale)
        image += np.float32(frame.intercept / scale)
    return image


def pixel_hashes(frames: Sequence[Frame]) -> dict[tuple[Path, int], str | None]:
    """SHA-256 of the frames' stored values by file and number; None for a slice of one value all over, which
    is like any other such.

    Raises `InputError` for pixels that cannot be decoded.
    """
    found: dict[tuple[Path, int], str | None] = {}

    def keep(frame: Frame, stored: np.ndarray) -> None:
        is_blank = stored.min() == stored.max()
        found[frame.path, frame.number] = None if is_blank else array_sha256(stored)

    for path, members in _by_file(frames).items():
        _read_file(path, members, keep)
    return found


def _by_file(frames: Sequence[Frame]) -> dict[Path, list[Frame]]:
    by_file: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.path].append(frame)
    return by_file


def _read_file(path: Path, members: Sequence[Frame], keep: Callable[[Frame, np.ndarray], None]) -> str:
    """Hands the stored values (row, column) of each of a file's frames to `keep`, and returns the SHA-256 of
    the file.
    """
    native = members[0].pixels
    digest = None if native is None else _read_native(path, native, members, keep)
    if digest is not None:
        return digest
    content = read_file(path, "the DICOM file")
    stored = stored_pixels(content, str(path), 1 + max(frame.number for frame in members))
    for frame in members:
        keep(frame, stored[frame.number])
    return hashlib.sha256(content).hexdigest()


def _read_native(
    path: Path, native: NativePixels, members: Sequence[Frame], keep: Callable[[Frame, np.ndarray], None]
) -> str | None:
    """As `_read_file`, frame by frame, so that no more than one is held besides; None where the file is no
    longer as its header was.
    """
    by_number = {frame.number: frame for frame in members}
    block = bytearray(native.frame_bytes)
    stored = np.frombuffer(block, native.dtype).reshape(native.rows, native.columns)
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(native.start)
            if os.fstat(file.fileno()).st_size != native.file_bytes or not head.endswith(native.element):
                return None
            digest = hashlib.sha256(head)
            for number in range(native.frames):
                if file.readinto(block) != len(block):
                    return None
                digest.update(block)
                if number in by_number:
                    if native.unused_bits:
                        np.left_shift(stored, native.unused_bits, out=stored)
                        np.right_shift(stored, native.unused_bits, out=stored)
                    keep(by_number[number], stored)
            digest.update(file.read())
    except OSError:
        return None
    return digest.hexdigest()


def has_own_scales(frames: Sequence[Frame]) -> bool:
    """Whether the frames are of a Philips scanner that scaled them differently, and says how.

    Philips fits each series to 12 bits. The signal that can be compared is (stored x RS + RI) / (RS x SS),
    with the rescale slope and intercept of the header and the private scale slope SS (2005,xx0E): Chenevert
    et al., Transl Oncol 2014;7:65-71. Where RS x SS is one value all over, the rescaled values differ from it
    by one factor, and stay.
    """
    if not all(frame.is_philips and frame.scale_slope for frame in frames):
        return False
    scales = [frame.own_scale for frame in frames]
    return not math.isclose(min(scales), max(scales), rel_tol=1e-5)


def scaling_warnings(frames: Sequence[Frame]) -> list[ReadingWarning]:
    """`scaling_unknown` where a Philips scanner rescaled the frames differently and the scale slope is
    missing.
    """
    slopes = [frame.slope for frame in frames]
    differs = not math.isclose(min(slopes), max(slopes), rel_tol=1e-5)
    is_philips = all(frame.is_philips for frame in frames)
    if not differs or not is_philips or all(frame.scale_slope for frame in frames):
        return []
    text = (
        f"the phases have rescale slopes from {min(slopes):.4g} to {max(slopes):.4g}, "
        "and Philips' scale slope (2005,100E) is missing: "
        "their signals may not be comparable; export with private elements"
    )
    return [ReadingWarning("scaling_unknown", text)]


def stored_pixels(content: bytes, name: str, frames: int) -> np.ndarray:
    """The stored values of a file's frames (frame, row, column), so many at least. Raises `InputError` when
    they cannot be decoded.
    """
    try:
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            # without preamble: representations are letters, or are not there
            is_explicit = content[4:6].isalpha()
            dataset.file_meta.TransferSyntaxUID = (
                ExplicitVRLittleEndian if is_explicit else ImplicitVRLittleEndian
            )
        syntax = dataset.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated and syntax != RLELossless:
            array = _decoded_by_gdcm(dataset)
        else:
            array = dataset.pixel_array
        array = array.reshape(-1, dataset.Rows, dataset.Columns)
        if len(array) < frames:
            raise ValueError(f"{len(array)} frames where its header has {frames}")
        return array
    except BROKEN as error:
        raise InputError(
            f"{name}: its pixels cannot be decoded ({reason_of(error)}); export it again, uncompressed"
        ) from error


def _decoded_by_gdcm(dataset: FileDataset) -> np.ndarray:
    """The stored values of compressed pixels, by the GDCM inside SimpleITK: pydicom alone cannot decode JPEG.

    It is handed the bare pixels, since it would apply the first frame's rescaling to all.
    """
    bare = Dataset()
    for keyword in _PIXEL_MODULE:
        if keyword in dataset:
            bare[keyword] = dataset[keyword]
    bare.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = generate_uid()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = bare.SOPClassUID
    meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "pixels.dcm"))
        FileDataset(
            path, bare, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True
        ).save_as(path)
        return sitk.GetArrayFromImage(sitk.ReadImage(path))
