"""Hostile and odd tables and texts: manifests, predictions, readings, ratings, counts, gene sets,
interactions, splits, sessions.

Every command gets each of its files damaged in many ways: it ends with its results, or with status 2, a line
a fault and nothing written.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from HER2ViTLib.messages import InputError
from HER2ViTLib.session.files import Read, SessionCase, load_read
from HER2ViTLib.session.log import read_log
from HER2ViTLib.session.session import Session
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import load_splits, make_splits
from HER2ViTTrainingLib.commands.main import main
from HER2ViTTrainingLib.genes import files as gene_files
from HER2ViTTrainingLib.genes.files import read_counts, read_groups
from HER2ViTTrainingLib.genes.gene_sets import read_gene_sets, read_interactions
from HER2ViTTrainingLib.repeatability.reads import case_reads
from support.hostile import (
    NUMBERS,
    SCRIPT,
    VALUES,
    damaged,
    faults_of,
    files_in,
    outcome,
    places,
    quick,
    replaced,
    written,
)

pytestmark = pytest.mark.usefixtures("no_network")


def as_csv(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


CASES = [f"case{n:02}" for n in range(12)]
NOISE = np.random.default_rng(0)
STATUS = ("0", "1+", "3+")
MANIFEST = [["case_id", "image", "roi", "ihc", "ish", "age", "grade", "rfs_months", "rfs_event"]] + [
    [case, f"{case}.nrrd", f"{case}_roi.nrrd", STATUS[n % 3], "", 40 + n, f"G{n % 3 + 1}", 3 + 7 * n, n % 2]
    for n, case in enumerate(CASES)
]
PREDICTIONS = [["case_id", "set", "label", "score", "site", "other"]] + [
    [case, "ab"[n % 2], n // 2 % 2, f"{0.1 + 0.05 * n:.2f}", "xy"[n // 6], f"{0.9 - 0.04 * n:.2f}"]
    for n, case in enumerate(CASES)
]
READINGS = [["case_id", "call"]] + [
    [case, ("zero", "low", "positive")[n % 3]] for n, case in enumerate(CASES)
]
RATINGS = [["case_id", "rater", "shape_volume", "signal_mean"]] + [
    [case, rater, f"{NOISE.normal(5 + n):.3f}", f"{NOISE.normal(9):.3f}"]
    for rater in ("A1", "B1")
    for n, case in enumerate(CASES)
]
FEATURES = [["case_id", "rater", "shape2d_area", "shape3d_volume", "vit1_embedding_000"]] + [
    [case, "A1", 20 + 9 * n % 7, 200 + n, f"{n * 0.37 % 1:.2f}"] for n, case in enumerate(CASES)
]
COUNTS = [["gene", *CASES]] + [[f"GENE{g}", *NOISE.integers(5, 200, len(CASES))] for g in range(12)]
GROUPS = [["case_id", "group"]] + [[case, ("low", "positive")[n % 2]] for n, case in enumerate(CASES)]
GMT = b"TERM A\thttp://x\tGENE1\tGENE2\tGENE3\nTERM B\t\tGENE4\tGENE5\n"
PPI = b"a\tb\tscore\nGENE1\tGENE2\t900\nGENE2\tGENE3\t900\nGENE1\tGENE3\t900\n"
QUICKLY = ["--no-figures"]
COMMANDS = {
    "evaluate": (
        {"p.csv": as_csv(PREDICTIONS)},
        ["evaluate", "p.csv", "--compare", "other", "--by", "site", "--resamples", "20", *QUICKLY],
    ),
    "audit": (
        {"p.csv": as_csv(PREDICTIONS), "f.csv": as_csv(FEATURES), "m.csv": as_csv(MANIFEST)},
        [
            "audit",
            "p.csv",
            "--features",
            "f.csv",
            "--manifest",
            "m.csv",
            "--by",
            "site",
            "--by",
            "grade",
            "--resamples",
            "20",
            *QUICKLY,
        ],
    ),
    "evaluate3": (
        {"r.csv": as_csv(READINGS), "m.csv": as_csv(MANIFEST)},
        ["evaluate3", "r.csv", "--truth", "m.csv", "--resamples", "20"],
    ),
    "agreement": ({"r.csv": as_csv(RATINGS)}, ["agreement", "r.csv", *QUICKLY]),
    "table1": ({"m.csv": as_csv(MANIFEST)}, ["table1", "m.csv", "--by", "grade"]),
    "prognosis": (
        {"m.csv": as_csv(MANIFEST)},
        [
            "prognosis",
            "m.csv",
            "--time",
            "rfs_months",
            "--event",
            "rfs_event",
            "--covariates",
            "age",
            *QUICKLY,
        ],
    ),
    "cohort": ({"m.csv": as_csv(MANIFEST)}, ["cohort", "m.csv"]),
    "session": ({"m.csv": as_csv(MANIFEST)}, ["session", "m.csv", "--cases", "2"]),
    "features": ({"m.csv": as_csv(MANIFEST)}, ["features", "m.csv"]),
}


def run(folder, command, files, capsys):
    """Runs a command in a folder of its own and says what came of it; whatever it is, the inputs stay and
    nothing lies elsewhere.
    """
    if not folder.exists():
        folder.mkdir()
        for case in CASES:  # that a manifest names; nothing here gets so far as to read them
            (folder / f"{case}.nrrd").touch()
            (folder / f"{case}_roi.nrrd").touch()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    before = files_in(folder.parent)
    words = [str(folder / word) if word in files else word for word in COMMANDS[command][1]]
    status = main([*words, "--out", str(folder / "out")])
    said = capsys.readouterr().err
    assert status in (0, 2), said
    assert "internal error" not in said
    if status == 2:
        assert said
        assert all(line.startswith("her2vit: ") and line.isprintable() for line in said.splitlines())
        assert not (folder / "out").exists()
    after = files_in(folder.parent)
    new = after.keys() - before.keys()
    assert all(path == folder / "out" or folder / "out" in path.parents for path in new)
    assert all(after[path] == before[path] for path in before)
    for path in sorted(new, reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return status, said


HOSTILE_CELLS = (
    *NUMBERS,
    *(
        "=cmd|' /C calc'!A0",
        "@SUM(1)",
        "+1+1",
        SCRIPT,
        "{{ 7 * 7 }}",
        "{% raw %}",
        "$\\bad$",
        "\x1b[2J\x1b]0;x\x07",
    ),
    *(
        "\ufeff",
        "\u202etxt",
        "\N{GRINNING FACE}",
        "line\nbreak",
        "\r",
        "\t",
        "x" * 5000,
        "1_000",
        "1e5",
        "NA",
    ),
    *("../../etc/passwd", "/etc/passwd", "C:\\x", "CON", "a/b", "..", ".", "-rf", "~", "a;b;;c"),
)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore")
def test_every_command_takes_any_cell_or_says_what_is_wrong(tmp_path, capsys, command):
    files, _ = COMMANDS[command]
    choose = np.random.default_rng(1)
    for name, data in files.items():
        rows = list(csv.reader(io.StringIO(data.decode())))
        for n, cell in enumerate(HOSTILE_CELLS):
            changed = [list(row) for row in rows]
            column = n % len(rows[0])
            row = 0 if n % 7 == 6 else int(choose.integers(1, len(rows)))
            changed[row][column] = cell
            run(tmp_path / "in", command, {**files, name: as_csv(changed)}, capsys)


def utf16(data):
    return data.decode().encode("utf-16")


ENCODINGS = {
    "UTF-16": (utf16, 2),
    "Latin-1": (lambda data: data.replace(b"case01", "M\xfcller".encode("latin-1")), 2),
    "byte order mark": (lambda data: b"\xef\xbb\xbf" + data, None),
    "zero bytes": (lambda data: data.replace(b"case01", b"ca\0se"), 2),
    "CR line ends": (lambda data: data.replace(b"\r\n", b"\r"), None),
    "LF line ends": (lambda data: data.replace(b"\r\n", b"\n"), None),
    "quoted line breaks": (lambda data: data.replace(b"case01", b'"case\r\n01"'), None),
    "an open quote": (lambda data: data.replace(b"case01", b'"case01'), 2),
    "a huge cell": (lambda data: data.replace(b"case01", b"x" * 200_000), 2),
    "semicolons": (lambda data: data.replace(b",", b";"), 2),
    "no rows": (lambda data: data.partition(b"\r\n")[0], 2),
    "nothing": (lambda data: b"", 2),
    "a workbook": (lambda data: b"PK\x03\x04" + data, 2),
    "a picture": (lambda data: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, 2),
    "compressed": (gzip.compress, 2),
    "a column twice": (lambda data: b"case_id," + data, 2),
}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("session", "features")])
@pytest.mark.filterwarnings("ignore")
def test_encodings_and_files_of_another_kind(tmp_path, capsys, command):
    files, _ = COMMANDS[command]
    name = next(iter(files))
    for kind, (change, expected) in ENCODINGS.items():
        status, said = run(tmp_path / "in", command, {**files, name: change(files[name])}, capsys)
        assert expected is None or status == expected, (kind, said)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("session", "features")])
@pytest.mark.parametrize("line", ["sep=,", "sep=;", '"sep=\t"', "SEP=,,,"])
def test_a_spreadsheets_line_about_separators_is_no_header(tmp_path, capsys, command, line):
    files, _ = COMMANDS[command]
    name = next(iter(files))
    status, said = run(
        tmp_path / "in", command, {**files, name: f"\ufeff{line}\r\n".encode() + files[name]}, capsys
    )
    assert (status, len(said.splitlines())) == (2, 1), said
    assert (
        "is a spreadsheet's line about separators, no header; remove it, and separate columns with commas"
        in said
    )


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.filterwarnings("ignore")
def test_every_command_takes_any_damage_or_says_what_is_wrong(tmp_path, capsys, command):
    files, _ = COMMANDS[command]
    for name, data in files.items():
        for seed in range(15):
            run(tmp_path / "in", command, {**files, name: damaged(data, seed)}, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_pipes_devices_circles_and_long_names_are_refused_at_once(tmp_path, refused, capsys, command):
    files, words = COMMANDS[command]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    victim = next(iter(files))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for given_instead in ("pipe", "circle", "/dev/zero", "x" * 300, ".", "no\nsuch\x1b[2Jfile"):
        named = [
            str(tmp_path / (given_instead if word == victim else word)) if word in files else word
            for word in words
        ]
        line = refused([*named, "--out", tmp_path / "out"])
        assert "internal error" not in line
        assert line.isprintable()
    for out in ("x" * 300, "pipe/out", "circle/out"):
        named = [str(tmp_path / word) if word in files else word for word in words]
        assert main([*named, "--out", str(tmp_path / out)]) == 2
        assert "internal error" not in capsys.readouterr().err


# The manifest


@pytest.fixture
def manifest(tmp_path):
    """A function that writes a manifest of hostile rows beside real (empty) files; returns its path."""
    for name in ("image.nrrd", "roi.nrrd"):
        (tmp_path / name).touch()

    def write(*rows):
        path = tmp_path / "manifest.csv"
        path.write_bytes(as_csv([["case_id", "image", "roi", "ihc", "ish"], *rows]))
        return path

    return write


RESERVED = (
    *(
        "con",
        "NUL.txt",
        "com1",
        "Lpt9",
        ".hidden",
        "..",
        "a/b",
        "a\\b",
        "a:b",
        "a|b",
        "a*b",
        "a?b",
        'a"b',
        "<a>",
        "a.",
    ),
    *("a\tb", "a\nb", "-rf", "=1+1", "x" * 81, "\N{GRINNING FACE}"),
    *(
        "con .txt",
        "COM\N{SUPERSCRIPT ONE}",
        "a\N{RIGHT-TO-LEFT OVERRIDE}b",
        "a\N{ZERO WIDTH JOINER}b",
        "e\N{COMBINING ACUTE ACCENT}",
    ),
)


@pytest.mark.parametrize("name", RESERVED)
def test_case_ids_that_cannot_be_folder_names_everywhere(manifest, name):
    assert "cannot be the name of a folder" in faults_of(
        read_manifest, manifest([name, "image.nrrd", "roi.nrrd", "0", ""])
    )


@quick(80)
@given(
    name=st.text(min_size=1, max_size=90)
    | st.text(st.sampled_from("ab.-_ \N{MATHEMATICAL SCRIPT CAPITAL A}\u4e2d/\\"), min_size=1, max_size=85)
)
def test_a_case_id_that_is_taken_names_a_folder_inside_the_folder(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp() / "case ids"
    (folder / "out").mkdir(parents=True, exist_ok=True)
    for file in ("image.nrrd", "roi.nrrd"):
        (folder / file).touch()
    try:
        data = as_csv([["case_id", "image", "roi", "ihc", "ish"], [name, "image.nrrd", "roi.nrrd", "0", ""]])
    except UnicodeEncodeError:
        return
    (folder / "m.csv").write_bytes(data)
    cohort, faults = outcome(read_manifest, folder / "m.csv")
    if faults is None:
        made = folder / "out" / f".writing-{cohort.cases[0].case_id}"
        made.mkdir()
        assert made.resolve().parent == (folder / "out").resolve()
        made.rmdir()


def test_paths_may_lead_anywhere_but_must_lead_to_files(manifest, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    outside = str(tmp_path / "image.nrrd")
    assert read_manifest(manifest(["a", outside, "sub/../roi.nrrd", "0", ""])).cases[0].images[0].is_file()
    for image, roi in (
        ("circle", "roi.nrrd"),
        ("pipe", "roi.nrrd"),
        ("image.nrrd", "pipe"),
        ("image.nrrd", "sub"),
        ("x" * 5000, "circle"),
    ):
        assert "row 2" in faults_of(read_manifest, manifest(["a", image, roi, "0", ""]))
    excluded = tmp_path / "excluded.csv"
    excluded.write_bytes(
        as_csv(
            [
                ["case_id", "image", "roi", "ihc", "ish", "exclude"],
                ["a", "circle", "circle", "0", "", "no images"],
            ]
        )
    )
    assert not read_manifest(excluded).cases[0].included


def test_many_rows_and_many_faults_end_soon(manifest):
    rows = [[f"case {n}", "nothing.nrrd", "nothing.nrrd", "7", "x"] for n in range(5000)]
    with pytest.raises(InputError) as fault:
        read_manifest(manifest(*rows))
    assert len(fault.value.faults) >= 5000, "each row has a line of its own"
    # to compare each with all before it takes seconds a row
    phases = ";".join(f"{n}.nrrd" for n in range(10_000))
    with pytest.raises(InputError, match="the first of 10000 files") as fault:
        read_manifest(manifest(["a", phases, "nothing.nrrd", "0", ""]))
    assert len(fault.value.faults) == 2


# splits.json


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    for case in CASES:
        (folder / f"{case}.nrrd").touch()
        (folder / f"{case}_roi.nrrd").touch()
    (folder / "m.csv").write_bytes(as_csv(MANIFEST))
    cohort = read_manifest(folder / "m.csv")
    return cohort, make_splits(cohort, folds=2), folder / "splits.json"


def vouched_for(content):
    """The content with the hash of what it says, as whoever changes it can make it."""
    if isinstance(content, dict):
        inner = {key: value for key, value in content.items() if key != "sha256"}
        text = json.dumps(inner, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        content = {"sha256": hashlib.sha256(text.encode(errors="replace")).hexdigest(), **inner}
    return content


@quick(150)
@given(data=st.data())
def test_any_part_of_a_splits_file_may_be_anything(splits, data):
    cohort, made, path = splits
    good = json.loads(made.to_json())
    place = data.draw(st.sampled_from(list(places(good))))
    content = replaced(good, place, data.draw(st.sampled_from(VALUES)))
    path.write_text(written(vouched_for(content) if data.draw(st.booleans()) else content))
    found, faults = outcome(load_splits, path, cohort)
    if faults is None:
        assert {
            name: (task.training, task.validation) for name, task in found.tasks.items() if name in made.tasks
        } == {name: (task.training, task.validation) for name, task in made.tasks.items()} or set(
            places(good)
        ) != set(places(content))


# Sessions


@pytest.fixture(scope="module")
def read_json():
    cases = tuple(
        SessionCase(f"A1-00{n}", 1, (0.0, 60.0, None), (50.0, None, None), 20.0) for n in range(1, 4)
    )
    return Read("A1", "A", 1, 14.0, cases).to_json()


LOG = [
    {"at": "2026-03-01T09:00:00Z", "event": "opened"},
    {"at": "2026-03-01T09:00:10Z", "event": "shown", "code": "A1-001"},
    {
        "at": "2026-03-01T09:01:00Z",
        "event": "outlined",
        "code": "A1-001",
        "reading_s": 50.0,
        "sha256": "ab" * 32,
    },
    {
        "at": "2026-03-01T09:02:00Z",
        "event": "skipped",
        "code": "A1-002",
        "reading_s": 5.0,
        "reason": "motion",
    },
]
KEY = [["code", "case_id", "rater"]] + [[f"A1-00{n}", f"case{n}", "A1"] for n in range(1, 4)]
PLAN = {
    "format": "her2vit-session-plan",
    "version": 1,
    "reads": [{"read": "A1", "reader": "A", "number": 1}],
    "cases": 3,
    "washout_days": 14.0,
}


def a_plan(folder, read, log=LOG, plan=PLAN, key=KEY):
    """A session's folder with one read; what is given as text is written as it is."""
    (folder / "reader_A/read_1/outlines").mkdir(parents=True, exist_ok=True)
    (folder / "coordinator").mkdir(exist_ok=True)
    (folder / "reader_A/read_1/session.json").write_text(read if isinstance(read, str) else written(read))
    (folder / "reader_A/read_1/log.jsonl").write_text("".join(written(line) + "\n" for line in log))
    (folder / "coordinator/plan.json").write_text(plan if isinstance(plan, str) else written(plan))
    (folder / "coordinator/key.csv").write_bytes(as_csv(key))
    return folder


