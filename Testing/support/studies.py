"""Studies for the tests: phases of noise, and what is looked at in a study that was read."""

import numpy as np


def noise_phases(count, shape, seed=0):
    """Phases of one shape (K, J, I), no two alike, as scanners store them."""
    return np.random.default_rng(seed).integers(100, 4000, (count, *shape)).astype(np.uint16)


def assert_phases(study, arrays):
    """The study holds these arrays, in this order."""
    assert len(study.phases) == len(arrays)
    for phase, array in zip(study.phases, arrays):
        np.testing.assert_array_equal(phase.volume.array, array)


def starts(study):
    return [phase.start_s for phase in study.phases]


def codes(told):
    """The codes of the warnings of a study, a choice of phases or a reading."""
    return [warning.code for warning in told.warnings]
