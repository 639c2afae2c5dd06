"""From a manifest to a bundle: inputs, training, calibration and threshold on validation data, predictions, model card."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import timm
import torch
from torch import nn

from HER2ViTLib import __version__
from HER2ViTLib.files.inputs import require_file
from HER2ViTLib.files.output import csv_bytes, prepare_folder, write_atomically
from HER2ViTLib.her2 import Task
from HER2ViTLib.imaging.series import file_sha256
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, Calibration, Settings, save_bundle, sigmoid
from HER2ViTLib.model.preprocessing import Preprocessing, SquarePreprocessing, StudyPreprocessing
from HER2ViTLib.reading.reader import choose_device
from HER2ViTTrainingLib.cohort.manifest import Case, Cohort, Splits, TaskSplit
from HER2ViTTrainingLib.parallel.executors import executor, keep_freed_memory
from HER2ViTTrainingLib.stats.roc import auc, platt_calibration, youden_threshold

from .inputs import ModelInput, model_inputs
from .trainer import METHOD, RECIPES, Epoch, Labelled, Recipe, Trainer, predict

CHECKPOINT_FILE, HISTORY_FILES, PREDICTIONS_FILE = "checkpoint.safetensors", ("history.csv", "history.png"), "predictions.csv"
RESULT_FILES = (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, CHECKPOINT_FILE, *HISTORY_FILES, PREDICTIONS_FILE, "cache", "fold*", "seed*")
PREDICTION_COLUMNS = ("case_id", "set", "label", "score", "score_raw", "patient_id")
OPTIMISTIC = "The threshold and the calibration were fixed on the validation set, and its best epoch was kept: its figures are optimistic."


@dataclass(frozen=True)
class Network:
    """Which network to train, and from which weights: "imagenet" (from the hub), "none", or a safetensors file of timm's key names.

    `model_args` goes to timm as it is (a smaller member of the family, say).
    """

    architecture: str = "vit_tiny_patch16_224"
    img_size: int | None = None
    pretrained: str = "imagenet"
    model_args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """All that a training is made of but its cases. `notice` is shown wherever the model's result is."""

    task: Task
    recipe: Recipe = RECIPES["default"]
    preset: str = "square"
    network: Network = field(default_factory=Network)
    seed: int = 1
    device: str = "auto"
    notice: str = ""


def model_args(network: Network) -> dict[str, Any]:
    """What timm builds the network with. Networks that take any size get none. Raises `InputError` for one that timm does not know."""
    name = network.architecture
    if "/" in name or ":" in name or not timm.is_model(name):
        raise InputError(f"architecture {name!r}: timm has no such model; see timm.list_models()")
    fixed = (timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()).fixed_input_size
    return {**network.model_args, **({"img_size": network.img_size} if network.img_size and fixed else {})}


def stored_model_args(network: Network) -> dict[str, Any]:
    """What the bundle keeps of `model_args`: dropout of any kind is for training, and has no part in a reading."""
    return {name: value for name, value in model_args(network).items() if "drop" not in name}


def build_network(network: Network, seed: int) -> nn.Module:
    """A network with one logit. Raises `InputError`, one line, for unknown names, weights that do not fit, or a hub out of reach."""
    arguments = model_args(network)
    for library in ("huggingface_hub", "timm"):  # they tell of every retry and every odd tensor, where one line is to be said
        logging.getLogger(library).setLevel(logging.ERROR)
    torch.manual_seed(seed)
    if network.pretrained == "none":
        return timm.create_model(network.architecture, num_classes=1, **arguments)
    if network.pretrained == "imagenet":
        return _from_hub(network, arguments)
    return _from_file(network, arguments, Path(network.pretrained))


def _from_hub(network: Network, arguments: Mapping[str, int]) -> nn.Module:
    try:
        return timm.create_model(network.architecture, pretrained=True, num_classes=1, **arguments)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"ImageNet weights of {network.architecture} cannot be had from the hub ({type(error).__name__}: {reason}); "
            "give a file with --pretrained FILE.safetensors, or --pretrained none"
        ) from error


