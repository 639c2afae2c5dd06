"""The one way to load a case's study: with the series the manifest chooses and the times it gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from HER2ViTLib.dicom.selection import Selection
from HER2ViTLib.study.given_times import GivenTimes
from HER2ViTLib.study.loading import load_study
from HER2ViTLib.study.study import Study


class HasStudy(Protocol):
    """A manifest's case, or what another room makes of it."""

    @property
    def images(self) -> Sequence[Path]: ...

    @property
    def selection(self) -> Selection: ...

    @property
    def times(self) -> GivenTimes | None: ...


def load_case_study(case: HasStudy) -> Study:
    """The study of a case. Raises `InputError` as `load_study`."""
    return load_study(case.images, case.selection, case.times)
