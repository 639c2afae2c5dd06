"""The recipe `probe`: the pretrained encoder stays as it is, and a ridge-penalised logistic regression on its
embeddings becomes the network's last layer. For cohorts too small for fine-tuning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from HER2ViTLib.files.output import write_atomically
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import model_input
from HER2ViTLib.model.embedding import embeddings_before_head
from HER2ViTLib.model.preprocessing import Preprocessing
from HER2ViTTrainingLib.parallel.progress import Progress, prefixed
from HER2ViTTrainingLib.stats.ridge import PENALTIES, RidgeLogit, fit_ridge_logit

from .fitted import Fitted
from .inputs import WRITER
from .labelled import Labelled, require_both_classes


def fit_probe(
    model: nn.Module,
    parts: Mapping[str, Labelled],
    patients: np.ndarray,
    preprocessing: Preprocessing,
    *,
    seed: int,
    cache: Path,
    progress: Progress | None = None,
) -> Fitted:
    """Fits the last layer of a timm model to the part `training`, whose cases are of `patients` (n,); the
    logits of a case are the mean over its slices. Embeddings are kept in the folder `cache`.

    Raises `InputError` for a model whose last layer is not linear, for a training or validation part that
    lacks a class, and for a training part with a single patient of one.
    """
    for name in ("training", "validation"):
        require_both_classes(parts[name], name)
    head = _linear_head(model)
    embeddings = {
        name: embeddings_of(model, part.images, preprocessing, cache, prefixed(progress, "embedding"))
        for name, part in parts.items()
    }
    training = parts["training"]
    case_of = training.case_of
    try:
        ridge = fit_ridge_logit(
            embeddings["training"], training.labels[case_of], patients[case_of], training.weights, seed
        )
    except ValueError as error:
        raise InputError(f"the training part: {error}; more cases or another split are needed") from error
    _set_head(head, ridge)
    logits = {name: part.per_case(ridge.logits(embeddings[name])) for name, part in parts.items()}
    history = [
        {"penalty": penalty, "cross_validated_loss": loss} for penalty, loss in zip(PENALTIES, ridge.losses)
    ]
    return Fitted(model, logits, history, _history_png(ridge), {"penalty": ridge.penalty})


def embeddings_of(
    model: Any,
    images: np.ndarray,
    preprocessing: Preprocessing,
    cache: Path,
    progress: Progress | None = None,
) -> np.ndarray:
    """The embeddings (m, d), float64, of preprocessed images (m, H, W), as `embeddings_before_head`.

    Each is kept in the folder `cache`, by the weights and the image it was made from. Images go through one
    by one: in batches the last digits would hang on what the cache already holds.
    """
    device = next(model.parameters()).device
    encoder = _sha256_of_encoder(model, preprocessing)
    model.eval()
    found = []
    for n, image in enumerate(images, start=1):
        path = cache / f"{hashlib.sha256(encoder + image.tobytes()).hexdigest()}.embedding"
        if not path.exists():
            with torch.inference_mode():
                images_in = model_input(torch.from_numpy(image[None]).to(device), preprocessing)
                embedding = embeddings_before_head(model, images_in)[0]
            write_atomically(path, embedding.cpu().numpy().astype("<f4").tobytes(), WRITER)
        found.append(np.frombuffer(path.read_bytes(), "<f4").astype(np.float64))
        if progress is not None:
            progress(n, len(images))
    return np.stack(found) if found else np.empty((0, model.num_features))


def _sha256_of_encoder(model: Any, preprocessing: Preprocessing) -> bytes:
    """Names all that an embedding depends on beside the image."""
    heads = {id(parameter) for parameter in model.get_classifier().parameters()}
    digest = hashlib.sha256(repr((type(model).__name__, preprocessing.mean, preprocessing.std)).encode())
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in heads:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()


def _linear_head(model: Any) -> nn.Linear:
    head = model.get_classifier()
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise InputError(
            f"recipe probe: {type(model).__name__} does not end in a linear layer with a bias; take another"
            " --arch or --recipe default"
        )
    return head


def _set_head(head: nn.Linear, ridge: RidgeLogit) -> None:
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(ridge.coefficients)[None])
        head.bias.fill_(ridge.intercept)


def _history_png(ridge: RidgeLogit) -> bytes:
    """The cross-validated loss by penalty; the chosen one is marked."""
    from HER2ViTTrainingLib.pages.pictures import panels, png

    figure, (axis,) = panels(1)
    axis.plot(PENALTIES, ridge.losses, marker="o")
    axis.axvline(ridge.penalty, color="grey", linestyle=":", label=f"chosen: {ridge.penalty:.3g}")
    axis.set_xscale("log")
    axis.set_xlabel("ridge penalty")
    axis.set_title("log loss, cross-validated in the training part", fontsize=9)
    axis.legend(fontsize=8)
    return png(figure)
