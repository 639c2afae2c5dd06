"""What the figures come to: the sentence a paper needs, also when the answer is no."""

from __future__ import annotations

from dataclasses import dataclass

from HER2ViTLib.model.attention import METHODS
from HER2ViTTrainingLib.pages.texts import estimate_text

from .checking import MethodSanity, Sanity

STILL_ALIKE = 0.5
"""A rank correlation with the map of random weights that the interval must stay below."""


@dataclass(frozen=True)
class Verdict:
    """Of one method: whether its map follows the learnt weights, whether its patches matter more to the score
    than random ones, whether it lies in the outline more than an even map does.
    """

    follows_weights: bool
    matters: bool
    inside: bool

    @property
    def passes(self) -> bool:
        """Whether the map may be shown as where the score comes from; it need not lie in the outline."""
        return self.follows_weights and self.matters


def verdict_of(found: MethodSanity) -> Verdict:
    """By the 95 % intervals: each must lie wholly on its side."""
    *_, last = found.steps.values()
    return Verdict(
        follows_weights=last.high < STILL_ALIKE,
        matters=found.deletion.low > 0 and found.insertion.low > 0,
        inside=found.over_even.low > 0,
    )


def score_tells(found: Sanity) -> bool:
    """Whether the score tells the labels apart in these very cases."""
    return found.auc.low > 0.5


def sentence(found: Sanity) -> str:
    """For the methods section or the figure's legend."""
    n = len(found.cases.labels)
    patients = len(set(found.cases.patients.tolist()))
    start = (
        f"Attention maps were checked on {n} cases of {patients} patients by cascading randomisation of the"
        " weights, and by deletion and insertion of patches against random orders (HER2ViT, her2vit sanity)."
    )
    if not score_tells(found):
        auc = estimate_text(found.auc) or "undefined, one class only"
        return (
            f"{start} The score itself did not tell the classes apart in these cases (AUC {auc}): no map of"
            " it says anything of HER2, and none should be shown as an explanation."
        )
    passed = [name for name in METHODS if verdict_of(found.methods[name]).passes]
    if not passed:
        return (
            f"{start} The score told the classes apart (AUC {estimate_text(found.auc)}), but no map passed"
            " both checks: they should not be shown as where the score comes from."
        )
    told = [_told(name, found.methods[name]) for name in passed]
    failed = [name for name in METHODS if name not in passed]
    rest = f" The maps by {' and '.join(failed)} did not pass and should not be shown so." if failed else ""
    return (
        f"{start} The score told the classes apart (AUC {estimate_text(found.auc)}). {' '.join(told)}{rest} A"
        " map shows where the score comes from, not why: it is not causal evidence."
    )


def _told(name: str, found: MethodSanity) -> str:
    *_, last = found.steps.values()
    where = "more" if verdict_of(found).inside else "not more"
    return (
        f"The map by {name} followed the learnt weights (rank correlation with random weights"
        f" {estimate_text(last)}) and pointed at patches that matter to the score more than random ones"
        f" (deletion {estimate_text(found.deletion)}, insertion {estimate_text(found.insertion)}, differences"
        f" in mean probability); it lay {where} in the outline than an even map (by"
        f" {estimate_text(found.over_even)})."
    )
