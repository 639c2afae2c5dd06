"""One rule for the cells of all tables: what is missing, and what is a number."""

import json

import numpy as np
import pytest

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.cohort.manifest import read_cases as read_manifest_cases
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.evaluation.predictions import read_predictions
from HER2ViTTrainingLib.evaluation.three_class import match
from HER2ViTTrainingLib.genes.files import read_counts, read_groups
from HER2ViTTrainingLib.repeatability.outlines import manifest_outlines
from HER2ViTTrainingLib.repeatability.ratings import read_ratings
from HER2ViTTrainingLib.tables.case_table import read_cases
from HER2ViTTrainingLib.tables.cells import as_number, is_missing
from support.csv_files import write_csv
from support.hostile import faults_of

MISSING = ("", " ", "NA", "na", "N/A", "n/a", "NaN", "nan", "#N/A", "#NULL!", "\u00a0NA ")
NUMBERS = {
    "0": 0.0,
    "-0.5": -0.5,
    "+5": 5.0,
    ".5": 0.5,
    "5.": 5.0,
    "007": 7.0,
    "1e3": 1000.0,
    "1E-2": 0.01,
    " 7 ": 7.0,
}
TEXTS = (
    *(
        "1,5",
        "1,234",
        "1.234,5",
        "1 000",
        "1_000",
        "1'000",
        "0x1F",
        "1e",
        "e3",
        ".",
        "--5",
        "5%",
        "5 cm",
        "G1",
    ),
    *("Inf", "-Inf", "inf", "infinity", "1e999", "\u0661\u0662", "\uff11\uff12", "\u00b2", "true"),
    *("#DIV/0!", "#VALUE!", "none", "unknown", "-"),
)


@pytest.mark.parametrize("text", MISSING)
def test_what_is_missing(text):
    assert is_missing(text)
    assert np.isnan(as_number(text))


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS])
def test_all_else_says_something(text):
    assert not is_missing(text)


def test_what_is_a_number_and_what_is_not():
    assert {text: as_number(text) for text in NUMBERS} == NUMBERS
    assert [text for text in TEXTS if not np.isnan(as_number(text))] == []


def test_a_long_cell_of_digits_is_no_trap():
    """Digits without end must not make the pattern try every way to divide them."""
    assert np.isnan(as_number("1" * 100_000 + "x"))


# Each table takes what is missing where it may be, and says so where it may not


@pytest.fixture
def manifest(tmp_path):
    """A function that writes a manifest of one case, with some of its cells replaced."""
    for name in ("image.nrrd", "roi.nrrd"):
        (tmp_path / name).touch()

    def write(**cells):
        row = {"case_id": "a", "image": "image.nrrd", "roi": "roi.nrrd", "ihc": "1+", "ish": "", **cells}
        return write_csv(tmp_path / "manifest.csv", [row])

    return write


OPTIONAL = {
    *(
        "ish",
        "her2_status",
        "cohort",
        "role",
        "patient_id",
        "laterality",
        "segment",
        "early_phase",
        "exclude",
    ),
    *("roi_a2", "roi_b", "series", "image_type", "age", "grade", "tumor_size_cm", "positive_ln", "rfs_event"),
}


@pytest.mark.parametrize("text", MISSING)
def test_a_manifest_may_lack_what_is_optional(manifest, text):
    """As R writes it: NA in every cell that is empty."""
    cohort = read_manifest(manifest(**dict.fromkeys(OPTIONAL, text)))
    (case,) = cohort.cases
    assert case.included
    assert (case.patient_id, case.cohort, case.role) == ("a", "development", "development")
    assert (case.segment, case.early_phase, case.selection.series) == ("", None, ())
    assert case.row.values["age"] == text.strip(), "cases.csv shows what the manifest shows"
    assert "empty for every included case" in faults_of(manifest_outlines, cohort, "roi_a2")


@pytest.mark.parametrize("column", ["case_id", "image", "roi"])
@pytest.mark.parametrize("read", [read_manifest, read_manifest_cases])
def test_a_manifest_says_what_is_missing(manifest, read, column):
    with pytest.raises(InputError) as error:
        read(manifest(**{column: "N/A"}))
    (line,) = error.value.faults
    assert f"row 2, column {column}, value 'N/A': is missing" in line


def test_a_status_that_is_missing_is_a_reason_to_exclude(manifest):
    (case,) = read_manifest(manifest(ihc="N/A", ish="N/A")).cases
    assert case.reason == "HER2 status missing"


def test_predictions_may_lack_patients_and_subgroups_but_no_score_or_label(tmp_path):
    rows = [
        {"case_id": name, "set": "s", "label": n % 2, "score": 0.1 * n, "patient_id": "N/A", "site": "N/A"}
        for n, name in enumerate("abcd")
    ]
    (cases,) = read_predictions(write_csv(tmp_path / "p.csv", rows), by=["site"]).sets
    assert cases.patients.tolist() == ["a", "b", "c", "d"]
    assert set(cases.subgroups["site"].tolist()) == {""}
    for column in ("case_id", "set", "label", "score"):
        with pytest.raises(InputError) as error:
            read_predictions(
                write_csv(tmp_path / "p.csv", [*rows, {**rows[0], "case_id": "e", column: "N/A"}])
            )
        (line,) = error.value.faults
        assert f"row 6, column {column}, value 'N/A': is missing" in line


