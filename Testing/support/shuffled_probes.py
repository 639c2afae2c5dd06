"""Probes that learn shuffled labels: what chance, or a leak, gives where there is nothing to learn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from HER2ViTLib.her2 import Task
from HER2ViTLib.model.operating_point import OUT_OF_FOLD
from HER2ViTTrainingLib.cohort.manifest import read_manifest
from HER2ViTTrainingLib.cohort.splits import make_splits
from HER2ViTTrainingLib.stats.ridge import fit_ridge_logit
from HER2ViTTrainingLib.stats.roc import auc
from HER2ViTTrainingLib.training.experiment import Experiment
from HER2ViTTrainingLib.training.networks import Network, build_network
from HER2ViTTrainingLib.training.probe import embeddings_of
from HER2ViTTrainingLib.training.recipes import RECIPES
from HER2ViTTrainingLib.training.runs import TrainingJob


@dataclass(frozen=True)
class Folds:
    """The embeddings (n, d), labels, patients and cohorts (n,) of all cases; of each fold, which cases its
    probe is fitted on and which are held out from it.
    """

    embeddings: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    cohorts: np.ndarray
    parts: list[tuple[np.ndarray, np.ndarray]]
    seed: int

    def mean_auc(self, labels: np.ndarray) -> float:
        """The mean over the folds of the held-out AUC of probes that learnt `labels` (n,)."""
        areas = []
        for training, held_out in self.parts:
            ridge = fit_ridge_logit(
                self.embeddings[training], labels[training], self.patients[training], seed=self.seed
            )
            areas.append(auc(labels[held_out], ridge.logits(self.embeddings[held_out])))
        return float(np.mean(areas))

    def shuffled_labels(self, rng: np.random.Generator, within_cohort: bool) -> np.ndarray:
        """Labels (n,) in another order; within each cohort, they keep what the cohort tells by itself."""
        labels = self.labels.copy()
        groups = self.cohorts if within_cohort else np.zeros(len(labels), int)
        for group in np.unique(groups):
            inside = np.flatnonzero(groups == group)
            labels[inside] = labels[rng.permutation(inside)]
        return labels


def folds_of_probe(manifest: Path, task: Task, weights: Path, cache: Path, folds: int, seed: int) -> Folds:
    """What `train --recipe probe --folds` with this seed fits on and holds out, one slice a case."""
    cohort = read_manifest(manifest)
    network = Network(pretrained=str(weights))
    experiment = Experiment(task, RECIPES["probe"], network=network, seed=seed)
    splits = make_splits(cohort, folds=folds, seed=seed)
    model = build_network(network, seed)
    job = TrainingJob(experiment, cohort, splits, cache, cache)
    cases = [case for case in cohort.development if case.label(task) is not None]
    place = {case.case_id: n for n, case in enumerate(cases)}
    embeddings = np.empty((len(cases), model.num_features))
    parts = []
    for fold in range(1, folds + 1):
        data = replace(job, fold=fold).data()
        rows = {}
        for name, of_set in data.cases.items():
            rows[name] = np.array([place[case.case_id] for case in of_set])
            images = data.labelled(name).images
            embeddings[rows[name]] = embeddings_of(model, images, experiment.preprocessing, cache)
        parts.append((rows["training"], rows[OUT_OF_FOLD]))
    labels = np.array([case.label(task) for case in cases])
    patients = np.array([case.patient_id for case in cases])
    cohorts = np.array([case.cohort for case in cases])
    return Folds(embeddings, labels, patients, cohorts, parts, seed)
