"""A command's form, made from its parser: one field an argument."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

LEFT_OUT = ("help", "debug")
"""What every command takes; no field of a form."""

_FOLDERS = ("DIR", "FOLDER", "BUNDLE")
_FILES_OR_FOLDERS = ("IMAGE", "SEG")  # in DICOM a folder
_ABBREVIATIONS = {"csv", "dicom", "gmt", "her2", "id", "lfc", "ppi", "roi"}


class Kind(Enum):
    """How a field is filled in."""

    SWITCH = "switch"
    CHOICE = "choice"
    TEXT = "text"
    FILE = "file"
    FOLDER = "folder"
    FILE_OR_FOLDER = "file or folder"
    NEW_FILE = "new file"


@dataclass(frozen=True)
class Field:
    """One argument of a command.

    `name` is where its value is kept, `flag` how it is written (empty for one that stands by itself), and
    `placeholder` what stands for its value in the help. `default` is what counts when nothing is filled in,
    as it would be written. `many` can be given several times. `first` belongs to what nearly every run fills
    in: required, or one of the alternatives that say what to work on.
    """

    name: str
    flag: str
    kind: Kind
    help: str
    placeholder: str
    choices: tuple[str, ...] = ()
    default: str = ""
    required: bool = False
    many: bool = False
    first: bool = False

    @property
    def title(self) -> str:
        """What stands before the field: the flag without its dashes."""
        words = (self.flag.removeprefix("--") or self.placeholder.lower()).split("-")
        shown = " ".join(word.upper() if word in _ABBREVIATIONS else word for word in words)
        return shown[:1].upper() + shown[1:]


def fields_of(command: argparse.ArgumentParser) -> list[Field]:
    """The fields of a command, in the order of its help."""
    alternatives = {
        id(action)
        for group in command._mutually_exclusive_groups
        for action in group._group_actions
        if action.type is Path
    }
    return [
        _field(action, meaning_of(action, command), id(action) in alternatives)
        for action in command._actions
        if action.dest not in LEFT_OUT
    ]


def meaning_of(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    """The help of an argument, with its default where the help names it."""
    return (action.help or "") % {**vars(action), "prog": command.prog}


def _field(action: argparse.Action, meaning: str, alternative: bool) -> Field:
    stands_alone = not action.option_strings
    required = action.required and action.nargs not in ("?", "*")
    return Field(
        name=action.dest,
        flag="" if stands_alone else action.option_strings[-1],
        kind=_kind(action),
        help=meaning,
        placeholder=str(action.metavar or action.dest),
        choices=tuple(action.choices or ()),
        default=_written(action.default),
        required=required,
        many=action.nargs in ("+", "*") or isinstance(action, argparse._AppendAction),
        first=required or stands_alone or alternative,
    )


def _kind(action: argparse.Action) -> Kind:
    """Placeholders say what a value is: DIR, BUNDLE a folder, IMAGE, SEG a file or a folder, FILE a file."""
    placeholder = str(action.metavar or "")
    if action.nargs == 0:
        return Kind.SWITCH
    if action.choices:
        return Kind.CHOICE
    if placeholder in _FOLDERS:
        return Kind.FOLDER
    if placeholder in _FILES_OR_FOLDERS:
        return Kind.FILE_OR_FOLDER
    if action.dest == "out":
        return Kind.NEW_FILE
    # `imagenet|none|FILE` is no path for argparse, but takes one.
    return Kind.FILE if action.type is Path or placeholder.endswith("FILE") else Kind.TEXT


def _written(default: object) -> str:
    """A default as it would be written on the command line; empty for none."""
    if default is None or isinstance(default, bool | list | tuple):
        return ""
    return str(default)
