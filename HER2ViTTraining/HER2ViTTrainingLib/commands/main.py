"""The commands: `her2vit COMMAND ...`. No logic here: each command imports the rooms it needs, calls them and says what was written.

Exit status: 0 done, 1 internal error, 2 bad input (one line per fault), 3 some cases failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from HER2ViTLib import __version__
from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError

DONE, INTERNAL_ERROR, BAD_INPUT, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
LONGEST_LINE = 1000
EXTRAS = {
    "distributed": "cluster",
    "lifelines": "statistics",
    "networkx": "genes",
    "pandas": "statistics",
    "pydeseq2": "genes",
    "scipy": "statistics",
}
"""Package that some commands need: the extra of the pip package that brings it."""


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
    except InputError as error:
        return _fail(BAD_INPUT, *error.faults, debug=options.debug)
    except ModuleNotFoundError as error:
        return _fail(BAD_INPUT, _missing_package(error), debug=options.debug)
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        what = error.strerror or error
        return _fail(BAD_INPUT, f"{error.filename or 'a file'}: cannot be read or written ({what}); check path, rights and disk", debug=options.debug)
    except MemoryError:
        return _fail(BAD_INPUT, "not enough memory for this; use a machine with more, or less data at once", debug=options.debug)
    except KeyboardInterrupt:
        return _fail(INTERRUPTED, "interrupted", debug=False)
    except Exception as error:  # noqa: BLE001  the outermost door: whatever it is, the user gets one line
        return _fail(INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error} (--debug shows where)", debug=options.debug)
    return status or DONE


def _write_any_text() -> None:
    """A console that lacks a character of a name gets it spelt out, instead of an error after all the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # inside 3D Slicer they are not
            stream.reconfigure(errors="backslashreplace")


