"""What adapting to another hospital is worth: simulated sites whose truth is known, page
`Docs/adaptation.md`.

.venv/bin/python Testing/adaptation_study.py --out DIR     (about three minutes on one core)

On the level of scores: the classes are normal, so calibration, sensitivity and specificity of every bundle
at every site are exact. Writes `result.json`, `tables.md` and `adaptation.png`.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from HER2ViTLib.files.output import json_bytes, prepare_folder, write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.calibration import Calibration
from HER2ViTLib.model.conformal import STATUSES
from HER2ViTLib.model.development_scores import development_scores
from HER2ViTTrainingLib.adaptation import population
from HER2ViTTrainingLib.adaptation.coverage import conformal_cutoffs
from HER2ViTTrainingLib.adaptation.local_cases import LocalCases
from HER2ViTTrainingLib.adaptation.prevalence import is_at_edge
from HER2ViTTrainingLib.adaptation.recalibrating import adapt, require_enough
from HER2ViTTrainingLib.stats.calibration import logistic_fit
from HER2ViTTrainingLib.stats.order_statistics import rank_of_cutoff, reached_share
from HER2ViTTrainingLib.stats.prior_shift import estimate_priors, log_likelihood_ratio, logit_shift
from support.adaptation_tables import picture, tables

DRAWS = 200
SIZES = (40, 100, 200)
SEPARATION = 1.3
"""Of the classes in standard deviations: AUC 0.82, about that of the published model."""
PREVALENCE = 0.7
SENSITIVITY = 0.9
VALIDATION = 200
"""Cases of the set the bundle's own scores were stored from."""
EVENLY = np.linspace(0.0005, 0.9995, 2000)
CHI2_95 = 3.841458820694124
"""Of one degree of freedom."""


@dataclass(frozen=True)
class Site:
    """A hospital: its share of label 1; its scanner turns the model's x into `scale` x + `shift`."""

    name: str
    prevalence: float = PREVALENCE
    scale: float = 1.0
    shift: float = 0.0

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and the bundle's logits (n,)."""
        labels = rng.random(n) < self.prevalence
        return labels, bundle_logit(self._seen(rng.normal(SEPARATION * labels, 1)))

    def _seen(self, x: np.ndarray) -> np.ndarray:
        return self.scale * x + self.shift

    def _reached(self, label: int, logit: float) -> float:
        """The share of a class whose bundle logit reaches `logit`."""
        x = (x_of(logit) - self.shift) / self.scale
        return 1 - NormalDist(SEPARATION * label, 1).cdf(x)

    def rates(self, logit: float) -> tuple[float, float]:
        """Sensitivity and specificity where a case is called from that bundle logit."""
        return self._reached(1, logit), 1 - self._reached(0, logit)

    def calibration_error(self, slope: float, intercept: float) -> float:
        """The mean distance of the probability that slope x bundle logit + intercept gives from the true one,
        over the site's cases.
        """
        errors = []
        for label in (0, 1):
            x = np.array([NormalDist(SEPARATION * label, 1).inv_cdf(at) for at in EVENLY])
            true = sigmoid(SEPARATION * x - SEPARATION**2 / 2 + log_odds(self.prevalence))
            given = sigmoid(slope * bundle_logit(self._seen(x)) + intercept)
            errors.append(float(np.abs(given - true).mean()))
        return (1 - self.prevalence) * errors[0] + self.prevalence * errors[1]


SITES = (
    Site("as the bundle"),
    Site("prevalence", prevalence=0.4),
    Site("slight scanner", scale=0.85, shift=-0.3),
    Site("scanner", scale=0.7, shift=-0.6),
    Site("both", prevalence=0.4, scale=0.7, shift=-0.6),
)


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def bundle_logit(x: np.ndarray) -> np.ndarray:
    """The bundle's calibrated logit, right where it was made."""
    return SEPARATION * x - SEPARATION**2 / 2 + log_odds(PREVALENCE)


def x_of(logit: float) -> float:
    return (logit + SEPARATION**2 / 2 - log_odds(PREVALENCE)) / SEPARATION


