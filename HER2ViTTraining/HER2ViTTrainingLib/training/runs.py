"""From a manifest to a bundle: inputs, training, calibration and threshold on validation data, predictions,
model card.

A model that learnt nothing (its calibration has no positive slope) gets no bundle. In an estimate over folds
and seeds it still counts, with its raw scores: leaving it out would flatter the estimate.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from HER2ViTLib.files.output import csv_bytes, prepare_folder, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import WEIGHTS_FILE, save_bundle
from HER2ViTLib.model.calibration import Calibration, sigmoid
from HER2ViTLib.model.config import Settings
from HER2ViTLib.model.config_file import CARD_FILE, CONFIG_FILE
from HER2ViTLib.model.development_scores import development_scores
from HER2ViTLib.model.devices import choose_device
from HER2ViTLib.model.operating_point import OUT_OF_FOLD
from HER2ViTTrainingLib.cohort.columns import SET_NAMES, SUBGROUP_COLUMNS
from HER2ViTTrainingLib.cohort.manifest import Cohort
from HER2ViTTrainingLib.cohort.splits import Splits, TaskSplit, inner_validation
from HER2ViTTrainingLib.parallel.executors import keep_freed_memory
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.stats.calibration import platt_calibration
from HER2ViTTrainingLib.stats.roc import youden_threshold

from .experiment import Data, Experiment, fingerprint, load_data, percentiles
from .fitted import Fitted
from .model_card import history_png, model_card, provenance_of
from .networks import build_network, stored_model_args
from .predictions import Prediction, operating_points, predictions_csv
from .recipes import Probe
from .trainer import Trainer, case_logits

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


@dataclass(frozen=True)
class TrainingJob:
    """One training: what is trained, on which cases, and the folder it is written into.

    `cache` is the folder of the cases' inputs, which trainings may share (default: in `out`). Without `fold`
    the split's training and validation parts are taken, and the external cases are predicted too. With
    `fold`, counted from 1, that fold is held out: it is only scored. Of the patients of the other folds a
    part is drawn to validate on (stopping, calibration, threshold); the rest are trained on.
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
        held_out = self.split.folds[self.fold - 1]
        others = set(itertools.chain.from_iterable(self.split.folds)).difference(held_out)
        cases = [case for case in self.cohort.cases if case.case_id in others]
        purpose = f"validation/fold {self.fold_name}"
        patients = inner_validation(cases, self.experiment.seed, purpose)
        training = sorted(case.case_id for case in cases if case.patient_id not in patients)
        validation = sorted(case.case_id for case in cases if case.patient_id in patients)
        return {"training": training, "validation": validation, OUT_OF_FOLD: held_out}

    @property
    def fold_name(self) -> str:
        """The name of the fold that is held out; empty without one."""
        return "" if self.fold is None else self.split.fold_name(self.fold)

    @property
    def inputs_folder(self) -> Path:
        """Where the cases' inputs are kept."""
        return self.cache or self.out / CACHE_FOLDER

    def data(self, progress: Progress | None = None) -> Data:
        """The inputs and labels of the sets, made where the cache lacks them."""
        task = self.experiment.task
        preprocessing = self.experiment.preprocessing
        return load_data(self.cohort, self.sets, task, preprocessing, self.inputs_folder, progress)


@dataclass(frozen=True)
class Trained:
    """What came of one training. `warning` says why there is no bundle; empty where there is one."""

    predictions: list[Prediction]
    warning: str = ""


def run_experiment(job: TrainingJob, progress: Progress | None = None) -> list[str]:
    """Trains, and writes a bundle, the history and the predictions of every set. Returns the files' names.

    Run again, it resumes where it was killed; a finished training is written anew from its checkpoint.
    `progress` is told of cases while the inputs are made, then of epochs. Raises `InputError`, also for a
    model that learnt nothing.
    """
    trained = train(job, progress)
    if trained.warning:
        raise InputError(trained.warning)
    return [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, *HISTORY_FILES, PREDICTIONS_FILE]


