"""Cochran's Q against R."""

import numpy as np
import pytest

from HER2ViTTrainingLib.stats.heterogeneity import cochran_q

VALUES = np.array([0.62, 0.71, 0.55, 0.83])
VARIANCES = np.array([0.004, 0.0025, 0.0061, 0.003])


def test_it_equals_r():
    """R 4: w <- 1/v; q <- sum(w*(x-sum(w*x)/sum(w))^2); pchisq(q, 3, lower.tail=FALSE); (q-3)/q"""
    found = cochran_q(VALUES, VARIANCES)
    assert found.df == 3
    assert (found.q, found.p, found.i2) == pytest.approx(
        (10.9552988806859, 0.0119700634966, 0.7261599128720), rel=1e-9
    )


def test_equal_values_are_homogeneous():
    found = cochran_q(np.full(3, 0.7), VARIANCES[:3])
    assert (found.q, found.p, found.i2) == (0, 1, 0)


@pytest.mark.parametrize("variances", [[0.1], [0.1, 0.0], [0.1, np.nan], [0.1, -0.1]])
def test_without_two_groups_with_variance_there_is_no_test(variances):
    with pytest.raises(ValueError, match="two groups"):
        cochran_q(np.arange(len(variances)), np.array(variances))
