"""From a manifest to a bundle: inputs, training, calibration and threshold on validation data, predictions,
model card; once, or once a seed and fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from HER2ViTLib.files.output import csv_bytes, prepare_folder, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import CARD_FILE, WEIGHTS_FILE, save_bundle
from HER2ViTLib.model.calibration import Calibration, sigmoid
from HER2ViTLib.model.config import CONFIG_FILE, Settings
from HER2ViTLib.model.devices import choose_device
from HER2ViTTrainingLib.cohort.manifest import Cohort
from HER2ViTTrainingLib.cohort.splits import Splits, TaskSplit
from HER2ViTTrainingLib.parallel.executors import executor, keep_freed_memory
from HER2ViTTrainingLib.parallel.progress import Progress, prefixed
from HER2ViTTrainingLib.stats.calibration import platt_calibration
from HER2ViTTrainingLib.stats.roc import youden_threshold

from .experiment import Data, Experiment, fingerprint, load_data, percentiles
from .model_card import history_png, model_card, provenance_of
from .networks import build_network, stored_model_args
from .predictions import Prediction, predictions_csv, seeds_csv
from .trainer import Epoch, Trainer, predict

CHECKPOINT_FILE = "checkpoint.safetensors"
HISTORY_FILES = ("history.csv", "history.png")
PREDICTIONS_FILE = "predictions.csv"
CACHE_FOLDER = "cache"
RESULT_FILES = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    CARD_FILE,
    CHECKPOINT_FILE,
    *HISTORY_FILES,
    PREDICTIONS_FILE,
    CACHE_FOLDER,
    "fold*",
    "seed*",
)
OUT_OF_FOLD = "out-of-fold"


@dataclass(frozen=True)
class TrainingJob:
    """One training: what is trained, on which cases, and the folder it is written into.

    `cache` is the folder of the cases' inputs, which trainings may share (default: in `out`). With `fold`,
    counted from 1, that fold is held out for validation and all others are trained on; without, the split's
    training and validation parts are taken, and the external cases are predicted too.
    """

    experiment: Experiment
    cohort: Cohort
    splits: Splits
    out: Path
    cache: Path | None = None
    fold: int | None = None

    @property
    def split(self) -> TaskSplit:
        """The split of the experiment's task."""
        return self.splits.tasks[self.experiment.task.name]

    @property
    def sets(self) -> dict[str, Sequence[str]]:
        """Case ids by the name of their set."""
        if self.fold is None:
            return {
                "training": self.split.training,
                "validation": self.split.validation,
                **self.splits.external,
            }
        training: list[str] = []
        for number, fold in enumerate(self.split.folds, start=1):
            if number != self.fold:
                training += fold
        return {"training": training, "validation": self.split.folds[self.fold - 1]}

    def data(self, progress: Progress | None = None) -> Data:
        """The inputs and labels of the sets, made where the cache lacks them."""
        cache = self.cache or self.out / CACHE_FOLDER
        experiment = self.experiment
        return load_data(self.cohort, self.sets, experiment.task, experiment.preprocessing, cache, progress)


def run_experiment(job: TrainingJob, progress: Progress | None = None) -> list[str]:
    """Trains, and writes a bundle, the history and the predictions of every set. Returns the files' names.

    Run again, it resumes where it was killed; a finished training is written anew from its checkpoint.
    `progress` is told of cases while the inputs are made, then of epochs. Raises `InputError`.
    """
    _train(job, progress)
    return [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, *HISTORY_FILES, PREDICTIONS_FILE]


