"""Fine-tuning one network with one logit. Everything random comes from one seed; a run that was killed
resumes where it was.
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import timm.optim
import torch
from safetensors import SafetensorError, safe_open
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from HER2ViTLib.files.output import write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import model_input
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.stats.roc import auc

from .augmentation import augment
from .labelled import Labelled, require_both_classes
from .recipes import FineTuning, learning_rate_factor

MIN_GAIN = 1e-6
"""An epoch is better than all before it by at least so much: less is round-off."""


@dataclass(frozen=True)
class Epoch:
    """One line of the history; the validation figures are those of the weights that would be kept."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_auc: float

    def merit(self, stops_on: str) -> float:
        """What decides which epoch is kept, the larger the better: the AUC ("auc"), or the loss ("loss")
        with its sign turned.
        """
        return self.validation_auc if stops_on == "auc" else -self.validation_loss

    def __str__(self) -> str:
        return (
            f"loss {self.train_loss:.3f}, validation loss {self.validation_loss:.3f},"
            f" AUC {self.validation_auc:.3f}"
        )


def predict(
    model: nn.Module, images: np.ndarray, preprocessing: Preprocessing, batch: int = 64
) -> np.ndarray:
    """Logits (m,) float64 of preprocessed images (m, H, W), on the device the model is on."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        chunks = [
            model(model_input(torch.from_numpy(images[n : n + batch]).to(device), preprocessing))
            for n in range(0, len(images), batch)
        ]
    return torch.cat(chunks).squeeze(-1).double().cpu().numpy()


def case_logits(model: nn.Module, cases: Labelled, preprocessing: Preprocessing) -> np.ndarray:
    """Logits (n,) of cases: the mean over the slices of each."""
    return cases.per_case(predict(model, cases.images, preprocessing))


class Trainer:
    """One training: `run` trains to the end; with a checkpoint file it resumes there, and ends with the same
    weights (on the CPU).

    `training` and `validation` are preprocessed by `preprocessing`. A slice is a sample; a case counts the
    same however many it has. `fingerprint` names the data and settings: a checkpoint of another training is
    refused with `InputError`; so is a part without both classes.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        training: Labelled,
        validation: Labelled,
        preprocessing: Preprocessing,
        recipe: FineTuning,
        seed: int,
        device: torch.device | str = "cpu",
        fingerprint: str = "",
    ) -> None:
        require_both_classes(training, "training")
        require_both_classes(validation, "validation")
        self.model = model.to(device)
        self.preprocessing = preprocessing
        self.recipe = recipe
        self.fingerprint = fingerprint
        self.validation = validation
        self.images = torch.from_numpy(training.images).to(device)
        self.labels = torch.from_numpy(training.labels[training.case_of].astype(np.float32)).to(device)
        # Relative to their mean, or many slices a case would mean small steps.
        weights = training.weights / training.weights.mean()
        self.weights = torch.from_numpy(weights.astype(np.float32)).to(device)
        positive = float(training.labels.sum())
        self.positive_weight = torch.tensor(
            (len(training.labels) - positive) / positive if recipe.weighted_classes else 1.0, device=device
        )
        self.optimizer = timm.optim.create_optimizer_v2(
            self.model,
            opt=recipe.optimizer,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            layer_decay=recipe.layer_decay,
            filter_bias_and_bn=recipe.name != "study",
        )
        self.base_rates = [group["lr"] * group.get("lr_scale", 1.0) for group in self.optimizer.param_groups]
        self.moving_average = ModelEmaV3(self.model) if recipe.averaging else None
        self.averaged = (
            self.model if self.moving_average is None else self.moving_average.module.requires_grad_(False)
        )
        self.best = copy.deepcopy(self.model.state_dict())
        self.generator = torch.Generator().manual_seed(seed)
        self.history: list[Epoch] = []

    def run(self, checkpoint: Path | None = None, progress: Progress | None = None) -> nn.Module:
        """Trains until the last epoch or until the validation figures stop improving; returns the network
        with the best weights. `progress` is told of each epoch, with its figures.
        """
        if checkpoint is not None and checkpoint.exists():
            self._load(checkpoint)
        if progress is not None:
            progress(len(self.history), self.recipe.epochs)
        while len(self.history) < self.recipe.epochs and not self._stalled():
            epoch = self._one_epoch()
            if checkpoint is not None:
                self._save(checkpoint)
            # Last: what is told as done is not lost when the run is cancelled now.
            if progress is not None:
                progress(epoch.epoch, self.recipe.epochs, str(epoch))
        self.model.load_state_dict(self.best)
        return self.model.eval().requires_grad_(False)

    def _one_epoch(self) -> Epoch:
        self.model.train()
        parts = torch.randperm(len(self.labels), generator=self.generator).split(self.recipe.batch)
        # A last batch of one case is left out: batch normalisation cannot use it.
        parts = parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 else parts
        losses = [
            self._step(part, n + len(self.history) * len(parts), len(parts)) for n, part in enumerate(parts)
        ]
        loss, area = self._validate()
        epoch = Epoch(
            len(self.history) + 1,
            self.optimizer.param_groups[-1]["lr"],
            float(torch.stack(losses).mean()),
            loss,
            area,
        )
        if self._improves(epoch):
            self.best = copy.deepcopy(self.averaged.state_dict())
        self.history.append(epoch)
        return epoch

    def _step(self, part: Tensor, step: int, steps_an_epoch: int) -> Tensor:
        for group, rate in zip(self.optimizer.param_groups, self.base_rates):
            group["lr"] = rate * learning_rate_factor(self.recipe, step, steps_an_epoch)
        images, labels, weights = self.batch(part)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.device.type == "cuda"):
            logits = self.model(images).squeeze(-1)
        loss = functional.binary_cross_entropy_with_logits(
            logits.float(), labels, weights, pos_weight=self.positive_weight
        )
        self.optimizer.zero_grad()
        loss.backward()
        if self.recipe.augmented:
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self._average(step)
        return loss.detach()

    def batch(self, part: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The network's input (B, C, H, W), augmented where the recipe says so, the labels (B,) and the
        weights (B,), of the training slices `part`.
        """
        part = part.to(self.images.device)
        images = self.images[part]
        if self.recipe.augmented:
            images = augment(images[:, None], self.generator)[:, 0]
        return model_input(images, self.preprocessing), self.labels[part], self.weights[part]

    def _average(self, step: int) -> None:
        """Exponential moving average of the weights; it starts fast, so that the first epochs do not drag
        behind.
        """
        if self.moving_average is not None:
            self.moving_average.decay = min(self.recipe.averaging, (1 + step) / (10 + step))
            self.moving_average.update(self.model)

    def _validate(self) -> tuple[float, float]:
        logits = case_logits(self.averaged, self.validation, self.preprocessing)
        targets = torch.from_numpy(self.validation.labels.astype(np.float64))
        loss = functional.binary_cross_entropy_with_logits(torch.from_numpy(logits), targets)
        return float(loss), auc(self.validation.labels, logits)

    def _merits(self) -> list[float]:
        return [epoch.merit(self.recipe.stops_on) for epoch in self.history]

    def _improves(self, epoch: Epoch) -> bool:
        return epoch.merit(self.recipe.stops_on) > max(self._merits(), default=-math.inf) + MIN_GAIN

    def _stalled(self) -> bool:
        if not self.history:
            return False
        merits = self._merits()
        best = merits.index(max(merits))
        return len(merits) - 1 - best >= self.recipe.patience

    # Checkpoints: tensors in safetensors, the rest as JSON in its header. Written whole or not at all, after
    # every epoch.

    def _save(self, path: Path) -> None:
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        if self.recipe.averaging:
            tensors |= {f"averaged/{name}": tensor for name, tensor in self.averaged.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{name}": tensor for name, tensor in state.items()}
        tensors["generator"] = self.generator.get_state()
        header = {
            "fingerprint": self.fingerprint,
            "history": json.dumps([asdict(epoch) for epoch in self.history]),
        }
        write_atomically(
            path,
            safetensors.torch.save(
                {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, header
            ),
        )

    def _load(self, path: Path) -> None:
        tensors, header = _read_checkpoint(path)
        if header.get("fingerprint") != self.fingerprint:
            raise InputError(
                f"{path}: belongs to a training with other cases or settings; name a new folder, or delete it"
                " to start anew"
            )
        self.model.load_state_dict(_part(tensors, "model/"))
        self.best = _part(tensors, "best/")
        if self.recipe.averaging:
            self.averaged.load_state_dict(_part(tensors, "averaged/"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(tensors, "optimizer/").items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.generator.set_state(tensors["generator"])
        self.history = [Epoch(**epoch) for epoch in json.loads(header["history"])]


def _read_checkpoint(path: str | os.PathLike) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            names = file.keys()  # no mapping: it cannot be walked by itself
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except SafetensorError as error:
        raise InputError(f"{path}: is not a checkpoint ({error}); delete it to start anew") from error


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
