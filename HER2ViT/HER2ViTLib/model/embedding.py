"""What a network makes of an image before its last layer scores it."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def embeddings_before_head(model: Any, images: Tensor) -> Tensor:
    """What the last layer of a timm model gets (B, d) of the network's input (B, C, H, W): for a ViT the
    embedding of its CLS token, for a model pooled without CLS the mean of its patch tokens.
    """
    return model.forward_head(model.forward_features(images), pre_logits=True)