def run_repeated(
    job: TrainingJob,
    *,
    seeds: int = 1,
    folds: bool = False,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Trains once per seed (the experiment's and the next ones) and, with `folds`, per fold: a bundle each,
    in a folder of its own.

    `predictions.csv` holds the mean score over the seeds and each seed's own (`score_seed5` for seed 5). With
    folds every development case has the score of the models that were not trained on it, set `out-of-fold`;
    they were stopped and calibrated on its fold. `scheduler` is the address of a Dask cluster to train on
    side by side; its workers must see the same files under the same names. `progress` is told as in
    `run_experiment`, with each training's name; on a cluster, of trainings. Returns the files' names. Raises
    `InputError`.
    """
    out = prepare_folder(job.out, RESULT_FILES)
    # In full: a cluster's workers are started in other folders.
    cache = Path(job.cache or out / CACHE_FOLDER).resolve()
    jobs = _repetitions(replace(job, out=out.resolve(), cache=cache), seeds, folds)
    if scheduler is None:
        # What is wrong with the network or the device should not be told only after the inputs are made.
        choose_device(job.experiment.device)
        build_network(job.experiment.network, job.experiment.seed)
    # Before the trainings start, or each would make the same inputs.
    jobs[0].data(progress)
    predictions: dict[int, list[Prediction]] = {}
    for one, found in zip(jobs, _train_each(jobs, scheduler, progress)):
        of_seed = predictions.setdefault(one.experiment.seed, [])
        of_seed += _out_of_fold(found) if folds else found
    write_atomically(out / PREDICTIONS_FILE, seeds_csv(predictions))
    return [PREDICTIONS_FILE, *(one.out.name for one in jobs)]


def _repetitions(job: TrainingJob, seeds: int, folds: bool) -> list[TrainingJob]:
    """The job once a seed and fold, each in a folder named by both where there are several."""
    every_fold: Sequence[int | None] = range(1, len(job.split.folds) + 1) if folds else (None,)
    jobs = []
    for seed in range(job.experiment.seed, job.experiment.seed + seeds):
        for fold in every_fold:
            names = [f"seed{seed}"] if seeds > 1 else []
            if fold is not None:
                names.append(f"fold{fold}")
            experiment = replace(job.experiment, seed=seed)
            jobs.append(replace(job, experiment=experiment, fold=fold, out=job.out / "-".join(names)))
    return jobs


def _train_each(
    jobs: Sequence[TrainingJob], scheduler: str | None, progress: Progress | None
) -> list[list[Prediction]]:
    if scheduler is None:
        return [_train(job, prefixed(progress, job.out.name)) for job in jobs]
    found = []
    with executor(None, scheduler) as pool:
        for predictions in pool.map(_train, jobs):
            found.append(predictions)
            if progress is not None:
                progress(len(found), len(jobs), "trainings")
    return found


def _out_of_fold(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Of a fold's predictions those of the cases it was not trained on."""
    return [replace(one, set=OUT_OF_FOLD) for one in predictions if one.set == "validation"]


def _train(job: TrainingJob, progress: Progress | None = None) -> list[Prediction]:
    """One training, wherever it runs."""
    keep_freed_memory()
    experiment = job.experiment
    out = prepare_folder(job.out, RESULT_FILES)
    # The network before the inputs: what is wrong with it should not be told only after hours.
    device, _ = choose_device(experiment.device)
    model = build_network(experiment.network, experiment.seed)
    data = job.data(progress)
    trainer = Trainer(
        model,
        training=data.labelled("training"),
        validation=data.labelled("validation"),
        preprocessing=experiment.preprocessing,
        recipe=experiment.recipe,
        seed=experiment.seed,
        device=device,
        fingerprint=fingerprint(experiment, data, job.splits),
    )
    model = trainer.run(out / CHECKPOINT_FILE, progress)
    _write_history(trainer, out)
    logits = {
        name: predict(model, data.labelled(name).images, experiment.preprocessing)
        for name, cases in data.cases.items()
        if cases
    }
    calibration = _calibration(data.labels["validation"], logits["validation"], out)
    predictions = _predictions(data, logits, calibration)
    settings = Settings(
        task=experiment.task,
        preprocessing=experiment.preprocessing,
        threshold=_threshold(predictions),
        calibration=calibration,
        prevalence=float(np.concatenate([data.labels["training"], data.labels["validation"]]).mean()),
        training_percentiles=percentiles([one.properties for one in data.inputs["training"]]),
        splits_sha256=job.splits.sha256,
        notice=experiment.notice,
        provenance=provenance_of(experiment, data, logits, trainer, str(device)),
    )
    card = model_card(settings, experiment)
    model_args = stored_model_args(experiment.network)
    save_bundle(out, model, experiment.network.architecture, model_args, settings, card)
    write_atomically(out / PREDICTIONS_FILE, predictions_csv(predictions))
    return predictions


def _write_history(trainer: Trainer, out: Path) -> None:
    table, picture = HISTORY_FILES
    rows = [asdict(epoch) for epoch in trainer.history]
    write_atomically(out / table, csv_bytes(tuple(Epoch.__dataclass_fields__), rows))
    write_atomically(out / picture, history_png(trainer.history, trainer.recipe.stops_on))


def _calibration(labels: np.ndarray, logits: np.ndarray, out: Path) -> Calibration:
    try:
        return platt_calibration(labels, logits)
    except ValueError as error:
        raise InputError(
            f"{out}: {error}: nothing was learnt that holds on the validation set; no bundle was written, see"
            " history.csv"
        ) from error


def _predictions(data: Data, logits: Mapping[str, np.ndarray], calibration: Calibration) -> list[Prediction]:
    found = []
    for name, of_set in logits.items():
        for case, label, logit in zip(data.cases[name], data.labels[name], of_set):
            found.append(
                Prediction(
                    case_id=case.case_id,
                    set=name,
                    label=int(label),
                    score=float(calibration.score(logit)),
                    score_raw=sigmoid(float(logit)),
                    patient_id=case.patient_id,
                )
            )
    return found


def _threshold(predictions: Sequence[Prediction]) -> float:
    """Youden's, on the validation set."""
    validation = [one for one in predictions if one.set == "validation"]
    labels = np.array([one.label for one in validation])
    return youden_threshold(labels, np.array([one.score for one in validation]))