def looked_at(folder):
    """All that opens a session's files; nothing outside the read's folder may be named by it."""
    for call, argument in (
        (load_read, folder / "reader_A/read_1"),
        (Session, folder / "reader_A/read_1"),
        (case_reads, folder),
    ):
        found, faults = outcome(call, argument)
        if faults is None and call is load_read:
            for case in found.cases:
                images = case.images(folder)
                assert all(image.resolve().parent == (folder / "images").resolve() for image in images)
                assert all(
                    value is None or np.isfinite(value)
                    for value in (*case.starts_s, *case.durations_s, case.contrast_start_s)
                )
        if faults is None and call is Session:
            assert found.progress
            assert found.obstacle is None or found.obstacle.text


@quick(200)
@given(data=st.data())
def test_any_part_of_a_session_may_be_anything(tmp_path_factory, read_json, data):
    parts = {"read": read_json, "log": LOG, "plan": PLAN}
    name = data.draw(st.sampled_from(list(parts)))
    place = data.draw(st.sampled_from([place for place in places(parts[name]) if name != "log" or place]))
    parts[name] = replaced(parts[name], place, data.draw(st.sampled_from(VALUES)))
    looked_at(a_plan(tmp_path_factory.getbasetemp() / "session", **parts))


SESSION_FILES = (
    "reader_A/read_1/session.json",
    "reader_A/read_1/log.jsonl",
    "coordinator/plan.json",
    "coordinator/key.csv",
)


