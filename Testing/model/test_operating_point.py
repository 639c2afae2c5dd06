"""What a threshold means, and what a bundle says of itself before it is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from HER2ViTLib.her2 import LOW_VS_POSITIVE, ZERO_VS_REST
from HER2ViTLib.messages import InputError
from HER2ViTLib.model.bundle import load_bundle
from HER2ViTLib.model.card import model_card_lines
from HER2ViTLib.model.operating_point import (
    OperatingPoint,
    Rate,
    most_telling,
    operating_point_of,
    threshold_meaning,
    wilson_interval,
)
from HER2ViTLib.sample import demo_bundles
from support.models import a_bundle_folder

ELSEWHERE = OperatingPoint("elsewhere", "external", Rate(84, 100), Rate(41, 60))
SMALL = OperatingPoint("small", "external", Rate(1, 1), Rate(0, 0))
VALIDATION = OperatingPoint("validation", "validation", Rate(228, 260), Rate(50, 55))
FOLD = OperatingPoint("out-of-fold", "out-of-fold", Rate(30, 40), Rate(9, 10))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (84, 100, 0.7557973061, 0.8990471151),
        (0, 7, 0, 0.3543304351),
        (7, 7, 0.6456695649, 1),
        (1, 1, 0.2065493144, 1),
        (228, 260, 0.8314160184, 0.9114543435),
    ],
)
def test_the_interval_is_rs_score_interval(successes, n, low, high):
    """R 4: prop.test(successes, n, correct = FALSE)$conf.int"""
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=1e-9)


def test_the_meaning_names_rates_numbers_interval_and_cases():
    assert threshold_meaning(ZERO_VS_REST, ELSEWHERE) == (
        "sensitivity for low/positive 84% (84 of 100; 95 % interval 76% to 90%), specificity 68% (41 of 60;"
        " 95 % interval 56% to 79%); on external cases (elsewhere)"
    )
    assert "optimistic" in threshold_meaning(ZERO_VS_REST, VALIDATION)
    assert "held out from this model" in threshold_meaning(LOW_VS_POSITIVE, FOLD)
    assert "specificity no such case" in threshold_meaning(LOW_VS_POSITIVE, SMALL)
    assert threshold_meaning(LOW_VS_POSITIVE, None).startswith("unknown")


def test_external_cases_tell_more_than_held_out_ones_and_those_more_than_the_thresholds_own():
    assert most_telling([VALIDATION, SMALL, FOLD, ELSEWHERE]) is ELSEWHERE
    assert most_telling([VALIDATION, FOLD]) is FOLD
    assert most_telling([VALIDATION]).optimistic
    assert most_telling([]) is None


def test_a_bundle_keeps_its_operating_points(tmp_path):
    folder = a_bundle_folder(tmp_path / "bundle", operating_points=(VALIDATION, ELSEWHERE, SMALL))
    assert load_bundle(folder).settings.operating_points == (VALIDATION, ELSEWHERE, SMALL)
    told = json.loads((folder / "config.json").read_text())["her2vit"]["operating_point"]["elsewhere"]
    assert told["cases"] == "external"
    assert told["sensitivity"]["value"] == 0.84
    assert told["specificity"]["n"] == 60


def test_a_bundle_of_an_earlier_version_has_none():
    assert load_bundle(demo_bundles()[0]).settings.operating_points == ()


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"cases": "training", "sensitivity": {"right": 1, "n": 2}, "specificity": {"right": 1, "n": 2}},
        {"cases": "external", "sensitivity": {"right": 3, "n": 2}, "specificity": {"right": 1, "n": 2}},
        {"cases": "external", "sensitivity": {"right": 0.5, "n": 2}, "specificity": {"right": 1, "n": 2}},
        {"cases": "external", "sensitivity": {"right": 1, "n": 2}},
        {"cases": ["external"], "sensitivity": {"right": 1, "n": 2}, "specificity": {"right": 1, "n": 2}},
    ],
)
def test_counts_that_cannot_be_are_refused_in_one_line(content):
    with pytest.raises(InputError) as error:
        operating_point_of("elsewhere", content)
    assert "config.json" in str(error.value)
    assert "\n" not in str(error.value)


# The card


def test_the_card_says_trained_on_what_validated_how_and_the_licence():
    assert model_card_lines(demo_bundles()[0]) == (
        "Task 1: HER2-zero vs low/positive",
        "Demo model: trained on simulated images; for trying the software only. It knows nothing of real"
        " patients.",
        "Trained on 1257 cases, 1018 of them low/positive.",
        "Validated on simulated-test (228 cases, 170 of them low/positive): AUC 0.84.",
        "Licence: the model does not say.",
    )


def test_the_card_tells_the_most_telling_operating_point(tmp_path):
    folder = a_bundle_folder(tmp_path / "bundle", operating_points=(VALIDATION, FOLD))
    assert model_card_lines(folder)[-2] == f"Threshold: {threshold_meaning(ZERO_VS_REST, FOLD)}."


def test_the_card_of_a_bundle_that_says_little(tmp_path):
    assert model_card_lines(a_bundle_folder(tmp_path / "bundle")) == (
        "Task 1: HER2-zero vs low/positive",
        "Trained on: the model does not say.",
        "Validated on: no cases but those it was made with, as far as the model says.",
        "Licence: the model does not say.",
    )


def test_the_licence_and_a_notice_of_many_lines(tmp_path):
    folder = a_bundle_folder(tmp_path / "bundle")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["license"] = "cc-by-4.0"
    config["her2vit"]["notice"] = "Only for\n\x1b[31mtests"
    (folder / "config.json").write_text(json.dumps(config))
    lines = model_card_lines(folder)
    assert lines[-1] == "Licence: cc-by-4.0."
    assert lines[1] == "Only for [31mtests"


def test_no_bundle_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"her2vit": {"task": "age"}}')
    for folder in (tmp_path, tmp_path / "nowhere", tmp_path / "config.json"):
        with pytest.raises(InputError) as error:
            model_card_lines(folder)
        assert str(error.value).count(str(folder)) == 1
        assert "\n" not in str(error.value)


def test_the_card_needs_no_torch():
    program = (
        "import sys; from HER2ViTLib.model.card import model_card_lines;"
        " print(sorted({'torch', 'timm', 'cv2', 'SimpleITK'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
