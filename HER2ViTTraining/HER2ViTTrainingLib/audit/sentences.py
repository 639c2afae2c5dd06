"""What the figures of an audit mean and do not mean, for a radiologist."""

from __future__ import annotations

import math

from .auditing import Audit, SetAudit
from .subgroups import FITTED_SETS

SIZE = (
    "A score can be high only because the tumour is large. Here the size alone is used as if it were a"
    " score. Where the difference is near 0, or its interval includes 0, these cases do not show that the"
    " score tells more than the size; that is no proof that it tells nothing more. The size is taken in"
    " the direction that suits it in these very cases, the score never is: the comparison is hard on the"
    " score."
)
ALONE = (
    "What somebody reaches who sees no image and knows only the site (or vendor, or field strength),"
    " because some send more positive cases than others. About 0.5, or below, means that it tells nothing"
    " of the label here. Close to the AUC of the score it means that the score could be good by"
    " recognising the site; it does not mean that it is."
)
TOLD = (
    "Whether a simple classifier recognises the site from the score, or from the embedding (what the"
    " model makes of an image before it scores it), among cases of the same status, so that a site's share"
    " of positive cases is no help. About 0.5, or below, means not recognised, 1 always recognised."
    " Recognised does not mean that the score is wrong, but that it could rest on the site and may not"
    " hold at a new one. Not recognised means not by this classifier, with so many cases."
)
CLASSIFIER = (
    "Read the intervals of both tables with care: they hold the classifiers fixed and are too narrow. In"
    " simulations with nothing to find they lay wholly above 0.5 in about one audit of ten, where it"
    " should be one of forty; and often wholly below 0.5, which means nothing."
)
LEVELS = (
    "How the score does within each level. A wide interval means few cases, not a poor score. Sensitivity"
    " and specificity are at the threshold of the whole set, or of each row's own model. Predicted is the"
    " mean probability, observed the share of positive cases: where predicted lies outside the interval of"
    " observed, the probabilities do not fit that level. Intercept 0 and slope 1 are perfect; an intercept"
    " below 0 means that the probabilities are too high there, a slope below 1 that they are too extreme."
)
HETEROGENEITY = (
    "Whether the AUCs of the levels differ by more than chance (Cochran's Q); I2 is the share of their"
    " spread that is not chance. A small p means that the score ranks cases better in some levels than in"
    " others. A large p does not mean that the levels are alike: with few cases differences stay unseen. A"
    " score that is shifted as a whole in one level ranks as well there, and still calls wrongly: look at"
    " sensitivity, specificity and predicted against observed."
)


def exploratory(audit: Audit) -> str:
    """How many looks the audit takes, and what follows."""
    comparisons = 0
    tests = 0
    for one in audit.sets:
        sizes = [size for size in one.sizes.values() if size]
        comparisons += len(sizes)
        tests += sum(not math.isnan(size.comparison.p) for size in sizes)
        for column in one.columns.values():
            levels = [level.result.metrics.estimates["auc"] for level in column.subgroups.levels]
            looked_at = [column.site.alone, *(told.auc for told in column.site.told), *levels]
            comparisons += sum(not math.isnan(estimate.value) for estimate in looked_at)
            tests += column.subgroups.heterogeneity is not None
    return (
        f"This audit makes {comparisons} comparisons by an interval (AUCs and their differences) and {tests}"
        " tests with a p value. Where there is nothing to find, one in twenty or more of each stand out by"
        " chance. They are exploratory, unless they were planned before the results were seen."
    )


def optimistic(one: SetAudit) -> bool:
    """Whether the model was fixed on the set itself."""
    return one.audited.cases.models is None and one.audited.cases.name in FITTED_SETS


def trained_on(one: SetAudit, column: str) -> str:
    """Whether the model that scored a level was trained on others of it."""
    levels = one.columns[column].subgroups.levels
    unseen = [level.level for level in levels if level.seen is False]
    if not levels:
        return f"{column}: no case has a level."
    if optimistic(one):
        return f"{column}: the model was made on these very cases."
    if any(level.seen is None for level in levels):
        return f"{column}: the file does not say on which levels the model was trained."
    if not unseen:
        where = "or validation set has" if one.audited.cases.models is None else "folds contained"
        return (
            f"{column}: the training {where} every level, so figures by {column} are internal: they"
            " say nothing of a new one."
        )
    if len(unseen) < len(levels):
        return (
            f"{column}: the model has seen no case of {', '.join(unseen)}; figures of the other levels are"
            " internal."
        )
    return f"{column}: each level's figures are of a model that has seen no case of it (leave-one-out)."