def _printable(text: str) -> str:
    """The text without what would steer a terminal: escape sequences in a name from a file."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _fail(status: int, *lines: str, debug: bool) -> int:
    if debug:
        raise  # the exception being handled
    for line in lines:
        text = _printable(" ".join(line.split()))
        # A value out of a broken file can be long; the file stands before it, the cure behind it.
        shown = text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE // 2]} ... {text[-LONGEST_LINE // 2 :]}"
        sys.stderr.write(f"her2vit: {shown}\n")
    return status


def _missing_package(error: ModuleNotFoundError) -> str:
    name = (error.name or "").partition(".")[0]
    cure = f"pip install 'her2vit[{EXTRAS[name]}]'" if name in EXTRAS else f"pip install {name}"
    return f"the Python package {name} is not installed and this command needs it; install it with: {cure}"


def _reader_left() -> int:
    """Whoever read the output is gone (`her2vit ... | head`): nothing to tell, also not when Python flushes at its end."""
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
    parser = _Parser(prog="her2vit", description=f"HER2 status from breast DCE-MRI. {RESEARCH_NOTICE}", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"her2vit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_help(commands, parser)
    _add_demo(commands)
    _add_read(commands)
    _add_segment(commands)
    _add_batch(commands)
    _add_simulate(commands)
    _add_cohort(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_evaluate3(commands)
    _add_table1(commands)
    _add_prognosis(commands)
    _add_session(commands)
    _add_features(commands)
    _add_agreement(commands)
    _add_genes(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction, name: str, run: Callable[..., int | None], summary: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=f"{summary} {RESEARCH_NOTICE}", allow_abbrev=False)
    command.set_defaults(run=run)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def _add_seed(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--seed", type=_seed, default=1, metavar="N", help=f"seed of {what} (default: %(default)s)")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return whole


_positive = _whole(1, 1_000_000)
_seed = _whole(0, 2**32 - 1)
"""What every random generator takes."""


def _add_help(commands: argparse._SubParsersAction, parser: argparse.ArgumentParser) -> None:
    def run(options: argparse.Namespace) -> None:
        if options.command and options.command not in commands.choices:
            raise InputError(f"{options.command!r} is not a command; use {', '.join(commands.choices)}")
        sys.stdout.write((commands.choices[options.command] if options.command else parser).format_help())

    command = _command(commands, "help", run, "Explain a command.")
    command.add_argument("command", nargs="?", metavar="COMMAND")


def _say(text: str) -> None:
    sys.stdout.write(_printable(text) + "\n")


def _say_written(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        _say(f"wrote {folder / name}")


@contextlib.contextmanager
def _progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told (done, all) and draws a progress bar, on a terminal only."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, disable=None) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


# Reading


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps; only auto falls back to the CPU (default: %(default)s)")


def _add_model_options(command: argparse.ArgumentParser) -> None:
    _add_device(command)
    command.add_argument(
        "--attention", choices=("rollout", "last", "gradient"), default="rollout", help="attention map method (default: %(default)s)"
    )


def _add_reading_options(command: argparse.ArgumentParser) -> None:
    _add_model_options(command)
    command.add_argument("--scene", action="store_true", help="also write scene.mrb, to open in 3D Slicer")
    command.add_argument("--no-figures", action="store_true", help="no pictures")


def _add_demo(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "demo", _demo, "Read the bundled simulated sample with the bundled demo models.")
    command.add_argument("--out", type=Path, default=Path("her2vit-demo"), metavar="DIR", help="folder for the results (default: %(default)s)")
    _add_reading_options(command)


def _demo(options: argparse.Namespace) -> None:
    from HER2ViTLib.sample import demo_bundles, sample_phases, sample_roi

    reading = argparse.Namespace(
        **vars(options),
        image=sample_phases(),
        roi=sample_roi(),
        bundle=demo_bundles(),
        segment=None,
        early_phase=None,
        pre_phase=None,
        slice=None,
        slice_axis="k",
        series=[],
        image_type="",
        case_id="sample",
        keep_names=False,
    )
    _read(reading)


def _add_read(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "read", _read, "Read the HER2 status of one lesion.")
    command.add_argument("image", nargs="+", type=Path, metavar="IMAGE", help="a DICOM folder, a 4D file, or one file per phase in time order")
    command.add_argument("--roi", type=Path, required=True, metavar="SEG", help="the lesion's outline: label map or .seg.nrrd")
    command.add_argument("--segment", metavar="NAME|NUMBER", help="which segment, when the file holds several")
    command.add_argument("--bundle", type=Path, action="append", required=True, metavar="DIR", help="model bundle; once per task")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    _add_selection(command)
    command.add_argument("--early-phase", type=int, metavar="N", help="index of the early phase, from 0")
    command.add_argument("--pre-phase", metavar="N|none", help="index of the pre-contrast phase, from 0, or none")
    command.add_argument("--slice", type=int, metavar="N", help="read this slice instead of the largest")
    command.add_argument("--slice-axis", choices="ijk", default="k", help="array axis to slice across (default: %(default)s)")
    command.add_argument("--case-id", metavar="ID", help="name of the case in the results (default: from the images' hash)")
    command.add_argument("--keep-names", action="store_true", help="show the inputs' file names in the results")
    _add_reading_options(command)


def _read(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTLib.reading.folder import RESULT_FILES, write_reading
    from HER2ViTLib.reading.report import table_text

    require_own_folder(options.out, RESULT_FILES)
    if options.scene:
        importlib.import_module("HER2ViTLib.mrml.results")  # says at once, not after the reading, that slicer-core is missing
    reading, study, roi = _one_reading(options)
    written = write_reading(reading, study, roi, options.out, figures=not options.no_figures, scene=options.scene)
    _say(table_text(reading))
    _say_written(options.out, written)


def _one_reading(options: argparse.Namespace) -> tuple:
    from HER2ViTLib.imaging.series import image_sha256
    from HER2ViTLib.lesion.masks import read_roi
    from HER2ViTLib.model.bundle import load_bundle
    from HER2ViTLib.reading.reader import Overrides, Reader
    from HER2ViTLib.study.study import load_study

    study = load_study(options.image, _selection(options))
    roi = read_roi(options.roi, study.geometry, options.segment)
    reader = Reader([load_bundle(folder) for folder in options.bundle], options.device, options.attention)
    study = study.with_slice_axis(options.slice_axis)
    roi = roi.with_slice_axis(options.slice_axis)
    names = _input_names(options.image, options.roi) if options.keep_names else {}
    reading = reader.read(
        study,
        roi,
        Overrides(options.early_phase, options.pre_phase, options.slice),
        case_id=options.case_id or names.get("image") or names.get("phase0"),
        roi_sha256=image_sha256(options.roi),
        input_names=names,
    )
    return reading, study, roi.mask


def _add_selection(command: argparse.ArgumentParser) -> None:
    """Which images of a DICOM examination are meant."""
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


def _selection(options: argparse.Namespace) -> Selection:
    return Selection(tuple(options.series), options.image_type)


def _input_names(images: Sequence[Path], roi: Path) -> dict[str, str]:
    from HER2ViTLib.study.study import image_roles

    return {**dict(zip(image_roles(len(images)), (image.name for image in images))), "roi": roi.name}


# Outlining


def _add_segment(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "segment", _segment, "Outline a lesion semi-automatically from a point inside it.")
    command.add_argument("image", nargs="+", type=Path, metavar="IMAGE", help="a DICOM folder, a 4D file, or one file per phase in time order")
    command.add_argument("--seed-point", type=_numbers(3), required=True, metavar="R,A,S", help="a point in the lesion, mm, as 3D Slicer shows it")
    command.add_argument("--box", type=_numbers(6), metavar="R1,R2,A1,A2,S1,S2", help="a box around the lesion, mm; the outline stays inside")
    _add_selection(command)
    command.add_argument("--early-phase", type=int, metavar="N", help="index of the early phase, from 0")
    command.add_argument("--pre-phase", metavar="N|none", help="index of the pre-contrast phase, from 0, or none")
    command.add_argument("--out", type=Path, required=True, metavar="FILE.seg.nrrd", help="the segmentation to write")


def _numbers(count: int) -> Callable[[str], tuple[float, ...]]:
    def numbers(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(word) for word in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(abs(value) < 1e6 for value in values):
            raise argparse.ArgumentTypeError(f"{text!r} is not {count} numbers with commas between them")
        return values

    return numbers


def _segment(options: argparse.Namespace) -> None:
    from HER2ViTLib.imaging.volume import ras_to_lps
    from HER2ViTLib.lesion.masks import write_segmentation
    from HER2ViTLib.lesion.outlining import outline
    from HER2ViTLib.study.phases import choose_phases
    from HER2ViTLib.study.study import load_study

    if not options.out.name.endswith(".seg.nrrd"):
        raise InputError(f"{options.out}: must end in .seg.nrrd, so that 3D Slicer opens it as a segmentation")
    study = load_study(options.image, _selection(options))
    chosen = choose_phases(study, None, options.early_phase, options.pre_phase)
    seed = ras_to_lps(options.seed_point)
    box = None if options.box is None else tuple(ras_to_lps(corner) for corner in zip(*(sorted(options.box[n : n + 2]) for n in (0, 2, 4))))
    mask = outline(chosen.early_volume(study), chosen.pre_volume(study), seed, box)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_segmentation(mask, study.geometry, options.out)
    millilitres, slices = mask.sum() * study.geometry.voxel_mm3 / 1000, mask.any(axis=(1, 2)).sum()
    for told in (*study.warnings, *chosen.warnings):
        _say(f"Warning  {told.code}: {told.text}")
    _say(
        f"early phase {chosen.early.index} ({chosen.early.rule}); outline "
        f"{millilitres:.2f} ml on {slices} slices"
    )
    _say(f"wrote {options.out}")


# Many cases


def _add_batch(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "batch", _batch, "Read the cases of a manifest; run again to go on.")
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="CSV, one row a case: case_id, image, roi; paths relative to it")
    command.add_argument("--bundle", type=Path, action="append", required=True, metavar="DIR", help="model bundle; once per task")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    where = command.add_mutually_exclusive_group()
    where.add_argument("--workers", type=_positive, metavar="N", help="processes on this machine (default: one a core)")
    where.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster instead, tcp://...; it asks nobody who they are: trusted networks only")
    command.add_argument("--retry-failed", action="store_true", help="try the cases that failed before again")
    command.add_argument("--figures", action="store_true", help="also a picture of every case")
    _add_model_options(command)


def _batch(options: argparse.Namespace) -> int:
    from HER2ViTTrainingLib.batch.batch import read_batch

    with _progress("read", "case") as progress:
        outcome = read_batch(
            options.manifest,
            options.bundle,
            options.out,
            device=options.device,
            attention=options.attention,
            figures=options.figures,
            workers=options.workers,
            scheduler=options.scheduler,
            retry_failed=options.retry_failed,
            report=progress,
        )
    _say(f"{outcome.cases} cases: {outcome.cases - outcome.failed} read, {outcome.failed} failed; {outcome.attempted} of them in this run")
    _say_written(options.out, ("readings.csv", "failures.csv", "cases"))
    return SOME_FAILED if outcome.failed else DONE


# Simulation


def _add_simulate(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "simulate", _simulate, "Simulate a cohort of breast DCE-MRI with known answers.")
    command.add_argument("--cases", type=int, required=True, metavar="N", help="how many cases")
    command.add_argument("--protocol", choices=("A", "B"), default="A", help="scanner protocol (default: %(default)s)")
    command.add_argument("--scale", type=float, default=1.0, metavar="F", help="0.2 to 1: coarser voxels, same field of view (default: %(default)s)")
    _add_seed(command, "all that is random")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the cohort")


def _simulate(options: argparse.Namespace) -> None:
    from HER2ViTTrainingLib.simulation.patients import PROTOCOLS, simulate_cohort

    with _progress("simulate", "case") as progress:
        simulate_cohort(options.cases, options.seed, PROTOCOLS[options.protocol], options.out, progress, options.scale)
    _say_written(options.out, ("manifest.csv", "truth.csv", "counts.csv.gz"))


# Cohort


def _add_cohort(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "cohort", _cohort, "Check a manifest, show who is in and who is out, split by patient.")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("manifest", nargs="?", type=Path, metavar="MANIFEST", help="CSV, one row a case; paths relative to it")
    source.add_argument("--mama-mia", type=Path, metavar="FOLDER", help="the public MAMA-MIA data set, its table saved as CSV")
    command.add_argument("--folds", type=int, metavar="K", help="also K folds for cross-validation")
    command.add_argument(
        "--split",
        choices=("shared", "per-task"),
        default="shared",
        help="shared: one split for both tasks; per-task: as in the study, no clean set for the two-step call (default: %(default)s)",
    )
    _add_seed(command, "the split")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")


def _cohort(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.cohort.flow import RESULT_FILES, flow, flow_text, write_cohort
    from HER2ViTTrainingLib.cohort.mama_mia import write_mama_mia_manifest
    from HER2ViTTrainingLib.cohort.manifest import make_splits, read_manifest

    require_own_folder(options.out, RESULT_FILES)
    if options.mama_mia:
        _say_written(options.out, [write_mama_mia_manifest(options.mama_mia, options.out / "manifest.csv").name])
    cohort = read_manifest(options.manifest or options.out / "manifest.csv")
    splits = make_splits(cohort, options.split, options.folds, options.seed)
    written = write_cohort(cohort, splits, options.out)
    _say(flow_text(flow(cohort, splits)))
    _say_written(options.out, written)


# Training


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "train", _train, "Train a model on your own cases; run again to go on after a kill.")
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="CSV file, one row a case")
    command.add_argument("--task", choices=("zero-vs-rest", "low-vs-positive"), required=True, help="which question the model answers")
    command.add_argument("--recipe", choices=("default", "study"), default="default", help="ours, or the published code's (default: %(default)s)")
    command.add_argument("--preset", choices=("square", "study"), default="square", help="preprocessing (default: %(default)s)")
    command.add_argument("--arch", default="vit_tiny_patch16_224", metavar="NAME", help="timm model (default: %(default)s)")
    command.add_argument("--img-size", type=_whole(16, 2048), metavar="N", help="input size in pixels (default: the model's)")
    command.add_argument("--pretrained", default="imagenet", metavar="imagenet|none|FILE", help="starting weights (default: %(default)s)")
    command.add_argument("--splits", type=Path, metavar="FILE", help="splits.json of `cohort` (default: made anew with --seed)")
    command.add_argument("--folds", type=int, metavar="K", help="cross-validation: a model a fold, out-of-fold predictions")
    command.add_argument("--seeds", type=_positive, default=1, metavar="N", help="train with so many seeds, --seed and the next ones (default: 1)")
    command.add_argument("--scheduler", metavar="ADDRESS", help="train folds and seeds side by side on this Dask cluster (tcp://host:8786)")
    command.add_argument("--epochs", type=_positive, metavar="N", help="at most so many epochs (default: the recipe's)")
    _add_device(command)
    _add_seed(command, "all that is random")
    command.add_argument("--cache", type=Path, metavar="DIR", help="folder for the cases' inputs, to share between trainings (default: in --out)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the bundle")


def _train(options: argparse.Namespace) -> None:
    from dataclasses import replace

    from HER2ViTLib.her2 import TASKS
    from HER2ViTTrainingLib.cohort.manifest import load_splits, make_splits, read_manifest
    from HER2ViTTrainingLib.training.runs import Experiment, Network, run_experiment, run_repeated
    from HER2ViTTrainingLib.training.trainer import RECIPES

    repeated = bool(options.folds) or options.seeds > 1
    if options.scheduler and not repeated:
        raise InputError("--scheduler trains folds and seeds side by side: give --folds K or --seeds N, or leave it out")
    recipe = RECIPES[options.recipe] if options.epochs is None else replace(RECIPES[options.recipe], epochs=options.epochs)
    network = Network(options.arch, options.img_size, options.pretrained)
    experiment = Experiment(TASKS[options.task], recipe, options.preset, network, options.seed, options.device)
    cohort = read_manifest(options.manifest)
    splits = load_splits(options.splits, cohort) if options.splits else make_splits(cohort, folds=options.folds, seed=options.seed)
    folds = len(splits.tasks[options.task].folds)
    if options.folds not in (None, folds):
        raise InputError(f"{options.splits}: holds {folds} folds, not {options.folds}; make them with: her2vit cohort --folds {options.folds}")
    if repeated:
        repeats = (options.seeds, bool(options.folds), options.scheduler)
        _say_written(options.out, run_repeated(experiment, cohort, splits, options.out, options.cache, *repeats))
    else:
        _say_written(options.out, run_experiment(experiment, cohort, splits, options.out, options.cache))


# Evaluation


def _add_resampling_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--resamples", type=_positive, default=1000, metavar="N", help="bootstrap resamples (default: %(default)s)")
    _add_seed(command, "the bootstrap")
    command.add_argument("--stratified", action="store_true", help="resample each class by itself (default: all cases together)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")


def _threshold(text: str) -> float | None:
    try:
        return None if text == "youden" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither youden nor a number") from None


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "evaluate", _evaluate, "Judge the predictions of a model, set by set.")
    command.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="CSV: case_id, set, label, score; optional patient_id, more scores")
    command.add_argument(
        "--threshold", type=_threshold, metavar="youden|NUMBER", help="each set's own Youden optimum, or one number for all (default: youden)"
    )
    command.add_argument("--threshold-from", metavar="SET", help="the Youden optimum of this set for all sets")
    command.add_argument("--compare", action="append", default=[], metavar="COLUMN", help="another score column: paired DeLong test; may be repeated")
    command.add_argument("--by", action="append", default=[], metavar="COLUMN", help="a column of subgroups; may be repeated")
    command.add_argument("--no-figures", action="store_true", help="no pictures")
    _add_resampling_options(command)


def _evaluate(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.evaluation.figures import evaluation_pictures
    from HER2ViTTrainingLib.evaluation.judging import RESULT_FILES, evaluate, read_predictions, table2_text, write_evaluation
    from HER2ViTTrainingLib.stats.roc import Resampling

    require_own_folder(options.out, RESULT_FILES)
    sets = read_predictions(options.predictions, options.compare, options.by)
    plan = Resampling(options.resamples, options.seed, options.stratified)
    evaluation = evaluate(sets, plan, options.threshold, options.threshold_from)
    pictures = {} if options.no_figures else evaluation_pictures(evaluation.sets, evaluation.plan)
    written = write_evaluation(evaluation, options.predictions, options.out, pictures)
    _say(table2_text(evaluation))
    _say_written(options.out, written)


def _add_evaluate3(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "evaluate3", _evaluate3, "Judge the two-step call: zero, low or positive.")
    command.add_argument("readings", type=Path, metavar="READINGS", help="readings.csv of a batch")
    command.add_argument("--truth", type=Path, required=True, metavar="MANIFEST", help="CSV with case_id and ihc, ish or her2_status")
    _add_resampling_options(command)


def _evaluate3(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.evaluation.three_class import RESULT_FILES, evaluate_three_class, match, three_class_text, write_three_class
    from HER2ViTTrainingLib.stats.roc import Resampling

    require_own_folder(options.out, RESULT_FILES)
    cases = match(options.readings, options.truth)
    evaluation = evaluate_three_class(cases, Resampling(options.resamples, options.seed, options.stratified))
    written = write_three_class(evaluation, options.readings, options.truth, options.out)
    _say(three_class_text(evaluation))
    _say_written(options.out, written)


# Table 1 and prognosis


def _names(text: str) -> tuple[str, ...]:
    from HER2ViTTrainingLib.tables.case_table import column_names

    return column_names(text)


def _add_cases_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("cases", type=Path, metavar="CSV", help="one row a case: cases.csv of `cohort`, a manifest, or a table of your own")
    command.add_argument(
        "--join", type=Path, action="append", default=[], metavar="FILE", help="add this file's columns by case_id (predictions.csv); may be repeated"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")


def _add_table1(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "table1", _table1, "Describe and compare groups of cases: Table 1.")
    _add_cases_options(command)
    command.add_argument("--by", required=True, metavar="COLUMN", help="the column of the groups")
    command.add_argument("--continuous", type=_names, default=(), metavar="a,b", help="mean (SD), t test or ANOVA")
    command.add_argument("--nonnormal", type=_names, default=(), metavar="c", help="median (quartiles), Mann-Whitney or Kruskal-Wallis test")
    command.add_argument(
        "--categorical", type=_names, default=(), metavar="d,e", help="n (%%), chi-squared or Fisher's exact test (default, none named: all columns)"
    )
    command.add_argument("--welch", action="store_true", help="variances need not be equal: Welch's t test or ANOVA")
    _add_seed(command, "Monte Carlo tests")


def _table1(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.clinical.table_one import RESULT_FILES, make_plan, table_one, table_one_text, write_table_one
    from HER2ViTTrainingLib.tables.case_table import read_cases

    require_own_folder(options.out, RESULT_FILES)
    cases = read_cases(options.cases, options.join)
    plan = make_plan(cases, options.by, options.continuous, options.nonnormal, options.categorical, options.welch, options.seed)
    table = table_one(cases, plan)
    written = write_table_one(table, options.out)
    _say(table_one_text(table))
    _say_written(options.out, written)


def _add_prognosis(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "prognosis", _prognosis, "Survival by group: Kaplan-Meier, log-rank test, Cox models.")
    _add_cases_options(command)
    command.add_argument("--time", required=True, metavar="COL", help="time to the event or the end of follow-up (rfs_months, os_months)")
    command.add_argument("--event", required=True, metavar="COL", help="1 event, 0 censored (rfs_event, os_event)")
    groups = command.add_mutually_exclusive_group()
    groups.add_argument("--group", default="", metavar="COL", help="the column of the groups")
    groups.add_argument("--score", default="", metavar="COL", help="groups of high and low risk by this score")
    command.add_argument("--cutoff", type=float, default=0.5, metavar="X", help="cut-off of the score (default: %(default)s)")
    command.add_argument("--high-risk", choices=("above", "below"), default="", help="high risk is a score at or above, or below, the cut-off")
    command.add_argument("--covariates", type=_names, default=(), metavar="a,b", help="further variables of the Cox models")
    command.add_argument("--categorical", type=_names, default=(), metavar="a", help="covariates written as numbers that are levels (grade 1, 2, 3)")
    command.add_argument(
        "--select", choices=("p", "all"), default="p", help="multivariable model: variables with univariable p < 0.05, or all (default: %(default)s)"
    )
    command.add_argument("--no-figures", action="store_true", help="no pictures")


def _prognosis(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.clinical.prognosis import Question, prognosis
    from HER2ViTTrainingLib.clinical.prognosis_figures import prognosis_pictures
    from HER2ViTTrainingLib.clinical.prognosis_results import RESULT_FILES, prognosis_text, write_prognosis
    from HER2ViTTrainingLib.tables.case_table import read_cases

    require_own_folder(options.out, RESULT_FILES)
    question = Question(
        options.time,
        options.event,
        options.group,
        options.score,
        options.cutoff,
        options.high_risk,
        options.covariates,
        options.categorical,
        options.select,
    )
    found = prognosis(read_cases(options.cases, options.join), question)
    written = write_prognosis(found, options.out, {} if options.no_figures else prognosis_pictures(found))
    _say(prognosis_text(found))
    _say_written(options.out, written)


# Repeatability


def _add_session(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "session", _session, "Plan blinded repeatability sessions: the first reader reads twice, the others once.")
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="CSV, one row a case; paths relative to it")
    command.add_argument("--cases", type=_positive, default=60, metavar="N", help="how many cases to draw (default: %(default)s)")
    command.add_argument("--readers", default="A,B", metavar="A,B", help="names of the readers (default: %(default)s)")
    command.add_argument(
        "--washout-days", type=float, default=14, metavar="DAYS", help="from the end of the first read to the second (default: %(default)s)"
    )
    _add_seed(command, "draw and orders")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder for the sessions")


def _session(options: argparse.Namespace) -> None:
    from HER2ViTTrainingLib.repeatability.plan import Plan, write_plan

    readers = tuple(name.strip() for name in options.readers.split(","))
    plan = Plan(options.cases, readers, options.washout_days, options.seed)
    with _progress("session", "case") as progress:
        written = write_plan(options.manifest, plan, options.out, progress)
    _say_written(options.out, written)
    _say(f"keep {options.out / 'coordinator'} to yourself: its key tells the cases; give each reader the folder of that reader only")


def _add_features(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "features", _features, "Shape, intensity, enhancement and model features of outlined lesions.")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("manifest", nargs="?", type=Path, metavar="MANIFEST", help="CSV, one row a case; paths relative to it")
    source.add_argument("--session", type=Path, metavar="DIR", help="all reads of a repeatability session, by its coordinator's key")
    command.add_argument("--roi-column", default="roi", metavar="COLUMN", help="which outlines of the manifest (default: %(default)s)")
    command.add_argument("--rater", default="A1", metavar="LABEL", help="who drew them (default: %(default)s)")
    command.add_argument("--bundle", type=Path, action="append", default=[], metavar="DIR", help="also its embedding and score; once per task")
    _add_device(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")


def _features(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.cohort.manifest import read_manifest
    from HER2ViTTrainingLib.repeatability.features import RESULT_FILES, feature_table, write_features
    from HER2ViTTrainingLib.repeatability.outlines import manifest_outlines
    from HER2ViTTrainingLib.repeatability.reads import case_reads, outlines

    require_own_folder(options.out, RESULT_FILES)
    if options.session:
        reads, drawn = case_reads(options.session), outlines(options.session)
    else:
        reads = []
        drawn = manifest_outlines(read_manifest(options.manifest), options.roi_column, options.rater)
    with _progress("features", "outline") as progress:
        table = feature_table(drawn, options.bundle, options.device, progress=progress)
    _say_written(options.out, write_features(table, options.out, reads))


# Agreement


def _add_agreement(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "agreement", _agreement, "Compare the ratings and outlines of several reads.")
    command.add_argument("ratings", nargs="*", type=Path, metavar="RATINGS", help="CSV: case_id, rater, FEATURE... (default: the outlines' features)")
    outlines = command.add_mutually_exclusive_group()
    outlines.add_argument("--manifest", type=Path, metavar="MANIFEST", help="compare outlines too, those in columns of this CSV file")
    outlines.add_argument("--session", type=Path, metavar="DIR", help="compare outlines too, those of a repeatability session")
    command.add_argument(
        "--roi-columns", default="roi,roi_a2,roi_b", metavar="COLUMN,...", help="the manifest's columns, of A1, A2 and B1 (default: %(default)s)"
    )
    command.add_argument("--compare", action="append", default=[], metavar="A1,A2", help="raters to compare; may be repeated (default: all together)")
    command.add_argument("--no-figures", action="store_true", help="no pictures")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")


def _agreement(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.repeatability import agreement as repeatability
    from HER2ViTTrainingLib.repeatability import outlines
    from HER2ViTTrainingLib.repeatability import reads as session_reads
    from HER2ViTTrainingLib.repeatability.figures import agreement_pictures

    require_own_folder(options.out, repeatability.RESULT_FILES)
    drawn = []
    if options.manifest:
        drawn = outlines.column_outlines(options.manifest, options.roi_columns.split(","))
    elif options.session:
        drawn = session_reads.outlines(options.session)
    ratings = repeatability.read_ratings(options.ratings) if options.ratings else None
    with _progress("outlines", "case") if drawn else contextlib.nullcontext() as progress:
        agreement = repeatability.agreement_of(ratings, drawn, options.compare, progress)
    inputs = repeatability.input_hashes(options.ratings, drawn)
    pictures = {} if options.no_figures else agreement_pictures(agreement)
    written = repeatability.write_agreement(agreement, inputs, options.out, pictures)
    _say(repeatability.agreement_text(agreement))
    _say_written(options.out, written)


# Radiogenomics


def _add_genes(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "genes", _genes, "Compare gene expression between two groups: DESeq2, over-representation, hub genes.")
    command.add_argument("counts", type=Path, metavar="COUNTS", help="raw RNA counts, CSV or TSV (gzip too): rows genes, columns cases")
    command.add_argument("--groups", type=Path, required=True, metavar="CSV", help="case_id and group of the cases to compare; two groups")
    command.add_argument("--reference", default="low", metavar="LABEL", help="the group to compare with (default: %(default)s)")
    command.add_argument("--gmt", type=Path, action="append", default=[], metavar="FILE", help="gene sets in GMT format; may be repeated")
    command.add_argument("--ppi", type=Path, metavar="FILE", help="protein interactions: header, then two gene symbols a line (TSV, gzip too)")
    command.add_argument("--alpha", type=float, default=0.05, metavar="P", help="adjusted p below which a gene counts (default: %(default)s)")
    command.add_argument("--lfc", type=float, default=1.0, metavar="X", help="|log2 fold change| above which a gene counts (default: %(default)s)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    command.add_argument("--no-figures", action="store_true", help="no pictures")


def _genes(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.genes.analysis import RESULT_FILES, Thresholds, analyse, genes_text, write_analysis
    from HER2ViTTrainingLib.genes.figures import radiogenomics_pictures

    require_own_folder(options.out, RESULT_FILES)
    limits = Thresholds(options.alpha, options.lfc)
    analysis = analyse(options.counts, options.groups, options.reference, options.gmt, options.ppi, limits)
    written = write_analysis(analysis, options.out, {} if options.no_figures else radiogenomics_pictures(analysis))
    _say(genes_text(analysis))
    _say_written(options.out, written)


if __name__ == "__main__":
    sys.exit(main())
