"""Cohorts of which a task takes one class only: a model can learn the cohort in place of the status."""

from __future__ import annotations

from HER2ViTLib.her2 import HER2Status, Task
from HER2ViTLib.messages import ReadingWarning
from HER2ViTTrainingLib.tables.grouping import grouped

from .manifest import Cohort


def one_sided_cohorts(cohort: Cohort, task: Task) -> list[ReadingWarning]:
    """A warning for each cohort that tells positive and negative only, and so gives a task about zero or low
    nothing but its positive development cases, where other cohorts give both classes.
    """
    by_cohort = grouped(cohort.development, lambda case: case.cohort)
    warnings = []
    for name, cases in by_cohort.items():
        labels = [case.label(task) for case in cases if case.label(task) is not None]
        unplaced = sum(case.label(task) is None and case.her2_status is HER2Status.NEGATIVE for case in cases)
        if len(set(labels)) == 1 and unplaced and len(by_cohort) > 1:
            text = (
                f"cohort {name}: its {len(labels)} cases of {task.name} are all positive, since the"
                f" {unplaced} negative ones are not told apart as zero and low: a model can learn the cohort"
                " in place of the status; exclude them for this task, or train positive-vs-negative"
            )
            warnings.append(ReadingWarning("one_sided_cohort", text))
    return warnings
