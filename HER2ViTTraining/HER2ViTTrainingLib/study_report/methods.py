"""The methods of a study in plain words, from what its results have recorded. A sentence is only there where
its result is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .study import Result

READING = (
    "HER2 status is that of the manifest: zero (IHC 0), low (IHC 1+, or 2+ with negative ISH), positive (IHC"
    " 3+, or 2+ with positive ISH). Images are breast DCE-MRI with an outline of the lesion; the model sees"
    " the slices where the outline is largest (one, unless set otherwise) in the early phase, nearest to 90 s"
    " after contrast. What is doubtful in the input is a warning beside the reading, what cannot be read a"
    " fault. Results name their inputs by hash, not by name or date."
)


def methods(results: Sequence[Result]) -> list[str]:
    """Sentences, one or two for each kind of result that is there; several runs of a kind with the same words
    say them once.
    """
    texts = [READING]
    for one in results:
        write = _WRITTEN.get(one.kind.key)
        if write:
            texts.append(write(one))
    return list(dict.fromkeys(texts))


def _settings(result: Result) -> Mapping[str, Any]:
    return result.record.settings if result.record else {}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _cohort(result: Result) -> str:
    split = result.content["split"]
    total = result.content["total"]
    folds = max((len(task["folds"]) for task in split["tasks"].values()), default=0)
    kind = "one split for all tasks" if split["kind"] == "shared" else "a split for each task"
    text = (
        f"Of {total['assessed']} cases assessed, {total['included']['n']} were included. Development cases"
        f" were divided by patient, stratified by status, {split['validation_share']:.0%} for validation"
        f" ({kind}, seed {split['seed']})"
    )
    return f"{text}, and into {folds} folds." if folds else f"{text}."


def _table1(result: Result) -> str:
    settings = _settings(result)
    by = f" by {settings['by']}" if settings else ""
    return f"Table 1 compares groups{by}; tests and effect sizes are named below it."


def _training(result: Result) -> str:
    settings = _settings(result)
    repeats = f", {settings['seeds']} seeds" if settings.get("seeds", 1) > 1 else ""
    if settings.get("folds") or settings.get("folds_by"):
        repeats += ", cross-validated"
    asked = f" for {settings['task']}" if settings else ""
    how = (
        f" ({settings['arch']}, start {settings['pretrained']}, preset {settings['preset']}, recipe"
        f" {settings['recipe']}, seed {settings['seed']}{repeats})"
        if settings
        else ""
    )
    return (
        f"A Vision Transformer{asked} was trained{how}. Stopping, Platt's calibration and the threshold"
        " (Youden's index) were fitted on validation cases only."
    )


def _table2(result: Result) -> str:
    plan = result.content["bootstrap"]
    chosen = _settings(result)
    source = "each set's own Youden optimum (optimistic)"
    if chosen.get("threshold_from"):
        source = f"the Youden optimum of the set {chosen['threshold_from']}, applied to all sets"
    elif chosen.get("threshold") is not None:
        source = f"fixed at {chosen['threshold']:g}"
    return (
        f"Performance: AUC with DeLong's interval; {_bootstrap(plan)}; threshold: {source}, held fixed in the"
        " resamples. Calibration by slope, intercept and curve; clinical use by decision curve."
    )


def _bootstrap(plan: Mapping[str, Any]) -> str:
    return (
        f"95 % intervals by the percentile bootstrap over {plan['unit']}s ({plan['resamples']} resamples,"
        f" seed {plan['seed']})"
    )


def _batch(_: Result) -> str:
    return "All cases of a manifest were read with the bundles named below, each once, by the same program."


def _call(result: Result) -> str:
    content = result.content
    return (
        "The two-step call: below the first threshold zero; else low or positive by the second. Judged by"
        f" sensitivity and PPV of each status, balanced accuracy and {content['kappa_weights']} weighted"
        f" kappa; {_bootstrap(content['bootstrap'])}."
    )


def _agreement(result: Result) -> str:
    compared = _settings(result).get("compare") or []
    pairs = f" ({'; '.join(compared)})" if compared else ""
    return (
        f"Agreement of readers{pairs}: intraclass correlation (McGraw and Wong 1996), Bland-Altman limits,"
        " overlap of outlines."
    )


def _audit(result: Result) -> str:
    columns = _listed(list(result.content["columns"]))
    sized = any(one["size"] for one in result.content["sets"].values())
    size = "the size of the lesion and against " if sized else ""
    return (
        f"The score was held against {size}knowing only the site or scanner (columns: {columns});"
        f" {_bootstrap(result.content['bootstrap'])}."
    )


def _adaptation(result: Result) -> str:
    changed = [f"{one['task']}: {_listed(one['changed'])}" for one in result.content["bundles"].values()]
    roles = {role for role, _ in result.inputs}
    if _settings(result).get("coverage"):
        how = "by a conformal part from local cases"
    elif "local" in roles:
        how = "from local cases by a closed test (Vergouwe et al. 2017)"
    else:
        how = "by prior shift"
    return f"The bundle was adapted {how}, without new training. Changed: {'; '.join(changed)}."


def _sanity(result: Result) -> str:
    content = result.content
    return (
        f"Attention maps of {content['n']} cases were checked by cascading randomisation of the weights"
        f" ({content['randomisations']} times; Adebayo et al. 2018), deletion and insertion against"
        f" {content['random_orders']} random orders; {_bootstrap(content['bootstrap'])}."
    )


def _prognosis(result: Result) -> str:
    question = result.content["question"]
    by = question["group"] or question["score"]
    groups = f", by {by}" if by else ""
    return (
        f"Survival ({question['time']}{groups}): Kaplan-Meier curves, log-rank test, Cox models (covariates:"
        f" {_listed(question['covariates'])})."
    )


def _genes(result: Result) -> str:
    content = result.content
    limits = content["thresholds"]
    return (
        f"Gene expression: DESeq2's model (pydeseq2 {content['versions']['pydeseq2']}), adjusted p below"
        f" {limits['alpha']:g} and absolute log2 fold change above {limits['lfc']:g}; over-representation and"
        " hub genes where gene sets and interactions were given."
    )


_WRITTEN: dict[str, Callable[[Result], str]] = {
    "cohort": _cohort,
    "table1": _table1,
    "training": _training,
    "table2": _table2,
    "batch": _batch,
    "call": _call,
    "agreement": _agreement,
    "audit": _audit,
    "adaptation": _adaptation,
    "sanity": _sanity,
    "prognosis": _prognosis,
    "genes": _genes,
}
