"""The pixels of DICOM slices as signals that can be compared over the phases."""

from __future__ import annotations

import hashlib
import io
import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
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

_PIXEL_MODULE = [
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData"),
]
PHILIPS_NOTE = (
    "Philips scaled the phases differently: signals are (stored x rescale "
    "slope + intercept) / (rescale slope x scale slope)"
)


def read_pixels(frames: Sequence[Frame], own_scales: bool) -> tuple[dict[tuple[Path, int], np.ndarray], str]:
    """The signal of each frame (row, column) by file and number, and the SHA-256 over the sorted SHA-256s of
    the files.

    The signal is the stored value rescaled by the header; with `own_scales` as `has_own_scales` says.
    Raises `InputError` for pixels that cannot be decoded or are not finite.
    """
    by_file: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.path].append(frame)
    is_plain = all(frame.slope == 1 and frame.intercept == 0 for frame in frames)
    pixels = {}
    digests = []
    for path, members in by_file.items():
        content = read_file(path, "the DICOM file")
        digests.append(hashlib.sha256(content).hexdigest())
        stored = stored_pixels(content, str(path), 1 + max(frame.number for frame in members))
        for frame in members:
            image = stored[frame.number]
            if not is_plain or own_scales:
                scale = frame.own_scale if own_scales else 1.0
                with np.errstate(over="ignore", invalid="ignore"):
                    image = image.astype(np.float32) * np.float32(frame.slope / scale)
                    image += np.float32(frame.intercept / scale)
            require_finite(image, str(path))
            pixels[path, frame.number] = image
    return pixels, hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def pixel_hashes(frames: Sequence[Frame]) -> dict[tuple[Path, int], str | None]:
    """SHA-256 of the frames' stored values by file and number; None for a slice of one value all over, which
    is like any other such.

    Raises `InputError` for pixels that cannot be decoded.
    """
    by_file: dict[Path, list[Frame]] = defaultdict(list)
    for frame in frames:
        by_file[frame.path].append(frame)
    found: dict[tuple[Path, int], str | None] = {}
    for path, members in by_file.items():
        content = read_file(path, "the DICOM file")
        stored = stored_pixels(content, str(path), 1 + max(frame.number for frame in members))
        for frame in members:
            image = stored[frame.number]
            found[path, frame.number] = None if image.min() == image.max() else array_sha256(image)
    return found


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
