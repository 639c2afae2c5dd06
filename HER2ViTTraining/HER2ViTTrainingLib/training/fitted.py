"""What comes of fitting a network, whatever the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn


@dataclass(frozen=True)
class Fitted:
    """The network, its logits (n,) of the cases by set, the rows of `history.csv` and its picture, and what
    the bundle tells of the fit beside its settings.
    """

    model: nn.Module
    logits: Mapping[str, np.ndarray]
    history: Sequence[Mapping[str, float]]
    history_png: bytes
    about: Mapping[str, Any]
