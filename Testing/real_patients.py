"""What the method does on real patients: the study that `Docs/real-patients.md` planned, one table.

.venv/bin/python Testing/real_patients.py --cases DIR --slices FILE --weights WEIGHTS.safetensors --out DIR
(hours on two cores; run again = resume)

DIR holds a manifest of I-SPY 1 and I-SPY 2 patients with `tumor_volume_ml`, `site` and `cohort`; FILE the
expert's area on each slice (`case_id, tumor_area_mm2`). The plan was committed before any of this ran; the
settings here are the plan's.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from HER2ViTLib.files.output import csv_bytes, write_atomically
from HER2ViTLib.her2 import TASKS
from HER2ViTTrainingLib.commands.main import main as her2vit
from HER2ViTTrainingLib.stats.ridge import fit_ridge_logit
from support.shuffled_probes import Folds, folds_of_probe

PRIMARY = "positive-vs-negative"
QUESTIONS = (PRIMARY, "zero-vs-rest", "low-vs-positive")
SEEDS = range(1, 11)
FOLDS = 5
SLICES = 4
EPOCHS = 10
"""Of the fine-tuned recipes: what two cores do in two hours. The plan allows 15 at most."""
SHUFFLES = 200
COHORTS = ("ISPY1", "ISPY2")
Rows = list[dict[str, str]]


def run(*words: object) -> None:
    """A command as a user types it; stops when it fails."""
    if status := her2vit([str(word) for word in words]):
        sys.exit(status)


def read_rows(path: Path) -> Rows:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    write_atomically(path, csv_bytes(list(rows[0]), rows))
    return path


@contextlib.contextmanager
def timed(out: Path, step: str) -> Iterator[None]:
    """Notes the processor and wall-clock seconds of a step in `times.json`."""
    path = out / "times.json"
    cpu = sum(os.times()[:4])
    wall = time.monotonic()
    yield
    known = json.loads(path.read_text()) if path.exists() else {}
    known[step] = {
        "cpu_s": round(sum(os.times()[:4]) - cpu),
        "wall_s": round(time.monotonic() - wall),
    }
    write_atomically(path, json.dumps(known, indent=2).encode())


# Trainings


def train(manifest: Path, out: Path, name: str, weights: Path, *words: object) -> Path:
    """The predictions of a training; its models go, for hundreds of them would fill a disk. A model that
    learnt nothing has no bundle but predictions, and counts.
    """
    folder = out / name
    predictions = folder / "predictions.csv"
    if not predictions.exists():
        with timed(out, name):
            shared = ("--pretrained", weights, "--cache", out / "cache", "--out", folder)
            status = her2vit([str(word) for word in ("train", manifest, *shared, *words)])
        if status and not predictions.exists():
            sys.exit(status)
        for model in folder.glob("fold*"):
            shutil.rmtree(model)
    return predictions


def repeated(
    manifest: Path, out: Path, question: str, weights: Path, name: str, seeds: range, *words: object
) -> Rows:
    """The out-of-fold predictions of a recipe, with a split of its own for each seed."""
    rows = []
    for seed in seeds:
        shared = ("--task", question, "--folds", FOLDS, "--seed", seed)
        path = train(manifest, out, f"{question}-{name}-seed{seed}", weights, *shared, *words)
        rows += read_rows(path)
    return rows


def with_paths_from(rows: Rows, cases: Path, out: Path) -> Rows:
    """Rows of the manifest in `cases` as rows of one in `out`."""
    found = []
    for row in rows:
        moved = dict(row)
        for name in ("image", "roi"):
            paths = (os.path.relpath(cases / path, out) for path in row[name].split(";"))
            moved[name] = ";".join(paths)
        found.append(moved)
    return found


def three_states(cases: Path, out: Path) -> Path:
    """The manifest of the patients whose status is known as zero, low or positive, all of I-SPY 2: I-SPY 1
    tells positive and negative only, and its positive patients alone would give the trial away.
    """
    rows = read_rows(cases / "manifest.csv")
    known = [row for row in rows if row["cohort"] == COHORTS[1] and row["her2_status"] != "negative"]
    return write_rows(out / "three-states.csv", with_paths_from(known, cases, out))


def trained_elsewhere(cases: Path, out: Path, weights: Path, cohort: str) -> Rows:
    """Predictions of the probe that learnt from `cohort` only, for the patients of the other."""
    rows = with_paths_from(read_rows(cases / "manifest.csv"), cases, out)
    for row in rows:
        row["role"] = "development" if row["cohort"] == cohort else "external"
    manifest = write_rows(out / f"from-{cohort}.csv", rows)
    path = train(manifest, out, f"from-{cohort}", weights, "--task", PRIMARY, "--recipe", "probe")
    return [row for row in read_rows(path) if row["set"] not in ("training", "validation")]


# What needs no network


def sizes(cases: Path, slices: Path) -> dict[str, list[float]]:
    """By case the logarithms of the expert's largest area and of the volume."""
    areas: dict[str, float] = {}
    for row in read_rows(slices):
        area = float(row["tumor_area_mm2"])
        areas[row["case_id"]] = max(area, areas.get(row["case_id"], 0.0))
    volumes = {row["case_id"]: float(row["tumor_volume_ml"]) for row in read_rows(cases / "manifest.csv")}
    return {case: [math.log(areas[case]), math.log(volume)] for case, volume in volumes.items()}


