"""Features that need a model: the embedding and the calibrated score of an outlined lesion.

Names begin with their group: `vit1_`, `vit2_`, `vit3_` (embeddings of Task 1, 2, 3), `score_`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from HER2ViTLib.model.preprocessing import Preprocessing

from .features import Feature

if TYPE_CHECKING:  # needs torch
    from HER2ViTLib.model.bundle import Bundle

_BATCH = 32
"""Images that go through a model together."""


class ModelFeatures:
    """The networks of bundles, one per task, and what they give for patches.

    Raises `InputError` as `load_bundle` and `Reader` do.
    """

    def __init__(self, folders: Sequence[str | os.PathLike], device: str) -> None:
        # Here, not above: neither a run without models nor the processes that measure should wait for torch.
        from HER2ViTLib.model.bundle import load_bundle
        from HER2ViTLib.reading.reader import Reader

        reader = Reader([load_bundle(folder) for folder in folders], device)
        self.bundles = tuple(reader.bundles.values())
        self.device = reader.device

    @property
    def preprocessings(self) -> dict[str, Preprocessing]:
        """How each task's patches are made, by task key."""
        return {bundle.task.key: bundle.settings.preprocessing for bundle in self.bundles}

    def features(self, patches: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, float]]:
        """Of each lesion's patches (slices, H, W) by task key: the embedding that the last layer gets,
        `vit1_embedding_000` on, its mean over the slices, and the calibrated score, `score_task1`.
        """
        rows: list[dict[str, float]] = [{} for _ in patches]
        for bundle in self.bundles:
            score = bundle.settings.calibration.score
            lesions = [one[bundle.task.key] for one in patches]
            lesions_at_once = max(1, _BATCH // bundle.settings.preprocessing.slice_count)
            for start in range(0, len(lesions), lesions_at_once):
                embeddings, logits = self._outputs(bundle, lesions[start : start + lesions_at_once])
                for row, embedding, logit in zip(rows[start:], embeddings, logits):
                    for n, value in enumerate(embedding):
                        row[f"{_embedding_name(bundle)}_{n:03d}"] = value
                    row[f"score_{bundle.task.key}"] = score(logit)
        return rows

    def _outputs(self, bundle: Bundle, lesions: Sequence[np.ndarray]) -> tuple[Any, Any]:
        """The lesions' embeddings, lists of numbers, and their logits. The last layer is linear: it makes of
        the mean embedding the mean logit, which is the reading's.
        """
        import torch

        from HER2ViTLib.model.bundle import model_input
        from HER2ViTLib.model.embedding import embeddings_before_head

        model: Any = bundle.model  # timm's own methods
        images = torch.from_numpy(np.concatenate(lesions)).to(self.device)
        with torch.inference_mode():
            found = embeddings_before_head(model, model_input(images, bundle.settings.preprocessing))
            of_slices = found.split([len(one) for one in lesions])
            embeddings = torch.stack([slices.mean(dim=0) for slices in of_slices])
            logits = model.get_classifier()(embeddings)[:, 0]
        return embeddings.cpu().double().tolist(), logits.cpu().double().tolist()


def model_feature_meanings(bundle: Bundle) -> dict[str, Feature]:
    """What a bundle's features are, by name; NNN stands for a place in the embedding."""
    task = bundle.task
    return {
        f"{_embedding_name(bundle)}_NNN": Feature(
            "1", f"{task.name}: what the model's last layer gets, mean over the slices it reads"
        ),
        f"score_{task.key}": Feature("1", f"{task.name}: calibrated probability of {task.target_name}"),
    }


def _embedding_name(bundle: Bundle) -> str:
    return f"vit{bundle.task.key[-1]}_embedding"
