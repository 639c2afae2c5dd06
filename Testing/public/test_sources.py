"""Public data sets as downloaded become manifests: what is read, joined, left out and refused."""

import json
import math
import zipfile
from collections import Counter

import pytest

from HER2ViTLib.messages import InputError
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import load_splits
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.public import breastdcedl, duke, mama_mia
from HER2ViTTrainingLib.public.her2_states import HER2States
from HER2ViTTrainingLib.public.importing import import_data_set
from HER2ViTTrainingLib.public.workbooks import workbook_table
from HER2ViTTrainingLib.tables.table import read_table
from support.csv_files import rows_of, write_csv
from support.public_data import (
    SECRETS,
    breastdcedl_row,
    duke_row,
    mama_mia_row,
    write_breastdcedl,
    write_duke,
    write_mama_mia,
    write_states,
    write_workbook,
)


def manifest_of(out):
    return {row["case_id"]: row for row in rows_of(out / "manifest.csv")}


# MAMA-MIA


@pytest.fixture
def small_mama_mia(tmp_path):
    rows = [
        mama_mia_row("DUKE_001", 1, site=None),
        mama_mia_row("DUKE_002", "0.0", site=None, acquisition_times=None),
        mama_mia_row("ISPY1_1001", " positive", site="Site AAI", acquisition_times="[0, 97]"),
        mama_mia_row("ISPY2_100899", True, acquisition_times="[0, 194, 97]", age=None, menopause="post"),
        mama_mia_row("NACT_01", None, site=4493, acquisition_times="soon"),
        mama_mia_row("NACT_02", 1, num_phases=4),
        mama_mia_row("NACT_03", 1),
        mama_mia_row("NACT_04", 0),
    ]
    folder = write_mama_mia(tmp_path / "MAMA-MIA", rows)
    (folder / "segmentations" / "expert" / "nact_03.nii.gz").unlink()
    for path in (folder / "images" / "NACT_04").iterdir():
        path.unlink()
    (folder / "segmentations").rename(folder / "Segmentations")
    return folder


