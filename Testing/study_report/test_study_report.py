"""The report of a study: what it finds, what it says is missing, what it refuses, what the checklists say."""

import json
import re
import shutil

import numpy as np
import pytest

from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.study_report.body import body_of
from HER2ViTTrainingLib.study_report.checklists import CHECKLISTS
from HER2ViTTrainingLib.study_report.record import input_sha256, read_record, write_record
from HER2ViTTrainingLib.study_report.study import KINDS
from support.csv_files import rows_of, write_csv
from support.pages import faults_of_page, text_of_page

_WITH_LETTERS = {
    **{3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef", 20: "abc", 23: "ab"},
    27: "abc",
}
TRIPOD_AI = [f"{number}{letter}" for number in range(1, 28) for letter in _WITH_LETTERS.get(number, [""])]
CLAIM_2024 = [str(number) for number in range(1, 45)]


def run(*words):
    assert main([str(word) for word in words]) == 0


def predictions(path, seed, sets=("training", "validation")):
    random = np.random.default_rng(seed)
    labels = np.tile([0, 1], 20)
    rows = []
    for name in sets:
        scores = np.clip(0.35 + 0.3 * labels + random.normal(0, 0.2, labels.size), 0.01, 0.99)
        for n, (label, score) in enumerate(zip(labels.tolist(), scores.tolist())):
            rows.append({"case_id": f"{name}{n}", "set": name, "label": label, "score": round(score, 4)})
    return write_csv(path, rows)


@pytest.fixture
def study(tmp_path):
    """A training's predictions as `train` records them, and a Table 2 made of them."""
    model = tmp_path / "study" / "model"
    model.mkdir(parents=True)
    predictions(model / "predictions.csv", 1)
    settings = {
        "task": "zero-vs-rest",
        "arch": "vit",
        "pretrained": "none",
        "preset": "square",
        "recipe": "default",
        "seed": 1,
    }
    line = "her2vit train MANIFEST --task zero-vs-rest --out DIR"
    write_record(model, "train", line, settings, [], ["predictions.csv"])
    evaluated(tmp_path / "study", model / "predictions.csv")
    return tmp_path / "study"


def evaluated(study, table):
    run("evaluate", table, "--resamples", 20, "--no-figures", "--out", study / "table2")


def test_the_methods_name_size_only_where_it_was_asked(study, tmp_path):
    told = study / "model" / "predictions.csv"
    labels = rows_of(told)
    sites = write_csv(tmp_path / "sited.csv", [{**row, "site": "AB"[n % 2]} for n, row in enumerate(labels)])
    shutil.copy(sites, told)
    shutil.rmtree(study / "table2", ignore_errors=True)
    run("audit", told, "--resamples", 20, "--no-figures", "--out", study / "audit")
    (study / "model" / "made_by.json").unlink()
    run("report", study, "--out", tmp_path / "report")
    text = text_of_page(tmp_path / "report" / "study.html")
    assert "The score was held against knowing only the site or scanner (columns: site)" in text


def test_every_item_is_there_once_under_its_published_number():
    found = {one["name"]: one for one in json.loads(CHECKLISTS.read_text(encoding="utf-8"))["checklists"]}
    assert [item["number"] for item in found["TRIPOD+AI"]["items"]] == TRIPOD_AI
    assert [item["number"] for item in found["CLAIM 2024"]["items"]] == CLAIM_2024
    known = {"methods", "external", "sites", *(kind.key for kind in KINDS)}
    for checklist in found.values():
        assert checklist["looked_up"] and checklist["source"]
        for item in checklist["items"]:
            assert set(item["sections"]) <= known, item
            assert item["sections"] or item["open"], item
            assert item.get("owner") in ("author", "site", None), item
            assert ("open" in item) == ("owner" in item), item


def test_a_command_records_its_words_its_inputs_and_its_outputs(study):
    record = read_record(study / "table2")
    assert record.command == "evaluate"
    assert record.line == "her2vit evaluate PREDICTIONS --no-figures --resamples 20 --out DIR"
    assert record.settings["resamples"] == 20 and record.settings["seed"] == 1
    assert record.inputs == [("predictions", input_sha256(study / "model" / "predictions.csv"))]
    assert record.outputs["metrics.json"] == input_sha256(study / "table2" / "metrics.json")
    assert str(study) not in (study / "table2" / "made_by.json").read_text()


def test_run_again_the_record_is_the_same(study):
    before = (study / "table2" / "made_by.json").read_bytes()
    evaluated(study, study / "model" / "predictions.csv")
    assert (study / "table2" / "made_by.json").read_bytes() == before


def test_the_report_is_whole_and_says_what_is_missing(study, tmp_path, capsys):
    run("report", study, "--out", tmp_path / "out")
    said = capsys.readouterr().out
    page = tmp_path / "out" / "study.html"
    assert faults_of_page(page) == []
    text = text_of_page(page)
    for kind in KINDS:
        there = kind.key in ("training", "table2")
        missing = f"{kind.title} is missing (her2vit {kind.command})"
        assert (missing not in text) == there, kind.key
        assert (missing not in said) == there, kind.key
    assert "her2vit evaluate PREDICTIONS --no-figures --resamples 20 --out DIR" in text
    assert f"predictions: {input_sha256(study / 'model' / 'predictions.csv')}" in text
    assert "Research use only" in text
    assert "bootstrap over cases (20 resamples, seed 1)" in text, "the methods say what was set"


def test_every_item_is_answered_or_open_for_someone(study, tmp_path):
    run("report", study, "--out", tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "checklists.csv")
    assert [row["item"] for row in rows] == [*TRIPOD_AI, *CLAIM_2024]
    for row in rows:
        assert bool(row["where"]) == (row["answered"] != "open"), row
        assert bool(row["open"]) == (row["answered"] != "yes"), row
        assert not row["open"] or re.match("author: |site: ", row["open"]), row
    by_item = {(row["checklist"], row["item"]): row for row in rows}
    assert by_item["TRIPOD+AI", "12e"]["answered"] == "yes"
    assert by_item["TRIPOD+AI", "23b"]["open"] == "author: no audit by site or scanner (her2vit audit --by)"
    assert by_item["CLAIM 2024", "33"]["answered"] == "open", "no external set was evaluated"
    assert by_item["CLAIM 2024", "44"]["open"] == "author: funding"


def test_an_external_set_answers_the_item_on_external_testing(study, tmp_path):
    table = predictions(study / "model" / "predictions.csv", 1, ("validation", "elsewhere"))
    record = read_record(study / "model")
    write_record(study / "model", "train", record.line, record.settings, [], [table.name])
    evaluated(study, table)
    run("report", study, "--out", tmp_path / "out")
    rows = {(row["checklist"], row["item"]): row for row in rows_of(tmp_path / "out" / "checklists.csv")}
    assert rows["CLAIM 2024", "33"]["answered"] == "yes"


def test_a_table_2_of_other_predictions_is_one_line(study, tmp_path, refused):
    evaluated(study, predictions(tmp_path / "others.csv", 2))
    line = refused(["report", study, "--out", tmp_path / "out"])
    assert "metrics.json" in line and "predictions" in line and str(study / "model") in line
    assert input_sha256(tmp_path / "others.csv")[:12] in line
    assert not (tmp_path / "out").exists()


def test_without_a_record_the_result_itself_names_its_inputs(study, tmp_path, refused):
    evaluated(study, predictions(tmp_path / "others.csv", 2))
    (study / "table2" / "made_by.json").unlink()
    line = refused(["report", study, "--out", tmp_path / "out"])
    assert input_sha256(tmp_path / "others.csv")[:12] in line
    evaluated(study, study / "model" / "predictions.csv")
    (study / "table2" / "made_by.json").unlink()
    run("report", study, "--out", tmp_path / "out")
    assert "The command was not recorded" in text_of_page(tmp_path / "out" / "study.html")


def test_a_result_changed_by_hand_is_one_line(study, tmp_path, refused):
    path = study / "table2" / "metrics.json"
    path.write_text(path.read_text().replace('"tp"', '"tp" '))
    line = refused(["report", study, "--out", tmp_path / "out"])
    assert line.startswith(f"her2vit: {path}: is not the file her2vit evaluate wrote")


def test_a_missing_or_damaged_file_is_one_line(study, tmp_path, refused):
    (study / "table2" / "made_by.json").write_text("{")
    assert "made_by.json: is damaged" in refused(["report", study, "--out", tmp_path / "out"])
    (study / "table2" / "made_by.json").unlink()
    (study / "table2" / "table2.html").unlink()
    assert "table2.html: is missing" in refused(["report", study, "--out", tmp_path / "out"])
    (study / "table2" / "metrics.json").write_text('{"inputs": [], "sets": {}}')
    (study / "table2" / "table2.html").write_text("<p>")
    assert "lacks a setting ('bootstrap')" in refused(["report", study, "--out", tmp_path / "out"])
    shutil.rmtree(study / "table2")
    shutil.rmtree(study / "model")
    assert "holds no results" in refused(["report", study, "--out", tmp_path / "out"])


def test_names_of_folders_are_shown_only_on_request(study, tmp_path):
    (study / "table2").rename(study / "Jane_Doe")
    run("report", study, "--out", tmp_path / "out")
    assert "Jane" not in (tmp_path / "out" / "study.html").read_text()
    run("report", study, "--keep-names", "--out", tmp_path / "out")
    text = text_of_page(tmp_path / "out" / "study.html")
    assert "Jane_Doe" in text and "Training (model)" in text


def test_a_page_brings_its_words_and_pictures_and_nothing_else():
    page = b"""<!doctype html><html><head><title>t</title><style>p {}</style></head><body>
    <h1 id="x">Head</h1><p class="note" onclick="a()">1 &lt; 2</p><script>alert(1)</script>
    <img src="http://elsewhere/a.png"><img alt="a" src="data:image/png;base64,AAAA"><a href="http://b">b</a>
    <details class="inputs"><summary>in</summary><p>hash</p></details>
    <details><summary>more</summary><p>said</p></details></body></html>"""
    assert "".join(body_of(page).split()) == (
        '<h3>Head</h3><pclass="note">1&lt;2</p><imgalt="a"src="data:image/png;base64,AAAA">b'
        "<h5>more</h5><p>said</p>"
    )