@quick(60)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(SESSION_FILES))
def test_sessions_damaged_anywhere(tmp_path_factory, read_json, seed, name):
    folder = a_plan(tmp_path_factory.getbasetemp() / "damaged session", read_json)
    (folder / name).write_bytes(damaged((folder / name).read_bytes(), seed))
    looked_at(folder)


@pytest.mark.parametrize(
    "code", ["../../x", "/etc/passwd", "..", "a/b", "a\\b", "C:x", "x" * 200, "", "a\n", "=1+1", "a.b"]
)
def test_codes_name_no_file_elsewhere(tmp_path, read_json, code):
    hostile = replaced(read_json, ("cases", 0, "code"), code)
    assert "damaged" in faults_of(load_read, a_plan(tmp_path, hostile) / "reader_A/read_1")


@pytest.mark.parametrize(
    "change",
    [
        ("reader", "../../x"),
        ("reader", "A/../../x"),
        ("number", "1/../../../x"),
        ("number", 7),
        ("reader", ""),
    ],
)
def test_plans_name_no_folder_elsewhere(tmp_path, read_json, change):
    plan = replaced(PLAN, ("reads", 0, change[0]), change[1])
    assert "damaged" in faults_of(case_reads, a_plan(tmp_path, read_json, plan=plan))


