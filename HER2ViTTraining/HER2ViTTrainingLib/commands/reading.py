"""The commands for one case: `demo` and `read` read it, `segment` outlines its lesion."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from HER2ViTLib.dicom.selection import EVERYTHING, Selection
from HER2ViTLib.messages import InputError

from .options import (
    add_command,
    add_dicom_out,
    add_model_options,
    add_no_figures,
    add_out,
    add_selection,
    add_slice_count,
    listed_numbers,
    require_apart,
    say,
    say_written,
    selection_of,
)

if TYPE_CHECKING:
    import numpy as np

    from HER2ViTLib.reading.reading import Reading
    from HER2ViTLib.study.study import Study


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `demo`, `read` and `segment`."""
    _add_demo(commands)
    _add_read(commands)
    _add_segment(commands)


def _add_reading_options(command: argparse.ArgumentParser) -> None:
    add_model_options(command)
    command.add_argument("--scene", action="store_true", help="also write scene.mrb, to open in 3D Slicer")
    add_no_figures(command)


def _add_images(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "image",
        nargs="+",
        type=Path,
        metavar="IMAGE",
        help="a DICOM folder, a 4D file, or one file per phase in time order",
    )


def _add_phases(command: argparse.ArgumentParser) -> None:
    command.add_argument("--early-phase", type=int, metavar="N", help="index of the early phase, from 0")
    command.add_argument(
        "--pre-phase", metavar="N|none", help="index of the pre-contrast phase, from 0, or none"
    )


def _add_demo(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "demo", _demo, "Read the bundled simulated sample with the bundled demo models."
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("her2vit-demo"),
        metavar="DIR",
        help="folder for the results (default: %(default)s)",
    )
    _add_reading_options(command)


def _demo(options: argparse.Namespace) -> None:
    from HER2ViTLib.sample import demo_bundles, sample_phases, sample_roi

    _read_case(CaseInputs(sample_phases(), sample_roi(), demo_bundles(), case_id="sample"), options)


def _add_read(commands: argparse._SubParsersAction) -> None:
    command = add_command(commands, "read", _read, "Read the HER2 status of one lesion.")
    _add_images(command)
    command.add_argument(
        "--roi",
        type=Path,
        required=True,
        metavar="SEG",
        help="the lesion's outline: label map, .seg.nrrd, DICOM segmentation (SEG) or contours (RTSTRUCT)",
    )
    command.add_argument(
        "--segment",
        metavar="NAME|NUMBER",
        help="which segment (ROI of contours), when the file holds several",
    )
    command.add_argument(
        "--bundle",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="model bundle; once per task",
    )
    add_out(command)
    add_dicom_out(command, "also write the reading as DICOM objects, of DICOM images, into this folder")
    add_selection(command)
    _add_phases(command)
    command.add_argument("--slice", type=int, metavar="N", help="read this slice instead of the largest")
    add_slice_count(command, "read so many slices of a lesion (default: as many as each bundle says)")
    command.add_argument(
        "--slice-axis", choices="ijk", default="k", help="array axis to slice across (default: %(default)s)"
    )
    command.add_argument(
        "--case-id", metavar="ID", help="name of the case in the results (default: from the images' hash)"
    )
    command.add_argument(
        "--keep-names", action="store_true", help="show the inputs' file names in the results"
    )
    _add_reading_options(command)


def _read(options: argparse.Namespace) -> None:
    inputs = CaseInputs(
        images=options.image,
        roi=options.roi,
        bundles=options.bundle,
        segment=options.segment,
        selection=selection_of(options),
        early_phase=options.early_phase,
        pre_phase=options.pre_phase,
        slice_index=options.slice,
        slice_count=options.slice_count,
        slice_axis=options.slice_axis,
        case_id=options.case_id,
        keep_names=options.keep_names,
        dicom_out=options.dicom_out,
    )
    _read_case(inputs, options)


@dataclass(frozen=True)
class CaseInputs:
    """What `read` reads: the files of one case and the models, and what the user says of them."""

    images: Sequence[Path]
    roi: Path
    bundles: Sequence[Path]
    segment: str | None = None
    selection: Selection = EVERYTHING
    early_phase: int | None = None
    pre_phase: str | None = None
    slice_index: int | None = None
    slice_count: int | None = None
    slice_axis: str = "k"
    case_id: str | None = None
    keep_names: bool = False
    dicom_out: Path | None = None

    def names(self) -> dict[str, str]:
        """The files' names by role, where the user wants them shown."""
        from HER2ViTLib.study.study import image_roles

        if not self.keep_names:
            return {}
        roles = [*image_roles(len(self.images)), "roi"]
        return {role: path.name for role, path in zip(roles, [*self.images, self.roi])}