def sites(cases: Path) -> dict[str, list[float]]:
    """By case a 1 for its site among 0s for the others."""
    of_case = {row["case_id"]: row["site"] for row in read_rows(cases / "manifest.csv")}
    names = sorted(set(of_case.values()))
    codes = np.eye(len(names)).tolist()
    return {case: codes[names.index(site)] for case, site in of_case.items()}


def lesion_features(cases: Path, out: Path) -> dict[str, list[float]]:
    """By case the shape, intensity and enhancement of the outline, NaN where it has none."""
    path = out / "features" / "features.csv"
    if not path.exists():
        with timed(out, "features"):
            run("features", cases / "manifest.csv", "--out", path.parent)
    found = {}
    for row in read_rows(path):
        values = [value for name, value in row.items() if name not in ("case_id", "rater")]
        found[row["case_id"]] = [float(value or "nan") for value in values]
    return found


def scored_by(features: Mapping[str, Sequence[float]], rows: Rows) -> list[dict[str, object]]:
    """The rows of repeated predictions, scored by a ridge regression on features in the same folds: it learns
    from all patients of the other folds, also from those that the models were validated on.
    """
    found: list[dict[str, object]] = []
    for seed in dict.fromkeys(row["seed"] for row in rows):
        of_seed = [row for row in rows if row["seed"] == seed]
        values = np.array([features[row["case_id"]] for row in of_seed])
        labels = np.array([row["label"] == "1" for row in of_seed])
        patients = np.array([row["patient_id"] for row in of_seed])
        fold_of = np.array([row["fold"] for row in of_seed])
        scores = np.zeros(len(of_seed))
        for fold in sorted(set(fold_of)):
            rest = fold_of != fold
            filled = np.where(np.isnan(values), np.nanmean(values[rest], axis=0), values)
            ridge = fit_ridge_logit(filled[rest], labels[rest], patients[rest], seed=int(seed))
            scores[~rest] = 1 / (1 + np.exp(-ridge.logits(filled[~rest])))
        for row, score in zip(of_seed, scores.tolist()):
            found.append({**row, "score": score, "score_raw": score, "calibrated": 1, "threshold": 0.5})
    return found


# Shuffled labels


def shuffled(folds: Folds, within_cohort: bool) -> dict[str, object]:
    """The AUC of the true labels among those of shuffled ones: one-sided p of a permutation test."""
    true = folds.mean_auc(folds.labels)
    rng = np.random.default_rng(2026)
    areas = []
    for _ in range(SHUFFLES):
        areas.append(folds.mean_auc(folds.shuffled_labels(rng, within_cohort)))
    p = (1 + sum(area >= true for area in areas)) / (1 + SHUFFLES)
    return {"auc": true, "p": p, "mean": np.mean(areas), "sd": np.std(areas, ddof=1), "aucs": areas}


def detectable_auc(positive: int, negative: int) -> float:
    """The AUC that a two-sided test at 5 % tells from 0.5 with a power of 80 %, by the variance of Hanley &
    McNeil (Radiology 1982).
    """

    def error(area: float) -> float:
        first = area / (2 - area) - area**2
        second = 2 * area**2 / (1 + area) - area**2
        spread = area * (1 - area) + (positive - 1) * first + (negative - 1) * second
        return math.sqrt(spread / (positive * negative))

    for area in np.arange(0.5, 1, 0.001):
        if area - 0.5 >= 1.95996 * error(0.5) + 0.84162 * error(area):
            return round(float(area), 3)
    return 1.0


# The table


