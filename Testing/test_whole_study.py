"""The study as one script, command by command, on a simulated cohort whose answers are known, from the cohort
to the report.
"""

import json
import shutil

import pytest

from HER2ViTLib.model.calibration import Calibration
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.genes import GENE_LOG2_FOLD_CHANGES
from HER2ViTTrainingLib.study_report.record import input_sha256
from HER2ViTTrainingLib.study_report.study import KINDS
from HER2ViTTrainingLib.training import runs
from support.csv_files import rows_of, write_csv
from support.pages import faults_of_page, text_of_page

CASES = 70


def run(*words):
    assert main([str(word) for word in words]) == 0


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The folder in which every command has written its results."""
    at = tmp_path_factory.mktemp("study")
    cases = at / "checked" / "cases.csv"
    run("simulate", "--cases", CASES, "--scale", 0.2, "--seed", 6, "--out", at / "cohort")
    run("cohort", at / "cohort" / "manifest.csv", "--out", at / "checked")
    run(
        "table1",
        cases,
        "--by",
        "her2_status",
        "--continuous",
        "age,tumor_size_cm",
        "--categorical",
        "grade,er",
        "--out",
        at / "table1",
    )
    survival = (
        "--time",
        "rfs_months",
        "--event",
        "rfs_event",
        "--group",
        "her2_status",
        "--covariates",
        "age,tumor_size_cm,positive_ln",
    )
    run("prognosis", cases, *survival, "--select", "all", "--out", at / "prognosis")
    groups = [
        f"{row['case_id']},{row['her2_status']}" for row in rows_of(cases) if row["her2_status"] != "zero"
    ]
    (at / "groups.csv").write_text("\n".join(["case_id,group", *groups]) + "\n")
    run("genes", at / "cohort" / "counts.csv.gz", "--groups", at / "groups.csv", "--out", at / "genes")
    run(
        "agreement",
        "--manifest",
        at / "cohort" / "manifest.csv",
        "--compare",
        "A1,A2",
        "--compare",
        "A1,B1",
        "--out",
        at / "agreement",
    )
    models(at)
    run("report", at, "--out", at / "report")
    return at


def models(at):
    """Both models, and all that is asked of them. They are tiny and learn next to nothing: this is about what
    is written and how it fits together.
    """
    manifest = at / "cohort" / "manifest.csv"
    network = ("--img-size", 64, "--pretrained", "none", "--epochs", 1, "--device", "cpu")
    where = ("--splits", at / "checked" / "splits.json", "--cache", at / ".cache")
    for task in ("zero-vs-rest", "low-vs-positive"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(runs, "platt_calibration", lambda labels, logits: Calibration(1.3, 0.2))
            run("train", manifest, "--task", task, *network, *where, "--out", at / "models" / task)
        told = at / "models" / task / "predictions.csv"
        from_validation = ("--threshold-from", "validation", "--resamples", 50)
        run("evaluate", told, *from_validation, "--out", at / "table2" / task)
    first = at / "models" / "zero-vs-rest"
    second = at / "models" / "low-vs-positive"
    with_images = ("--manifest", manifest, "--bundle", first, "--resamples", 50, "--no-figures")
    run("audit", first / "predictions.csv", *with_images, "--out", at / "audit")
    run("batch", manifest, "--bundle", first, "--bundle", second, "--workers", 1, "--out", at / "readings")
    judged = ("--truth", manifest, "--resamples", 50)
    run("evaluate3", at / "readings" / "readings.csv", *judged, "--out", at / "call")
    run("adapt", first, "--prevalence", 0.6, "--out", at / "adapted")
    run("sanity", first, manifest, "--cases", 10, "--resamples", 50, "--no-figures", "--out", at / "sanity")


def test_every_case_is_in_every_table(study):
    sizes = next(row for row in rows_of(study / "table1" / "table1.csv") if row["variable"] == "n")
    in_groups = {name: int(sizes[name]) for name in ("zero", "low", "positive")}
    assert sum(in_groups.values()) == CASES
    curves = json.loads((study / "prognosis" / "logrank.json").read_text())["groups"]
    assert {group["name"]: group["n"] for group in curves} == in_groups
    assert len({row["case_id"] for row in rows_of(study / "agreement" / "overlap.csv")}) == CASES


def test_fold_changes_are_those_of_the_simulation(study):
    found = {row["gene"]: row for row in rows_of(study / "genes" / "deseq2.csv")}
    for gene in ("ERBB2", "GRB7", "SCUBE2"):
        change = float(found[gene]["log2FoldChange"])
        error = float(found[gene]["lfcSE"])
        assert abs(change - GENE_LOG2_FOLD_CHANGES[gene]) < 4 * error
        assert float(found[gene]["padj"]) < 1e-6


def test_the_same_reader_agrees_better_than_two_readers(study):
    rows = [
        row for row in rows_of(study / "agreement" / "icc.csv") if row["form"] == "ICC(2,1)" and row["icc"]
    ]
    intra = [float(row["icc"]) for row in rows if row["comparison"] == "A1,A2"]
    inter = [float(row["icc"]) for row in rows if row["comparison"] == "A1,B1"]
    assert len(intra) == len(inter) > 20
    assert sorted(intra)[len(intra) // 2] > sorted(inter)[len(inter) // 2] > 0.5


def test_the_report_holds_every_part_of_the_study(study):
    page = study / "report" / "study.html"
    assert faults_of_page(page) == []
    html = page.read_text(encoding="utf-8")
    text = text_of_page(page)
    assert "What is missing" not in text
    for kind in KINDS:
        assert f'<section class="result" id="{kind.key}">' in html
        assert f"her2vit {kind.command} " in text, "the command that made it"
    assert "not recorded" not in text
    assert f"Of {CASES} cases assessed, {CASES} were included" in text
    assert str(study) not in html and "manifest.csv" not in html


def test_the_report_shows_the_numbers_of_the_results(study):
    text = text_of_page(study / "report" / "study.html")
    for task in ("zero-vs-rest", "low-vs-positive"):
        for row in rows_of(study / "table2" / task / "table2.csv"):
            assert row["AUC"] in text and row["sensitivity"] in text
    assert json.loads((study / "sanity" / "sanity.json").read_text())["sentence"].split(". ")[0] in text
    call = json.loads((study / "call" / "three_class.json").read_text())
    for name, counts in zip(call["labels"], call["matrix"]):
        assert " ".join([name, *map(str, counts)]) in text


def test_each_input_of_the_study_is_traced_to_who_made_it(study):
    text = text_of_page(study / "report" / "study.html")
    for role, file, title in (
        ("splits", "checked/splits.json", "Cohort"),
        ("cases", "checked/cases.csv", "Cohort"),
        ("predictions", "models/zero-vs-rest/predictions.csv", "Training"),
        ("bundle", "models/low-vs-positive/config.json", "Training"),
        ("readings", "readings/readings.csv", "Readings"),
    ):
        assert f"{role}: {input_sha256(study / file)} , {title}" in text, role


def test_every_item_of_the_checklists_has_an_answer_or_an_owner(study):
    for row in rows_of(study / "report" / "checklists.csv"):
        assert row["where"] or row["open"].startswith(("author: ", "site: ")), row


def test_readings_of_other_models_are_refused(study, tmp_path, refused):
    copied = shutil.copytree(
        study, tmp_path / "study", ignore=shutil.ignore_patterns("cohort", ".cache", "cases")
    )
    rows = rows_of(copied / "readings" / "readings.csv")
    others = write_csv(tmp_path / "readings.csv", [*rows[1:], rows[0]])
    judged = ("--truth", study / "cohort" / "manifest.csv", "--resamples", 20)
    run("evaluate3", others, *judged, "--out", copied / "call")
    line = refused(["report", copied, "--out", tmp_path / "report"])
    assert "three_class.json" in line and "readings" in line
