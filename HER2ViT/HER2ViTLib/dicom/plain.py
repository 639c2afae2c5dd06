"""Headers of plain DICOM files, read without pydicom: ten times as fast, which decides how long an
examination of a thousand files takes.

Plain is what scanners write: with preamble, little endian, every value that counts of the representation
and in the form that DICOM gives it (PS3.5, 6.2 and 7). Whatever else a file holds, and whatever looks odd, is
left to pydicom: a value that is read here is the one that pydicom reads.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from HER2ViTLib.files.inputs import MAX_FILE_BYTES

from .headers import FRAME_SEQUENCE, GE, GE_TYPE, PHILIPS, PHILIPS_FRAME, SCALE_SLOPE
from .plain_values import OF_HEADERS, OF_ITEMS, OddValueError, Wanted, is_sequence_tag, text, uid

_BLOCK = 1 << 17
"""Bytes that are read of a file at first; most headers are shorter."""
_GROWTH = 8
_UNDEFINED = 0xFFFFFFFF
_ITEM = (0xFFFE, 0xE000)
_ITEM_END = (0xFFFE, 0xE00D, 0)
_SEQUENCE_END = (0xFFFE, 0xE0DD, 0)
_PIXELS = 0x7FE00010
_ANY_PIXELS = frozenset((0x7FE00008, 0x7FE00009, _PIXELS))
_KINDS = {0: "u", 1: "i"}
"""numpy's letters of unsigned and signed numbers, by pixel representation."""
_META = {0x00020002: "MediaStorageSOPClassUID", 0x00020010: "TransferSyntaxUID"}
_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
_COMPRESSED = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")
"""JPEG's and the run-length syntaxes: their headers are explicit and little endian (PS3.5 A.4)."""
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_BLOCKS = {
    (0x2005, PHILIPS): (SCALE_SLOPE, b"FL", 4),
    (0x2005, PHILIPS_FRAME): (FRAME_SEQUENCE, b"SQ", None),
    (0x0043, GE): (GE_TYPE, b"SS", 2),
}
"""The one element that is read of a private block, by group and creator: representation and length."""
_BLOCK_GROUPS = frozenset(group for group, _ in _BLOCKS)

_explicit = struct.Struct("<HH2sH").unpack_from
_implicit = struct.Struct("<HHI").unpack_from
_length = struct.Struct("<I").unpack_from


@dataclass(frozen=True)
class NativePixels:
    """Where a file has its uncompressed pixels: from byte `start` on, frame by frame, to its end at
    `file_bytes`.

    `element`: the bytes before `start` that say so, by which a file is known that was replaced after its
    header was read. `dtype`: of the stored values, of which the highest `unused_bits` mean nothing.
    """

    start: int
    element: bytes
    file_bytes: int
    frames: int
    rows: int
    columns: int
    dtype: np.dtype
    unused_bits: int

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.dtype.itemsize


class _PrivateElement(NamedTuple):
    value: Any


class PlainHeader(dict):
    """The values of a header, or of an item in one of its sequences, by keyword: as much of pydicom's
    `Dataset` as is needed. `blocks`: the element that is read of each private block, see `_BLOCKS`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks: dict[tuple[int, str], dict[int, _PrivateElement]] = {}
        self.file_meta: dict[str, str] = {}
        self.pixels: NativePixels | None = None

    def __getattr__(self, keyword: str) -> Any:
        try:
            return self[keyword]
        except KeyError:
            raise AttributeError(keyword) from None

    def private_block(self, group: int, private_creator: str) -> dict[int, _PrivateElement]:
        return self.blocks[group, private_creator]


def plain_header(path: Path) -> PlainHeader | None:
    """The header of a plain file, None for any other. Raises `OSError` as opening and reading a file does."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(_BLOCK)
        while True:
            try:
                return _header(content, size)
            except (OddValueError, RecursionError):
                return None
            except (struct.error, EOFError):  # the header goes on after what was read
                more = file.read((_GROWTH - 1) * len(content))
                if not more:
                    return None
                content += more


def _header(content: bytes, size: int) -> PlainHeader:
    if content[128:132] != b"DICM":
        raise OddValueError
    meta, start = _meta(content)
    syntax = meta.get("TransferSyntaxUID", "")
    is_native = syntax in (_IMPLICIT, _EXPLICIT)
    if not is_native and not syntax.startswith(_COMPRESSED):
        raise OddValueError
    if syntax == _IMPLICIT and content[start + 4 : start + 6].isalpha():
        raise OddValueError  # pydicom takes such a length for a representation
    reader = _Reader(content, syntax != _IMPLICIT)
    header, end = reader.header(start, size)
    header.file_meta = meta
    if is_native and end < size <= MAX_FILE_BYTES:
        header.pixels = _native_pixels(header, reader, end, size)
    return header


def _meta(content: bytes) -> tuple[dict[str, str], int]:
    """What the meta information (group 2, always explicit) says, and where it ends."""
    reader = _Reader(content, is_explicit=True)
    found = {}
    place = 132
    while content[place : place + 2] == b"\x02\x00":
        element = reader.element(place)
        keyword = _META.get(element.tag)
        if keyword is not None:
            if element.representation != b"UI":
                raise OddValueError
            found[keyword] = uid(reader.value(element))
        place = element.start + element.length
    return found, place


