"""The whole of `her2vit sanity`: four questions to a bundle's maps, each with its interval over patients."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from HER2ViTLib.model.attention import METHODS
from HER2ViTLib.model.bundle import Bundle
from HER2ViTTrainingLib.parallel.progress import Progress
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.resampling import Resampling, bootstrap, bootstrap_metrics, estimates
from HER2ViTTrainingLib.stats.roc import midranks

from .cases import Cases
from .deletion import Orders, delete_and_insert
from .maps import maps_of, randomised, view

RANDOMISATIONS = 3
"""Times the weights are randomised; correlations are means over them."""


@dataclass(frozen=True)
class MethodSanity:
    """One method's map. `steps` are its rank correlations with the map of randomised weights, from the last
    layer down; `deletion` and `insertion` the gains over random patches; `inside` its share in the outline,
    less that of an even map (`over_even`), and less that of the maps of other cases (`over_others`).
    """

    steps: Mapping[str, Estimate]
    deletion: Estimate
    insertion: Estimate
    inside: Estimate
    over_even: Estimate
    over_others: Estimate


@dataclass(frozen=True)
class Sanity:
    """What was found: by method; the rank correlation of each pair of methods; the AUC of the score, which
    all maps explain (NaN with one class).
    """

    bundle: Bundle
    cases: Cases
    methods: Mapping[str, MethodSanity]
    agreement: Mapping[tuple[str, str], Estimate]
    auc: Estimate
    plan: Resampling


def check(
    bundle: Bundle,
    cases: Cases,
    device: torch.device,
    plan: Resampling,
    progress: Progress | None = None,
) -> Sanity:
    """Asks all four questions; `progress` is told of cases while patches are taken out, which takes longest.
    Raises `InputError` for a network without attention.
    """
    viewed = view(bundle, cases, device)
    maps = maps_of(viewed.model, viewed.inputs, viewed.cutoff)
    steps: dict[str, dict[str, list[np.ndarray]]] = {method: {} for method in METHODS}
    for n in range(RANDOMISATIONS):
        for step, model in randomised(viewed.model, plan.seed + n):
            for method, others in maps_of(model, viewed.inputs, viewed.cutoff).items():
                steps[method].setdefault(step, []).append(rank_correlations(maps[method], others))
    orders = _orders([delete_and_insert(viewed, n, maps, plan.seed) for n in _counted(cases, progress)])

    def mean(values: np.ndarray) -> Estimate:
        return mean_over_patients(values, cases.patients, plan)

    methods = {}
    for method in METHODS:
        gains = orders.gains(method)
        shares = _shares_inside(maps[method], viewed.outlines)
        own = np.diagonal(shares)
        others = (shares.sum(axis=0) - own) / (len(own) - 1)
        methods[method] = MethodSanity(
            steps={step: mean(np.mean(found, axis=0)) for step, found in steps[method].items()},
            deletion=mean(gains["deletion"]),
            insertion=mean(gains["insertion"]),
            inside=mean(own),
            over_even=mean(own - viewed.outlines.mean(axis=1)),
            over_others=mean(own - others),
        )
    agreement = {
        pair: mean(rank_correlations(maps[pair[0]], maps[pair[1]]))
        for pair in itertools.combinations(METHODS, 2)
    }
    metrics = bootstrap_metrics(cases.labels, viewed.logits, np.nan, plan, cases.patients)
    return Sanity(bundle, cases, methods, agreement, metrics.estimates["auc"], plan)


def _counted(cases: Cases, progress: Progress | None) -> Iterator[int]:
    for n in range(len(cases.images)):
        yield n
        if progress is not None:
            progress(n + 1, len(cases.images))


def _orders(found: list[dict[str, tuple[float, float]]]) -> Orders:
    """The cases' means put together."""
    deletion = {}
    insertion = {}
    for name in found[0]:
        both = np.array([one[name] for one in found])
        deletion[name] = both[:, 0]
        insertion[name] = both[:, 1]
    return Orders(deletion, insertion)


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's correlation of two maps (n, patches), case by case (n,). A map that is the same everywhere
    orders nothing: 0.
    """
    ranks = [np.apply_along_axis(midranks, 1, values) for values in (maps, others)]
    first, second = (of - of.mean(axis=1, keepdims=True) for of in ranks)
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    return np.divide((first * second).sum(axis=1), size, out=np.zeros(len(size)), where=size > 0)


def _shares_inside(maps: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """The share (maps, outlines) of each case's map that lies in each case's outline; a map that is zero
    everywhere counts as even.
    """
    totals = maps.sum(axis=1, keepdims=True)
    even = np.full(maps.shape, 1 / maps.shape[1])
    return np.divide(maps, totals, out=even, where=totals > 0) @ outlines.T


def mean_over_patients(values: np.ndarray, patients: np.ndarray, plan: Resampling) -> Estimate:
    """The mean of values (n,) with its percentile bootstrap interval over patients."""

    def statistic(weights: np.ndarray) -> np.ndarray:
        return ((weights @ values) / weights.sum(axis=1))[:, None]

    resampled, redrawn = bootstrap(statistic, np.zeros(len(values)), plan, patients)
    sample = np.array([values.mean()])
    return estimates(("mean",), sample, resampled, redrawn).estimates["mean"]
