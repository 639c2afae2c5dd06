"""The parts of the page of an adaptation: what was found, in tables, and what it means, in plain words."""

from __future__ import annotations

import math

from HER2ViTLib.model.bundle import Bundle
from HER2ViTLib.model.config import Settings
from HER2ViTLib.model.conformal import Conformal
from HER2ViTTrainingLib.evaluation.judging import SetResult
from HER2ViTTrainingLib.pages.texts import estimate_text, p_text, with_decimals
from HER2ViTTrainingLib.stats.estimates import Estimate
from HER2ViTTrainingLib.stats.order_statistics import needed_values
from HER2ViTTrainingLib.stats.recalibration import (
    INTERCEPT,
    INTERCEPT_AND_SLOPE,
    NOTHING,
    LikelihoodRatio,
)

from .adapted import CHANGED, AdaptedBundle, Section, figures_of
from .coverage import never_excluded
from .local_cases import LocalCases, StatusCases
from .prevalence import EstimatedShares
from .recalibrating import Adapted, HeldOut

_CHOICES = {
    NOTHING: "These cases do not show that the probabilities are wrong here: nothing was changed, the"
    " threshold neither. That is no proof that they are right: few cases show little, and two changes can"
    " make up for each other. Look at sensitivity and specificity below.",
    INTERCEPT: "The probabilities are too high or too low here as a whole: the intercept was changed, and"
    " with it the threshold.",
    INTERCEPT_AND_SLOPE: "The probabilities are off as a whole, and too extreme or too timid: intercept and"
    " slope were changed, and with them the threshold.",
}
FIGURES = (
    "Before: the bundle as it was, which has not seen these cases. After: each case scored and called by a"
    " bundle that was adapted without it (cross-validation), so these figures are honest; those of the"
    " adapted bundle on the cases it was adapted on would not be, and are not shown. AUC is not shown twice:"
    " recalibration keeps the order of the cases."
)
ASSUMPTION = (
    "Assumed is prior shift: a case of either class looks here as it did where the model was made, and only"
    " their shares differ. Another scanner, protocol or kind of patient breaks that. Intercept and threshold"
    " move together, so the same cases are called as before: sensitivity and specificity stay, and only the"
    " probabilities change."
)
ASSUMPTION_OF_BOTH = (
    " The estimate also takes the three probabilities as right together: what Task 2 says of a case must say"
    " nothing of zero that Task 1 does not. The shift of Task 1 takes low and positive as one class; where"
    " their ratio to each other has changed much, it is approximate."
)
COVERAGE = (
    "A reading now also gives the statuses that cannot be excluded. Of new cases of a status, drawn as these"
    " were, a share of at least the level keeps it, whatever the model is worth: a poor model excludes little"
    " and so tells little. The percentiles say how far the share may lie from the level with so few"
    " calibration cases. It holds for cases like these only, not for another scanner or hospital."
)


def of_recalibration(bundle: Bundle, settings: Settings, cases: LocalCases, made: Adapted) -> list[Section]:
    """What the closed test found, and what it changed."""
    line = made.recalibration
    positive = int(cases.labels.sum())
    tests = [_test_row("intercept and slope, against the bundle as it is", line.against_original)]
    if line.against_intercept:
        tests.append(_test_row("intercept and slope, against the intercept alone", line.against_intercept))
    counts = (
        f"{len(cases.labels)} cases, {positive} {bundle.task.target_name} (label 1),"
        f" {len(cases.labels) - positive} {bundle.task.other_name} (label 0). "
    )
    title = bundle.task.title
    changed = Section(f"{title}: what was changed", _threshold_text(made), _changed_rows(bundle, settings))
    return [Section(f"{title}: closed test", counts + _CHOICES[line.choice], tests), changed]


def _test_row(what: str, test: LikelihoodRatio) -> dict[str, str]:
    return {
        "likelihood ratio test": what,
        "chi-squared": f"{test.statistic:.2f}",
        "df": str(test.df),
        "p": p_text(test.p),
    }


def _threshold_text(made: Adapted) -> str:
    line = made.recalibration
    if line.choice == NOTHING:
        return "Nothing."
    text = f"Of the bundle's calibrated logit: slope {_line(line.slope)}, intercept {_line(line.intercept)}. "
    chosen = made.threshold
    if math.isnan(chosen.sensitivity.value):
        return text + "The threshold is Youden's on these cases."
    return text + (
        f"The threshold is for {chosen.rule}: {estimate_text(chosen.value)}; 0 or 1 as a limit means that the"
        " cases are too few for one. With it the sensitivity of new cases is expected to be"
        f" {estimate_text(chosen.sensitivity)}."
    )


def _line(estimate: Estimate) -> str:
    return "1 (kept)" if estimate == Estimate(1.0) or math.isnan(estimate.low) else estimate_text(estimate)


def _changed_rows(bundle: Bundle, settings: Settings) -> list[dict[str, str]]:
    before = figures_of(bundle.settings)
    after = figures_of(settings)
    return [{"": name, "parent": f"{before[name]:.4f}", "adapted": f"{after[name]:.4f}"} for name in CHANGED]


