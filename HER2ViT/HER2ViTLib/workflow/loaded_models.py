"""The models last used, kept while their files stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.messages import InputError

from .choices import Choices

if TYPE_CHECKING:
    from HER2ViTLib.model.bundle import Bundle
    from HER2ViTLib.reading.reader import Reader


class LoadedModels:
    """The reader of the last run, kept until models, device, attention method or number of slices change, so
    that only the first run waits for torch.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._reader: Reader | None = None

    def reader(self, choices: Choices, progress: Callable[[str], None] = lambda text: None) -> Reader:
        """A reader with the chosen models. Raises `InputError` as `load_bundle` and `Reader` do, and for
        a model that the panel has no place for; the next call then loads again.
        """
        settings = (choices.device, choices.method, choices.slice_count_override)
        key = (tuple(map(_fingerprint, choices.bundle_folders)), settings)
        if self._reader is None or key != self._key:
            self._reader = None
            progress("Loading torch and the models...")
            from HER2ViTLib.model.bundle import load_bundle
            from HER2ViTLib.reading.reader import Reader

            bundles = [load_bundle(folder) for folder in choices.bundle_folders]
            for folder, bundle in zip(choices.bundle_folders, bundles):
                _require_of_two_step(bundle, folder)
            self._reader = Reader(bundles, *settings)
            self._key = key
        return self._reader


def _require_of_two_step(bundle: Bundle, folder: Path) -> None:
    """The panel has a field and a map for each task of the call, and none for another one."""
    if bundle.task not in TWO_STEP:
        raise InputError(
            f"{folder}: is a model for {bundle.task.name}; the panel takes one for"
            f" {' and one for '.join(task.name for task in TWO_STEP)}; read with this one by: her2vit read"
        )


def _fingerprint(folder: Path) -> tuple[str, int]:
    """Tells a bundle from another, and from a later one in the same folder."""
    config = folder / "config.json"
    return str(folder.resolve()), config.stat().st_mtime_ns if config.is_file() else 0
