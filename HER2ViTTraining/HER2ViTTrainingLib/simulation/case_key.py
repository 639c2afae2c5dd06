"""What a simulated case is drawn from: its name and its random streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from HER2ViTLib.messages import InputError

_STREAMS = ("hidden", "body", "clinical", "survival", "texture", "outlines", "counts", "noise")
"""Their order is part of every simulated case: new ones come last."""


@dataclass(frozen=True)
class CaseKey:
    """Case `index` of a seed, of the protocol with this name. Nothing else decides what is drawn for it, so a
    case is the same whatever the number of cases, the order or the process it is made in.

    Raises `InputError` for negative numbers.
    """

    protocol: str
    seed: int
    index: int

    def __post_init__(self) -> None:
        if self.seed < 0 or self.index < 0:
            raise InputError(f"seed {self.seed}, case {self.index}: must not be negative")

    @property
    def case_id(self) -> str:
        """Unique over cohorts, and says nothing about the case."""
        return f"{self.protocol}{self.seed}-{self.index:05d}"

    def stream(self, name: str, part: int = 0) -> np.random.Generator:
        """The random numbers for one purpose: streams do not depend on each other's length."""
        return np.random.default_rng([self.seed, self.index, ord(self.protocol), _STREAMS.index(name), part])
