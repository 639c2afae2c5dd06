"""Training: resumes with the same weights, learns a plain signal, keeps to the published schedule."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch

from HER2ViTLib.messages import InputError
from HER2ViTLib.model.preprocessing import SquarePreprocessing, StudyPreprocessing
from HER2ViTTrainingLib.stats.roc import auc
from HER2ViTTrainingLib.training import augmentation
from HER2ViTTrainingLib.training.labelled import Labelled, one_slice_each
from HER2ViTTrainingLib.training.recipes import RECIPES, learning_rate_factor
from HER2ViTTrainingLib.training.trainer import Trainer, case_logits, predict
from support.models import NEEDS_GPU, TINY

SIZE = (64, 64)


def cases(count, seed):
    """Discs, bright in the middle (1) or at the rim (0), anywhere, of any size, on noise."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 2)
    y, x = np.indices(SIZE)
    images = rng.normal(0.3, 0.05, (count, *SIZE))
    for image, label in zip(images, labels):
        cy, cx = rng.uniform(24, 40, 2)
        radius = rng.uniform(10, 18)
        distance = np.hypot(y - cy, x - cx) / radius
        profile = 1 - distance if label else distance
        image += np.where(distance < 1, 0.3 + 0.4 * (profile - (1 / 3 if label else 2 / 3)), 0)
    return one_slice_each(images.astype(np.float32), labels)


def a_trainer(
    recipe="default",
    fingerprint="x",
    seed=1,
    count=48,
    training=None,
    validation=None,
    device="cpu",
    **changes,
):
    torch.manual_seed(seed)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=1, **{**TINY, "patch_size": 8})
    preprocessing = StudyPreprocessing(size=SIZE) if recipe == "study" else SquarePreprocessing(size=SIZE)
    return Trainer(
        model,
        training=training or cases(count, 1),
        validation=validation or cases(24, 2),
        preprocessing=preprocessing,
        recipe=replace(RECIPES[recipe], **changes),
        seed=seed,
        device=device,
        fingerprint=fingerprint,
    )


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("recipe", ["default", "study"])
def test_a_stopped_training_goes_on_to_the_same_weights(recipe, tmp_path):
    through = a_trainer(recipe, epochs=4)
    expected = weights(through.run())
    stopped = a_trainer(recipe, epochs=4)
    checkpoint = tmp_path / "checkpoint.safetensors"

    def stop(done, total, text=""):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        # after the second epoch, before its checkpoint: that epoch is done again
        stopped.run(checkpoint, stop)
    resumed = a_trainer(recipe, epochs=4)
    assert same(weights(resumed.run(checkpoint)), expected)
    assert resumed.history == through.history
    assert same(weights(a_trainer(recipe, epochs=4).run(checkpoint)), expected)  # nothing left to do


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
import torch
torch.set_num_threads(1)
from test_training import a_trainer
def tell(done, total, text=""):
    print(done, flush=True)
