"""How much the signal rises: means over the lesion, where it enhances most, the subtraction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from HER2ViTLib.imaging.volume import bounding_box

from .study import Study

BORDER = 0.05
"""Share of the image at each in-plane edge left out where no ROI says where to look: coil flare and fold-over
are brightest there.
"""


def subtraction(study: Study, early: int, pre: int) -> np.ndarray:
    """Early minus pre-contrast phase, float32 (K, J, I)."""
    return np.subtract(
        study.phases[early].volume.array, study.phases[pre].volume.array, dtype=np.float32, casting="unsafe"
    )


def mean_signals(study: Study, where: np.ndarray) -> np.ndarray:
    """Mean signal of each phase (phases,) over a boolean array (K, J, I) that holds a voxel at least; only
    its bounding box is touched.
    """
    box = bounding_box(where)
    # Found once for all phases: of the brightest voxels of an image the box is all of it.
    inside = np.flatnonzero(where[box])
    signals = [np.take(phase.volume.array[box], inside).mean(dtype=np.float64) for phase in study.phases]
    return np.array(signals)


def where_enhancing(study: Study, pre: int | None) -> np.ndarray:
    """The top 1 % of maximal enhancement (of signal, without a pre-contrast phase), image border excluded;
    boolean (K, J, I).
    """
    arrays = [phase.volume.array for n, phase in enumerate(study.phases) if n != pre]
    highest = _extreme(np.maximum, arrays).astype(np.float32)
    return _top_percent(highest if pre is None else highest - study.phases[pre].volume.array)


def where_changing(study: Study) -> np.ndarray:
    """The top 1 % of change between phases, in whatever order, image border excluded; boolean (K, J, I)."""
    arrays = [phase.volume.array for phase in study.phases]
    return _top_percent(_extreme(np.maximum, arrays).astype(np.float32) - _extreme(np.minimum, arrays))


def _extreme(pick: np.ufunc, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The highest or lowest (`pick`) of each voxel's values. In place: `pick.reduce` first copies all arrays
    into one, and takes ten times as long.
    """
    picked = np.array(arrays[0], np.result_type(*arrays))
    for array in arrays[1:]:
        pick(picked, array, out=picked)
    return picked


def _top_percent(values: np.ndarray) -> np.ndarray:
    """Where a float array (K, J, I) reaches its 99th percentile inside the image border."""
    edges = [max(1, int(BORDER * n)) if n > 2 else 0 for n in values.shape[1:]]
    inner = (slice(None), *(slice(edge, n - edge) for edge, n in zip(edges, values.shape[1:])))
    limit = np.percentile(values[inner].ravel(), 99, overwrite_input=True)
    where = np.zeros(values.shape, bool)
    where[inner] = values[inner] >= limit
    return where
