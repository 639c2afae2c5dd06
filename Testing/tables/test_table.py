"""A table and the results made from it: they name the very bytes that were read, once."""

import hashlib
import json

import pytest

from HER2ViTTrainingLib.cohort.flow import flow
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import make_splits
from HER2ViTTrainingLib.evaluation.judging import evaluate
from HER2ViTTrainingLib.evaluation.predictions import read_predictions
from HER2ViTTrainingLib.evaluation.results import write_evaluation
from HER2ViTTrainingLib.evaluation.three_class import evaluate_three_class, match, write_three_class
from HER2ViTTrainingLib.stats.resampling import Resampling
from HER2ViTTrainingLib.tables.case_table import read_cases
from HER2ViTTrainingLib.tables.table import read_table
from support.csv_files import write_csv

QUICK = Resampling(10)


@pytest.fixture
def changed(tmp_path):
    """A function that writes a table, and one that tells its SHA-256 as it was and puts another in its place:
    whoever opens it again sees that one.
    """

    def write(name, rows):
        return write_csv(tmp_path / name, rows)

    def replace(path):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_text("case_id\nanother\n")
        return sha256

    return write, replace


def test_a_table_knows_its_hash_columns_and_rows_as_a_spreadsheet_counts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfcase_id,age\n\n a ,"4\n1"\nb,N/A\n')
    table = read_table(path)
    assert table.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert table.columns == ("case_id", "age")
    assert [(row.number, row["case_id"], row["age"]) for row in table.rows] == [
        (3, "a", "4\n1"),
        (4, "b", ""),
    ]
    assert [row.written("age") for row in table.rows] == ["4\n1", "N/A"]


def test_an_evaluation_names_the_predictions_it_judged(changed, tmp_path):
    write, replace = changed
    path = write(
        "p.csv", [{"case_id": n, "set": "s", "label": n % 2, "score": 0.1 * (n % 7)} for n in range(20)]
    )
    predictions = read_predictions(path)
    sha256 = replace(path)
    write_evaluation(evaluate(predictions, QUICK), tmp_path / "out", {})
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["inputs"] == [{"role": "predictions", "sha256": sha256}]
    assert sha256 in (tmp_path / "out" / "table2.html").read_text()


def test_a_judged_call_names_readings_and_truth(changed, tmp_path):
    write, replace = changed
    calls = ("zero", "low", "positive")
    readings = write("r.csv", [{"case_id": name, "call": name} for name in calls])
    truth = write("m.csv", [{"case_id": name, "her2_status": name} for name in calls])
    cases = match(readings, truth)
    expected = [
        {"role": "readings", "sha256": replace(readings)},
        {"role": "truth", "sha256": replace(truth)},
    ]
    write_three_class(evaluate_three_class(cases, QUICK), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "three_class.json").read_text())["inputs"] == expected


def test_a_flow_names_its_manifest_and_a_case_table_its_files(changed, tmp_path):
    write, replace = changed
    for name in ("image.nrrd", "roi.nrrd"):
        (tmp_path / name).touch()
    row = {"case_id": "a", "image": "image.nrrd", "roi": "roi.nrrd", "her2_status": "low", "role": "external"}
    path = write("m.csv", [row])
    cohort = read_manifest(path)
    joined = write("j.csv", [{"case_id": "a", "score": 0.3}])
    cases = read_cases(path, [joined])
    assert cases.inputs == (("cases", replace(path)), ("joined", replace(joined)))
    found = flow(cohort, make_splits(cohort))
    assert found["inputs"] == [{"role": "manifest", "sha256": cases.inputs[0][1]}]
