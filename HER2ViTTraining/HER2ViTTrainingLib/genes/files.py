"""Reads the counts and groups of a gene analysis, and the text of its other files (`gene_sets`). All but the
groups may be compressed by gzip.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import os
import re
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from HER2ViTLib.files.inputs import read_file
from HER2ViTLib.files.output import csv_text
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.tables.faults import Faults
from HER2ViTTrainingLib.tables.table import read_table, require_no_separator_line

MIN_GROUP_CASES = 2
MAX_COUNT = 2**31 - 1
"""R's DESeq2 holds counts as 32-bit integers."""
MAX_TEXT_BYTES = 2 << 30
"""Counts of 60,000 genes in 6,000 cases."""

_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_SPREADSHEET_DATE = re.compile(
    rf"(\d{{1,2}}[-./ ]({_MONTH})[a-z]*"
    rf"|({_MONTH})[a-z]*[-./ ]\d{{1,4}}"
    r"|\d{1,4}[-./]\d{1,2}[-./]\d{1,4})([-./ ]\d{2,4})?",
    re.IGNORECASE,
)
"""What spreadsheets make of symbols such as MARCH1 and SEPT2: 1-Mar, Sep-02, 2001-03-01."""


@dataclass(frozen=True)
class Counts:
    """Raw read counts (genes, cases) int64 with the names of both."""

    path: Path
    genes: tuple[str, ...]
    cases: tuple[str, ...]
    values: np.ndarray
    sha256: str


@dataclass(frozen=True)
class Groups:
    """The cases of two groups: the reference, and the other one it is compared with."""

    path: Path
    of_case: Mapping[str, str]
    reference: str
    other: str
    sha256: str


# Text


@dataclass(frozen=True)
class TextFile:
    """The text of a file, and the SHA-256 of its bytes as they were read."""

    text: str
    sha256: str


def read_text(path: Path, what: str) -> TextFile:
    """The text of a UTF-8 file, compressed by gzip or not, whatever its name says. `what` says in a fault
    what to give instead.

    Raises `InputError` for a file that cannot be read or inflated, for other encodings, and for a
    spreadsheet's line about separators.
    """
    data = read_file(path, what)
    is_gzip = data.startswith(b"\x1f\x8b")
    try:
        text = (_unzipped(data, path) if is_gzip else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); check the file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text at byte {error.start}; give {what}") from error
    require_no_separator_line(text, path)
    return TextFile(text, hashlib.sha256(data).hexdigest())


def _unzipped(data: bytes, path: Path) -> bytes:
    """The text in a gzip file. Raises `InputError` when there is more of it than of any table: a small file
    can inflate without end.
    """
    with gzip.open(io.BytesIO(data)) as file:
        text = file.read(MAX_TEXT_BYTES + 1)
    if len(text) > MAX_TEXT_BYTES:
        raise InputError(
            f"{path}: holds more than {MAX_TEXT_BYTES} bytes of text; leave out rows or cases that are"
            " not needed"
        )
    return text


def _some(names: Collection[str], shown: int = 5) -> str:
    """`'A', 'B' and 7 more`."""
    listed = ", ".join(map(repr, list(names)[:shown]))
    more = len(names) - shown
    return f"{listed} and {more} more" if more > 0 else listed


# Counts


def read_counts(path: str | os.PathLike) -> Counts:
    """Raw counts: rows genes, the first column the gene, the others a case each; separated by commas or tabs.
    Whole numbers may be written as 12.0.

    Raises `InputError` with all faults: values that are missing, negative or no whole number (TPM, FPKM),
    genes or cases that are there twice or have no name, gene symbols that a spreadsheet turned into dates
    (Ziemann et al., Genome Biology 2016;17:177), cases without any read.
    """
    path = Path(path)
    file = read_text(path, "a table of raw counts")
    separator = "\t" if "\t" in file.text.partition("\n")[0] else ","
    header, first = _first_rows(file.text, separator, path)
    _require_header(header, first, path)
    frame = _cells(file.text, separator, len(header), path)
    cases = header[1:]
    genes = [csv_text(name.strip()) for name in frame[0]]
    cells = frame.iloc[:, 1:]
    values = _numbers(cells)
    faults = [*_gene_faults(genes, path), *_count_faults(cells, values, genes, cases, path)]
    if not faults:
        faults = _empty_case_faults(values, cases, path)
    if faults:
        raise InputError(faults)
    return Counts(path, tuple(genes), tuple(cases), values.astype(np.int64), file.sha256)


def _cells(text: str, separator: str, columns: int, path: Path) -> pd.DataFrame:
    """The cells of all rows but the header. Text stays text (na_filter): an empty cell must be told from a
    zero, and named as it is.
    """
    try:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            skiprows=1,
            names=range(columns),
            index_col=False,
            na_filter=False,
            dtype={0: str},
            low_memory=False,
            skip_blank_lines=True,
        )
    except pd.errors.ParserError as error:
        raise InputError(
            f"{path}: is no table ({str(error).strip()}); check its separators and quotes"
        ) from error