def _from_file(network: Network, arguments: Mapping[str, int], path: Path) -> nn.Module:
    path = require_file(path, "imagenet, none or a .safetensors file")
    try:
        # Opened here, not by timm: that would take a file with another ending for a pickle.
        tensors = safetensors.torch.load_file(path)
        if not tensors or not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("weights that are not finite, or none at all")
        model = timm.create_model(
            network.architecture, pretrained=True, num_classes=1, pretrained_cfg_overlay={"state_dict": tensors}, **arguments
        )  # fmt: skip
    except (safetensors.SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise _unfit(network, path, error) from error
    model.pretrained_cfg.pop("state_dict", None)
    try:
        _require_all_but_head(model, tensors)
    except KeyError as error:
        raise _unfit(network, path, error) from error
    return model


def _unfit(network: Network, path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: does not hold the weights of {network.architecture} ({' '.join(str(error).split())[:120]})")


def _require_all_but_head(model: nn.Module, names: Collection[str]) -> None:
    """Raises `KeyError` for a tensor that the file lacks: timm would leave it at random without a word."""
    head = model.pretrained_cfg["classifier"]
    heads = (head,) if isinstance(head, str) else tuple(head)
    for name in model.state_dict():
        if name not in names and not name.startswith(heads):
            raise KeyError(f"{name} is missing")


def preprocessing_for(preset: str, network: Network) -> Preprocessing:
    """The preset at the network's input size, with the network's own mean and sd where the preset uses them."""
    pretrained = timm.get_pretrained_cfg(network.architecture)
    size = (network.img_size, network.img_size) if network.img_size else tuple(pretrained.input_size[1:])
    if preset == "study":
        return StudyPreprocessing(size=size)
    return SquarePreprocessing(size=size, mean=tuple(pretrained.mean), std=tuple(pretrained.std))


@dataclass(frozen=True)
class Data:
    """The cases of a task with their inputs and labels, by set; the sets do not overlap."""

    cases: Mapping[str, Sequence[Case]]
    inputs: Mapping[str, Sequence[ModelInput]]
    labels: Mapping[str, np.ndarray]

    def labelled(self, name: str) -> Labelled:
        images = [one.image for one in self.inputs[name]]
        return Labelled(np.stack(images) if images else np.empty((0, 0, 0), np.float32), self.labels[name])


def load_data(cohort: Cohort, sets: Mapping[str, Sequence[str]], task: Task, preprocessing: Preprocessing, cache: Path) -> Data:
    """Inputs and labels of the sets (case ids by set name); cases the task does not ask about are left out."""
    by_id = {case.case_id: case for case in cohort.cases}
    chosen = {name: [by_id[i] for i in ids if by_id[i].label(task) is not None] for name, ids in sets.items()}
    inputs = iter(model_inputs([case for cases in chosen.values() for case in cases], preprocessing, cache))
    return Data(
        chosen,
        {name: [next(inputs) for _ in cases] for name, cases in chosen.items()},
        {name: np.array([case.label(task) for case in cases], int) for name, cases in chosen.items()},
    )


def run_experiment(
    experiment: Experiment, cohort: Cohort, splits: Splits, out: str | os.PathLike, cache: str | os.PathLike | None = None
) -> list[str]:
    """Trains on the split's training part; writes a bundle, the history and the predictions of every set. Returns the files' names.

    Run again, it goes on where it was killed; a finished one is written anew from its checkpoint. Raises `InputError`.
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
    every_set = _folds(split) if folds else {"": {"training": split.training, "validation": split.validation, **splits.external}}
    if scheduler is None:
        _started(experiment)
    # Before the trainings start, or each would make the same inputs.
    _data(experiment, cohort, next(iter(every_set.values())), cache)
    every_seed = range(experiment.seed, experiment.seed + seeds)
    names = [(seed, fold) for seed in every_seed for fold in every_set]
    folders = {(seed, fold): "-".join(filter(None, [f"seed{seed}" if seeds > 1 else "", fold])) for seed, fold in names}
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
        f"fold{number}": {"training": [case_id for n, fold in everyone.items() if n != number for case_id in fold], "validation": held_out}
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
    _train(experiment, *_started(experiment), data, preprocessing, splits, prepare_folder(folder, RESULT_FILES))


def _held_out(folder: Path, folds: bool) -> list[dict[str, str]]:
    """A training's predictions; of a fold only those of the cases it has not seen."""
    with (folder / PREDICTIONS_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, "set": "out-of-fold"} for row in rows if row["set"] == "validation"] if folds else rows


def _mean_over_seeds(rows: Mapping[int, Sequence[Mapping[str, str]]]) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Columns and rows of the predictions of several seeds: the mean score, and each seed's own."""
    if len(rows) == 1:
        [only] = rows.values()
        return PREDICTION_COLUMNS, [dict(row) for row in only]
    columns = (*(name for name in PREDICTION_COLUMNS if name != "score_raw"), *(f"score_seed{seed}" for seed in rows))
    merged = []
    for same_case in zip(*rows.values()):
        scores = {f"score_seed{seed}": row["score"] for seed, row in zip(rows, same_case)}
        first = {name: same_case[0][name] for name in ("case_id", "set", "label", "patient_id")}
        merged.append({**first, "score": repr(float(np.mean([float(score) for score in scores.values()]))), **scores})
    return columns, merged


def _data(experiment: Experiment, cohort: Cohort, sets: Mapping[str, Sequence[str]], cache: Path) -> tuple[Data, Preprocessing]:
    preprocessing = preprocessing_for(experiment.preset, experiment.network)
    return load_data(cohort, sets, experiment.task, preprocessing, cache), preprocessing


def _started(experiment: Experiment) -> tuple[nn.Module, torch.device]:
    """The network and the device. Made before the inputs of all cases: what is wrong here should not be told after hours."""
    device, _ = choose_device(experiment.device)
    return build_network(experiment.network, experiment.seed), device


def _train(
    experiment: Experiment, model: nn.Module, device: torch.device, data: Data, preprocessing: Preprocessing, splits: Splits, out: Path
) -> list[str]:
    trainer = Trainer(
        model, data.labelled("training"), data.labelled("validation"), preprocessing, experiment.recipe, experiment.seed, device,
        fingerprint(experiment, data, splits),
    )  # fmt: skip
    model = trainer.run(out / CHECKPOINT_FILE, _say_epoch)
    logits = {name: predict(model, data.labelled(name).images, preprocessing) for name in data.cases if data.cases[name]}
    write_atomically(out / "history.csv", csv_bytes(tuple(Epoch.__dataclass_fields__), [asdict(epoch) for epoch in trainer.history]))
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
        provenance=_provenance(experiment, data, logits, trainer, str(device)),
    )
    save_bundle(out, model, experiment.network.architecture, stored_model_args(experiment.network), settings, model_card(settings, experiment))
    write_atomically(out / PREDICTIONS_FILE, csv_bytes(PREDICTION_COLUMNS, _prediction_rows(data, logits, scores)))
    return [CONFIG_FILE, WEIGHTS_FILE, CARD_FILE, *HISTORY_FILES, PREDICTIONS_FILE]


