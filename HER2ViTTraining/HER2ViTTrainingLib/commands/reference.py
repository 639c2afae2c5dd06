"""Docs/commands.md, the reference of all commands, made from their parsers: `make docs`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.workflow.fields import LEFT_OUT, meaning_of

from .main import build_parser, commands_of

HEAD = f"""# Commands

{RESEARCH_NOTICE}

This page is made from the commands' own parsers by `make docs`; `her2vit help COMMAND` says the same. In 3D
Slicer the same commands run without a window, by
`Slicer --no-splash --no-main-window --python-script .../HER2ViTTrainingLib/slicer_batch.py -- COMMAND ...`.

Exit status: 0 done; 1 internal error; 2 bad input, one line per fault; 3 some cases failed; 130 interrupted.
Every command takes `--debug`, which shows the traceback of an error.
"""


def reference(parser: argparse.ArgumentParser) -> str:
    """The page in Markdown: a section a command, with what its help says and a table of its options."""
    sections = (_section(name, command) for name, command in commands_of(parser).items())
    return "\n".join([HEAD, *sections])


def _section(name: str, command: argparse.ArgumentParser) -> str:
    summary = (command.description or "").removesuffix(RESEARCH_NOTICE).strip()
    rows = [f"| {spelling} | {meaning} |" for spelling, meaning in _options(command)]
    guide = (command.epilog or "").strip()
    parts = [f"## {name}", summary, guide, "\n".join(["| | |", "|---|---|", *rows])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _options(command: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Spelling and meaning of each option, in the order of the help."""
    for action in command._actions:
        if action.dest in LEFT_OUT:
            continue
        meaning = meaning_of(action, command)
        must = "required; " if action.required and action.option_strings else ""
        yield f"`{_spelling(action)}`".replace("|", "\\|"), f"{must}{meaning}".replace("|", "\\|")


def _spelling(action: argparse.Action) -> str:
    value = _value(action)
    return " ".join(part for part in (", ".join(action.option_strings), value) if part)


def _value(action: argparse.Action) -> str:
    """How the value is written: its placeholder, or the choices."""
    if action.nargs == 0:
        return ""
    choices = "|".join(map(str, action.choices)) if action.choices else ""
    name = action.metavar or choices or action.dest.upper()
    return {"+": f"{name} [{name} ...]", "?": f"[{name}]"}.get(str(action.nargs), str(name))


def main() -> None:
    """Writes the page to the path that is given."""
    Path(sys.argv[1]).write_text(reference(build_parser()), encoding="utf-8")


if __name__ == "__main__":
    main()