def test_readings_and_their_truth(tmp_path):
    truth = [
        {"case_id": "a", "ihc": "1+", "ish": "N/A", "exclude": "N/A", "patient_id": "N/A", "cohort": "N/A"},
        {"case_id": "b", "ihc": "N/A", "ish": "N/A", "exclude": "N/A", "patient_id": "N/A", "cohort": "N/A"},
    ]
    manifest = write_csv(tmp_path / "m.csv", truth)
    readings = write_csv(tmp_path / "r.csv", [{"case_id": name, "call": "low"} for name in "ab"])
    found = match(readings, manifest)
    assert (found.patients.tolist(), found.cohorts.tolist()) == (["a"], ["development"])
    assert dict(found.excluded) == {"HER2 status missing": 1}
    write_csv(readings, [{"case_id": "a", "call": "N/A"}])
    assert "column call, value 'N/A': is missing" in faults_of(match, readings, manifest)


@pytest.mark.parametrize("text", MISSING)
def test_a_rating_may_be_missing_but_no_rater(tmp_path, text):
    rows = [
        {"case_id": case, "rater": rater, "area": text if (case, rater) == ("a", "A1") else 3}
        for rater in ("A1", "B1")
        for case in "abc"
    ]
    ratings = read_ratings([write_csv(tmp_path / "r.csv", rows)])
    assert np.isnan(ratings.values).sum() == 1
    assert np.isnan(ratings.values[0, 0, 0])
    rows[0]["rater"] = text
    assert f"row 2, column rater, value {text.strip()!r}: is missing" in faults_of(
        read_ratings, [write_csv(tmp_path / "r.csv", rows)]
    )


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_is_taken_for_a_rating_a_score_or_a_measure(tmp_path, text):
    ratings = [
        {"case_id": case, "rater": rater, "area": text if rater == "A1" else 3}
        for rater in ("A1", "B1")
        for case in "abc"
    ]
    assert "is not a finite number" in faults_of(read_ratings, [write_csv(tmp_path / "r.csv", ratings)])
    scores = [{"case_id": name, "set": "s", "label": 1, "score": text} for name in "ab"]
    assert "is not a finite number" in faults_of(read_predictions, write_csv(tmp_path / "p.csv", scores))
    cases = read_cases(write_csv(tmp_path / "c.csv", [{"case_id": "a", "age": text}]))
    assert "is not a finite number" in faults_of(cases.numbers, "age")


def test_the_numbers_of_a_manifest_follow_the_rule(manifest):
    for text in ("1_0", "Inf", "\uff11\uff12", "1,5", "#DIV/0!"):
        assert "column age" in faults_of(read_manifest, manifest(age=text))
    (case,) = read_manifest(manifest(age="5.2e1", early_phase="0.0")).cases
    assert case.early_phase == 0


def test_a_table_of_cases_may_lack_any_value(tmp_path):
    rows = [
        {"case_id": str(n), "age": text, "grade": text, "exclude": text} for n, text in enumerate(MISSING)
    ]
    cases = read_cases(write_csv(tmp_path / "c.csv", [*rows, {"case_id": "x", "age": 50, "grade": "G1"}]))
    assert len(cases) == len(MISSING) + 1, "N/A is no reason to exclude a case"
    assert np.isnan(cases.numbers("age")).tolist() == [True] * len(MISSING) + [False]
    assert cases.texts("grade") == [""] * len(MISSING) + ["G1"]


def test_a_joined_file_fills_in_what_is_missing(tmp_path):
    first = write_csv(tmp_path / "c.csv", [{"case_id": "a", "age": "N/A"}, {"case_id": "b", "age": "41"}])
    other = write_csv(tmp_path / "d.csv", [{"case_id": "a", "age": "52"}, {"case_id": "b", "age": "#N/A"}])
    assert read_cases(first, [other]).texts("age") == ["52", "41"]


def test_table1_and_prognosis_count_and_leave_out_what_is_missing(tmp_path, capsys):
    rows = [
        {
            "case_id": f"c{n}",
            "arm": "ab"[n % 2],
            "age": "N/A" if n < 4 else 40 + n * n % 17,
            "months": "N/A" if n == 5 else n + 1,
            "event": "#N/A" if n == 5 else n % 3 % 2,
        }
        for n in range(40)
    ]
    path = write_csv(tmp_path / "c.csv", rows)
    assert (
        main(["table1", str(path), "--by", "arm", "--continuous", "age", "--out", str(tmp_path / "t")]) == 0
    )
    assert "age,NA,2 (10.0),2 (10.0)" in (tmp_path / "t" / "table1.csv").read_text()
    words = ["--time", "months", "--event", "event", "--covariates", "age", "--no-figures"]
    assert main(["prognosis", str(path), *words, "--out", str(tmp_path / "p")]) == 0
    found = json.loads((tmp_path / "p" / "logrank.json").read_text())
    assert found["groups"][0]["n"] == 39
    assert any("1 case without follow-up" in note for note in found["notes"])


def test_gene_tables_need_every_cell(tmp_path):
    counts = write_csv(
        tmp_path / "counts.csv", [{"gene": f"G{n}", "a": n, "b": 5, "c": 7, "d": 9} for n in range(1, 4)]
    )
    groups = [{"case_id": name, "group": "low" if name < "c" else "N/A"} for name in "abcd"]
    assert "column group, value 'N/A': is missing" in faults_of(
        read_groups, write_csv(tmp_path / "g.csv", groups), read_counts(counts), "low"
    )


@pytest.mark.parametrize("text", [*NUMBERS, *TEXTS, *MISSING])
def test_counts_which_pandas_reads_are_numbers_by_the_same_rule(tmp_path, text):
    counts = write_csv(
        tmp_path / "counts.csv", [{"gene": "A", "a": text, "b": 5}, {"gene": "B", "a": 3, "b": 5}]
    )
    try:
        faults = ""
        read_counts(counts)
    except InputError as error:
        faults = str(error)
    assert ("is no number" in faults) == np.isnan(as_number(text)), faults
