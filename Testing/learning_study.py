"""Whether the pipeline learns: simulated development cohort and an unseen external one, four kinds of
training, one table.

.venv/bin/python Testing/learning_study.py --weights WEIGHTS.safetensors --out DIR     (about two hours on two
cores; run again = resume)

400 development cases (protocol A, 8:2) and 200 external ones (protocol B). For each task, judged on the
external cases: recipe `default`, recipe `study` (with its own preprocessing), a CNN with recipe `default`,
and twenty trainings on shuffled labels. `oracle` is the AUC that a logistic regression on the simulation's
hidden variables has there: nobody can beat it by much.

It proves the pipeline, from files to figures. It does not prove that HER2 can be read from an MRI: the
simulation was made so that it can.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import Ridge

from HER2ViTLib.files.output import csv_bytes, write_atomically
from HER2ViTLib.her2 import TWO_STEP, Task
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import load_splits
from HER2ViTTrainingLib.commands.main import main as her2vit
from HER2ViTTrainingLib.simulation.oracle import oracle_auc
from HER2ViTTrainingLib.stats.roc import auc
from HER2ViTTrainingLib.training.experiment import load_data
from HER2ViTTrainingLib.training.labelled import Labelled
from HER2ViTTrainingLib.training.networks import Network, build_network, preprocessing_for
from HER2ViTTrainingLib.training.recipes import RECIPES
from HER2ViTTrainingLib.training.trainer import Trainer, case_logits

COHORTS = {"development": (400, "A", 2026), "external": (200, "B", 3026)}
EXTERNAL_SET = "simulated-B"
CNN = "resnet18"
SHUFFLES = range(101, 121)
"""Twenty, for one such AUC scatters by about 0.08: what a model learns by chance goes with or against the
images' most striking features.

So the mean of five, which the project first asked to lie in 0.44-0.56, leaves that range one time in fourteen
with no fault at all, and the mean of twenty one time in a thousand. The number and these seeds were fixed,
and committed, before any of them ran.
"""
SHUFFLED_SIZE = 112
SHUFFLED_EPOCHS = 8
"""Shuffled labels take a quarter of the pixels, that so many trainings stay affordable."""
LINEAR_SHUFFLES = 3000


def run(*words: object) -> None:
    """A command as a user types it; stops when it fails."""
    if status := her2vit([str(word) for word in words]):
        sys.exit(status)


def simulate(out: Path) -> Path:
    """Both cohorts and the manifest that joins them."""
    rows = []
    for role, (cases, protocol, seed) in COHORTS.items():
        if not (out / role / "manifest.csv").exists():
            run("simulate", "--cases", cases, "--protocol", protocol, "--seed", seed, "--out", out / role)
        rows += [joined(row, role) for row in read_rows(out / role / "manifest.csv")]
    write_atomically(out / "manifest.csv", csv_bytes(tuple(rows[0]), rows))
    return out / "manifest.csv"


def joined(row: dict[str, str], role: str) -> dict[str, str]:
    """A row of one cohort's manifest as a row of the joint one, a folder higher."""
    found = {**row, "role": role}
    for name in ("image", "roi", "roi_a2", "roi_b"):
        found[name] = ";".join(f"{role}/{path}" for path in row[name].split(";"))
    return found


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def train(task: Task, out: Path, weights: Path, epochs: int) -> dict[str, Path]:
    """The three trainings of a task; their predictions by name."""
    shared = (
        "--task",
        task.name,
        "--splits",
        out / "cohort" / "splits.json",
        "--cache",
        out / "cache",
        "--epochs",
        epochs,
        "--device",
        "auto",
    )
    kinds = {
        "default": ("--pretrained", weights),
        "study": ("--pretrained", weights, "--recipe", "study", "--preset", "study"),
        "cnn": ("--pretrained", "none", "--arch", CNN),
    }
    folders = {name: out / f"{task.name}-{name}" for name in kinds}
    for name, words in kinds.items():
        if not (folders[name] / "predictions.csv").exists():
            run("train", out / "manifest.csv", *shared, *words, "--out", folders[name])
    return {name: folder / "predictions.csv" for name, folder in folders.items()}


