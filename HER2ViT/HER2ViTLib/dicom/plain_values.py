"""The values that are read of plain DICOM headers, and their conversion: see `plain`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.tag import Tag

from .headers import ITEM_KEYWORDS, KEYWORDS

_PIXEL_KEYWORDS = ("PhotometricInterpretation", "BitsAllocated", "BitsStored", "PixelRepresentation")
_CHARACTER_SET = 0x00080005
_ASCII_SETS = frozenset(
    (b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 192", b"ISO 2022 IR 100", b"GB18030", b"\\ISO 2022 IR 87")
)
"""Character sets in which ASCII means itself, as long as nothing switches to another."""
_DIGITS = b"0123456789"
_NUMBERS = {"US": struct.Struct("<H"), "UL": struct.Struct("<I"), "FD": struct.Struct("<d")}


class OddValueError(ValueError):
    """A value, or the file around it, is not plain."""


class Wanted(NamedTuple):
    """An element that is read: `convert` makes its value of its bytes, None where it is a sequence.

    `convert` raises `OddValueError` for a value that is not plain.
    """

    keyword: str
    representation: bytes
    convert: Callable[[bytes], Any] | None


def uid(value: bytes) -> str:
    """The one UID that a value holds."""
    found = value.rstrip(b"\0 ")
    if found.translate(None, _DIGITS + b"."):
        raise OddValueError
    return found.decode()


def text(value: bytes) -> str:
    """The one text that a value holds."""
    found = _ascii(value)
    if "\\" in found:
        raise OddValueError
    return found


def texts(value: bytes) -> str | list[str]:
    """The texts that a value holds, by themselves where there is one."""
    found = _ascii(value).split("\\")
    return found[0] if len(found) == 1 else found


def _ascii(value: bytes) -> str:
    found = value.rstrip(b"\0 ")
    if not found.isascii():
        raise OddValueError
    decoded = found.decode()
    if not decoded.isprintable():
        raise OddValueError
    return decoded


def whole_number(value: bytes) -> int | None:
    """The one whole number that a text holds."""
    found = value.strip(b" ")
    if found.translate(None, _DIGITS + b"-+"):
        raise OddValueError
    return _converted(int, found) if value else None


def number(value: bytes) -> float | None:
    """The one number that a text holds."""
    found = numbers(value)
    if isinstance(found, list):
        raise OddValueError
    return found


def numbers(value: bytes) -> float | list[float] | None:
    """The numbers that a text holds, one by itself."""
    if value.translate(None, _DIGITS + b"-+.eE \\"):
        raise OddValueError
    if not value:
        return None
    found = [_converted(float, part) for part in value.split(b"\\")]
    return found[0] if len(found) == 1 else found


def _converted(kind: Callable[[bytes], Any], value: bytes) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise OddValueError from None


def _binary(form: struct.Struct) -> Callable[[bytes], Any]:
    def convert(value: bytes) -> Any:
        if len(value) != form.size:
            raise OddValueError
        return form.unpack(value)[0]

    return convert


def _character_set(value: bytes) -> str:
    found = value.rstrip(b"\0 ")
    if found not in _ASCII_SETS:
        raise OddValueError
    return found.decode()


def _wanted(keywords: Iterable[str]) -> dict[int, Wanted]:
    found = {_CHARACTER_SET: Wanted("SpecificCharacterSet", b"CS", _character_set)}
    for keyword in keywords:
        tag = int(Tag(keyword))  # a bare number is found faster
        representation = dictionary_VR(tag)
        is_one = dictionary_VM(tag) == "1"
        if representation in _NUMBERS:
            convert = _binary(_NUMBERS[representation])
        elif representation == "SQ":
            convert = None
        elif representation == "UI":
            convert = uid
        elif representation == "IS":
            convert = whole_number
        elif representation == "DS":
            convert = number if is_one else numbers
        else:
            convert = text if is_one else texts
        found[tag] = Wanted(keyword, representation.encode(), convert)
    return found


OF_HEADERS = _wanted([*KEYWORDS, *_PIXEL_KEYWORDS])
"""What is read of a header, by tag."""
OF_ITEMS = _wanted([*KEYWORDS, *ITEM_KEYWORDS])
"""What is read of the items of sequences, by tag."""


def is_sequence_tag(tag: int, starts_as_one: bool) -> bool:
    """Whether an implicit element of undefined length is a sequence: one that DICOM does not know is where it
    `starts_as_one`.
    """
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return starts_as_one
