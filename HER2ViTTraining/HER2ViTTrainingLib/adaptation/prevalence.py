"""A bundle at another prevalence, given or estimated from unlabelled readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from HER2ViTLib.her2 import LOW_VS_POSITIVE, TWO_STEP, ZERO_VS_REST, class_probabilities
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import Bundle
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.config import Settings
from HER2ViTTrainingLib.stats.estimates import LEVEL, Estimate
from HER2ViTTrainingLib.stats.prior_shift import estimate_priors, log_likelihood_ratio, logit_shift
from HER2ViTTrainingLib.stats.resampling import Resampling

from .local_cases import ReadCases
from .population import PopulationCheck, check_population
from .recalibrating import carried_threshold

MIN_READINGS = 20
ALPHA = 0.05


def shifted(settings: Settings, prevalence: float) -> Settings:
    """The settings at another prevalence: intercept and threshold move together, so that the same cases are
    called as before. Raises `InputError` for a bundle whose own prevalence is 0 or 1.
    """
    if not 0 < settings.prevalence < 1:
        raise InputError(
            f"the bundle's prevalence is {settings.prevalence:g}: probabilities cannot be moved from there;"
            " recalibrate it from labelled cases with --local"
        )
    shift = logit_shift(settings.prevalence, prevalence)
    old = settings.calibration
    return replace(
        settings,
        calibration=Calibration(old.slope, old.intercept + shift),
        threshold=carried_threshold(settings.threshold, shift),
        prevalence=prevalence,
    )


@dataclass(frozen=True)
class EstimatedShares:
    """The classes' shares among `n` readings by name, each with its percentile bootstrap interval; those the
    bundles hold at (`old`); the likelihood ratio test of the one against the other; whether the scores look
    like the population the model was made on, None where the bundle does not say how they looked there.
    """

    n: int
    shares: dict[str, Estimate]
    old: dict[str, float]
    statistic: float
    df: int
    p: float
    check: PopulationCheck | None
    unlike: int

    @property
    def has_changed(self) -> bool:
        """Whether the test says that the shares are other ones here (5 % level)."""
        return self.p < ALPHA

    def prevalence_of(self, bundle: Bundle) -> float:
        """The estimated share of the bundle's label 1 among the cases its task asks about."""
        if bundle.task in TWO_STEP and "positive" in self.shares:
            low = self.shares["low"].value
            not_zero = low + self.shares["positive"].value
            return not_zero if bundle.task == ZERO_VS_REST else low / not_zero
        return self.shares[bundle.task.target_name].value


def require_answerable(bundles: Sequence[Bundle]) -> None:
    """Raises `InputError` for low against positive alone: how many of the unlabelled cases are zero, which it
    does not ask about, is not known.
    """
    if [bundle.task for bundle in bundles] == [LOW_VS_POSITIVE]:
        raise InputError(
            "--estimate-prevalence: low against positive alone cannot tell it, since the zeros among"
            " unlabelled cases are unknown; give the bundle of zero-vs-rest too"
        )


def estimate_shares(
    bundles: Sequence[Bundle], read: ReadCases, path: object, plan: Resampling
) -> EstimatedShares:
    """The shares that fit the readings best: of zero, low and positive from both bundles of the two-step
    call, else of the two sides of the only task.

    Raises `InputError` for too few readings, a prevalence of 0 or 1 in a bundle, and an estimate at 0 or 1,
    which no probability can be moved to.
    """
    n = len(read.case_ids)
    if n < MIN_READINGS:
        raise InputError(
            f"{path}: {n} readings, where {MIN_READINGS} are needed: {MIN_READINGS - n} more would do"
        )
    names, probabilities, priors = _classes(bundles, read)
    (found,) = estimate_priors(probabilities, priors)
    if is_at_edge(found, n):
        name = names[int(found.argmin())]
        raise InputError(
            f"{path}: no case looks {name}: too few readings, or scores of another population (scanner,"
            " protocol); read more cases, or label some and use --local"
        )
    rng = np.random.default_rng(plan.seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=plan.resamples).astype(float)
    limits = np.quantile(
        estimate_priors(probabilities, priors, weights), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
    )
    shares = {
        name: Estimate(float(value), float(low), float(high))
        for name, value, low, high in zip(names, found, *limits)
    }
    statistic = max(0.0, log_likelihood_ratio(probabilities, priors, found))
    df = len(names) - 1
    p = float(stats.chi2.sf(statistic, df))
    old = dict(zip(names, priors.tolist()))
    return EstimatedShares(n, shares, old, statistic, df, p, _check(bundles[0], read, plan.seed), read.unlike)


def is_at_edge(shares: np.ndarray, n: int) -> bool:
    """Whether a share stands for less than half a case of n: scores of another population often end there."""
    return bool(shares.min() * n < 0.5)


def _classes(bundles: Sequence[Bundle], read: ReadCases) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The classes' names, their probabilities (n, k) and the shares (k,) these hold at."""
    by_task = {bundle.task: bundle for bundle in bundles}
    prevalences = [bundle.settings.prevalence for bundle in bundles]
    if not all(0 < prevalence < 1 for prevalence in prevalences):
        raise InputError(f"a bundle's prevalence is {prevalences}: no share can be estimated from there")
    if len(bundles) == 1:
        (bundle,) = bundles
        score = read.scores[bundle.task.key]
        old = bundle.settings.prevalence
        names = [bundle.task.other_name, bundle.task.target_name]
        return names, np.column_stack([1 - score, score]), np.array([1 - old, old])
    scores = [read.scores[task.key] for task in TWO_STEP]
    old_shares = class_probabilities(*(by_task[task].settings.prevalence for task in TWO_STEP))
    of_cases = [class_probabilities(*of_case) for of_case in zip(*scores)]
    probabilities = np.array([list(one.values()) for one in of_cases])
    return list(old_shares), probabilities, np.array(list(old_shares.values()))


def _check(bundle: Bundle, read: ReadCases, seed: int) -> PopulationCheck | None:
    """Of the first task: of zero against the rest where both are there, for every case is one of these."""
    settings = bundle.settings
    if settings.development_scores is None:
        return None
    logits = read.raw_logits[bundle.task.key]
    return check_population(
        logits, settings.development_scores, settings.calibration, settings.prevalence, seed
    )
