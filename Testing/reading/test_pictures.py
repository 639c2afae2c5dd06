"""The report's pictures: what lies where, true to size."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from HER2ViTLib.imaging.volume import Geometry, Volume
from HER2ViTLib.lesion.masks import Roi
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.reading.pictures import grey_window, reading_pictures
from HER2ViTLib.reading.reader import Reader
from HER2ViTLib.reading.report import report_html
from HER2ViTLib.study.study import study_from_volumes
from support.models import a_bundle_folder

SHAPE = (3, 60, 100)
GEOMETRY = Geometry(SHAPE, (0.8, 1.2, 4.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
LESION = (slice(1, 2), slice(20, 30), slice(60, 76))


def decoded(picture) -> np.ndarray:
    """Red, green, blue of each pixel."""
    return cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """A reading of a lesion in a wide image, its study and its outline."""
    rng = np.random.default_rng(0)
    mask = np.zeros(SHAPE, bool)
    mask[LESION] = True
    pre = rng.uniform(80, 120, SHAPE).astype(np.float32)
    study = study_from_volumes([Volume(pre, GEOMETRY), Volume(pre + 300 * mask.astype(np.float32), GEOMETRY)])
    folder = a_bundle_folder(tmp_path_factory.mktemp("pictures") / "bundle")
    return Reader([load_bundle(folder)], "cpu").read(study, Roi(mask)), study, mask


@pytest.fixture(scope="module")
def pictures(read):
    return reading_pictures(*read)


def test_one_picture_of_the_slice_and_one_of_each_task(pictures):
    assert len(pictures) == 2
    assert "slice 1" in pictures[0].caption
    assert pictures[1].caption.startswith("Task 1: HER2-zero vs low/positive: attention (rollout), slice 1")


def test_pixels_keep_their_size_in_mm(pictures):
    height, width, _ = decoded(pictures[0]).shape
    assert width / height == pytest.approx((100 * 0.8) / (60 * 1.2), rel=0.01)


def test_the_outline_is_drawn_around_the_lesion_and_the_input_framed(pictures, read):
    pixels = decoded(pictures[0])
    height, width, _ = pixels.shape
    red, green, blue = np.moveaxis(pixels, -1, 0)
    rows, columns = np.nonzero((green > red + 60) & (blue > red + 60))  # turquoise
    j_scale = SHAPE[1] / height
    i_scale = SHAPE[2] / width
    assert [rows.min() * j_scale, rows.max() * j_scale] == pytest.approx([20, 30], abs=0.6)
    assert [columns.min() * i_scale, columns.max() * i_scale] == pytest.approx([60, 76], abs=0.6)
    rows, columns = np.nonzero((red > blue + 60) & (green > blue + 60))  # yellow
    patch = read[0].tasks["task1"].patch
    left, top, _ = patch.pixel_to_index @ (-0.5, -0.5, 1)
    right, bottom, _ = patch.pixel_to_index @ (63.5, 63.5, 1)
    assert [columns.min() * i_scale, columns.max() * i_scale] == pytest.approx(
        [left + 0.5, right + 0.5], abs=0.6
    )
    assert [rows.min() * j_scale, rows.max() * j_scale] == pytest.approx([top + 0.5, bottom + 0.5], abs=0.6)


def test_the_attention_lies_where_it_is_strongest(read):
    reading, study, mask = read
    task = reading.tasks["task1"]
    attention = np.zeros_like(task.attention_map)
    attention[10:14, 40:44] = 1
    reading = replace(reading, tasks={"task1": replace(task, attention_map=attention)})
    pixels = decoded(reading_pictures(reading, study, mask)[1])
    height, width, _ = pixels.shape
    yellow = pixels[:, :, 0] - pixels[:, :, 2]
    row, column = np.unravel_index(cv2.blur(yellow.astype(np.float32), (9, 9)).argmax(), yellow.shape)
    assert [row * 64 / height, column * 64 / width] == pytest.approx([12, 42], abs=2)


def test_a_small_bright_lesion_is_no_white_patch():
    image = np.linspace(0, 100, 10_000).reshape(100, 100)
    mask = np.zeros((100, 100), bool)
    mask[50, 50:54] = True
    image[mask] = (500, 600, 700, 800)
    assert grey_window(image, mask)[1] == pytest.approx(np.percentile((500, 600, 700, 800), 95))
    assert grey_window(image, np.zeros_like(mask))[1] < 101


def test_the_page_holds_the_pictures_in_itself(read, pictures):
    page = report_html(read[0], pictures).decode()
    assert page.count('src="data:image/png;base64,') == 2
    assert all(picture.caption in page for picture in pictures)
    assert "http" not in page.replace("http-equiv", "")
