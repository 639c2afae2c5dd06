"""The three attention methods against plain float64 references, and the statistics of a map."""

import numpy as np
import pytest
import timm
import torch

from HER2ViTLib.messages import InputError
from HER2ViTLib.model import attention
from HER2ViTLib.model.attention import attend, attention_statistics, recorded_attention, rollout

MODELS = {
    "cls": dict(embed_dim=48, depth=4, num_heads=3),
    "wide": dict(embed_dim=48, depth=3, num_heads=2, img_size=(48, 96)),
    "registers": dict(embed_dim=48, depth=3, num_heads=3, reg_tokens=4),
    "no_cls": dict(embed_dim=48, depth=3, num_heads=3, class_token=False, global_pool="avg"),
    "cls_but_mean_pooled": dict(embed_dim=48, depth=3, num_heads=3, global_pool="avg"),
}


def a_model(kind):
    torch.manual_seed(0)
    arguments = {"img_size": 64, **MODELS[kind]}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=1, **arguments).eval().requires_grad_(False)
    with torch.no_grad():
        for block in model.blocks:  # sharper attention than an untrained model has
            block.attn.qkv.weight.mul_(8)
        model.head.weight.normal_()
    return model


def plain_attentions(model, images):
    """Every block's attention by hand, in float64, with the logits and the gradients of their sum."""
    model = model.double()
    x = model.norm_pre(model._pos_embed(model.patch_embed(images.double()))).requires_grad_()
    attentions = []
    for block in model.blocks:
        b, n, c = x.shape
        q, k, v = (
            block.attn.qkv(block.norm1(x)).reshape(b, n, 3, block.attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        )
        a = ((q / q.shape[-1] ** 0.5) @ k.transpose(-2, -1)).softmax(-1)
        attentions.append(a)
        x = x + block.attn.proj((a @ v).transpose(1, 2).reshape(b, n, c))
        x = x + block.mlp(block.norm2(x))
    logits = model.forward_head(model.norm(x)).squeeze(-1)
    gradients = torch.autograd.grad(logits.sum(), attentions)
    return [a.detach().numpy() for a in attentions], [g.numpy() for g in gradients], logits.detach().numpy()


def plain_map(model, kind, attentions, gradients, logits, method, cutoff):
    n = attentions[0].shape[-1]
    prefix = model.num_prefix_tokens
    matrix = np.broadcast_to(np.eye(n), (len(attentions[0]), n, n))
    for a, g in zip(attentions, gradients):
        if method == "rollout":
            step = a.mean(1) + np.eye(n)
            matrix = (step / step.sum(-1, keepdims=True)) @ matrix
        elif method == "last":
            matrix = a.mean(1)
        else:
            sign = np.where(logits >= cutoff, 1, -1)[:, None, None, None]
            matrix = matrix + np.maximum(sign * g * a, 0).mean(1) @ matrix
    rows = matrix[:, prefix:].mean(1) if kind in ("no_cls", "cls_but_mean_pooled") else matrix[:, 0]
    return rows[:, prefix:].reshape(len(rows), *model.patch_embed.grid_size)


@pytest.mark.parametrize("method", attention.METHODS)
@pytest.mark.parametrize("kind", MODELS)
def test_each_method_equals_a_plain_float64_reference(kind, method):
    model = a_model(kind)
    size = (48, 96) if kind == "wide" else (64, 64)
    images = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(1))
    logits, maps = attend(model, images, method, cutoff := float(model(images).median()))
    assert maps.shape == (3, *model.patch_embed.grid_size)
    attentions, gradients, plain_logits = plain_attentions(model, images)
    # The middle image lies on the cut-off itself: decide its side as single precision did.
    plain_logits = np.where(np.isclose(plain_logits, cutoff, atol=1e-4), logits.numpy(), plain_logits)
    expected = plain_map(model, kind, attentions, gradients, plain_logits, method, cutoff)
    assert np.abs(logits.numpy() - plain_logits).max() < 1e-4
    scale = max(1.0, expected.max())
    assert np.abs(maps.numpy() - expected).max() / scale < 1e-5


def test_gradient_explains_slices_by_the_side_of_their_case():
    model = a_model("cls")
    images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    logits, _ = attend(model, images)
    cutoff = float(logits[:2].mean()) + 1e-3  # missed by the first case, whose two slices lie on both sides
    side_of_case = [False, False, *[bool(logits[2:].mean() >= cutoff)] * 3]
    assert (logits >= cutoff).tolist() != side_of_case
    _, maps = attend(model, images, "gradient", cutoff, [2, 3])
    for image, is_reached, found in zip(images, side_of_case, maps, strict=True):
        _, (expected,) = attend(model, image[None], "gradient", -1e9 if is_reached else 1e9)
        assert torch.allclose(found, expected, atol=1e-5 * max(1.0, float(expected.max())))


def test_rollout_rows_sum_to_one_and_identity_gives_identity():
    torch.manual_seed(2)
    attentions = [torch.randn(2, 10, 10).softmax(-1) for _ in range(5)]
    eye = torch.eye(10).expand(2, 10, 10)
    assert torch.allclose(rollout(attentions, eye).sum(-1), torch.ones(2, 10), atol=1e-6)
    assert torch.allclose(rollout([eye] * 4, eye), eye)
    assert torch.allclose(rollout(attentions, eye)[:, :1], rollout(attentions, eye[:, :1]), atol=1e-6)


def test_recording_sees_every_block_and_leaves_the_model_as_it_was():
    model = a_model("cls")
    for block in model.blocks:
        block.attn.fused_attn = True
    images = torch.randn(2, 3, 64, 64)
    before = model(images)
    with recorded_attention(model) as recorded:
        model(images)
    assert len(recorded) == 4
    assert all(block.attn.fused_attn for block in model.blocks)
    assert torch.equal(model(images), before)
    assert len(recorded) == 4


def test_a_cnn_is_refused_with_one_line():
    with pytest.raises(InputError, match="ResNet: has no attention"):
        attend(timm.create_model("resnet18", num_classes=1), torch.zeros(1, 3, 64, 64))


def test_statistics_of_known_maps():
    even = attention_statistics(np.full((4, 6), 0.1), np.eye(4, 6), 25.0, "rollout")
    assert even.entropy == pytest.approx(1)
    assert even.share_in_roi == pytest.approx(4 / 24)
    assert (even.foci, even.focal_area_mm2) == (1, 24 * 25.0)
    peaks = np.full((6, 6), 0.01)
    peaks[[0, 1], [0, 1]] = 1.0  # touch at a corner: one focus
    peaks[4, 4:6] = 0.5  # exactly half of the maximum counts
    peaks[4, 1] = 0.9  # a single patch is no focus
    found = attention_statistics(peaks, np.zeros((6, 6)), 2.0, "last")
    assert (found.foci, found.focal_area_mm2, found.share_in_roi) == (2, 8.0, 0.0)
    one = np.zeros((3, 3))
    one[1, 1] = 5
    assert attention_statistics(one, one / 5, 1.0, "last").entropy == 0
    assert attention_statistics(np.zeros((3, 3)), np.zeros((3, 3)), 1.0, "gradient").entropy == pytest.approx(
        1
    )


def test_display_map_peaks_at_one():
    grid = np.array([[0.0, 0.2], [0.4, 0.1], [0.0, 0.0]])
    shown = attention.display_map(grid, (96, 64))
    assert shown.shape == (96, 64)
    assert shown.max() == pytest.approx(1, abs=0.02)  # the peak lies between pixels
    assert shown.min() >= 0
    assert np.unravel_index(shown.argmax(), shown.shape)[0] == pytest.approx(48, abs=16)
