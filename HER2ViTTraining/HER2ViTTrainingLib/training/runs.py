"""From a manifest to a bundle: inputs, training, calibration and threshold on validation data, predictions,
model card.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from HER2ViTLib.files.output import csv_bytes, prepare_folder, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import CARD_FILE, WEIGHTS_FILE, save_bundle
from HER2ViTLib.model.calibration import Calibration, sigmoid
from HER2ViTLib.model.config import CONFIG_FILE, Settings
from HER2ViTLib.model.devices import choose_device
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTTrainingLib.cohort.manifest import Cohort
from HER2ViTTrainingLib.cohort.splits import Splits, TaskSplit
from HER2ViTTrainingLib.parallel.executors import executor, keep_freed_memory
from HER2ViTTrainingLib.stats.calibration import platt_calibration
from HER2ViTTrainingLib.stats.roc import youden_threshold

from .experiment import Data, Experiment, fingerprint, load_data, percentiles
from .model_card import history_png, model_card, provenance_of
from .networks import build_network, preprocessing_for, stored_model_args
from .trainer import Epoch, Trainer, predict

CHECKPOINT_FILE = "checkpoint.safetensors"
HISTORY_FILES = ("history.csv", "history.png")
PREDICTIONS_FILE = "predictions.csv"
RESULT_FILES = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    CARD_FILE,
    CHECKPOINT_FILE,
    *HISTORY_FILES,
    PREDICTIONS_FILE,
    "cache",
    "fold*",
    "seed*",
)
PREDICTION_COLUMNS = ("case_id", "set", "label", "score", "score_raw", "patient_id")


def run_experiment(
    experiment: Experiment,
    cohort: Cohort,
    splits: Splits,
    out: str | os.PathLike,
    cache: str | os.PathLike | None = None,
) -> list[str]:
    """Trains on the split's training part; writes a bundle, the history and the predictions of every set.
    Returns the files' names.

    Run again, it goes on where it was killed; a finished one is written anew from its checkpoint. Raises
    `InputError`.
    """
    out = prepare_folder(out, RESULT_FILES)
    split = splits.tasks[experiment.task.name]
    sets = {"training": split.training, "validation": split.validation, **splits.external}
    started = _started(experiment)
    data, preprocessing = _data(experiment, cohort, sets, Path(cache or out / "cache"))
    return _train(experiment, *started, data, preprocessing, splits, out)


def run_repeated(
    experiment: Experiment,
    cohort: Cohort,
    splits: Splits,
    out: str | os.PathLike,
    cache: str | os.PathLike | None = None,
    seeds: int = 1,
    folds: bool = False,
    scheduler: str | None = None,
) -> list[str]:
    """Trains once per seed (`experiment.seed` and the next ones) and, with `folds`, per fold: a bundle each,
    in a folder of its own.

    `predictions.csv` holds the mean score over the seeds and each seed's own (`score_seed5` for seed 5). With
    folds every development case has the score of the models that were not trained on it, set `out-of-fold`;
    they were stopped and calibrated on its fold. `scheduler` is the address of a Dask cluster to train on
    side by side; its workers must see the same files under the same names. Returns the files' names. Raises
    `InputError`.
    """
    out = prepare_folder(out, RESULT_FILES)
    cache = Path(cache or out / "cache").resolve()
    split = splits.tasks[experiment.task.name]
    every_set = (
        _folds(split)
        if folds
        else {"": {"training": split.training, "validation": split.validation, **splits.external}}
    )
    if scheduler is None:
        _started(experiment)
    # Before the trainings start, or each would make the same inputs.
    _data(experiment, cohort, next(iter(every_set.values())), cache)
    every_seed = range(experiment.seed, experiment.seed + seeds)
    names = [(seed, fold) for seed in every_seed for fold in every_set]
    folders = {
        (seed, fold): "-".join(filter(None, [f"seed{seed}" if seeds > 1 else "", fold]))
        for seed, fold in names
    }
    jobs = [
        (
            replace(experiment, seed=seed),
            cohort,
            splits,
            every_set[fold],
            out.resolve() / folders[seed, fold],
            cache,
        )
        for seed, fold in names
    ]
    _each(jobs, scheduler)
    rows: dict[int, list[dict[str, str]]] = {seed: [] for seed in every_seed}
    for seed, fold in names:
        rows[seed] += _held_out(out / folders[seed, fold], folds)
    write_atomically(out / PREDICTIONS_FILE, csv_bytes(*_mean_over_seeds(rows)))
    return [PREDICTIONS_FILE, *folders.values()]


def _folds(split: TaskSplit) -> dict[str, dict[str, Sequence[str]]]:
    """The sets of each fold, by its folder's name."""
    everyone = {number: fold for number, fold in enumerate(split.folds, start=1)}
    return {
        f"fold{number}": {
            "training": [case_id for n, fold in everyone.items() if n != number for case_id in fold],
            "validation": held_out,
        }
        for number, held_out in everyone.items()
    }


def _each(jobs: Sequence[tuple], scheduler: str | None) -> None:
    if scheduler is None:
        for job in jobs:
            _train_into(job)
        return
    with executor(None, scheduler) as pool:
        list(pool.map(_train_into, jobs))