def test_mama_mia_becomes_a_manifest(small_mama_mia, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["import", "mama-mia", str(small_mama_mia), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "CC BY-NC 4.0" in said
    assert "Garrucho L" in said
    cohort = read_manifest(out / "manifest.csv")
    assert not cohort.warnings
    assert {case.case_id: case.reason for case in cohort.cases} == {
        "DUKE_001": "",
        "DUKE_002": "",
        "ISPY1_1001": "",
        "ISPY2_100899": "",
        "NACT_01": "HER2 status missing",
        "NACT_02": "DCE-MRI in part: phases not there",
        "NACT_03": "expert outline not there",
        "NACT_04": "DCE-MRI not there",
    }
    statuses = [case.her2_status.value for case in cohort.cases if case.included]
    assert statuses == ["positive", "negative", "positive", "positive"]
    first = cohort.cases[0]
    assert [path.name for path in first.images] == [f"duke_001_000{n}.nii.gz" for n in range(3)]
    assert all(path.resolve().is_file() for path in (*first.images, first.roi))
    assert (first.cohort, first.role, first.times.starts_s) == ("DUKE", "development", (0.0, 97.0, 194.0))
    rows = manifest_of(out)
    assert [rows[name]["site"] for name in ("DUKE_001", "ISPY1_1001", "ISPY2_100899", "NACT_01")] == [
        *("", "AAI", "AAI", "4493")
    ]
    clinical = ("age", "menopause", "grade", "er", "pr", "vendor", "field_strength")
    assert [rows["DUKE_001"][name] for name in clinical] == [
        "41",
        "no",
        "G3",
        "negative",
        "positive",
        "GE",
        "1.5",
    ]
    assert [rows["ISPY2_100899"][name] for name in clinical[:2]] == ["", "yes"]


def test_what_is_written_about_an_import(small_mama_mia, tmp_path):
    out = tmp_path / "out"
    about, written = import_data_set("mama-mia", small_mama_mia, out)
    assert written == ["manifest.csv", "import.json", "import.html", "LICENCE.txt"]
    assert json.loads((out / "import.json").read_text())["excluded"] == about["excluded"]
    assert about["phase_times"] == {
        "given": 3,
        "left_empty": {
            "not in the source": 1,
            "not as many as phases": 2,
            "no increasing list of seconds": 2,
        },
    }
    assert (about["cases"], about["included"]) == (8, 4)
    assert about["by"]["site"]["AAI"]["n"] == 5
    [duke_early] = [row for row in about["early_phase"] if row["cohort"] == "DUKE"]
    # Contrast starts with the end of the first phase: the next one's middle lies half a step after it.
    assert (duke_early["by_time"], duke_early["when_read"], duke_early["phases"]) == (1, 1, {"1": 1})
    assert duke_early["time_s"]["median"] == 48.5
    licence = (out / "LICENCE.txt").read_text()
    assert "CC BY-NC 4.0" in licence
    assert "doi:10.1038/s41597-025-04707-4" in licence
    page = (out / "import.html").read_text()
    assert "expert outline not there" in page
    assert "Research use only" in page
    for name in written:
        text = (out / name).read_text()
        assert not any(secret in text for secret in SECRETS.values()), name
        assert str(tmp_path) not in text, name


def test_an_unedited_manifest_is_written_anew_an_edited_one_is_kept(small_mama_mia, tmp_path, refused):
    out = tmp_path / "out"
    import_data_set("mama-mia", small_mama_mia, out)
    (small_mama_mia / "images" / "NACT_01" / "nact_01_0002.nii.gz").unlink()
    import_data_set("mama-mia", small_mama_mia, out)
    assert manifest_of(out)["NACT_01"]["exclude"] == "DCE-MRI in part: phases not there"
    manifest = out / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("negative", "zero"))
    edited = manifest.read_text()
    assert "was edited" in refused(["import", "mama-mia", small_mama_mia, "--out", out])
    assert manifest.read_text() == edited


def test_cohort_takes_an_imported_manifest(small_mama_mia, tmp_path, capsys):
    import_data_set("mama-mia", small_mama_mia, tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "manifest.csv")
    more = [
        {**row, "case_id": f"copy{n}", "image": f"{n}.nii.gz", "roi": f"{n}_roi.nii.gz"}
        for n, row in enumerate(rows[:4])
    ]
    for row in more:
        (tmp_path / "out" / row["image"]).touch()
        (tmp_path / "out" / row["roi"]).touch()
        row["phase_times_s"] = ""
    path = write_csv(tmp_path / "out" / "doubled.csv", [*rows, *more])
    assert main(["cohort", str(path), "--out", str(tmp_path / "checked")]) == 0
    assert "DUKE (development): 4 assessed, 0 excluded, 4 cases (0 zero, 0 low, 2 positive, 2 negative)" in (
        capsys.readouterr().out
    )
    flow = json.loads((tmp_path / "checked" / "flow.json").read_text())
    assert flow["development"] == {"n": 8, "patients": 8, "zero": 0, "low": 0, "positive": 6, "negative": 2}


# HER2 states


def joined_mama_mia(tmp_path, rows, states):
    folder = write_mama_mia(tmp_path / "MAMA-MIA", rows, images=False)
    path = write_states(tmp_path / "states.csv", states)
    return import_data_set("mama-mia", folder, tmp_path / "out", path)


def test_states_are_joined_to_i_spy_2_by_number(tmp_path):
    rows = [
        mama_mia_row("ISPY2_100001", 0),
        mama_mia_row("ISPY2_100002", 0),
        mama_mia_row("ISPY2_100003", 1),
        mama_mia_row("ISPY2_100004", 0),
        mama_mia_row("ISPY2_100005", 0),
        mama_mia_row("ISPY1_100001", 1),
        mama_mia_row("ISPY2_100006", None),
    ]
    states = {"100001": "HER2=0", "100002": "HER2low", "100003": "HER2+", "100004": "NA", "7": "HER2+"}
    about, _ = joined_mama_mia(tmp_path, rows, {**states, "100006": "HER2low"})
    found = [row["her2_status"] for row in rows_of(tmp_path / "out" / "manifest.csv")]
    assert found == ["zero", "low", "positive", "negative", "negative", "positive", "low"]
    join = about["her2_states"]
    assert [join[name] for name in ("cases", "joined", "zero", "low", "positive", "without_case")] == [
        6,
        4,
        1,
        2,
        1,
        1,
    ]
    assert join["left"] == {
        "state not known (NA): stays negative": 1,
        "patient not in the table of states: stays negative": 1,
    }
    assert join["by"]["site"]["AAI"]["n"] == 6
    assert "Wolf DM" in (tmp_path / "out" / "LICENCE.txt").read_text()


def test_a_state_that_contradicts_names_both_rows(tmp_path):
    rows = [mama_mia_row("ISPY2_100001", 1), mama_mia_row("ISPY2_100002", 0)]
    with pytest.raises(InputError) as error:
        joined_mama_mia(tmp_path, rows, {"100001": "HER2low", "100002": "HER2+"})
    first, second = error.value.faults
    assert "clinical_and_imaging_info.xlsx: row 2, column her2, value '1'" in first
    assert "contradicts 'HER2low' in row 2 of states.csv" in first
    assert "row 3, column her2, value '0': contradicts 'HER2+' in row 3" in second


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"patientid": "1", "HER2.3.state..3.": "HER2-low"}], "value 'HER2-low': is no state"),
        ([{"patientid": "", "HER2.3.state..3.": "NA"}], "has no number at its end"),
        ([{"patientid": n, "HER2.3.state..3.": "NA"} for n in "11"], "is the patient of row 2 already"),
        ([{"patientid": "1", "state": "NA"}], "column 'HER2.3.state..3.' is missing"),
        ([{"patient": "1", "HER2.3.state..3.": "NA"}], "column 'patientid' is missing"),
        ([{"patientid": "9", "HER2.3.state..3.": "HER2low"}], "no patient of"),
    ],
)
def test_faults_of_the_table_of_states(tmp_path, refused, rows, words):
    folder = write_mama_mia(tmp_path / "MAMA-MIA", [mama_mia_row("ISPY2_100001", 0)], images=False)
    path = write_csv(tmp_path / "states.csv", rows)
    assert words in refused(["import", "mama-mia", folder, "--her2-states", path, "--out", tmp_path / "out"])
    assert not (tmp_path / "out").exists()


