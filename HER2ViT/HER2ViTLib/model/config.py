"""A bundle's config.json: the settings in it, and what of it may be believed.

A config may come from anyone: every value is checked before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import timm

from HER2ViTLib.her2 import TASKS, Task
from HER2ViTLib.messages import InputError

from .calibration import Calibration
from .config_file import CONFIG_FILE, number_of, section_of
from .conformal import Conformal, conformal_from_json
from .development_scores import DevelopmentScores, development_scores_from_json
from .operating_point import OperatingPoint, operating_point_of
from .preprocessing import Preprocessing, preprocessing_from_json

SCHEMA = 1
MAX_NOTICE = 500
MAX_MODEL_ARGUMENT = {
    "img_size": 1024,
    "patch_size": 64,
    "in_chans": 3,
    "embed_dim": 4096,
    "depth": 64,
    "num_heads": 64,
    "mlp_ratio": 8,
    "reg_tokens": 16,
}
"""What a model may be built with, at most. No real model takes more; a hostile config could ask for any
memory or time.
"""


@dataclass(frozen=True)
class Settings:
    """What a bundle holds beside the network: what turns a logit into a call, and its provenance.

    `threshold` is on the calibrated scale. `prevalence` is the target's share of the development set.
    `training_percentiles` gives per property the 1st and 99th percentile over the training set; a case
    outside is reported as unlike it. `notice` is shown wherever the model's result is. `operating_points`:
    what the threshold gave on sets of cases, none of them trained on; none in bundles of earlier versions.
    `development_scores` and `conformal` are None in bundles without them.
    """

    task: Task
    preprocessing: Preprocessing
    threshold: float
    calibration: Calibration
    prevalence: float
    training_percentiles: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    splits_sha256: str | None = None
    notice: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    operating_points: tuple[OperatingPoint, ...] = ()
    development_scores: DevelopmentScores | None = None
    conformal: Conformal | None = None

    def to_json(self) -> dict[str, Any]:
        optional = {"development_scores": self.development_scores, "conformal": self.conformal}
        return {
            "schema": SCHEMA,
            "task": self.task.name,
            "preprocessing": self.preprocessing.to_json(),
            "threshold": self.threshold,
            "calibration": {"slope": self.calibration.slope, "intercept": self.calibration.intercept},
            "prevalence": self.prevalence,
            "training_percentiles": {
                name: list(limits) for name, limits in self.training_percentiles.items()
            },
            "splits_sha256": self.splits_sha256,
            "notice": self.notice,
            "provenance": dict(self.provenance),
            "operating_point": {point.set_name: point.to_json() for point in self.operating_points},
            **{name: part.to_json() for name, part in optional.items() if part is not None},
        }


def settings_of(ours: Mapping[str, Any]) -> Settings:
    """The settings in our section of a config. Raises `InputError` for a value missing or out of range."""
    if ours.get("schema") != SCHEMA:
        raise InputError(
            f"{CONFIG_FILE}: schema {ours.get('schema')!r}; this version reads {SCHEMA}: update her2vit or"
            " the bundle"
        )
    splits = ours.get("splits_sha256")
    limits = section_of(ours, "training_percentiles")
    return Settings(
        task=_task(ours.get("task")),
        preprocessing=preprocessing_from_json(section_of(ours, "preprocessing")),
        threshold=number_of(ours, "threshold", 0, 1),
        calibration=_calibration(section_of(ours, "calibration")),
        prevalence=number_of(ours, "prevalence", 0, 1),
        training_percentiles={name: _percentiles(name, pair) for name, pair in limits.items()},
        splits_sha256=splits if isinstance(splits, str) else None,
        notice=_notice(ours.get("notice", "")),
        provenance=section_of(ours, "provenance"),
        operating_points=tuple(
            operating_point_of(name, point) for name, point in section_of(ours, "operating_point").items()
        ),
        development_scores=development_scores_from_json(ours.get("development_scores")),
        conformal=conformal_from_json(ours.get("conformal")),
    )


def _task(name: Any) -> Task:
    task = TASKS.get(name) if isinstance(name, str) else None
    if task is None:
        raise InputError(f"{CONFIG_FILE}: task {name!r}; it must be one of {', '.join(TASKS)}")
    return task


def _calibration(platt: Mapping[str, Any]) -> Calibration:
    slope = number_of(platt, "slope", -1e6, 1e6)
    if slope <= 0:
        raise InputError(
            f"{CONFIG_FILE}: calibration slope {slope:g} would turn the scores round; train the model again"
        )
    return Calibration(slope, number_of(platt, "intercept", -1e6, 1e6))


def _notice(text: Any) -> str:
    """The notice on one line, without what would steer a terminal."""
    if not isinstance(text, str) or len(text) > MAX_NOTICE:
        raise InputError(f"{CONFIG_FILE}: notice must be a text of at most {MAX_NOTICE} characters")
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())


def _percentiles(name: str, pair: Any) -> tuple[float, float]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise InputError(f"{CONFIG_FILE}: training percentiles of {name!r} must be two numbers")
    low, high = (number_of({name: value}, name, -1e12, 1e12) for value in pair)
    return low, high


def architecture_of(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of the timm model and the arguments it is built with.

    Raises `InputError` for unknown models and arguments, and for a name with a scheme, which would make timm
    fetch or open something else.
    """
    architecture = config.get("architecture")
    if not isinstance(architecture, str) or set(architecture) & {":", "/"} or not timm.is_model(architecture):
        raise InputError(
            f"{CONFIG_FILE}: architecture {str(architecture)[:60]!r} is not a timm model; update timm or the"
            " bundle"
        )
    if config.get("num_classes") != 1:
        raise InputError(
            f"{CONFIG_FILE}: num_classes {config.get('num_classes')!r}; a bundle's model has one logit"
        )
    arguments = section_of(config, "model_args")
    for name, value in arguments.items():
        _require_known_argument(name, value)
    return architecture, dict(arguments)


def _require_known_argument(name: str, value: Any) -> None:
    if name == "global_pool":
        is_sound = value in ("token", "avg")
    elif name == "class_token":
        is_sound = isinstance(value, bool)
    elif name == "img_size" and isinstance(value, list):
        is_sound = all(_fits_argument(name, side) for side in value)
    else:
        is_sound = _fits_argument(name, value)
    if not is_sound:
        raise InputError(
            f"{CONFIG_FILE}: model argument {name}={value!r} is unknown or out of range; get the bundle anew"
        )


def _fits_argument(name: str, value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value <= MAX_MODEL_ARGUMENT.get(name, 0)
