"""One experiment: settings, data, fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from HER2ViTLib.her2 import Task
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTTrainingLib.cohort.manifest import Case, Cohort
from HER2ViTTrainingLib.cohort.splits import Splits

from .inputs import ModelInput, model_inputs
from .networks import Network, weights_sha256
from .recipes import METHOD, RECIPES, Recipe
from .trainer import Labelled


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


@dataclass(frozen=True)
class Data:
    """The cases of a task with their inputs and labels, by set; the sets do not overlap."""

    cases: Mapping[str, Sequence[Case]]
    inputs: Mapping[str, Sequence[ModelInput]]
    labels: Mapping[str, np.ndarray]

    def labelled(self, name: str) -> Labelled:
        images = [one.image for one in self.inputs[name]]
        return Labelled(np.stack(images) if images else np.empty((0, 0, 0), np.float32), self.labels[name])


def load_data(
    cohort: Cohort, sets: Mapping[str, Sequence[str]], task: Task, preprocessing: Preprocessing, cache: Path
) -> Data:
    """Inputs and labels of the sets (case ids by set name); cases the task does not ask about are left out."""
    by_id = {case.case_id: case for case in cohort.cases}
    chosen = {name: [by_id[i] for i in ids if by_id[i].label(task) is not None] for name, ids in sets.items()}
    inputs = iter(model_inputs([case for cases in chosen.values() for case in cases], preprocessing, cache))
    return Data(
        chosen,
        {name: [next(inputs) for _ in cases] for name, cases in chosen.items()},
        {name: np.array([case.label(task) for case in cases], int) for name, cases in chosen.items()},
    )


def fingerprint(experiment: Experiment, data: Data, splits: Splits) -> str:
    """Names a training by all that decides its weights: the settings, the pretrained file, the split, every
    input and label.
    """
    digest = hashlib.sha256()
    weights = weights_sha256(experiment.network) or experiment.network.pretrained
    settings = {
        **asdict(replace(experiment, device="", network=replace(experiment.network, pretrained=weights)))
    }
    digest.update(
        json.dumps(
            {**settings, "task": experiment.task.name, "splits": splits.sha256, "method": METHOD},
            sort_keys=True,
            default=str,
        ).encode()
    )
    for name in ("training", "validation"):
        digest.update(data.labels[name].tobytes())
        for one in data.inputs[name]:
            digest.update(np.ascontiguousarray(one.image).data)
    return digest.hexdigest()


def percentiles(properties: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """1st and 99th percentile of each property over the cases that have it."""
    names = sorted({name for one in properties for name in one})
    return {
        name: tuple(np.percentile([one[name] for one in properties if name in one], (1, 99)).tolist())
        for name in names
    }
