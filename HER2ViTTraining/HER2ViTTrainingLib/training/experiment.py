"""An experiment: what is trained, the data it is trained on, and the fingerprint that names both."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from HER2ViTLib.her2 import Task
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTTrainingLib.cohort.manifest import Case, Cohort
from HER2ViTTrainingLib.cohort.splits import Splits
from HER2ViTTrainingLib.parallel.progress import Progress

from .inputs import ModelInput, model_inputs
from .labelled import Labelled
from .networks import Network, preprocessing_for, weights_sha256
from .recipes import METHOD, RECIPES, Recipe


@dataclass(frozen=True)
class Experiment:
    """The settings of a training. `slice_count` is how many slices of a case the model learns from and reads;
    `notice` is shown wherever the model's result is.
    """

    task: Task
    recipe: Recipe = RECIPES["default"]
    preset: str = "square"
    slice_count: int = 1
    network: Network = field(default_factory=Network)
    seed: int = 1
    device: str = "auto"
    notice: str = ""

    @property
    def preprocessing(self) -> Preprocessing:
        """The preset at the network's input size, for so many slices."""
        return replace(preprocessing_for(self.preset, self.network), slice_count=self.slice_count)


@dataclass(frozen=True)
class Data:
    """The cases of a task with their inputs and labels, by set; the sets do not overlap."""

    cases: Mapping[str, Sequence[Case]]
    inputs: Mapping[str, Sequence[ModelInput]]
    labels: Mapping[str, np.ndarray]

    def labelled(self, name: str) -> Labelled:
        """The slices and labels of a set."""
        images = [one.images for one in self.inputs[name]]
        case_of = np.repeat(np.arange(len(images)), [len(of_case) for of_case in images])
        stacked = np.concatenate(images) if images else np.empty((0, 0, 0), np.float32)
        return Labelled(stacked, case_of, self.labels[name])


def load_data(
    cohort: Cohort,
    sets: Mapping[str, Sequence[str]],
    task: Task,
    preprocessing: Preprocessing,
    cache: Path,
    progress: Progress | None = None,
) -> Data:
    """Inputs and labels of the sets (case ids by set name); cases the task does not ask about are left out.
    `cache` and `progress` as in `model_inputs`, which also says what is raised.
    """
    by_id = {case.case_id: case for case in cohort.cases}
    cases: dict[str, list[Case]] = {}
    for name, ids in sets.items():
        of_set = [by_id[case_id] for case_id in ids]
        cases[name] = [case for case in of_set if case.label(task) is not None]
    # All at once: faults in any of the sets are told together.
    everyone = list(itertools.chain.from_iterable(cases.values()))
    inputs = iter(model_inputs(everyone, preprocessing, cache, progress=progress))
    return Data(
        cases,
        {name: list(itertools.islice(inputs, len(of_set))) for name, of_set in cases.items()},
        {name: _labels(of_set, task) for name, of_set in cases.items()},
    )


def _labels(cases: Sequence[Case], task: Task) -> np.ndarray:
    return np.array([case.label(task) for case in cases], int)


def fingerprint(experiment: Experiment, data: Data, splits: Splits) -> str:
    """Names a training by all that decides its weights: the settings, the pretrained file, the split, every
    input and label.
    """
    weights = weights_sha256(experiment.network) or experiment.network.pretrained
    # Without the device: a run may go on elsewhere.
    named = replace(experiment, device="", network=replace(experiment.network, pretrained=weights))
    settings = {
        **asdict(named),
        "task": experiment.task.name,
        "splits": splits.sha256,
        "method": METHOD,
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name in ("training", "validation"):
        digest.update(data.labels[name].tobytes())
        for one in data.inputs[name]:
            digest.update(np.ascontiguousarray(one.images).data)
    return digest.hexdigest()


def percentiles(properties: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    """1st and 99th percentile of each property over the cases that have it."""
    found: dict[str, tuple[float, float]] = {}
    for name in sorted(set().union(*properties)):
        values = [one[name] for one in properties if name in one]
        low, high = np.percentile(values, (1, 99)).tolist()
        found[name] = (low, high)
    return found
