"""Folds that a column of the manifest names."""

import csv

import pytest

from HER2ViTLib.her2 import LOW_VS_POSITIVE, ZERO_VS_REST
from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.cohort.folds import splits_by
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.commands.main import main

STATUSES = ("0", "1+", "3+")


def a_manifest(folder, sites, changed=()):
    """A manifest with so many cases of each status at each site; `changed` cells by case id."""
    rows = []
    for site, count in sites.items():
        for n in range(3 * count):
            case_id = f"{site}{n}".replace(" ", "_")
            row = {"case_id": case_id, "image": f"{case_id}.nrrd", "roi": f"{case_id}_roi.nrrd"}
            for name in (row["image"], row["roi"]):
                (folder / name).touch()
            row |= {"ihc": STATUSES[n % 3], "ish": ""}
            row |= {"patient_id": case_id, "role": "development", "cohort": "here", "site": site}
            row |= dict(changed).get(case_id, {})
            rows.append(row)
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_each_site_is_a_fold_and_small_ones_share_one(tmp_path):
    cohort = read_manifest(a_manifest(tmp_path, {"site 10": 6, "site 2": 5, "S": 2, "T": 1}))
    splits = splits_by(cohort, "site", LOW_VS_POSITIVE)
    split = splits.tasks["low-vs-positive"]
    assert split.fold_names == ("site 2", "site 10", "pooled")
    assert [len(fold) for fold in split.folds] == [10, 12, 6]
    by_id = {case.case_id: case for case in cohort.cases}
    assert {by_id[case_id].row["site"] for case_id in split.folds[2]} == {"S", "T"}
    assert [split.fold_name(number) for number in (1, 2, 3)] == list(split.fold_names)


def test_the_cases_that_make_a_site_large_enough_are_those_of_the_task(tmp_path):
    cohort = read_manifest(a_manifest(tmp_path, {"A": 6, "B": 6, "C": 4}))
    assert splits_by(cohort, "site", ZERO_VS_REST).tasks["zero-vs-rest"].fold_names == ("A", "B", "C")
    names = splits_by(cohort, "site", LOW_VS_POSITIVE).tasks["low-vs-positive"].fold_names
    assert names == ("A", "B", "pooled")


def test_rows_in_another_order_give_the_same_folds(tmp_path):
    path = a_manifest(tmp_path, {"A": 6, "B": 5, "C": 1})
    splits = splits_by(read_manifest(path), "site", ZERO_VS_REST)
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]))
    assert splits_by(read_manifest(path), "site", ZERO_VS_REST) == splits


FAULTS = {
    "empty": (
        {"A": 6, "B": 6},
        {"A1": {"site": ""}},
        ["row 3, column site, value '': is missing; fill it in, or exclude the case"],
    ),
    "a patient on two sites": (
        {"A": 6, "B": 6},
        {"A1": {"patient_id": "p"}, "B2": {"patient_id": "p"}},
        ["row 3, column site, value 'A': patient 'p' has 'A' and 'B', and would be on both sides"],
    ),
    "one site": ({"A": 6, "B": 0}, {}, ["column site: 1 fold of zero-vs-rest cases"]),
    "small sites only": ({"A": 1, "B": 2}, {}, ["column site: 1 fold of zero-vs-rest cases"]),
    "a site of that name": ({"A": 6, "pooled": 6, "B": 1}, {}, ["value 'pooled': is the name of the fold"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_values_that_make_no_folds_have_one_line(tmp_path, fault):
    sites, changed, expected = FAULTS[fault]
    cohort = read_manifest(a_manifest(tmp_path, sites, changed))
    with pytest.raises(InputError) as error:
        splits_by(cohort, "site", ZERO_VS_REST)
    assert len(error.value.faults) == len(expected)
    assert all(part in line for part, line in zip(expected, error.value.faults))


def test_an_excluded_case_and_one_of_another_task_need_no_value(tmp_path):
    changed = {"A0": {"site": "", "patient_id": "p"}, "B0": {"patient_id": "p"}}
    path = a_manifest(tmp_path, {"A": 6, "B": 6}, changed)
    assert splits_by(read_manifest(path), "site", LOW_VS_POSITIVE).tasks["low-vs-positive"].fold_names == (
        "A",
        "B",
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--folds-by", "site", "--folds", "3"], "--folds 3 and --folds-by site: both say"),
        (["--folds-by", "site", "--splits", "s.json"], "--splits s.json and --folds-by site: both say"),
        (["--folds-by", "centre"], "column centre is missing"),
    ],
)
def test_options_that_contradict_are_one_line(tmp_path, capsys, words, expected):
    path = a_manifest(tmp_path, {"A": 6, "B": 6})
    out = tmp_path / "out"
    assert main(["train", str(path), "--task", "zero-vs-rest", *words, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not out.exists()
