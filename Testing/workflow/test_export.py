"""A reading out of the panel: the row in the user's CSV, the report without matplotlib."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from HER2ViTLib.files.output import csv_bytes
from HER2ViTLib.messages import InputError
from HER2ViTLib.reading.readings_table import reading_row, readings_columns
from HER2ViTLib.workflow.export import ADDED, REPLACED, UNCHANGED, CaseThereError, append_row

TASK = {
    "score_raw": 0.7,
    "score": 0.75,
    "threshold": 0.5,
    "slice": 4,
    "area_mm2": 310.25,
    "attention": {
        "method": "rollout",
        "entropy": 0.5,
        "share_in_roi": 0.4,
        "foci": 1,
        "focal_area_mm2": 12.0,
    },
    "bundle_sha256": "0" * 64,
}
READING = {
    "case_id": "case-0123",
    "call": "low",
    "probabilities": {"zero": 0.25, "low": 0.5, "positive": 0.25},
    "slice": 4,
    "early_phase": {"index": 1, "rule": "time"},
    "tasks": {"task1": TASK, "task2": TASK},
    "warnings": [{"code": "multifocal", "text": "two"}],
    "versions": {"her2vit": "0.1.0"},
    "notice": "Research use only, not for clinical decisions.",
}
SEVERAL = {**READING, "tasks": {"task1": {**TASK, "slices": [3, 4], "spread": 0.1}, "task2": TASK}}
ANOTHER = {**READING, "call": "positive"}


def batch_table(*readings):
    """The table as a batch writes it."""
    rows = [reading_row(reading) for reading in readings]
    return csv_bytes(readings_columns(rows), rows)


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "readings.csv"


def test_a_new_file_is_the_one_a_batch_would_write(path):
    assert append_row(path, READING) == ADDED
    assert path.read_bytes() == batch_table(READING)


def test_the_next_case_goes_below(path):
    append_row(path, READING, "A1")
    assert append_row(path, ANOTHER, " A2 ") == ADDED
    assert [(row["case_id"], row["call"]) for row in rows_of(path)] == [("A1", "low"), ("A2", "positive")]


def test_other_rows_stay_as_they_are_to_the_byte_with_mark_line_ends_and_quotes(path):
    header, row = batch_table(READING).decode().splitlines()
    odd = row.replace("case-0123", '"Anna ""B"", ä\r\nC"').replace("0.750000", "0.75")
    before = f"\ufeff{header}\r\n{odd}".encode()
    path.write_bytes(before)
    assert append_row(path, ANOTHER, "next") == ADDED
    after = path.read_bytes()
    assert after.startswith(before + b"\r\nnext,positive,")
    assert after.endswith(b"\r\n")
    assert after.count(b"\xef\xbb\xbf") == 1
    assert [row["case_id"] for row in rows_of(path)] == ['Anna "B", ä\r\nC', "next"]


def test_the_same_reading_again_changes_nothing(path):
    append_row(path, READING)
    before = path.stat()
    assert append_row(path, READING) == UNCHANGED
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_the_same_case_read_otherwise_is_replaced_only_when_told(path):
    for name in ("first", "second", "third"):
        append_row(path, READING, name)
    before = path.read_bytes()
    with pytest.raises(CaseThereError, match="row 3 is of the case 'second'"):
        append_row(path, ANOTHER, "second")
    assert path.read_bytes() == before
    assert append_row(path, ANOTHER, "second", replace=True) == REPLACED
    assert [row["call"] for row in rows_of(path)] == ["low", "positive", "low"]
    lines = before.splitlines(keepends=True)
    after = path.read_bytes().splitlines(keepends=True)
    assert [after[n] for n in (0, 1, 3)] == [lines[n] for n in (0, 1, 3)]


def test_a_table_with_columns_of_several_slices_takes_a_reading_of_one(path):
    path.write_bytes(batch_table(SEVERAL))
    append_row(path, READING, "one slice")
    assert [row["task1_slices"] for row in rows_of(path)] == ["3;4", ""]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"case_id,age\nA1,52\n", "column 2 is 'age', it must be 'call'"),
        (
            batch_table(READING).replace(b",notice\n", b",notice,mine\n"),
            "column 33 is 'mine', it must be none",
        ),
        (batch_table(READING).replace(b",her2vit,notice", b",her2vit"), "is none, it must be 'notice'"),
        (batch_table(READING).replace(b",", b";"), "separated by semicolons"),
        (b"case_id,call\nA1,\xe4\n", "is not UTF-8"),
        (batch_table(READING) + b'"open,', "row 3 has a quote that does not end"),
        (b"case_id,call\rA1,low\r", "end as on old Macs"),
    ],
)
def test_another_file_is_refused_in_one_line_and_left_alone(path, content, told):
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        append_row(path, READING)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == ["readings.csv"]


def test_a_reading_that_the_table_has_no_column_for_is_refused(path):
    path.write_bytes(batch_table(READING))
    with pytest.raises(InputError, match="'task2_score', it must be 'task1_slices'"):
        append_row(path, SEVERAL, "several")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\r\n"])
def test_an_empty_file_is_a_new_one(path, content):
    path.write_bytes(content)
    append_row(path, READING)
    assert [row["call"] for row in rows_of(path)] == ["low"]


@pytest.mark.parametrize("name", ["two\nlines", "x" * 201])
def test_a_name_that_is_none_is_refused(path, name):
    with pytest.raises(InputError, match="case name"):
        append_row(path, READING, name)
    assert not path.exists()


def test_a_name_that_a_spreadsheet_would_run_is_a_name(path):
    append_row(path, READING, "=1+1")
    assert append_row(path, READING, "=1+1") == UNCHANGED
    assert rows_of(path)[0]["case_id"] == "'=1+1"


def test_places_where_nothing_can_be_written_and_damaged_readings_are_one_line(path, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        append_row(tmp_path / "nowhere" / "readings.csv", READING)
    with pytest.raises(InputError, match="is a folder"):
        append_row(tmp_path, READING)
    with pytest.raises(InputError, match="damaged"):
        append_row(path, {**READING, "tasks": {}})


def test_a_link_stays_a_link(path, tmp_path):
    append_row(path, READING, "A1")
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    append_row(link, READING, "A2")
    assert link.is_symlink()
    assert len(rows_of(path)) == 2


WITHOUT_MATPLOTLIB = """
import json, sys
sys.modules["matplotlib"] = None  # importing it fails
from HER2ViTLib.lesion.masks import read_roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.sample import demo_bundles, sample_phases, sample_roi
from HER2ViTLib.study.loading import load_study
from HER2ViTLib.workflow.export import report_page

study = load_study(sample_phases())
roi = read_roi(sample_roi(), study.geometry)
reading = Reader([load_bundle(folder) for folder in demo_bundles()], "cpu").read(study, roi)
page = report_page(reading, study, roi.mask).decode()
print(json.dumps({"call": reading.call, "page": page}))
"""


def test_the_report_comes_without_matplotlib_with_all_its_pictures():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MATPLOTLIB], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["page"].count("data:image/png;base64,") == 3
    assert f"HER2 call: <strong>{found['call']}</strong>" in found["page"]
    assert "size: A4" in found["page"]
    assert "Research use only" in found["page"]
