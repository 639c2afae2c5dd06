"""Makes what is bundled in HER2ViT/HER2ViTLib/data: the sample case and the two demo models, from the simulation alone.

    make data        (about twenty minutes on two cores; at most once per release: the binaries stay in the history)

The demo models are a small member of the ViT-Tiny family (96 wide, 6 blocks, 3 heads), trained from scratch on simulated images. They
are for trying the software only.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import timm
import torch

from HER2ViTLib import __version__
from HER2ViTLib.bundle import Settings, save_bundle, sigmoid
from HER2ViTLib.her2 import TASKS, HER2Status, Task
from HER2ViTLib.preprocessing import SquarePreprocessing
from HER2ViTLib.properties import case_properties
from HER2ViTTrainingLib.evaluation import auc, platt_calibration, youden_threshold
from HER2ViTTrainingLib.simulation import PROTOCOLS, simulate_case, write_sample
from HER2ViTTrainingLib.training import RECIPES, Labelled, Recipe, Trainer, predict

DATA = Path(__file__).resolve().parent.parent / "HER2ViT" / "HER2ViTLib" / "data"
ARCHITECTURE, MODEL_ARGS = "vit_tiny_patch16_224", {"embed_dim": 96, "depth": 6, "num_heads": 3}
NOTICE = "Demo model: trained on simulated images; for trying the software only."
SEED = 2025
PRE_PHASE = 0
SCALES = (1.0, 0.75, 0.5)
PREPROCESSING = SquarePreprocessing()


@dataclass(frozen=True)
class Case:
    """What training needs of one simulated case: the patch (H, W), the status, the scale-free properties."""

    image: np.ndarray
    status: str
    properties: dict[str, float]


def one_case(index: int) -> Case:
    """Case `index`. Protocols, voxel sizes and readers alternate, so that the models have seen each."""
    cv2.setNumThreads(1)
    protocol = PROTOCOLS["AB"[index % 2]].scaled(SCALES[index // 2 % len(SCALES)])
    case = simulate_case(index, SEED, protocol, phases=(PRE_PHASE, protocol.early_phase))
    pre, early = case.phases
    roi = case.rois[("roi_a1", "roi_b1")[index // 6 % 2]]
    patch = PREPROCESSING.apply(early, roi)
    properties = case_properties(early, pre, roi, patch.slice)
    return Case(patch.image, case.her2_status, properties)


def train_bundle(task: Task, cases: list[Case], recipe: Recipe, folder: Path) -> None:
    """Trains, calibrates and saves one task's demo model; on one thread, for the tasks run side by side."""
    torch.set_num_threads(1)
    labels = np.array([-1 if (label := task.label(HER2Status(case.status))) is None else label for case in cases])
    chosen = np.flatnonzero(labels >= 0)
    images, labels = np.stack([cases[n].image for n in chosen]), labels[chosen]
    part = np.random.default_rng(SEED).permutation(len(labels)) / len(labels)
    rows = {"train": part < 0.75, "validation": (part >= 0.75) & (part < 0.875), "test": part >= 0.875}
    sets = {name: Labelled(images[row], labels[row]) for name, row in rows.items()}
    torch.manual_seed(SEED)
    # Half of the patches are dropped while training: twice as fast, and it keeps a small cohort from being learnt by heart.
    model = timm.create_model(ARCHITECTURE, num_classes=1, patch_drop_rate=0.5, **MODEL_ARGS)
    trainer = Trainer(model, sets["train"], sets["validation"], PREPROCESSING, recipe, SEED)
    model = trainer.run(report=lambda epoch: say(f"{task.name} {epoch}"))
    # Calibrated as it will be stored: weights rounded to half precision, run in single.
    model = model.half().float()
    logits = {name: predict(model, patches.images, PREPROCESSING) for name, patches in sets.items()}
    calibration = platt_calibration(sets["validation"].labels, logits["validation"])
    scores = np.array([sigmoid(calibration.slope * logit + calibration.intercept) for logit in logits["validation"]])
    found = {name: auc(patches.labels, logits[name]) for name, patches in sets.items()}
    in_training = [cases[n].properties for n in chosen[rows["train"]]]
    settings = Settings(
        task=task,
        preprocessing=PREPROCESSING,
        threshold=youden_threshold(sets["validation"].labels, scores),
        calibration=calibration,
        prevalence=float(labels[~rows["test"]].mean()),
        training_percentiles={name: tuple(np.percentile([p[name] for p in in_training], (1, 99)).tolist()) for name in in_training[0]},
        notice=NOTICE,
        provenance={
            "made_by": "Testing/make_bundled_data.py",
            "seed": SEED,
            "recipe": asdict(recipe),
            "cases": {name: len(patches.labels) for name, patches in sets.items()},
            "auc": {name: round(value, 4) for name, value in found.items()},
            "versions": {"her2vit": __version__, "torch": torch.__version__, "timm": timm.__version__},
        },
    )
    lines = [f"- {name}: {len(sets[name].labels)} simulated cases, AUC {value:.3f}" for name, value in found.items()]
    card = "\n".join([
        f"# Demo model, {task.title}",
        "",
        f"**{NOTICE}** It knows nothing of real patients; whatever it says of a real image has no meaning.",
        "",
        f"A Vision Transformer (timm `{ARCHITECTURE}`, {MODEL_ARGS}) trained from scratch on early-phase slices of simulated breast DCE-MRI,",
        f"protocols A and B. The positive class is {task.positive_label}. Threshold (Youden index) and Platt calibration were fixed on the",
        "validation cases, whose figures are therefore optimistic; the test cases were used for nothing else.",
        "",
        *lines,
    ])
    save_bundle(folder, model.half(), ARCHITECTURE, MODEL_ARGS, settings, card)
    say(f"{task.name}: AUC {found}, threshold {settings.threshold:.3f}, {folder}")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--cases", type=int, default=2600)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write_sample(options.out)
    with ProcessPoolExecutor(2) as pool:
        cases = list(pool.map(one_case, range(options.cases), chunksize=20))
    say(f"{len(cases)} cases simulated")
    # From scratch there is no pretrained layer to spare: a higher rate, the same for all.
    recipe = replace(RECIPES["default"], epochs=options.epochs, learning_rate=1e-3, layer_decay=None)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        folders = [options.out / f"demo_{task.name.replace('-', '_')}" for task in TASKS.values()]
        list(pool.map(train_bundle, TASKS.values(), [cases] * 2, [recipe] * 2, folders))


if __name__ == "__main__":
    main()
