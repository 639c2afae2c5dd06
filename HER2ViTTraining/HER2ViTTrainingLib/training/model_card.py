"""The trained model's card and the picture of its history."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import timm
import torch

from HER2ViTLib import __version__
from HER2ViTLib.model.config import Settings
from HER2ViTTrainingLib.stats.roc import auc

from .experiment import Data, Experiment
from .networks import weights_sha256
from .trainer import Epoch, Trainer

OPTIMISTIC = (
    "The threshold and the calibration were fixed on the validation set, and its best epoch was kept: its"
    " figures are optimistic."
)


def provenance_of(
    experiment: Experiment, data: Data, logits: Mapping[str, np.ndarray], trainer: Trainer, device: str
) -> dict:
    figures = {}
    for name, found in logits.items():
        labels = data.labels[name]
        both = 0 < labels.sum() < len(labels)
        figures[name] = {
            "n": len(labels),
            "n_pos": int(labels.sum()),
            "auc": round(auc(labels, found), 4) if both else None,
        }
    return {
        "recipe": asdict(experiment.recipe),
        "network": asdict(replace(experiment.network, pretrained=Path(experiment.network.pretrained).name)),
        "pretrained_sha256": weights_sha256(experiment.network),
        "fingerprint": trainer.fingerprint,
        "seed": experiment.seed,
        "epochs_run": len(trainer.history),
        "sets": figures,
        "device": device,
        "versions": {
            "her2vit": __version__,
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "timm": timm.__version__,
        },
    }


def model_card(settings: Settings, experiment: Experiment) -> str:
    """The bundle's README: what it is for, what it was made from, how good it was, and what it must not be
    used for.
    """
    task, made = settings.task, settings.provenance
    sets = [
        f"| {name} | {f['n']} | {f['n_pos']} | {'' if f['auc'] is None else format(f['auc'], '.3f')} |"
        for name, f in made["sets"].items()
    ]
    return "\n".join([
        f"# {task.title}",
        "",
        *([f"**{settings.notice}**", ""] if settings.notice else []),
        f"A timm `{experiment.network.architecture}` with one logit: the probability of HER2-{task.target_name}, read from one slice of",
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
        f"| set | cases | {task.target_name} | AUC |",
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


def history_png(history: Sequence[Epoch], stops_on: str) -> bytes:
    """Losses and validation AUC by epoch; the kept epoch is marked."""
    from HER2ViTTrainingLib.pages.pictures import panels, png

    figure, (losses, areas) = panels(2)
    epochs = [epoch.epoch for epoch in history]
    losses.plot(epochs, [epoch.train_loss for epoch in history], label="training")
    losses.plot(epochs, [epoch.validation_loss for epoch in history], label="validation")
    areas.plot(epochs, [epoch.validation_auc for epoch in history], color="tab:orange")
    merit: Callable[[Epoch], float] = (
        (lambda e: e.validation_auc) if stops_on == "auc" else (lambda e: -e.validation_loss)
    )
    kept = max(history, key=merit).epoch
    for axis, title in ((losses, "loss"), (areas, "validation AUC (optimistic)")):
        axis.axvline(kept, color="grey", linestyle=":", label=f"kept: epoch {kept}")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    losses.legend(fontsize=8)
    return png(figure)
