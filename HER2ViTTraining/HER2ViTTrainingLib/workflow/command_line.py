"""From a filled-in form to the words of a command line, and what the command's parser says of them."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence

from .fields import Field, Kind

Value = str | bool | list[str]
"""What a field holds: a text, a switch's state, or several texts."""


def words_of(command: str, fields: Sequence[Field], values: Mapping[str, Value]) -> list[str]:
    """The command and its arguments. What is empty, or as its default, is left out."""
    words = [command]
    for field in sorted(fields, key=lambda one: bool(one.flag)):  # what stands by itself comes first
        value = values.get(field.name, "")
        if field.kind is Kind.SWITCH:
            words += [field.flag] if value else []
            continue
        texts = value if isinstance(value, list) else [str(value)]
        for text in filter(None, (text.strip() for text in texts)):
            if text != field.default:
                words += _spelt(field, text)
    return words


def _spelt(field: Field, text: str) -> list[str]:
    """One value; a leading dash must not make it an option."""
    if not text.startswith("-"):
        return [field.flag, text] if field.flag else [text]
    return [f"{field.flag}={text}"] if field.flag else [f".{os.sep}{text}"]


def fault_of(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """What the parser of all commands says against these words, in one line; empty where it takes them."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        try:
            parser.parse_args(words)
        except SystemExit:
            # "her2vit train: MESSAGE; see: her2vit help train"
            return told.getvalue().strip().partition(": ")[2].partition("; see: ")[0]
    return ""


def shell_line(words: Sequence[str]) -> str:
    """The command as it is typed in a terminal of this system, quoted where that is needed."""
    whole = ["her2vit", *words]
    return subprocess.list2cmdline(whole) if os.name == "nt" else shlex.join(whole)
