"""Trainings over folds and seeds, one after the other or on a Dask cluster; their predictions together."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from HER2ViTLib.files.output import prepare_folder, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.devices import choose_device
from HER2ViTLib.model.operating_point import OUT_OF_FOLD
from HER2ViTTrainingLib.parallel.executors import executor
from HER2ViTTrainingLib.parallel.progress import Progress, prefixed

from .networks import build_network
from .predictions import predictions_csv, seeds_csv
from .runs import (
    CACHE_FOLDER,
    PREDICTIONS_FILE,
    RESULT_FILES,
    Trained,
    TrainingJob,
    train,
)


@dataclass(frozen=True)
class Written:
    """The names of the files and folders that were written, and a line for each model that has no bundle."""

    names: list[str]
    warnings: list[str]


def run_repeated(
    job: TrainingJob,
    *,
    seeds: int = 1,
    folds: bool = False,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Written:
    """Trains once per seed (the experiment's and the next ones) and, with `folds`, per fold: a bundle each,
    in a folder of its own.

    `predictions.csv`: with folds, a row for every development case and seed, set `out-of-fold`, scored by the
    model from which its fold was held out. Without, the mean score over the seeds and each seed's own
    (`score_seed5` for seed 5). A model that learnt nothing has its raw scores there, no bundle, and a warning
    in what is returned. `scheduler` is the address of a Dask cluster to train on side by side; its workers
    must see the same files under the same names. `progress` is told as in `run_experiment`, with each
    training's name; on a cluster, of trainings. Raises `InputError`.
    """
    out = prepare_folder(job.out, RESULT_FILES)
    # In full: a cluster's workers are started in other folders.
    cache = Path(job.cache or out / CACHE_FOLDER).resolve()
    jobs = _repetitions(replace(job, out=out.resolve(), cache=cache), seeds, folds)
    _require_both_classes(jobs)
    if scheduler is None:
        # What is wrong with the network or the device should not be told only after the inputs are made.
        choose_device(job.experiment.device)
        build_network(job.experiment.network, job.experiment.seed)
    # Before the trainings start, or each would make the same inputs.
    jobs[0].data(progress)
    trained = _train_each(jobs, scheduler, progress)
    write_atomically(out / PREDICTIONS_FILE, _together(jobs, trained, folds))
    names = [PREDICTIONS_FILE, *(one.out.name for one in jobs)]
    return Written(names, [one.warning for one in trained if one.warning])


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


def _require_both_classes(jobs: Sequence[TrainingJob]) -> None:
    """Raises `InputError`, a line for each fold whose model could not be trained or validated, before hours
    are spent on the others.
    """
    faults = []
    for job in jobs:
        labels = {case.case_id: case.label(job.experiment.task) for case in job.cohort.cases}
        for name in ("training", "validation") if job.fold else ():
            ids = job.sets[name]
            if len({labels[case_id] for case_id in ids}) < 2:
                faults.append(
                    f"fold {job.fold_name!r}, seed {job.experiment.seed}: the {name} part of the other folds"
                    f" ({len(ids)} cases) lacks a class; more cases, or other folds, are needed"
                )
    if faults:
        raise InputError(faults)


def _train_each(
    jobs: Sequence[TrainingJob], scheduler: str | None, progress: Progress | None
) -> list[Trained]:
    if scheduler is None:
        return [train(job, prefixed(progress, job.out.name)) for job in jobs]
    found = []
    with executor(None, scheduler) as pool:
        for trained in pool.map(train, jobs):
            found.append(trained)
            if progress is not None:
                progress(len(found), len(jobs), "trainings")
    return found


def _together(jobs: Sequence[TrainingJob], trained: Sequence[Trained], folds: bool) -> bytes:
    """What the trainings of the jobs predict, as `predictions.csv`."""
    by_seed = {job.experiment.seed: one.predictions for job, one in zip(jobs, trained)}
    if not folds:
        return seeds_csv(by_seed)
    rows = itertools.chain.from_iterable(one.predictions for one in trained)
    return predictions_csv([row for row in rows if row.set == OUT_OF_FOLD])