@pytest.mark.parametrize("name", SESSION_FILES)
def test_pipes_in_a_session_are_refused_at_once(tmp_path, read_json, name):
    folder = a_plan(tmp_path, read_json, log=LOG[:2])
    (folder / name).unlink()
    os.mkfifo(folder / name)
    faults_of(case_reads, folder)
    if "read_1" in name:
        faults_of(Session, folder / "reader_A/read_1")


def test_an_endless_log_line_is_no_entry(tmp_path, read_json):
    folder = a_plan(tmp_path, read_json) / "reader_A/read_1"
    (folder / "log.jsonl").write_text("[" * 100_000 + "\n")
    assert "line 1" in faults_of(read_log, folder)


# Genes


@pytest.fixture(scope="module")
def genes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genes")
    (folder / "counts.csv").write_bytes(as_csv(COUNTS))
    return folder, read_counts(folder / "counts.csv")


@pytest.mark.filterwarnings("ignore")
@quick(150)
@given(
    kind=st.sampled_from(("counts", "groups", "gmt", "ppi")),
    seed=st.integers(0, 10**6),
    compressed=st.booleans(),
)
def test_gene_files_damaged_anywhere(genes, kind, seed, compressed):
    folder, counts = genes
    data = {"counts": as_csv(COUNTS), "groups": as_csv(GROUPS), "gmt": GMT, "ppi": PPI}[kind]
    data = (
        gzip.compress(damaged(data, seed))
        if compressed and seed % 3
        else damaged(gzip.compress(data) if compressed else data, seed)
    )
    (folder / kind).write_bytes(data)
    readers = {
        "counts": read_counts,
        "groups": lambda path: read_groups(path, counts, "low"),
        "gmt": lambda path: read_gene_sets(path, counts),
    }
    found, faults = outcome(readers.get(kind, lambda path: read_interactions(path, counts)), folder / kind)
    if faults is None and kind == "counts":
        assert found.values.shape == (len(found.genes), len(found.cases))
        assert found.values.min() >= 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cell", HOSTILE_CELLS)
