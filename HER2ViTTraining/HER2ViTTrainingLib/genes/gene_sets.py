"""Reads what is known of the genes: gene sets (GMT) and protein interactions."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np

from HER2ViTLib.messages import InputError

from .files import Counts, read_text

LAYOUT_LINES = 50_000
LAYOUT_COLUMNS = 16
"""How much of an edge list is looked at to see where its genes are; BioGRID has them in columns 8 and 9."""
_KINDS = {
    "Ensembl identifiers": r"ENS[A-Z]*[GTP]\d{11}(\.\d+)?",
    "STRING identifiers": r"\d+\.ENS[A-Z]*P\d+",
    "Entrez numbers": r"\d+",
}
"""What the identifiers of genes look like that are no symbols."""


@dataclass(frozen=True)
class GeneSets:
    """Gene sets of one GMT file by term; `source` is the file's name without its endings."""

    path: Path
    source: str
    genes_of: Mapping[str, frozenset[str]]
    sha256: str

    @property
    def annotated(self) -> frozenset[str]:
        """All genes of the sets."""
        return frozenset().union(*self.genes_of.values())


@dataclass(frozen=True)
class Interactions:
    """Protein interactions as an undirected simple graph of gene symbols."""

    path: Path
    graph: nx.Graph
    sha256: str


# Gene sets


def read_gene_sets(path: str | os.PathLike, counts: Counts) -> GeneSets:
    """Gene sets of a GMT file: a line a term, tabs between term, description and genes. A term that is there
    twice is one set, as in clusterProfiler.

    Raises `InputError` for a file that is none, for lines that would lose genes (several in a cell, or the
    first where the description belongs), and when none of its genes is counted (other identifiers).
    """
    path = Path(path)
    counted = set(counts.genes)
    file = read_text(path, "gene sets in GMT format")
    descriptions: list[str] = []
    found: dict[str, set[str]] = {}
    for number, line in enumerate(file.text.splitlines(), start=1):
        if not line.strip():
            continue
        term, *rest = line.split("\t")
        if len(rest) < 2 or not term.strip():
            raise InputError(
                f"{path}: line {number}, value {line[:60]!r}: is no gene set; GMT has term, description,"
                " genes with tabs between"
            )
        _require_single_genes(rest[1:], counted, f"{path}: line {number}")
        descriptions.append(rest[0].strip())
        # Enrichr appends a weight to some genes: "GENE,1.0".
        found.setdefault(term.strip(), set()).update(gene.partition(",")[0].strip() for gene in rest[1:])
    if sum(text in counted for text in descriptions) > len(descriptions) / 2:
        cure = "GMT has a description there, which may be empty: put a tab after each term"
        raise InputError(f"{path}: column 2 holds genes; {cure}")
    genes_of = {term: frozenset(genes - {""}) for term, genes in found.items()}
    sets = GeneSets(path, _stem(path), genes_of, file.sha256)
    _require_known(sets.annotated, path, counts)
    return sets


def _require_single_genes(cells: Sequence[str], counted: Set[str], where: str) -> None:
    """A weight behind a gene is fine; a list of genes in one cell is not."""
    for cell in cells:
        if cell.strip() not in counted:
            _, *further = re.split(r"[\s,;|/]+", cell.strip())
            if not counted.isdisjoint(further):
                what = "several genes in one cell; GMT has a tab between two genes"
                raise InputError(f"{where}, value {cell[:60]!r}: {what}")


def _stem(path: Path) -> str:
    return re.sub(r"\.gmt(\.gz)?$", "", path.name, flags=re.IGNORECASE)


# Interactions


