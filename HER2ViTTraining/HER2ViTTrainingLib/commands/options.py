"""What the commands share: exit statuses, options, parsers of numbers and lists, what is said."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError
from HER2ViTTrainingLib.parallel.progress import AS_LINES, Progress, ProgressLine

DONE = 0
INTERNAL_ERROR = 1
BAD_INPUT = 2
SOME_FAILED = 3
INTERRUPTED = 130

_NOT_RECORDED = ("help", "debug", "out", "cache", "device", "dicom_out", "scheduler", "workers")
"""Options that say where and how fast, not what: they change no result, and may name a place."""

GUIDES = Path(__file__).parent / "guides"


class _Paragraphs(argparse.HelpFormatter):
    """Fills each paragraph of a text by itself; argparse makes one of all."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        filled = (super(_Paragraphs, self)._fill_text(one, width, indent) for one in text.split("\n\n"))
        return "\n\n".join(filled)


def printable(text: str) -> str:
    """The text without what would steer a terminal: escape sequences in a name from a file."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def add_command(
    commands: argparse._SubParsersAction, name: str, run: Callable[..., int | None], summary: str
) -> argparse.ArgumentParser:
    """Adds a command that `run` carries out: it takes the parsed options and returns the exit status. What a
    user should know beyond its options is in `guides/NAME.md`, shown after them.
    """
    command = commands.add_parser(
        name,
        help=summary,
        description=f"{summary} {RESEARCH_NOTICE}",
        epilog=(GUIDES / f"{name}.md").read_text(encoding="utf-8"),
        formatter_class=_Paragraphs,
        allow_abbrev=False,
    )
    command.set_defaults(run=run, parser=command)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def add_manifest(command: argparse.ArgumentParser) -> None:
    """Adds MANIFEST."""
    command.add_argument(
        "manifest", type=Path, metavar="MANIFEST", help="CSV, one row a case; paths relative to it"
    )


def add_out(command: argparse.ArgumentParser, what: str = "folder for the results") -> None:
    """Adds `--out`; `what` says what the folder is for."""
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help=what)


def add_dicom_out(command: argparse.ArgumentParser, what: str) -> None:
    """Adds `--dicom-out`, None where it is not given; `what` says what is written there."""
    command.add_argument("--dicom-out", type=Path, metavar="DIR", help=f"{what} (extra dicom)")


def require_apart(out: Path, dicom_out: Path) -> None:
    """Raises `InputError` unless neither of the two folders lies in the other: each holds its own results
    only.
    """
    places = (out.resolve(), dicom_out.resolve())
    if places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0]):
        raise InputError(
            f"{dicom_out}: --dicom-out and --out are the same, or one lies in the other; part them"
        )


def add_no_figures(command: argparse.ArgumentParser) -> None:
    """Adds `--no-figures`."""
    command.add_argument("--no-figures", action="store_true", help="no pictures")


def add_seed(command: argparse.ArgumentParser, what: str) -> None:
    """Adds `--seed`; `what` says in words what is drawn at random."""
    command.add_argument(
        "--seed", type=_seed, default=1, metavar="N", help=f"seed of {what} (default: %(default)s)"
    )


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return whole


positive_number = whole_number(1, 1_000_000)
_seed = whole_number(0, 2**32 - 1)
"""What every random generator takes."""


def say(text: str) -> None:
    """Writes a line, or several, to standard output."""
    sys.stdout.write(printable(text) + "\n")


def say_written(folder: Path, names: Sequence[str]) -> None:
    """A line for each file that was written."""
    for name in names:
        say(f"wrote {folder / name}")


def record_run(options: argparse.Namespace, written: Sequence[str]) -> None:
    """Leaves beside the results in `--out` how they were made, for `report`, and says what was written."""
    from HER2ViTTrainingLib.study_report.record import write_record

    actions = [one for one in options.parser._actions if one.dest not in _NOT_RECORDED]
    line = [options.parser.prog]
    settings = {}
    inputs = []
    for action in actions:
        value = getattr(options, action.dest)
        paths = _paths(action.dest, value)
        if paths:
            inputs += [(action.dest, path) for path in paths]
        else:
            settings[action.dest] = value
        if value != action.default or not action.option_strings:
            line += _shown(action, value, paths)
    command = options.parser.prog.split()[-1]
    write_record(options.out, command, " ".join([*line, "--out DIR"]), settings, inputs, written)
    say_written(options.out, written)


def _paths(name: str, value: object) -> list[Path]:
    """The files or folders among an option's values; starting weights (`--pretrained`) may be one."""
    if name == "pretrained" and isinstance(value, str):
        return [Path(value)] if Path(value).is_file() else []
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, Path)]


