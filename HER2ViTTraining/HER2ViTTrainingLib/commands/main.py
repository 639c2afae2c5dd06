"""The commands: `her2vit COMMAND ...`. No logic here: each command imports the rooms it needs, calls them and
says what was written.

Exit status: 0 done, 1 internal error, 2 bad input (one line per fault), 3 some cases failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from HER2ViTLib import __version__
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError

from . import (
    adaptation,
    audit,
    batch,
    clinical,
    cohorts,
    evaluation,
    genes,
    public,
    reading,
    repeatability,
    report,
    sanity,
    series,
    training,
)
from .options import BAD_INPUT, DONE, INTERNAL_ERROR, INTERRUPTED, add_command, printable

MAX_LINE = 1000
"""Characters of a line on stderr."""
EXTRAS = {
    "distributed": "cluster",
    "highdicom": "dicom",
    "lifelines": "statistics",
    "networkx": "genes",
    "openpyxl": "public",
    "pandas": "statistics",
    "pydeseq2": "genes",
    "scipy": "statistics",
    "sklearn": "statistics",
    "threadpoolctl": "statistics",
}
"""Packages that only some commands need, and the extra of our pip package that brings each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; `arguments` default to those of the process. Returns the exit status."""
    words = with_joined_negatives(sys.argv[1:] if arguments is None else arguments)
    _write_any_text()
    parser = build_parser()
    try:
        options = parser.parse_args(words)
    except SystemExit as stop:
        return int(stop.code or DONE)
    try:
        status = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_left()
    except KeyboardInterrupt:
        _tell(["interrupted"])
        return INTERRUPTED
    except Exception as error:  # the outermost door: whatever it is, the user gets one line
        if options.debug:
            raise
        status, lines = _explained(error)
        _tell(lines)
    return status or DONE


def _explained(error: Exception) -> tuple[int, Sequence[str]]:
    """The exit status for an error, and what the user is told of it."""
    if isinstance(error, InputError):
        return BAD_INPUT, error.faults
    if isinstance(error, ModuleNotFoundError):
        return BAD_INPUT, [_missing_package(error)]
    if isinstance(error, OSError):
        what = error.strerror or error
        line = (
            f"{error.filename or 'a file'}: cannot be read or written ({what}); check path, rights and disk"
        )
        return BAD_INPUT, [line]
    if isinstance(error, MemoryError):
        return BAD_INPUT, ["not enough memory for this; use a machine with more, or less data at once"]
    return INTERNAL_ERROR, [f"internal error: {type(error).__name__}: {error} (--debug shows where)"]


def _write_any_text() -> None:
    """A console that lacks a character of a name gets it spelt out; else all the work ends in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # inside 3D Slicer they are not
            stream.reconfigure(errors="backslashreplace")


def _tell(lines: Sequence[str]) -> None:
    """Writes the lines to stderr, each on one line and not too long."""
    for line in lines:
        text = printable(" ".join(line.split()))
        # A value out of a broken file can be long; the file stands before it, the cure behind it.
        shown = text if len(text) <= MAX_LINE else f"{text[: MAX_LINE // 2]} ... {text[-MAX_LINE // 2 :]}"
        sys.stderr.write(f"her2vit: {shown}\n")


def _missing_package(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    cure = f"pip install 'her2vit[{EXTRAS[name]}]'" if name in EXTRAS else f"pip install {name}"
    return f"the Python package {name} is not installed and this command needs it; install it with: {cure}"


def _reader_left() -> int:
    """Nobody reads the output any more (`her2vit ... | head`), so nothing is told; nor may Python complain
    when it flushes at its end.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return DONE


def with_joined_negatives(words: Sequence[str]) -> list[str]:
    """`--seed-point -30,12,5` as `--seed-point=-30,12,5`: argparse would take the number for an option."""
    joined: list[str] = []
    for word in words:
        if joined and re.match(r"-\.?\d", word) and re.fullmatch(r"--[a-z][a-z0-9-]*", joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        command = self.prog.partition(" ")[2]
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see: her2vit help{' ' + command if command else ''}\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run` to what carries it out."""
    parser = _Parser(
        prog="her2vit", description=f"HER2 status from breast DCE-MRI. {RESEARCH_NOTICE}", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"her2vit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_help(commands, parser)
    for room in (
        reading,
        series,
        batch,
        public,
        cohorts,
        training,
        evaluation,
        audit,
        adaptation,
        sanity,
        clinical,
        repeatability,
        genes,
        report,
    ):
        room.add_commands(commands)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands' own parsers by name, in the order of the help."""
    (commands,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    return dict(commands.choices)


def _add_help(commands: argparse._SubParsersAction, parser: argparse.ArgumentParser) -> None:
    def run(options: argparse.Namespace) -> None:
        if options.command and options.command not in commands.choices:
            raise InputError(f"{options.command!r} is not a command; use {', '.join(commands.choices)}")
        sys.stdout.write((commands.choices[options.command] if options.command else parser).format_help())

    command = add_command(commands, "help", run, "Explain a command.")
    command.add_argument("command", nargs="?", metavar="COMMAND", help="the command to explain")


if __name__ == "__main__":
    sys.exit(main())