def judged(
    rows: Sequence[Mapping[str, object]], out: Path, name: str, *words: object
) -> list[dict[str, object]]:
    """Rows of predictions as `evaluate` judges them: the whole, and each cohort where there are two."""
    predictions = write_rows(out / f"{name}.csv", rows)
    folder = out / f"{name}-evaluation"
    several = len({row["cohort"] for row in rows}) > 1
    by = ("--by", "cohort") if several else ()
    run("evaluate", predictions, *by, *words, "--no-figures", "--out", folder)
    metrics = [{"level": "all", **row} for row in read_rows(folder / "metrics.csv")]
    metrics += read_rows(folder / "subgroups.csv") if several else []
    return [table_row(name, row, rows) for row in metrics]


def table_row(
    name: str, judged: Mapping[str, str], rows: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """A row of the table. Patients are counted here: `evaluate` counts rows, and a patient has one a seed."""
    level = judged["level"]
    here = {row["patient_id"]: row["label"] for row in rows if level in ("all", row["cohort"])}
    positive = sum(label == "1" for label in here.values())
    return {
        "name": name,
        "cohort": level,
        "patients": len(here),
        "positive": positive,
        "auc": float(judged["auc"]),
        "low": float(judged["auc_low"]),
        "high": float(judged["auc_high"]),
        "detectable": detectable_auc(positive, len(here) - positive),
    }


def with_cohort(rows: Rows, cases: Path) -> Rows:
    """The rows of predictions with the cohort of each case."""
    cohort_of = {row["case_id"]: row["cohort"] for row in read_rows(cases / "manifest.csv")}
    return [{**row, "cohort": cohort_of[row["case_id"]]} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=Path, required=True, help="folder with manifest.csv and its images")
    parser.add_argument("--slices", type=Path, required=True, help="CSV: case_id, tumor_area_mm2")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights, timm's key names")
    parser.add_argument("--out", type=Path, default=Path("real-patients"))
    options = parser.parse_args()
    cases = options.cases
    out = options.out
    weights = options.weights
    out.mkdir(parents=True, exist_ok=True)
    manifest = cases / "manifest.csv"
    of_states = three_states(cases, out)
    manifests = {question: manifest if question == PRIMARY else of_states for question in QUESTIONS}
    known = {
        "size": sizes(cases, options.slices),
        "site_alone": sites(cases),
        "features": lesion_features(cases, out),
    }
    table: list[dict[str, object]] = []
    for question in QUESTIONS:
        repeats = (manifests[question], out, question, weights)
        probe = with_cohort(repeated(*repeats, "probe", SEEDS, "--recipe", "probe"), cases)
        baselines = {name: scored_by(features, probe) for name, features in known.items()}
        beside: list[dict[str, object]] = [dict(row) for row in probe]
        for name, rows in baselines.items():
            for row, scored in zip(beside, rows):
                row[name] = scored["score"]
        compared = [word for name in known for word in ("--compare", name)]
        table += judged(beside, out, f"{question}-probe", *compared)
        for name, rows in baselines.items():
            table += judged(rows, out, f"{question}-{name}")
        several = repeated(*repeats, "slices", SEEDS, "--recipe", "probe", "--slice-count", SLICES)
        table += judged(with_cohort(several, cases), out, f"{question}-slices")
    for cohort in COHORTS:
        rows = with_cohort(trained_elsewhere(cases, out, weights, cohort), cases)
        table += judged(rows, out, f"{PRIMARY}-from-{cohort}")
    shuffles = {}
    for name, within_cohort in (("anyhow", False), ("within-cohort", True)):
        path = out / f"shuffled-{name}.json"
        if not path.exists():
            with timed(out, path.stem):
                folds = folds_of_probe(manifest, TASKS[PRIMARY], weights, out / "cache", FOLDS, SEEDS[0])
                write_atomically(path, json.dumps(shuffled(folds, within_cohort)).encode())
        shuffles[name] = json.loads(path.read_text())
    for question in QUESTIONS:
        repeats = (manifests[question], out, question, weights)
        for recipe, preset in (("default", "square"), ("study", "study")):
            words = ("--recipe", recipe, "--preset", preset, "--epochs", EPOCHS)
            rows = with_cohort(repeated(*repeats, recipe, range(1, 2), *words), cases)
            table += judged(rows, out, f"{question}-{recipe}")
    result = {"table": table, "shuffled": shuffles, "times": json.loads((out / "times.json").read_text())}
    write_atomically(out / "result.json", json.dumps(result, indent=2).encode())
    for row in table:
        area = f"{row['auc']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        who = f"{row['cohort']}, {row['patients']} patients, {row['positive']} positive"
        sys.stdout.write(f"{row['name']}: {area}; {who}; detectable {row['detectable']:.3f}\n")


if __name__ == "__main__":
    main()