def test_any_cell_of_a_table_of_counts_may_be_anything(genes, cell):
    folder, _ = genes
    for row, column in ((0, 0), (0, 3), (4, 0), (4, 3)):
        rows = [list(one) for one in COUNTS]
        rows[row][column] = cell
        (folder / "c.csv").write_bytes(as_csv(rows))
        found, faults = outcome(read_counts, folder / "c.csv")
        assert faults is not None or found.values.shape[1] == len(CASES)


def test_gzip_bombs_of_text_are_not_inflated(genes, monkeypatch):
    folder, counts = genes
    monkeypatch.setattr(gene_files, "MAX_TEXT_BYTES", 10_000_000)
    (folder / "bomb").write_bytes(gzip.compress(b"a\tb\n" * 10_000_000))
    for read in (
        read_counts,
        lambda path: read_gene_sets(path, counts),
        lambda path: read_interactions(path, counts),
    ):
        assert "more than" in faults_of(read, folder / "bomb")


def test_a_line_about_separators_is_no_header_of_counts_either(genes):
    folder, counts = genes
    (folder / "sep").write_bytes(b"sep=,\r\n" + as_csv(COUNTS))
    for read in (
        read_counts,
        lambda path: read_gene_sets(path, counts),
        lambda path: read_interactions(path, counts),
    ):
        assert "row 1, value 'sep=,': is a spreadsheet's line about separators" in faults_of(
            read, folder / "sep"
        )


def test_gene_files_that_are_no_files(genes, tmp_path):
    _, counts = genes
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "x" * 300, "/dev/zero"):
        faults_of(read_counts, tmp_path / name)
        faults_of(read_groups, tmp_path / name, counts, "low")
        faults_of(read_gene_sets, tmp_path / name, counts)
        faults_of(read_interactions, tmp_path / name, counts)


# The console


def test_a_console_without_the_characters_of_a_name_spells_them_out(tmp_path):
    header, *cases = PREDICTIONS
    rows = [header]
    for case_id, set_name, *others in cases:
        rows.append([case_id, "Z\xfcrich \N{GRINNING FACE}" if set_name == "a" else set_name, *others])
    (tmp_path / "p.csv").write_bytes(as_csv(rows))
    code = "import sys; from HER2ViTTrainingLib.commands.main import main; sys.exit(main(sys.argv[1:]))"
    words = [
        "evaluate",
        str(tmp_path / "p.csv"),
        "--resamples",
        "5",
        "--no-figures",
        "--out",
        str(tmp_path / "out"),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Z\\xfcrich" in done.stdout