def read_interactions(path: str | os.PathLike, counts: Counts) -> Interactions:
    """Interactions of an edge list with a header, two symbols in the first two columns (tabs, commas or
    blanks between). Further columns, such as a score, are not used: every edge of the file counts. Direction,
    repetition and self-interaction are dropped.

    Raises `InputError` for a file that is none, for one that has its genes elsewhere (SIF, BioGRID, an edge
    table of Cytoscape), and when none of its genes is counted (other identifiers).
    """
    path = Path(path)
    file = read_text(path, "a list of interactions")
    lines = [line for line in file.text.splitlines() if line.strip()]
    separator = next((mark for mark in ("\t", ",") if lines and mark in lines[0]), None)
    rows = [_first_cells(line, separator, 2) for line in lines]
    short = next((n for n, row in enumerate(rows, start=1) if len(row) < 2 or not all(row)), None)
    if short or len(rows) < 2:
        raise InputError(
            f"{path}: line {short or len(rows)}: holds no interaction; give a header, then two gene symbols a"
            " line, tabs between them"
        )
    sample = lines[:: max(1, len(lines) // LAYOUT_LINES)]
    _require_genes_first([_first_cells(line, separator, LAYOUT_COLUMNS) for line in sample], path, counts)
    if not set(counts.genes).isdisjoint(rows[0]):
        raise InputError(
            f"{path}: line 1, value {' '.join(rows[0])!r}: are genes, no header; put a header line before"
            " them"
        )
    graph = nx.Graph()
    graph.add_edges_from((first, second) for first, second in rows[1:] if first != second)
    _require_known(graph.nodes, path, counts)
    return Interactions(path, graph, file.sha256)


def _first_cells(line: str, separator: str | None, count: int) -> list[str]:
    """At most `count` cells from the left, without quotes; a separator of None is any white space."""
    return [cell.strip().strip('"') for cell in line.split(separator, count)[:count]]


def _require_genes_first(rows: Sequence[Sequence[str]], path: Path, counts: Counts) -> None:
    """Raises `InputError` where other columns than the first two hold two counted genes in more than twice as
    many rows, or one cell both.
    """
    counted = set(counts.genes)
    columns = range(max(map(len, rows)))
    is_gene = np.zeros((len(columns), len(rows)), bool)
    for number, row in enumerate(rows):
        is_gene[: len(row), number] = [cell in counted for cell in row]
    both = {(a, b): is_gene[a] & is_gene[b] for a, b in itertools.combinations(columns, 2)}
    a, b = max(both, key=lambda pair: both[pair].sum())
    cure = "give a header, then the two genes in columns 1 and 2"
    if both[a, b].sum() > 2 * both[0, 1].sum():
        row = rows[both[a, b].argmax()]
        layout = f", a relation {row[1]!r} between them (SIF)" if (a, b) == (0, 2) else ""
        genes = f"has its genes in columns {a + 1} and {b + 1} ({row[a]!r}, {row[b]!r}){layout}"
        raise InputError(f"{path}: {genes}; {cure}")
    edge = next((cell for cell in rows[-1] if re.fullmatch(r"\S+ \([^()]*\) \S+", cell)), None)
    if edge and not both[0, 1].any():
        raise InputError(f"{path}: has both genes in one cell, {edge!r} (Cytoscape's edge table); {cure}")


# Identifiers


def _require_known(genes: Collection[str], path: Path, counts: Counts) -> None:
    """Raises `InputError` when none of the genes is counted: upper and lower case, or other identifiers."""
    if not set(counts.genes).isdisjoint(genes):
        return
    spelt = {gene.upper(): gene for gene in counts.genes}
    alike = next((gene for gene in sorted(genes) if gene.upper() in spelt), None)
    if alike:
        both = f"{alike!r} there, {spelt[alike.upper()]!r} in {counts.path}"
        what = f"its genes differ from those counted in upper and lower case ({both})"
        raise InputError(f"{path}: {what}; spell them alike")
    kinds = f"{path} names {_identifier_kind(genes)}, {counts.path} {_identifier_kind(counts.genes)}"
    raise InputError(
        f"{path}: none of its {len(genes)} genes is in {counts.path}; {kinds}: map one to the other's"
        " identifiers first"
    )


def _identifier_kind(genes: Collection[str]) -> str:
    """What most of the genes look like, with an example: symbols, Ensembl identifiers or Entrez numbers."""
    genes = sorted(genes)
    for kind, pattern in _KINDS.items():
        matching = [gene for gene in genes if re.fullmatch(pattern, gene)]
        if len(matching) > len(genes) / 2:
            return f"{kind} ({matching[0]!r})"
    return f"symbols ({genes[len(genes) // 2]!r})" if genes else "none"
