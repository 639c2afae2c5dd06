"""From a manifest to a checked cohort, its flow and its splits."""

import csv
import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from HER2ViTLib.her2 import LOW_VS_POSITIVE, POSITIVE_VS_NEGATIVE, TASKS, TWO_STEP, ZERO_VS_REST
from HER2ViTLib.messages import InputError
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTTrainingLib.cohort.flow import flow, write_cohort
from HER2ViTTrainingLib.cohort.manifest import read_cases, read_manifest
from HER2ViTTrainingLib.cohort.one_sided import one_sided_cohorts
from HER2ViTTrainingLib.cohort.splits import given_splits, load_splits, make_splits
from HER2ViTTrainingLib.commands.main import main

COLUMNS = ("case_id", "image", "roi", "ihc", "ish", "cohort", "role", "patient_id", "exclude")


def write_manifest(folder, rows, columns=COLUMNS, encoding="utf-8"):
    """A manifest of the given rows; what a row leaves out gets a sound value, and the files named exist."""
    path = folder / "manifest.csv"
    whole = []
    for n, row in enumerate(rows, start=2):
        row = {"case_id": f"case{n}", "image": f"image{n}.nrrd", "roi": f"roi{n}.nrrd", "ihc": "1+", **row}
        if not row.pop("without_files", False):
            for name in (*row["image"].split(";"), row["roi"]):
                (folder / name.strip()).touch()
        whole.append(row)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(
            file, list(dict.fromkeys([*columns, *(name for row in whole for name in row)]))
        )
        writer.writeheader()
        writer.writerows(whole)
    return path