def _first_rows(text: str, separator: str, path: Path) -> tuple[list[str], list[str]]:
    """The header and the row after it."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        for row in itertools.islice(reader, 2):
            rows.append([csv_text(cell.strip()) for cell in row])
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.line_num}: is no line of a table ({error}); check its separators and"
            " quotes"
        ) from error
    if len(rows) < 2:
        raise InputError(f"{path}: holds no gene; give a table with a header and one row a gene")
    return rows[0], rows[1]


def _require_header(header: Sequence[str], first: Sequence[str], path: Path) -> None:
    if len(header) < 2:
        raise InputError(
            f"{path}: row 1: has one column only; separate the gene and the cases with commas or tabs"
        )
    if len(first) != len(header):
        raise InputError(
            f"{path}: row 1: {len(header)} names where row 2 has {len(first)} values; name every column, the"
            " gene's too"
        )
    cases = header[1:]
    twice = [case for case, times in Counter(cases).items() if times > 1]
    faults = []
    if twice:
        faults.append(f"{path}: row 1: case {_some(twice)} is there more than once; keep one column a case")
    if "" in cases:
        faults.append(f"{path}: row 1: column {cases.index('') + 2} has no name; name the case")
    if faults:
        raise InputError(faults)


def _gene_faults(genes: Sequence[str], path: Path) -> list[str]:
    dates = [gene for gene in dict.fromkeys(genes) if _SPREADSHEET_DATE.fullmatch(gene)]
    twice = [gene for gene, times in Counter(genes).items() if times > 1 and gene and gene not in dates]
    faults = []
    if "" in genes:
        faults.append(
            f"{path}: row {genes.index('') + 2}: the gene has no name ({genes.count('')} such rows); name it"
            " or remove the row"
        )
    if dates:
        faults.append(
            f"{path}: gene {_some(dates)}: a spreadsheet made dates of gene symbols (MARCH1 became 1-Mar); "
            "take the symbols from the original table, or remove the rows"
        )
    if twice:
        faults.append(
            f"{path}: gene {_some(twice)} is there more than once; add the counts of its rows up, or keep"
            " one row"
        )
    return faults


def _numbers(cells: pd.DataFrame) -> np.ndarray:
    """The counts (genes, cases) float64, NaN where a cell holds no number."""
    return np.column_stack(
        [pd.to_numeric(cells[column], errors="coerce").to_numpy(float) for column in cells]
    )


def _count_faults(
    cells: pd.DataFrame, values: np.ndarray, genes: Sequence[str], cases: Sequence[str], path: Path
) -> list[str]:
    """A line per kind of fault that names the first such value; `values` are the numbers of `cells`."""
    finite = np.isfinite(values)
    kinds = (
        (~finite, "is no number", "give the table of raw counts, 0 where a gene has no read"),
        (values < 0, "is negative", "give the table of raw counts; log values and differences are none"),
        (
            finite & (values % 1 != 0),
            "is no whole number",
            "give raw counts, not TPM or FPKM; round expected counts (RSEM, Salmon)",
        ),
        (values > MAX_COUNT, "is too large for a count of reads", "give the table of raw counts"),
    )
    faults = []
    for wrong, what, cure in kinds:
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            value = str(cells.iat[row, column])
            which = f"row {row + 2} (gene {genes[row]}), column {cases[column]}, value {value!r}"
            faults.append(f"{path}: {which}: {what} ({wrong.sum()} such values); {cure}")
    return faults


def _empty_case_faults(values: np.ndarray, cases: Sequence[str], path: Path) -> list[str]:
    return [
        f"{path}: column {case}: every count is 0, so the case has no expression; leave the case out"
        for case, total in zip(cases, values.sum(axis=0))
        if not total
    ]


# Groups


def read_groups(path: str | os.PathLike, counts: Counts, reference: str) -> Groups:
    """Two groups of cases (`case_id, group`), of which `reference` names the one to compare with. Cases of
    the counts that are in no group are fine.

    Raises `InputError` with all faults: other than two groups, a group of one, a case twice, without group or
    without counts, no such reference.
    """
    path = Path(path)
    table = read_table(path)
    table.require(("case_id", "group"))
    times = Counter(row["case_id"] for row in table.rows)
    faults = Faults(path)
    for row in table.rows:
        for column in ("case_id", "group"):
            if not row[column]:
                faults.note(row, column, "is missing; fill it in or remove the row")
        if row["case_id"] and times[row["case_id"]] > 1:
            faults.note(row, "case_id", f"is there {times[row['case_id']]} times; keep one row a case")
    faults.raise_any()
    of_case = {row["case_id"]: row["group"] for row in table.rows}
    _require_counted(of_case, path, counts)
    sizes = Counter(of_case.values())
    if len(sizes) != 2:
        found = ", ".join(f"{name} ({n})" for name, n in sorted(sizes.items())) or "none"
        raise InputError(
            f"{path}: column group holds {len(sizes)} groups: {found}; keep the rows of the two to compare"
        )
    if reference not in sizes:
        raise InputError(
            f"{path}: no group is {reference!r}, the reference; give --reference"
            f" {' or --reference '.join(sorted(sizes))}"
        )
    small = [
        f"{path}: group {name} has {n} case; at least {MIN_GROUP_CASES} are needed"
        for name, n in sizes.items()
        if n < MIN_GROUP_CASES
    ]
    if small:
        raise InputError(small)
    (other,) = sizes.keys() - {reference}
    return Groups(path, of_case, reference, other, table.sha256)


def _require_counted(of_case: Mapping[str, str], path: Path, counts: Counts) -> None:
    missing = [case for case in of_case if case not in counts.cases]
    if missing:
        as_in_r = {re.sub(r"[^A-Za-z0-9.]", ".", case) for case in missing}
        changed = as_in_r & set(counts.cases)
        cure = (
            "R changed the names; write the table with check.names = FALSE"
            if changed
            else "remove these rows, or correct the names"
        )
        raise InputError(
            f"{path}: case_id {_some(missing)}: {len(missing)} of {len(of_case)} cases are no column of"
            f" {counts.path}, whose columns are {_some(counts.cases, 2)}; {cure}"
        )