def of_figures(
    bundle: Bundle, cases: LocalCases, held_out: HeldOut, before: SetResult, after: SetResult
) -> Section:
    """The local cases' figures, before and after side by side."""
    rows = []
    for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy", "brier"):
        pair = [estimate_text(one.metrics.estimates[name]) for one in (before, after)]
        rows.append({"": name, "before": pair[0], "after (cross-validated)": pair[1]})
    for name in ("intercept", "slope"):
        lines = [one.calibration and getattr(one.calibration, name) for one in (before, after)]
        pair = [estimate_text(line) if line else "" for line in lines]
        rows.append({"": f"calibration {name}", "before": pair[0], "after (cross-validated)": pair[1]})
    means = [with_decimals(float(one.cases.scores.mean()), 2) for one in (before, after)]
    observed = with_decimals(float(cases.labels.mean()), 2)
    rows.append(
        {"": f"mean probability (observed {observed})", "before": means[0]}
        | {"after (cross-validated)": means[1]}
    )
    auc = estimate_text(before.metrics.estimates["auc"])
    how = (
        f" AUC {auc}. {held_out.folds} folds by patient: in {held_out.kept} the closed test changed nothing,"
        f" in {held_out.refused} nothing could be estimated and the bundle counts as it was."
    )
    return Section(f"{bundle.task.title}: the local cases", FIGURES + how, rows)


def of_prevalence(adapted: AdaptedBundle) -> Section:
    """What a shift changed in a bundle."""
    task = adapted.settings.task
    text = f"Prevalence: the share of {task.target_name} among {task.target_name} and {task.other_name}."
    rows = _changed_rows(adapted.parent, adapted.settings)
    return Section(f"{task.title}: what was changed", text, rows)


def of_assumption(*, both: bool) -> Section:
    """What a shift of the prevalence assumes: of one bundle, or of both together."""
    return Section("What this assumes", ASSUMPTION + ASSUMPTION_OF_BOTH if both else ASSUMPTION)


def of_shares(found: EstimatedShares) -> Section:
    """The estimated shares and their test."""
    rows = [
        {"status": name, "where the model was made": f"{found.old[name]:.3f}", "here": _three(share)}
        for name, share in found.shares.items()
    ]
    text = (
        f"From {found.n} unlabelled readings, by maximum likelihood (EM; Saerens et al. 2002), with bootstrap"
        f" intervals. Test against the shares where the model was made: chi-squared {found.statistic:.2f}, df"
        f" {found.df}, p {p_text(found.p)}. "
    )
    text += (
        "The shares differ here: the bundles were moved to them."
        if found.has_changed
        else "The readings do not show that the shares differ: nothing was changed."
    )
    return Section("Shares estimated from readings without labels", text, rows)


def _three(share: Estimate) -> str:
    return f"{share.value:.3f} ({share.low:.3f}, {share.high:.3f})"


def of_check(found: EstimatedShares) -> Section:
    """Whether the scores look like the population the model was made on."""
    if found.check is None:
        text = (
            "Not checked: the bundle does not say how its scores were distributed where it was made (bundles"
            " of this version do). An estimate without this check may rest on another scanner."
        )
    elif found.check.is_alike:
        text = (
            f"The scores look like a mixture of the two classes the model was made on (spread"
            f" {found.check.spread:.2f} of what it should be, p {p_text(found.check.p)}). That is no proof: a"
            " slight change of scanner looks like another prevalence, and the check finds it in one site of"
            " five. Where the scanner is new, label some cases and use --local."
        )
    else:
        text = (
            f"Warning: the scores look like another population than the model was made on, in whatever shares"
            f" (spread {found.check.spread:.2f} of what it should be, p {p_text(found.check.p)}): a new"
            " scanner, protocol or kind of patient. Do not trust the estimate; label some cases and use"
            " --local."
        )
    text += f" {found.unlike} of {found.n} readings warn that the case is unlike the training set."
    return Section("Is it the same population?", text)


def of_coverage(part: Conformal, cases: StatusCases) -> Section:
    """The conformal part, status by status."""
    rows = []
    for status, of in part.statuses.items():
        rows.append(
            {
                "status": status,
                "calibration cases": str(of.n),
                "excluded below a probability of": f"{of.cutoff:.4f}" if of.cutoff else "never",
                "coverage, 5th to 95th percentile": f"{of.coverage_low:.2f} to {of.coverage_high:.2f}",
            }
        )
    text = f"Level {part.level:g} a status. {COVERAGE}"
    for status, n in never_excluded(part).items():
        text += (
            f" {status.capitalize()} is never excluded: {n} calibration cases, where"
            f" {needed_values(part.level)} are needed."
        )
    left_out = [f"{n} left out: {why}" for why, n in sorted(cases.left_out.items())]
    if left_out:
        text += f" {'; '.join(left_out)}."
    return Section("What can be told", text, rows)
