"""Sampling along an axis, against PyTorch's grid_sample, which has the same kernels."""

import numpy as np
import pytest
import torch

from HER2ViTLib.model.sampling import Sampling


def by_torch(image, rows, columns, mode, padding):
    """(count, count) float64: torch places pixels from -1 to 1, x before y."""
    height, width = image.shape
    y = 2 * (rows.start + rows.step * np.arange(rows.count)) / (height - 1) - 1
    x = 2 * (columns.start + columns.step * np.arange(columns.count)) / (width - 1) - 1
    grid = torch.stack(torch.meshgrid(torch.tensor(y), torch.tensor(x), indexing="ij")[::-1], dim=-1)
    found = torch.nn.functional.grid_sample(
        torch.tensor(image, dtype=torch.float64)[None, None],
        grid[None],
        mode=mode,
        padding_mode=padding,
        align_corners=True,
    )
    return found[0, 0].numpy()


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (Sampling(7.91, 0.371, 60), Sampling(5.23, 0.371, 50)),
        (Sampling(-6.4, 0.77, 50), Sampling(20.5, 0.9, 40)),
        (Sampling(3.0, 1.0, 5), Sampling(0.0, 2.6, 12)),
    ],
    ids=["inside", "over both edges", "on the pixels, and coarser than they are"],
)
def test_samples_are_those_of_the_kernels(rows, columns):
    image = np.random.default_rng(0).normal(100, 30, (40, 37)).astype(np.float32)
    cubic = rows.cubic(columns.cubic(image.T).T)
    np.testing.assert_allclose(cubic, by_torch(image, rows, columns, "bicubic", "border"), atol=1e-4)
    linear = rows.linear(columns.linear(image.T).T)
    np.testing.assert_allclose(linear, by_torch(image, rows, columns, "bilinear", "zeros"), atol=1e-4)


def test_an_image_far_away_is_its_edge_or_nothing():
    image = np.arange(12, dtype=np.float32).reshape(4, 3)
    beyond = Sampling(100.0, 0.5, 3)
    np.testing.assert_allclose(beyond.cubic(image), np.tile(image[-1], (3, 1)), atol=1e-5)
    assert not beyond.linear(image).any()