def test_the_821_patients_with_all_three_states(shared_data):
    """The published tables: 216 zero, 364 low, 241 positive; the other 159 of I-SPY 2 explained."""
    tables = shared_data / "tables"
    states = HER2States(tables / "ispy2_her2_three_states.csv")
    table = workbook_table(tables / "mama_mia_clinical_and_imaging_info.xlsx", "dataset_info", "patient_id")
    cases = mama_mia.mama_mia_cases(table, {}, {}, states)
    assert len(cases) == 1506
    assert states.join.known == {"zero": 216, "low": 364, "positive": 241}
    assert states.join.left == {
        "state not known (NA): stays negative": 156,
        "patient not in the table of states: stays negative": 3,
    }
    known = [c for c in cases if c.cohort == "ISPY2" and c.status.value != "negative"]
    assert len(known) == 821
    assert len({case.details["site"] for case in known}) == 22
    assert {case.details["vendor"] for case in known} == {"GE", "Philips", "SIEMENS"}
    assert sum(case.details["site"] == "AAI" for case in cases) == 168 + 62
    why = Counter(case.no_times for case in cases)
    assert why == {"not in the source": 33, "not as many as phases": 3, "": 1470}


# BreastDCEDL


def test_breastdcedl_full_release_keeps_its_split(tmp_path):
    states = ["HER2=0", "HER2low", "HER2+"] * 3
    rows = [
        breastdcedl_row(f"ISPY2-{n:06d}", float(state == "HER2+"), test)
        for n, (state, test) in enumerate(zip(states, [0.0] * 3 + [2.0] * 3 + [1.0] * 3), start=1)
    ]
    rows.append(breastdcedl_row("ACRIN-6698-000010", 0, None))
    folder = write_breastdcedl(tmp_path / "data", rows)
    path = write_states(
        tmp_path / "states.csv", {f"{n:06d}": state for n, state in enumerate(states, start=1)}
    )
    about, written = import_data_set("breastdcedl", folder, tmp_path / "out", path)
    assert "splits.json" in written
    cohort = read_manifest(tmp_path / "out" / "manifest.csv")
    assert [case.her2_status.value for case in cohort.cases] == ["zero", "low", "positive"] * 3 + ["negative"]
    assert cohort.cases[9].reason == "no set in the source's split"
    assert {case.early_phase for case in cohort.cases} == {2}
    assert set(cohort.external) == {"ISPY2-test"}
    splits = load_splits(tmp_path / "out" / "splits.json", cohort)
    ids = [f"ISPY2-{n:06d}" for n in range(1, 10)]
    task1 = splits.tasks["zero-vs-rest"]
    assert (task1.training, task1.validation) == (tuple(ids[:3]), tuple(ids[3:6]))
    task2 = splits.tasks["low-vs-positive"]
    assert (task2.training, task2.validation) == (tuple(ids[1:3]), tuple(ids[4:6]))
    assert splits.external == {"ISPY2-test": tuple(ids[6:])}
    assert (splits.kind, splits.seed) == ("given", 0)
    assert "no external validation" in " ".join(about["notes"])
    assert about["early_phase"][0]["by_source"] == 7