def _read_case(inputs: CaseInputs, options: argparse.Namespace) -> None:
    """Reads one case and writes its folders, as `--out` and the options of `_add_reading_options` say."""
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTLib.reading.folder import RESULT_FILES, write_reading
    from HER2ViTLib.reading.report import table_text

    require_own_folder(options.out, RESULT_FILES)
    writers = _scene_writers() if options.scene else {}
    if inputs.dicom_out is not None:
        _require_archived(inputs.images, options.out, inputs.dicom_out)
    reading, study, mask = _reading_of(inputs, options.device, options.attention)
    archived = [] if inputs.dicom_out is None else _archive(inputs, inputs.dicom_out, reading, study, mask)
    written = write_reading(
        reading, study, mask, options.out, figures=not options.no_figures, writers=writers
    )
    say(table_text(reading))
    say_written(options.out, written)
    if inputs.dicom_out is not None:
        say_written(inputs.dicom_out, archived)


def _require_archived(images: Sequence[Path], out: Path, dicom_out: Path) -> None:
    """What can be told before the case is read of why it cannot become DICOM objects; highdicom is imported,
    too.
    """
    from HER2ViTLib.archive.folder import DICOM_FILES
    from HER2ViTLib.archive.source import require_dicom
    from HER2ViTLib.files.output import require_own_folder

    require_dicom(images)
    require_apart(out, dicom_out)
    require_own_folder(dicom_out, DICOM_FILES)


def _archive(inputs: CaseInputs, folder: Path, reading: Reading, study: Study, mask: np.ndarray) -> list[str]:
    """Writes the reading's DICOM objects; returns the names of the files."""
    from HER2ViTLib.archive.folder import lesion_of, write_dicom
    from HER2ViTLib.lesion.origin import is_grown

    grown = is_grown(inputs.roi, inputs.segment)
    return write_dicom(reading, lesion_of(study, reading.early_phase.index, mask, grown=grown), folder)


def _scene_writers() -> dict[str, Callable]:
    """Imported before the case is read: that slicer-core is missing should not be told after all the work."""
    from HER2ViTLib.mrml.scene_file import write_reading_scene
    from HER2ViTLib.reading.folder import SCENE_FILE

    return {SCENE_FILE: write_reading_scene}


def _reading_of(inputs: CaseInputs, device: str, attention: str) -> tuple[Reading, Study, np.ndarray]:
    """The reading, with the study and the outline's mask (K, J, I) that its pictures show."""
    from HER2ViTLib.lesion.masks import read_roi
    from HER2ViTLib.model.bundle import load_bundle
    from HER2ViTLib.reading.reader import Reader
    from HER2ViTLib.reading.reading import Overrides
    from HER2ViTLib.study.loading import load_study

    study = load_study(inputs.images, inputs.selection)
    roi = read_roi(inputs.roi, study.geometry, inputs.segment, study.frame_of_reference)
    bundles = [load_bundle(folder) for folder in inputs.bundles]
    reader = Reader(bundles, device, attention, inputs.slice_count)
    study = study.with_slice_axis(inputs.slice_axis)
    roi = roi.with_slice_axis(inputs.slice_axis)
    names = inputs.names()
    reading = reader.read(
        study,
        roi,
        Overrides(inputs.early_phase, inputs.pre_phase, inputs.slice_index),
        case_id=inputs.case_id or names.get("image") or names.get("phase0"),
        input_names=names,
    )
    return reading, study, roi.mask


def _add_segment(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands, "segment", _segment, "Outline a lesion semi-automatically from a point inside it."
    )
    _add_images(command)
    command.add_argument(
        "--seed-point",
        type=listed_numbers(3),
        required=True,
        metavar="R,A,S",
        help="a point in the lesion, mm, as 3D Slicer shows it",
    )
    command.add_argument(
        "--box",
        type=listed_numbers(6),
        metavar="R1,R2,A1,A2,S1,S2",
        help="a box around the lesion, mm; the outline stays inside",
    )
    add_selection(command)
    _add_phases(command)
    command.add_argument(
        "--out", type=Path, required=True, metavar="FILE.seg.nrrd", help="the segmentation to write"
    )


def _segment(options: argparse.Namespace) -> None:
    from HER2ViTLib.imaging.volume import ras_to_lps
    from HER2ViTLib.lesion.masks import write_segmentation
    from HER2ViTLib.lesion.origin import GROWN
    from HER2ViTLib.lesion.outlining import outline
    from HER2ViTLib.study.loading import load_study
    from HER2ViTLib.study.phases import choose_phases

    if not options.out.name.endswith(".seg.nrrd"):
        raise InputError(
            f"{options.out}: must end in .seg.nrrd, so that 3D Slicer opens it as a segmentation"
        )
    study = load_study(options.image, selection_of(options))
    chosen = choose_phases(study, None, options.early_phase, options.pre_phase)
    seed = ras_to_lps(options.seed_point)
    box = None if options.box is None else (ras_to_lps(options.box[0::2]), ras_to_lps(options.box[1::2]))
    mask = outline(chosen.early_volume(study), chosen.pre_volume(study), seed, box)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_segmentation(mask, study.geometry, options.out, tags=GROWN)
    millilitres = mask.sum() * study.geometry.voxel_mm3 / 1000
    slices = mask.any(axis=(1, 2)).sum()
    for told in (*study.warnings, *chosen.warnings):
        say(f"Warning  {told.code}: {told.text}")
    say(
        f"early phase {chosen.early.index} ({chosen.early.rule}); outline "
        f"{millilitres:.2f} ml on {slices} slices"
    )
    say(f"wrote {options.out}")
