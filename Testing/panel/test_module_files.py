"""The two modules as Slicer sees them: files, lists, names that must agree. Slicer itself is not needed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from conftest import REPOSITORY
from HER2ViTLib.her2 import TWO_STEP
from HER2ViTLib.model import attention
from HER2ViTLib.workflow.choices import Choices
from HER2ViTLib.workflow.panel_state import PanelState
from HER2ViTLib.workflow.shown_reading import Inputs

MODULES = ("HER2ViT", "HER2ViTTraining")
CHEAP = {
    "DICOMLib",
    "codecs",
    "contextlib",
    "dataclasses",
    "importlib",
    "json",
    "logging",
    "os",
    "pathlib",
    "qt",
    "slicer",
    "subprocess",
    "sys",
    "tempfile",
    "time",
    "types",
    "typing",
    "unittest",
    "vtk",
}
"""What a module file may import at start-up: part of Python, or loaded by Slicer already."""


def code_of(module: str) -> list[Path]:
    """The module file, and the folder its classes live in."""
    return [
        REPOSITORY / module / f"{module}.py",
        *sorted((REPOSITORY / module / f"{module}Lib" / "panel").rglob("*.py")),
    ]


def tree_of(module: str) -> ast.Module:
    trees = [ast.parse(path.read_text()) for path in code_of(module)]
    return ast.Module([statement for tree in trees for statement in tree.body], [])


def ui_of(module: str) -> ElementTree.Element:
    return ElementTree.parse(REPOSITORY / module / "Resources" / "UI" / f"{module}.ui").getroot()


def cmake_list(module: str, name: str) -> list[str]:
    text = (REPOSITORY / module / "CMakeLists.txt").read_text()
    return (
        re.search(rf"set\({name}\s(.*?)\)", text, re.DOTALL)
        .group(1)
        .replace("${MODULE_NAME}", module)
        .split()
    )


def extension(name: str) -> str:
    return re.search(rf'set\({name} "([^"]+)"\)', (REPOSITORY / "CMakeLists.txt").read_text()).group(1)


def parameter_fields() -> dict[str, ast.AnnAssign]:
    node = next(
        n for n in tree_of("HER2ViT").body if isinstance(n, ast.ClassDef) and n.name == "HER2ViTParameterNode"
    )
    return {field.target.id: field for field in node.body if isinstance(field, ast.AnnAssign)}


@pytest.mark.parametrize("module", MODULES)
def test_cmake_lists_name_every_file_of_the_module_one_by_one(module):
    folder = REPOSITORY / module
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.name.startswith(".")
        and path.name != "CMakeLists.txt"
    }
    scripts = cmake_list(module, "MODULE_PYTHON_SCRIPTS")
    resources = cmake_list(module, "MODULE_PYTHON_RESOURCES")
    assert sorted(scripts) == sorted(path for path in there if path.endswith(".py"))
    assert sorted(resources) == sorted(path for path in there if not path.endswith(".py"))


@pytest.mark.parametrize("module", MODULES)
def test_nothing_but_the_module_lies_where_slicer_looks_for_modules(module):
    assert [path.name for path in (REPOSITORY / module).glob("*.py")] == [f"{module}.py"]


def test_extension_metadata_agrees_with_the_files():
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    assert re.search(r"project\s*\(\s*(\w+)", text).group(1) == "HER2ViT"
    assert extension("EXTENSION_DEPENDS") == "PyTorch"
    for name in ("DESCRIPTION", "KEYWORDS"):
        assert ";" not in extension(f"EXTENSION_{name}"), "to CMake a list: only its head would be shown"
    assert re.findall(r"add_subdirectory\((\w+)\)", text) == list(MODULES)
    for url in (extension("EXTENSION_ICONURL"), *extension("EXTENSION_SCREENSHOTURLS").split()):
        home, _, path = url.partition("/main/")
        assert home == extension("EXTENSION_HOMEPAGE").replace("github.com", "raw.githubusercontent.com")
        assert (REPOSITORY / path).is_file(), f"{path}, which {url} shows"


def test_extension_index_entry():
    """The keys of the Extension Index's schema; 'Quantification' is one of its accepted categories."""
    entry = json.loads((REPOSITORY / "Resources" / "HER2ViT.json").read_text())
    allowed = {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "scm_revision",
        "scm_url",
        "tier",
    }
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed
    assert entry["category"] == "Quantification"
    assert entry["scm_url"] == extension("EXTENSION_HOMEPAGE") + ".git"
    assert entry["build_dependencies"] == extension("EXTENSION_DEPENDS").split()
    assert entry["$schema"].endswith("v1.0.2.json#")


