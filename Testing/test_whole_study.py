"""The study's other analyses as one script, command by command, on a simulated cohort whose answers are
known.
"""

import json

import pytest

from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.simulation.genes import GENE_LOG2_FOLD_CHANGES
from support.csv_files import rows_of

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
    return at


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
