"""Faults of a table, collected: a line each, in the order of the rows."""

import copy
from pathlib import Path

import pytest

from HER2ViTLib.her2 import ihc_score
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.repeatability.ratings import read_ratings
from HER2ViTTrainingLib.tables.cells import Row
from HER2ViTTrainingLib.tables.faults import MAX_ALIKE, Faults
from support.csv_files import write_csv
from support.hostile import faults_of

TABLE = Path("t.csv")


def a_row(number, **cells):
    return Row(number, cells)


def noted(values, **options):
    """The lines of a fault in a cell of each of the rows 2, 3, ..."""
    faults = Faults(TABLE, **options)
    for number, value in enumerate(values, start=2):
        faults.note(a_row(number, age=value), "age", "is no age; correct it")
    return faults.lines()


def test_rows_with_the_same_value_share_a_line_that_names_them():
    assert noted(["x", "y", "x"]) == [
        "t.csv: rows 2, 4, column age, value 'x': is no age; correct it",
        "t.csv: row 3, column age, value 'y': is no age; correct it",
    ]
    assert noted(["x"] * 8) == [
        "t.csv: rows 2, 3, 4, 5, 6 and 3 more, column age, value 'x': is no age; correct it"
    ]


def test_many_values_with_the_same_fault_share_a_line():
    few = [f"x{n}" for n in range(MAX_ALIKE)]
    assert len(noted(few)) == MAX_ALIKE
    assert noted([*few, "y"]) == [
        "t.csv: rows 2, 3, 4, 5, 6 and 16 more, column age, value 'x0' and others: is no age; correct it"
    ]


def test_row_by_row_every_row_has_a_line():
    assert len(noted(["x"] * 50, row_by_row=True)) == 50


def test_faults_are_told_in_the_order_of_the_rows_with_the_cell_as_it_is_written():
    faults = Faults(TABLE)
    faults.raise_any()
    assert not faults
    faults.note_row(7, "2 values where the header has 3 columns; check its commas")
    faults.note(a_row(5, image="a;;b"), "image", "phase 1 is empty", part="a")
    faults.note(a_row(3, age="N/A"), "age", "is missing; fill it in")
    faults.note_row(9, "2 values where the header has 3 columns; check its commas")
    with pytest.raises(InputError) as error:
        faults.raise_any()
    assert error.value.faults == (
        "t.csv: row 3, column age, value 'N/A': is missing; fill it in",
        "t.csv: row 5, column image, value 'a': phase 1 is empty",
        "t.csv: rows 7, 9: 2 values where the header has 3 columns; check its commas",
    )


def test_a_check_gives_its_reason_and_the_collector_says_where():
    def refuse(text):
        raise InputError("no date: write year-month-day: 2024-05-01")

    faults = Faults(TABLE)
    row = a_row(2, ihc="4: +", date="May", age="N/A")
    assert faults.checked(row, "ihc", ihc_score, default="") == ""
    assert faults.checked(row, "date", refuse) is None
    assert faults.checked(row, "age", refuse, default=0) == 0, "what is missing is not checked"
    assert faults.lines() == [
        "t.csv: row 2, column ihc, value '4: +': not a score; use 0, 1+, 2+ or 3+",
        "t.csv: row 2, column date, value 'May': no date: write year-month-day: 2024-05-01",
    ]


def test_a_reason_survives_the_way_through_another_process():
    # copy takes an exception apart and puts it together as a worker process does
    with pytest.raises(InputError) as error:
        ihc_score("4+")
    sent = copy.copy(error.value)
    assert (sent.faults, sent.reason) == (error.value.faults, "not a score; use 0, 1+, 2+ or 3+")


def test_ratings_name_every_value_that_is_wrong(tmp_path):
    """Not the first of a column only."""
    rows = [
        {
            "case_id": case,
            "rater": rater,
            "area": {"A1a": "big", "B1c": "1,5", "B1a": "big"}.get(rater + case, 3),
        }
        for rater in ("A1", "B1")
        for case in "abc"
    ]
    lines = faults_of(read_ratings, [write_csv(tmp_path / "r.csv", rows)]).splitlines()
    assert [
        "rows 2, 5, column area, value 'big'" in lines[0],
        "row 7, column area, value '1,5'" in lines[1],
    ] == [
        True,
        True,
    ]
