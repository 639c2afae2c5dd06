"""A bundle's config.json as a file: what is in it by name, nothing believed yet; without torch and timm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from HER2ViTLib.files.inputs import parse_json
from HER2ViTLib.messages import InputError

CONFIG_FILE = "config.json"
CARD_FILE = "README.md"
MAX_CONFIG_BYTES = 1 << 20
_OPTIONAL = ("training_percentiles", "provenance", "model_args", "operating_point")
"""Sections that may be left out."""


def parse_config(raw: bytes) -> Mapping[str, Any]:
    """What a config.json holds. Raises `InputError` for what is no JSON, or no object."""
    try:
        config = parse_json(raw)
    except ValueError as error:
        raise InputError(f"{CONFIG_FILE} is not JSON ({str(error)[:80]}); get the bundle anew") from error
    if not isinstance(config, dict):
        raise InputError(f"{CONFIG_FILE} holds no settings; get the bundle anew")
    return config


def section_of(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object in the config, empty where it may be left out. Raises `InputError` where it is missing."""
    value = config.get(key, {} if key in _OPTIONAL else None)
    if not isinstance(value, dict):
        raise InputError(
            f"{CONFIG_FILE}: section {key!r} is missing; only bundles written by her2vit can be read"
        )
    return value


def number_of(ours: Mapping[str, Any], key: str, low: float, high: float) -> float:
    """A number in the config. Raises `InputError` where it is none, or not from `low` to `high`."""
    value = ours.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InputError(f"{CONFIG_FILE}: {key} is {value!r}; it must be a number from {low:g} to {high:g}")
    return float(value)
