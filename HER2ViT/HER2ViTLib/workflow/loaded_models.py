"""The models last used, kept while their files stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .choices import Choices

if TYPE_CHECKING:
    from HER2ViTLib.reading.reader import Reader


class LoadedModels:
    """The reader of the last run, kept until models, device or attention method change, so that only the
    first run waits for torch.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._reader: Reader | None = None

    def reader(self, choices: Choices, progress: Callable[[str], None] = lambda text: None) -> Reader:
        """A reader with the chosen models. Raises `InputError` as `load_bundle` and `Reader` do; the next
        call then loads again.
        """
        key = (tuple(map(_fingerprint, choices.bundle_folders)), choices.device, choices.method)
        if self._reader is None or key != self._key:
            self._reader = None
            progress("Loading torch and the models...")
            from HER2ViTLib.model.bundle import load_bundle
            from HER2ViTLib.reading.reader import Reader

            self._reader = Reader(
                [load_bundle(folder) for folder in choices.bundle_folders], choices.device, choices.method
            )
            self._key = key
        return self._reader


def _fingerprint(folder: Path) -> tuple[str, int]:
    """Tells a bundle from another, and from a later one in the same folder."""
    config = folder / "config.json"
    return str(folder.resolve()), config.stat().st_mtime_ns if config.is_file() else 0