def compare(task: Task, predictions: dict[str, Path], out: Path) -> list[dict[str, str]]:
    """One table of all trainings: `default` judged beside the others, paired DeLong tests. Returns the rows
    of its comparison.
    """
    others = [name for name in predictions if name != "default"]
    rows = {(row["case_id"], row["set"]): row for row in read_rows(predictions["default"])}
    for name in others:
        for row in read_rows(predictions[name]):
            rows[row["case_id"], row["set"]][name] = row["score"]
    table = out / f"{task.name}-predictions.csv"
    columns = tuple(next(iter(rows.values())))
    write_atomically(table, csv_bytes(columns, rows.values()))
    folder = out / f"{task.name}-evaluation"
    run(
        "evaluate",
        table,
        "--threshold-from",
        "validation",
        *(word for name in others for word in ("--compare", name)),
        "--out",
        folder,
    )
    return [row for row in read_rows(folder / "comparison.csv") if row["set"] == EXTERNAL_SET]


def development_and_external(task: Task, out: Path, network: Network) -> tuple[Labelled, Labelled, Labelled]:
    """Training, validation and external slices of a task at the network's size."""
    cohort = read_manifest(out / "manifest.csv")
    splits = load_splits(out / "cohort" / "splits.json", cohort)
    split = splits.tasks[task.name]
    parts = {
        "training": split.training,
        "validation": split.validation,
        EXTERNAL_SET: splits.external[EXTERNAL_SET],
    }
    data = load_data(cohort, parts, task, preprocessing_for("square", network), out / "cache")
    return tuple(data.labelled(name) for name in parts)


def shuffled_aucs(task: Task, out: Path, weights: Path) -> list[float]:
    """External AUC of trainings whose development labels were shuffled: nothing but chance is there to be
    learnt.

    The library's `Trainer`, not `train`: the command refuses to write a bundle that ranks its validation set
    the wrong way round.
    """
    network = Network(img_size=SHUFFLED_SIZE, pretrained=str(weights))
    preprocessing = preprocessing_for("square", network)
    training, validation, external = development_and_external(task, out, network)
    recipe = replace(RECIPES["default"], epochs=SHUFFLED_EPOCHS)
    areas = []
    for seed in SHUFFLES:
        labels = np.random.default_rng(seed).permutation(np.concatenate([training.labels, validation.labels]))
        parts = np.split(labels, [len(training.labels)])
        trainer = Trainer(
            build_network(network, seed),
            training=replace(training, labels=parts[0]),
            validation=replace(validation, labels=parts[1]),
            preprocessing=preprocessing,
            recipe=recipe,
            seed=seed,
        )
        model = trainer.run(out / f"{task.name}-shuffled{seed}.safetensors")
        areas.append(auc(external.labels, case_logits(model, external, preprocessing)))
    return areas


def linear_shuffled_aucs(task: Task, out: Path) -> np.ndarray:
    """The same of a ridge regression on the slices' pixels. Thousands of shuffles cost seconds: their mean
    shows a leak between the sets as small as 0.005, their spread how far one of them scatters.
    """
    training, validation, external = development_and_external(
        task, out, Network(img_size=SHUFFLED_SIZE, pretrained="none")
    )
    pixels, other = (
        _pixels(images) for images in (np.concatenate([training.images, validation.images]), external.images)
    )
    labels = np.concatenate([training.labels, validation.labels]).astype(float)
    random = np.random.default_rng(0)
    shuffled = np.stack([random.permutation(labels) for _ in range(LINEAR_SHUFFLES)], axis=1)
    penalty = 0.01 * np.linalg.norm(pixels - pixels.mean(axis=0), 2) ** 2
    scores = Ridge(alpha=penalty).fit(pixels, shuffled).predict(other)
    return np.array([auc(external.labels, column) for column in scores.T])


def _pixels(images: np.ndarray) -> np.ndarray:
    return np.stack(
        [cv2.resize(image, (28, 28), interpolation=cv2.INTER_AREA).ravel() for image in images]
    ).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--weights",
        type=Path,
        required=True,
        help="ImageNet weights of vit_tiny_patch16_224, safetensors, timm's key names",
    )
    parser.add_argument("--out", type=Path, default=Path("learning-study"))
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    manifest = simulate(options.out)
    run("cohort", manifest, "--out", options.out / "cohort")
    result = {}
    for task in TWO_STEP:
        comparison = compare(task, train(task, options.out, options.weights, options.epochs), options.out)
        oracle = oracle_auc(read_rows(options.out / "external" / "truth.csv"), task.name)
        shuffled = shuffled_aucs(task, options.out, options.weights)
        linear = linear_shuffled_aucs(task, options.out)
        result[task.name] = {
            "oracle": oracle,
            "shuffled": shuffled,
            "shuffled_mean": float(np.mean(shuffled)),
            "linear_shuffled_mean": float(linear.mean()),
            "linear_shuffled_sd": float(linear.std(ddof=1)),
            "comparison": comparison,
        }
    write_atomically(options.out / "result.json", json.dumps(result, indent=2).encode())
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