def test_breastdcedl_min_crop_and_the_layout_of_i_spy_2_alone(tmp_path):
    rows = [breastdcedl_row(f"ACRIN-6698-{n}", n % 2, n // 2) for n in range(1, 6)]
    for row in rows:
        row.pop("HER2", None)
        row.pop("dataset", None)
    rows[4]["n_times"] = ""
    folder = write_breastdcedl(tmp_path / "data", rows, numbers=(0, 2, 3))
    (dce,) = folder.glob("*/dce")
    for path in dce.glob("ACRIN-6698-3_*_3.nii.gz"):
        path.unlink()
    for path in folder.glob("*/mask/ACRIN-6698-4_*"):
        path.unlink()
    import_data_set("breastdcedl", folder, tmp_path / "out")
    found = manifest_of(tmp_path / "out")
    assert [row["exclude"] for row in found.values()] == [
        "",
        "",
        "DCE-MRI in part: of 4 phases 0, 2 there",
        "outline not there",
        "",
    ]
    assert {row["early_phase"] for row in found.values() if not row["exclude"]} == {"1"}
    assert found["ACRIN-6698-1"]["image"].count(";") == 2
    assert [row["cohort"] for row in found.values()][:3] == ["ISPY2", "ISPY2-test", "ISPY2-test"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"HER2": 1}, "column HER2, value '1': contradicts HER2pos '0'"),
        ({"HER2pos": "maybe"}, "column HER2pos, value 'maybe': is not a code"),
        ({"test": 3}, "column test, value '3': is not a code"),
        ({"dataset": "tcga"}, "column dataset, value 'tcga': is of no collection"),
        ({"post_early": "second"}, "value 'second': is not a number"),
        ({"pid": ""}, "is missing; give every row its patient"),
        ({"pid": "ispy2-1"}, "is the patient of row 2 already"),
    ],
)
def test_faults_of_breastdcedl_metadata(tmp_path, change, words):
    folder = write_breastdcedl(tmp_path / "data", [breastdcedl_row("ISPY2-1"), breastdcedl_row("ISPY2-2")])
    write_csv(
        folder / "BreastDCEDL_metadata.csv",
        [breastdcedl_row("ISPY2-1"), {**breastdcedl_row("ISPY2-2"), **change}],
    )
    with pytest.raises(InputError) as error:
        import_data_set("breastdcedl", folder, tmp_path / "out")
    assert any(words in fault for fault in error.value.faults)
    assert len(error.value.faults) == 1


def test_two_releases_in_one_folder_are_one_line(tmp_path, refused):
    folder = write_breastdcedl(tmp_path / "data", [breastdcedl_row("ISPY2-1")])
    image = next(folder.glob("*/dce/*_0.nii.gz"))
    (folder / "again").mkdir()
    (folder / "again" / image.name).write_bytes(image.read_bytes())
    assert "is there twice" in refused(["import", "breastdcedl", folder, "--out", tmp_path / "out"])
    (folder / "BreastDCEDL_metadata_min_crop.csv").write_text("pid\n")
    assert "several tables" in refused(["import", "breastdcedl", folder, "--out", tmp_path / "out"])


def test_published_breastdcedl_metadata(shared_data):
    table = read_table(shared_data / "tables" / "breastdcedl_metadata_spy2.csv")
    cases = breastdcedl.breastdcedl_cases(
        table, {}, HER2States(shared_data / "tables" / "ispy2_her2_three_states.csv")
    )
    assert len(cases) == 982
    statuses = [case.status.value for case in cases]
    assert [statuses.count(name) for name in ("zero", "low", "positive", "negative")] == [217, 364, 242, 159]
    assert sum(case.role == "external" for case in cases) == sum(case.validates for case in cases) == 98


# Duke


