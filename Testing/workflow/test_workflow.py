"""What the panel of the HER2ViT module decides, without the application."""

from __future__ import annotations

import tomllib

import pytest

from conftest import REPOSITORY
from HER2ViTLib.messages import InputError
from HER2ViTLib.workflow import dependencies
from HER2ViTLib.workflow.choices import AUTO, Choices, chosen_segment, painting_phase
from HER2ViTLib.workflow.loaded_models import LoadedModels
from HER2ViTLib.workflow.phase_order import moved_up, order_warning, phase_order
from HER2ViTLib.workflow.shown_reading import reading_view
from support.models import a_bundle_folder

READY = Choices(phases=4, segment="Lesion", bundles=("a", ""))


def changed(**changes) -> Choices:
    return Choices(**{**READY.__dict__, **changes})


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        (READY, ""),
        (Choices(), "Choose the phases"),
        (changed(early_phase=3), ""),
        (changed(early_phase=4), "the study has phases 0 to 3"),
        (changed(segment=""), "Choose the lesion's segment"),
        (changed(bundles=("", "  ")), "Choose a model folder"),
    ],
)
def test_run_is_offered_only_when_it_can_work_and_else_says_why(choices, told):
    assert bool(choices.missing()) == bool(told)
    assert told in choices.missing()


def test_early_phase_is_left_to_the_rule_or_taken_as_chosen():
    assert READY.early_phase_override is None
    assert changed(early_phase=0).early_phase_override == 0


@pytest.mark.parametrize(("phases", "early", "phase"), [(4, AUTO, 1), (1, AUTO, 0), (4, 2, 2), (4, 9, 1)])
def test_lesion_is_painted_on_an_enhanced_phase(phases, early, phase):
    assert painting_phase(phases, early) == phase


def test_a_segment_is_chosen_never_guessed():
    assert chosen_segment("", "A", ["A", "B"]) == "A"
    assert chosen_segment("A", "B", ["A", "B"]) == "B"
    assert chosen_segment("A", "", ["A", "B"]) == ""
    assert chosen_segment("A", "B", ["B"]) == "", (
        "A was deleted; the list's own next selection does not count"
    )


SHOWN = {"Red": (True, "Axial"), "Green": (True, "Coronal"), "Yellow": (True, "Sagittal")}


@pytest.mark.parametrize(
    ("views", "plane", "view"),
    [
        (SHOWN, "Axial", "Red"),
        (SHOWN, "Sagittal", "Yellow"),
        ({**SHOWN, "Yellow": (False, "Sagittal")}, "Sagittal", "Red"),
        (
            {"Red": (False, "Axial"), "Green": (False, "Coronal"), "Yellow": (True, "Axial")},
            "Sagittal",
            "Yellow",
        ),
        ({"Green": (False, "Coronal"), "Red": (False, "Axial")}, "Coronal", "Green"),
        ({"Slice4": (False, "Axial")}, "Sagittal", "Slice4"),
        ({}, "Axial", None),
    ],
)
def test_reading_is_shown_on_the_screen_in_the_view_of_its_plane(views, plane, view):
    assert reading_view(views, plane) == view


def test_phases_move_up_one_place():
    assert moved_up("abc", 2) == ["a", "c", "b"]
    assert moved_up("abc", 0) == moved_up("abc", -1) == moved_up("abc", 5) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("names", "by_headers", "order", "rule"),
    [
        (
            ["5: dyn - acquisitionNumber 1", "5: dyn - acquisitionNumber 3", "5: dyn - acquisitionNumber 2"],
            None,
            (0, 2, 1),
            "names",
        ),
        (["Ph10/ax 3d", "Ph2/ax 3d", "Ph1/ax 3d"], None, (2, 1, 0), "names"),
        (["b 2", "a 1"], (1, 0), (1, 0), "headers"),
        (["b 2", "a 1"], None, (0, 1), "user"),  # not alike but for the number
        (["7: dyn 2", "8: dyn 1"], None, (0, 1), "user"),  # two numbers that disagree
        (["dyn", "dyn"], None, (0, 1), "user"),
        (["dyn 1"], None, (0,), "user"),
    ],
)
def test_phases_come_in_time_order_and_the_panel_says_how_it_is_known(names, by_headers, order, rule):
    found = phase_order(names, by_headers)
    assert (found.order, found.rule) == (order, rule)
    assert [warning.code for warning in order_warning(rule)] == (
        ["order_without_times"] if rule == "names" else []
    )


def test_models_load_once_and_again_when_anything_about_them_changes(tmp_path):
    folder = a_bundle_folder(tmp_path / "bundle")
    told = []
    models = LoadedModels()
    choices = Choices(bundles=(str(folder), ""), device="cpu")
    reader = models.reader(choices, told.append)
    assert models.reader(choices, told.append) is reader
    assert told == ["Loading torch and the models..."]
    assert (
        models.reader(Choices(bundles=(str(folder),), device="cpu", method="last"), told.append) is not reader
    )
    a_bundle_folder(tmp_path / "bundle", seed=1)
    assert models.reader(choices, told.append).bundles["task1"].sha256 != reader.bundles["task1"].sha256
    assert len(told) == 3


def test_models_that_fail_to_load_leave_nothing_behind(tmp_path):
    folder = a_bundle_folder(tmp_path / "bundle")
    models = LoadedModels()
    choices = Choices(bundles=(str(folder),), device="cpu")
    models.reader(choices)
    broken = Choices(bundles=(str(tmp_path / "nowhere"),), device="cpu")
    for _ in range(2):
        with pytest.raises(InputError, match="nowhere"):
            models.reader(broken)
    assert models.reader(choices).bundles["task1"].task.name == "zero-vs-rest"


def test_a_model_that_the_panel_has_no_place_for_is_refused_with_a_line(tmp_path):
    folder = a_bundle_folder(tmp_path / "third", "positive-vs-negative")
    choices = Choices(bundles=(str(folder), ""), device="cpu")
    models = LoadedModels()
    for _ in range(2):
        with pytest.raises(InputError, match="third: is a model for positive-vs-negative; the panel takes"):
            models.reader(choices)


def test_slicer_gets_the_packages_that_pip_users_get():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {*dependencies.READING.values(), *dependencies.SESSION.values()} <= set(project["dependencies"])


def test_constraints_pin_what_belongs_to_slicer(monkeypatch):
    versions = {"numpy": "2.1.3", "torch": "2.7.0+cu128"}

    def version(name):
        if name not in versions:
            raise dependencies.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(dependencies.metadata, "version", version)
    assert dependencies.protecting_constraints() == "numpy==2.1.3\ntorch==2.7.0+cu128\n"


def test_only_packages_that_are_not_there_are_asked_for(monkeypatch):
    monkeypatch.setattr(
        dependencies.importlib.util,
        "find_spec",
        lambda module: None if module in ("timm", "torchvision") else object(),
    )
    assert dependencies.missing_packages(dependencies.READING) == ["timm>=1.0.20"]
    assert dependencies.missing_packages(dependencies.SESSION) == []
    assert dependencies.missing_torch()