def _shown(action: argparse.Action, value: object, paths: Sequence[Path]) -> list[str]:
    """An option's words on the command line, files as the role they have."""
    name = list(action.option_strings[-1:])
    if isinstance(value, bool):
        return name
    repeated = isinstance(action, argparse._AppendAction)
    values = value if isinstance(value, list) else [value]
    texts = [action.dest.upper() for _ in paths] or [_word(one) for one in values]
    if not repeated:
        return [*name, *texts]
    return [word for text in texts for word in (*name, text)]


def _word(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@contextlib.contextmanager
def progress_bar(what: str, unit: str = "it") -> Iterator[Progress]:
    """Progress drawn as a bar, on a terminal only; each stage of the work starts the bar anew. As lines where
    the panel that started the command asked for them.
    """
    if os.environ.get(AS_LINES):
        yield _progress_lines(what)
        return
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, disable=None, miniters=1) as bar:

        def advance(done: int, total: int, text: str = "", /) -> None:
            bar.total = total
            bar.set_postfix_str(printable(text), refresh=False)
            if done < bar.n:
                bar.reset()
            bar.update(done - bar.n)

        yield advance


def _progress_lines(what: str) -> Progress:
    def tell(done: int, total: int, text: str = "", /) -> None:
        sys.stderr.write(f"{ProgressLine(what, done, total, printable(text))}\n")
        sys.stderr.flush()

    return tell


def add_device(command: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    command.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:N or mps; only auto falls back to the CPU (default: %(default)s)",
    )


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Adds `--device` and `--attention`."""
    add_device(command)
    command.add_argument(
        "--attention",
        choices=("rollout", "last", "gradient"),
        default="rollout",
        help="attention map method (default: %(default)s)",
    )


def add_slice_count(command: argparse.ArgumentParser, what: str) -> None:
    """Adds `--slice-count`, None where it is not given; `what` says what is done with so many slices."""
    command.add_argument("--slice-count", type=whole_number(1, 64), metavar="K", help=what)


def add_selection(command: argparse.ArgumentParser) -> None:
    """Adds `--series` and `--image-type`: which images of a DICOM examination are meant."""
    command.add_argument(
        "--series",
        action="append",
        default=[],
        metavar="NUMBER|UID",
        help="read this DICOM series; once for each (default: the DCE-MRI)",
    )
    command.add_argument(
        "--image-type",
        default="",
        metavar="WORD",
        help="read the images with this word in their DICOM image type",
    )


def selection_of(options: argparse.Namespace) -> Selection:
    """What the options of `add_selection` choose."""
    return Selection(tuple(options.series), options.image_type)


def add_resamples(command: argparse.ArgumentParser) -> None:
    """Adds `--resamples`."""
    command.add_argument(
        "--resamples",
        type=positive_number,
        default=1000,
        metavar="N",
        help="bootstrap resamples (default: %(default)s)",
    )


def listed_numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    """A parser of so many numbers with commas between them."""

    def numbers(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(word) for word in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(abs(value) < 1e6 for value in values):
            raise argparse.ArgumentTypeError(f"{text!r} is not {count} numbers with commas between them")
        return values

    return numbers


def listed_names(text: str) -> tuple[str, ...]:
    """Names of columns with commas between them."""
    from HER2ViTTrainingLib.tables.case_table import column_names

    return column_names(text)