def a_cohort(folder, zero=30, low=60, positive=40, more=()):
    statuses = (
        [("0", "")] * zero
        + [("1+", ""), ("2+", "negative")] * (low // 2)
        + [("3+", "")] * (positive // 2)
        + [("2+", "positive")] * (positive // 2)
    )
    return write_manifest(
        folder, [{"ihc": ihc, "ish": ish, "cohort": "FUSCC"} for ihc, ish in statuses] + list(more)
    )


def faults_of(path):
    with pytest.raises(InputError) as error:
        read_manifest(path)
    return error.value.faults


# The manifest

FAULTS = {
    # row of the manifest -> (what is wrong with it, what its line must name)
    2: ({"case_id": "../case"}, ("column case_id", "'../case'", "folder")),
    3: ({"case_id": "Case_A"}, None),
    4: ({"case_id": "case_a"}, ("column case_id", "'case_a'", "row 3")),
    5: ({"ihc": "4+"}, ("column ihc", "'4+'", "0, 1+, 2+ or 3+")),
    6: ({"ihc": "2+", "ish": "amplified"}, ("column ish", "'amplified'", "positive, negative, equivocal")),
    7: ({"her2_status": "ultralow"}, ("column her2_status", "'ultralow'", "zero, low, positive")),
    8: ({"her2_status": "positive"}, ("column her2_status", "'positive'", "contradicts ihc '1+'")),
    9: (
        {"image": "pre.nrrd;not_there.nrrd", "without_files": True},
        ("column image", "'not_there.nrrd'", "no such file"),
    ),
    10: ({"roi": "no_roi.nrrd", "without_files": True}, ("column roi", "'no_roi.nrrd'", "no such file")),
    11: ({"age": "52,6"}, ("column age", "'52,6'", "decimal point")),
    12: ({"os_months": "-3"}, ("column os_months", "'-3'", "between 0 and")),
    13: ({"rfs_event": "2"}, ("column rfs_event", "'2'", "use 0 or 1")),
    14: ({"role": "test"}, ("column role", "'test'", "development, external")),
    15: ({"laterality": "both"}, ("column laterality", "'both'", "left, right")),
    16: ({"image": "a.nrrd;b.nrrd;a.nrrd"}, ("column image", "'a.nrrd' twice")),
    17: ({"early_phase": "first"}, ("column early_phase", "'first'", "whole number")),
    18: ({"exclude": "yes"}, ("column exclude", "'yes'", "write why")),
    19: ({"case_id": ""}, ("column case_id", "''", "missing")),
    20: ({"case_id": "=1+1"}, ("column case_id", "'=1+1'", "folder")),
    21: ({"role": "external", "cohort": "validation"}, ("column cohort", "'validation'", "otherwise")),
    22: ({"patient_id": "P1"}, None),
    23: ({"patient_id": "P1", "role": "external"}, ("column patient_id", "'P1'", "one role")),
    24: ({"image": "bilateral.nrrd", "patient_id": "P2"}, None),
    25: ({"image": "bilateral.nrrd", "patient_id": "P3"}, ("column patient_id", "'P3'", "row 24")),
    26: ({"image": "twice.nrrd", "roi": "twice_roi.nrrd", "patient_id": "P4"}, None),
    27: (
        {"image": "twice.nrrd", "roi": "twice_roi.nrrd", "patient_id": "P4"},
        ("column roi", "'twice_roi.nrrd'", "row 26"),
    ),
}


def test_all_faults_are_said_in_one_run(tmp_path, capsys):
    (tmp_path / "pre.nrrd").touch()
    (tmp_path / "image10.nrrd").touch()
    (tmp_path / "roi9.nrrd").touch()
    path = write_manifest(tmp_path, [changes for changes, _ in FAULTS.values()], (*COLUMNS, "Menopause"))
    with path.open("a") as file:
        file.write("case28,image28.nrrd\n")
    expected = [(1, ("column Menopause", "rename it menopause"))] + [
        (row, words) for row, (_, words) in FAULTS.items() if words
    ]
    expected.append((28, ("2 values",)))
    assert main(["cohort", str(path), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected), lines
    for line, (row, words) in zip(lines, expected):
        assert f"manifest.csv: row {row}" in line
        assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists()


def test_an_outline_may_be_a_folder_of_dicom_files(tmp_path):
    path = write_manifest(tmp_path, [{}, {"roi": "outlines", "without_files": True}])
    (tmp_path / "image3.nrrd").touch()
    assert any("'outlines'" in line for line in faults_of(path))
    (tmp_path / "outlines").mkdir()
    assert any("an empty folder" in line for line in faults_of(path))
    (tmp_path / "outlines" / "seg.dcm").touch()
    assert [case.roi for case in read_manifest(path).cases] == [tmp_path / "roi2.nrrd", tmp_path / "outlines"]


def test_missing_columns_are_said_together(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("case_id,ihc,age\na,0,50\nb,7,old\n")
    faults = faults_of(path)
    for word in ("image", "roi", "ish"):
        assert f"column {word} is missing" in "\n".join(faults)
    assert any("'7'" in line for line in faults)
    assert any("'old'" in line for line in faults)
    assert len(faults) == 5


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (b"case_id,image,roi,ihc,ish\n", "row 2: no case"),
        ("case_id,cohort\na,M\xfcnchen\n".encode("latin-1"), "line 2, byte b'\\xfc': is not UTF-8"),
        ("case_id,image\na,b\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04\x14\x00", "workbook"),
        (b"case_id;image;roi;ihc;ish\na;b;c;0;\n", "commas"),
        (b'case_id,image\na,"b\n', "quotes do not match"),
    ],
)
def test_what_is_no_table_gets_one_line(tmp_path, content, expected):
    (tmp_path / "manifest.csv").write_bytes(content)
    (fault,) = faults_of(tmp_path / "manifest.csv")
    assert expected in fault


def test_a_broken_header_does_not_hide_the_other_faults(tmp_path):
    (tmp_path / "manifest.csv").write_text("case_id,image,roi,roi,ihc,\na,b,c,d,9,\n")
    faults = faults_of(tmp_path / "manifest.csv")
    expected = (
        "value 'roi': is column 3 and column 4",
        "column 6 has no name",
        "column ish is missing",
        "value '9': not a score",
    )
    said = "\n".join(faults)
    assert [words for words in expected if words not in said] == []


def test_missing_manifest_and_folder_in_its_place(tmp_path):
    assert "no such file" in faults_of(tmp_path / "manifest.csv")[0]
    assert "is a folder" in faults_of(tmp_path)[0]


def test_status_reasons_and_warnings(tmp_path):
    rows = [
        {"ihc": "0"},
        {"ihc": "1"},
        {"ihc": "2+", "ish": "negative"},
        {"ihc": "2+", "ish": "positive"},
        {"ihc": "3+", "ish": "negative"},
        {"ihc": "2+", "ish": "equivocal", "without_files": True},
        {"ihc": "", "her2_status": "low"},
        {"ihc": "", "her2_status": "indeterminate"},
        {"ihc": ""},
        {"ihc": "3+", "exclude": "incomplete DCE-MRI", "image": "", "without_files": True},
        {"ihc": "1+", "ish": "positive", "age": "NA", "scanner": "GE"},
    ]
    cohort = read_manifest(write_manifest(tmp_path, rows, encoding="utf-8-sig"))
    statuses = [case.her2_status and case.her2_status.value for case in cohort.cases]
    expected = [
        "zero",
        "low",
        "low",
        "positive",
        "positive",
        "indeterminate",
        "low",
        "indeterminate",
        None,
        "positive",
        "low",
    ]
    assert statuses == expected
    reasons = [case.reason for case in cohort.cases]
    assert reasons[5] == "HER2 indeterminate: IHC 2+ without a clear ISH result"
    assert reasons[7:10] == ["HER2 indeterminate", "HER2 status missing", "incomplete DCE-MRI"]
    assert [case.included for case in cohort.cases] == [True] * 5 + [False, True, False, False, False, True]
    assert [case.label(ZERO_VS_REST) for case in cohort.cases] == [
        0,
        1,
        1,
        1,
        1,
        None,
        1,
        None,
        None,
        None,
        1,
    ]
    assert [case.label(LOW_VS_POSITIVE) for case in cohort.cases] == [
        None,
        1,
        1,
        0,
        0,
        None,
        1,
        None,
        None,
        None,
        1,
    ]
    assert Counter(warning.code for warning in cohort.warnings) == {"discordant_her2": 2, "own_columns": 1}
    assert cohort.cases[0].images == (tmp_path / "image2.nrrd",)
    assert {case.patient_id for case in cohort.cases} == {case.case_id for case in cohort.cases}


def test_phases_are_taken_in_the_order_given(tmp_path):
    cohort = read_manifest(write_manifest(tmp_path, [{"image": "z.nrrd; a.nrrd", "early_phase": "1"}]))
    assert cohort.cases[0].images == (tmp_path / "z.nrrd", tmp_path / "a.nrrd")
    assert cohort.cases[0].early_phase == 1
    (fault,) = faults_of(write_manifest(tmp_path, [{"image": "z.nrrd;a.nrrd", "early_phase": "2"}]))
    assert "image has 2 phases; give 0-1" in fault


# Splits


def patients_of(cohort, case_ids):
    return {case.patient_id for case in cohort.cases if case.case_id in set(case_ids)}


def several_lesions(n):
    """Patients with two lesions each, some of different status."""
    return [
        {"patient_id": f"P{k}", "ihc": ihc} for k in range(n) for ihc in ("0" if k % 4 == 0 else "1+", "1+")
    ]


def test_one_split_for_both_tasks_by_patient_stratified(tmp_path):
    more = [
        *several_lesions(20),
        *({"role": "external", "cohort": "GFPH", "ihc": ihc} for ihc in ("0", "1+", "3+")),
        {"exclude": "motion"},
    ]
    cohort = read_manifest(a_cohort(tmp_path, more=more))
    splits = make_splits(cohort, folds=5)
    first = splits.tasks[ZERO_VS_REST.name]
    second = splits.tasks[LOW_VS_POSITIVE.name]
    assert not patients_of(cohort, first.training) & patients_of(cohort, first.validation)
    assert sorted(first.training + first.validation) == sorted(case.case_id for case in cohort.development)
    zero = {case.case_id for case in cohort.development if case.her2_status == "zero"}
    assert set(second.training) == set(first.training) - zero
    assert set(second.validation) == set(first.validation) - zero
    # 30 + 5 patients count as zero (rarest of theirs), 60 + 15 as low, 40 as positive
    by_class = {}
    for status in ("zero", "positive"):
        by_class[status] = patients_of(
            cohort, [case.case_id for case in cohort.development if case.her2_status == status]
        )
    validation = patients_of(cohort, first.validation)
    assert len(by_class["zero"]) == 35
    assert {status: len(theirs & validation) for status, theirs in by_class.items()} == {
        "zero": 7,
        "positive": 8,
    }
    assert len(validation) == 7 + 15 + 8
    folds = [patients_of(cohort, fold) for fold in first.folds]
    assert sum(map(len, folds)) == len(set().union(*folds)) == 150
    assert {len(fold) for fold in folds} == {30}
    assert {len(fold & by_class["zero"]) for fold in folds} == {7}
    assert splits.external == {"GFPH": ("case172", "case173", "case174")}
    assert {warning.code for warning in cohort.warnings} == {"several_statuses"}


@pytest.mark.parametrize("kind", ["shared", "per-task"])
def test_splits_do_not_depend_on_the_order_of_rows_but_on_the_seed(tmp_path, kind):
    path = a_cohort(tmp_path, more=several_lesions(9))
    splits = make_splits(read_manifest(path), kind, folds=3, seed=7)
    header, *lines = path.read_text().splitlines()
    random.Random(1).shuffle(lines)
    path.write_text("\n".join([header, *lines]) + "\n")
    shuffled = make_splits(read_manifest(path), kind, folds=3, seed=7)
    assert shuffled == splits
    assert shuffled.to_json() == splits.to_json()
    other = make_splits(read_manifest(path), kind, folds=3, seed=8)
    assert other.tasks[ZERO_VS_REST.name].validation != splits.tasks[ZERO_VS_REST.name].validation


def test_the_split_is_written_down():
    """The same on every machine and with every version of Python: a change here would orphan every saved
    split.
    """
    from HER2ViTTrainingLib.cohort.splits import in_random_order

    assert in_random_order("ABCDEFGH", 1, "all") == list("GBEDCAFH")


def test_per_task_repeats_the_studys_split_and_says_what_it_costs(tmp_path, capsys):
    path = a_cohort(tmp_path)
    cohort = read_manifest(path)
    splits = make_splits(cohort, "per-task")
    first = splits.tasks[ZERO_VS_REST.name]
    second = splits.tasks[LOW_VS_POSITIVE.name]
    cases = {case.case_id: case for case in cohort.cases}
    assert Counter(cases[name].label(ZERO_VS_REST) for name in first.validation) == {0: 6, 1: 20}
    assert Counter(cases[name].label(LOW_VS_POSITIVE) for name in second.validation) == {0: 8, 1: 12}
    assert set(first.training) & set(second.validation)
    assert main(["cohort", str(path), "--split", "per-task", "--out", str(tmp_path / "out")]) == 0
    assert "no validation set is clean for the two-step call" in capsys.readouterr().out
    for name in ("splits.json", "flow.json"):
        assert "no validation set is clean" in (tmp_path / "out" / name).read_text()


def test_saved_splits_fit_their_cohort_only_and_unchanged(tmp_path):
    path = a_cohort(tmp_path, more=[{"role": "external"}])
    cohort = read_manifest(path)
    splits = make_splits(cohort, folds=4)
    saved = tmp_path / "splits.json"
    saved.write_bytes(splits.to_json())
    assert load_splits(saved, cohort) == splits
    content = json.loads(saved.read_text())
    assert content["sha256"] == splits.sha256

    moved = json.loads(saved.read_text())
    task = moved["tasks"][ZERO_VS_REST.name]
    task["training"].append(task["validation"].pop())
    for broken in (
        json.dumps(moved),
        "[]",
        "{}",
        "no json",
        json.dumps({**content, "version": 9}),
        json.dumps({**content, "cases": []}),
    ):
        (tmp_path / "broken.json").write_text(broken)
        with pytest.raises(InputError) as error:
            load_splits(tmp_path / "broken.json", cohort)
        assert len(error.value.faults) == 1
    # another status, another patient, a case less: each is another cohort
    text = path.read_text()
    changes = {
        "roi2.nrrd,0,": "roi2.nrrd,3+,",
        "case3,": "case3b,",
        "roi4.nrrd,0,,FUSCC,,": "roi4.nrrd,0,,FUSCC,,P",
    }
    for old, new in changes.items():
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match="made for other cases"):
            load_splits(saved, read_manifest(path))


def test_classes_too_small_to_split(tmp_path):
    tiny = [{"ihc": "0"}, {"ihc": "1+"}, {"ihc": "1+"}]
    cohort = read_manifest(write_manifest(tmp_path, tiny))
    with pytest.raises(
        InputError, match=r"class 'zero': 1 development patient cannot both train and validate"
    ) as error:
        make_splits(cohort)
    assert len(error.value.faults) == 1
    cohort = read_manifest(write_manifest(tmp_path, [*tiny, {"ihc": "0"}]))
    splits = make_splits(cohort)
    sizes = [(len(task.training), len(task.validation)) for task in splits.tasks.values()]
    assert sizes == [(2, 2), (1, 1), (2, 2)]
    warnings = flow(cohort, splits)["warnings"]
    assert [warning["code"] for warning in warnings] == ["missing_class"] * 2
    assert [warning["text"].partition(":")[0] for warning in warnings] == [
        "no development case is positive"
    ] * 2
    with pytest.raises(InputError) as error:
        make_splits(cohort, folds=3)
    assert len(error.value.faults) == 2
    for bad in ({"folds": 1}, {"kind": "random"}):
        with pytest.raises(InputError):
            make_splits(cohort, **bad)


def test_a_cohort_to_test_with_only(tmp_path):
    cohort = read_manifest(write_manifest(tmp_path, [{"role": "external", "cohort": "GFPH"}]))
    splits = make_splits(cohort)
    assert splits.external == {"GFPH": ("case2",)}
    assert not any(task.training or task.validation for task in splits.tasks.values())
    assert write_cohort(cohort, splits, tmp_path / "out") == [
        "cases.csv",
        "splits.json",
        "flow.json",
        "flow.png",
    ]


# The flow


def test_flow_counts_add_up(tmp_path, capsys):
    more = [
        *[{"exclude": "incomplete DCE-MRI; $2 fee", "cohort": "FUSCC", "without_files": True}] * 3,
        *[{"ihc": "2+", "cohort": "FUSCC"}] * 2,
        *[{"cohort": "GFPH", "role": "external", "ihc": ihc} for ihc in ("0", "1+", "3+", "2+")],
        *[{"cohort": "Second centre", "ihc": "0"}] * 2,
    ]
    path = a_cohort(tmp_path, more=more)
    out = tmp_path / "out"
    assert main(["cohort", str(path), "--folds", "3", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2: HER2 indeterminate: IHC 2+ without a clear ISH result" in said
    # as `train` names its folders
    assert ["zero-vs-rest fold 1:" in said, "zero-vs-rest fold 3:" in said, "fold 0" in said] == [
        True,
        True,
        False,
    ]
    data = json.loads((out / "flow.json").read_text())
    assert data["inputs"] == [{"role": "manifest", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}]
    assert data["versions"].keys() == {"her2vit"}
    assert [(group["cohort"], group["role"]) for group in data["cohorts"]] == [
        ("FUSCC", "development"),
        ("Second centre", "development"),
        ("GFPH", "external"),
    ]
    for group in (*data["cohorts"], data["total"]):
        included = group["included"]
        assert group["assessed"] == group["excluded"] + included["n"]
        assert group["excluded"] == sum(entry["n"] for entry in group["reasons"])
        assert included["n"] == included["zero"] + included["low"] + included["positive"]
    assert data["total"]["assessed"] == sum(group["assessed"] for group in data["cohorts"]) == 130 + len(more)
    assert data["development"]["n"] == 132
    for name, unasked in ((ZERO_VS_REST.name, 0), (LOW_VS_POSITIVE.name, data["development"]["zero"])):
        task = data["split"]["tasks"][name]
        assert (
            task["training"]["n"] + task["validation"]["n"]
            == sum(fold["n"] for fold in task["folds"])
            == 132 - unasked
        )
    assert (out / "flow.png").read_bytes().startswith(b"\x89PNG")
    with (out / "cases.csv").open(newline="", encoding="utf-8") as file:
        cases = list(csv.DictReader(file))
    assert list(cases[0]) == [*COLUMNS, "her2_status", "included", "reason"]
    assert Counter(case["included"] for case in cases) == {"yes": 135, "no": 6}
    assert all(bool(case["reason"]) == (case["included"] == "no") for case in cases)
    before = {
        name: (out / name).read_bytes() for name in ("cases.csv", "splits.json", "flow.json", "flow.png")
    }
    assert main(["cohort", str(path), "--folds", "3", "--out", str(out)]) == 0
    assert {name: (out / name).read_bytes() for name in before} == before


def test_the_manifests_own_folder_is_refused(tmp_path, capsys):
    path = a_cohort(tmp_path)
    assert main(["cohort", str(path), "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_simulated_cohort_passes(tmp_path):
    from HER2ViTTrainingLib.simulation.cohorts import simulate_cohort
    from HER2ViTTrainingLib.simulation.protocols import PROTOCOLS

    cohort = read_manifest(simulate_cohort(3, 1, PROTOCOLS["A"], tmp_path / "cohort", scale=0.4))
    assert [case.included for case in cohort.cases] == [True] * 3
    with (tmp_path / "cohort" / "truth.csv").open() as file:
        assert [case.her2_status.value for case in cohort.cases] == [
            row["her2_status"] for row in csv.DictReader(file)
        ]
    assert not cohort.warnings


# Cases whose zero and low are not told apart


def without_the_third_task(splits):
    """As they were written before that task was asked."""
    return replace(splits, tasks={task.name: splits.tasks[task.name] for task in TWO_STEP})


def test_splits_written_before_the_third_task_still_load_and_train_it_not(tmp_path, capsys):
    path = a_cohort(tmp_path, zero=4, low=4, positive=4)
    cohort = read_manifest(path)
    old = without_the_third_task(make_splits(cohort, folds=2))
    saved = tmp_path / "splits.json"
    saved.write_bytes(old.to_json())
    assert load_splits(saved, cohort) == old
    train = ["train", str(path), "--splits", str(saved), "--out", str(tmp_path / "out")]
    assert main([*train, "--task", "positive-vs-negative"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "splits.json: has no split for positive-vs-negative; write it again with: her2vit cohort" in line


def test_each_case_is_asked_the_third_question_on_the_side_it_has_in_the_others(tmp_path):
    cohort = read_manifest(a_cohort(tmp_path, zero=10, low=10, positive=10))
    splits = make_splits(cohort, folds=3)
    third = splits.tasks[POSITIVE_VS_NEGATIVE.name]
    for task in TWO_STEP:
        split = splits.tasks[task.name]
        assert set(split.validation) <= set(third.validation)
        for fold, whole in zip(split.folds, third.folds):
            assert set(fold) <= set(whole)


def test_a_split_per_task_has_one_of_the_third_too(tmp_path):
    cohort = read_manifest(a_cohort(tmp_path, zero=20, low=20, positive=10))
    cases = {case.case_id: case for case in cohort.cases}
    third = make_splits(cohort, "per-task").tasks[POSITIVE_VS_NEGATIVE.name]
    assert Counter(cases[name].label(POSITIVE_VS_NEGATIVE) for name in third.validation) == {0: 8, 1: 2}


def test_negative_cases_are_in_and_no_case_of_the_tasks_that_tell_zero_and_low_apart(tmp_path, capsys):
    rows = [{"ihc": "", "her2_status": status} for status in ["negative"] * 10 + ["positive"] * 5]
    rows += [{"ihc": "1+", "her2_status": "negative"}, {"ihc": "", "her2_status": "Negative"}]
    path = write_manifest(tmp_path, rows)
    cohort = read_manifest(path)
    assert all(case.included for case in cohort.cases)
    statuses = Counter(case.her2_status.value for case in cohort.cases)
    assert statuses == {"negative": 11, "positive": 5, "low": 1}
    first = cohort.cases[0]
    assert [first.label(task) for task in TASKS.values()] == [None, None, 0]
    path = write_manifest(tmp_path, rows[:15])
    assert main(["cohort", str(path), "--folds", "2", "--out", str(tmp_path / "out")]) == 0
    assert "15 cases (0 zero, 0 low, 5 positive, 10 negative)" in capsys.readouterr().out
    splits = load_splits(tmp_path / "out" / "splits.json", read_manifest(path))
    assert len(splits.tasks["zero-vs-rest"].training) == 4
    third = splits.tasks["positive-vs-negative"]
    assert [len(third.training), len(third.validation), *map(len, third.folds)] == [12, 3, 8, 7]
    assert {case["her2_status"] for case in splits.cases.values()} == {"negative", "positive"}


def test_negative_contradicts_positive_only(tmp_path):
    rows = [{"ihc": "3+", "her2_status": "negative"}, {"ihc": "0", "her2_status": "negative"}]
    (fault,) = faults_of(write_manifest(tmp_path, rows))
    assert "row 2, column her2_status, value 'negative': contradicts ihc '3+'" in fault


def test_a_patient_with_a_negative_and_a_positive_lesion_is_told(tmp_path):
    rows = [{"ihc": "", "her2_status": status, "patient_id": "P"} for status in ("negative", "positive")]
    (warning,) = read_manifest(write_manifest(tmp_path, rows)).warnings
    assert warning.code == "several_statuses"
    assert "(positive, negative)" in warning.text


def test_the_split_of_a_data_set_is_kept(tmp_path):
    path = a_cohort(tmp_path, zero=4, low=4, positive=4)
    cohort = read_manifest(path)
    splits = given_splits(cohort, {"case2", "case6", "case10"})
    assert splits.tasks[ZERO_VS_REST.name].validation == ("case10", "case2", "case6")
    assert len(splits.tasks[ZERO_VS_REST.name].training) == 9
    assert splits.tasks[LOW_VS_POSITIVE.name].validation == ("case10", "case6")
    (tmp_path / "splits.json").write_bytes(splits.to_json())
    assert load_splits(tmp_path / "splits.json", cohort) == splits


# Phase times


def test_phase_times_are_parsed(tmp_path):
    rows = [
        {"image": "a.nrrd;b.nrrd;c.nrrd", "phase_times_s": "0; 97;194.5", "contrast_time_s": "90"},
        {
            "phase_times_s": "10;20",
            "contrast_time_s": "NA",
            "site": "S1",
            "vendor": "GE",
            "field_strength": "3",
        },
        {"phase_times_s": ""},
    ]
    cohort = read_manifest(write_manifest(tmp_path, rows))
    assert not cohort.warnings
    assert [case.times for case in cohort.cases] == [
        GivenTimes((0.0, 97.0, 194.5), 90.0),
        GivenTimes((10.0, 20.0)),
        None,
    ]
    assert [case.times for case in read_cases(cohort.path)] == [case.times for case in cohort.cases]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"phase_times_s": "0;97"}, "column phase_times_s, value '0;97': gives 2 starts, image has 3 phases"),
        ({"phase_times_s": "0;97;97"}, "does not increase"),
        ({"phase_times_s": "0;97;-3"}, "does not increase"),
        ({"phase_times_s": "0;97;nan"}, "use seconds with a decimal point"),
        ({"phase_times_s": "0;97;inf"}, "use seconds with a decimal point"),
        ({"phase_times_s": "0, 97, 194"}, "use seconds with a decimal point"),
        ({"phase_times_s": "0;97;"}, "use seconds with a decimal point"),
        ({"contrast_time_s": "90"}, "column contrast_time_s, value '90': needs the phases' starts"),
        ({"phase_times_s": "0;97;194", "contrast_time_s": "194"}, "is not before the last phase"),
        ({"phase_times_s": "0;97;194", "contrast_time_s": "soon"}, "column contrast_time_s, value 'soon'"),
    ],
)
def test_faults_of_phase_times(tmp_path, row, words):
    path = write_manifest(tmp_path, [{"image": "a.nrrd;b.nrrd;c.nrrd", **row}])
    (fault,) = faults_of(path)
    assert words in fault
    with pytest.raises(InputError, match=re.escape(fault)):
        read_cases(path)


def test_a_cohort_that_tells_positive_and_negative_only_is_doubted(tmp_path):
    """Its positive cases have no counterpart in the questions about zero and low."""
    rows = [{"ihc": ihc, "cohort": "here"} for ihc in ("0", "1+", "3+")] * 3
    there = [{"ihc": "", "her2_status": status, "cohort": "there"} for status in ("positive", "negative")]
    rows += [*there, there[1]]
    cohort = read_manifest(write_manifest(tmp_path, rows))
    for task in TWO_STEP:
        (doubt,) = one_sided_cohorts(cohort, task)
        assert doubt.text.startswith(
            f"cohort there: its 1 cases of {task.name} are all positive, since the 2"
        )
    assert one_sided_cohorts(cohort, POSITIVE_VS_NEGATIVE) == []
