"""The command that compares gene expression: `genes`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_command, add_no_figures, add_out, record_run, say


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Adds `genes`."""
    _add_genes(commands)


def _add_genes(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "genes",
        _genes,
        "Compare gene expression between two groups: DESeq2, over-representation, hub genes.",
    )
    command.add_argument(
        "counts",
        type=Path,
        metavar="COUNTS",
        help="raw RNA counts, CSV or TSV (gzip too): rows genes, columns cases",
    )
    command.add_argument(
        "--groups",
        type=Path,
        required=True,
        metavar="CSV",
        help="case_id and group of the cases to compare; two groups",
    )
    command.add_argument(
        "--reference", default="low", metavar="LABEL", help="the group to compare with (default: %(default)s)"
    )
    command.add_argument(
        "--gmt",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="gene sets in GMT format; may be repeated",
    )
    command.add_argument(
        "--ppi",
        type=Path,
        metavar="FILE",
        help="protein interactions: header, then two gene symbols a line (TSV, gzip too)",
    )
    command.add_argument(
        "--alpha",
        type=float,
        default=0.05,
        metavar="P",
        help="adjusted p below which a gene counts (default: %(default)s)",
    )
    command.add_argument(
        "--lfc",
        type=float,
        default=1.0,
        metavar="X",
        help="|log2 fold change| above which a gene counts (default: %(default)s)",
    )
    add_out(command)
    add_no_figures(command)


def _genes(options: argparse.Namespace) -> None:
    from HER2ViTLib.files.output import require_own_folder
    from HER2ViTTrainingLib.genes.analysis import analyse
    from HER2ViTTrainingLib.genes.expression import Thresholds
    from HER2ViTTrainingLib.genes.figures import radiogenomics_pictures
    from HER2ViTTrainingLib.genes.results import RESULT_FILES, genes_text, write_analysis

    require_own_folder(options.out, RESULT_FILES)
    limits = Thresholds(options.alpha, options.lfc)
    analysis = analyse(options.counts, options.groups, options.reference, options.gmt, options.ppi, limits)
    pictures = {} if options.no_figures else radiogenomics_pictures(analysis)
    written = write_analysis(analysis, options.out, pictures)
    say(genes_text(analysis))
    record_run(options, written)