def _native_pixels(header: PlainHeader, reader: _Reader, place: int, size: int) -> NativePixels | None:
    """The pixels of an uncompressed greyscale file that ends with them, None for any other."""
    element = reader.element(place)
    kind = _KINDS.get(header.get("PixelRepresentation", -1))
    is_grey = header.get("PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    if element.tag != _PIXELS or element.representation not in (b"OB", b"OW", b""):
        return None
    if kind is None or not is_grey or header.get("SamplesPerPixel") != 1:
        return None
    rows = header.get("Rows")
    columns = header.get("Columns")
    frames = header.get("NumberOfFrames", 1)
    allocated = header.get("BitsAllocated")
    stored = header.get("BitsStored")
    if not (rows and columns and frames and stored) or allocated not in (8, 16, 32) or stored > allocated:
        return None
    found = NativePixels(
        start=element.start,
        element=reader.content[place : element.start],
        file_bytes=size,
        frames=frames,
        rows=rows,
        columns=columns,
        dtype=np.dtype(f"<{kind}{allocated // 8}"),
        unused_bits=allocated - stored,
    )
    expected = frames * found.frame_bytes
    is_whole = element.length == expected + expected % 2 and element.start + element.length == size
    return found if is_whole else None


class _Element(NamedTuple):
    """`representation` is empty where it is implicit; `start`: where the value begins."""

    tag: int
    representation: bytes
    length: int
    start: int


class _Reader:
    """Reads elements from the first bytes of a file.

    Its methods raise `OddValueError` for what is not plain, `EOFError` or `struct.error` where the bytes end.
    """

    def __init__(self, content: bytes, is_explicit: bool) -> None:
        self.content = content
        self.is_explicit = is_explicit

    def element(self, place: int) -> _Element:
        if not self.is_explicit:
            group, element, length = _implicit(self.content, place)
            return _Element(group << 16 | element, b"", length, place + 8)
        group, element, representation, length = _explicit(self.content, place)
        if representation in _SHORT:
            return _Element(group << 16 | element, representation, length, place + 8)
        if representation not in _LONG:
            raise OddValueError
        return _Element(
            group << 16 | element, representation, _length(self.content, place + 8)[0], place + 12
        )

    def value(self, element: _Element) -> bytes:
        value = self.content[element.start : element.start + element.length]
        if len(value) < element.length:
            raise EOFError
        return value

    def header(self, place: int, size: int) -> tuple[PlainHeader, int]:
        """The header that begins at a place, and where its pixels begin, or it ends without any."""
        found = PlainHeader()
        private: dict[int, _Element] = {}
        while place < size:
            element = self.element(place)
            if element.tag in _ANY_PIXELS:
                break
            place = self._keep(element, OF_HEADERS, found, private)
        if place > size:
            raise OddValueError
        self._add_blocks(found, private)
        return found, place

    def _item(self, place: int, length: int) -> tuple[PlainHeader, int]:
        """The item of a sequence whose elements begin at a place, and where it ends."""
        found = PlainHeader()
        private: dict[int, _Element] = {}
        end = place + length
        while place < end:
            if length == _UNDEFINED and _implicit(self.content, place) == _ITEM_END:
                place += 8
                end = place
                break
            place = self._keep(self.element(place), OF_ITEMS, found, private)
        if place != end:
            raise OddValueError
        if private:
            self._add_blocks(found, private)
        return found, place

    def _items(self, place: int, length: int) -> tuple[list[PlainHeader], int]:
        """The items of a sequence whose value begins at a place, and where it ends."""
        items = []
        end = place + length
        while place < end:
            group, element, item_length = _implicit(self.content, place)
            if length == _UNDEFINED and (group, element, item_length) == _SEQUENCE_END:
                place += 8
                end = place
                break
            if (group, element) != _ITEM:
                raise OddValueError
            item, place = self._item(place + 8, item_length)
            items.append(item)
        if place != end:
            raise OddValueError
        return items, place

    def _keep(
        self, element: _Element, wanted: dict[int, Wanted], found: PlainHeader, private: dict[int, _Element]
    ) -> int:
        """Puts an element into `found` or `private` where it may be wanted, and returns where it ends."""
        tag, representation, length, start = element
        group = tag >> 16
        one = wanted.get(tag)
        if group in (0, 0xFFFE) or (one is not None and representation not in (one.representation, b"")):
            raise OddValueError
        if group in _BLOCK_GROUPS:
            private[tag] = element
        if length == _UNDEFINED:
            self._require_sequence(element)
        elif one is None:
            return start + length
        if one is None or one.convert is None:
            items, end = self._items(start, length)
            if one is not None:
                found[one.keyword] = items
            return end
        found[one.keyword] = one.convert(self.value(element))
        return start + length

    def _require_sequence(self, element: _Element) -> None:
        """Raises `OddValueError` where an element of undefined length is no sequence for pydicom."""
        is_sequence = element.representation == b"SQ"
        if not self.is_explicit:
            starts_as_one = _implicit(self.content, element.start)[:2] == _ITEM
            is_sequence = is_sequence_tag(element.tag, starts_as_one)
        if not is_sequence:
            raise OddValueError

    def _add_blocks(self, found: PlainHeader, private: dict[int, _Element]) -> None:
        """Puts what is read of the private blocks into `found`."""
        for tag, element in private.items():
            group = tag >> 16
            block = tag & 0xFFFF
            if not 0x10 <= block <= 0xFF:
                continue
            if element.representation not in (b"LO", b""):
                raise OddValueError
            creator = text(self.value(element))
            if (group, creator) not in _BLOCKS:
                continue
            number, representation, length = _BLOCKS[group, creator]
            inner = private.get(group << 16 | block << 8 | number)
            if (group, creator) in found.blocks:
                raise OddValueError
            found.blocks[group, creator] = {}
            if inner is None:
                continue
            if inner.representation not in (representation, b""):
                raise OddValueError
            if length is not None and inner.length != length:
                raise OddValueError
            found.blocks[group, creator][number] = _PrivateElement(
                self.value(inner) if length is not None else self._first_item(inner)
            )

    def _first_item(self, element: _Element) -> PlainHeader | None:
        items, _ = self._items(element.start, element.length)
        return items[0] if items else None
