"""The trained model's card and the picture of its history."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from HER2ViTLib import __version__
from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.model.config import Settings
from HER2ViTTrainingLib.stats.roc import auc

from .experiment import Data, Experiment
from .fitted import Fitted
from .networks import weights_sha256
from .trainer import Epoch

TEMPLATES = Path(__file__).parent / "templates"


def provenance_of(
    experiment: Experiment,
    data: Data,
    fitted: Fitted,
    fingerprint: str,
    device: str,
    fold: str = "",
) -> dict[str, Any]:
    """What the bundle tells of its making: settings, the training's fingerprint, versions, and the model's
    figures in each set.

    `fold` names the fold that was held out, if any. A set of one class has no AUC.
    """
    figures = {name: _figures(data.labels[name], found) for name, found in fitted.logits.items()}
    return {
        "recipe": asdict(experiment.recipe),
        "network": asdict(replace(experiment.network, pretrained=Path(experiment.network.pretrained).name)),
        "pretrained_sha256": weights_sha256(experiment.network),
        "fingerprint": fingerprint,
        "seed": experiment.seed,
        "fold": fold,
        **fitted.about,
        "sets": figures,
        "device": device,
        "versions": {
            "her2vit": __version__,
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "timm": timm.__version__,
        },
    }


def _figures(labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    positive = int(labels.sum())
    has_both = 0 < positive < len(labels)
    area = round(auc(labels, logits), 4) if has_both else None
    return {"n": len(labels), "n_pos": positive, "auc": area}


def model_card(settings: Settings, experiment: Experiment) -> str:
    """The bundle's README: what it is for, what it was made from, how good it was, and what it must not be
    used for.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701  Markdown, which nobody's browser runs
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("model_card.md").render(
        task=settings.task,
        two_step=TWO_STEP,
        settings=settings,
        experiment=experiment,
        made=settings.provenance,
        preprocessing=json.dumps(settings.preprocessing.to_json()),
    )


def history_png(history: Sequence[Epoch], stops_on: str) -> bytes:
    """Losses and validation AUC by epoch; the kept epoch is marked."""
    from HER2ViTTrainingLib.pages.pictures import panels, png

    figure, (losses, areas) = panels(2)
    epochs = [epoch.epoch for epoch in history]
    losses.plot(epochs, [epoch.train_loss for epoch in history], label="training")
    losses.plot(epochs, [epoch.validation_loss for epoch in history], label="validation")
    areas.plot(epochs, [epoch.validation_auc for epoch in history], color="tab:orange")
    kept = max(history, key=lambda epoch: epoch.merit(stops_on)).epoch
    for axis, title in ((losses, "loss"), (areas, "validation AUC (optimistic)")):
        axis.axvline(kept, color="grey", linestyle=":", label=f"kept: epoch {kept}")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    losses.legend(fontsize=8)
    return png(figure)
