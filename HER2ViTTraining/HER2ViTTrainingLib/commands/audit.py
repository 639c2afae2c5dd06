"""The command `audit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from HER2ViTLib.messages import InputError

from .options import (
    add_command,
    add_device,
    add_no_figures,
    add_out,
    add_resamples,
    add_seed,
    progress_bar,
    record_run,
    say,
)

if TYPE_CHECKING:
    from HER2ViTTrainingLib.audit.measures import Measures


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `audit`."""
    command = add_command(
        commands,
        "audit",
        _audit,
        "What a score rests on: size, site, vendor; performance and calibration per subgroup.",
    )
    command.add_argument(
        "predictions",
        type=Path,
        metavar="PREDICTIONS",
        help="CSV: case_id, set, label, score; optional patient_id, fold, subgroup columns",
    )
    command.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="features.csv of the same cases: sizes, and embeddings where it has them",
    )
    command.add_argument(
        "--bundle",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="measure its embedding in the images of --manifest; once per task",
    )
    command.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="CSV of the same cases: subgroup columns, HER2 status; for --bundle images and outlines",
    )
    command.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column of either file; may be repeated (default: site, vendor, field_strength)",
    )
    add_no_figures(command)
    add_resamples(command)
    add_seed(command, "bootstrap and folds")
    add_device(command)
    add_out(command)


def _audit(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.audit.auditing import audit
    from HER2ViTTrainingLib.audit.figures import audit_pictures
    from HER2ViTTrainingLib.audit.inputs import read_audit
    from HER2ViTTrainingLib.audit.measures import read_measures
    from HER2ViTTrainingLib.audit.results import RESULT_FILES, audit_text, write_audit
    from HER2ViTTrainingLib.stats.resampling import Resampling

    require_own_folder(options.out, RESULT_FILES)
    if options.bundle and not options.manifest:
        raise InputError("--bundle: needs the images; name their manifest with --manifest")
    measures = [read_measures(options.features)] if options.features else []
    about = read_audit(options.predictions, options.manifest, options.by)
    if options.bundle:
        measures.append(_measured(options, about.case_ids))
    about = about.with_measures(measures)
    with progress_bar("audit", "classifier") as progress:
        found = audit(about, Resampling(options.resamples, options.seed), progress)
    pictures = {} if options.no_figures else audit_pictures(found)
    written = write_audit(found, options.out, pictures)
    say(audit_text(found))
    record_run(options, written)


def _measured(options: argparse.Namespace, case_ids: set[str]) -> Measures:
    """What the bundles give for the predicted cases of the manifest."""
    from HER2ViTTrainingLib.audit.measures import measures_of
    from HER2ViTTrainingLib.cohort.manifest import read_manifest
    from HER2ViTTrainingLib.repeatability.feature_table import feature_table
    from HER2ViTTrainingLib.repeatability.outlines import manifest_outlines

    drawn = manifest_outlines(read_manifest(options.manifest))
    ours = [outline for outline in drawn if outline.case_id in case_ids]
    if not ours:
        raise InputError(f"{options.manifest}: no predicted case has an outline in it; fill in column roi")
    with progress_bar("embeddings", "case") as progress:
        table = feature_table(ours, options.bundle, options.device, progress=progress)
    return measures_of(table.rows, {f"bundle {one.task.key}": one.sha256 for one in table.bundles})