def _calibration(labels: np.ndarray, logits: np.ndarray, out: Path) -> Calibration:
    try:
        return platt_calibration(labels, logits)
    except ValueError as error:
        raise InputError(f"{out}: {error}: nothing was learnt that holds on the validation set; no bundle was written, see history.csv") from error


def fingerprint(experiment: Experiment, data: Data, splits: Splits) -> str:
    """Names a training by all that decides its weights: the settings, the pretrained file, the split, every input and label."""
    digest = hashlib.sha256()
    weights = _weights_sha256(experiment.network) or experiment.network.pretrained
    settings = {**asdict(replace(experiment, device="", network=replace(experiment.network, pretrained=weights)))}
    digest.update(json.dumps({**settings, "splits": splits.sha256, "method": METHOD}, sort_keys=True, default=str).encode())
    for name in ("training", "validation"):
        digest.update(data.labels[name].tobytes())
        for one in data.inputs[name]:
            digest.update(np.ascontiguousarray(one.image).data)
    return digest.hexdigest()


def _weights_sha256(network: Network) -> str | None:
    """The hash of the file with the starting weights, None where there is none."""
    return file_sha256(network.pretrained) if network.pretrained not in ("imagenet", "none") else None


def percentiles(properties: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """1st and 99th percentile of each property over the cases that have it."""
    names = sorted({name for one in properties for name in one})
    return {name: tuple(np.percentile([one[name] for one in properties if name in one], (1, 99)).tolist()) for name in names}


def _provenance(experiment: Experiment, data: Data, logits: Mapping[str, np.ndarray], trainer: Trainer, device: str) -> dict:
    figures = {}
    for name, found in logits.items():
        labels = data.labels[name]
        both = 0 < labels.sum() < len(labels)
        figures[name] = {"n": len(labels), "n_pos": int(labels.sum()), "auc": round(auc(labels, found), 4) if both else None}
    return {
        "recipe": asdict(experiment.recipe),
        "network": asdict(replace(experiment.network, pretrained=Path(experiment.network.pretrained).name)),
        "pretrained_sha256": _weights_sha256(experiment.network),
        "fingerprint": trainer.fingerprint,
        "seed": experiment.seed,
        "epochs_run": len(trainer.history),
        "sets": figures,
        "device": device,
        "versions": {"her2vit": __version__, "python": sys.version.split()[0], "torch": torch.__version__, "timm": timm.__version__},
    }


def model_card(settings: Settings, experiment: Experiment) -> str:
    """The bundle's README: what it is for, what it was made from, how good it was, and what it must not be used for."""
    task, made = settings.task, settings.provenance
    sets = [f"| {name} | {f['n']} | {f['n_pos']} | {'' if f['auc'] is None else format(f['auc'], '.3f')} |" for name, f in made["sets"].items()]
    return "\n".join([
        f"# {task.title}",
        "",
        *([f"**{settings.notice}**", ""] if settings.notice else []),
        f"A timm `{experiment.network.architecture}` with one logit: the probability of HER2-{task.positive_label}, read from one slice of",
        "the early phase of a pre-treatment breast DCE-MRI, around the lesion's outline.",
        "",
        "## Intended use",
        "",
        "Research on HER2 status and MRI, on data like that described here. Not for clinical decisions, screening, or other organs,",
        "phases or contrast agents. A reading warns when a case is unlike the training set; without warning it can still be wrong.",
        "",
        "## Training",
        "",
        f"- Recipe `{experiment.recipe.name}`, {made['epochs_run']} epochs, seed {experiment.seed}; starting weights:",
        f"  {made['network']['pretrained']}.",
        f"- Preprocessing `{settings.preprocessing.preset}`: `{json.dumps(settings.preprocessing.to_json())}`.",
        f"- Split by patient, SHA-256 `{settings.splits_sha256}`; fingerprint of settings, inputs and labels `{made['fingerprint']}`.",
        f"- Versions: {', '.join(f'{name} {version}' for name, version in made['versions'].items())}; device {made['device']}.",
        "",
        "## Figures",
        "",
        f"| set | cases | {task.positive_label} | AUC |",
        "|---|---|---|---|",
        *sets,
        "",
        f"Threshold {settings.threshold:.4f} (Youden index) on the calibrated scale; Platt calibration: slope {settings.calibration.slope:.4f},",
        f"intercept {settings.calibration.intercept:.4f}. {OPTIMISTIC} Judge the model on patients it has not seen (`her2vit evaluate`).",
        f"Probabilities hold at the development set's prevalence of {settings.prevalence:.3f}.",
        "",
        "## Limits",
        "",
        "Retrospective data; protocols and populations differ between centres, and a threshold may not transfer. HER2-zero and -low look",
        "alike on MRI.",
    ])  # fmt: skip


def _prediction_rows(data: Data, logits: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> list[dict[str, str]]:
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
            f"\repoch {epoch.epoch}: loss {epoch.train_loss:.3f}, validation loss {epoch.validation_loss:.3f}, AUC {epoch.validation_auc:.3f} "
        )


def history_png(history: Sequence[Epoch], stops_on: str) -> bytes:
    """Losses and validation AUC by epoch; the kept epoch is marked."""
    from HER2ViTTrainingLib.evaluation.figures import panels, png

    figure, (losses, areas) = panels(2)
    epochs = [epoch.epoch for epoch in history]
    losses.plot(epochs, [epoch.train_loss for epoch in history], label="training")
    losses.plot(epochs, [epoch.validation_loss for epoch in history], label="validation")
    areas.plot(epochs, [epoch.validation_auc for epoch in history], color="tab:orange")
    merit: Callable[[Epoch], float] = (lambda e: e.validation_auc) if stops_on == "auc" else (lambda e: -e.validation_loss)
    kept = max(history, key=merit).epoch
    for axis, title in ((losses, "loss"), (areas, "validation AUC (optimistic)")):
        axis.axvline(kept, color="grey", linestyle=":", label=f"kept: epoch {kept}")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    losses.legend(fontsize=8)
    return png(figure)