@pytest.mark.parametrize("three_header_rows", [True, False])
def test_duke_in_both_layouts(tmp_path, three_header_rows):
    rows = [
        duke_row("Breast_MRI_001", 1),
        duke_row("Breast_MRI_002", 0, **{"Tumor Location": "NC", "Field Strength": "NA"}),
        duke_row("Breast_MRI_003", 2),
        duke_row("Breast_MRI_004", "NP"),
        duke_row("Breast_MRI_005", 1),
    ]
    folder = write_duke(tmp_path / "data", rows, three_header_rows)
    (folder / "outlines" / "Breast_MRI_005.nii.gz").unlink()
    import_data_set("duke", folder, tmp_path / "out")
    cohort = read_manifest(tmp_path / "out" / "manifest.csv")
    assert [case.reason for case in cohort.cases] == [
        "",
        "",
        "HER2 indeterminate",
        "HER2 status missing",
        "outline not there: the source has none, draw one",
    ]
    assert [case.her2_status.value for case in cohort.cases[:3]] == ["positive", "negative", "indeterminate"]
    found = manifest_of(tmp_path / "out")["Breast_MRI_001"]
    names = (
        "laterality",
        "site",
        "vendor",
        "field_strength",
        "age",
        "menopause",
        "histology",
        "grade",
        "er",
        "pr",
    )
    assert [found[name] for name in names] == [
        *("left", "Duke", "GE", "3", "41", "no", "ductal", "G2", "positive", "")
    ]
    assert [found[name] for name in ("rfs_months", "rfs_event", "os_months", "os_event")] == [
        *("29.57", "0", "36.14", "0")
    ]


@pytest.mark.parametrize(
    ("change", "rfs", "survival"),
    [
        ({}, (900, 0), (1100, 0)),
        ({"Recurrence event": 1, "Days to local": 500, "Days to distant": 400}, (400, 1), (1100, 0)),
        ({"Days to death": 700}, (700, 1), (700, 1)),
        ({"Recurrence event": 1, "Days to local": 0, "Days to death": 700}, (0, 1), (700, 1)),
        ({"Age at last contact": None}, (900, 0), (1000, 0)),
        ({"Days to last local": "NC"}, None, (1100, 0)),
        ({"Recurrence event": 0, "Days to distant": 400}, None, (1100, 0)),
        ({"Recurrence event": 1}, None, (1100, 0)),
        ({"Recurrence event": None}, None, (1100, 0)),
        ({"Metastatic": 1}, None, (1100, 0)),
        (
            dict.fromkeys(("Age at last contact", "Days to last local", "Days to last distant"), "NC"),
            None,
            None,
        ),
    ],
)
def test_follow_up_of_duke(tmp_path, change, rfs, survival):
    folder = write_duke(tmp_path / "data", [duke_row("Breast_MRI_001", **change)], images=False)
    import_data_set("duke", folder, tmp_path / "out")
    found = manifest_of(tmp_path / "out")["Breast_MRI_001"]
    assert found["exclude"] == "DCE-MRI not there"
    for endpoint, expected in (("rfs", rfs), ("os", survival)):
        months = found[f"{endpoint}_months"]
        event = found[f"{endpoint}_event"]
        if expected is None:
            assert (months, event) == ("", "")
        else:
            assert math.isclose(float(months), expected[0] / 30.4375, abs_tol=0.005)
            assert event == str(expected[1])


def test_published_duke_table(shared_data):
    """Its sheet says it has a million rows of 1024 cells."""
    table = workbook_table(
        shared_data / "tables" / "duke_Clinical_and_Other_Features.xlsx", "Data", "Patient ID"
    )
    cases = duke.duke_cases(table, {}, {})
    assert len(cases) == 922
    statuses = [case.status.value for case in cases]
    assert [statuses.count(name) for name in ("positive", "negative")] == [163, 759]
    assert sum(case.details["os_event"] == "1" for case in cases) == 62
    assert sum(case.details["rfs_event"] == "1" for case in cases) == 101
    assert sum(case.details["rfs_event"] == "" for case in cases) == 35


# Workbooks