def _train_into(job: tuple[Experiment, Cohort, Splits, Mapping[str, Sequence[str]], Path, Path]) -> None:
    """One training, wherever it runs."""
    keep_freed_memory()
    experiment, cohort, splits, sets, folder, cache = job
    data, preprocessing = _data(experiment, cohort, sets, cache)
    _train(
        experiment, *_started(experiment), data, preprocessing, splits, prepare_folder(folder, RESULT_FILES)
    )


def _held_out(folder: Path, folds: bool) -> list[dict[str, str]]:
    """A training's predictions; of a fold only those of the cases it has not seen."""
    with (folder / PREDICTIONS_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, "set": "out-of-fold"} for row in rows if row["set"] == "validation"] if folds else rows


def _mean_over_seeds(
    rows: Mapping[int, Sequence[Mapping[str, str]]],
) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Columns and rows of the predictions of several seeds: the mean score, and each seed's own."""
    if len(rows) == 1:
        [only] = rows.values()
        return PREDICTION_COLUMNS, [dict(row) for row in only]
    columns = (
        *(name for name in PREDICTION_COLUMNS if name != "score_raw"),
        *(f"score_seed{seed}" for seed in rows),
    )
    merged = []
    for same_case in zip(*rows.values()):
        scores = {f"score_seed{seed}": row["score"] for seed, row in zip(rows, same_case)}
        first = {name: same_case[0][name] for name in ("case_id", "set", "label", "patient_id")}
        merged.append(
            {**first, "score": repr(float(np.mean([float(score) for score in scores.values()]))), **scores}
        )
    return columns, merged


def _data(
    experiment: Experiment, cohort: Cohort, sets: Mapping[str, Sequence[str]], cache: Path
) -> tuple[Data, Preprocessing]:
    preprocessing = preprocessing_for(experiment.preset, experiment.network)
    return load_data(cohort, sets, experiment.task, preprocessing, cache), preprocessing


def _started(experiment: Experiment) -> tuple[nn.Module, torch.device]:
    """The network and the device. Made before the inputs of all cases: what is wrong here should not be told
    after hours.
    """
    device, _ = choose_device(experiment.device)
    return build_network(experiment.network, experiment.seed), device


def _train(
    experiment: Experiment,
    model: nn.Module,
    device: torch.device,
    data: Data,
    preprocessing: Preprocessing,
    splits: Splits,
    out: Path,
) -> list[str]:
    trainer = Trainer(
        model, data.labelled("training"), data.labelled("validation"), preprocessing, experiment.recipe, experiment.seed, device,
        fingerprint(experiment, data, splits),
    )  # fmt: skip
    model = trainer.run(out / CHECKPOINT_FILE, _say_epoch)
    logits = {
        name: predict(model, data.labelled(name).images, preprocessing)
        for name in data.cases
        if data.cases[name]
    }
    write_atomically(
        out / "history.csv",
        csv_bytes(tuple(Epoch.__dataclass_fields__), [asdict(epoch) for epoch in trainer.history]),
    )
    write_atomically(out / "history.png", history_png(trainer.history, experiment.recipe.stops_on))
    calibration = _calibration(data.labels["validation"], logits["validation"], out)
    scores = {name: np.array([calibration.score(logit) for logit in found]) for name, found in logits.items()}
    in_training = [one.properties for one in data.inputs["training"]]
    settings = Settings(
        task=experiment.task,
        preprocessing=preprocessing,
        threshold=youden_threshold(data.labels["validation"], scores["validation"]),
        calibration=calibration,
        prevalence=float(np.concatenate([data.labels["training"], data.labels["validation"]]).mean()),
        training_percentiles=percentiles(in_training),
        splits_sha256=splits.sha256,
        notice=experiment.notice,
        provenance=provenance_of(experiment, data, logits, trainer, str(device)),
    )
    save_bundle(
        out,
        model,
        experiment.network.architecture,
        stored_model_args(experiment.network),
        settings,
        model_card(settings, experiment),
    )
    write_atomically(
        out / PREDICTIONS_FILE, csv_bytes(PREDICTION_COLUMNS, _prediction_rows(data, logits, scores))
    )
    return [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, *HISTORY_FILES, PREDICTIONS_FILE]


def _calibration(labels: np.ndarray, logits: np.ndarray, out: Path) -> Calibration:
    try:
        return platt_calibration(labels, logits)
    except ValueError as error:
        raise InputError(
            f"{out}: {error}: nothing was learnt that holds on the validation set; no bundle was written, see"
            " history.csv"
        ) from error


def _prediction_rows(
    data: Data, logits: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]
) -> list[dict[str, str]]:
    return [
        {
            "case_id": case.case_id,
            "set": name,
            "label": str(label),
            "score": repr(float(score)),
            "score_raw": repr(sigmoid(float(logit))),
            "patient_id": case.patient_id,
        }
        for name in logits
        for case, label, logit, score in zip(data.cases[name], data.labels[name], logits[name], scores[name])
    ]


def _say_epoch(epoch: Epoch) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\repoch {epoch.epoch}: loss {epoch.train_loss:.3f}, validation loss"
            f" {epoch.validation_loss:.3f}, AUC {epoch.validation_auc:.3f} "
        )
