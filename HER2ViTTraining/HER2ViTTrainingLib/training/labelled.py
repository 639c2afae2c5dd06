"""Cases to learn from: their slices as images, a label each case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import InputError


@dataclass(frozen=True)
class Labelled:
    """The slices and labels of n cases.

    `images` (m, H, W) float32, as `Patch.image` holds them, show a slice each; `case_of` (m,) is the number,
    from 0, of the case that a slice is of; `labels` (n,) are 0 or 1, one a case.
    """

    images: np.ndarray
    case_of: np.ndarray
    labels: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """What each slice (m,) counts, so that every case counts 1."""
        return 1 / np.bincount(self.case_of, minlength=len(self.labels))[self.case_of]

    def per_case(self, values: np.ndarray) -> np.ndarray:
        """The mean (n,) over a case's slices of what was found for each slice (m,)."""
        return np.bincount(self.case_of, self.weights * values, minlength=len(self.labels))


def one_slice_each(images: np.ndarray, labels: np.ndarray) -> Labelled:
    """Cases of one slice: images (n, H, W), labels (n,)."""
    return Labelled(images, np.arange(len(labels)), labels)


def require_both_classes(part: Labelled, name: str) -> None:
    """Raises `InputError` for a part, named in the message, that lacks a class."""
    if len(np.unique(part.labels)) < 2:
        held = "a single class" if len(part.labels) else "no case of this task"
        raise InputError(
            f"the {name} part holds {held} ({len(part.labels)} cases); more cases or another split are needed"
        )
