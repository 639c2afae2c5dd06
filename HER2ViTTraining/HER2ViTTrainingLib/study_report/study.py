"""The results of a study: found by the files the commands write, and held against each other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from HER2ViTLib.files.hashes import file_sha256
from HER2ViTLib.files.inputs import parse_json, read_file
from HER2ViTLib.messages import InputError

from .record import Record, read_record, recorded_inputs

MAX_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class Kind:
    """A section of the report: the command whose results it shows, and the file they are known by. `page`:
    the page among them, empty where the section is drawn from `file`.
    """

    key: str
    title: str
    command: str
    file: str
    page: str = ""


KINDS = (
    Kind("cohort", "Cohort", "cohort", "flow.json"),
    Kind("table1", "Table 1: characteristics", "table1", "table1.csv", "table1.html"),
    Kind("training", "Training", "train", "history.csv"),
    Kind("table2", "Table 2: performance", "evaluate", "metrics.json", "table2.html"),
    Kind("batch", "Readings", "batch", "readings.csv"),
    Kind("call", "The two-step call", "evaluate3", "three_class.json"),
    Kind("agreement", "Agreement of readers", "agreement", "icc.csv", "report.html"),
    Kind("audit", "Audit", "audit", "audit.json", "audit.html"),
    Kind("adaptation", "Adaptation", "adapt", "adaptation.json", "adaptation.html"),
    Kind("sanity", "Sanity of the attention maps", "sanity", "sanity.json", "sanity.html"),
    Kind("prognosis", "Prognosis", "prognosis", "logrank.json", "table3.html"),
    Kind("genes", "Radiogenomics", "genes", "genes.json"),
)
"""In the document's order."""


@dataclass(frozen=True)
class Result:
    """What one run of a command has written into `folder`; `name` is the folder's path in the study."""

    kind: Kind
    folder: Path
    name: str
    record: Record | None

    @property
    def inputs(self) -> Sequence[tuple[str, str]]:
        """Role and SHA-256 of what it was made from; those its own file names where there is no record."""
        if self.record is not None:
            return self.record.inputs
        if not self.kind.file.endswith(".json"):
            return ()
        try:
            return recorded_inputs(self.content)
        except (LookupError, TypeError) as error:
            raise InputError(
                f"{self.folder / self.kind.file}: does not name its inputs; run her2vit {self.kind.command}"
                " again"
            ) from error

    @cached_property
    def content(self) -> Any:
        """What its JSON file holds."""
        return self.json(self.kind.file)

    def json(self, name: str) -> Any:
        """What a JSON file of the folder holds. Raises `InputError` for a damaged one."""
        path = self.folder / name
        try:
            return parse_json(read_file(path, "a result of her2vit", MAX_JSON_BYTES))
        except ValueError as error:
            raise InputError(f"{path}: is no JSON; run her2vit {self.kind.command} again") from error

    @cached_property
    def outputs(self) -> dict[str, str]:
        """SHA-256 now, by name, of each file that the record says was written."""
        names = self.record.outputs if self.record else ()
        present = [name for name in names if (self.folder / name).is_file()]
        return {name: file_sha256(self.folder / name) for name in present}

    def pictures(self) -> dict[str, bytes]:
        """The PNG files of the folder by name."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.png"))}


def find_results(study: Path) -> list[Result]:
    """The results below a folder, in the document's order. Raises `InputError` where there are none."""
    if not study.is_dir():
        raise InputError(f"{study}: is no folder; give the folder that holds the results of the commands")
    found = list(_results(study))
    if not found:
        raise InputError(f"{study}: holds no results of her2vit; give the folder of the commands' --out")
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.name))


def _results(study: Path) -> Iterator[Result]:
    for place, folders, files in os.walk(study):
        folder = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        record = read_record(folder)
        kind = _kind(record, files)
        if kind is None:
            continue
        yield Result(kind, folder, folder.relative_to(study).as_posix(), record)
        # What lies below belongs to it: a fold's model, an adapted bundle, a case of a batch.
        if folder != study:
            folders.clear()


def _kind(record: Record | None, files: Sequence[str]) -> Kind | None:
    for kind in KINDS:
        if record.command == kind.command if record else kind.file in files:
            return kind
    return None


MADE_BY = {
    ("table2", "predictions"): ("training", "the predictions"),
    ("audit", "predictions"): ("training", "the predictions"),
    ("call", "readings"): ("batch", "the readings"),
    ("training", "splits"): ("cohort", "the split"),
}
"""Inputs that a study has made itself, if it has made any of their kind: who made them, and their name."""


def require_fitting(results: Sequence[Result]) -> None:
    """Raises `InputError`, a line each, for results that were changed after they were written or made from
    something else than the study's own.
    """
    faults = []
    for one in results:
        faults += _changes(one)
        faults += _strangers(one, results)
    if faults:
        raise InputError(faults)


def _changes(one: Result) -> list[str]:
    recorded = one.record.outputs if one.record else {}
    again = f"run her2vit {one.kind.command} again"
    return [
        f"{one.folder / name}: is not the file her2vit {one.kind.command} wrote ({sha256[:12]}...); {again}"
        for name, sha256 in recorded.items()
        if one.outputs.get(name) != sha256
    ]


def _strangers(one: Result, results: Sequence[Result]) -> list[str]:
    faults = []
    for role, sha256 in one.inputs:
        maker, what = MADE_BY.get((one.kind.key, role), ("", ""))
        makers = [other for other in results if other.kind.key == maker and other.outputs]
        if makers and not any(sha256 in other.outputs.values() for other in makers):
            faults.append(
                f"{one.folder / one.kind.file}: was made from {role} {sha256[:12]}..., not from {what} of"
                f" {' or '.join(str(other.folder) for other in makers)}; run her2vit {one.kind.command} again"
                " on those, or move it out of the study"
            )
    return faults


def makers_of(results: Sequence[Result]) -> dict[str, Result]:
    """Which result each hash was written by, as far as the study's records tell."""
    found = {}
    for one in results:
        found.update(dict.fromkeys(one.outputs.values(), one))
    return found