def train(job: TrainingJob, progress: Progress | None = None) -> Trained:
    """One training, wherever it runs: writes what `run_experiment` says, or for a model that learnt nothing a
    page in place of the bundle. Raises `InputError`.
    """
    keep_freed_memory()
    experiment = job.experiment
    out = prepare_folder(job.out, RESULT_FILES)
    # The network before the inputs: what is wrong with it should not be told only after hours.
    device, _ = choose_device(experiment.device)
    model = build_network(experiment.network, experiment.seed)
    data = job.data(progress)
    named = fingerprint(experiment, data, job.splits)
    fitted = _fit(job, model, data, device, named, progress)
    _write_history(fitted, out)
    calibration, reason = _calibration(data.labels["validation"], fitted.logits["validation"])
    predictions = _predictions(job, data, fitted.logits, calibration)
    write_atomically(out / PREDICTIONS_FILE, predictions_csv(predictions))
    if calibration is None:
        _write_no_bundle(out, reason)
        fold = f", fold {job.fold_name!r}" if job.fold else ""
        return Trained(predictions, f"{out}{fold}: {reason}; no bundle was written, see history.csv")
    settings = Settings(
        task=experiment.task,
        preprocessing=experiment.preprocessing,
        threshold=predictions[0].threshold,
        calibration=calibration,
        prevalence=float(np.concatenate([data.labels["training"], data.labels["validation"]]).mean()),
        training_percentiles=percentiles([one.properties for one in data.inputs["training"]]),
        splits_sha256=job.splits.sha256,
        notice=experiment.notice,
        operating_points=operating_points(predictions),
        provenance=provenance_of(experiment, data, fitted, named, str(device), job.fold_name),
        development_scores=development_scores(data.labels["validation"], fitted.logits["validation"]),
    )
    card = model_card(settings, experiment)
    model_args = stored_model_args(experiment.network)
    save_bundle(out, fitted.model, experiment.network.architecture, model_args, settings, card)
    return Trained(predictions)


def _fit(
    job: TrainingJob,
    model: nn.Module,
    data: Data,
    device: torch.device,
    named: str,
    progress: Progress | None,
) -> Fitted:
    """The network as the recipe fits it; `named` is the fingerprint of the training."""
    experiment = job.experiment
    recipe = experiment.recipe
    parts = {name: data.labelled(name) for name, cases in data.cases.items() if cases or name in SET_NAMES}
    checkpoint = job.out / CHECKPOINT_FILE
    if isinstance(recipe, Probe):
        if checkpoint.exists():
            raise InputError(f"{checkpoint}: belongs to a training of all weights; name a new folder")
        # Here, not above: scikit-learn is only needed for this.
        from .probe import fit_probe

        patients = np.array([case.patient_id for case in data.cases["training"]])
        return fit_probe(
            model.to(device),
            parts,
            patients,
            experiment.preprocessing,
            seed=experiment.seed,
            cache=job.inputs_folder,
            progress=progress,
        )
    trainer = Trainer(
        model,
        training=parts["training"],
        validation=parts["validation"],
        preprocessing=experiment.preprocessing,
        recipe=recipe,
        seed=experiment.seed,
        device=device,
        fingerprint=named,
    )
    model = trainer.run(checkpoint, progress)
    logits = {name: case_logits(model, part, experiment.preprocessing) for name, part in parts.items()}
    history = [asdict(epoch) for epoch in trainer.history]
    picture = history_png(trainer.history, recipe.stops_on)
    return Fitted(model, logits, history, picture, {"epochs_run": len(history)})


def _write_history(fitted: Fitted, out: Path) -> None:
    table, picture = HISTORY_FILES
    write_atomically(out / table, csv_bytes(tuple(fitted.history[0]), fitted.history))
    write_atomically(out / picture, fitted.history_png)


def _calibration(labels: np.ndarray, logits: np.ndarray) -> tuple[Calibration | None, str]:
    """The calibration on the validation set, or None and why there is none."""
    try:
        return platt_calibration(labels, logits), ""
    except ValueError as error:
        return None, f"{error}: nothing was learnt that holds on the validation set"


def _predictions(
    job: TrainingJob, data: Data, logits: Mapping[str, np.ndarray], calibration: Calibration | None
) -> list[Prediction]:
    """A prediction for each case; the threshold is Youden's, on the validation set's scores."""
    applied = calibration or Calibration()
    scores = {name: list(map(applied.score, of_set.tolist())) for name, of_set in logits.items()}
    threshold = youden_threshold(data.labels["validation"], np.array(scores["validation"]))
    columns = [column for column in SUBGROUP_COLUMNS if column in job.cohort.columns]
    found = []
    for name, of_set in scores.items():
        for case, label, score, logit in zip(data.cases[name], data.labels[name], of_set, logits[name]):
            prediction = Prediction(
                case_id=case.case_id,
                set=name,
                label=int(label),
                score=score,
                score_raw=sigmoid(float(logit)),
                patient_id=case.patient_id,
                fold=job.fold_name,
                seed=job.experiment.seed,
                calibrated=int(calibration is not None),
                threshold=threshold,
                subgroups={column: case.row[column] for column in columns},
            )
            found.append(prediction)
    return found


def _write_no_bundle(out: Path, reason: str) -> None:
    """A page that says why there is no bundle; that of a former run goes."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (out / name).unlink(missing_ok=True)
    page = f"""# No bundle

{reason[0].upper()}{reason[1:]}. Such a model must not read cases, so its weights were not written.

Its raw scores are in `predictions.csv` (`calibrated` 0), with the threshold that is best for the raw scores
of its validation set. They belong into an estimate over folds and seeds: without them it would be too good.
"""
    write_atomically(out / CARD_FILE, page.encode())
