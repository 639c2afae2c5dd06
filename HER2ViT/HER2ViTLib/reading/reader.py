"""The reading: the tasks of one case in one call, with calibrated probabilities, attention and warnings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from HER2ViTLib.her2 import TWO_STEP, class_probabilities, two_step_call
from HER2ViTLib.imaging.volume import Volume
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.messages import RESEARCH_NOTICE, InputError, ReadingWarning
from HER2ViTLib.model import attention
from HER2ViTLib.model.bundle import Bundle, model_input
from HER2ViTLib.model.calibration import sigmoid
from HER2ViTLib.model.devices import choose_device
from HER2ViTLib.model.operating_point import most_telling
from HER2ViTLib.model.preprocessing import Patch, Preprocessing
from HER2ViTLib.model.properties import case_properties
from HER2ViTLib.study.phases import choose_phases
from HER2ViTLib.study.study import Study

from .call_set import CallSet, call_set, call_set_warnings
from .checks import attention_warnings, call_warnings, slice_count_warnings, slice_warnings, unlike_training
from .provenance import default_case_id, versions
from .reading import NO_NAMES, NO_OVERRIDES, Overrides, PreparedCase, Reading, TaskReading
from .warning_order import in_order


class Reader:
    """Reads cases with one bundle per task.

    `device`: auto, cpu, cuda, cuda:N or mps; only auto falls back to the CPU, with a warning in the reading.
    `method`: see `attention`. `slice_count`: how many slices of a lesion are read, at most; without it as
    many as each bundle says, with another number than a bundle's the reading warns. Raises `InputError` for
    no bundle, two bundles of one task, a device that is not there, a method that the model cannot do, a
    number of slices out of range.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        device: str = "auto",
        method: str = "rollout",
        slice_count: int | None = None,
    ) -> None:
        self.bundles = _by_task(bundles)
        if method not in attention.METHODS:
            raise InputError(f"attention method {method!r}: unknown; use {', '.join(attention.METHODS)}")
        for bundle in self.bundles.values():
            attention.attention_modules(bundle.model)
        self.method = method
        self.device, self._warnings = choose_device(device)
        self._preprocessings: dict[str, Preprocessing] = {}
        for key, bundle in self.bundles.items():
            bundle.model.to(self.device)
            own = bundle.settings.preprocessing
            used = own if slice_count is None else replace(own, slice_count=slice_count)
            if used.faults():
                raise InputError(used.faults())
            self._preprocessings[key] = used
            self._warnings += slice_count_warnings(key, used.slice_count, own.slice_count)

    def read(
        self,
        study: Study,
        roi: Roi,
        overrides: Overrides = NO_OVERRIDES,
        *,
        case_id: str | None = None,
        input_names: Mapping[str, str] = NO_NAMES,
    ) -> Reading:
        """Reads one case: `prepare`, then `read_prepared`."""
        prepared = self.prepare(study, roi, overrides, case_id=case_id, input_names=input_names)
        return self.read_prepared([prepared])[0]

    def prepare(
        self,
        study: Study,
        roi: Roi,
        overrides: Overrides = NO_OVERRIDES,
        *,
        case_id: str | None = None,
        input_names: Mapping[str, str] = NO_NAMES,
    ) -> PreparedCase:
        """All of a reading that needs no model. `roi` is the outline on the study's geometry.

        `case_id` is made from the images' hashes where it is not given; `input_names` (by role) show up in
        the reading. Raises `InputError` for an empty outline or one of another shape, and for overrides that
        do not fit the study.
        """
        mask = roi.mask.astype(bool, copy=False)
        if mask.shape != study.geometry.shape:
            raise InputError(
                f"the outline has shape {mask.shape}, the image {study.geometry.shape}; "
                "put it on the image's geometry"
            )
        if not mask.any():
            raise InputError("the outline is empty; draw it first")
        chosen = choose_phases(study, mask, overrides.early_phase, overrides.pre_phase)
        early = chosen.early_volume(study)
        pre = chosen.pre_volume(study)
        patches = self._patches(early, mask, overrides.slice_index)
        warnings = [*study.warnings, *roi.warnings, *chosen.warnings]
        leading = {key: slices[0] for key, slices in patches.items()}
        warnings += slice_warnings(mask, list(leading.values()))
        for key, bundle in self.bundles.items():
            properties = case_properties(early, pre, mask, leading[key].slice)
            warnings += unlike_training(key, properties, bundle.settings.training_percentiles)
        hashes = (*study.inputs, roi.input)
        return PreparedCase(
            case_id=case_id or default_case_id(study),
            slice_axis=study.slice_axis,
            early_phase=chosen.early,
            patches=patches,
            inputs=tuple(replace(hashed, name=input_names.get(hashed.role)) for hashed in hashes),
            warnings=tuple(dict.fromkeys(warnings)),
            notes=study.notes,
        )

    def _patches(self, early: Volume, mask: np.ndarray, slice_index: int | None) -> dict[str, list[Patch]]:
        """The models' inputs by task key; tasks of one preprocessing share theirs."""
        made: dict[Preprocessing, list[Patch]] = {}
        for preprocessing in self._preprocessings.values():
            if preprocessing not in made:
                made[preprocessing] = preprocessing.patches(early, mask, slice_index)
        return {key: made[preprocessing] for key, preprocessing in self._preprocessings.items()}

    def read_prepared(self, cases: Sequence[PreparedCase]) -> list[Reading]:
        """Reads prepared cases, all in one forward per task. Raises `InputError` where a model gives no
        finite score.
        """
        tasks: list[dict[str, TaskReading]] = [{} for _ in cases]
        for key, bundle in self.bundles.items():
            patches = [case.patches[key] for case in cases]
            for case_tasks, task_reading in zip(tasks, self._read_task(bundle, patches)):
                case_tasks[key] = task_reading
        return [self._combine(case, case_tasks) for case, case_tasks in zip(cases, tasks)]

    def _read_task(self, bundle: Bundle, cases: Sequence[Sequence[Patch]]) -> list[TaskReading]:
        """The task's reading of each case, from the patches of its slices."""
        settings = bundle.settings
        patches = list(itertools.chain.from_iterable(cases))
        counts = [len(slices) for slices in cases]
        images = torch.from_numpy(np.stack([patch.image for patch in patches])).to(self.device)
        images = model_input(images, settings.preprocessing)
        cutoff = settings.calibration.logit_of(settings.threshold)
        logits, maps = attention.attend(bundle.model, images, self.method, cutoff, counts)
        logits_of = logits.cpu().double().split(counts)
        maps_of = maps.cpu().split(counts)
        return [
            self._task_reading(bundle, slices, of_slices.numpy(), grids[0].numpy())
            for slices, of_slices, grids in zip(cases, logits_of, maps_of)
        ]

    def _task_reading(
        self, bundle: Bundle, slices: Sequence[Patch], logits: np.ndarray, grid: np.ndarray
    ) -> TaskReading:
        """Of a case's slices: their patches, their logits, and the leading one's map over the patches."""
        if not (np.isfinite(logits).all() and np.isfinite(grid).all()):
            raise InputError(
                f"bundle {bundle.name}: its model gives no finite score for this case; train the model again"
            )
        settings = bundle.settings
        patch = slices[0]
        logit = float(logits.mean())
        roi = attention.patch_shares(patch.mask, grid.shape)
        patch_mm2 = patch.geometry.pixel_mm2 * patch.image.size / grid.size
        return TaskReading(
            score_raw=sigmoid(logit),
            score=settings.calibration.score(logit),
            threshold=settings.threshold,
            prevalence=settings.prevalence,
            slice=patch.slice,
            slices=tuple(sorted(one.slice for one in slices)),
            spread=float(logits.std(ddof=1)) if len(logits) > 1 else None,
            area_mm2=patch.area_mm2,
            attention=attention.attention_statistics(grid, roi, patch_mm2, self.method),
            attention_map=attention.display_map(grid, patch.image.shape),
            patch=patch,
            bundle_sha256=bundle.sha256,
            operating_point=most_telling(settings.operating_points),
        )

    def _combine(self, case: PreparedCase, tasks: Mapping[str, TaskReading]) -> Reading:
        call: str | None = None
        probabilities: dict[str, float] | None = None
        left: CallSet | None = None
        warnings = [*case.warnings, *self._warnings]
        if all(task.key in tasks for task in TWO_STEP):
            task1, task2 = (tasks[task.key] for task in TWO_STEP)
            probabilities = class_probabilities(task1.score, task2.score)
            call = two_step_call(task1.score, task1.threshold, task2.score, task2.threshold).value
            warnings += call_warnings(call, probabilities, task1, task2)
            left, doubts = self._call_set(probabilities)
            warnings += [*doubts, *call_set_warnings(call, left)]
        warnings += attention_warnings(list(tasks.values()))
        notices = [bundle.notice for bundle in self.bundles.values() if bundle.notice]
        return Reading(
            case_id=case.case_id,
            slice_axis=case.slice_axis,
            call=call,
            probabilities=probabilities,
            early_phase=case.early_phase,
            tasks=tasks,
            warnings=tuple(in_order(warnings)),
            device=str(self.device),
            versions=versions(),
            inputs=case.inputs,
            notes=case.notes,
            notices=(RESEARCH_NOTICE, *dict.fromkeys(notices)),
            call_set=left,
        )

    def _call_set(self, probabilities: Mapping[str, float]) -> tuple[CallSet | None, list[ReadingWarning]]:
        first, second = (self.bundles[task.key] for task in TWO_STEP)
        own = {key: bundle.settings.preprocessing for key, bundle in self.bundles.items()}
        return call_set(first, second, probabilities, as_calibrated=own == self._preprocessings)


def _by_task(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    if not bundles:
        raise InputError("no bundle given; name one model bundle per task")
    by_task: dict[str, Bundle] = {}
    for bundle in bundles:
        if bundle.task.key in by_task:
            raise InputError(
                f"bundles {by_task[bundle.task.key].name} and {bundle.name} are both for {bundle.task.name};"
                " give one per task"
            )
        by_task[bundle.task.key] = bundle
    return dict(sorted(by_task.items()))
