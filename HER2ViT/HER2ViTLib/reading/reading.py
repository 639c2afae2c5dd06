"""A reading as plain data: its inputs, each task, the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from HER2ViTLib.files.hashes import InputHash
from HER2ViTLib.her2 import LOW_VS_POSITIVE
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.messages import ReadingWarning
from HER2ViTLib.model.attention import AttentionStatistics
from HER2ViTLib.model.operating_point import OperatingPoint
from HER2ViTLib.model.preprocessing import Patch
from HER2ViTLib.study.phases import EarlyPhase

from .call_set import CallSet


@dataclass(frozen=True)
class Overrides:
    """What the user sets against the rules: phase indices (`pre_phase` may be "none"), the slice to read."""

    early_phase: int | None = None
    pre_phase: int | str | None = None
    slice_index: int | None = None


NO_OVERRIDES = Overrides()
NO_NAMES: Mapping[str, str] = {}


@dataclass(frozen=True)
class PreparedCase:
    """One case's model inputs, and all of its reading that does not need the models. `patches` go by task
    key: a patch a slice, the leading slice's first.
    """

    case_id: str
    slice_axis: str
    early_phase: EarlyPhase
    patches: Mapping[str, Sequence[Patch]]
    inputs: tuple[InputHash, ...]
    warnings: tuple[ReadingWarning, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TaskReading:
    """One task's answer. `score` is calibrated, on the scale of `threshold`; `score_raw` is the sigmoid of
    the logit: the mean over `slices`, the slices that were read, in ascending order. `spread` is the sample
    standard deviation of their logits (n - 1), None of one slice; it says nothing about how sure the score
    is.

    `slice` is the leading one of the slices, the largest or the one that was given: area, attention and
    `patch` are of it. `attention_map` (H, W) float32 lies on the pixels of `patch`, 1 at the strongest.

    `operating_point`: what the threshold gave on the most telling cases that the bundle knows of; None of a
    bundle that knows of none.
    """

    score_raw: float
    score: float
    threshold: float
    prevalence: float
    slice: int
    slices: tuple[int, ...]
    spread: float | None
    area_mm2: float
    attention: AttentionStatistics
    attention_map: np.ndarray
    patch: Patch
    bundle_sha256: str
    operating_point: OperatingPoint | None = None

    @property
    def attention_volume(self) -> Volume:
        """The attention map as a one-slice volume (1, H, W) in patient space."""
        return Volume(self.attention_map[None], self.patch.geometry)


@dataclass(frozen=True)
class Reading:
    """What was read of one case. `call` and `probabilities` are None unless Task 1 and Task 2 were run; a
    further task changes neither.

    `call_set` are the statuses that cannot be excluded, None where the bundles were not made to tell.
    `notes` say without alarm what was done with the images: series of the examination that were not used.
    """

    case_id: str
    slice_axis: str
    call: str | None
    probabilities: Mapping[str, float] | None
    early_phase: EarlyPhase
    tasks: Mapping[str, TaskReading]
    warnings: tuple[ReadingWarning, ...]
    device: str
    versions: Mapping[str, str]
    inputs: tuple[InputHash, ...]
    notices: tuple[str, ...]
    notes: tuple[str, ...] = ()
    call_set: CallSet | None = None

    @property
    def leading_task(self) -> TaskReading:
        """Task 2, else the first that was run: its slice is the reading's."""
        return self.tasks.get(LOW_VS_POSITIVE.key) or next(iter(self.tasks.values()))
