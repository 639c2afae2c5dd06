"""Agreement in the sentences of a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from HER2ViTLib.messages import RESEARCH_NOTICE
from HER2ViTTrainingLib.stats.agreement import GRADES, HEADLINE, grade

from .agreement import Agreement, Comparison
from .overlaps import Overlap


def agreement_text(agreement: Agreement) -> str:
    """The sentences and the research notice, for a terminal."""
    return "\n".join([*sentences(agreement), RESEARCH_NOTICE])


def sentences(agreement: Agreement) -> list[str]:
    """What a paper says of each comparison, and of each pair's outlines."""
    features = len(agreement.ratings.features)
    found = [_icc_sentence(comparison, features) for comparison in agreement.comparisons]
    for pair in agreement.pairs:
        overlaps = agreement.overlaps_of(pair)
        if overlaps:
            found.append(_overlap_sentence(pair, overlaps))
    return found


def kind(raters: Sequence[str]) -> str:
    """What the labels say of the readers: A1, A2 one reader twice, A1, B1 different readers; other labels are
    not interpreted.
    """
    matches = [re.fullmatch(r"([A-Z])\d+", rater) for rater in raters]
    readers = [match[1] for match in matches if match]
    if len(readers) < len(raters):
        return "Agreement"
    if len(set(readers)) == 1:
        return "Intra-observer agreement"
    if len(set(readers)) == len(readers):
        return "Inter-observer agreement"
    return "Agreement"


def _icc_sentence(comparison: Comparison, features: int) -> str:
    found = comparison.headline
    known = np.isfinite(found.icc)
    subject = f"{kind(comparison.raters)} ({', '.join(comparison.raters)})"
    if not known.any():
        return f"{subject} is undefined: no feature varies over two or more complete cases."
    values = found.icc[known]
    low = found.low[known]
    good = GRADES["good"]
    excellent = GRADES["excellent"]
    count = int(known.sum())
    of = f"{count} feature{'s' if count > 1 else ''}"
    sentence = (
        f"{subject} was {grade(float(np.median(values)))}: {HEADLINE} had a median of {np.median(values):.2f}"
        f" (range {values.min():.2f} to {values.max():.2f}) over {of} of {_span(found.n[known])} cases;"
        f" {_share(values > good)} were above 0.75 and {_share(values > excellent)} above 0.90, by the lower"
        f" bound of the 95 % interval {_share(low > good)} and {_share(low > excellent)}."
    )
    if count == features:
        return sentence
    return (
        f"{sentence} {features - count} of {features} features are constant or lack complete cases and have"
        " no ICC."
    )


def _share(chosen: np.ndarray) -> str:
    return f"{chosen.sum()} ({chosen.mean():.0%})".replace("%", " %")


def _span(numbers: np.ndarray) -> str:
    least = numbers.min()
    most = numbers.max()
    return f"{least}" if least == most else f"{least} to {most}"


def _overlap_sentence(pair: Sequence[str], found: Sequence[Overlap]) -> str:
    overlap = np.array([each.dice for each in found])
    distance = np.array([each.hausdorff95 for each in found])
    low, middle, high = np.percentile(overlap, (25, 50, 75))
    near, far, farthest = np.percentile(distance, (25, 50, 75))
    return (
        f"The outlines of {' and '.join(pair)} overlapped with a median Dice coefficient of {middle:.2f}"
        f" (interquartile range {low:.2f} to {high:.2f}, lowest {overlap.min():.2f}); their 95 % Hausdorff"
        f" distance had a median of {far:.1f} mm ({near:.1f} to {farthest:.1f} mm; {len(found)} cases)."
    )