a_trainer(epochs=30, patience=99).run(Path({checkpoint!r}), tell)
"""


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    """A real kill at a random moment, while the run is under way."""
    checkpoint = tmp_path / "checkpoint.safetensors"
    code = KILLED.format(path=sys.path, checkpoint=str(checkpoint))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(4):  # 0, 1, 2, 3 epochs
        process.stdout.readline()
    time.sleep(np.random.default_rng(os.getpid()).uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        resumed = a_trainer(epochs=30, patience=99)
        found = weights(resumed.run(checkpoint))
        through = a_trainer(epochs=30, patience=99)
        assert same(found, weights(through.run()))
        assert resumed.history == through.history
    finally:
        torch.set_num_threads(threads)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".writing-")] == [
        "checkpoint.safetensors"
    ]


def test_progress_is_told_of_every_epoch_and_where_a_run_resumes(tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    told = []
    trainer = a_trainer(epochs=2)
    trainer.run(checkpoint, lambda done, total, text="": told.append((done, total, text)))
    assert told == [(0, 2, ""), *((epoch.epoch, 2, str(epoch)) for epoch in trainer.history)]
    assert f"validation loss {trainer.history[0].validation_loss:.3f}, AUC" in told[1][2]
    told.clear()
    a_trainer(epochs=2).run(checkpoint, lambda done, total, text="": told.append((done, total, text)))
    assert told == [(2, 2, "")]


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    a_trainer(epochs=1).run(checkpoint)
    with pytest.raises(InputError, match="other cases or settings"):
        a_trainer(epochs=1, fingerprint="y").run(checkpoint)
    checkpoint.write_bytes(b"\x80\x04not a checkpoint")
    with pytest.raises(InputError, match="is not a checkpoint"):
        a_trainer(epochs=1).run(checkpoint)


def test_it_learns_a_plain_signal():
    trainer = a_trainer(count=128, epochs=40, learning_rate=2e-3, layer_decay=None)
    model = trainer.run()
    fresh = cases(100, 9)
    assert auc(fresh.labels, predict(model, fresh.images, trainer.preprocessing)) > 0.9


def test_slices_of_a_case_weigh_as_one_and_are_averaged():
    """Every slice twice, three times or once: the same step as with one each, and the same validation."""
    part = cases(8, 1)
    times = np.array([1, 2, 3, 1, 2, 3, 1, 2])
    often = np.repeat(np.arange(8), times)
    repeated = Labelled(part.images[often], often, part.labels)
    assert repeated.weights.sum() == pytest.approx(8)
    values = np.arange(8.0)
    assert repeated.per_case(values[often]) == pytest.approx(values)
    changes = {"augmented": False, "weighted_classes": True, "epochs": 1, "batch": 100}
    trainers = [a_trainer(training=some, validation=some, **changes) for some in (part, repeated)]
    models = [trainer.run() for trainer in trainers]
    logits = [case_logits(model, part, trainers[0].preprocessing) for model in models]
    assert logits[0] == pytest.approx(logits[1], abs=1e-4)
    histories = [trainer.history[0] for trainer in trainers]
    assert histories[0].validation_loss == pytest.approx(histories[1].validation_loss, abs=1e-4)
    assert histories[0].train_loss == pytest.approx(histories[1].train_loss, abs=1e-4)


def test_one_class_is_refused():
    part = cases(8, 1)
    single = replace(part, labels=part.labels * 0)
    with pytest.raises(InputError, match="validation part holds a single class"):
        Trainer(
            timm.create_model("vit_tiny_patch16_224", num_classes=1, **TINY),
            training=part,
            validation=single,
            preprocessing=SquarePreprocessing(),
            recipe=RECIPES["default"],
            seed=1,
        )


def test_study_schedule_is_pytorchs_cosine_annealing_and_rises_again():
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for epoch in range(35):
        for step in (0, 6):
            found = learning_rate_factor(RECIPES["study"], epoch * 7 + step, 7)
            assert found == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()
    assert learning_rate_factor(RECIPES["study"], 20 * 7, 7) == pytest.approx(1)


def test_default_schedule_warms_up_and_ends_near_zero():
    recipe = RECIPES["default"]
    factors = [learning_rate_factor(recipe, step, 10) for step in range(10 * recipe.epochs)]
    peak = int(np.argmax(factors))
    assert peak == pytest.approx(recipe.warm_up * len(factors), abs=1)
    assert np.all(np.diff(factors[:peak]) > 0)
    assert np.all(np.diff(factors[peak:]) <= 0)
    assert factors[-1] < 1e-3


def test_augmentation_moves_every_image_on_its_own_and_repeats():
    images = torch.from_numpy(cases(1, 3).images)[:, None].expand(6, 1, *SIZE).contiguous()
    first, again = (augmentation.augment(images, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert len({round(float(image.std()), 6) for image in first}) == 6
    assert first.shape == images.shape
    assert float((first.mean() - images.mean()).abs()) < 0.05


@NEEDS_GPU
def test_a_gpu_sees_the_same_transforms(monkeypatch):
    images = torch.from_numpy(cases(6, 3).images)[:, None]

    def on(device):
        return augmentation.augment(images.to(device), torch.Generator().manual_seed(5)).cpu()

    noisy = on("cuda")
    assert torch.equal(noisy, on("cuda"))
    monkeypatch.setattr(augmentation, "NOISE", 0)
    plain = on("cuda")
    assert torch.allclose(plain, on("cpu"), atol=1e-4)
    grain = noisy - plain
    assert abs(float(grain.mean())) < 1e-3
    assert len({round(float(image.std()), 6) for image in grain}) == len(images)


@NEEDS_GPU
def test_a_gpu_trains_in_mixed_precision():
    """Matrices in bfloat16, weights and their gradients in float32, the same results as in float32."""
    seen = set()
    changes = {"count": 128, "epochs": 40, "learning_rate": 2e-3, "layer_decay": None}
    trainer = a_trainer(device="cuda", **changes)

    def look(module, _, output):
        if module.training:
            gradient = module.weight.grad
            seen.add((output.dtype, module.weight.dtype, gradient if gradient is None else gradient.dtype))

    for block in trainer.model.blocks:
        block.mlp.fc1.register_forward_hook(look)
    model = trainer.run()
    assert seen == {(torch.bfloat16, torch.float32, None), (torch.bfloat16, torch.float32, torch.float32)}
    losses = [epoch.train_loss for epoch in trainer.history]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.7 * losses[0]
    fresh = cases(100, 9)
    assert auc(fresh.labels, predict(model, fresh.images, trainer.preprocessing)) > 0.9


@NEEDS_GPU
def test_a_stopped_training_goes_on_on_a_gpu(tmp_path):
    checkpoint = tmp_path / "checkpoint.safetensors"
    through = a_trainer(device="cuda", epochs=4)
    through.run()

    def stop(done, total, text=""):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_trainer(device="cuda", epochs=4).run(checkpoint, stop)
    resumed = a_trainer(device="cuda", epochs=4)
    resumed.run(checkpoint)
    assert len(resumed.history) == 4
    for ours, other in zip(resumed.history, through.history):
        assert ours.train_loss == pytest.approx(other.train_loss, abs=0.01)