def test_rows_far_below_the_table_are_not_walked(tmp_path):
    path = write_workbook(
        tmp_path / "book.xlsx", "Data", [["id", "x"], ["a", 1.0], [None, None], ["b", True]]
    )
    table = workbook_table(path, "Data", "id")
    assert [(row.number, row["id"], row["x"]) for row in table.rows] == [(2, "a", "1"), (4, "b", "1")]
    huge = tmp_path / "huge.xlsx"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("sheet1.xml"):
                rows = b"".join(b'<row r="%d"/>' % n for n in range(5, 1_048_577))
                content = content.replace(b"</sheetData>", rows + b"</sheetData>")
                content = content.replace(b"A1:B4", b"A1:AMJ1048576")
            target.writestr(name, content)
    assert workbook_table(huge, "Data", "id").rows == table.rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "clinical_and_imaging_info.xlsx is not there"),
        (b"", "is no workbook"),
        (b"PK\x03\x04 broken", "is no workbook"),
        ("sheet", "has no sheet dataset_info, only Sheet1"),
        ("header", "no row with 'patient_id' among the first 10"),
        ("column", "column 'her2' is missing"),
        ("cut", "is no workbook"),
    ],
)
def test_faults_of_workbooks(tmp_path, refused, content, words):
    folder = write_mama_mia(tmp_path / "MAMA-MIA", [mama_mia_row("DUKE_001")], images=False)
    path = folder / "clinical_and_imaging_info.xlsx"
    if content is None:
        path.unlink()
    elif content == "sheet":
        write_workbook(path, "Sheet1", [["patient_id"]])
    elif content == "header":
        write_workbook(path, "dataset_info", [["patient"], ["DUKE_001"]])
    elif content == "column":
        names = ("patient_id", "dataset", "num_phases", "acquisition_times")
        write_workbook(path, "dataset_info", [names, ["DUKE_001", "DUKE", 3, None]])
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    else:
        path.write_bytes(content)
    assert words in refused(["import", "mama-mia", folder, "--out", tmp_path / "out"])
    assert not (tmp_path / "out").exists()


def test_a_workbook_damaged_inside_is_one_line(tmp_path, refused):
    folder = write_mama_mia(tmp_path / "MAMA-MIA", [mama_mia_row("DUKE_001")], images=False)
    path = folder / "clinical_and_imaging_info.xlsx"
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    for name, content in parts.items():
        if not name.startswith("xl/"):
            continue
        damaged = {**parts, name: content[: len(content) // 2]}
        with zipfile.ZipFile(path, "w") as book:
            for one, data in damaged.items():
                book.writestr(one, data)
        status = main(["import", "mama-mia", str(folder), "--out", str(tmp_path / "out")])
        assert status in (0, 2), name  # styles and themes are not needed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"her2": "+++"}, "column her2, value '+++': is not a code of this column; use 0, 1"),
        ({"her2": 2}, "value '2': is not a code"),
        ({"age": "old"}, "column age, value 'old': is not a number"),
        ({"dataset": None}, "column dataset, value '': is missing"),
        ({"patient_id": None}, "is missing; give every row its patient"),
        ({"patient_id": "duke_001"}, "is the patient of row 2 already"),
    ],
)
def test_faults_of_a_clinical_table(tmp_path, refused, change, words):
    rows = [mama_mia_row("DUKE_001"), {**mama_mia_row("DUKE_002"), **change}]
    folder = write_mama_mia(tmp_path / "MAMA-MIA", rows, images=False)
    line = refused(["import", "mama-mia", folder, "--out", tmp_path / "out"])
    assert "clinical_and_imaging_info.xlsx: row 3" in line
    assert words in line


@pytest.mark.parametrize("source", ["mama-mia", "breastdcedl", "duke"])
def test_folders_that_are_none_of_a_data_set(tmp_path, refused, source):
    assert "no such folder" in refused(["import", source, tmp_path / "none", "--out", tmp_path / "out"])
    (tmp_path / "empty").mkdir()
    assert "is not there" in refused(["import", source, tmp_path / "empty", "--out", tmp_path / "out"])


def test_a_folder_without_images_is_one_line(tmp_path, refused):
    folder = write_mama_mia(tmp_path / "MAMA-MIA", [mama_mia_row("DUKE_001")], images=False)
    (folder / "images").rmdir()
    assert "images: no such folder" in refused(["import", "mama-mia", folder, "--out", tmp_path / "out"])
    (tmp_path / "bare").mkdir()
    write_csv(tmp_path / "bare" / "metadata.csv", [breastdcedl_row("ISPY2-1")])
    assert "no image of a patient" in refused(
        ["import", "breastdcedl", tmp_path / "bare", "--out", tmp_path / "out"]
    )
    assert "Duke has no patient of I-SPY 2" in refused(
        ["import", "duke", tmp_path / "bare", "--her2-states", "x.csv", "--out", tmp_path / "out"]
    )


def test_a_missing_package_names_the_extra(tmp_path, refused, monkeypatch):
    folder = write_mama_mia(tmp_path / "MAMA-MIA", [mama_mia_row("DUKE_001")], images=False)
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    assert "pip install 'her2vit[public]'" in refused(
        ["import", "mama-mia", folder, "--out", tmp_path / "out"]
    )
