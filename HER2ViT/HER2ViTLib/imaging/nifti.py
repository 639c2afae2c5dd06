"""Whether a NIfTI file is whole: the reader inside ITK makes zeros of what is missing, without a word."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from .volume import require_finite

_MAX_OFFSET = 1 << 20
"""Bytes before the voxels that are held in memory only to check them: no real header is longer."""


def require_whole_nifti(path: Path, image: sitk.Image) -> None:
    """Raises for a NIfTI file that ends before its voxels do, or holds NaN or infinity: ITK makes zeros of
    both. Other formats pass.

    `InputError` for NaN and infinity; else `ValueError`, `EOFError` and what gzip raises.
    """
    header = {
        key: image.GetMetaData(key)
        for key in ("datatype", "bitpix", "vox_offset", "nifti_type")
        if image.HasMetaDataKey(key)
    }
    if "nifti_type" not in header:
        return
    with _inflated(path) as file:
        start = file.read(540)
    # the header begins with its own length
    byte_order = "<" if int.from_bytes(start[:4], "little") in (348, 540) else ">"
    [header_bytes] = struct.unpack_from(f"{byte_order}i", start)
    is_second = header_bytes == 540
    dimensions = f"{byte_order}8q" if is_second else f"{byte_order}8h"
    count, *sizes = struct.unpack_from(dimensions, start, 16 if is_second else 40)
    if min(sizes[:count]) < 1:
        raise ValueError(f"an axis of {min(sizes[:count])} voxels")
    is_one_file = header["nifti_type"] == "1"
    offset = int(float(header["vox_offset"]))
    length = math.prod(sizes[:count]) * int(header["bitpix"]) // 8
    if offset < (348 if is_one_file else 0):
        raise ValueError("voxels that begin inside the header")
    if is_one_file and _has_check_sum(path, offset, image):
        return
    stored = _stored(path if is_one_file else path.with_suffix(".img"), offset, length)
    kind = {"16": "f4", "64": "f8"}.get(header["datatype"])  # NIFTI_TYPE_FLOAT32, FLOAT64
    if kind:
        require_finite(np.frombuffer(stored, byte_order + kind), str(path))


def _has_check_sum(path: Path, offset: int, image: sitk.Image) -> bool:
    """Whether a gzip file's own check sum is that of its first `offset` bytes and the image's voxels: then
    nothing is missing, nor changed.

    Inflating the file once more to see that takes as long as reading it. False, too, for what can only be
    told so: scaled voxels, say.
    """
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b" or offset > _MAX_OFFSET:
            return False
        file.seek(-8, os.SEEK_END)
        check_sum, size = struct.unpack("<2I", file.read(8))
    with _inflated(path) as file:
        start = file.read(offset)
    voxels = sitk.GetArrayViewFromImage(image)
    return size == (offset + voxels.nbytes) % (1 << 32) and check_sum == zlib.crc32(
        voxels.data, zlib.crc32(start)
    )


def _stored(path: Path, offset: int, length: int) -> bytes:
    """The bytes of the voxels. Raises `ValueError` and `EOFError` for a file that lacks some, and what gzip
    raises for damage.
    """
    with _inflated(path) as file:
        file.seek(offset)
        stored = file.read(length)
        # One byte more, so that gzip gets to its check sum; not all: what follows the voxels may go on for
        # ever.
        file.read(1)
    if len(stored) < length:
        raise ValueError(f"it ends before its {length} bytes of voxels do")
    return stored


def _inflated(path: Path) -> BinaryIO | gzip.GzipFile:
    """The file opened, uncompressed. What it is tells its content, as ITK has it, whatever its name."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_gzip else path.open("rb")