OWN_CUTOFF = float(bundle_logit(np.array(NormalDist(SEPARATION, 1).inv_cdf(1 - SENSITIVITY))))
"""The bundle's own threshold has the wanted sensitivity where it was made."""


def generator(*names: object) -> np.random.Generator:
    """A stream of its own for each part of the study."""
    return np.random.default_rng(zlib.crc32(repr(names).encode()))


# Labelled cases


def local_cases(labels: np.ndarray, logits: np.ndarray) -> LocalCases:
    ids = np.arange(len(labels)).astype(str)
    return LocalCases(ids, ids, labels, sigmoid(logits), {}, ())


def one_recalibration(site: Site, n: int, rng: np.random.Generator) -> dict[str, Any]:
    """One draw of n local cases: what `adapt --local` makes of them, and what always refitting would."""
    labels, logits = site.draw(n, rng)
    cases = local_cases(labels, logits)
    try:
        require_enough(cases, "local", ("0", "1"), SENSITIVITY)
        made = adapt(labels, cases.logits, float(sigmoid(OWN_CUTOFF)), SENSITIVITY)
    except (InputError, ValueError):
        return {"refused": True}
    line = made.recalibration
    cutoff = (log_odds(made.threshold.value.value) - line.intercept.value) / line.slope.value
    sensitivity, specificity = site.rates(cutoff)
    refit, _ = logistic_fit(np.column_stack([np.ones(n), logits]), labels)
    return {
        "refused": False,
        "choice": line.choice,
        "error": site.calibration_error(line.slope.value, line.intercept.value),
        "error_always": site.calibration_error(refit[1], refit[0]),
        "sensitivity": sensitivity,
        "specificity": specificity,
    }


def recalibrations(site: Site, n: int) -> dict[str, Any]:
    """All draws of a site and size, put together; `before` is exact."""
    rng = generator("labelled", site.name, n)
    drawn = [one_recalibration(site, n, rng) for _ in range(DRAWS)]
    done = [one for one in drawn if not one["refused"]]
    before = site.calibration_error(1, 0)
    sensitivity, specificity = site.rates(OWN_CUTOFF)
    errors = np.array([one["error"] for one in done])
    reached = np.array([one["sensitivity"] for one in done])
    always = np.array([one["error_always"] for one in done])
    # Where the bundle is right any change makes it worse; elsewhere a change beyond round-off counts.
    return {
        "site": site.name,
        "n": n,
        "refused": 1 - len(done) / DRAWS,
        "kept": share([one["choice"] == "nothing" for one in done]),
        "error": {"before": before, "after": spread(errors), "always": spread(always)},
        "worse": share(errors > before + 1e-6),
        "worse_always": share(always > before + 1e-6),
        "sensitivity": {"before": sensitivity, "after": spread(reached)},
        "specificity": {
            "before": specificity,
            "after": spread(np.array([one["specificity"] for one in done])),
        },
        "further_from_sensitivity": share(
            np.abs(reached - SENSITIVITY) > abs(sensitivity - SENSITIVITY) + 1e-6
        ),
    }


