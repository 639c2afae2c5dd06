"""In which order warnings are told: first what matters for this case, last what is only technical."""

from __future__ import annotations

from collections.abc import Iterable

from HER2ViTLib.messages import ReadingWarning

OF_THE_CASE = (
    # the call itself
    "call_differs_from_most_probable",
    "call_excluded",
    # the outline
    "multifocal",
    "lesion_at_border",
    "small_lesion",
    "other_frame_of_reference",
    "outline_resampled",
    "contour_gaps",
    # phases and enhancement
    "no_enhancement",
    "phase_order",
    "order_without_times",
    "times_not_believed",
    "pause_before_series",
    "phase_left_out",
    "no_pre_contrast",
    # the images
    "derived_phases",
    "mixed_normalisation",
    "scaling_unknown",
    "maybe_reformatted",
    "unlike_training",
)
OF_THE_MODEL = ("call_set_not_calibrated", "slice_count", "same_attention")
"""Limits of the models and of how they were used, whatever the case."""
TECHNICAL = ("device_fallback",)
_RANKS = {code: rank for rank, code in enumerate((*OF_THE_CASE, *OF_THE_MODEL, *TECHNICAL))}


def warning_rank(code: str) -> int:
    """By what warnings are sorted. An unknown code, of a later version, counts as one of the model."""
    return _RANKS.get(code, _RANKS[OF_THE_MODEL[0]])


def in_order(warnings: Iterable[ReadingWarning]) -> list[ReadingWarning]:
    """The warnings as they are told; those of one code in the order in which they came up."""
    return sorted(warnings, key=lambda warning: warning_rank(warning.code))