def test_icons_are_pictures_of_128_pixels():
    for path in (
        REPOSITORY / "Resources" / "HER2ViT.png",
        *(REPOSITORY / m / "Resources" / "Icons" / f"{m}.png" for m in MODULES),
    ):
        header = path.read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert header[16:24] == (128).to_bytes(4, "big") * 2


@pytest.mark.parametrize("module", MODULES)
def test_module_file_imports_only_what_costs_nothing_at_start_up(module):
    imported = set()
    for node in tree_of(module).body:
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(node.module)
    panels = tuple(f"{one}Lib.panel." for one in MODULES)
    own = {name for name in imported if name.startswith(panels)}
    assert {name.partition(".")[0] for name in imported - own - {"HER2ViTLib.messages"}} <= CHEAP


def test_rooms_the_panel_opens_at_once_load_nothing_heavy():
    rooms = (
        "messages",
        "workflow.panel_state",
        "workflow.phase_order",
        "sample",
        "workflow.dependencies",
        "her2",
    )
    heavy = ("torch", "timm", "numpy", "SimpleITK", "cv2", "matplotlib")
    program = (
        f"import sys, {', '.join('HER2ViTLib.' + room for room in rooms)}; print([m for m in {heavy!r} if m"
        " in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY / "HER2ViT",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", MODULES)
def test_every_widget_the_code_names_is_in_the_ui_file(module):
    there = {widget.get("name") for widget in ui_of(module).iter("widget")}
    named = {
        node.attr
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "ui"
    }
    assert named - {"__dict__"} <= there


@pytest.mark.parametrize("module", MODULES)
def test_ui_file_fits_slicer(module):
    root = ui_of(module)
    top = root.find("widget")
    assert (top.get("class"), top.get("name")) == ("qMRMLWidget", module)
    widgets = {widget.get("name"): widget.get("class") for widget in root.iter("widget")}
    assert len(widgets) == len(list(root.iter("widget"))), "every name is used once"
    custom = {node.findtext("class") for node in root.iter("customwidget")}
    assert {name for name in widgets.values() if not name.startswith("Q")} <= custom
    wired = {
        node.findtext("receiver")
        for node in root.iter("connection")
        if node.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    assert wired == {
        name for name, kind in widgets.items() if kind.startswith(("qMRML", "qSlicer")) and name != module
    }


def test_every_button_of_the_panel_says_why_it_cannot_be_pressed():
    names = {w.get("name") for w in ui_of("HER2ViT").iter("widget") if w.get("class") == "QPushButton"}
    state = PanelState(Inputs(Choices(), ()))
    assert names - set(state.obstacles) == {"demoModelsButton"}, "all but the one that always can"
    assert set(state.obstacles) <= names


def test_every_bound_widget_has_its_parameter():
    bound = [
        prop.findtext("string")
        for widget in ui_of("HER2ViT").iter("widget")
        for prop in widget.findall("property[@name='SlicerParameterName']")
    ]
    assert len(bound) == len(set(bound))
    assert set(bound) <= set(parameter_fields())


def test_every_parameter_the_code_names_is_declared():
    named = {
        node.attr
        for node in ast.walk(tree_of("HER2ViT"))
        if isinstance(node, ast.Attribute)
        and (
            (isinstance(node.value, ast.Name) and node.value.id == "parameters")
            or (isinstance(node.value, ast.Attribute) and node.value.attr == "parameterNode")
        )
    }
    wrapper_methods = {"Modified", "disconnectGui", "connectParametersToGui"}
    assert named - wrapper_methods == set(parameter_fields())


def test_choices_of_the_panel_are_those_of_the_library():
    tree = tree_of("HER2ViT")
    titles = next(
        ast.literal_eval(n.value)
        for n in tree.body
        if isinstance(n, ast.Assign) and n.targets[0].id == "TASKS"
    )
    assert titles == [task.title for task in TWO_STEP]
    methods = next(
        ast.literal_eval(n)
        for n in ast.walk(parameter_fields()["attentionMethod"])
        if isinstance(n, ast.List)
    )
    assert tuple(methods) == attention.METHODS