def share(values: Sequence[bool] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def spread(values: np.ndarray) -> dict[str, float]:
    """Mean, and the 2.5th and 97.5th percentile over the draws."""
    if not len(values):
        return {"mean": math.nan, "low": math.nan, "high": math.nan}
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


# Unlabelled cases


def unlabelled(site: Site, n: int) -> dict[str, Any]:
    """All draws of n unlabelled cases: how often the estimate is refused, since it ends at 0 or 1; else the
    estimated share, the calibration error after the shift, and how often the check says that it is another
    population.
    """
    rng = generator("unlabelled", site.name, n)
    shares = []
    errors = []
    flagged = []
    for k in range(DRAWS):
        _, logits = site.draw(n, rng)
        labels, at_home = SITES[0].draw(VALIDATION, rng)
        found = estimated_shares(logits)
        if is_at_edge(found, n):
            continue
        shares.append(found[1])
        moved = found[1] if has_changed(logits, found) else PREVALENCE
        errors.append(site.calibration_error(1, logit_shift(PREVALENCE, moved)))
        own = development_scores(labels, at_home)
        check = population.check_population(logits, own, Calibration(), PREVALENCE, k)
        flagged.append(not check.is_alike)
    before = site.calibration_error(1, 0)
    return {
        "site": site.name,
        "n": n,
        "true_share": site.prevalence,
        "refused": 1 - len(shares) / DRAWS,
        "share": spread(np.array(shares)),
        "error": {"before": before, "after": spread(np.array(errors))},
        "worse": share(np.array(errors) > before + 1e-6),
        "flagged": share(flagged),
    }


PRIORS = np.array([1 - PREVALENCE, PREVALENCE])


def both_probabilities(logits: np.ndarray) -> np.ndarray:
    score = sigmoid(logits)
    return np.column_stack([1 - score, score])


def estimated_shares(logits: np.ndarray) -> np.ndarray:
    """The shares (2,) of both labels by EM."""
    return estimate_priors(both_probabilities(logits), PRIORS)[0]


def has_changed(logits: np.ndarray, shares: np.ndarray) -> bool:
    """Whether the test rejects the bundle's own shares."""
    return log_likelihood_ratio(both_probabilities(logits), PRIORS, shares) > CHI2_95


# Coverage


@dataclass(frozen=True)
class Statuses:
    """Zero, low and positive as three normal classes in the plane; the bundles' three probabilities are those
    of a model that does not see the second direction well.
    """

    centres: tuple[tuple[float, float], ...] = ((0.0, 0.0), (1.3, 0.6), (1.3, -0.9))
    shares: tuple[float, ...] = (0.3, 0.45, 0.25)

    def draw(self, status: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Probabilities (n, 3) of cases of a status, as a miscalibrated model gives them."""
        x = rng.normal(self.centres[status], 1, (n, 2))
        centres = np.array(self.centres)
        logits = 1.5 * (x @ centres.T - (centres**2).sum(axis=1) / 2) + np.log(self.shares) + (0.4, 0, -0.4)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


CALIBRATION_CASES = (8, 20, 50)
LEVEL = 0.9


def coverages(n: int) -> dict[str, Any]:
    """Realised coverage of each status over draws of n calibration cases of each, against theory; and how
    many statuses are left on average.
    """
    rng = generator("coverage", n)
    model = Statuses()
    fresh = [model.draw(status, 20_000, rng) for status in range(3)]
    realised: dict[str, list[float]] = {status: [] for status in STATUSES}
    sizes = []
    for _ in range(DRAWS):
        drawn = [model.draw(status, n, rng) for status in range(3)]
        cutoffs = conformal_cutoffs(np.concatenate(drawn), np.repeat(STATUSES, n), LEVEL)
        limits = np.array([cutoffs[status].cutoff for status in STATUSES])
        for k, status in enumerate(STATUSES):
            realised[status].append(float((fresh[k][:, k] >= limits[k]).mean()))
        sizes.append(np.average([(of >= limits).sum(axis=1).mean() for of in fresh], weights=model.shares))
    theory = reached_share(n, rank_of_cutoff(n, LEVEL), 0.9)
    return {
        "n": n,
        "theory": {"mean": theory.value, "p5": theory.low, "p95": theory.high},
        "realised": {
            status: {
                "mean": float(np.mean(values)),
                "p5": float(np.quantile(values, 0.05)),
                "p95": float(np.quantile(values, 0.95)),
            }
            for status, values in realised.items()
        },
        "set_size": float(np.mean(sizes)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("adaptation-study"))
    options = parser.parse_args()
    out = prepare_folder(options.out, ("result.json", "tables.md", "adaptation.png"))
    population.DRAWS = 99
    result = {
        "labelled": [recalibrations(site, n) for site in SITES for n in SIZES],
        "coverage": [coverages(n) for n in CALIBRATION_CASES],
        "unlabelled": [unlabelled(site, n) for site in SITES for n in SIZES],
    }
    text = "\n".join(tables(result)) + "\n"
    write_atomically(out / "result.json", json_bytes(result))
    write_atomically(out / "tables.md", text.encode())
    write_atomically(out / "adaptation.png", picture(result))
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
