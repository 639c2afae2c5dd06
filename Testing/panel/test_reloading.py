"""The reload button of both modules, as far as it can be tested without Slicer."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from conftest import REPOSITORY

PROGRAM = """
import sys
import HER2ViTLib.panel.reloading as reloading
import HER2ViTLib.her2
import HER2ViTTrainingLib.tables
before = set(sys.modules)
former = HER2ViTLib.her2
reloading.forgetLibraries()
forgotten = before - set(sys.modules)
assert all(name.startswith(("HER2ViTLib", "HER2ViTTrainingLib")) for name in forgotten), forgotten
left = [name for name in sys.modules if name.startswith("HER2ViT")]
assert left == [], left
import HER2ViTLib.her2
assert HER2ViTLib.her2 is not former
"""


def test_both_libraries_are_forgotten_and_nothing_else():
    path = os.pathsep.join(str(REPOSITORY / module) for module in ("HER2ViT", "HER2ViTTraining"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path",
    ["HER2ViT/HER2ViTLib/panel/widget.py", "HER2ViTTraining/HER2ViTTrainingLib/panel/widget.py"],
    ids=["read", "train"],
)
def test_both_panels_forget_before_slicer_reloads(path):
    tree = ast.parse((REPOSITORY / path).read_text())
    reload = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "onReload")
    calls = [ast.unparse(node.func) for node in ast.walk(reload) if isinstance(node, ast.Call)]
    assert calls == ["forgetLibraries", "ScriptedLoadableModuleWidget.onReload"]
